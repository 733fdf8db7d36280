package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// numbered is a hit with its number on this node.
type numbered struct {
	seq int64
	Hit
}

// cursor is where the spool is being read. There is one reader, the drain.
type cursor struct {
	file    *os.File
	first   int64 // of the segment that file is
	emptied int   // how often that had been begun anew
	off     int64
	through int64 // everything up to this number was returned or found unreadable
	seen    int64 // number of the last hit of the groups met so far, zero before the first
	buf     []byte
	ready   []numbered // decoded and not returned yet
	words   words
}

func (c *cursor) close() {
	if c.file != nil {
		c.file.Close()
	}
	*c = cursor{words: c.words}
}

// read appends to dst up to limit synced hits that come after the number given, in order, and returns
// the number through which everything was returned or found unreadable. What is unreadable is
// reported, counted as lost and passed over.
func (s *Spool) read(after int64, limit int, dst []numbered) (hits []numbered, through int64, err error) {
	c := &s.cursor
	if c.file == nil || c.through != after {
		c.close()
		c.through = after
	}
	if c.words == nil {
		c.words = words{}
	}
	for len(dst) < limit {
		if len(c.ready) > 0 {
			n := min(limit-len(dst), len(c.ready))
			dst = append(dst, c.ready[:n]...)
			c.through, c.ready = c.ready[n-1].seq, c.ready[n:]
			continue
		}
		c.through = max(c.through, c.seen)
		more, err := s.load(c)
		if err != nil {
			through := c.through
			c.close()
			return dst, through, fmt.Errorf("event: read the spool: %w", err)
		}
		if !more {
			break
		}
	}
	if len(c.ready) == 0 {
		c.through = max(c.through, c.seen)
	}
	return dst, c.through, nil
}

// load decodes the next group into c.ready; false means that there is none yet.
func (s *Spool) load(c *cursor) (bool, error) {
	seg, newest, kept := s.segment(c)
	if c.file == nil {
		f, err := os.Open(seg.path)
		if err != nil {
			return false, err
		}
		c.file, c.first, c.off, c.emptied = f, seg.first, segmentHead, seg.emptied
	}
	if c.emptied != seg.emptied {
		c.off, c.emptied = segmentHead, seg.emptied
	}
	at, g, ok, err := seg.nextGroup(c.file, c.off)
	switch {
	case err != nil:
		return false, err
	case !ok && !newest:
		c.file.Close() // on to the next segment
		c.file, c.first = nil, seg.first+1
		return true, nil
	case !ok:
		if at > c.off && kept > c.through {
			s.damaged(seg, c.through+1, kept, errTorn)
			c.seen = kept
		}
		c.off = max(c.off, at)
		return false, nil
	}
	if g.prev > max(c.seen, c.through) {
		s.damaged(seg, max(c.seen, c.through)+1, g.prev, errTorn)
	}
	if cap(c.buf) < g.size {
		c.buf = make([]byte, g.size)
	}
	b := c.buf[:g.size]
	if _, err := c.file.ReadAt(b, at+groupHead); err != nil {
		return false, err
	}
	c.off, c.seen, c.ready = at+int64(groupHead+g.size), max(c.seen, g.last()), c.ready[:0]
	if g.last() <= c.through {
		return true, nil
	}
	for i := range int64(g.hits) {
		h := numbered{seq: g.first + i}
		n, err := readRecord(b, &h.Hit, c.words)
		switch {
		case err == nil && h.seq > c.through:
			c.ready = append(c.ready, h)
		case err != nil && n == 0:
			s.damaged(seg, h.seq, g.last(), err)
			return true, nil
		case err != nil:
			s.damaged(seg, h.seq, h.seq, err)
		}
		b = b[n:]
	}
	return true, nil
}

// segment returns a copy of the segment to read (the one that is open, or else the first that may
// hold what comes after c.through), whether it is the newest, and the last number synced.
func (s *Spool) segment(c *cursor) (seg segment, newest bool, kept int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := -1
	if c.file != nil {
		i = slices.IndexFunc(s.segs, func(seg *segment) bool { return seg.first == c.first })
		if i < 0 { // removed, since it was drained
			c.file.Close()
			c.file, c.first = nil, c.first+1
		}
	}
	if i < 0 {
		i = slices.IndexFunc(s.segs, func(seg *segment) bool { return seg.first > c.through+1 }) - 1
		if i < -1 {
			i = len(s.segs) - 1
		}
		i = max(i, slices.IndexFunc(s.segs, func(seg *segment) bool { return seg.first >= c.first }))
	}
	return *s.segs[i], i == len(s.segs)-1, s.kept
}

