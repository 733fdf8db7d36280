package queue

import (
	"context"
	"maps"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// plan is what one transaction did. It starts empty each time the transaction is run.
type plan struct {
	stock    map[*active][]id.Message // what is leased afterwards, of those that changed
	leased   map[*active]bool
	dry      map[*active]bool
	gone     map[*active]bool
	jobs     []*job
	of       []*active // of jobs
	ended    map[*active]bool
	parked   map[*active][]parked // beside those that were
	skipping map[*active]bool
	lanes    map[string]lane    // of those that changed
	full     map[*active]ration // whose sender may send no more today
	told     map[*active]string
	emptied  map[*active]bool // of what was parked
	outcomes int
}

// cycle commits what came in and hands out new work.
func (d *desk) cycle() {
	d.dismiss()
	for _, a := range d.order {
		a.unpark(time.Now())
		d.look(a)
	}
	d.open = d.eligible(time.Now())
	outs := d.out[:min(len(d.out), maxOutcomes)]
	if len(outs) == 0 && !d.work() {
		d.grant()
		return
	}
	if d.retry == 0 {
		d.suppress(outs)
	}
	now := time.Now()
	var p plan
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	err := d.s.db.Tx(ctx, func(tx *schema.Tx) error { return d.commit(ctx, tx, &p, outs) })
	cancel()
	if err != nil {
		d.retry++
		d.s.opt.Log.Error("queue: commit claims and outcomes", "err", err, "outcomes", len(outs))
		return
	}
	d.retry = 0
	d.apply(&p, outs, now)
	d.grant()
}

// dismiss sends connections home when the sender stops.
func (d *desk) dismiss() {
	if !d.stopping {
		return
	}
	for _, r := range slices.Concat(d.claims, d.turns) {
		r.reply <- reply{stop: true}
		d.workers--
	}
	d.claims, d.turns = nil, nil
}

// work reports whether a transaction has anything to do beside outcomes.
func (d *desk) work() bool {
	if d.stopping || d.retry > 0 {
		return d.retry > 0
	}
	if !d.s.opt.ready() {
		return false
	}
	return slices.ContainsFunc(d.order, func(a *active) bool {
		if a.note != "" || a.untold() || a.idle() && !a.ended {
			return true
		}
		if a.wait.shut {
			return len(a.stock)+len(a.parked) > 0
		}
		return len(d.open) > 0 && len(a.stock) > 0 || len(a.stock) == 0 && !a.dry
	})
}

func (a *active) idle() bool {
	return (a.dry || a.wait.shut) && len(a.stock)+len(a.parked) == 0 && a.flying == 0
}

func (d *desk) commit(ctx context.Context, tx *schema.Tx, p *plan, outs []*outcome) error {
	*p = plan{stock: map[*active][]id.Message{}, leased: map[*active]bool{}, dry: map[*active]bool{}, gone: map[*active]bool{}, ended: map[*active]bool{}, outcomes: len(outs),
		parked: map[*active][]parked{}, skipping: map[*active]bool{}, lanes: map[string]lane{}, full: map[*active]ration{}, told: map[*active]string{}, emptied: map[*active]bool{}}
	if err := d.s.record(ctx, tx, outs); err != nil {
		return err
	}
	if err := d.refund(ctx, tx, outs); err != nil {
		return err
	}
	if d.retry > 0 { // an earlier commit may have gone through without our knowing
		if err := d.s.unclaim(ctx, tx, slices.Collect(maps.Keys(d.flight))); err != nil {
			return err
		}
	}
	for _, a := range d.active {
		if a.note != "" {
			if err := d.s.pause(ctx, tx, a.ID, a.note); err != nil {
				return err
			}
			p.gone[a] = true
		}
	}
	if !d.stopping {
		if err := d.hand(ctx, tx, p); err != nil {
			return err
		}
	}
	landed := map[*active]int{}
	for _, o := range outs {
		landed[d.flight[o.Message]]++
	}
	for _, a := range d.order {
		dry := a.dry || p.dry[a] || a.wait.shut
		if a.ended || p.gone[a] || !dry || len(p.rest(a))+len(p.aside(a)) > 0 || a.flying > landed[a] || slices.Contains(p.of, a) {
			continue
		}
		if _, err := d.s.finish(ctx, tx, a.ID); err != nil {
			return err
		}
		p.ended[a] = true
	}
	return nil
}

// hand leases for campaigns that have nothing at hand, and claims for the connections that wait, one
// campaign after the other.
func (d *desk) hand(ctx context.Context, tx *schema.Tx, p *plan) error {
	if !d.s.opt.ready() {
		return nil
	}
	open := min(len(d.open), maxClaims)
	for i, a := range d.order {
		if p.gone[a] {
			continue
		}
		if a.untold() {
			if err := d.s.tell(ctx, tx, a); err != nil {
				return err
			}
			p.told[a] = a.wait.text
		}
		if a.wait.shut {
			if err := d.letGo(ctx, tx, p, a, a.held()); err != nil {
				return err
			}
			continue
		}
		if len(a.stock) == 0 && !a.dry {
			if err := d.lease(ctx, tx, p, a); err != nil {
				return err
			}
		}
		rest := p.rest(a)
		n := min(len(rest), open)
		if left := len(d.order) - i; left > 1 && n > 1 { // leave some for the campaigns behind
			n = max(1, min(n, (open+left-1)/left))
		}
		if n = a.allow(n); n == 0 {
			continue
		}
		n, drawn, err := d.draw(ctx, tx, p, a, n)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := d.letGo(ctx, tx, p, a, rest); err != nil {
				return err
			}
			continue
		}
		p.stock[a] = rest[n:]
		claimed, going, err := d.s.claim(ctx, tx, &a.Campaign, rest[:n])
		if err != nil {
			return err
		}
		if drawn.domain != "" {
			if err := d.s.refund(ctx, tx, drawn, n-len(claimed)); err != nil {
				return err
			}
		}
		if !going {
			p.gone[a] = true
			continue
		}
		until := time.Now().Add(d.s.opt.Lease)
		for _, m := range claimed {
			m.drawn = drawn
			p.jobs = append(p.jobs, &job{m, a.Filler, a.Sign, a.Launched, until})
			p.of = append(p.of, a)
		}
		open -= len(claimed)
	}
	return nil
}

