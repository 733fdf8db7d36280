package rights

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"

	"pgregory.net/rapid"
)

// said1 is a domain that refusals are applied to: one row for each, however often it is applied.
type said1 struct {
	db    *schema.DB
	calls []int
	fail  func(n int) error
}

func newSaid(t testing.TB, db *schema.DB) *said1 {
	t.Helper()
	if _, err := db.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS said (n BIGINT PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	return &said1{db: db}
}

func (s *said1) apply(ctx context.Context, r Refusal) error {
	n := number(r)
	s.calls = append(s.calls, n)
	if s.fail != nil {
		if err := s.fail(n); err != nil {
			return err
		}
	}
	_, err := s.db.Exec(ctx, `INSERT INTO said (n) VALUES (?) ON CONFLICT DO NOTHING`, n)
	return err
}

func (s *said1) stored(t testing.TB) []int {
	t.Helper()
	list := []int{}
	if err := s.db.Select(context.Background(), &list, `SELECT n FROM said ORDER BY n`); err != nil {
		t.Fatal(err)
	}
	return list
}

// replays fails unless a replay is complete and applies just these, in this order.
func (s *said1) replays(t testing.TB, j *Journal, want ...int) {
	t.Helper()
	s.calls = nil
	if n, err := j.Replay(context.Background(), s.db, s.apply); err != nil || n != len(want) || !slices.Equal(s.calls, want) {
		t.Fatalf("applied %d, %v, %v; want %v", n, s.calls, err, want)
	}
}

func TestEachRefusalReachesTheDatabase(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		dir, s := t.TempDir(), newSaid(t, db)
		a, b := openJournal(t, dir, "a", JournalOptions{}), openJournal(t, dir, "b", JournalOptions{})
		s.replays(t, a)
		appendAll(t, a, 1, 2)
		appendAll(t, b, 3, 4)
		appendAll(t, a, 5, 6)
		s.replays(t, b, 1, 2, 3, 4, 5, 6)
		s.replays(t, a)
		appendAll(t, b, 7, 7)
		s.replays(t, a, 7)
		b.Close()
		b = openJournal(t, dir, "b", JournalOptions{})
		s.replays(t, b)
		appendAll(t, b, 8, 8)
		s.replays(t, b, 8)
	})
}

func TestWhatIsAppliedIsWhatWasSaid(t *testing.T) {
	db := servertest.SQLite(t)
	j := openJournal(t, t.TempDir(), "a", JournalOptions{})
	want := []Refusal{
		{At: said, Kind: Withdraw, Message: 7, Scope: "everything"},
		{At: said + 1, Kind: Object, Hash: []byte("0123456789abcdef"), Company: "acme", Channel: "email", Types: []string{"newsletter", "promotional-offer"}},
	}
	for i := range want {
		if err := j.Append(t.Context(), want[i]); err != nil {
			t.Fatal(err)
		}
		want[i].Node, want[i].Seq = "a", int64(i+1)
	}
	var got []Refusal
	if _, err := j.Replay(t.Context(), db, func(_ context.Context, r Refusal) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestARestoredDatabaseGetsWhatCameSince(t *testing.T) {
	for name, fresh := range map[string]func(t *testing.T) (dsn string, copied func() string){
		"sqlite": func(t *testing.T) (string, func() string) {
			dir := t.TempDir()
			return "sqlite:" + filepath.Join(dir, "beckon.db"), func() string {
				b, err := os.ReadFile(filepath.Join(dir, "beckon.db"))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, "yesterday.db"), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				return "sqlite:" + filepath.Join(dir, "yesterday.db")
			}
		},
		"postgres": func(t *testing.T) (string, func() string) {
			dsn, yesterday, third := servertest.PostgresDSN(t), servertest.PostgresDSN(t), servertest.PostgresDSN(t)
			named := func(dsn string) string { return dsn[strings.LastIndex(dsn, "/")+1:] }
			base := func(dsn string) string { n, _, _ := strings.Cut(named(dsn), "?"); return n }
			return dsn, func() string {
				db, err := schema.Open(t.Context(), third)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				for _, q := range []string{"DROP DATABASE " + base(yesterday), "CREATE DATABASE " + base(yesterday) + " TEMPLATE " + base(dsn)} {
					if _, err := db.Exec(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
				return yesterday
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, copied := fresh(t)
			reopen := func(dsn string) *said1 {
				db, err := schema.Open(t.Context(), dsn)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				if err := db.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				return newSaid(t, db)
			}
			dir, s := t.TempDir(), reopen(dsn)
			j := openJournal(t, dir, "a", JournalOptions{})
			appendAll(t, j, 1, 3)
			s.replays(t, j, 1, 2, 3)
			if err := s.db.Close(); err != nil {
				t.Fatal(err)
			}
			yesterday := copied()
			s = reopen(dsn)
			appendAll(t, j, 4, 6)
			s.replays(t, j, 4, 5, 6)
			s.db.Close()
			old := reopen(yesterday)
			if got := old.stored(t); !slices.Equal(got, []int{1, 2, 3}) {
				t.Fatalf("yesterday's holds %v", got)
			}
			old.replays(t, j, 4, 5, 6)
			if got := old.stored(t); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6}) {
				t.Fatalf("after the replay: %v", got)
			}
		})
	}
}

func TestARefusalThatCannotBeAppliedStaysDueAndIsTold(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newSaid(t, db)
		j := openJournal(t, t.TempDir(), "a", JournalOptions{})
		appendAll(t, j, 1, 5)
		s.fail = func(n int) error {
			if n == 3 {
				return errors.New("no such company")
			}
			return nil
		}
		for range 2 {
			_, err := j.Replay(t.Context(), db, s.apply)
			if !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "number 3 of a") {
				t.Fatalf("got %v", err)
			}
			if got := s.stored(t); !slices.Equal(got, []int{1, 2, 4, 5}) {
				t.Fatalf("it kept others back: %v", got)
			}
		}
		s.fail = nil
		s.replays(t, j, 3, 4, 5)
		s.replays(t, j)
	})
}

