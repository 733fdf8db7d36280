package event

import (
	"errors"
	"os"
	"slices"
	"testing"

	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestATornTailIsCut(t *testing.T) {
	for _, keep := range []int{1, groupHead - 1, groupHead + 3, 70} {
		dir := t.TempDir()
		s := openSpool(t, dir, Options{})
		appendHit(t, s, hit(1, 1))
		whole := s.segs[0].end
		appendHit(t, s, hit(1, 2))
		path := s.segs[0].path
		s.Close()
		if err := os.Truncate(path, whole+int64(keep)); err != nil {
			t.Fatal(err)
		}
		s = openSpool(t, dir, Options{Report: func(err error) { t.Errorf("a torn tail is no damage: %v", err) }})
		if seq := appendHit(t, s, hit(1, 3)); seq != 2 {
			t.Errorf("the number of a hit that was never answered for is free: got %d", seq)
		}
		if got := messages(readAll(t, s, 0)); !slices.Equal(got, []int{1, 3}) || s.Lost() != 0 {
			t.Errorf("cut after %d bytes: read %v, lost %d", keep, got, s.Lost())
		}
	}
}

// TestAGroupThatWasBeingWrittenIsCut: a file is longer than what is written in it, and a power cut may
// leave any sectors of a group unwritten. What was written and is damaged looks otherwise.
func TestAGroupThatWasBeingWrittenIsCut(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(group []byte, at int64) // at is the place of the group in the file
		cut   bool
	}{
		"killed before its last sectors": {func(g []byte, at int64) { clear(g[sectorFrom(at, 900):]) }, true},
		"killed before all but the head": {func(g []byte, at int64) { clear(g[sectorFrom(at, groupHead):]) }, true},
		"a sector in the middle missing": {func(g []byte, at int64) { i := sectorFrom(at, 600); clear(g[i : i+sector]) }, true},
		"the sector of the head missing": {func(g []byte, at int64) { clear(g[:sectorFrom(at, 1)]) }, true},
		"damaged after it was synced":    {func(g []byte, at int64) { g[1000] ^= 1 }, false},
		"whole":                          {func([]byte, int64) {}, false},
	} {
		dir := t.TempDir()
		var reports []error
		o := Options{Report: func(err error) { reports = append(reports, err) }}
		s := openSpool(t, dir, o)
		appendHit(t, s, hit(1, 1))
		at := s.newest().end
		g := &pending{buf: make([]byte, groupHead), hits: 40}
		for m := range g.hits {
			h := hit(1, id.Message(2+m))
			g.buf = appendRecord(g.buf, &h)
		}
		if err := s.between(func() error { g.first = s.cut(0, g.hits); s.commit(g); return g.err }); err != nil {
			t.Fatal(err)
		}
		path := s.newest().path
		kept, err := os.ReadFile(path) // as it is while it is written, and after a kill
		s.Close()
		if err != nil || len(kept) < roomStep {
			t.Fatalf("%d bytes, %v: the file should be longer than its hits", len(kept), err)
		}
		c.spoil(kept[at:at+int64(len(g.buf))], at)
		if err := os.WriteFile(path, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		s = openSpool(t, dir, o)
		next := appendHit(t, s, hit(1, 99))
		got := messages(readAll(t, s, 0))
		switch {
		case c.cut && (next != 2 || !slices.Equal(got, []int{1, 99}) || s.Lost() != 0 || len(reports) != 0):
			t.Errorf("%s: next number %d, read %v, lost %d, reported %v", name, next, got, s.Lost(), reports)
		case !c.cut && (next != 42 || int64(len(got)) != 42-s.Lost() || (s.Lost() > 0) != (name != "whole") || (s.Lost() > 0) != (len(reports) > 0)):
			t.Errorf("%s: next number %d, read %v, lost %d, reported %v", name, next, got, s.Lost(), reports)
		}
	}
}

// sectorFrom returns the first place at or after from, of a group that lies at that place of a file, where a sector begins.
func sectorFrom(at int64, from int) int {
	return from + int((sector-(at+int64(from))%sector)%sector)
}

func TestASegmentThatWasNeverFinishedIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	appendHit(t, s, hit(1, 1))
	s.Close()
	if err := os.WriteFile(segmentPath(dir, 2), []byte("BKSP"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, dir, Options{})
	if seq := appendHit(t, s, hit(1, 2)); seq != 2 {
		t.Fatalf("got number %d", seq)
	}
	if got := messages(readAll(t, s, 0)); !slices.Equal(got, []int{1, 2}) {
		t.Fatalf("read %v", got)
	}
}

func TestDamageInTheMiddleIsReportedAndPassedOver(t *testing.T) {
	type at struct{ group, offset int }
	for what, c := range map[string]struct {
		at   at
		want []int
		lost int64
	}{
		"a record":                     {at{2, groupHead + recordHead + 5}, []int{1, 2, 4, 5}, 1},
		"a length":                     {at{2, groupHead + 1}, []int{1, 2, 4, 5}, 1},
		"the head of a group":          {at{1, 9}, []int{1, 3, 4, 5}, 1},
		"the head of the last group":   {at{4, 9}, []int{1, 2, 3, 4}, 1},
		"the head of the first group":  {at{0, 9}, []int{2, 3, 4, 5}, 1},
		"the head of the file":         {at{0, 10 - segmentHead}, []int{1, 2, 3, 4, 5}, 0},
		"the last record of the spool": {at{4, groupHead + recordHead + 5}, []int{1, 2, 3, 4}, 1},
	} {
		dir := t.TempDir()
		var reports []error
		o := Options{Report: func(err error) { reports = append(reports, err) }}
		s := openSpool(t, dir, o)
		starts := []int64{}
		for m := 1; m <= 5; m++ {
			starts = append(starts, s.segs[0].end)
			appendHit(t, s, hit(1, id.Message(m)))
		}
		path := s.segs[0].path
		if what == "the head of the last group" || what == "the head of the first group" {
			// found while the file is in use; on opening, the last group would be a torn tail
			flip(t, path, starts[c.at.group]+int64(c.at.offset))
		} else {
			s.Close()
			flip(t, path, starts[c.at.group]+int64(c.at.offset))
			s = openSpool(t, dir, o)
		}
		got := messages(readAll(t, s, 0))
		if !slices.Equal(got, c.want) || s.Lost() != c.lost || len(reports) == 0 {
			t.Errorf("%s: read %v, lost %d, reported %v", what, got, s.Lost(), reports)
		}
		if _, err := os.Stat(path + ".damaged"); (err == nil) != (c.lost > 0) {
			t.Errorf("%s: copy of the file: %v", what, err)
		}
		if seq := appendHit(t, s, hit(1, 6)); seq != 6 {
			t.Errorf("%s: the next hit got number %d", what, seq)
		}
	}
}

func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

func TestAMissingFileIsReported(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{MaxBytes: minSpool})
	for m := range 400 {
		appendHit(t, s, hit(1, id.Message(m+1)))
	}
	if len(s.segs) < 3 {
		t.Fatalf("%d segments", len(s.segs))
	}
	gone := s.segs[1].path
	missing := s.segs[2].first - s.segs[1].first
	s.Close()
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	var reports []error
	s = openSpool(t, dir, Options{MaxBytes: minSpool, Report: func(err error) { reports = append(reports, err) }})
	if got := readAll(t, s, 0); int64(len(got)) != 400-missing || s.Lost() != missing || len(reports) != 1 {
		t.Fatalf("read %d, lost %d, want %d missing: %v", len(got), s.Lost(), missing, reports)
	}
}

