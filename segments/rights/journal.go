package rights

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// ErrClosed is returned for a journal that was closed.
var ErrClosed = errors.New("refusals journal closed")

// JournalOptions of a journal. The zero value is fit for use.
type JournalOptions struct {
	// Report is told of torn writes and other damage that is skipped. It must not call the journal.
	Report func(error)
}

// Journal keeps refusals outside the database: one append-only file per node in a directory that
// the nodes share. It is safe for concurrent use, also by several processes that go by one name.
type Journal struct {
	dir    string
	node   string
	report func(error)
	put    func(f *os.File, b []byte) error // writes and syncs

	mu    sync.Mutex
	queue []*waiting      // for the next write
	told  map[string]bool // what was reported

	turn   chan struct{} // held by who writes; it guards what follows
	lock   *flock.Flock  // between processes
	file   *os.File
	closed bool
	seen   int64 // the file is known up to here
	last   int64 // newest number in it

	replaying sync.Mutex
}

// waiting is refusals on their way into the file.
type waiting struct {
	refusals []Refusal
	done     chan struct{} // closed when err is set
	err      error
}

const (
	journalEnd = ".journal" // of the name of a node's file
	retiredEnd = ".retired" // of one that an operator has put out of use
	lockPoll   = time.Millisecond
	lockMost   = 5 * time.Second // other processes hold the lock for one write
	fileMode   = 0o600
)

// OpenJournal opens the journal in a directory, as the node of that name: a lower-case word that no
// other machine goes by. The directory must outlive the database: a backup that restores one does
// not touch the other.
func OpenJournal(dir, node string, o JournalOptions) (*Journal, error) {
	if !word.MatchString(node) {
		return nil, fmt.Errorf("rights: the name of a journal's node is a lower-case word, not %q", node)
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rights: directory of the refusals journal: %w", err)
	}
	j := &Journal{dir: dir, node: node, report: o.Report, put: putSynced, told: map[string]bool{}, turn: make(chan struct{}, 1)}
	j.lock = flock.New(filepath.Join(dir, node+".lock"), flock.SetPermissions(fileMode))
	if err := j.locked(j.settle); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func putSynced(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// Append puts a refusal into the journal; the journal gives it Node and Seq. When Append returns nil
// the refusal is on disk, and every Replay that begins from then on, on any node, finds it. After an
// error it may be there all the same: a no too many does no harm.
func (j *Journal) Append(ctx context.Context, r Refusal) error {
	return j.AppendMany(ctx, []Refusal{r})
}

// AppendMany is Append for many refusals, in order and with one wait for the disk. One that is not
// fit for the journal is an error of all of them, and then none is there; after another error some
// may be.
func (j *Journal) AppendMany(ctx context.Context, rs []Refusal) error {
	if len(rs) == 0 {
		return nil
	}
	for i := range rs {
		if err := rs[i].check(); err != nil {
			return err
		}
	}
	w := &waiting{refusals: slices.Clone(rs), done: make(chan struct{})} // it may be written after ctx ended
	j.mu.Lock()
	j.queue = append(j.queue, w)
	j.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("rights: append to the refusals journal: %w", ctx.Err())
	}
	defer func() { <-j.turn }()
	j.mu.Lock()
	group := j.queue // what came while the one before was synced shares one sync; it may hold w or not
	j.queue = nil
	j.mu.Unlock()
	if len(group) > 0 {
		err := j.locked(func() error { return j.write(group) })
		for _, w := range group {
			w.err = err
			close(w.done)
		}
	}
	<-w.done
	return w.err
}

// locked runs f while no other process writes to the node's file.
func (j *Journal) locked(f func() error) error {
	if j.closed {
		return fmt.Errorf("rights: %w", ErrClosed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockMost)
	defer cancel()
	if _, err := j.lock.TryLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("rights: lock the refusals journal: %w", err)
	}
	err := f()
	if unlock := j.lock.Unlock(); unlock != nil {
		err = errors.Join(err, fmt.Errorf("rights: unlock the refusals journal: %w", unlock))
	}
	return err
}

// write appends a group in one write, which begins with a line break: whatever a torn write left
// before it stays a line of its own.
func (j *Journal) write(group []*waiting) error {
	if err := j.settle(); err != nil {
		return err
	}
	b, last := []byte{'\n'}, j.last
	for _, w := range group {
		for i := range w.refusals {
			r := &w.refusals[i]
			last++
			r.Node, r.Seq = j.node, last
			var err error
			if b, _, err = appendLine(b, r); err != nil {
				return err
			}
		}
	}
	if err := j.put(j.file, b); err != nil {
		return fmt.Errorf("rights: write to the refusals journal: %w", err)
	}
	j.seen, j.last = j.seen+int64(len(b)), last
	return nil
}

// settle makes sure that the open file is the one in the directory, and that its newest number is
// known, whoever wrote it.
func (j *Journal) settle() error {
	path := filepath.Join(j.dir, j.node+journalEnd)
	there, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rights: look at the refusals journal: %w", err)
	}
	if j.file != nil {
		mine, err := j.file.Stat()
		if err != nil || there == nil || !os.SameFile(mine, there) || there.Size() < j.seen {
			j.file.Close() // moved away, restored or cut under our hands
			j.file = nil
		}
	}
	if j.file == nil {
		if there == nil {
			if err := createFile(path, j.node); err != nil {
				return fmt.Errorf("rights: start the refusals journal: %w", err)
			}
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			return fmt.Errorf("rights: open the refusals journal: %w", err)
		}
		if _, node, err := readHead(f); err != nil || node != j.node {
			f.Close()
			return fmt.Errorf("rights: %s is not the refusals journal of %s: restore it, or rename it to end in %s", path, j.node, journalEnd+retiredEnd)
		}
		j.file, j.seen, j.last = f, 0, 0
	}
	info, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("rights: look at the refusals journal: %w", err)
	}
	if info.Size() == j.seen {
		return nil
	}
	s := newScan(j.file, j.seen, info.Size())
	for {
		e, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("rights: read the refusals journal: %w", err)
		}
		if e.err != nil {
			j.tell(fmt.Errorf("rights: journal of %s at %d: %w", j.node, e.place, e.err))
		}
		j.last = max(j.last, e.refusal.Seq)
	}
	j.seen = info.Size()
	return nil
}

// tell reports once what would be found again and again.
func (j *Journal) tell(err error) {
	j.mu.Lock()
	again := j.told[err.Error()]
	if len(j.told) >= 1000 {
		clear(j.told)
	}
	j.told[err.Error()] = true
	j.mu.Unlock()
	if !again {
		j.report(err)
	}
}

// createFile makes a file that is whole as soon as it has its name.
func createFile(path, node string) error {
	f, err := os.CreateTemp(filepath.Dir(path), node+"-*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(headLine(strings.ToLower(rand.Text()[:16]), node))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close waits for the write under way. Later calls of Append get ErrClosed.
func (j *Journal) Close() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	if j.closed {
		return nil
	}
	j.closed = true
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	if err = errors.Join(err, j.lock.Close()); err != nil {
		return fmt.Errorf("rights: close the refusals journal: %w", err)
	}
	return nil
}