func TestAWholeRefusalOfANewerVersionIsNotPassedOver(t *testing.T) {
	s, dir := newSaid(t, servertest.SQLite(t)), t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 1)
	body := `{"at":"2026-05-04T12:00:00Z","kind":"withdraw","message":"msg_1","planet":"mars","node":"a","seq":2}`
	write(t, dir, fmt.Sprintf("\n%d %s %s\n", len(body), sumOf([]byte(body)), body))
	appendAll(t, j, 2, 2)
	for range 2 {
		if _, err := j.Replay(t.Context(), s.db, s.apply); !errors.Is(err, ErrStuck) || errors.Is(err, ErrDamaged) {
			t.Fatalf("got %v", err)
		}
	}
	if got := s.stored(t); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestALostDatabaseEndsAReplayAtOnce(t *testing.T) {
	s := newSaid(t, servertest.SQLite(t))
	j := openJournal(t, t.TempDir(), "a", JournalOptions{})
	appendAll(t, j, 1, 5)
	s.fail = func(n int) error {
		if n == 2 {
			s.db.Close()
			return errors.New("connection lost")
		}
		return nil
	}
	if n, err := j.Replay(t.Context(), s.db, s.apply); err == nil || n != 1 || len(s.calls) != 2 {
		t.Errorf("applied %d in %v, %v", n, s.calls, err)
	}
}

func write(t testing.TB, dir, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "a.journal"), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamageThatLostAnswersKeepsSendersStopped(t *testing.T) {
	s, dir := newSaid(t, servertest.SQLite(t)), t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 5)
	path := filepath.Join(dir, "a.journal")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := []byte(strings.Replace(string(whole), `"seq":3`, `"seq":9`, 1))
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := j.Replay(t.Context(), s.db, s.apply); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "numbers 3 to 3 of a") {
			t.Fatalf("got %v", err)
		}
	}
	if got := s.stored(t); !slices.Equal(got, []int{1, 2, 4, 5}) {
		t.Fatalf("what can be read: %v", got)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.replays(t, j, 3, 4, 5)
}

func TestAJournalThatIsNotThereKeepsSendersStopped(t *testing.T) {
	s, dir := newSaid(t, servertest.SQLite(t)), t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 2)
	s.replays(t, j, 1, 2)
	elsewhere := openJournal(t, t.TempDir(), "a", JournalOptions{})
	appendAll(t, elsewhere, 3, 3)
	for range 2 {
		if _, err := elsewhere.Replay(t.Context(), s.db, s.apply); !errors.Is(err, ErrMissing) {
			t.Fatalf("got %v", err)
		}
	}
	if got := s.stored(t); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("number 1 of another journal was taken for one already applied: %v", got)
	}
	path := filepath.Join(dir, "a.journal")
	if err := os.Rename(path, filepath.Join(elsewhere.dir, "a.journal.retired")); err != nil {
		t.Fatal(err)
	}
	s.replays(t, elsewhere)
}

