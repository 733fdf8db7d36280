package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// waits begins the notes that say what a campaign waits for; others are left alone.
const waits = "waits "

// at is how a note names an instant.
const at = "2 January 2006 15:04 MST"

// wait is what keeps a campaign from going on at this hour.
type wait struct {
	shut  bool
	hours bool      // outside of its hours
	turns time.Time // until then hours stays as it is
	full  ration    // its sender's allowance that is used up
	text  string    // what is to be told
}

// look finds out whether the campaign may go on now.
func (d *desk) look(a *active) {
	now := d.s.opt.Now()
	w := &a.wait
	if a.Open == nil {
		w.hours = false
	} else if !now.Before(w.turns) || w.turns.IsZero() {
		var open bool
		open, w.turns = a.Open(now)
		w.hours = !open
	}
	if w.full.day != dayOf(now) {
		w.full = ration{}
	}
	w.shut, w.text = w.hours || w.full.domain != "", ""
	switch {
	case w.hours:
		w.text = waits + "for its hours, and goes on at " + w.turns.Format(at)
	case w.full.domain != "":
		on := startOf(w.full.day + 1)
		if a.Open != nil {
			if open, next := a.Open(on); !open {
				on = next
			}
		}
		most, _ := d.s.opt.Warmups.most(w.full.domain, w.full.day)
		w.text = fmt.Sprintf("%sfor tomorrow: %s has sent the %d mails that it may send on %s. It goes on at %s", waits, w.full.domain, most, startOf(w.full.day).Format("2 January 2006"), on.Format(at))
	}
}

// untold reports whether the campaign's note says something else than what it waits for.
func (a *active) untold() bool {
	return a.wait.text != a.Note && (a.Note == "" || strings.HasPrefix(a.Note, waits))
}

// tell writes what the campaign waits for, unless its note says something that matters more.
func (s *Sender) tell(ctx context.Context, tx *schema.Tx, a *active) error {
	_, err := tx.Exec(ctx, `UPDATE campaigns SET status_note = ? WHERE id = ? AND status = 'sending' AND (status_note = '' OR status_note LIKE ?)`, a.wait.text, a.ID, waits+"%")
	return err
}

// aside is what is parked afterwards.
func (p *plan) aside(a *active) []parked {
	if p.emptied[a] {
		return nil
	}
	return slices.Concat(a.parked, p.parked[a])
}

// letGo gives back what a campaign holds that has to wait.
func (d *desk) letGo(ctx context.Context, tx *schema.Tx, p *plan, a *active, ids []id.Message) error {
	p.stock[a], p.emptied[a] = nil, a.wait.shut
	if len(ids) == 0 {
		return nil
	}
	return d.s.release(ctx, tx, ids)
}

// draw takes up to n from the allowance of the campaign's sender domain, and ends the campaign's day
// when there is nothing left.
func (d *desk) draw(ctx context.Context, tx *schema.Tx, p *plan, a *active, n int) (int, ration, error) {
	r := ration{a.Domain, dayOf(d.s.opt.Now())}
	most, limited := d.s.opt.Warmups.most(r.domain, r.day)
	if !limited || n == 0 {
		return n, ration{}, nil
	}
	got, err := d.s.draw(ctx, tx, r, most, n)
	if err == nil && got == 0 {
		p.full[a] = r
	}
	return got, r, err
}

// reopen lets campaigns go on whose sender's allowance was given back by somebody.
func (d *desk) reopen() {
	for _, a := range d.order {
		full := a.wait.full
		most, limited := d.s.opt.Warmups.most(full.domain, full.day)
		if full.domain == "" {
			continue
		}
		left, err := d.s.left(d.ctx, full, most)
		if err != nil {
			d.s.opt.Log.Error("queue: read the allowance of a sender domain", "err", err)
		} else if left || !limited {
			a.wait.full = ration{}
		}
	}
}

// refund gives back what was drawn for messages that were not tried.
func (d *desk) refund(ctx context.Context, tx *schema.Tx, outs []*outcome) error {
	for _, o := range outs {
		if o.status != Queued || o.drawn.domain == "" {
			continue
		}
		if err := d.s.refund(ctx, tx, o.drawn, 1); err != nil {
			return err
		}
	}
	return nil
}
