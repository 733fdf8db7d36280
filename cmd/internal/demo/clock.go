package demo

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that can be set forward: a demo of a day's mail must not take a day. It runs at
// the usual speed between settings and never goes back.
type Clock struct{ behind atomic.Int64 }

// NewClock returns a clock that starts the given time ago.
func NewClock(ago time.Duration) *Clock {
	c := &Clock{}
	c.behind.Store(int64(ago))
	return c
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time { return time.Now().Add(-time.Duration(c.behind.Load())) }

// Forward moves the clock on by d, but never past the real time.
func (c *Clock) Forward(d time.Duration) {
	for {
		behind := c.behind.Load()
		if c.behind.CompareAndSwap(behind, max(0, behind-int64(d))) {
			return
		}
	}
}
