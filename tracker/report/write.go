package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteCSV writes the figures as a table: part, name, measure, value. A suppressed value reads "< k".
// Exports suppress small groups for everybody: pass figures made for an analyst.
func (s *Stats) WriteCSV(w io.Writer, k int64) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"part", "name", "measure", "value"}) // errors are kept until Flush
	s.each(func(part, name, measure string, n Number) {
		value := fmt.Sprint(n.N)
		if n.Hidden {
			value = fmt.Sprintf("< %d", k)
		}
		_ = c.Write([]string{part, Safe(name), measure, value})
	})
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("report: write table: %w", err)
	}
	return nil
}

// WriteJSONL writes the figures as one JSON object per line, with the names of WriteCSV.
func (s *Stats) WriteJSONL(w io.Writer) error {
	e := json.NewEncoder(w)
	var failed error
	s.each(func(part, name, measure string, n Number) {
		if failed == nil {
			failed = e.Encode(struct {
				Part       string `json:"part"`
				Name       string `json:"name"`
				Measure    string `json:"measure"`
				Value      Number `json:"value"`
				Suppressed bool   `json:"suppressed,omitempty"`
			}{part, name, measure, n, n.Hidden})
		}
	})
	if failed != nil {
		return fmt.Errorf("report: write lines: %w", failed)
	}
	return nil
}

func (s *Stats) each(row func(part, name, measure string, n Number)) {
	row("base", "", "sent", Number{N: s.Base.Sent})
	row("base", "", "identified", Number{N: s.Base.Identified})
	row("base", "", "anonymous", Number{N: s.Base.Anonymous})
	for _, k := range []struct {
		name string
		h    *Hits
	}{{"opens", &s.Opens}, {"clicks", &s.Clicks}} {
		row(k.name, "", "total", k.h.Total)
		row(k.name, "", "unique", k.h.Unique)
		row(k.name, "", "person", k.h.Person)
		row(k.name, "", "machine", k.h.Machine)
		row(k.name, "", "unverifiable", k.h.Unverifiable)
		row(k.name, "", "anonymous", k.h.Anonymous)
	}
	for _, l := range s.Links {
		name := fmt.Sprintf("%d %s %s", l.Position, l.Label, l.URL)
		row("link", name, "total", l.Total)
		row("link", name, "unique", l.Unique)
	}
	for _, g := range s.Regions {
		row("region", g.Region, "opens", g.Opens)
		row("region", g.Region, "clicks", g.Clicks)
	}
	for _, h := range s.Hourly {
		row("hour", h.At.Format(time.RFC3339), "opens", h.Opens)
		row("hour", h.At.Format(time.RFC3339), "clicks", h.Clicks)
	}
}

// Safe puts an apostrophe before a cell that a spreadsheet would run as a formula.
func Safe(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
