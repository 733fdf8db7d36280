package rights

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"beckon/schema"
)

// Errors of a replay that callers tell apart. Each of them means: do not send.
var (
	// ErrStuck: a refusal could not be applied. It is tried again by every replay.
	ErrStuck = errors.New("a refusal cannot be applied")
	// ErrDamaged: the disk has lost refusals that were answered.
	ErrDamaged = errors.New("refusals journal damaged")
	// ErrMissing: a file of the journal that the database has applied is not there.
	ErrMissing = errors.New("refusals journal missing")
)

const (
	saveEvery     = 500 // refusals applied until the heads are saved
	tellMost      = 5   // problems that an error spells out
	statementMost = 15 * time.Second
	applyMost     = time.Minute
)

// head is how far a file is in the database.
type head struct {
	Journal string `db:"journal"`
	Node    string `db:"node"`
	Seq     int64  `db:"seq"`
	Place   int64  `db:"place"`
	Sum     string `db:"sum"`
}

// Replay applies everything in the files of all nodes that this database has not seen, each node's
// in its order and all of them by time, and returns how many refusals it applied. What was appended
// before Replay was called is among them.
//
// Where it is up to is kept in the database itself, so that after the restore of an older one
// everything since is applied again. A refusal may be applied more than once (after a crash, or by
// two nodes at a time): apply must be idempotent.
//
// If the database fails, Replay gives up at once. Otherwise one refusal that cannot be applied keeps
// none of the others back, but it stays due, and the error, which wraps ErrStuck, ErrDamaged or
// ErrMissing, stays until it is settled.
func (j *Journal) Replay(ctx context.Context, db *schema.DB, apply func(context.Context, Refusal) error) (n int, err error) {
	j.replaying.Lock()
	defer j.replaying.Unlock()
	var known []head
	short, cancel := context.WithTimeout(ctx, statementMost)
	defer cancel()
	if err := db.Select(short, &known, `SELECT journal, node, seq, place, sum FROM journal_heads`); err != nil {
		return 0, fmt.Errorf("rights: how far the refusals journal is in the database: %w", err)
	}
	var p problems
	tails, err := j.open(known, &p)
	defer func() {
		for _, t := range tails {
			t.file.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
	unsaved := 0
	for t := earliest(tails); t != nil; t = earliest(tails) {
		switch err := applyOne(ctx, apply, t.entry.refusal); {
		case err == nil:
			n++
			unsaved++
			t.applied()
		case unreachable(ctx, db):
			return n, err
		default:
			t.held = true
			p.add(err)
		}
		if err := t.advance(&p); err != nil {
			return n, err
		}
		if unsaved == saveEvery {
			unsaved = 0
			if err := save(ctx, db, tails); err != nil {
				return n, err
			}
		}
	}
	if err := save(ctx, db, tails); err != nil {
		return n, err
	}
	return n, p.err()
}

func applyOne(ctx context.Context, apply func(context.Context, Refusal) error, r Refusal) error {
	ctx, cancel := context.WithTimeout(ctx, applyMost)
	defer cancel()
	if err := apply(ctx, r); err != nil {
		return fmt.Errorf("rights: %w: %s, number %d of %s: %w", ErrStuck, r.Kind, r.Seq, r.Node, err)
	}
	return nil
}

// unreachable tells whether a failure is the database's and not that of what it was asked.
func unreachable(ctx context.Context, db *schema.DB) bool {
	ctx, cancel := context.WithTimeout(ctx, statementMost)
	defer cancel()
	return db.Ping(ctx) != nil
}

// open opens every file in use at the first refusal that the database has not seen.
func (j *Journal) open(known []head, p *problems) ([]*tail, error) {
	heads, found := map[string]head{}, map[string]bool{}
	for _, h := range known {
		heads[h.Journal] = h
	}
	list, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("rights: read the refusals journal: %w", err)
	}
	var tails []*tail
	for _, d := range list {
		name, retired := strings.CutSuffix(d.Name(), retiredEnd)
		if !strings.HasSuffix(name, journalEnd) {
			continue
		}
		f, err := os.Open(filepath.Join(j.dir, d.Name()))
		if err != nil {
			return tails, fmt.Errorf("rights: open the refusals journal: %w", err)
		}
		journal, node, err := readHead(f)
		if err != nil {
			f.Close()
			p.add(fmt.Errorf("rights: %w: %s: %w", ErrDamaged, d.Name(), err))
			continue
		}
		if found[journal] {
			f.Close()
			p.add(fmt.Errorf("rights: %w: %s is a copy of another file there: move one of them away", ErrDamaged, d.Name()))
			continue
		}
		h := heads[journal]
		found[journal] = true
		if retired {
			f.Close()
			continue
		}
		t := &tail{file: f, report: j.tell, saved: h, head: head{Journal: journal, Node: node}}
		tails = append(tails, t)
		if err := t.start(p); err != nil {
			return tails, err
		}
	}
	for _, h := range known {
		if found[h.Journal] {
			continue
		}
		p.add(fmt.Errorf("rights: %w: the journal of %s, applied up to number %d, is not in BECKON_JOURNAL: is its disk mounted?", ErrMissing, h.Node, h.Seq))
	}
	return tails, nil
}

// save writes down how far the files are.
func save(ctx context.Context, db *schema.DB, tails []*tail) error {
	ctx, cancel := context.WithTimeout(ctx, statementMost)
	defer cancel()
	for _, t := range tails {
		if t.head == t.saved || t.head.Seq == 0 {
			continue
		}
		_, err := db.Exec(ctx, `INSERT INTO journal_heads (journal, node, seq, place, sum) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (journal, node) DO UPDATE SET seq = excluded.seq, place = excluded.place, sum = excluded.sum`,
			t.head.Journal, t.head.Node, t.head.Seq, t.head.Place, t.head.Sum)
		if err != nil {
			return fmt.Errorf("rights: note how far the refusals journal is applied: %w", err)
		}
		t.saved = t.head
	}
	return nil
}

// problems are what keeps a replay from being complete.
type problems struct {
	told []error
	more int
}

func (p *problems) add(err error) {
	if len(p.told) == tellMost {
		p.more++
		return
	}
	p.told = append(p.told, err)
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.told, fmt.Errorf("rights: and %d refusals more", p.more))...)
	}
	return errors.Join(p.told...)
}
