package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"beckon/tracker/event"
)

// spoolCheck says whether hits are kept and reach the database. A node that is behind, but gets on, is
// ready: to take hits from it would only give more of them to the others.
type spoolCheck struct {
	spool *event.Spool
	now   func() time.Time

	mu      sync.Mutex
	lost    int64
	lostAt  time.Time // when more were found to be lost
	drained int64
	movedAt time.Time // when more were found to be drained
}

// staleSpool is how long hits may wait without any of them reaching the database until a node calls
// itself not ready, and how long it does so after hits could not be kept.
const staleSpool = time.Minute

func (c *spoolCheck) ready(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if lost := c.spool.Lost(); lost != c.lost {
		c.lost, c.lostAt = lost, now
	}
	if drained := c.spool.Drained(); drained != c.drained || c.movedAt.IsZero() {
		c.drained, c.movedAt = drained, now
	}
	age, backlog := c.spool.OldestAge(), c.spool.Backlog()
	switch {
	case c.lost > 0 && now.Sub(c.lostAt) < staleSpool:
		return fmt.Errorf("%d hits since the start were answered and could not be kept: look at the disk that holds the spool", c.lost)
	case age > staleSpool && now.Sub(c.movedAt) > staleSpool:
		return fmt.Errorf("%d hits wait for the database, the oldest for %s, and none gets there", backlog, age.Round(time.Second))
	case c.spool.Bytes() > c.spool.MaxBytes()/2:
		return fmt.Errorf("%d hits wait for the database, the oldest for %s, and the spool is more than half full", backlog, age.Round(time.Second))
	}
	return nil
}
