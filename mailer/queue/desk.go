package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"beckon/schema"
	"beckon/schema/id"

	"golang.org/x/time/rate"
)

// maxClaims and maxOutcomes bound a transaction, which on SQLite holds up every other writer.
const (
	maxClaims   = 100
	maxOutcomes = 200
)

type want int

const (
	wantTurn    want = iota // to connect, if there is work
	wantClaim               // a message, with a connection at hand
	wantNothing             // only to hand in an outcome
)

// request is what a connection asks the desk for, with what became of its last message.
type request struct {
	out    *outcome
	want   want
	turned bool       // its last answer was a turn
	reply  chan reply // has room for one
	st     *station
	idle   atomic.Bool // the connection was closed while it waited
}

type reply struct {
	job  *job
	stop bool // neither: a turn
}

type job struct {
	Claimed
	filler   Filler
	sign     Signer
	launched schema.Time
	until    time.Time // the claim ends
}

// desk is where all connections of a running sender meet the database: one goroutine that commits
// their outcomes and new claims together.
type desk struct {
	s        *Sender
	active   map[id.Campaign]*active
	order    []*active // whose turn it is, first
	stations []*station
	claims   []*request
	turns    []*request
	open     []*request // those of claims that may have a message now, in the order in which they get one
	out      []*outcome
	flight   map[id.Message]*active
	workers  int
	pacer    *pacer

	ctx      context.Context
	stopping bool
	poll     time.Time // when to look for new work
	retry    int       // failed transactions in a row
	recovery time.Time // when to look for dead senders
	giveUp   <-chan time.Time
}

// active is a campaign that is being sent.
type active struct {
	Campaign
	limit    *rate.Limiter
	stock    []id.Message // leased
	until    time.Time    // of the lease
	parked   []parked     // leased too, and not yet to be claimed; the next one first
	skipping bool         // most of the last lease was put back: more are leased at once
	wait     wait
	dry      bool // nothing was due at the last look
	ended    bool // asked to finish since the last look
	flying   int
	run      int    // refusals of the sender's own fault in a row
	note     string // why it is to be paused
}

func (d *desk) serve(ctx context.Context) error {
	d.ctx = context.WithoutCancel(ctx)
	d.active, d.flight = map[id.Campaign]*active{}, map[id.Message]*active{}
	for d.workers > 0 || len(d.out) > 0 {
		if !d.stopping && !time.Now().Before(d.poll) {
			d.refresh()
		}
		d.cycle()
		if err := d.gather(ctx); err != nil {
			return err
		}
	}
	return d.giveBack()
}

// gather waits for something to do, and then a moment for more of the same, so that it is committed
// together.
func (d *desk) gather(ctx context.Context) error {
	done := ctx.Done()
	if d.stopping {
		done = nil
	}
	pause := d.pause()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case r := <-d.s.requests:
		d.take(r)
	case <-d.s.wake:
		d.poll = time.Time{}
	case <-timer.C:
	case <-done:
		d.stopping = true
		d.giveUp = time.After(d.s.opt.Grace + 5*time.Second)
	case <-d.giveUp:
		return fmt.Errorf("queue: stopped with %d outcomes unwritten; those messages will be listed as unknown", len(d.out)+len(d.flight))
	}
	if len(d.flight) == len(d.out) && len(d.s.requests) == 0 {
		return nil
	}
	company := func() bool { return len(d.out) >= d.workers/4 }
	timer.Reset(d.s.opt.Linger)
	for late := false; len(d.out) < maxOutcomes; {
		select {
		case r := <-d.s.requests:
			d.take(r)
			if len(d.flight) == len(d.out) && len(d.s.requests) == 0 || late && company() {
				return nil
			}
		case <-timer.C:
			if late || company() {
				return nil
			}
			late = true
			timer.Reset(2 * d.s.opt.Linger)
		}
	}
	return nil
}

