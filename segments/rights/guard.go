package rights

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrNotReplayed is wrapped by Ready while refusals may wait in the journal.
var ErrNotReplayed = errors.New("the refusals journal has not been replayed")

// Guard tells senders whether everything in the journal has reached the database since the service
// started and since the database was last in doubt. It is safe for concurrent use.
type Guard struct {
	replay func(context.Context) error
	every  time.Duration
	report func(error)
	wake   chan struct{}

	mu      sync.Mutex
	outages int
	closed  error // why nobody may send; nil: they may
}

const (
	// guardEvery is how often refusals that another node took while it could not reach the database
	// are looked for.
	guardEvery = time.Second
	retryMost  = 10 * time.Second
)

// NewGuard returns a guard that is closed until Check or Run has replayed. A replay is complete when
// it returns nil; report is told, if not nil, when one is not, and what for.
func NewGuard(replay func(context.Context) error, report func(error)) *Guard {
	if report == nil {
		report = func(error) {}
	}
	return &Guard{replay: replay, every: guardEvery, report: report, wake: make(chan struct{}, 1), closed: fmt.Errorf("rights: %w", ErrNotReplayed)}
}

// Ready returns nil if senders may send now. The error wraps ErrNotReplayed and says why not.
func (g *Guard) Ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Outage closes the guard until a replay that begins later is complete: a statement has failed, or
// a refusal is in the journal alone. Whoever answers such a refusal calls it before the answer.
func (g *Guard) Outage(cause error) {
	g.mu.Lock()
	open := g.closed == nil
	g.shut(cause)
	g.mu.Unlock()
	if !open {
		return // a replay is under way, or will be tried again
	}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *Guard) shut(cause error) {
	g.outages++
	g.closed = fmt.Errorf("rights: %w since %w", ErrNotReplayed, cause)
}

// Check replays once and returns what Ready then does. An outage that is told of meanwhile keeps the
// guard closed: it is not known on which side of the replay it was.
func (g *Guard) Check(ctx context.Context) error {
	g.mu.Lock()
	before := g.outages
	g.mu.Unlock()
	err := g.replay(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err != nil:
		g.shut(err)
	case g.outages == before:
		g.closed = nil
	}
	return g.closed
}

// Run replays now, after every outage, and in between at short intervals, until ctx ends. An
// incomplete replay is tried again, with growing pauses.
func (g *Guard) Run(ctx context.Context) error {
	pause, told := g.every, ""
	for {
		err := g.Check(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pause, told = g.every, ""
		} else {
			if err.Error() != told { // the same again tells nobody more
				told = err.Error()
				g.report(err)
			}
			pause = min(2*pause, retryMost)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-g.wake:
		}
		timer.Stop()
	}
}
