package tracker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadlines hands out contexts that end after wait, or up to an eighth of it later. Hits that arrive
// together share one, so that a hit does not cost a timer.
type deadlines struct {
	wait time.Duration

	mu   sync.Mutex
	last atomic.Pointer[deadline]
}

type deadline struct {
	ctx    context.Context
	cancel context.CancelFunc // not called: the context ends by itself
	born   time.Time
}

func (d *deadlines) current(now time.Time) context.Context {
	if l := d.last.Load(); l != nil && l.fresh(now, d.wait) {
		return l.ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.last.Load(); l != nil && l.fresh(now, d.wait) {
		return l.ctx
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.wait+d.wait/8)
	d.last.Store(&deadline{ctx, cancel, now})
	return ctx
}

func (l *deadline) fresh(now time.Time, wait time.Duration) bool {
	age := now.Sub(l.born)
	return age >= 0 && age < wait/8 && l.ctx.Err() == nil
}
