package queue

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// station is a relay as the running sender sees it: whether it can be reached, and how fast it may
// be fed. While it is down one connection at a time tries it.
type station struct {
	*Relay
	limit *rate.Limiter // nil: none
	probe chan struct{} // held by who tries a relay that is down

	mu       sync.Mutex
	proven   bool // was reached since start
	failures int
	until    time.Time // of the pause before the next try

	duty // as the desk sees it, and nobody else
}

func newStation(r *Relay) *station {
	st := &station{Relay: r, probe: make(chan struct{}, 1)}
	if r.Rate > 0 {
		st.limit = rate.NewLimiter(rate.Limit(r.Rate), max(1, int(r.Rate/20)))
	}
	return st
}

// open connects, after the pause if the relay is down. news says that its trouble is to be told, or
// is over.
func (st *station) open(ctx, cut context.Context, o *Options) (c *conn, news bool, err error) {
	if down, _ := st.down(); down {
		select {
		case st.probe <- struct{}{}:
			defer func() { <-st.probe }()
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if down, wait := st.down(); down && wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	c, err = st.dial(ctx, cut, o)
	if ctx.Err() != nil && err != nil {
		return nil, false, ctx.Err()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case err == nil:
		news = st.failures > 0 || !st.proven
		st.failures, st.proven = 0, true
	case !time.Now().Before(st.until): // else others failed together with us
		news = true
		st.failures++
		pause := o.Redial << min(st.failures-1, 5)
		st.until = time.Now().Add(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64())))
	}
	return c, news, err
}

func (st *station) down() (bool, time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failures > 0, time.Until(st.until)
}
