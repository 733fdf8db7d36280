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
