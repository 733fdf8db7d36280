package event

import (
	"cmp"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Thresholds say when the time of a hit gives a machine away. A zero field has the default, a
// negative one switches its rule off.
type Thresholds struct {
	TooSoon     time.Duration // a hit less than this after sending; default 2 s
	BurstLinks  int           // distinct links of one message, or all of them; default 3
	BurstWindow time.Duration // within this; default 2 s; it is also how far a honeypot reaches
}

func (t Thresholds) orDefault() Thresholds {
	if t.TooSoon == 0 {
		t.TooSoon = 2 * time.Second
	}
	if t.BurstLinks == 0 {
		t.BurstLinks = 3
	}
	if t.BurstWindow == 0 {
		t.BurstWindow = 2 * time.Second
	}
	return t
}

// tooSoon says whether a hit came before anybody can have read the message. A message that is still
// being sent has not been answered for by the receiving server: only a program on the way sees it.
func (t Thresholds) tooSoon(at, sent schema.Time, sending bool) bool {
	if t.TooSoon < 0 {
		return false
	}
	if sent == 0 {
		return sending
	}
	return at < sent.Add(t.TooSoon)
}

// burstOf returns how many distinct links of a message with that many links make a burst, zero for
// none: a single link is no burst.
func (t Thresholds) burstOf(links int) int {
	if t.BurstLinks < 0 || t.BurstWindow < 0 || links < 2 {
		return 0
	}
	return max(2, min(t.BurstLinks, links))
}

// click is a click of one message, in this batch (event zero) or stored before.
type click struct {
	event   id.Event
	at      schema.Time
	link    int
	verdict Verdict
	region  string
	node    string
	hit     int // place in the batch, for one of this batch
	burst   bool
}

// markBursts sets burst on each click that lies in a window with need distinct links (zero for none),
// and on each that lies no further than a window from a click on the honeypot link. The answer depends
// on the clicks alone, not on the order in which they came to be known.
//
// The honeypot link is none of the distinct links, and need not be told from them: in a window that it
// lies in, all clicks are near it.
func markBursts(clicks []click, need int, window time.Duration) {
	if window < 0 || len(clicks) < 2 {
		return
	}
	slices.SortFunc(clicks, func(a, b click) int { return cmp.Compare(a.at, b.at) })
	markNearHoneypot(clicks, window)
	if need == 0 || len(clicks) < need {
		return
	}
	inside := map[int]int{} // clicks of each link in the window
	marked := 0             // clicks before this one are marked as far as they will be
	for l, r := 0, 0; r < len(clicks); r++ {
		inside[clicks[r].link]++
		for clicks[r].at > clicks[l].at.Add(window) {
			if inside[clicks[l].link]--; inside[clicks[l].link] == 0 {
				delete(inside, clicks[l].link)
			}
			l++
		}
		if len(inside) >= need {
			for i := max(l, marked); i <= r; i++ {
				clicks[i].burst = true
			}
			marked = r + 1
		}
	}
}

// markNearHoneypot sets burst on the clicks within a window of one on the honeypot link, and on that
// one. The clicks are in the order of their time.
func markNearHoneypot(clicks []click, window time.Duration) {
	near := func(i, pot int) bool {
		return pot >= 0 && clicks[i].at <= clicks[pot].at.Add(window) && clicks[pot].at <= clicks[i].at.Add(window)
	}
	pot := -1 // the latest one before
	for i := range clicks {
		if clicks[i].link == 0 {
			pot = i
		}
		clicks[i].burst = clicks[i].burst || near(i, pot)
	}
	pot = -1 // the earliest one after
	for i := len(clicks) - 1; i >= 0; i-- {
		if clicks[i].link == 0 {
			pot = i
		}
		clicks[i].burst = clicks[i].burst || near(i, pot)
	}
}
