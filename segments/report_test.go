package segments

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"

	"beckon/schema/id"
	"beckon/segments/consent"
)

// crowd are 30 contacts in a segment of everybody: 20 GB, 7 IE, 2 DE, 1 without a country.
func (w *world) crowd() id.Segment {
	for i := range 30 {
		n := NewContact{Email: fmt.Sprintf("p%02d@example.com", i), Name: fmt.Sprintf("Person %d", i), Topics: []string{"transport"}}
		switch {
		case i < 20:
			n.Country = "GB"
		case i < 27:
			n.Country, n.Topics = "IE", []string{"compliance", "transport"}
		case i < 29:
			n.Country, n.Source = "DE", "fairs"
		}
		who := w.contact(n)
		types := []string{"newsletter"}
		if i < 10 {
			types = append(types, "product-updates")
		}
		w.grant(who, i < 12, types...)
		if i < 2 {
			w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.other.ID, Channel: consent.Email, Types: types})
		}
		if i < 12 {
			region := "GB-ENG"
			if i == 11 {
				region = "GB-SCT"
			}
			_, err := w.db.Exec(w.t.Context(), `INSERT INTO contact_regions (contact, region, at) VALUES (?, ?, 1)`, who, region)
			w.ok(err)
		}
	}
	return w.segment(`{"rules":[]}`)
}

func (b Breakdown) words() string {
	var out []string
	for _, g := range b.Groups {
		out = append(out, g.Key+" "+g.Text(5))
	}
	return strings.Join(out, ", ")
}

func TestAReportAddsUp(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		seg := w.crowd()
		full, err := w.segments.Report(t.Context(), seg, ReportOptions{})
		w.ok(err)
		few, err := w.segments.Report(t.Context(), seg, ReportOptions{Suppress: true})
		w.ok(err)
		for _, test := range []struct{ name, got, want string }{
			{"size", full.Size.Text(5), "30"},
			{"countries", full.Countries.words(), "GB 20, IE 7, DE 2, unknown 1"},
			{"regions", full.Regions.words(), "unknown 18, GB-ENG 11, GB-SCT 1"},
			{"topics", full.Topics.words(), "transport 30, compliance 7"},
			{"types", full.Types.words(), "newsletter 30, product-updates 10"},
			{"companies", full.Companies.words(), "acme 30, other 2"},
			{"sources", full.Sources.words(), "own 28, fairs 2"},
			{"countries without small groups", few.Countries.words(), "GB 20, DE < 5, IE < 5, unknown < 5"},
			{"regions without small groups", few.Regions.words(), "unknown 18, GB-ENG < 5, GB-SCT < 5"},
			{"companies without small groups", few.Companies.words(), "acme 30, other < 5"},
			{"sources whose rest is small", few.Sources.words(), "fairs < 5, own < 5"},
		} {
			if test.got != test.want {
				t.Errorf("%s: got %s, want %s", test.name, test.got, test.want)
			}
		}
		b := mustJSON(few.Companies)
		if !strings.Contains(b, `{"key":"other","name":"Other Ltd","n":null,"suppressed":true}`) || !strings.Contains(b, `"base":{"n":30}`) || !strings.Contains(b, `"as_of":"2026-04-01T12:00:00Z"`) {
			t.Errorf("written as %s", b)
		}
		small := w.segment(`{"rules":[{"field":"country","operator":"=","value":"DE"}]}`)
		few, err = w.segments.Report(t.Context(), small, ReportOptions{Suppress: true})
		w.ok(err)
		if few.Size.N != nil || few.Sizes[0].N != nil || few.Countries.words() != "DE < 5" || few.Types.words() != "newsletter < 5" {
			t.Errorf("a group of two is shown: %s", mustJSON(few))
		}
	})
}

func TestNoTotalGivesASmallGroupAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.Int64Range(2, 8).Draw(t, "k")
		groups := map[string]int64{}
		total := int64(0)
		for i, n := range rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 8).Draw(t, "groups") {
			groups[fmt.Sprint(i)] = n
			total += n
		}
		hidden := hidePartition(groups, k)
		sum, visible := int64(0), 0
		for key, n := range groups {
			switch {
			case hidden[key]:
				sum += n
			case n > 0 && n < k:
				t.Fatalf("a group of %d is shown", n)
			case n > 0:
				visible++
			}
		}
		if len(hidden) > 0 && visible > 0 && (sum < k || len(hidden) < 2) {
			t.Fatalf("%d hidden groups hold %d together", len(hidden), sum)
		}
		for key, n := range groups {
			if total >= k && !hideOverlap(groups, total, k)[key] && (n > 0 && n < k || total-n > 0 && total-n < k) {
				t.Fatalf("%d of %d is shown", n, total)
			}
		}
	})
}

