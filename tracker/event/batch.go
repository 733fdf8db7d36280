package event

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// batch is some hits of a spool on their way into the database, in one transaction.
type batch struct {
	d       *Drain
	node    string
	hits    []numbered
	through int64

	facts    map[id.Message]*fact
	clicks   map[id.Message][]click // stored ones and those of this batch
	accepted map[int64]bool         // numbers of the hits that the gate let through
	cells    map[Cell]int64
	deltas   []Delta
}

// fact is what a verdict needs to know of a message, and what hits have changed of it.
type fact struct {
	contact id.Contact
	sending bool
	sent    schema.Time
	opened  schema.Time
}

func (d *Drain) newBatch(hits []numbered, through int64) *batch {
	return &batch{
		d: d, node: d.Spool.Node(), hits: append([]numbered(nil), hits...), through: through,
		facts: map[id.Message]*fact{}, clicks: map[id.Message][]click{}, accepted: make(map[int64]bool, len(hits)), cells: map[Cell]int64{},
	}
}

// apply writes the batch, unless the database's place is not the one that it starts from.
func (b *batch) apply(ctx context.Context, tx *schema.Tx) error {
	head, err := b.d.sql.head(ctx, tx, b.node)
	if err != nil {
		return err
	}
	if head != b.d.head {
		return errMoved
	}
	for _, step := range []struct {
		name string
		run  func(context.Context, *schema.Tx) error
	}{
		{"read messages", b.readFacts},
		{"read earlier clicks", b.readClicks},
		{"judge", b.judge},
		{"write events", b.writeEvents},
		{"ask for private hits", b.askPrivate},
		{"write firsts", b.writeFirsts},
		{"take back earlier clicks", b.retract},
		{"write regions", b.writeRegions},
		{"count", b.count},
		{"move on", b.advance},
	} {
		if err := step.run(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// individual says whether a hit becomes an event of its own if the gate lets it.
func (h *Hit) individual() bool { return h.Message != 0 && !h.Private }

// readFacts reads the messages of the batch, those that were clicked under a lock where the database
// has other writers.
func (b *batch) readFacts(ctx context.Context, tx *schema.Tx) error {
	type key struct {
		m id.Message
		c id.Campaign
	}
	clicked := map[key]bool{}
	for i := range b.hits {
		if h := &b.hits[i]; h.individual() {
			k := key{h.Message, h.Campaign}
			clicked[k] = clicked[k] || h.Kind == Click
		}
	}
	var read, lock rows
	for k, click := range clicked {
		r := &read
		if click && b.d.sql.lock != "" {
			r = &lock
		}
		r.start().int(int64(k.m)).int(int64(k.c)).end()
	}
	scan := func(into func(...any) error) error {
		var m id.Message
		var f fact
		var status string
		err := into(&m, &f.contact, &status, &f.sent, &f.opened)
		f.sending = status == "sending"
		b.facts[m] = &f
		return err
	}
	if read.n > 0 {
		if err := each(ctx, tx, scan, b.d.sql.facts, read.json()); err != nil {
			return err
		}
	}
	if lock.n > 0 {
		return each(ctx, tx, scan, b.d.sql.lock, lock.json())
	}
	return nil
}

// readClicks collects, per message that was clicked, the clicks near those of this batch.
func (b *batch) readClicks(ctx context.Context, tx *schema.Tx) error {
	if err := b.readLinkCounts(ctx, tx); err != nil {
		return err
	}
	type span struct{ lo, hi schema.Time }
	spans := map[id.Message]span{}
	window := b.d.Thresholds.BurstWindow
	for i := range b.hits {
		h := &b.hits[i]
		if !h.individual() || h.Kind != Click || b.facts[h.Message] == nil || window < 0 {
			continue
		}
		b.clicks[h.Message] = append(b.clicks[h.Message], click{at: h.At, link: h.Link, verdict: h.Verdict, hit: i})
		s, ok := spans[h.Message]
		if !ok {
			s = span{h.At, h.At}
		}
		spans[h.Message] = span{min(s.lo, h.At), max(s.hi, h.At)}
	}
	if len(spans) == 0 {
		return nil
	}
	var r rows
	for m, s := range spans {
		r.start().int(int64(b.facts[m].contact)).int(int64(m)).int(int64(s.lo.Add(-window))).int(int64(s.hi.Add(window))).end()
	}
	return each(ctx, tx, func(into func(...any) error) error {
		var m id.Message
		var c click
		err := into(&c.event, &m, &c.link, &c.at, &c.verdict, &c.region, &c.node)
		b.clicks[m] = append(b.clicks[m], c)
		return err
	}, b.d.sql.clicks, r.json())
}

func (b *batch) burstOf(c id.Campaign) int { return b.d.Thresholds.burstOf(b.d.links[c]) }

// readLinkCounts learns how many links the campaigns that were clicked have. They are fixed when a
// campaign is launched.
func (b *batch) readLinkCounts(ctx context.Context, tx *schema.Tx) error {
	var r rows
	asked := map[id.Campaign]bool{}
	for i := range b.hits {
		h := &b.hits[i]
		if h.individual() && h.Kind == Click && b.d.links[h.Campaign] == 0 && !asked[h.Campaign] {
			asked[h.Campaign] = true
			r.start().int(int64(h.Campaign)).end()
		}
	}
	if r.n == 0 {
		return nil
	}
	if len(b.d.links) > 10_000 {
		clear(b.d.links)
	}
	return each(ctx, tx, func(into func(...any) error) error {
		var c id.Campaign
		var n int
		err := into(&c, &n)
		b.d.links[c] = n
		return err
	}, b.d.sql.linkCounts, r.json())
}

// judge gives the hits of this batch the verdicts that their time calls for.
func (b *batch) judge(context.Context, *schema.Tx) error {
	for i := range b.hits {
		h := &b.hits[i]
		if f := b.facts[h.Message]; f != nil && h.individual() && h.Verdict != Machine && b.d.Thresholds.tooSoon(h.At, f.sent, f.sending) {
			h.Verdict, h.Reason = Machine, TooSoon
		}
	}
	for _, clicks := range b.clicks {
		campaign := id.Campaign(0)
		for _, c := range clicks {
			if c.event == 0 {
				campaign = b.hits[c.hit].Campaign
				break
			}
		}
		markBursts(clicks, b.burstOf(campaign), b.d.Thresholds.BurstWindow)
		for _, c := range clicks {
			if h := &b.hits[c.hit]; c.burst && c.event == 0 && h.Verdict != Machine {
				h.Verdict, h.Reason = Machine, Burst
			}
		}
	}
	return nil
}

// writeEvents inserts the identified hits that the gate lets through, and learns which these are.
func (b *batch) writeEvents(ctx context.Context, tx *schema.Tx) error {
	var r rows
	for i := range b.hits {
		h := &b.hits[i]
		if h.individual() && b.facts[h.Message] != nil {
			r.start().int(h.seq).int(int64(h.Campaign)).int(int64(h.Message)).text(string(h.Kind)).int(int64(h.Link)).int(int64(h.At)).
				text(string(h.Verdict)).text(h.Reason).text(h.Region).text(h.Client).text(h.OS).text(h.Device).end()
		}
	}
	if r.n == 0 {
		return nil
	}
	return b.accept(ctx, tx, b.d.sql.insert, append([]any{b.node, r.json()}, b.d.sql.gate.Args...)...)
}

// askPrivate asks the gate for those who asked not to be tracked with an identified token: a token
// that is refused counts nothing, theirs like others'.
func (b *batch) askPrivate(ctx context.Context, tx *schema.Tx) error {
	var r rows
	for i := range b.hits {
		if h := &b.hits[i]; h.Private && h.Message != 0 {
			r.start().int(h.seq).int(int64(h.Campaign)).int(int64(h.Message)).end()
		}
	}
	if r.n == 0 {
		return nil
	}
	return b.accept(ctx, tx, b.d.sql.private, append([]any{r.json()}, b.d.sql.gate.Args...)...)
}

func (b *batch) accept(ctx context.Context, tx *schema.Tx, query string, args ...any) error {
	return each(ctx, tx, func(into func(...any) error) error {
		var seq int64
		err := into(&seq)
		b.accepted[seq] = true
		return err
	}, query, args...)
}

// count adds the units of the batch to the durable totals.
func (b *batch) count(ctx context.Context, tx *schema.Tx) error {
	for i := range b.hits {
		h := &b.hits[i]
		if h.Message == 0 || b.accepted[h.seq] {
			b.cells[cellOf(&h.Hit, b.node)]++
		}
	}
	cells := sortedCells(b.cells)
	if len(cells) == 0 {
		return nil
	}
	var r rows
	for _, c := range cells {
		r.start().int(int64(c.Campaign)).int(int64(c.Hour)).text(string(c.Kind)).int(int64(c.Link)).text(string(c.Verdict)).
			text(c.Region).text(c.Node).int(b.cells[c]).end()
	}
	_, err := tx.Exec(ctx, b.d.sql.counts, r.json())
	return err
}

// advance moves the heads of the chains that this batch adds to, and the node's place in its spool.
func (b *batch) advance(ctx context.Context, tx *schema.Tx) error {
	campaigns := map[id.Campaign]bool{}
	for c := range b.cells {
		campaigns[c.Campaign] = true
	}
	heads, err := b.d.sql.countHeads(ctx, tx, b.node, campaigns)
	if err != nil {
		return err
	}
	places := map[id.Campaign]int{}
	var r rows
	for _, c := range sortedCells(b.cells) {
		i, ok := places[c.Campaign]
		if !ok {
			i = len(b.deltas)
			places[c.Campaign] = i
			b.deltas = append(b.deltas, Delta{Campaign: c.Campaign, Node: b.node, Prev: heads[c.Campaign], Seq: b.through, Cells: map[Cell]int64{}})
			r.start().int(int64(c.Campaign)).int(b.through).end()
		}
		n := b.cells[c]
		c.Node = ""
		b.deltas[i].Cells[c] += n
	}
	if r.n > 0 {
		if _, err := tx.Exec(ctx, b.d.sql.advance, b.node, r.json()); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO spool_heads (node, seq, at) VALUES (?, ?, ?)
		ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, at = excluded.at`, b.node, b.through, schema.At(b.d.Now()))
	return err
}
