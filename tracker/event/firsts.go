package event

import (
	"context"

	"beckon/schema"
	"beckon/schema/id"
)

// firstClick is a row of message_links.
type firstClick struct {
	message id.Message
	link    int
}

// writeFirsts notes the first open of each message, and the first click of each of its links, that
// is not a machine's. A click says nothing about opens.
func (b *batch) writeFirsts(ctx context.Context, tx *schema.Tx) error {
	opens, clicks := map[id.Message]schema.Time{}, map[firstClick]schema.Time{}
	for i := range b.hits {
		h := &b.hits[i]
		if !h.individual() || !b.accepted[h.seq] || h.Verdict == Machine {
			continue
		}
		if h.Kind == Open {
			f := b.facts[h.Message]
			if f.opened == 0 || h.At < f.opened {
				f.opened, opens[h.Message] = h.At, h.At
			}
			continue
		}
		k := firstClick{h.Message, h.Link}
		if at, ok := clicks[k]; !ok || h.At < at {
			clicks[k] = h.At
		}
	}
	if len(opens) > 0 {
		var r rows
		for m, at := range opens {
			r.start().int(int64(m)).int(int64(at)).end()
		}
		if _, err := tx.Exec(ctx, b.d.sql.opened, r.json()); err != nil {
			return err
		}
	}
	if len(clicks) == 0 {
		return nil
	}
	var r rows
	for k, at := range clicks {
		r.start().int(int64(k.message)).int(int64(k.link)).int(int64(at)).end()
	}
	_, err := tx.Exec(ctx, b.d.sql.firsts, r.json())
	return err
}

// retract calls earlier clicks a machine's that turned out to be part of a burst, or beside a honeypot. What had been said
// of them is taken back: their units, and the firsts and regions that came from them.
func (b *batch) retract(ctx context.Context, tx *schema.Tx) error {
	var events, firsts, regions rows
	for m, clicks := range b.clicks {
		var campaign id.Campaign
		accepted := false
		for _, c := range clicks {
			if c.event == 0 {
				campaign = b.hits[c.hit].Campaign
				accepted = accepted || b.accepted[b.hits[c.hit].seq]
			}
		}
		if !accepted { // nothing of the message may be kept any more, so nothing is changed either
			continue
		}
		for _, c := range clicks {
			if c.event == 0 || !c.burst || c.verdict == Machine {
				continue
			}
			events.start().int(int64(c.event)).end()
			firsts.start().int(int64(b.facts[m].contact)).int(int64(m)).int(int64(c.link)).int(int64(c.at)).end()
			if c.verdict == Person && c.region != "" {
				regions.start().int(int64(b.facts[m].contact)).int(int64(c.at)).end()
			}
			cell := Cell{Campaign: campaign, Hour: c.at.Hour(), Kind: Click, Link: c.link, Verdict: c.verdict, Region: c.region, Node: c.node}
			b.cells[cell]--
			cell.Verdict = Machine
			b.cells[cell]++
		}
	}
	if events.n == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, b.d.sql.retract, events.json()); err != nil {
		return err
	}
	for _, s := range []struct {
		query string
		rows  rows
	}{
		{b.d.sql.dropFirsts, firsts}, {b.d.sql.findFirsts, firsts},
		{b.d.sql.dropRegions, regions}, {b.d.sql.findRegions, regions},
	} {
		if s.rows.n == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, s.query, s.rows.json()); err != nil {
			return err
		}
	}
	return nil
}

// writeRegions notes where each contact last clicked as a person.
func (b *batch) writeRegions(ctx context.Context, tx *schema.Tx) error {
	latest := map[id.Contact]*numbered{}
	for i := range b.hits {
		h := &b.hits[i]
		if h.Kind != Click || !h.individual() || !b.accepted[h.seq] || h.Verdict != Person || h.Region == "" {
			continue
		}
		who := b.facts[h.Message].contact
		if l := latest[who]; l == nil || h.At > l.At {
			latest[who] = h
		}
	}
	if len(latest) == 0 {
		return nil
	}
	var r rows
	for who, h := range latest {
		r.start().int(int64(who)).text(h.Region).int(int64(h.At)).end()
	}
	_, err := tx.Exec(ctx, b.d.sql.regions, r.json())
	return err
}
