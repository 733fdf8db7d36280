package report

import (
	"cmp"
	"slices"

	"beckon/schema"
	"beckon/tracker/counter"
	"beckon/tracker/event"
)

// The rules, with k the smallest group that is shown:
//
// An analyst, and every export, sees no number between 1 and k-1 that counts hits or messages of
// people. Hits of machines count no people and are shown. Where a kind has fewer than k hits that
// are not machines', none of its numbers but the machines' is shown.
//
// Admins and marketers see the campaign's totals, and all hits of identified mails, as they are. The
// anonymous hits of a link, region or hour are left out of its row if they are fewer than k; a row
// that has no others is hidden.
//
// Wherever one part of a sum is held back, others are too, the smallest first, until they are two at
// least and make up k together: nothing under k can be found by subtraction. The choice depends on
// the numbers and the names alone, so that looking twice tells no more than looking once.

// hold says which parts of a sum are to be held back. rest is a part that is in the sum and has no
// number of its own. A part of zero is held back only where nothing else is there to hide among.
func hold(k int64, rest int64, parts ...int64) []bool {
	held := make([]bool, len(parts))
	var count, sum int64
	for i, n := range parts {
		if n > 0 && n < k {
			held[i] = true
			count++
			sum += n
		}
	}
	if count == 0 && (rest <= 0 || rest >= k) {
		return held
	}
	if rest > 0 {
		count++
		sum += rest
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(parts[a], parts[b]) })
	for _, i := range order {
		if parts[i] >= k && (count < 2 || sum < k) {
			held[i] = true
			count++
			sum += parts[i]
		}
	}
	for i, n := range parts {
		if n == 0 && count < 2 {
			held[i] = true
			count++
		}
	}
	return held
}

// hide makes a number one that is not shown, and forgets it.
func (n *Number) hide() { *n = Number{Hidden: true} }

// less leaves a part out of a number; one of nothing else is hidden.
func (n *Number) less(part int64) {
	if n.N -= part; n.N == 0 {
		n.hide()
	}
}

// suppress makes the figures fit for an analyst.
func (s *Stats) suppress(totals counter.Totals, k int64) {
	for _, click := range []bool{false, true} {
		h := pick(click, &s.Clicks, &s.Opens)
		people := []*Number{&h.Person, &h.Unverifiable, &h.Anonymous}
		tables := [][]*Number{s.regions(click), s.hours(click)}
		rests := []int64{0, 0}
		if click {
			tables, rests = append(tables, s.links()), append(rests, private(totals))
		}
		if n := h.Total.N - h.Machine.N; n > 0 && n < k {
			for _, n := range slices.Concat(append(tables, people, []*Number{&h.Total, &h.Unique})...) {
				n.hide()
			}
			continue
		}
		holdNumbers(k, 0, people)
		for i, numbers := range tables {
			holdNumbers(k, rests[i], numbers)
		}
		few(k, &h.Unique)
	}
	for i := range s.Links {
		l := &s.Links[i]
		if few(k, &l.Unique); l.Total.Hidden {
			l.Unique.hide()
		}
	}
}

// private is how many clicks were by who asked not to be tracked. They belong to no link.
func private(totals counter.Totals) int64 {
	return totals[counter.Field{Axis: counter.Whole, Kind: event.Click, Verdict: event.Private}]
}

func few(k int64, n *Number) {
	if n.N > 0 && n.N < k {
		n.hide()
	}
}

func holdNumbers(k, rest int64, numbers []*Number) {
	parts := make([]int64, len(numbers))
	for i, n := range numbers {
		parts[i] = n.N
	}
	for i, held := range hold(k, rest, parts...) {
		if held {
			numbers[i].hide()
		}
	}
}

func (s *Stats) regions(click bool) []*Number {
	var list []*Number
	for i := range s.Regions {
		list = append(list, pick(click, &s.Regions[i].Clicks, &s.Regions[i].Opens))
	}
	return list
}