// pause is how long the desk may sleep if nobody asks for anything.
func (d *desk) pause() time.Duration {
	switch {
	case d.retry > 0:
		return min(50*time.Millisecond<<min(d.retry, 7), 5*time.Second)
	case len(d.out) > 0:
		return 0
	case d.stopping:
		if len(d.claims)+len(d.turns) > 0 {
			return 0
		}
		return d.s.opt.Poll
	}
	now := time.Now()
	pause := max(0, d.poll.Sub(now))
	if len(d.open) < len(d.claims) || d.dialing() {
		pause = min(pause, patience/2)
	}
	for _, a := range d.order {
		if len(a.parked) > 0 && len(d.open)+len(d.turns) > 0 {
			pause = min(pause, max(0, a.parked[0].at.Sub(now)))
		}
		switch {
		case a.wait.shut:
		case len(a.stock) == 0 && a.dry || len(d.open) == 0:
		case a.limit == nil:
			return 0
		default:
			missing := 1 - a.limit.TokensAt(now)
			pause = min(pause, max(0, time.Duration(missing/a.Rate*float64(time.Second))))
		}
	}
	return pause
}

func (d *desk) take(r *request) {
	if r.out != nil {
		d.out = append(d.out, r.out)
		d.judge(r.out)
	}
	r.st.note(r, time.Now())
	r.out = nil
	switch r.want {
	case wantTurn:
		d.turns = append(d.turns, r)
	case wantClaim:
		d.claims = append(d.claims, r)
	}
}

// judge counts refusals that are the sender's own fault.
func (d *desk) judge(o *outcome) {
	a := d.flight[o.Message]
	if a == nil {
		return
	}
	if o.code > 0 {
		now, domain := time.Now(), domainOf(o.To)
		d.pacer.sent(domain, now)
		if o.hasty {
			d.pacer.throttled(domain, now)
		}
	}
	switch {
	case o.status == Sent:
		a.run = 0
	case o.policy:
		if a.run++; a.run >= d.s.opt.PolicyRun && a.note == "" {
			a.note = fmt.Sprintf("paused by itself: %d messages in a row were refused for a reason that lies with the sender, the last with: %d %s. Nobody was suppressed for it. Put it right with the relay or the receiving side, then resume", a.run, o.code, o.reply)
		}
	}
}

// refresh learns which campaigns are being sent now.
func (d *desk) refresh() {
	now := time.Now()
	d.poll = now.Add(d.s.opt.Poll)
	if now.After(d.recovery) {
		d.recovery = now.Add(min(d.s.opt.Lease, 15*time.Second))
		if err := d.s.recover(d.ctx, schema.At(d.s.opt.Now().Add(-d.s.opt.DataTimeout))); err != nil {
			d.s.opt.Log.Error("queue: recover", "err", err)
		}
	}
	camps, err := d.s.book.Sending(d.ctx)
	if err != nil {
		d.s.opt.Log.Error("queue: read the campaigns", "err", err)
		return
	}
	found := map[id.Campaign]bool{}
	for _, c := range camps {
		found[c.ID] = true
		a := d.active[c.ID]
		if a == nil {
			a = &active{}
			d.active[c.ID] = a
		}
		if !slices.Contains(d.order, a) {
			d.order = append(d.order, a)
		}
		if c.Rate != a.Rate || a.ID == 0 {
			a.limit = nil
			if c.Rate > 0 {
				a.limit = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(c.Rate/20)))
			}
		}
		a.Campaign, a.dry, a.ended, a.wait.turns = c, false, false, time.Time{}
		if len(a.stock) > 0 && !now.Before(a.until) { // whoever can send them now may take them
			a.stock = nil
		}
	}
	maps.DeleteFunc(d.active, func(c id.Campaign, a *active) bool { return !found[c] && a.flying == 0 })
	d.order = slices.DeleteFunc(d.order, func(a *active) bool { return !found[a.ID] })
	d.pacer.tend(now)
	d.reopen()
}

// giveBack frees what is leased when the sender stops.
func (d *desk) giveBack() error {
	for _, a := range d.order {
		for ids := range slices.Chunk(a.held(), 256) {
			err := d.s.db.Tx(d.ctx, func(tx *schema.Tx) error { return d.s.release(d.ctx, tx, ids) })
			if err != nil {
				return fmt.Errorf("queue: give back what was leased: %w", err)
			}
		}
	}
	return nil
}
