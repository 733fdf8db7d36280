package queue

import (
	"maps"
	"math/rand/v2"
	"time"
)

const (
	settle    = 10 * time.Second // after a domain's pace was halved: what is under way was sent at the old one
	calm      = time.Minute      // without complaint, after which a halved pace is doubled again
	slowest   = 0.1              // messages per second, however often a domain complains
	memory    = 10 * time.Second // of how much went to a domain
	recovered = 2.0              // times the pace at which a domain without limit complained: forgotten
)

// pacer gives out times at which messages may go to their domains. It knows the domains that had mail
// in the last moments, and no message.
type pacer struct {
	rates   DomainRates
	horizon time.Duration // up to which it promises times; what is later is put back into the database
	lanes   map[string]lane
	recent  map[string]int
	since   time.Time      // of recent
	before  map[string]int // as much earlier
	lasted  time.Duration  // what before counts
	jitter  func(time.Duration) time.Duration
}

// lane is the way to one domain.
type lane struct {
	next   time.Time // not before: the next message
	behind time.Time // up to when messages were put back: new ones go behind them
	pace   float64   // while the domain complains; zero: as configured
	full   float64   // the pace before the first complaint
	halved time.Time
	rise   time.Time
}

func newPacer(o *Options) *pacer {
	return &pacer{rates: o.Domains, horizon: max(2*o.Poll, time.Second), lanes: map[string]lane{}, recent: map[string]int{}, before: map[string]int{},
		jitter: func(d time.Duration) time.Duration { return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) }}
}

// active reports whether any domain has a limit now.
func (p *pacer) active() bool { return !p.rates.none() || len(p.lanes) > 0 }

func (p *pacer) pace(domain string, l lane) float64 {
	if l.pace > 0 {
		return l.pace
	}
	return p.rates.rate(domain)
}

// slot gives a message to the domain its time. ok: it was promised that time, which is near; else it
// is to be put back until then. back says that it was put back before. l is the lane afterwards.
func (p *pacer) slot(l lane, pace float64, now time.Time, back bool) (after lane, at time.Time, ok bool) {
	step := time.Duration(float64(time.Second) / pace)
	burst := time.Duration(max(0, float64(int(pace/20))-1)) * step
	if at = l.next; at.Before(now.Add(-burst)) {
		at = now.Add(-burst)
	}
	near := now.Add(p.horizon)
	if at.After(near) || !back && l.behind.After(near) {
		if l.behind.Before(near) {
			l.behind = near
		}
		l.behind = l.behind.Add(step)
		return l, l.behind, false
	}
	l.next = at.Add(step)
	return l, at, true
}

// sent is told of each message that a relay answered to.
func (p *pacer) sent(domain string, now time.Time) {
	if spell := now.Sub(p.since); spell > memory {
		p.before, p.recent, p.lasted = p.recent, p.before, spell
		if spell > 2*memory {
			clear(p.before)
			p.lasted = 0
		}
		clear(p.recent)
		p.since = now
	}
	p.recent[domain]++
}

// measured is how much went to a domain lately, a second.
func (p *pacer) measured(domain string, now time.Time) float64 {
	return max(1, float64(p.recent[domain]+p.before[domain])/max(1, (p.lasted+now.Sub(p.since)).Seconds()))
}

// throttled halves the pace of a domain that asked for patience.
func (p *pacer) throttled(domain string, now time.Time) {
	l := p.lanes[domain]
	if now.Before(l.halved) {
		return
	}
	pace := p.pace(domain, l)
	if measured := p.measured(domain, now); pace == 0 || measured < pace {
		pace = measured
	}
	l.full = max(l.full, pace)
	l.pace = max(pace/2, slowest)
	l.halved, l.rise = now.Add(p.jitter(settle)), now.Add(p.jitter(calm))
	if later := now.Add(time.Duration(float64(time.Second) / l.pace)); l.next.Before(later) {
		l.next = later
	}
	p.lanes[domain] = l
}

// tend lets paces recover, and forgets domains that there is nothing to know of.
func (p *pacer) tend(now time.Time) {
	for domain, l := range p.lanes {
		if l.pace == 0 || now.Before(l.rise) {
			continue
		}
		l.pace, l.rise = 2*l.pace, now.Add(p.jitter(calm))
		limit := p.rates.rate(domain)
		if limit > 0 && l.pace >= limit || limit == 0 && l.pace >= recovered*l.full {
			l.pace, l.full = 0, 0
		}
		p.lanes[domain] = l
	}
	maps.DeleteFunc(p.lanes, func(_ string, l lane) bool { return l.pace == 0 && l.next.Before(now) && l.behind.Before(now) })
}
