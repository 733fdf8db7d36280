package api

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"

	"github.com/xuri/excelize/v2"
)

// optedIn makes n contacts in Great Britain who agreed to the newsletter.
func (w *world) optedIn(n int) {
	w.t.Helper()
	for i := range n {
		var made struct{ ID string }
		w.call(Marketer, "POST", "/contacts", map[string]string{"email": fmt.Sprintf("reader%d@example.org", i), "name": "=1+1", "country": "GB"}).into(w.t, http.StatusCreated, &made)
		w.call(Marketer, "POST", "/contacts/"+made.ID+"/consent", grant).into(w.t, http.StatusCreated, nil)
	}
}

// segment makes a segment and returns its identifier.
func (w *world) segmentOf(name, rule string) string {
	w.t.Helper()
	var made struct{ ID string }
	w.call(Marketer, "POST", "/segments", `{"name":"`+name+`","company":"acme","rule":`+rule+`}`).into(w.t, http.StatusCreated, &made)
	return made.ID
}

const (
	british = `{"combinator":"and","not":false,"rules":[{"field":"country","operator":"=","value":"GB"}]}`
	irish   = `{"combinator":"and","not":false,"rules":[{"field":"country","operator":"=","value":"IE"}]}`
)

func TestASegmentFromRuleToExport(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		w.optedIn(6)
		w.contact("silent@example.org") // never agreed to anything
		seg := w.segmentOf("British", british)
		var count struct{ Count int }
		w.call(Analyst, "GET", "/segments/"+seg+"/count", nil).into(t, http.StatusOK, &count)
		if count.Count != 6 {
			t.Errorf("%d in the segment, want 6", count.Count)
		}
		w.call(Analyst, "GET", "/segments/"+seg+"/report", nil).into(t, http.StatusOK, nil)
		w.call(Marketer, "GET", "/segments/"+seg+"/report", nil).into(t, http.StatusOK, nil)

		for _, c := range []struct {
			name, query string
			role        Role
			identified  bool
		}{
			{"an analyst sees pseudonyms", "", Analyst, false},
			{"a marketer sees pseudonyms unless asking for more", "", Marketer, false},
			{"a marketer says no", "?identified=false&ground=consent", Marketer, false},
			{"a marketer has a ground", "?ground=contract", Marketer, true},
			{"an admin asks and has a ground", "?identified=true&ground=consent", Admin, true},
		} {
			got := w.call(c.role, "GET", "/segments/"+seg+"/export.csv"+c.query, nil)
			rows, err := csv.NewReader(strings.NewReader(string(got.body))).ReadAll()
			if err != nil || got.status != http.StatusOK || len(rows) != 7 {
				t.Fatalf("%s: %d %s, %v", c.name, got.status, got.body, err)
			}
			if strings.Contains(string(got.body), "@") != c.identified || strings.Contains(string(got.body), ",=1") {
				t.Errorf("%s: %s", c.name, got.body)
			}
			if cd := got.header.Get("Content-Disposition"); !strings.Contains(cd, seg+".csv") {
				t.Errorf("%s: saved as %q", c.name, cd)
			}
		}
		want := []string{"the analyst: segment.export", "the marketer: segment.export", "the marketer: segment.export", "the marketer: segment.export contract", "the admin: segment.export consent"}
		if got := w.logged(seg); !slices.Equal(got, want) {
			t.Errorf("logged %q", got)
		}

		lines := w.call(Analyst, "GET", "/segments/"+seg+"/export.jsonl", nil)
		if n := strings.Count(strings.TrimSpace(string(lines.body)), "\n") + 1; lines.status != http.StatusOK || n != 6 {
			t.Errorf("%d JSON lines: %s", n, lines.body)
		}
		book := w.call(Analyst, "GET", "/segments/"+seg+"/export.xlsx", nil)
		x, err := excelize.OpenReader(strings.NewReader(string(book.body)))
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := x.GetRows(x.GetSheetName(0)); err != nil || len(rows) != 7 {
			t.Errorf("the workbook has %d rows, %v", len(rows), err)
		}
	})
}

