package event

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"

	"pgregory.net/rapid"
)

func TestAHitRightAfterSendingIsAMachines(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 4, 4)
		execute(t, db, `UPDATE messages SET sent_at = ? WHERE id IN (1001, 1002)`, day)
		execute(t, db, `UPDATE messages SET sent_at = 0, status = 'sending' WHERE id = 1003`)
		execute(t, db, `UPDATE messages SET sent_at = 0, status = 'unknown' WHERE id = 1004`)
		r := newRig(t, db)
		after := func(m id.Message, d time.Duration) Hit { h := hit(1, m); h.At = day.Add(d); return h }
		known := after(1001, time.Second)
		known.Verdict, known.Reason = Machine, "scanner"
		r.hits(after(1001, -time.Second), after(1001, 2*time.Second-time.Microsecond), after(1001, 2*time.Second), known, after(1003, time.Minute), after(1004, time.Minute))
		want := "1001 open 0 machine too-soon\n1001 open 0 machine too-soon\n1001 open 0 person browser\n1001 open 0 machine scanner\n1003 open 0 machine too-soon\n1004 open 0 person browser"
		if got := r.events(); got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
		r.totals(map[string]int{"open 0 person GB-ENG": 2, "open 0 machine GB-ENG": 4})
	})
}

func TestABurstIsAMachinesAndItsEarlierHitsToo(t *testing.T) {
	const s = time.Second
	cases := map[string]struct {
		links   int
		batches [][]Hit
		th      Thresholds
		machine int
		firsts  string
		region  string
	}{
		"three links at once":                                   {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 2, s), click1(1001, 3, 2*s)}}, Thresholds{}, 3, "", ""},
		"three links at once, one batch each":                   {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 2, s)}, {click1(1001, 3, 2*s)}}, Thresholds{}, 3, "", ""},
		"known in another order":                                {6, [][]Hit{{click1(1001, 3, 2*s)}, {click1(1001, 1, 0)}, {click1(1001, 2, s)}}, Thresholds{}, 3, "", ""},
		"three links in three seconds":                          {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 2, s)}, {click1(1001, 3, 3*s)}}, Thresholds{}, 0, "1001 1\n1001 2\n1001 3", "GB-ENG"},
		"one link three times":                                  {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 1, s)}, {click1(1001, 1, s)}}, Thresholds{}, 0, "1001 1", "GB-ENG"},
		"two links of six":                                      {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 2, s)}}, Thresholds{}, 0, "1001 1\n1001 2", "GB-ENG"},
		"two links of two":                                      {2, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 2, s)}}, Thresholds{}, 2, "", ""},
		"one link of one":                                       {1, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 1, s)}}, Thresholds{}, 0, "1001 1", "GB-ENG"},
		"three links of three messages":                         {6, [][]Hit{{click1(1001, 1, 0), click1(1002, 2, 0), click1(1003, 3, 0)}}, Thresholds{}, 0, "1001 1\n1002 2\n1003 3", "GB-ENG\nGB-ENG\nGB-ENG"},
		"an earlier click of one of the links stays a person's": {6, [][]Hit{{click1(1001, 1, -time.Hour)}, {click1(1001, 1, 0), click1(1001, 2, s)}, {click1(1001, 3, s)}}, Thresholds{}, 3, "1001 1", "GB-ENG"},
		"a later click stays a person's":                        {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 2, s)}, {click1(1001, 3, s), click1(1001, 1, time.Hour)}}, Thresholds{}, 3, "1001 1", "GB-ENG"},
		"a threshold of two":                                    {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 2, s)}}, Thresholds{BurstLinks: 2}, 2, "", ""},
		"a narrower window":                                     {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 2, s), click1(1001, 3, 2*s)}}, Thresholds{BurstWindow: s}, 0, "1001 1\n1001 2\n1001 3", "GB-ENG"},
		"the honeypot link alone":                               {6, [][]Hit{{click1(1001, 0, 0)}}, Thresholds{}, 1, "", ""},
		"the honeypot link and then another":                    {6, [][]Hit{{click1(1001, 0, 0), click1(1001, 1, 2*s)}}, Thresholds{}, 2, "", ""},
		"a link and then the honeypot link":                     {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 0, 2*s)}}, Thresholds{}, 2, "", ""},
		"a stored click before the honeypot link":               {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 0, 2*s)}}, Thresholds{}, 2, "", ""},
		"a stored click after the honeypot link":                {6, [][]Hit{{click1(1001, 1, 2*s)}, {click1(1001, 0, 0)}}, Thresholds{}, 2, "", ""},
		"a click near a stored one on the honeypot link":        {6, [][]Hit{{click1(1001, 0, 0)}, {click1(1001, 1, 2*s)}}, Thresholds{}, 2, "", ""},
		"a click long before the honeypot link":                 {6, [][]Hit{{click1(1001, 1, -2*s-time.Microsecond)}, {click1(1001, 0, 0)}}, Thresholds{}, 1, "1001 1", "GB-ENG"},
		"a click long after the honeypot link":                  {6, [][]Hit{{click1(1001, 0, 0)}, {click1(1001, 1, 2*s+time.Microsecond)}}, Thresholds{}, 1, "1001 1", "GB-ENG"},
		"an hour before a click beside the honeypot link":       {6, [][]Hit{{click1(1001, 1, -time.Hour)}, {click1(1001, 1, 0)}, {click1(1001, 0, s)}}, Thresholds{}, 2, "1001 1", "GB-ENG"},
		"the honeypot link of another message":                  {6, [][]Hit{{click1(1001, 1, 0), click1(1002, 0, 0)}}, Thresholds{}, 1, "1001 1", "GB-ENG"},
		"the honeypot link beside the only one":                 {1, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 0, s)}}, Thresholds{}, 2, "", ""},
		"the honeypot link where bursts are switched off":       {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 0, s)}}, Thresholds{BurstLinks: -1}, 2, "", ""},
		"the honeypot link and a narrower window":               {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 0, 2*s)}}, Thresholds{BurstWindow: s}, 1, "1001 1", "GB-ENG"},
		"the honeypot link where the window is switched off":    {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 0, 0)}}, Thresholds{BurstWindow: -1}, 1, "1001 1", "GB-ENG"},
		"two links of six around the honeypot link's window":    {6, [][]Hit{{click1(1001, 1, 0)}, {click1(1001, 2, 1900*time.Millisecond)}, {click1(1001, 0, -s)}}, Thresholds{}, 2, "1001 2", "GB-ENG"},
		"switched off":                                          {6, [][]Hit{{click1(1001, 1, 0), click1(1001, 2, 0), click1(1001, 3, 0)}}, Thresholds{BurstLinks: -1}, 0, "1001 1\n1001 2\n1001 3", "GB-ENG"},
	}
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 3, 6)
		for what, c := range cases {
			t.Run(what, func(t *testing.T) {
				wipe(t, db)
				execute(t, db, `DELETE FROM links WHERE position > ?`, c.links)
				for l := 1; l <= c.links; l++ {
					execute(t, db, `INSERT INTO links (campaign, position, label, url) VALUES (1, ?, '', '') ON CONFLICT DO NOTHING`, l)
				}
				r := newRig(t, db)
				r.drain.Thresholds = c.th
				n := 0
				for _, hits := range c.batches {
					r.hits(hits...)
					n += len(hits)
				}
				machine, persons := 0, 0
				for k, v := range totals(t, db) {
					if strings.Contains(k, "machine") {
						machine += v
					} else {
						persons += v
					}
				}
				if machine != c.machine || machine+persons != n {
					t.Errorf("%d machine's, %d persons', want %d of %d", machine, persons, c.machine, n)
				}
				if got := r.text(`SELECT message || ' ' || link FROM message_links ORDER BY message, link`); got != c.firsts {
					t.Errorf("firsts: %q, want %q", got, c.firsts)
				}
				if got := r.text(`SELECT region FROM contact_regions`); got != c.region {
					t.Errorf("regions: %q, want %q", got, c.region)
				}
				r.consistent()
			})
		}
	})
}

