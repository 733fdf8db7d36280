package segments

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"beckon/schema/id"
)

// benchRows is how many contacts the benchmarks work on: BECKON_BENCH_ROWS, else 100,000.
func benchRows() int {
	if n, err := strconv.Atoi(os.Getenv("BECKON_BENCH_ROWS")); err == nil {
		return n
	}
	return 100_000
}

// benchFile writes contacts with a consent each, in no order.
func benchFile(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriter(w)
		fmt.Fprintln(b, "email,name,company,country,phone,job_title,topics,plan,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at")
		countries := []string{"GB", "IE", "DE", "FR", "US"}
		for i := range n {
			j := uint32(i) * 2654435761 // scatters the addresses
			fmt.Fprintf(b, "person%08x@example%d.com,Person %d,\"Example %d, Ltd\",%s,+44 20 7946 %04d,Engineer,transport|compliance,gold,acme,email,newsletter|product-updates,%s,v1,form,2026-03-01T10:%02d:00Z\n",
				j, j%1000, i, i%5000, countries[i%5], i%10000, []string{"yes", "no"}[i%2], i%60)
		}
		b.Flush()
		w.Close()
	}()
	return r
}

func BenchmarkImport(b *testing.B) {
	for _, kind := range []string{"consents", "source"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, sqliteOf(b))
				n := NewImport{}
				if kind == "source" {
					n.Source = w.fairs.ID
				}
				imp, err := w.imports.Create(b.Context(), n)
				w.ok(err)
				b.StartTimer()
				start := time.Now()
				last, chunks, worst := start, 0, time.Duration(0)
				imp, err = w.importer.Run(b.Context(), imp.ID, benchFile(benchRows()), Options{Progress: func(Import) {
					d := time.Since(last)
					worst, last = max(worst, d), time.Now()
					chunks++
				}})
				w.ok(err)
				if imp.Created != int64(benchRows()) {
					b.Fatalf("%+v", imp)
				}
				b.ReportMetric(float64(imp.Rows)/time.Since(start).Seconds(), "rows/s")
				b.ReportMetric(float64(worst.Microseconds())/1000, "worst-chunk-ms")
				b.ReportMetric(float64(time.Since(start).Microseconds())/1000/float64(chunks), "chunk-ms")
			}
		})
	}
}

// BenchmarkSegment works on contacts who all opted in; the rule has two conditions.
func BenchmarkSegment(b *testing.B) {
	w := newWorld(b, sqliteOf(b))
	imp, err := w.imports.Create(b.Context(), NewImport{})
	w.ok(err)
	_, err = w.importer.Run(b.Context(), imp.ID, benchFile(benchRows()), Options{Chunk: 2000})
	w.ok(err)
	two := w.segment(`{"rules":[{"field":"country","operator":"in","value":["GB","IE"]},{"field":"attributes.plan","operator":"=","value":"gold"}]}`)
	all := w.segment(`{"rules":[]}`)
	for name, seg := range map[string]id.Segment{"two-conditions": two, "everybody": all} {
		b.Run("count/"+name, func(b *testing.B) {
			for b.Loop() {
				_, err := w.segments.Count(b.Context(), seg)
				w.ok(err)
			}
		})
	}
	b.Run("report", func(b *testing.B) {
		for b.Loop() {
			_, err := w.segments.Report(b.Context(), all, ReportOptions{Suppress: true})
			w.ok(err)
		}
	})
	for name, o := range map[string]ExportOptions{"identified": {Identified: true}, "pseudonymous": {}} {
		b.Run("export/"+name, func(b *testing.B) {
			for b.Loop() {
				n, err := w.segments.ExportCSV(b.Context(), all, io.Discard, o)
				w.ok(err)
				b.ReportMetric(float64(n), "rows")
			}
		})
	}
}
