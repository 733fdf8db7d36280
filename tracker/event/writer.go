package event

import (
	"fmt"
	"os"
	"time"
)

// disk is the seam at which tests let the disk fail.
type disk interface {
	write(f *os.File, b []byte, off int64) error
	sync(f *os.File) error
}

type realDisk struct{}

func (realDisk) write(f *os.File, b []byte, off int64) error {
	_, err := f.WriteAt(b, off)
	return err
}

func (realDisk) sync(f *os.File) error { return syncData(f) }

// write is the goroutine that alone writes. It gives the first hit of a group company for
// FlushEvery, but does not wait for more hits than the group before had: those who waited for that
// one are the ones who may come again.
func (s *Spool) write() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-s.signal:
		case fn := <-s.control:
			fn()
			continue
		case <-s.quit:
			s.flush()
			return
		}
		hits, born := s.waiting()
		if hits == 0 {
			continue
		}
		timer.Reset(s.opts.FlushEvery - time.Since(born))
		for open := true; open && int64(hits) < s.target.Load(); {
			select {
			case <-s.signal:
				hits, _ = s.waiting()
			case <-timer.C:
				open = false
			case <-s.quit:
				s.flush()
				return
			}
		}
		s.target.Store(int64(max(1, s.flush())))
	}
}

func (s *Spool) waiting() (int, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur.hits, s.cur.born
}

func (s *Spool) newGroup() *pending {
	g := &pending{buf: s.spare, done: make(chan struct{})}
	if g.buf == nil {
		g.buf = make([]byte, groupHead, 32<<10)
	}
	s.spare = nil
	return g
}

// flush writes and syncs the group that is waiting, tells those who wait for it, and returns its size.
func (s *Spool) flush() int {
	s.mu.Lock()
	g := s.cur
	if g.hits == 0 {
		s.mu.Unlock()
		return 0
	}
	s.cur = s.newGroup()
	s.mu.Unlock()
	s.commit(g)
	close(g.done)
	if cap(g.buf) <= 1<<20 {
		s.mu.Lock()
		s.spare = g.buf[:groupHead]
		s.mu.Unlock()
	}
	return g.hits
}

// commit makes a group durable, or sets its err.
func (s *Spool) commit(g *pending) {
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	group{size: len(g.buf) - groupHead, first: g.first, prev: kept, hits: g.hits}.put(g.buf)
	if err := s.store(g); err != nil {
		s.lost.Add(int64(g.hits))
		g.err = fmt.Errorf("event: write the spool: %w", err)
		s.shout(g.err)
		return
	}
	s.mu.Lock()
	seg := s.segs[len(s.segs)-1]
	seg.end += int64(len(g.buf))
	s.bytes += int64(len(g.buf))
	s.kept = g.first + int64(g.hits) - 1
	now := s.opts.Now()
	if n := len(s.marks); n > 0 && now.Sub(s.marks[n-1].at) < 250*time.Millisecond {
		s.marks[n-1].last = s.kept
	} else {
		s.marks = append(s.marks, mark{s.kept, now})
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// newest is the segment that is written to.
func (s *Spool) newest() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segs[len(s.segs)-1]
}

// store writes a group. When the disk has no place for it, that of hits which the database has is used.
func (s *Spool) store(g *pending) error {
	err := s.tryStore(g)
	if err != nil && s.empty() {
		err = s.tryStore(g)
	}
	return err
}

// empty takes everything out of the newest segment, if all of it is in the database.
func (s *Spool) empty() bool {
	s.mu.Lock()
	seg := s.segs[len(s.segs)-1]
	ours := s.file != nil && s.kept <= s.drained && seg.end > segmentHead
	if ours {
		s.bytes -= seg.end - segmentHead
		seg.end = segmentHead
		seg.emptied++
	}
	s.mu.Unlock()
	if ours {
		_ = s.file.Truncate(segmentHead) // or the hits are written over those that were there
		s.room = 0
	}
	return ours
}

func (s *Spool) tryStore(g *pending) error {
	seg := s.newest()
	if s.file == nil || (seg.end > segmentHead && seg.end+int64(len(g.buf)) > s.segmentSize()) {
		if err := s.newSegment(g.first); err != nil {
			return err
		}
		seg = s.newest()
	}
	if err := s.disk.write(s.file, g.buf, seg.end); err != nil {
		_ = s.file.Truncate(seg.end) // the next group is written over it in any case
		s.room = 0
		return err
	}
	s.makeRoom(seg.end + int64(len(g.buf)))
	if err := s.disk.sync(s.file); err != nil {
		// After a failed sync nobody knows what of the file is on disk, and a second sync may not
		// tell: the file is left as it is, and the next group starts another one.
		_ = s.file.Truncate(seg.end)
		s.file.Close()
		s.file = nil
		return err
	}
	return nil
}

// makeRoom writes zeros after end, if the file ends there: to sync what is written over them takes a
// third of the time, since the file system has nothing of its own to write. A disk that has no place
// for them may still have it for hits.
func (s *Spool) makeRoom(end int64) {
	if end <= s.room {
		return
	}
	room := min(end+roomStep, max(end, s.segmentSize()))
	for off := end; off < room; off += int64(len(zeros)) {
		if s.disk.write(s.file, zeros[:min(int64(len(zeros)), room-off)], off) != nil {
			_ = s.file.Truncate(end)
			room = end
		}
	}
	s.room = room
}

const roomStep = 1 << 20

var zeros [64 << 10]byte

// cutRoom ends the file where the hits end.
func (s *Spool) cutRoom() {
	if end := s.newest().end; s.room > end {
		_ = s.file.Truncate(end) // zeros do no harm
	}
	s.room = 0
}

func (s *Spool) segmentSize() int64 { return min(max(s.opts.MaxBytes/8, 16<<10), 16<<20) }

// newSegment makes the segment that is written from now on.
func (s *Spool) newSegment(first int64) error {
	seg, f, err := createSegment(s.dir, first, s.now())
	if err != nil {
		return err
	}
	if s.file != nil {
		s.cutRoom()
		s.file.Close()
	}
	s.file = f
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segs = append(s.segs, seg)
	s.bytes += seg.end
	return nil
}

// shout reports a disk error, once a second at most.
func (s *Spool) shout(err error) {
	if now := s.opts.Now(); now.Sub(s.reported) >= time.Second || now.Before(s.reported) {
		s.reported = now
		s.opts.Report(err)
	}
}