// wipe forgets every hit.
func wipe(t testing.TB, db *schema.DB) {
	t.Helper()
	for _, table := range []string{"events", "counts", "count_heads", "message_links", "contact_regions"} {
		execute(t, db, `DELETE FROM `+table)
	}
	execute(t, db, `UPDATE messages SET opened_at = 0`)
}

func TestABurstOfAMessageThatIsRefusedNowChangesNothing(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 6)
	r := newRig(t, db)
	r.hits(click1(1001, 1, 0), click1(1001, 2, 0))
	closeGate(t, db, 1)
	r.hits(click1(1001, 3, 0))
	r.totals(map[string]int{"click 1 person GB-ENG": 1, "click 2 person GB-ENG": 1})
}

func TestTwoNodesSeeOneBurst(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 6)
		a := newRig(t, db)
		b := newRig(t, db)
		b.sink, b.drain.Sink = a.sink, a.sink
		a.hits(click1(1001, 1, 0))
		b.hits(click1(1001, 2, 0))
		a.hits(click1(1001, 3, 0))
		a.totals(map[string]int{"click 1 machine GB-ENG": 1, "click 2 machine GB-ENG": 1, "click 3 machine GB-ENG": 1})
	})
}

func TestVerdictsDoNotDependOnHowHitsAreBatched(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 40, 4)
	next := 0
	rapid.Check(t, func(rt *rapid.T) {
		next++
		message := id.Message(1000 + 1 + next%40)
		wipe(t, db)
		r := newRig(t, db)
		n := rapid.IntRange(1, 14).Draw(rt, "clicks")
		var hits []Hit
		for range n {
			h := click1(message, rapid.IntRange(0, 4).Draw(rt, "link"), time.Duration(rapid.IntRange(0, 100).Draw(rt, "at"))*100*time.Millisecond)
			h.Verdict = rapid.SampledFrom([]Verdict{Person, Person, Unverifiable, Machine}).Draw(rt, "verdict")
			h.Region = rapid.SampledFrom([]string{"", "GB", "FR"}).Draw(rt, "region")
			hits = append(hits, h)
		}
		for i := 0; i < n; {
			size := rapid.IntRange(1, n-i).Draw(rt, "batch")
			r.hits(hits[i : i+size]...)
			i += size
		}
		var clicks []click
		for _, h := range hits {
			c := click{at: h.At, link: h.Link, verdict: h.Verdict, region: h.Region}
			if h.Link == 0 {
				c.verdict, c.region = Machine, ""
			}
			clicks = append(clicks, c)
		}
		markByDefinition(clicks, 3, 2*time.Second)
		want := map[string]int{}
		first := map[int]schema.Time{}
		var latest click
		for _, c := range clicks {
			if c.burst {
				c.verdict = Machine
			}
			want[strings.TrimSpace(fmt.Sprintf("click %d %s %s", c.link, c.verdict, c.region))]++
			if at, ok := first[c.link]; c.verdict != Machine && (!ok || c.at < at) {
				first[c.link] = c.at
			}
			if c.verdict == Person && c.region != "" && c.at > latest.at {
				latest = c
			}
		}
		r.totals(want)
		var firsts []string
		for l, at := range first {
			firsts = append(firsts, fmt.Sprintf("%d %d", l, at))
		}
		slices.Sort(firsts)
		if got := r.text(`SELECT link || ' ' || first_at FROM message_links ORDER BY link`); got != strings.Join(firsts, "\n") {
			rt.Fatalf("firsts %q, want %q", got, firsts)
		}
		if got := r.text(`SELECT DISTINCT reason FROM events WHERE link = 0 UNION ALL SELECT reason FROM events WHERE link <> 0 AND reason = 'honeypot'`); got != "" && got != Honeypot {
			rt.Fatalf("reasons of the honeypot link: %q", got)
		}
		if got := r.text(`SELECT CAST(at AS TEXT) FROM contact_regions`); (latest.at == 0) != (got == "") || (got != "" && got != fmt.Sprint(int64(latest.at))) {
			rt.Fatalf("latest region at %q, want %d", got, latest.at)
		}
		if t.Failed() {
			rt.FailNow()
		}
		r.spool.Close()
	})
}

