package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"beckon/segments/consent"
)

// headsPath is the checkpoint of the consent ledger: beside the refusals journal, apart from the
// database.
func (a *app) headsPath() string { return filepath.Join(a.conf.Journal, "heads") }

// checkpoint holds the consent ledger against its checkpoint, and renews it. Nobody is sent mail
// before that was done once, nor while it says that the database is an older one.
type checkpoint struct {
	ledger *consent.Ledger
	path   string
	log    *slog.Logger

	mu     sync.Mutex
	closed error
}

const (
	checkpointEvery = time.Hour
	checkpointAgain = 10 * time.Second // while it cannot be renewed
)

var errOlderDatabase = errors.New("the database is older than the checkpoint of the consent ledger: a backup was put back without what comes with it. Stop the service and run `beckon restore --in-place`")

func newCheckpoint(l *consent.Ledger, path string, log *slog.Logger) *checkpoint {
	return &checkpoint{ledger: l, path: path, log: log, closed: errors.New("the consent ledger has not been held against its checkpoint yet")}
}

// ready returns nil if senders may send.
func (c *checkpoint) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// run works until ctx ends.
func (c *checkpoint) run(ctx context.Context) error {
	var told error
	for {
		pause := checkpointEvery
		found, err := c.ledger.Checkpoint(ctx, c.path)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = checkpointAgain
		case slices.ContainsFunc(found, func(f consent.Finding) bool { return f.Problem == consent.DatabaseOlder }):
			err, pause = errOlderDatabase, checkpointAgain
			c.set(err)
		default:
			c.set(nil)
			if len(found) > 0 {
				err = errors.New("the consent ledger is not as its checkpoint knew it: `beckon consent verify` says where")
			}
		}
		if err != nil && (told == nil || told.Error() != err.Error()) {
			c.log.Error("checkpoint of the consent ledger", "err", err.Error())
		}
		told = err
		tick := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
	}
}

func (c *checkpoint) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = err
}
