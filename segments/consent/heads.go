package consent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"beckon/schema"
	"beckon/schema/id"
)

// Checkpoint writes the newest row of every chain, of forgotten contacts too, to a file that lies
// apart from the database and is sealed under the hash key. An earlier checkpoint there is checked
// first, and if the ledger does not hold all that it knew, or it is damaged, it stays as it is and
// what is wrong is returned. It reads the ledger in pieces and keeps no writer waiting; two at a time
// take turns.
func (l *Ledger) Checkpoint(ctx context.Context, path string) ([]Finding, error) {
	found, err := l.checkpoint(ctx, path, false)
	return found, boundary("checkpoint", err)
}

// AcceptRestore takes the ledger as it is, after the restore of an older database: the checkpoint is
// renamed and kept, a new one is written, and what the old one knew and the ledger does not is
// returned.
func (l *Ledger) AcceptRestore(ctx context.Context, path string) ([]Finding, error) {
	found, err := l.checkpoint(ctx, path, true)
	return found, boundary("accept restore", err)
}

const headsLockPoll = 20 * time.Millisecond

func (l *Ledger) checkpoint(ctx context.Context, path string, accept bool) (found []Finding, err error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, headsLockPoll); err != nil {
		return nil, fmt.Errorf("lock the checkpoint: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	// What a process that was killed left behind; nobody else writes now.
	if left, err := filepath.Glob(path + "-*.new"); err == nil {
		for _, name := range left {
			os.Remove(name)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*.new")
	if err != nil {
		return nil, fmt.Errorf("start the checkpoint: %w", err)
	}
	defer os.Remove(f.Name())
	all, err := l.writeCheckpoint(ctx, path, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	found = all.told()
	if len(found) > 0 && !accept {
		return found, nil
	}
	if accept {
		if err := setAside(path, l.now()); err != nil {
			return nil, fmt.Errorf("set the old checkpoint aside: %w", err)
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, fmt.Errorf("put the checkpoint in its place: %w", err)
	}
	return found, syncDir(filepath.Dir(path))
}

// writeCheckpoint writes the ledger's heads to f and holds the ledger against the checkpoint at path.
func (l *Ledger) writeCheckpoint(ctx context.Context, path string, f *os.File) (findings, error) {
	var x *comparison
	old, err := l.openCheckpoint(path)
	if err != nil {
		return findings{}, err
	}
	if old != nil {
		defer old.close()
		x = newComparison(old)
	}
	w, err := l.newCheckpoint(f)
	if err != nil {
		return findings{}, fmt.Errorf("write the checkpoint: %w", err)
	}
	var last ledgerRow
	var newest schema.Time
	some := false
	err = eachRow(ctx, l.db, func(r *ledgerRow) error {
		if some && last.Subject != r.Subject {
			if err := w.add(headOf(last.Subject, last.Seq, last.MAC)); err != nil {
				return fmt.Errorf("write the checkpoint: %w", err)
			}
		}
		last, some, newest = *r, true, max(newest, r.Recorded)
		if x != nil {
			return x.row(r.Subject, r.Seq, r.MAC, r.Recorded)
		}
		return nil
	})
	if err != nil {
		return findings{}, err
	}
	if some {
		err = w.add(headOf(last.Subject, last.Seq, last.MAC))
	}
	if err == nil {
		err = w.finish(f, schema.At(l.now()), newest)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return findings{}, fmt.Errorf("write the checkpoint: %w", err)
	}
	if x == nil {
		return findings{}, nil
	}
	return x.end()
}

// ledgerRow is as much of a row as a checkpoint needs.
type ledgerRow struct {
	Subject  id.Subject  `db:"subject"`
	Seq      int64       `db:"seq"`
	MAC      []byte      `db:"mac"`
	Recorded schema.Time `db:"recorded_at"`
}

// eachRow shows every row of the ledger, in order. Each piece is a statement of its own: rows that are
// written meanwhile may be shown or not, but never the second of two without the first.
func eachRow(ctx context.Context, q schema.Querier, fn func(*ledgerRow) error) error {
	const piece = 5000
	rows := make([]ledgerRow, 0, piece)
	subject, seq := int64(math.MinInt64), int64(math.MinInt64)
	for {
		rows = rows[:0]
		err := q.Select(ctx, &rows, `SELECT subject, seq, mac, recorded_at FROM consent_ledger WHERE (subject, seq) > (?, ?) ORDER BY subject, seq LIMIT ?`, subject, seq, piece)
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		for i := range rows {
			if err := fn(&rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < piece {
			return nil
		}
		end := rows[len(rows)-1]
		subject, seq = int64(end.Subject), end.Seq
	}
}

// setAside gives an old checkpoint another name, that none has. Until the new one takes its place,
// it goes by both, where the disk can do that.
func setAside(path string, now time.Time) error {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%s-%d.old", path, now.UTC().Format("20060102"), n)
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		if err := os.Link(path, name); err == nil {
			return nil
		}
		if err := os.Rename(path, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("put the checkpoint in its place: %w", err)
	}
	return nil
}
