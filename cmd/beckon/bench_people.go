package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"beckon/schema/id"
	"beckon/segments"

	"github.com/spf13/cobra"
)

// figure is a line of what `bench import` and `bench segments` print.
type figure struct {
	What    string  `json:"what"`
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"s"`                     // the median of several, but for an import
	Memory  int64   `json:"peak_memory,omitempty"` // bytes
}

func benchPeopleCommand(use, short string, measure func(context.Context, *theatre, int) ([]figure, error)) *cobra.Command {
	var storage demoStorage
	var rows int
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	cmd.Flags().StringVar(&storage.database, "database", "", "postgres://… of an empty database (default: embedded)")
	cmd.Flags().IntVar(&rows, "rows", 1_000_000, "contacts, each with a consent")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if rows < 1 {
			return errors.New("--rows has to be 1 or more")
		}
		d, err := startDemo(cmd.Context(), "127.0.0.1:0", "", time.Hour, storage)
		if err != nil {
			return err
		}
		defer func() { err = d.stop(err) }()
		figures, err := measure(cmd.Context(), d, rows)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(figures)
		}
		for _, f := range figures {
			fmt.Fprintf(cmd.OutOrStdout(), "%-32s %9d rows %9.3f s %10.0f rows/s", f.What, f.Rows, f.Seconds, float64(f.Rows)/f.Seconds)
			if f.Memory > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "  at most %d MB", f.Memory>>20)
			}
			fmt.Fprintln(cmd.OutOrStdout())
		}
		return nil
	}
	return cmd
}

// benchImport imports contacts who agreed to be followed.
func benchImport(ctx context.Context, d *theatre, rows int) ([]figure, error) {
	debug.FreeOSMemory()
	forgetPeak()
	begun := time.Now()
	_, err := d.benchAudience(ctx, rows)
	return []figure{{What: "import with consents", Rows: int64(rows), Seconds: time.Since(begun).Seconds(), Memory: peakMemory()}}, err
}

const everybody = "everybody"

// benchSegments counts and exports segments of contacts who opted in.
func benchSegments(ctx context.Context, d *theatre, rows int) ([]figure, error) {
	imported, err := benchImport(ctx, d, rows)
	if err != nil {
		return nil, err
	}
	all := imported
	for _, s := range []struct{ name, rule string }{
		{"two conditions", `{"combinator":"and","rules":[{"field":"country","operator":"in","value":["GB","IE"]},{"field":"attributes.plan","operator":"=","value":"gold"}]}`},
		{everybody, `{"combinator":"and","rules":[]}`},
	} {
		seg, err := d.app.segments.Create(ctx, segments.NewSegment{Name: s.name, Company: "bench", Rule: json.RawMessage(s.rule)})
		if err != nil {
			return nil, err
		}
		count, err := timed5("count, "+s.name, func() (int64, error) { return d.app.segments.Count(ctx, seg.ID) })
		if err != nil {
			return nil, err
		}
		all = append(all, count)
		if s.name != everybody {
			continue
		}
		export, err := timed5("export as CSV, identified", func() (int64, error) { return d.benchExport(ctx, seg.ID) })
		if err != nil {
			return nil, err
		}
		all = append(all, export)
	}
	return all, nil
}

func (d *theatre) benchExport(ctx context.Context, seg id.Segment) (int64, error) {
	return d.app.segments.ExportCSV(ctx, seg, io.Discard, segments.ExportOptions{Identified: true})
}

func timed5(what string, do func() (int64, error)) (figure, error) {
	var times []float64
	f := figure{What: what}
	for range 5 {
		begun := time.Now()
		n, err := do()
		if err != nil {
			return f, err
		}
		f.Rows, times = n, append(times, time.Since(begun).Seconds())
	}
	f.Seconds = median(times)
	return f, nil
}