// smallDisk has no place after some bytes of a file.
type smallDisk struct {
	realDisk
	size int64
}

func (d smallDisk) write(f *os.File, b []byte, off int64) error {
	if off+int64(len(b)) > d.size {
		return errors.New("no space left")
	}
	return d.realDisk.write(f, b, off)
}

// TestADiskThatTheSpoolFilledIsUsedAgain: what the database has makes place for what comes.
func TestADiskThatTheSpoolFilledIsUsedAgain(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	r.spool.opts.Report = func(error) {}
	r.spool.between(func() error { r.spool.disk = smallDisk{size: 3000}; return nil })
	kept, last := 0, int64(0)
	fill := func() {
		for lost := r.spool.Lost(); r.spool.Lost() == lost; {
			if seq, err := r.spool.Append(t.Context(), hit(1, 1001)); err == nil {
				kept, last = kept+1, seq
			}
		}
	}
	for range 4 {
		before := kept
		fill()
		if kept < before+5 {
			t.Fatalf("%d hits were kept, after %d before the last drain", kept, before)
		}
		r.flush()
	}
	fill()
	dir := r.spool.dir
	r.spool.Close()
	r.spool = openSpool(t, dir, Options{Report: func(err error) { t.Error(err) }})
	r.drain = r.newDrain(r.spool)
	if seq := appendHit(t, r.spool, hit(1, 1001)); seq <= last {
		t.Errorf("number %d was used before", seq)
	}
	r.flush()
	if got := totals(t, db)["open 0 person GB-ENG"]; got != kept+1 || r.spool.Backlog() != 0 {
		t.Errorf("%d hits counted, %d kept; %d wait", got, kept+1, r.spool.Backlog())
	}
}

type failingDisk struct {
	realDisk
	writes, syncs error
}

func (d *failingDisk) write(f *os.File, b []byte, off int64) error {
	if d.writes != nil {
		_ = d.realDisk.write(f, b[:len(b)-3], off)
		return d.writes
	}
	return d.realDisk.write(f, b, off)
}

func (d *failingDisk) sync(f *os.File) error {
	if d.syncs != nil {
		return d.syncs
	}
	return d.realDisk.sync(f)
}

func TestADiskThatFailsIsToldAndCountedAndTheNextHitIsKept(t *testing.T) {
	boom := errors.New("boom")
	for what, d := range map[string]*failingDisk{"write": {writes: boom}, "sync": {syncs: boom}} {
		dir := t.TempDir()
		var reports []error
		s := openSpool(t, dir, Options{Report: func(err error) { reports = append(reports, err) }})
		appendHit(t, s, hit(1, 1))
		s.between(func() error { s.disk = d; return nil })
		for range 3 {
			if _, err := s.Append(t.Context(), hit(1, 2)); !errors.Is(err, boom) {
				t.Fatalf("%s: got %v", what, err)
			}
		}
		s.between(func() error { s.disk = realDisk{}; return nil })
		if seq := appendHit(t, s, hit(1, 3)); seq != 5 {
			t.Errorf("%s: numbers are never used again: got %d", what, seq)
		}
		for range 2 { // as written, and as found again
			if got := messages(readAll(t, s, 0)); !slices.Equal(got, []int{1, 3}) {
				t.Errorf("%s: read %v", what, got)
			}
			s.Close()
			s = openSpool(t, dir, Options{Report: func(err error) { t.Errorf("%s: %v", what, err) }})
		}
		if len(reports) != 1 {
			t.Errorf("%s: reported %v", what, reports)
		}
	}
}