func (s *Stats) hours(click bool) []*Number {
	var list []*Number
	for i := range s.Hourly {
		list = append(list, pick(click, &s.Hourly[i].Clicks, &s.Hourly[i].Opens))
	}
	return list
}

func (s *Stats) links() []*Number {
	var list []*Number
	for i := range s.Links {
		list = append(list, &s.Links[i].Total)
	}
	return list
}

// suppressAnonymous makes the figures fit for an admin or marketer: it takes the anonymous part out of
// each region, hour and link where it is small, so that what is left are the true figures of
// identified hits. Rows that may have lost a part are marked.
func (s *Stats) suppressAnonymous(totals counter.Totals, k int64) {
	for _, click := range []bool{false, true} {
		kind := pick(click, event.Click, event.Open)
		regions := make([]int64, len(s.Regions))
		for i, g := range s.Regions {
			regions[i] = anonymousOf(totals, counter.Field{Axis: counter.Region, Kind: kind, Region: pick(g.Region == unknown, "", g.Region)})
		}
		held := hold(k, 0, regions...)
		if len(held) == 1 && held[0] && s.Regions[0].Region != unknown {
			// The only region there is: to hide it among others, the unknown one has to be told of.
			s.Regions = append(s.Regions, Region{Region: unknown})
			regions, held = append(regions, 0), append(held, true)
		}
		numbers := s.regions(click)
		for i := range held {
			if held[i] {
				numbers[i].less(regions[i])
				s.Regions[i].Suppressed = true
			}
		}
		hours := make([]int64, len(s.Hourly))
		for i, h := range s.Hourly {
			hours[i] = anonymousOf(totals, counter.Field{Axis: counter.Hour, Kind: kind, Hour: schema.At(h.At)})
		}
		numbers = s.hours(click)
		for i, held := range hold(k, 0, hours...) {
			if held {
				numbers[i].less(hours[i])
				s.Hourly[i].Suppressed = true
			}
		}
	}
	links := make([]int64, len(s.Links))
	for i, l := range s.Links {
		links[i] = anonymousOf(totals, counter.Field{Axis: counter.Link, Kind: event.Click, Link: l.Position})
	}
	rest := private(totals)
	if rest < k {
		rest = 0 // a total of the campaign, which may be known here
	}
	for i, held := range hold(k, rest, links...) {
		if held {
			s.Links[i].Total.less(links[i])
			s.Links[i].Suppressed = true
		}
	}
}

// anonymousOf returns the part of a row that belongs to nobody and is not a machine's.
func anonymousOf(totals counter.Totals, f counter.Field) int64 {
	f.Verdict = event.Anonymous
	n := totals[f]
	f.Verdict = event.Private
	return n + totals[f]
}

// mark says of each object whether it holds something back, and orders the regions by what is shown.
func (s *Stats) mark() {
	for _, h := range []*Hits{&s.Opens, &s.Clicks} {
		h.Suppressed = h.Total.Hidden || h.Unique.Hidden || h.Person.Hidden || h.Machine.Hidden || h.Unverifiable.Hidden || h.Anonymous.Hidden
	}
	for i := range s.Links {
		l := &s.Links[i]
		l.Suppressed = l.Suppressed || l.Total.Hidden || l.Unique.Hidden
	}
	for i := range s.Regions {
		g := &s.Regions[i]
		g.Suppressed = g.Suppressed || g.Opens.Hidden || g.Clicks.Hidden
	}
	for i := range s.Hourly {
		h := &s.Hourly[i]
		h.Suppressed = h.Suppressed || h.Opens.Hidden || h.Clicks.Hidden
	}
	slices.SortFunc(s.Regions, func(a, b Region) int {
		return cmp.Or(cmp.Compare(b.Opens.N+b.Clicks.N, a.Opens.N+a.Clicks.N), cmp.Compare(a.Region, b.Region))
	})
}
