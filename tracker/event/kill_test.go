package event

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("BECKON_EVENT_CHILD"); dir != "" {
		if err := child(dir, os.Getenv("BECKON_EVENT_DATABASE"), os.Getenv("BECKON_EVENT_ROUND")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child records hits until it is killed, each at an instant of its own, drains them, and prints the
// instant of each hit that it answered for.
func child(dir, dsn, round string) error {
	ctx := context.Background()
	db, err := schema.Open(ctx, dsn)
	if err != nil {
		return err
	}
	s, err := OpenSpool(dir, Options{MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	d := &Drain{DB: db, Gate: fakeGate{}, Spool: s, Linger: -1}
	go d.Run(ctx)
	k, err := strconv.ParseInt(round, 10, 64)
	if err != nil {
		return err
	}
	var n atomic.Int64
	failed := make(chan error)
	for range 16 {
		go func() {
			for {
				i := n.Add(1)
				h := hit(1, id.Message(1001+i%3))
				h.At = day + schema.Time(k*10_000_000+i)
				if i%5 == 0 {
					h.Kind, h.Link = Click, 1
				}
				if _, err := s.Append(ctx, h); err != nil {
					failed <- err
					return
				}
				os.Stdout.WriteString(strconv.FormatInt(int64(h.At), 10) + "\n")
			}
		}()
	}
	return <-failed
}

func TestNoAnsweredHitIsLostOrCountedTwiceOverKills(t *testing.T) {
	for name, fresh := range map[string]func(t testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "beckon.db") },
		"postgres": servertest.PostgresDSN,
	} {
		t.Run(name, func(t *testing.T) {
			dsn, dir := fresh(t), t.TempDir()
			db, err := schema.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			seed(t, db, 3, 1)
			answered := map[int64]int{}
			for round := range 5 {
				killAfter(t, dir, dsn, round, 300+200*round, answered)
			}
			s := openSpool(t, dir, Options{Report: func(err error) { t.Error(err) }})
			d := &Drain{DB: db, Gate: fakeGate{}, Spool: s}
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			var stored []int64
			if err := db.Select(t.Context(), &stored, `SELECT at FROM events`); err != nil {
				t.Fatal(err)
			}
			times := map[int64]int{}
			for _, at := range stored {
				if times[at]++; times[at] > 1 {
					t.Errorf("hit %d is there twice", at)
				}
			}
			for at := range answered {
				if times[at] != 1 {
					t.Errorf("answered hit %d is there %d times", at, times[at])
				}
			}
			var counted int
			if err := db.Get(t.Context(), &counted, `SELECT CAST(SUM(n) AS BIGINT) FROM counts`); err != nil || counted != len(stored) {
				t.Errorf("%d events, %d counted, %v", len(stored), counted, err)
			}
			if err := Verify(t.Context(), db, 0); err != nil {
				t.Error(err)
			}
			t.Logf("%d answered, %d stored, lost %d", len(answered), len(stored), s.Lost())
		})
	}
}

// killAfter starts a child and kills it when it has answered for so many hits.
func killAfter(t *testing.T, dir, dsn string, round, answers int, answered map[int64]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "BECKON_EVENT_CHILD="+dir, "BECKON_EVENT_DATABASE="+dsn, "BECKON_EVENT_ROUND="+strconv.Itoa(round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error:") {
			t.Fatal(lines.Text())
		}
		if at, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
			answered[at]++
		}
		if n++; n == answers {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || n < answers {
		t.Fatalf("the child ended by itself after %d answers: %v", n, err)
	}
}
