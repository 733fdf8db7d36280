package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// parked is a leased message whose domain has its time soon.
type parked struct {
	id id.Message
	at time.Time
}

// unpark moves messages whose time has come to those that can be claimed.
func (a *active) unpark(now time.Time) {
	n := 0
	for n < len(a.parked) && !a.parked[n].at.After(now) {
		a.stock = append(a.stock, a.parked[n].id)
		n++
	}
	a.parked = slices.Delete(a.parked, 0, n)
}

// held are all messages that a campaign has leased.
func (a *active) held() []id.Message {
	all := slices.Clone(a.stock)
	for _, k := range a.parked {
		all = append(all, k.id)
	}
	return all
}

// lease takes messages for a campaign and sets aside those whose domains are at their limit: for a
// moment those whose time is near, back into the database those that have to wait longer, each with
// the time when it is its turn, so that it is not looked at before.
func (d *desk) lease(ctx context.Context, tx *schema.Tx, p *plan, a *active) error {
	n := d.s.opt.Batch
	if a.skipping {
		n *= 4
	}
	var but []id.Message
	for _, k := range a.parked {
		but = append(but, k.id)
	}
	ids, err := d.s.lease(ctx, tx, a.ID, n, but)
	if err != nil {
		return err
	}
	p.stock[a], p.leased[a], p.dry[a] = ids, true, len(ids) == 0
	if len(ids) == 0 || !d.pacer.active() {
		return nil
	}
	return d.setAside(ctx, tx, p, a, ids)
}

func (d *desk) setAside(ctx context.Context, tx *schema.Tx, p *plan, a *active, ids []id.Message) error {
	var rows []struct {
		ID    id.Message  `db:"id"`
		Next  schema.Time `db:"next_at"`
		Email string      `db:"email"`
	}
	err := tx.Select(ctx, &rows, `SELECT m.id, m.next_at, COALESCE(c.email, '') AS email FROM messages m LEFT JOIN contacts c ON c.id = m.contact
		WHERE m.id IN (`+schema.List(len(ids))+`)`, anys(ids)...)
	if err != nil {
		return err
	}
	next := make(map[id.Message]int, len(rows))
	for i, r := range rows {
		next[r.ID] = i
	}
	room := 2*d.s.opt.Batch - d.parked()
	for _, aside := range p.parked {
		room -= len(aside)
	}
	now, clock := time.Now(), d.s.opt.Now()
	var ready []id.Message
	var aside []parked
	var back []any
	for _, m := range ids { // in the order of the lease
		i, found := next[m]
		if !found || rows[i].Email == "" {
			ready = append(ready, m)
			continue
		}
		domain := domainOf(rows[i].Email)
		l, touched := p.lanes[domain]
		if !touched {
			l = d.pacer.lanes[domain]
		}
		pace := d.pacer.pace(domain, l)
		if pace == 0 {
			ready = append(ready, m)
			continue
		}
		l, at, ok := d.pacer.slot(l, pace, now, rows[i].Next > 0)
		p.lanes[domain] = l
		switch {
		case ok && !at.After(now):
			ready = append(ready, m)
		case ok && len(aside) < room:
			aside = append(aside, parked{m, at})
		default:
			back = append(back, m, schema.At(clock.Add(at.Sub(now))))
		}
	}
	p.stock[a], p.skipping[a] = ready, len(back) > len(ids)/2
	if len(aside) > 0 {
		p.parked[a] = aside
	}
	return d.s.putBack(ctx, tx, back)
}

// park adds messages in the order of their times.
func (a *active) park(aside []parked) {
	a.parked = append(a.parked, aside...)
	slices.SortStableFunc(a.parked, func(x, y parked) int { return cmp.Compare(x.at.UnixNano(), y.at.UnixNano()) })
}

func (d *desk) parked() (n int) {
	for _, a := range d.order {
		n += len(a.parked)
	}
	return n
}

// putBack gives back leased messages, pairs of id and time, each until its time. They were not tried.
func (s *Sender) putBack(ctx context.Context, tx *schema.Tx, pairs []any) error {
	if len(pairs) == 0 {
		return nil
	}
	rows := schema.Rows(len(pairs)/2, 2)
	if tx.Dialect() == schema.Postgres { // the first row gives the columns their type
		rows = `(CAST(? AS BIGINT), CAST(? AS BIGINT))` + rows[len(`(?,?)`):]
	}
	_, err := tx.Exec(ctx, `WITH v (message, at) AS (VALUES `+rows+`)
		UPDATE messages SET lease = '', lease_end = 0, next_at = v.at FROM v
		WHERE messages.id = v.message AND messages.lease = ? AND messages.status IN ('queued', 'deferred')`, append(pairs, s.owner)...)
	return err
}