// damaged reports hits that were kept and cannot be read, and keeps the file for whoever looks into it.
func (s *Spool) damaged(seg segment, from, to int64, err error) {
	s.lost.Add(to - from + 1)
	name := filepath.Base(seg.path)
	_ = os.Link(seg.path, seg.path+".damaged")
	s.opts.Report(fmt.Errorf("event: hits %d to %d are not in the database and cannot be read from the spool; a copy of the file is kept as %s.damaged: %w", from, to, name, err))
}

// wait returns true when there may be hits after the given number, and false when ctx has ended.
func (s *Spool) wait(ctx context.Context, after int64) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		kept := s.kept
		s.mu.Unlock()
		if kept > after {
			return true
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return false
}

// last returns the number of the last synced hit.
func (s *Spool) last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// quietSegment and staleSegment say when a segment that is drained, but still the newest, is
// replaced by an empty one so that it can be removed.
const (
	quietSegment = 256 << 10
	staleSegment = time.Minute
)

// forget removes the segments whose hits are all in the database.
func (s *Spool) forget(drained int64) error {
	s.mu.Lock()
	s.drained = max(s.drained, min(drained, s.kept))
	for len(s.marks) > 0 && s.marks[0].last <= drained {
		s.marks = s.marks[1:]
	}
	newest := s.segs[len(s.segs)-1]
	idle := s.kept <= drained && s.cur.hits == 0 && newest.end > segmentHead &&
		(newest.end > quietSegment || s.opts.Now().Sub(newest.created.T()) > staleSegment)
	s.mu.Unlock()
	var err error
	if idle {
		err = s.between(s.renew)
	}
	s.mu.Lock()
	var gone []*segment
	for len(s.segs) > 1 && s.segs[1].first <= drained+1 {
		gone = append(gone, s.segs[0])
		s.bytes -= s.segs[0].end
		s.segs = s.segs[1:]
	}
	s.mu.Unlock()
	for _, seg := range gone {
		err = errors.Join(err, os.Remove(seg.path))
	}
	if err != nil {
		return fmt.Errorf("event: remove drained spool segments: %w", err)
	}
	return nil
}

// renew starts a new segment if the newest one holds something.
func (s *Spool) renew() error {
	s.flush()
	s.mu.Lock()
	first, newest := s.kept+1, s.segs[len(s.segs)-1]
	if s.cur.hits > 0 {
		first = s.cur.first
	} else {
		first = max(first, s.next)
	}
	s.mu.Unlock()
	if newest.end == segmentHead || newest.first >= first {
		return nil
	}
	return s.newSegment(first)
}

// between runs fn in the writer, between two groups.
func (s *Spool) between(fn func() error) error {
	result := make(chan error, 1)
	select {
	case s.control <- func() { result <- fn() }:
		return <-result
	case <-s.done:
		return fmt.Errorf("event: %w", ErrClosed)
	}
}

// rebase is told, before anything is drained, how far the database has this node's hits. Further than
// the spool was when it was opened means that its directory was restored from an older copy: the
// numbers then go on after the database's. Hits that were written since it was opened are written
// again under new numbers, since their own would be taken for those of hits that are counted already.
func (s *Spool) rebase(after int64) error {
	return s.between(func() error {
		from := s.recovered
		if s.located || from >= after {
			s.located = true
			return nil
		}
		s.cut(after+1, 0)
		var hits []numbered
		for {
			var err error
			if hits, from, err = s.read(from, 4096, hits[:0]); err != nil {
				return err
			}
			for len(hits) > 0 && hits[len(hits)-1].seq > after {
				hits = hits[:len(hits)-1]
			}
			if len(hits) == 0 {
				s.located = true
				return nil
			}
			g := &pending{buf: make([]byte, groupHead), hits: len(hits)}
			for i := range hits {
				g.buf = appendRecord(g.buf, &hits[i].Hit)
			}
			g.first = s.cut(0, len(hits))
			if s.commit(g); g.err != nil {
				return g.err
			}
		}
	})
}

// cut commits the group that is waiting, and lets the hits after it be numbered from next on, with
// that many numbers left out; it returns the first of them.
func (s *Spool) cut(next int64, leave int) int64 {
	s.mu.Lock()
	g := s.cur
	s.cur = s.newGroup()
	first := max(s.next, next)
	s.next = first + int64(leave)
	s.mu.Unlock()
	if g.hits > 0 {
		s.commit(g)
		close(g.done)
	}
	return first
}
