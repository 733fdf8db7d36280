package schema

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	scrubAfter = 100 * time.Millisecond // erasures that follow each other share one
	scrubAgain = time.Second            // while a reader still looks at what was
)

// scrubber empties the write-ahead log of SQLite, on a connection of its own that gives way at once:
// the log holds pages as they were before something in them was overwritten.
type scrubber struct {
	conn *sqlx.DB // nil: PostgreSQL

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
	work   sync.WaitGroup
}

// Erasing says that what this transaction deletes must be found nowhere afterwards. Once it is
// committed, and nobody reads an older snapshot any more, the files of a SQLite database hold it no
// longer. On PostgreSQL autovacuum frees the space, and nobody but the server's operator can look there.
func (tx *Tx) Erasing() { tx.erasing = true }

// soon scrubs in the background until it is done.
func (s *scrubber) soon(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.closed || s.timer != nil {
		return
	}
	s.work.Add(1)
	s.timer = time.AfterFunc(after, func() {
		defer s.work.Done()
		s.mu.Lock()
		s.timer = nil
		s.mu.Unlock()
		if done, err := s.scrub(context.Background()); err != nil || !done {
			s.soon(scrubAgain)
		}
	})
}

// scrub reports false when somebody was in the way.
func (s *scrubber) scrub(ctx context.Context) (bool, error) {
	var busy, log, moved int
	if err := s.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &moved); err != nil {
		return false, fmt.Errorf("schema: empty the write-ahead log: %w", err)
	}
	return busy == 0, nil
}

func (s *scrubber) close() error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil && s.timer.Stop() {
		s.work.Done()
	}
	s.mu.Unlock()
	s.work.Wait()
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
