package consent

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// fill makes n contacts with a grant each, one transaction per chunk, as an import does. It returns
// the time that Register and RecordMany took, without the contacts themselves.
func (w *world) fill(n int, enrol bool, timed func(fn func())) { w.fillWith(n, enrol, true, timed) }

func (w *world) fillWith(n int, enrol, tracking bool, timed func(fn func())) {
	const chunk = batch
	for i := 0; i < n; i += chunk {
		m := min(chunk, n-i)
		w.tx(func(tx *schema.Tx) error {
			contacts, entries := make([]Contact, m), make([]Entry, m)
			args := make([]any, 0, m*4)
			for j := range m {
				k := i + j + 1
				contacts[j] = Contact{id.Contact(k), "person" + strconv.Itoa(k) + "@example.org"}
				entries[j] = Entry{Contact: id.Contact(k), Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &tracking,
					Notice: "v1", How: ByImport, Captured: schema.At(w.clock) - schema.Time(k), Actor: "bench"}
				args = append(args, k, contacts[j].Email, [...]string{"GB", "IE", "FR", "DE"}[k%4], `{"a":"`+strconv.Itoa(k)+`"}`)
			}
			if _, err := tx.Exec(w.ctx, `INSERT INTO contacts (id, email, country, attributes, created_at, updated_at) VALUES `+
				rowsOf(m, "(?,?,?,?,1,1)"), args...); err != nil {
				return err
			}
			var err error
			timed(func() {
				if enrol {
					_, err = w.l.Enrol(w.ctx, tx, contacts, entries)
				} else if err = w.l.Register(w.ctx, tx, contacts); err == nil {
					_, err = w.l.RecordMany(w.ctx, tx, entries)
				}
			})
			return err
		})
	}
}

func rowsOf(n int, row string) string {
	s := row
	for range n - 1 {
		s += "," + row
	}
	return s
}

func benchDatabases(b *testing.B, bench func(b *testing.B, w *world)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, newWorld(b, servertest.SQLite(b))) })
	b.Run("postgres", func(b *testing.B) { bench(b, newWorld(b, servertest.Postgres(b))) })
}

// BenchmarkImport records new contacts with a grant each; an op is one of them (-benchtime 100000x).
func BenchmarkImport(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		importing(b, w, false)
	})
}

// BenchmarkEnrol does the same in one call.
func BenchmarkEnrol(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		importing(b, w, true)
	})
}

func importing(b *testing.B, w *world, enrol bool) {
	b.ResetTimer()
	b.StopTimer()
	w.fill(b.N, enrol, func(fn func()) {
		b.StartTimer()
		fn()
		b.StopTimer()
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkSegmentCount counts the opted-in among BECKON_BENCH_CONTACTS (100,000) in every form.
func BenchmarkSegmentCount(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("BECKON_BENCH_CONTACTS"))
	if n == 0 {
		n = 100_000
	}
	benchDatabases(b, func(b *testing.B, w *world) {
		w.fill(n, true, func(fn func()) { fn() })
		w.exec(`ANALYZE`)
		use := segment(w.acme, letter)
		allowed, err := w.g.Allowed(use, "c.id", "")
		w.ok(err)
		set, err := w.g.Eligible(use)
		w.ok(err)
		for _, q := range []struct {
			name, sql string
			f         Fragment
		}{
			{"allowed", `SELECT count(*) FROM contacts c WHERE ` + allowed.SQL, allowed},
			{"eligible", `SELECT count(*) FROM contacts c WHERE c.id IN (` + set.SQL + `)`, set},
			{"join", `SELECT count(*) FROM (` + set.SQL + `) s JOIN contacts c ON c.id = s.contact`, set},
			{"alone", `SELECT count(*) FROM (` + set.SQL + `) s`, set},
			{"allowed-country", `SELECT count(*) FROM contacts c WHERE c.country IN ('GB', 'IE') AND ` + allowed.SQL, allowed},
			{"eligible-country", `SELECT count(*) FROM contacts c WHERE c.country IN ('GB', 'IE') AND c.id IN (` + set.SQL + `)`, set},
			{"join-country", `SELECT count(*) FROM (` + set.SQL + `) s JOIN contacts c ON c.id = s.contact WHERE c.country IN ('GB', 'IE')`, set},
			{"cross-country", `SELECT count(*) FROM (` + set.SQL + `) s CROSS JOIN contacts c WHERE c.id = s.contact AND c.country IN ('GB', 'IE')`, set},
			{"country-alone", `SELECT count(*) FROM contacts c WHERE c.country IN ('GB', 'IE')`, Fragment{}},
		} {
			b.Run(fmt.Sprintf("%s/%d", q.name, n), func(b *testing.B) {
				for b.Loop() {
					var got int
					w.ok(w.db.Get(w.ctx, &got, q.sql, q.f.Args...))
				}
			})
		}
	})
}

// BenchmarkWordings reports on BECKON_BENCH_CONTACTS (100,000) consents, all under an outdated notice.
func BenchmarkWordings(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("BECKON_BENCH_CONTACTS"))
	if n == 0 {
		n = 100_000
	}
	benchDatabases(b, func(b *testing.B, w *world) {
		w.fill(n, true, func(fn func()) { fn() })
		w.pass(time.Hour)
		w.notice("v2", "en", "Another question?")
		w.exec(`ANALYZE`)
		b.Run(fmt.Sprintf("wordings/%d", n), func(b *testing.B) {
			for b.Loop() {
				if list, err := w.l.Wordings(w.ctx, w.db); err != nil || list[1].Tracking != int64(n) {
					b.Fatal(list, err)
				}
			}
		})
		b.Run(fmt.Sprintf("outdated/%d", n), func(b *testing.B) {
			for b.Loop() {
				if list, err := w.l.Outdated(w.ctx, w.db, w.acme); err != nil || len(list) != 1 || list[0].Contacts != int64(n) {
					b.Fatal(list, err)
				}
			}
		})
	})
}

func BenchmarkAsk(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		w.fill(1000, true, func(fn func()) { fn() })
		use := mail(w.acme, letter)
		for i := 0; b.Loop(); i++ {
			if d, err := w.g.Ask(w.ctx, id.Contact(i%1000+1), use); err != nil || !d.Allowed {
				b.Fatal(d, err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	benchDatabases(b, func(b *testing.B, w *world) {
		c := w.contact("", "")
		for b.Loop() {
			w.grant(c, w.acme, letter)
		}
	})
}

func BenchmarkNormaliseEmail(b *testing.B) {
	for _, s := range []string{"jane.doe@example.org", "Jane.Doe@Example.ORG", "jörg@exämple.org"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NormaliseEmail(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
