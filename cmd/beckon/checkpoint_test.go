package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// TestS26NobodySendsFromADatabaseOlderThanItsCheckpoint, nor before it was held against it.
func TestS26NobodySendsFromADatabaseOlderThanItsCheckpoint(t *testing.T) {
	ctx, key := t.Context(), []byte("a hash key that is used in tests")
	heads := filepath.Join(t.TempDir(), "heads")
	db := servertest.SQLite(t)
	if err := consent.Seed(ctx, db); err != nil {
		t.Fatal(err)
	}
	cat, err := consent.LoadCatalogue(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	ledger := consent.NewLedger(db, consent.LedgerOptions{HashKey: key})
	object := func(email string) {
		t.Helper()
		c, _, err := segments.NewContacts(db, ledger, cat, time.Now).Create(ctx, segments.NewContact{Email: email})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := ledger.Record(ctx, tx, consent.Entry{Contact: c.ID, Action: consent.Object, How: consent.ByPhone})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	object("a@example.org")
	file, older := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "older.db")
	if err := db.Backup(ctx, file); err != nil {
		t.Fatal(err)
	}
	object("b@example.org")
	if err := schema.Restore(ctx, "sqlite:"+older, file, false); err != nil {
		t.Fatal(err)
	}
	restored, err := schema.Open(ctx, "sqlite:"+older)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	olderLedger := consent.NewLedger(restored, consent.LedgerOptions{HashKey: key})

	guard := rights.NewGuard(func(context.Context) error { return nil }, nil)
	may := func(l *consent.Ledger, want error) {
		t.Helper()
		c := newCheckpoint(l, heads, slog.New(slog.DiscardHandler))
		a := &app{running: &running{refusals: &refusals{guard: guard}, checkpoint: c}}
		if err := guard.Check(ctx); err != nil {
			t.Fatal(err)
		}
		first := c.ready()
		if first == nil || a.maySend() == nil {
			t.Error("somebody may send before the ledger was held against its checkpoint")
		}
		ctx, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- c.run(ctx) }()
		tick, late := time.NewTicker(time.Millisecond), time.After(time.Minute)
		defer tick.Stop()
		for err := first; err != nil && err.Error() == first.Error(); err = c.ready() {
			select {
			case <-tick.C:
			case <-late:
				t.Fatal("the ledger is never held against its checkpoint")
			}
		}
		if err := a.maySend(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	may(ledger, nil)
	may(ledger, nil)
	may(olderLedger, errOlderDatabase)
	may(olderLedger, errOlderDatabase)
	if lost, err := olderLedger.AcceptRestore(ctx, heads); err != nil || len(lost) == 0 {
		t.Fatalf("%v, %v", lost, err)
	}
	may(olderLedger, nil)
}
