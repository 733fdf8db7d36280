package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"beckon/schema"
)

// Sender takes messages of running campaigns to the relays. It is used by one Run.
type Sender struct {
	db       *schema.DB
	book     Campaigns
	relays   []*Relay
	opt      Options
	owner    string // in the lease of what it holds; never used twice
	requests chan *request
	wake     chan struct{}
	over     chan struct{} // closed when nobody listens to requests any more
}

// NewSender returns a sender over the relays. Nothing happens before Run.
func NewSender(db *schema.DB, book Campaigns, relays []*Relay, o Options) *Sender {
	return &Sender{db: db, book: book, relays: relays, opt: o.withDefaults(), owner: rand.Text(),
		requests: make(chan *request, 64), wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// Wake makes the sender look for new work at once.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// AnswerTime is how long after the end of a lease a relay's answer may still come.
func (s *Sender) AnswerTime() time.Duration { return s.opt.DataTimeout }

// Run sends until ctx ends, then lets what is under way come to its end (at most Options.Grace) and
// gives back what it leased. An unreachable database or relay is waited for. The error is what kept
// Run from writing down what it did; those messages will be listed as unknown.
func (s *Sender) Run(ctx context.Context) error {
	cut, cutNow := context.WithCancel(context.WithoutCancel(ctx))
	defer cutNow()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.opt.Grace, cutNow) })
	defer stop()
	if s.opt.Alone {
		if err := s.recover(ctx, never); err != nil && ctx.Err() == nil {
			return err
		}
	}
	d := &desk{s: s, pacer: newPacer(&s.opt)}
	var workers sync.WaitGroup
	for _, r := range s.relays {
		st, n := newStation(r), r.Connections
		if n == 0 {
			n = s.opt.Connections
		}
		d.workers += n
		d.stations = append(d.stations, st)
		for range n {
			workers.Go(func() { (&worker{s: s, st: st, ctx: ctx, cut: cut}).run() })
		}
	}
	if d.workers == 0 {
		<-ctx.Done()
		return nil
	}
	err := d.serve(ctx)
	close(s.over)
	if err != nil {
		cutNow()
	}
	workers.Wait()
	return err
}

// Deliver takes one message to the first relay that can be reached, standbys last, outside of any
// campaign: a test, a confirmation. The error says what the relay answered.
func Deliver(ctx context.Context, relays []*Relay, o Options, from, to string, msg []byte) error {
	o = o.withDefaults()
	err := errors.New("queue: no relay is configured: set BECKON_SMTP")
	for _, r := range standbyLast(relays) {
		c, dialErr := r.dial(ctx, ctx, &o)
		if dialErr != nil {
			err = fmt.Errorf("queue: %s", r.remedy(dialErr))
			continue
		}
		v, _ := c.deliver(from, to, msg, func() bool { return true })
		c.close()
		if v.status == Sent {
			return nil
		}
		return fmt.Errorf("queue: relay %s did not take the message: %s %d %s", r, v.reason, v.code, v.reply)
	}
	return err
}