func TestAJournalRestoredFromAnOldCopyHidesNothing(t *testing.T) {
	s, dir := newSaid(t, servertest.SQLite(t)), t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 2)
	path := filepath.Join(dir, "a.journal")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, 3, 5)
	s.replays(t, j, 1, 2, 3, 4, 5)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, 6, 9) // their numbers are 3 to 6
	s.replays(t, j, 1, 2, 6, 7, 8, 9)
	s.replays(t, j)
}

func TestACopyBesideTheFileIsTold(t *testing.T) {
	s, dir := newSaid(t, servertest.SQLite(t)), t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	b, err := os.ReadFile(filepath.Join(dir, "a.journal"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "copy.journal"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Replay(t.Context(), s.db, s.apply); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// However nodes append, crash in the midst of a write, fail to apply and replay: nothing that was
// acknowledged is missing in the end, and another replay changes nothing.
func TestReplayTwiceIsReplayOnce(t *testing.T) {
	var mu sync.Mutex
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newSaid(t, db)
		rapid.Check(t, func(rt *rapid.T) {
			mu.Lock()
			defer mu.Unlock()
			for _, q := range []string{`DELETE FROM said`, `DELETE FROM journal_heads`} {
				if _, err := db.Exec(t.Context(), q); err != nil {
					rt.Fatal(err)
				}
			}
			dir, err := os.MkdirTemp(t.TempDir(), "")
			if err != nil {
				rt.Fatal(err)
			}
			var nodes []*Journal
			for _, name := range []string{"a", "b", "a"} {
				j := openJournal(t, dir, name, JournalOptions{})
				j.put = func(f *os.File, b []byte) error { _, err := f.Write(b); return err } // nothing here loses power
				nodes = append(nodes, j)
			}
			var want []int
			n := 0
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				j := nodes[rapid.IntRange(0, 2).Draw(rt, "node")]
				switch rapid.IntRange(0, 5).Draw(rt, "step") {
				case 0, 1, 2:
					n++
					if err := j.Append(t.Context(), refusal(n)); err != nil {
						rt.Fatal(err)
					}
					want = append(want, n)
				case 3:
					n++
					cut, put := rapid.IntRange(0, 100).Draw(rt, "cut"), j.put
					j.put = func(f *os.File, b []byte) error {
						_, err := f.Write(b[:min(cut, len(b)-2)])
						return errors.Join(err, errors.New("disk full"))
					}
					if err := j.Append(t.Context(), refusal(n)); err == nil {
						rt.Fatal("a failed write was acknowledged")
					}
					j.put = put
				default:
					bad := rapid.IntRange(0, n).Draw(rt, "bad")
					s.fail = func(n int) error {
						if n == bad {
							return errors.New("not now")
						}
						return nil
					}
					if _, err := j.Replay(t.Context(), db, s.apply); err != nil && !errors.Is(err, ErrStuck) {
						rt.Fatal(err)
					}
				}
			}
			s.fail = nil
			if _, err := nodes[0].Replay(t.Context(), db, s.apply); err != nil {
				rt.Fatal(err)
			}
			if got := s.stored(t); !slices.Equal(got, append([]int{}, want...)) {
				rt.Fatalf("applied %v, want %v", got, want)
			}
			if again, err := nodes[1].Replay(t.Context(), db, s.apply); err != nil || again != 0 {
				rt.Fatalf("the second replay applied %d, %v", again, err)
			}
		})
	})
}

func TestTenThousandRefusalsAreReplayedInNoTime(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const many = 10_000
		j := openJournal(t, t.TempDir(), "a", JournalOptions{})
		group := make([]Refusal, many)
		for i := range group {
			group[i] = refusal(i + 1)
		}
		if err := j.AppendMany(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		start, next := time.Now(), 1
		n, err := j.Replay(t.Context(), db, func(_ context.Context, r Refusal) error {
			if number(r) != next {
				t.Fatalf("%d came before %d", number(r), next)
			}
			next++
			return nil
		})
		took := time.Since(start)
		if err != nil || n != many {
			t.Fatalf("applied %d, %v", n, err)
		}
		start = time.Now()
		if n, err := j.Replay(t.Context(), db, func(context.Context, Refusal) error { return nil }); err != nil || n != 0 {
			t.Fatalf("applied %d again, %v", n, err)
		}
		t.Logf("%d in %s, then none in %s", many, took, time.Since(start))
		if took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j := openJournal(b, b.TempDir(), "a", JournalOptions{})
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := j.Append(context.Background(), refusal(1)); err != nil {
				b.Error(err)
			}
		}
	})
}