// markByDefinition says what markBursts must say, click by click.
func markByDefinition(clicks []click, need int, window time.Duration) {
	for i := range clicks {
		c := &clicks[i]
		for _, from := range clicks {
			if from.link == 0 && from.at <= c.at.Add(window) && c.at <= from.at.Add(window) {
				c.burst = true
			}
			links := map[int]bool{}
			for _, o := range clicks {
				if o.link != 0 && o.at >= from.at && o.at <= from.at.Add(window) {
					links[o.link] = true
				}
			}
			if need > 0 && len(links) >= need && c.at >= from.at && c.at <= from.at.Add(window) {
				c.burst = true
			}
		}
	}
}

func TestBurstsAreMarkedAsDefined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		need, window := rapid.SampledFrom([]int{0, 2, 3, 4}).Draw(t, "need"), time.Duration(rapid.IntRange(0, 5).Draw(t, "window"))*time.Second
		var clicks, want []click
		for range rapid.IntRange(0, 12).Draw(t, "clicks") {
			clicks = append(clicks, click{at: day.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "at")) * time.Second), link: rapid.IntRange(0, 5).Draw(t, "link"), hit: len(clicks)})
		}
		want = slices.Clone(clicks)
		markBursts(clicks, need, window)
		markByDefinition(want, need, window)
		for _, c := range clicks {
			if len(clicks) > 1 && c.burst != want[c.hit].burst {
				t.Fatalf("link %d at %s: marked %v, want %v", c.link, c.at, c.burst, want[c.hit].burst)
			}
		}
	})
}