func (p *plan) rest(a *active) []id.Message {
	if ids, ok := p.stock[a]; ok {
		return ids
	}
	return a.stock
}

// allow takes up to n from what the campaign's rate permits now.
func (a *active) allow(n int) int {
	if a.limit == nil || n == 0 {
		return n
	}
	now := time.Now()
	if n = min(n, int(a.limit.TokensAt(now))); n <= 0 || !a.limit.AllowN(now, n) {
		return 0
	}
	return n
}

// apply takes over what was committed, and hands out the jobs.
func (d *desk) apply(p *plan, outs []*outcome, now time.Time) {
	for _, o := range outs {
		if a := d.flight[o.Message]; a != nil {
			a.flying--
			a.ended = false
			if o.status == Queued {
				a.dry = false
			}
		}
		delete(d.flight, o.Message)
	}
	d.out = slices.Delete(d.out, 0, p.outcomes)
	for a, ids := range p.stock {
		a.stock = ids
	}
	for a, aside := range p.parked {
		a.park(aside)
	}
	for a, emptied := range p.emptied {
		if emptied {
			a.parked = nil
		}
	}
	for a, r := range p.full {
		a.wait.full = r
	}
	for a, note := range p.told {
		a.Note = note
	}
	for a, skipping := range p.skipping {
		a.skipping = skipping
	}
	maps.Copy(d.pacer.lanes, p.lanes)
	for a := range p.leased {
		a.until = now.Add(d.s.opt.Lease)
	}
	for a, dry := range p.dry {
		a.dry = dry
	}
	for a := range p.ended {
		a.ended = true
	}
	for a := range p.gone {
		a.note, a.run, a.stock, a.parked = "", 0, nil, nil
		d.order = slices.DeleteFunc(d.order, func(b *active) bool { return a == b })
	}
	for i, j := range p.jobs {
		a := p.of[i]
		a.flying++
		d.flight[j.Message] = a
		d.serveWith(d.open[i], j)
	}
	served := slices.Clone(d.open[:len(p.jobs)])
	d.claims = slices.DeleteFunc(d.claims, func(r *request) bool { return slices.Contains(served, r) })
	d.open = d.eligible(time.Now())
	if len(d.order) > 1 { // another campaign is first next time
		d.order = append(d.order[1:], d.order[0])
	}
}

// suppress tells of recipients that do not exist, before their failure is written: a crash in
// between leaves a message unknown, never a dead address that is mailed again.
func (d *desk) suppress(outs []*outcome) {
	if d.s.opt.Bouncer == nil {
		return
	}
	for _, o := range outs {
		if !o.bounced {
			continue
		}
		err := d.s.db.Tx(d.ctx, func(tx *schema.Tx) error { return d.s.opt.Bouncer.Bounced(d.ctx, tx, o.Contact) })
		if err != nil {
			d.s.opt.Log.Error("queue: suppress a recipient that does not exist", "contact", o.Contact, "err", err)
		}
	}
}
