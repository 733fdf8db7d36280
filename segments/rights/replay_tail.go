package rights

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// tail is what a replay has yet to read of a file.
type tail struct {
	file   *os.File
	report func(error)
	scan   *scan
	saved  head  // as in the database
	head   head  // what is applied, without a gap
	seq    int64 // newest number read
	entry  entry // the next to apply
	ended  bool
	held   bool // something before was not applied: the head stays
}

// start goes to the first refusal that is not applied: the one after the head, or the first of all
// if the head's is not where it was.
func (t *tail) start(p *problems) error {
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("rights: look at the refusals journal: %w", err)
	}
	t.scan = newScan(t.file, 0, info.Size())
	if t.saved.Seq != 0 {
		s := newScan(t.file, t.saved.Place, info.Size())
		e, err := s.next()
		switch {
		case err != nil && err != io.EOF:
			return fmt.Errorf("rights: read the refusals journal: %w", err)
		case err == nil && e.place == t.saved.Place && e.sum != "" && e.sum == t.saved.Sum:
			t.scan, t.head, t.seq = s, t.saved, t.saved.Seq
		default:
			t.report(fmt.Errorf("rights: the journal of %s is not the one that was applied up to number %d: it is applied from its start", t.head.Node, t.saved.Seq))
		}
	}
	return t.advance(p)
}

// advance reads on to the next refusal.
func (t *tail) advance(p *problems) error {
	for {
		e, err := t.scan.next()
		if err == io.EOF {
			t.ended = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("rights: read the refusals journal: %w", err)
		}
		switch {
		case errors.Is(e.err, errTorn):
			continue
		case errors.Is(e.err, errDamage):
			t.report(fmt.Errorf("rights: journal of %s at %d: %w", t.head.Node, e.place, e.err))
			continue
		case e.err != nil:
			t.held = true
			t.seq++
			p.add(fmt.Errorf("rights: %w: journal of %s at %d: %w", ErrStuck, t.head.Node, e.place, e.err))
			continue
		}
		if e.refusal.Seq > t.seq+1 {
			t.held = true
			p.add(fmt.Errorf("rights: %w: numbers %d to %d of %s cannot be read; restore the file from a copy, or, once they are known to be void, rename it to end in %s",
				ErrDamaged, t.seq+1, e.refusal.Seq-1, t.head.Node, journalEnd+retiredEnd))
		}
		t.seq = max(t.seq, e.refusal.Seq)
		t.entry = e
		return nil
	}
}

// applied moves the head past the refusal at hand.
func (t *tail) applied() {
	if !t.held {
		t.head.Seq, t.head.Place, t.head.Sum = t.entry.refusal.Seq, t.entry.place, t.entry.sum
	}
}

// earliest returns the file whose next refusal was said first, nil at the end of all.
func earliest(tails []*tail) *tail {
	var first *tail
	for _, t := range tails {
		if !t.ended && (first == nil || t.entry.refusal.At < first.entry.refusal.At) {
			first = t
		}
	}
	return first
}
