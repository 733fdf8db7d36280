package event

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"beckon/schema"

	"github.com/gofrs/flock"
)

// Errors of a spool that callers branch on.
var (
	// ErrFull: the spool holds as much as it may; the database has to take some of it first.
	ErrFull = errors.New("spool full")
	// ErrLocked: another process uses the spool's directory.
	ErrLocked = errors.New("spool directory in use by another process")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool closed")
)

// Options of a spool. The zero value is fit for use.
type Options struct {
	MaxBytes   int64            // bound of the hits in the directory, whose last file may be a megabyte longer; default 1 GiB
	FlushEvery time.Duration    // longest wait for company before a group is synced; default 2 ms, at most 10 ms
	Now        func() time.Time // default time.Now
	// Report is told of damage found and of disk errors, the latter once a second at most. It must
	// not call the spool.
	Report func(error)
}

// Spool is the append-only log of a node's hits, kept until the database has them. It is safe for
// concurrent use.
type Spool struct {
	dir     string
	node    string
	lock    *flock.Flock
	opts    Options
	disk    disk
	signal  chan struct{} // to the writer: look at the group
	control chan func()   // to the writer: run this between two groups
	quit    chan struct{}
	done    chan struct{} // the writer has ended
	wake    chan struct{} // to the drain: something was written

	lost      atomic.Int64
	target    atomic.Int64 // size at which a group is not made to wait for more
	recovered int64        // last number that was there when the spool was opened
	located   bool         // the database's place was found to fit; see rebase

	mu      sync.Mutex
	closed  bool
	cur     *pending // the group that Append fills
	spare   []byte
	next    int64 // number of the next hit
	kept    int64 // last number that is synced
	drained int64 // last number that the database is known to have
	bytes   int64 // of all segments
	segs    []*segment
	marks   []mark

	file     *os.File // of the newest segment; the writer's alone, as is
	room     int64    // the length of that file where zeros follow the hits, or zero
	reported time.Time
	cursor   cursor
}

// pending is a group that is being filled, or waits to be synced.
type pending struct {
	buf   []byte // room for the head, then records
	first int64
	hits  int
	born  time.Time
	done  chan struct{} // closed when the group is synced, or has failed with err
	err   error
}

// mark says that the hits up to last, and after the mark before, were written from at on.
type mark struct {
	last int64
	at   time.Time
}

const (
	minSpool = 64 << 10
	nodeFile = "node"
	lockFile = "lock"
)

// OpenSpool opens the spool in a directory of its own, which must outlive the process and the
// machine's reboots: it also holds the node's name. A torn tail, which no answer was given for, is
// cut. A second opener gets ErrLocked.
func OpenSpool(dir string, o Options) (*Spool, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	o.MaxBytes = max(o.MaxBytes, minSpool)
	if o.FlushEvery <= 0 {
		o.FlushEvery = 2 * time.Millisecond
	}
	o.FlushEvery = min(o.FlushEvery, 10*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("event: spool directory: %w", err)
	}
	lock := flock.New(filepath.Join(dir, lockFile))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("event: lock the spool: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("event: %w: %s", ErrLocked, dir)
	}
	s := &Spool{
		dir: dir, lock: lock, opts: o, disk: realDisk{},
		signal: make(chan struct{}, 1), control: make(chan func()), quit: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		if s.file != nil {
			s.file.Close()
		}
		lock.Unlock()
		return nil, err
	}
	s.target.Store(1)
	s.cur = s.newGroup()
	go s.write()
	return s, nil
}