func TestS28IdentifiersLeaveOnARecordedGroundOnly(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	w.optedIn(6)
	seg := w.segmentOf("British", british)
	for _, c := range []struct {
		name, query string
		role        Role
		kind        kind
		field       []string
	}{
		{"no ground", "?identified=true", Marketer, noGround, []string{"ground"}},
		{"an empty ground", "?identified=true&ground=", Admin, noGround, []string{"ground"}},
		{"a ground of one's own", "?ground=curiosity", Marketer, noGround, []string{"ground"}},
		{"an analyst with a ground", "?ground=consent", Analyst, forbidden, nil},
		{"an analyst without", "?identified=true", Analyst, forbidden, nil},
		{"neither yes nor no", "?identified=maybe", Marketer, invalid, []string{"identified"}},
		{"a misspelt word", "?idenitfied=true", Marketer, unknownField, []string{"idenitfied"}},
	} {
		for _, ending := range []string{"csv", "jsonl", "xlsx"} {
			got := w.call(c.role, "GET", "/segments/"+seg+"/export."+ending+c.query, nil)
			got.is(t, c.kind, c.field...)
			if strings.Contains(string(got.body), "reader0") {
				t.Errorf("%s: %s", c.name, got.body)
			}
		}
	}
	if got := w.logged(seg); len(got) != 0 {
		t.Errorf("what was refused is logged as done: %q", got)
	}
}

func TestAnAnalystIsNotShownSmallGroupsNorWhoTheRuleNames(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	w.optedIn(3)
	seg := w.segmentOf("Few", british)
	var few struct {
		Count      *int
		Suppressed bool
	}
	w.call(Analyst, "GET", "/segments/"+seg+"/count", nil).into(t, http.StatusOK, &few)
	if few.Count != nil || !few.Suppressed {
		t.Errorf("an analyst was told of %v", *few.Count)
	}
	w.call(Marketer, "GET", "/segments/"+seg+"/count", nil).into(t, http.StatusOK, &few)
	if few.Count == nil || *few.Count != 3 {
		t.Errorf("a marketer was told of %v", few.Count)
	}
	w.call(Analyst, "GET", "/segments/"+seg+"/export.csv", nil).is(t, invalid, "segment")
	for _, path := range []string{"/segments", "/segments/" + seg} {
		if got := w.call(Analyst, "GET", path, nil); got.status != http.StatusOK || strings.Contains(string(got.body), "rule") {
			t.Errorf("an analyst was shown %s", got.body)
		}
		if got := w.call(Marketer, "GET", path, nil); !strings.Contains(string(got.body), "combinator") {
			t.Errorf("a marketer was not shown the rule: %s", got.body)
		}
	}
}

func TestSegmentsAreListedNewestFirst(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	for _, name := range []string{"one", "two", "three"} {
		w.segmentOf(name, irish)
	}
	var names []string
	for path := "/segments?limit=2"; path != ""; {
		var p items
		w.call(Analyst, "GET", path, nil).into(t, http.StatusOK, &p)
		for _, i := range p.Items {
			names = append(names, i["name"].(string))
		}
		if path = ""; p.Next != nil {
			path = "/segments?limit=2&cursor=" + *p.Next
		}
	}
	if !slices.Equal(names, []string{"three", "two", "one"}) {
		t.Errorf("got %q", names)
	}
}

func TestRulesThatCannotBeReadAreToldByPlace(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	for _, c := range []struct{ name, rule, field string }{
		{"an unknown field", `{"combinator":"and","rules":[{"field":"country","operator":"=","value":"GB"},{"field":"shoe_size","operator":"=","value":42}]}`, "rule.rules[1].field"},
		{"an unknown operator", `{"combinator":"and","rules":[{"field":"country","operator":"~","value":"GB"}]}`, "rule.rules[0].operator"},
		{"no rule", `null`, "rule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.call(Marketer, "POST", "/segments", `{"name":"x","company":"acme","rule":`+c.rule+`}`).is(t, invalid, c.field)
		})
	}
	w.call(Marketer, "POST", "/segments", `{"rule":`+british+`}`).is(t, invalid, "name", "company")
	for _, path := range []string{"", "/count", "/report", "/export.csv", "/export.jsonl", "/export.xlsx"} {
		w.call(Marketer, "GET", "/segments/seg_zz"+path, nil).is(t, notFound)
	}
}
