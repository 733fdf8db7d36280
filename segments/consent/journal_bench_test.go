package consent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// logFile keeps noes as lines of JSON, synced once per call, as the refusals journal does.
type logFile struct{ f *os.File }

func newLogFile(b *testing.B) logFile {
	f, err := os.Create(filepath.Join(b.TempDir(), "noes"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return logFile{f}
}

func (l logFile) Keep(_ context.Context, noes []No) error {
	var lines []byte
	for i := range noes {
		b, err := json.Marshal(struct {
			Hash []byte
			At   schema.Time
			*No
		}{noes[i].Hash, noes[i].At, &noes[i]})
		if err != nil {
			return err
		}
		lines = append(append(lines, b...), '\n')
	}
	if _, err := l.f.Write(lines); err != nil {
		return err
	}
	return l.f.Sync()
}

// BenchmarkEnrolJournaled is BenchmarkEnrol with a journal: of yeses, which it is not told of, and of
// as many that take tracking back. An op is a contact (-benchtime 100000x).
func BenchmarkEnrolJournaled(b *testing.B) {
	for _, tracking := range []bool{true, false} {
		b.Run(fmt.Sprintf("tracking=%v", tracking), func(b *testing.B) {
			benchDatabases(b, func(b *testing.B, w *world) {
				w.l = NewLedger(w.db, LedgerOptions{HashKey: testKey, Now: w.l.now, Journal: newLogFile(b)})
				b.ResetTimer()
				b.StopTimer()
				w.fillWith(b.N, true, tracking, func(fn func()) {
					b.StartTimer()
					fn()
					b.StopTimer()
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			})
		})
	}
}

// BenchmarkSuppressList suppresses addresses that are not held, 500 to a transaction, as the import of
// a list of noes does. An op is an address (-benchtime 100000x).
func BenchmarkSuppressList(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		w.l = NewLedger(w.db, LedgerOptions{HashKey: testKey, Now: w.l.now, Journal: newLogFile(b)})
		b.ResetTimer()
		for i := 0; i < b.N; i += batch {
			var emails []string
			for j := i; j < min(i+batch, b.N); j++ {
				emails = append(emails, "no"+strconv.Itoa(j)+"@example.org")
			}
			w.suppress(BlockObjected, emails...)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
	})
}

// BenchmarkApplied asks whether a no is in the database already, as each of a replay mostly is.
func BenchmarkApplied(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		d := w.journaled()
		w.fill(1000, true, func(fn func()) { fn() })
		w.tx(func(tx *schema.Tx) error {
			var entries []Entry
			for c := range 1000 {
				entries = append(entries, Entry{Contact: id.Contact(c + 1), Action: Withdraw, Company: w.acme, How: ByPage})
			}
			_, err := w.l.RecordMany(w.ctx, tx, entries)
			return err
		})
		noes := d.noes()
		b.Run("applied", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if done, err := w.l.Applied(w.ctx, w.db, noes[i%len(noes)]); err != nil || !done {
					b.Fatal(done, err)
				}
			}
		})
		b.Run("apply", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				w.apply(noes[i%len(noes)])
			}
		})
	})
}

// BenchmarkCheckpoint writes the heads of BECKON_BENCH_CONTACTS (100,000) chains, without and with an
// earlier checkpoint to compare with, and verifies the ledger against it.
func BenchmarkCheckpoint(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("BECKON_BENCH_CONTACTS"))
	if n == 0 {
		n = 100_000
	}
	benchDatabases(b, func(b *testing.B, w *world) {
		w.fill(n, true, func(fn func()) { fn() })
		for _, k := range []struct {
			name string
			run  func(path string) ([]Finding, error)
		}{
			{"first", func(path string) ([]Finding, error) {
				if err := os.RemoveAll(path); err != nil {
					return nil, err
				}
				return w.l.Checkpoint(w.ctx, path)
			}},
			{"next", func(path string) ([]Finding, error) { return w.l.Checkpoint(w.ctx, path) }},
			{"verify", func(path string) ([]Finding, error) { return w.l.Verify(w.ctx, path) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", k.name, n), func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "heads")
				w.checkpoint(path)
				var most uint64
				stop := make(chan struct{})
				go func() {
					for tick := time.NewTicker(5 * time.Millisecond); ; {
						select {
						case <-stop:
							tick.Stop()
							return
						case <-tick.C:
							var m runtime.MemStats
							runtime.ReadMemStats(&m)
							most = max(most, m.HeapAlloc)
						}
					}
				}()
				for b.Loop() {
					if found, err := k.run(path); err != nil || len(found) > 0 {
						b.Fatal(found, err)
					}
				}
				stop <- struct{}{}
				b.ReportMetric(float64(most)/1e6, "peak-MB")
			})
		}
	})
}