// open reads the node's name and finds the end of what is kept.
func (s *Spool) open() error {
	var err error
	if s.node, err = NodeName(s.dir); err != nil {
		return fmt.Errorf("event: name of the node: %w", err)
	}
	if s.segs, err = listSegments(s.dir); err != nil {
		return fmt.Errorf("event: list the spool: %w", err)
	}
	s.next = 1
	for i, seg := range s.segs {
		newest := i == len(s.segs)-1
		f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("event: open spool segment: %w", err)
		}
		bad := seg.check(f)
		if newest {
			var last int64
			if last, err = seg.trim(f); err != nil {
				f.Close()
				return fmt.Errorf("event: cut the torn tail of the spool: %w", err)
			}
			s.next = last + 1
		}
		if bad != nil && newest && s.next == seg.first {
			// killed while it was made: nothing was written to it yet
			f.Close()
			if err := os.Remove(seg.path); err != nil {
				return fmt.Errorf("event: remove an unfinished spool segment: %w", err)
			}
			s.segs = s.segs[:i]
			break
		}
		if bad != nil {
			s.opts.Report(fmt.Errorf("event: %w", bad))
		}
		if newest {
			s.file = f
		} else {
			f.Close()
		}
		s.bytes += seg.end
	}
	if len(s.segs) > 0 {
		s.drained = s.segs[0].first - 1
	}
	if s.file == nil {
		if err := s.newSegment(s.next); err != nil {
			return fmt.Errorf("event: start a spool segment: %w", err)
		}
		s.drained = s.segs[0].first - 1
	}
	s.kept, s.recovered = s.next-1, s.next-1
	for i, seg := range s.segs {
		last := s.kept
		if i+1 < len(s.segs) {
			last = s.segs[i+1].first - 1
		}
		if last >= seg.first {
			s.marks = append(s.marks, mark{last, seg.created.T()})
		}
	}
	return nil
}

// NodeName reads the node's name from the directory of its spool, and makes it up the first time.
// Processes that start at once agree on one.
func NodeName(dir string) (string, error) {
	path := filepath.Join(dir, nodeFile)
	b, err := os.ReadFile(path)
	if err == nil {
		name := strings.TrimSpace(string(b))
		if name == "" || word(name) != name {
			return "", fmt.Errorf("the file %s does not hold a name; restore it, or move the whole directory away", path)
		}
		return name, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if segs, err := listSegments(dir); err != nil || len(segs) > 0 {
		return "", fmt.Errorf("the file %s is gone, but not the hits of the node it named; restore it, or move the whole directory away", path)
	}
	name := strings.ToLower(rand.Text()[:16])
	f, err := os.CreateTemp(dir, nodeFile+"-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(name + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return NodeName(dir)
	} else if err != nil {
		return "", err
	}
	return name, syncDir(dir)
}

// Node returns the name of the node, which its directory keeps for ever.
func (s *Spool) Node() string { return s.node }

// Append records a hit. It returns when the hit is on disk, with the hit's number on this node. An
// error means that the hit is not recorded, except ctx.Err(), which leaves it open.
func (s *Spool) Append(ctx context.Context, h Hit) (int64, error) {
	h, err := h.recordable()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, fmt.Errorf("event: %w", ErrClosed)
	}
	if s.bytes+int64(len(s.cur.buf))+recordMax > s.opts.MaxBytes {
		s.mu.Unlock()
		s.lost.Add(1)
		return 0, fmt.Errorf("event: %w", ErrFull)
	}
	g := s.cur
	if g.hits == 0 {
		g.first, g.born = s.next, time.Now()
	}
	seq := s.next
	s.next++
	g.buf = appendRecord(g.buf, &h)
	g.hits++
	look := g.hits == 1 || int64(g.hits) == s.target.Load()
	s.mu.Unlock()
	if look {
		select {
		case s.signal <- struct{}{}:
		default:
		}
	}
	select {
	case <-g.done:
		if g.err != nil {
			return 0, g.err
		}
		return seq, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Backlog returns how many hits are on disk and not yet known to be in the database.
func (s *Spool) Backlog() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept - s.drained
}

// OldestAge returns how long the oldest hit of the backlog has waited, zero for none. After a
// restart it is reckoned from the start of the file that holds the hit.
func (s *Spool) OldestAge() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept <= s.drained || len(s.marks) == 0 {
		return 0
	}
	return max(0, s.opts.Now().Sub(s.marks[0].at))
}

// Drained returns the number of the last hit that is known to be in the database.
func (s *Spool) Drained() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained
}

// Bytes returns the size of the spool on disk.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// MaxBytes returns the size past which hits are refused.
func (s *Spool) MaxBytes() int64 { return s.opts.MaxBytes }

// Lost returns how many hits were refused, because the spool was full or the disk failed, or turned
// out to be unreadable, since the spool was opened.
func (s *Spool) Lost() int64 { return s.lost.Load() }

// Close writes what is waiting, and gives the directory free. Later calls of Append get ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	<-s.done
	s.cursor.close()
	var err error
	if s.file != nil {
		s.cutRoom()
		err = s.file.Close()
	}
	if err = errors.Join(err, s.lock.Unlock()); err != nil {
		return fmt.Errorf("event: close the spool: %w", err)
	}
	return nil
}

func (s *Spool) now() schema.Time { return schema.At(s.opts.Now()) }