func TestTheHoneypotLinkIsAMachinesWhateverTheHeadersSay(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 3, 4)
		r := newRig(t, db)
		closeGate(t, db, 2)
		as := func(h Hit, v Verdict, reason string) Hit { h.Verdict, h.Reason = v, reason; return h }
		anonymous := func(link int, private bool) Hit {
			h := click1(1001, link, 0)
			h.Message, h.Private = 0, private
			return h
		}
		private := func(m id.Message, link int) Hit {
			h := click1(m, link, 0)
			h.Private = true
			return h
		}
		r.hits(
			as(click1(1001, 0, 0), Person, "browser"),
			as(click1(1001, 0, time.Hour), Unverifiable, "unknown client"),
			as(click1(1001, 0, 2*time.Hour), Machine, "scanner: Barracuda"),
			click1(1002, 0, 0),  // the gate refuses
			anonymous(0, false), // a machine
			anonymous(1, false), // not one, and near it: nobody knows whose it is
			anonymous(0, true),  // a machine that asks not to be tracked
			private(1003, 0),    // the same with an identified token
			private(1003, 1),    // a person who asks not to be tracked, at the same time
			private(1002, 0),    // the gate refuses
			click1(1003, 2, 0),  // a private click has no time to be near to
		)
		want := "1001 click 0 machine honeypot\n1001 click 0 machine honeypot\n1001 click 0 machine honeypot\n1003 click 2 person browser"
		if got := r.events(); got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
		r.totals(map[string]int{"click 0 machine": 3, "click 0 anonymous-machine": 3, "click 1 anonymous GB-ENG": 1, "click 0 private": 1, "click 2 person GB-ENG": 1})
		if got := r.text(`SELECT message || ' ' || link FROM message_links`); got != "1003 2" { // what rules and reports take for clicks of people
			t.Errorf("firsts: %s", got)
		}
	})
}
