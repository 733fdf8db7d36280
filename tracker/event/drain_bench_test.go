package event

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// BenchmarkDrain tells how many hits a second go from a spool into the database.
func BenchmarkDrain(b *testing.B) {
	const people = 100_000
	for _, database := range []struct {
		name string
		open func(testing.TB) *schema.DB
	}{{"sqlite", servertest.SQLite}, {"postgres", servertest.Postgres}} {
		for _, load := range []struct {
			name string
			hit  func(*rand.Rand) Hit
		}{
			{"opens", func(r *rand.Rand) Hit { return hit(1, id.Message(1+r.IntN(people))) }},
			{"clicks", func(r *rand.Rand) Hit {
				h := hit(1, id.Message(1+r.IntN(people)))
				h.Kind, h.Link = Click, 1+r.IntN(6)
				return h
			}},
			{"anonymous", func(r *rand.Rand) Hit { h := hit(1, 0); h.Kind, h.Link = Click, 1+r.IntN(6); return h }},
			{"mixed", func(r *rand.Rand) Hit {
				h := hit(1, id.Message(1+r.IntN(people)))
				if r.IntN(3) == 0 {
					h.Kind, h.Link = Click, 1+r.IntN(6)
				}
				if r.IntN(2) == 0 {
					h.Message = 0
				}
				return h
			}},
			{"one-message", func(r *rand.Rand) Hit { h := hit(1, 1); h.Kind, h.Link = Click, 1; return h }},
		} {
			b.Run(database.name+"/"+load.name, func(b *testing.B) {
				db := database.open(b)
				seedMany(b, db, people)
				spool := openSpool(b, b.TempDir(), Options{})
				d := &Drain{DB: db, Gate: fakeGate{}, Spool: spool, Report: func(err error) { b.Error(err) }}
				r := rand.New(rand.NewPCG(1, 2))
				err := spool.between(func() error {
					for done := 0; done < b.N; {
						g := &pending{buf: make([]byte, groupHead), hits: min(256, b.N-done)}
						for range g.hits {
							h := load.hit(r)
							h.At = day.Add(time.Duration(done) * 100 * time.Microsecond)
							g.buf = appendRecord(g.buf, &h)
						}
						g.first = spool.cut(0, g.hits)
						spool.commit(g)
						done += g.hits
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				began := cpuTime()
				if err := d.Flush(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hits/s")
				b.ReportMetric(float64(d.size), "batch")
				b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N), "cpu-µs/hit")
			})
		}
	}
}

// cpuTime is what the process has used so far: on a busy machine it says more than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// seedMany makes campaign 1 with six links and n contacts with a message each, of the same number.
func seedMany(b *testing.B, db *schema.DB, n int) {
	b.Helper()
	err := db.Tx(context.Background(), func(tx *schema.Tx) error {
		numbers := fmt.Sprintf(`WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < %d)`, n)
		for _, q := range []string{
			`INSERT INTO companies (id, slug, name, created_at) VALUES (1, 'acme', 'Acme', 1)`,
			`INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at) VALUES (1, 'c', 1, 'newsletter', 's', 'a@example.org', '', '{}', 'consented', 'finished', 1)`,
			`WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 6) INSERT INTO links (campaign, position, label, url) SELECT 1, n, '', '' FROM k`,
			numbers + ` INSERT INTO contacts (id, email, created_at, updated_at) SELECT n, 'p' || n || '@example.org', 1, 1 FROM k`,
			numbers + ` INSERT INTO messages (id, campaign, contact, mode, epoch, status, sent_at) SELECT n, 1, n, 'identified', 1, 'sent', 1000000 FROM k`,
		} {
			if _, err := tx.Exec(context.Background(), q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