func TestAnExportHoldsWhoIsCounted(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		seg := w.crowd()
		ctx := t.Context()
		who := w.contact(NewContact{Email: "formula@example.com", Name: `=cmd|'/c calc'!A1`, Company: "+44", JobTitle: "@sum(1)", Phone: "-1", Country: "GB", Attributes: map[string]any{"a": "b,c"}})
		w.grant(who, false, "newsletter")
		n, err := w.segments.Count(ctx, seg)
		w.ok(err)

		var b bytes.Buffer
		rows, err := w.segments.ExportCSV(ctx, seg, &b, ExportOptions{Identified: true})
		w.ok(err)
		table, err := csv.NewReader(&b).ReadAll()
		w.ok(err)
		if rows != n || int64(len(table)) != n+1 {
			t.Fatalf("%d counted, %d written, %d read", n, rows, len(table)-1)
		}
		want := []string{w.byEmail("p20@example.com").ID.String(), "p20@example.com", "Person 20", "", "IE", "", "", "", "compliance|transport", "newsletter", "", "", "2026-04-01T12:00:00Z", "{}"}
		if !slices.Equal(table[21], want) {
			t.Errorf("got %q", table[21])
		}
		if r := table[31]; r[2] != `'=cmd|'/c calc'!A1` || r[3] != "'+44" || r[5] != "'-1" || r[6] != "'@sum(1)" {
			t.Errorf("a spreadsheet runs %q", r)
		}
		if table[1][11] != "GB-ENG" || table[28][10] != "fairs" {
			t.Errorf("got %q, %q", table[1], table[28])
		}

		b.Reset()
		rows, err = w.segments.ExportJSONL(ctx, seg, &b, ExportOptions{Identified: true})
		w.ok(err)
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		var row struct {
			Email      string            `json:"email"`
			Types      []string          `json:"types"`
			Sources    []string          `json:"sources"`
			Attributes map[string]string `json:"attributes"`
		}
		w.ok(json.Unmarshal([]byte(lines[30]), &row))
		if rows != n || int64(len(lines)) != n || row.Email != "formula@example.com" || row.Attributes["a"] != "b,c" || len(row.Types) != 1 || row.Sources == nil {
			t.Errorf("got %s", lines[30])
		}

		b.Reset()
		rows, err = w.segments.ExportXLSX(ctx, seg, &b, ExportOptions{Identified: true})
		w.ok(err)
		if _, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
			t.Fatal(err)
		}
		book, err := excelize.OpenReader(&b)
		w.ok(err)
		sheet, err := book.GetRows("Sheet1")
		w.ok(err)
		if rows != n || int64(len(sheet)) != n+1 || sheet[31][2] != `=cmd|'/c calc'!A1` {
			t.Errorf("%d rows: %q", len(sheet), sheet[len(sheet)-1])
		}
		if f, err := book.GetCellFormula("Sheet1", "C32"); err != nil || f != "" {
			t.Errorf("the workbook holds a formula: %q, %v", f, err)
		}
	})
}

func TestS17S27APseudonymousExportNamesNobody(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		seg := w.crowd()
		ctx := t.Context()
		export := func() [][]string {
			var b bytes.Buffer
			n, err := w.segments.ExportCSV(ctx, seg, &b, ExportOptions{})
			w.ok(err)
			if strings.Contains(b.String(), "@") || strings.Contains(b.String(), "Person") || strings.Contains(b.String(), "ct_") {
				t.Errorf("identifiers in\n%s", b.String())
			}
			table, err := csv.NewReader(&b).ReadAll()
			w.ok(err)
			if n != 30 || len(table) != 31 {
				t.Errorf("%d rows, %d written", len(table)-1, n)
			}
			return table[1:]
		}
		first, second := export(), export()
		seen := map[string]bool{}
		values := make([]map[string]int, len(pseudonymousHeader))
		for i := range first {
			if first[i][0] == second[i][0] {
				t.Error("a pseudonym is good for two exports")
			}
			if !slices.Equal(first[i][1:], second[i][1:]) {
				t.Errorf("got %q and %q", first[i], second[i])
			}
			seen[first[i][0]] = true
			for c, v := range first[i][1:] {
				if values[c] == nil {
					values[c] = map[string]int{}
				}
				values[c][v]++
			}
		}
		if len(seen) != 30 {
			t.Errorf("%d pseudonyms", len(seen))
		}
		for c := range values {
			for v, n := range values[c] {
				if n < 5 {
					t.Errorf("%s %q is that of %d", pseudonymousHeader[c+1], v, n)
				}
			}
		}
		if values[0]["GB"] != 20 || values[0]["< 5"] != 10 {
			t.Errorf("countries %v", values[0])
		}
		small := w.segment(`{"rules":[{"field":"country","operator":"=","value":"DE"}]}`)
		var b bytes.Buffer
		if _, err := w.segments.ExportCSV(ctx, small, &b, ExportOptions{}); !strings.HasPrefix(fields(err)[0], "segment: holds fewer than 5 contacts") || b.Len() > 0 {
			t.Errorf("got %v and %q", err, b.String())
		}
	})
}
