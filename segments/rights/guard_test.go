package rights

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"beckon/schema/servertest"
)

var errDown = errors.New("database down")

func TestNobodySendsBeforeTheJournalIsReplayed(t *testing.T) {
	var err error
	g := NewGuard(func(context.Context) error { return err }, nil)
	if !errors.Is(g.Ready(), ErrNotReplayed) {
		t.Fatal("open from the start")
	}
	for _, step := range []struct {
		name   string
		do     func()
		closed error
	}{
		{"a replay fails", func() { err = errDown; g.Check(t.Context()) }, errDown},
		{"a replay is complete", func() { err = nil; g.Check(t.Context()) }, nil},
		{"another one is", func() { g.Check(t.Context()) }, nil},
		{"the database is lost", func() { g.Outage(errDown) }, errDown},
		{"the journal is replayed again", func() { g.Check(t.Context()) }, nil},
		{"a later replay fails", func() { err = ErrStuck; g.Check(t.Context()) }, ErrStuck},
	} {
		step.do()
		got := g.Ready()
		if !errors.Is(got, step.closed) || (got != nil && !errors.Is(got, ErrNotReplayed)) {
			t.Errorf("%s: %v", step.name, got)
		}
	}
}

func TestAnOutageDuringAReplayIsNotForgotten(t *testing.T) {
	var g *Guard
	g = NewGuard(func(context.Context) error { g.Outage(errDown); return nil }, nil)
	if err := g.Check(t.Context()); !errors.Is(err, errDown) || !errors.Is(g.Ready(), errDown) {
		t.Fatalf("open: %v", err)
	}
}

func TestAFailedReplayIsNotHiddenByAnEarlierOne(t *testing.T) {
	slow, entered := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	g := NewGuard(func(context.Context) error {
		if calls.Add(1) == 1 {
			close(entered)
			<-slow
			return nil
		}
		return errDown
	}, nil)
	var wg sync.WaitGroup
	wg.Go(func() { g.Check(context.Background()) })
	<-entered
	g.Check(t.Context())
	close(slow)
	wg.Wait()
	if !errors.Is(g.Ready(), errDown) {
		t.Fatalf("got %v", g.Ready())
	}
}

func TestRunReplaysAtTheStartAndAfterEachOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var replays, told atomic.Int64
		var down atomic.Bool
		down.Store(true)
		g := NewGuard(func(context.Context) error {
			replays.Add(1)
			if down.Load() {
				return errDown
			}
			return nil
		}, func(error) { told.Add(1) })
		ended := make(chan error)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		if replays.Load() != 1 || g.Ready() == nil {
			t.Fatalf("%d replays, %v", replays.Load(), g.Ready())
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if n := replays.Load(); told.Load() != 1 || n < 5 || n > 15 {
			t.Errorf("told %d times in %d replays", told.Load(), n)
		}
		down.Store(false)
		<-time.After(retryMost)
		synctest.Wait()
		if g.Ready() != nil {
			t.Fatal(g.Ready())
		}
		replays.Store(0)
		g.Outage(errDown)
		synctest.Wait()
		if replays.Load() != 1 || g.Ready() != nil {
			t.Fatalf("%d replays, %v", replays.Load(), g.Ready())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAGuardOverARealJournal(t *testing.T) {
	s := newSaid(t, servertest.SQLite(t))
	j := openJournal(t, t.TempDir(), "a", JournalOptions{})
	g := NewGuard(func(ctx context.Context) error {
		_, err := j.Replay(ctx, s.db, s.apply)
		return err
	}, nil)
	appendAll(t, j, 1, 2)
	if err := g.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.stored(t); len(got) != 2 {
		t.Fatalf("ready with %v", got)
	}
	appendAll(t, j, 3, 3)
	g.Outage(errDown)
	s.fail = func(int) error { return errDown }
	if err := g.Check(t.Context()); !errors.Is(err, ErrStuck) {
		t.Fatalf("got %v", err)
	}
	s.fail = nil
	if err := g.Check(t.Context()); err != nil || len(s.stored(t)) != 3 {
		t.Fatalf("got %v with %v", err, s.stored(t))
	}
}
