package event

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"beckon/schema"
	"beckon/schema/id"

	"pgregory.net/rapid"
)

var day = schema.At(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))

func hit(campaign id.Campaign, message id.Message) Hit {
	return Hit{At: day, Kind: Open, Campaign: campaign, Message: message, Verdict: Person, Reason: "browser", Region: "GB-ENG", Client: "Firefox", OS: "Linux", Device: "desktop"}
}

func openSpool(t testing.TB, dir string, o Options) *Spool {
	t.Helper()
	s, err := OpenSpool(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func appendHit(t testing.TB, s *Spool, h Hit) int64 {
	t.Helper()
	seq, err := s.Append(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func readAll(t testing.TB, s *Spool, after int64) []numbered {
	t.Helper()
	var all []numbered
	for {
		hits, through, err := s.read(after, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, hits...)
		if through == after {
			return all
		}
		after = through
	}
}

func messages(hits []numbered) []int {
	var list []int
	for _, h := range hits {
		list = append(list, int(h.Message))
	}
	return list
}

func TestHitsAreReadBackInOrderAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	var want []int
	for run := range 3 {
		s := openSpool(t, dir, Options{})
		for i := range 5 {
			m := 1 + run*5 + i
			if seq := appendHit(t, s, hit(1, id.Message(m))); seq != int64(m) {
				t.Fatalf("hit %d got number %d", m, seq)
			}
			want = append(want, m)
		}
		if got := messages(readAll(t, s, 0)); !slices.Equal(got, want) {
			t.Fatalf("read %v, want %v", got, want)
		}
		if got := s.Backlog(); got != int64(len(want)) {
			t.Errorf("backlog %d, want %d", got, len(want))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheNodeKeepsItsName(t *testing.T) {
	dir := t.TempDir()
	a := openSpool(t, dir, Options{})
	name := a.Node()
	a.Close()
	if b := openSpool(t, dir, Options{}); b.Node() != name || name == "" {
		t.Fatalf("%q, then %q", name, b.Node())
	}
	if c := openSpool(t, t.TempDir(), Options{}); c.Node() == name {
		t.Fatal("two nodes have one name")
	}
}

func TestANodeThatLostItsNameDoesNotTakeANewOneOverOldHits(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	s.Close()
	if err := os.Remove(filepath.Join(dir, nodeFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(dir, Options{}); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Fatalf("got %v", err)
	}
}

func TestASecondOpenerIsTold(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	if _, err := OpenSpool(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	s.Close()
	openSpool(t, dir, Options{})
}

func TestAClosedSpoolRefuses(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	s.Close()
	if _, err := s.Append(t.Context(), hit(1, 1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestHitsThatCannotBeCountedAreRefused(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	for what, change := range map[string]func(*Hit){
		"no kind":          func(h *Hit) { h.Kind = "" },
		"no verdict":       func(h *Hit) { h.Verdict = "" },
		"a count verdict":  func(h *Hit) { h.Verdict = Anonymous },
		"no campaign":      func(h *Hit) { h.Campaign = 0 },
		"no time":          func(h *Hit) { h.At = 0 },
		"a negative link":  func(h *Hit) { h.Link = -1 },
		"negative message": func(h *Hit) { h.Message = -1 },
	} {
		h := hit(1, 1)
		change(&h)
		if _, err := s.Append(t.Context(), h); !errors.Is(err, ErrHit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestTheSpoolHoldsNoMoreThanMayBeKept(t *testing.T) {
	late := day.Add(25 * time.Minute)
	full := Hit{At: late, Kind: Click, Campaign: 1, Message: 7, Link: 2, Verdict: Person, Reason: "browser", Region: "GB", Client: "Firefox", OS: "Linux", Device: "desktop"}
	anonymous, private, unknown, long := full, full, full, full
	anonymous.Message = 0
	private.Private = true
	unknown.Region = "unknown"
	long.Client = strings.Repeat("é", 40) + "\x00\xff"
	for what, c := range map[string]struct{ give, want Hit }{
		"an identified hit is kept as it is":         {full, full},
		"an anonymous hit has an hour and no client": {anonymous, Hit{At: day, Kind: Click, Campaign: 1, Link: 2, Verdict: Person, Region: "GB"}},
		"a private hit has no link and no region":    {private, Hit{At: day, Kind: Click, Campaign: 1, Message: 7, Verdict: Person, Private: true}},
		"an unknown region is empty":                 {unknown, func() Hit { h := full; h.Region = ""; return h }()},
		"a word is cut and fit for both databases":   {long, func() Hit { h := full; h.Client = strings.Repeat("é", 32); return h }()},
	} {
		s := openSpool(t, t.TempDir(), Options{})
		appendHit(t, s, c.give)
		if got := readAll(t, s, 0); len(got) != 1 || got[0].Hit != c.want {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

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

func TestAFullSpoolRefusesUntilItIsDrained(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{MaxBytes: minSpool})
	n := int64(0)
	for ; n < 5000; n++ {
		if _, err := s.Append(t.Context(), hit(1, 1)); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n == 5000 || s.Lost() != 1 || s.Bytes() > minSpool {
		t.Fatalf("%d hits in %d bytes, lost %d", n, s.Bytes(), s.Lost())
	}
	if err := s.forget(n); err != nil {
		t.Fatal(err)
	}
	if seq := appendHit(t, s, hit(1, 1)); seq != n+1 {
		t.Fatalf("got number %d, want %d", seq, n+1)
	}
}

func TestDrainedHitsLeaveTheDiskAndTheirNumbersStayUsed(t *testing.T) {
	dir := t.TempDir()
	now := day.T()
	s := openSpool(t, dir, Options{Now: func() time.Time { return now }})
	appendHit(t, s, hit(1, 77))
	if err := s.forget(1); err != nil {
		t.Fatal(err)
	}
	if len(s.segs) != 1 || s.segs[0].first != 1 {
		t.Fatal("a fresh segment need not be replaced")
	}
	now = now.Add(2 * staleSegment)
	if err := s.forget(1); err != nil {
		t.Fatal(err)
	}
	if got := s.Bytes(); got != segmentHead || s.Backlog() != 0 {
		t.Fatalf("%d bytes are left", got)
	}
	s.Close()
	s = openSpool(t, dir, Options{})
	if seq := appendHit(t, s, hit(1, 1)); seq != 2 {
		t.Fatalf("got number %d", seq)
	}
	if got := messages(readAll(t, s, 1)); !slices.Equal(got, []int{1}) {
		t.Fatalf("read %v", got)
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

func TestTheAgeOfTheBacklogIsThatOfItsOldestHit(t *testing.T) {
	now := day.T()
	dir := t.TempDir()
	o := Options{Now: func() time.Time { return now }}
	s := openSpool(t, dir, o)
	if s.OldestAge() != 0 {
		t.Fatal("nothing has an age")
	}
	appendHit(t, s, hit(1, 1))
	now = now.Add(time.Minute)
	appendHit(t, s, hit(1, 2))
	now = now.Add(time.Minute)
	if got := s.OldestAge(); got != 2*time.Minute {
		t.Errorf("got %s", got)
	}
	s.forget(1)
	if got := s.OldestAge(); got != time.Minute {
		t.Errorf("after the first is drained: %s", got)
	}
	s.forget(2)
	if got := s.OldestAge(); got != 0 {
		t.Errorf("after all are drained: %s", got)
	}
}

func TestAnImpatientCallerLeavesTheSpoolInOrder(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var answered int
	for range 50 {
		if _, err := s.Append(ctx, hit(1, 1)); err == nil {
			answered++
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	appendHit(t, s, hit(1, 2))
	if got := readAll(t, s, 0); len(got) != 51 {
		t.Fatalf("read %d", len(got))
	}
}

func TestManyCallersAtOnceEachGetTheirOwnNumber(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{MaxBytes: 1 << 20})
	const callers, each = 32, 50
	seen := make([]bool, callers*each+1)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				seq, err := s.Append(context.Background(), hit(1, id.Message(1+c*each+i)))
				mu.Lock()
				if err != nil || seen[seq] {
					t.Errorf("number %d twice, or %v", seq, err)
				} else {
					seen[seq] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got := readAll(t, s, 0)
	ms := messages(got)
	slices.Sort(ms)
	if len(slices.Compact(ms)) != callers*each || got[0].seq != 1 || got[len(got)-1].seq != callers*each {
		t.Fatalf("read %d hits, %d to %d", len(got), got[0].seq, got[len(got)-1].seq)
	}
}

func TestASpoolRestoredFromAnOldCopyLosesNothingThatCameAfter(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, Options{})
	appendHit(t, s, hit(1, 1))
	s.Close()
	s = openSpool(t, dir, Options{}) // as restored: the database has seen 50 hits of this node
	for m := 2; m <= 4; m++ {
		appendHit(t, s, hit(1, id.Message(m)))
	}
	if err := s.rebase(50); err != nil {
		t.Fatal(err)
	}
	if seq := appendHit(t, s, hit(1, 5)); seq <= 50 {
		t.Fatalf("number %d is used", seq)
	}
	for range 2 {
		if got := messages(readAll(t, s, 50)); !slices.Equal(got, []int{2, 3, 4, 5}) || s.Lost() != 0 {
			t.Fatalf("read %v, lost %d", got, s.Lost())
		}
		s.Close()
		s = openSpool(t, dir, Options{Report: func(err error) { t.Error(err) }})
		if err := s.rebase(50); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALoneHitDoesNotWaitForCompany(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenSpool(dir, Options{FlushEvery: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		start := time.Now()
		appendHit(t, s, hit(1, 1))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestRecordsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, err := anyHit(t).recordable()
		if err != nil {
			t.Fatal(err)
		}
		b := appendRecord(nil, &want)
		if len(b) > recordMax {
			t.Fatalf("%d bytes", len(b))
		}
		var got Hit
		if n, err := readRecord(append(b, 1, 2, 3), &got, words{}); err != nil || n != len(b) || got != want {
			t.Fatalf("read %+v, %d bytes of %d, %v", got, n, len(b), err)
		}
	})
}

func anyHit(t *rapid.T) Hit {
	return Hit{
		At:       schema.Time(rapid.Int64Range(1, 1<<60).Draw(t, "at")) + day,
		Kind:     rapid.SampledFrom([]Kind{Open, Click}).Draw(t, "kind"),
		Campaign: id.Campaign(rapid.Int64Range(1, 1<<62).Draw(t, "campaign")),
		Message:  id.Message(rapid.Int64Range(0, 1<<62).Draw(t, "message")),
		Link:     rapid.IntRange(0, 100).Draw(t, "link"),
		Verdict:  rapid.SampledFrom([]Verdict{Person, Machine, Unverifiable}).Draw(t, "verdict"),
		Reason:   rapid.String().Draw(t, "reason"),
		Region:   rapid.SampledFrom([]string{"", "unknown", "GB", "GB-ENG"}).Draw(t, "region"),
		Client:   rapid.String().Draw(t, "client"),
		OS:       rapid.String().Draw(t, "os"),
		Device:   rapid.String().Draw(t, "device"),
		Private:  rapid.Bool().Draw(t, "private"),
	}
}

func FuzzRecord(f *testing.F) {
	h := hit(3, 4)
	f.Add(appendRecord(nil, &h))
	f.Add([]byte{})
	f.Add([]byte{255, 255, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hit
		n, err := readRecord(b, &h, nil)
		if n < 0 || n > len(b) {
			t.Fatalf("takes %d of %d bytes", n, len(b))
		}
		if err != nil {
			return
		}
		if h.Verdict == "" || h.Kind == "" {
			t.Fatalf("read %+v", h)
		}
		if again := appendRecord(nil, &h); len(again) > n {
			t.Fatalf("%d bytes were written as %d", n, len(again))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := openSpool(b, b.TempDir(), Options{MaxBytes: 4 << 30})
	h := hit(1, 1)
	b.ReportAllocs()
	b.SetParallelism(128) // times two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Append(context.Background(), h); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hits/s")
}
