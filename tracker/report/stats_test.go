package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/tracker/counter"
	"beckon/tracker/event"

	"pgregory.net/rapid"
)

const hour = schema.Time(1_700_000_000_000_000 - 1_700_000_000_000_000%3_600_000_000)

func campaign(t *testing.T, db *schema.DB) id.Campaign {
	t.Helper()
	ctx := t.Context()
	for _, q := range []string{
		`INSERT INTO companies (id, slug, name, created_at) VALUES (1, 'acme', 'ACME', 1)`,
		`INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at) VALUES (7, 'c', 1, 'newsletter', 's', 'a@acme.example', 'h', '{}', 'consented', 'finished', 1)`,
		`INSERT INTO links (campaign, position, label, url) VALUES (7, 1, 'First', 'https://a.example/'), (7, 2, 'Second', 'https://b.example/')`,
		`INSERT INTO contacts (id, email, created_at, updated_at) VALUES (1, 'a@x.example', 1, 1), (2, 'b@x.example', 1, 1), (3, 'c@x.example', 1, 1), (4, 'd@x.example', 1, 1)`,
		`INSERT INTO messages (id, campaign, contact, mode, status, opened_at) VALUES (1, 7, 1, 'identified', 'sent', 5), (2, 7, 2, 'identified', 'sent', 0), (3, 7, 3, 'anonymous', 'sent', 0), (4, 7, 4, '', 'skipped', 0)`,
		`INSERT INTO message_links (message, link, first_at) VALUES (1, 1, 9), (1, 2, 9), (2, 1, 9)`,
	} {
		if _, err := db.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	cells := []struct {
		hour            schema.Time
		kind            string
		link            int
		verdict, region string
		n               int
	}{
		{hour, "open", 0, "person", "GB-ENG", 2}, {hour, "open", 0, "machine", "", 9}, {hour, "open", 0, "unverifiable", "", 1},
		{hour, "open", 0, "anonymous", "GB-ENG", 8}, {hour, "open", 0, "anonymous", "FR", 2}, {hour, "open", 0, "anonymous-machine", "", 3}, {hour, "open", 0, "private", "", 6},
		{hour, "click", 1, "person", "GB-ENG", 3}, {hour, "click", 2, "person", "DE-BY", 1}, {hour + 3_600_000_000, "click", 1, "anonymous", "FR", 20},
	}
	for i, c := range cells {
		node := []string{"n1", "n2"}[i%2]
		if _, err := db.Exec(ctx, `INSERT INTO counts (campaign, hour, kind, link, verdict, region, node, n) VALUES `+schema.Rows(1, 8), 7, c.hour, c.kind, c.link, c.verdict, c.region, node, c.n); err != nil {
			t.Fatal(err)
		}
	}
	return 7
}

func now() time.Time { return time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC) }

func TestFiguresTellPeopleMachinesAndTheRestApart(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s, err := New(db, nil, now).Stats(t.Context(), campaign(t, db), Viewer{})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Base{Sent: 3, Identified: 2, Anonymous: 1}); s.Base != want {
			t.Errorf("base %+v, want %+v", s.Base, want)
		}
		n := func(i int64) Number { return Number{N: i} }
		if want := (Hits{Total: n(31), Unique: n(1), Person: n(2), Machine: n(12), Unverifiable: n(1), Anonymous: n(16)}); s.Opens != want {
			t.Errorf("opens %+v, want %+v", s.Opens, want)
		}
		if want := (Hits{Total: n(24), Unique: n(2), Person: n(4), Anonymous: n(20)}); s.Clicks != want {
			t.Errorf("clicks %+v, want %+v", s.Clicks, want)
		}
		if len(s.Links) != 2 || s.Links[0].Total != n(23) || s.Links[0].Unique != n(2) || s.Links[1].Total != n(1) || s.Links[1].Unique != n(1) {
			t.Errorf("links %+v", s.Links)
		}
	})
}

// TestS17SmallAnonymousGroupsAreNotShown: two anonymous opens from one region are left out for
// everybody, and with them the next smallest group, or the total would give them away.
func TestS17SmallAnonymousGroupsAreNotShown(t *testing.T) {
	db := servertest.SQLite(t)
	s, err := New(db, nil, now).Stats(t.Context(), campaign(t, db), Viewer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Regions {
		switch g.Region {
		case "FR":
			if !g.Opens.Hidden || !g.Suppressed || g.Clicks.N != 20 {
				t.Errorf("FR: %+v", g)
			}
		case "unknown": // six private opens, the next smallest anonymous group; one unverifiable is left
			if g.Opens.N != 1 || !g.Suppressed {
				t.Errorf("unknown: %+v", g)
			}
		case "GB-ENG":
			if g.Opens.N != 10 || g.Suppressed {
				t.Errorf("GB-ENG: %+v", g)
			}
		}
	}
}

func TestS17AnAnalystSeesNoGroupUnderK(t *testing.T) {
	db := servertest.SQLite(t)
	s, err := New(db, nil, now).Stats(t.Context(), campaign(t, db), Viewer{Analyst: true})
	if err != nil {
		t.Fatal(err)
	}
	var table, lines bytes.Buffer
	if err := s.WriteCSV(&table, DefaultK); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteJSONL(&lines); err != nil {
		t.Fatal(err)
	}
	s.each(func(part, name, measure string, n Number) {
		if part != "base" && !n.Hidden && n.N > 0 && n.N < DefaultK {
			t.Errorf("%s %s %s shows %d", part, name, measure, n.N)
		}
	})
	if !strings.Contains(table.String(), "< 5") || !strings.Contains(lines.String(), `"value":null,"suppressed":true`) {
		t.Errorf("suppression is not told:\n%s\n%s", &table, &lines)
	}
	b, err := json.Marshal(s)
	if err != nil || !bytes.Contains(b, []byte(`"person":null`)) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestNoTotalGivesAHiddenPartAway is the law of hold: of what is held back nobody can compute a part,
// and the sum, which everybody can compute, is of k or more.
func TestNoTotalGivesAHiddenPartAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.Int64Range(2, 10).Draw(t, "k")
		parts := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 8).Draw(t, "parts")
		rest := rapid.SampledFrom([]int64{0, 0, 1, 3, 30}).Draw(t, "rest")
		var hidden, sum, all int64
		for i, held := range hold(k, rest, parts...) {
			all += parts[i]
			if held {
				hidden++
				sum += parts[i]
			} else if parts[i] > 0 && parts[i] < k {
				t.Fatalf("a part of %d is shown", parts[i])
			}
		}
		if rest > 0 {
			hidden, sum, all = hidden+1, sum+rest, all+rest
		}
		few := (hidden == 1 && rest == 0) || (hidden == 1 && rest < k) || (hidden > 0 && sum < k)
		if few && all >= k && len(parts) > 1 {
			t.Fatalf("%d of %d (and %d without a row) held back are %d together", hidden, len(parts), rest, sum)
		}
	})
}

// anyTotals makes the totals of a campaign with two links.
func anyTotals(t *rapid.T) counter.Totals {
	totals := counter.Totals{}
	for range rapid.IntRange(0, 12).Draw(t, "cells") {
		c := event.Cell{
			Hour: hour.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "hour")) * time.Hour), Kind: rapid.SampledFrom([]event.Kind{event.Open, event.Click}).Draw(t, "kind"),
			Verdict: rapid.SampledFrom([]event.Verdict{event.Person, event.Unverifiable, event.Machine, event.Anonymous, event.Anonymous, event.AnonymousMachine, event.Private}).Draw(t, "verdict"),
			Region:  rapid.SampledFrom([]string{"", "GB-ENG", "GB-SCT", "FR"}).Draw(t, "region"),
		}
		if c.Kind == event.Click {
			c.Link = rapid.IntRange(1, 2).Draw(t, "link")
		}
		if c.Verdict == event.Private {
			c.Link, c.Region = 0, ""
		}
		totals.Add(c, rapid.Int64Range(1, 12).Draw(t, "n"))
	}
	return totals
}

type fixed counter.Totals

func (f fixed) Read(context.Context, id.Campaign) (counter.Totals, error) {
	return counter.Totals(f), nil
}

// column reads one column of each table, as "table/row" → number.
func column(s *Stats, click bool) map[string]map[string]Number {
	m := map[string]map[string]Number{"regions": {}, "hours": {}}
	for _, g := range s.Regions {
		m["regions"][g.Region] = pick(click, g.Clicks, g.Opens)
	}
	for _, h := range s.Hourly {
		m["hours"][h.At.String()] = pick(click, h.Clicks, h.Opens)
	}
	if click {
		m["links"] = map[string]Number{}
		for _, l := range s.Links {
			m["links"][l.Label] = l.Total
		}
	}
	return m
}

func marked(s *Stats) map[string]int {
	m := map[string]int{}
	for _, g := range s.Regions {
		if g.Suppressed {
			m["regions"]++
		}
	}
	for _, h := range s.Hourly {
		if h.Suppressed {
			m["hours"]++
		}
	}
	for _, l := range s.Links {
		if l.Suppressed {
			m["links"]++
		}
	}
	return m
}

// TestNobodyCanSubtractASmallGroup looks at the figures as somebody who knows the sums would.
func TestNobodyCanSubtractASmallGroup(t *testing.T) {
	db := servertest.SQLite(t)
	which := campaign(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		totals := anyTotals(rt)
		r := New(db, fixed(totals), now)
		look := func(v Viewer) *Stats {
			s, err := r.Stats(t.Context(), which, v)
			if err != nil {
				rt.Fatal(err)
			}
			return &s
		}
		const k = DefaultK
		truth, analyst, marketer := look(Viewer{K: 1}), look(Viewer{Analyst: true}), look(Viewer{})
		nobody := counter.Totals{}
		for f, n := range totals {
			if isAnonymous(f.Verdict) {
				nobody[f] = n
			}
		}
		r = New(db, fixed(nobody), now)
		anonymous := look(Viewer{K: 1})
		for _, click := range []bool{false, true} {
			h, shown := pick(click, truth.Clicks, truth.Opens), pick(click, analyst.Clicks, analyst.Opens)
			people := h.Total.N - h.Machine.N
			for name, rows := range column(truth, click) {
				var hidden int
				var sum, all int64
				for row, n := range rows {
					all += n.N
					got := column(analyst, click)[name][row]
					switch {
					case got.Hidden:
						hidden++
						sum += n.N
					case got != n:
						rt.Fatalf("%s %s reads %d, is %d", name, row, got.N, n.N)
					case n.N > 0 && n.N < k:
						rt.Fatalf("an analyst sees %d in %s %s", n.N, name, row)
					}
				}
				if rest := people - all; rest > 0 {
					if hidden == 0 && rest < k {
						rt.Fatalf("%s give away %d who asked not to be tracked", name, rest)
					}
					hidden, sum = hidden+1, sum+rest
				}
				if people >= k && ((hidden == 1 && sum < k) || (hidden > 0 && sum < k)) {
					rt.Fatalf("%s give away %d", name, sum)
				}
			}
			if people > 0 && people < k && (!shown.Total.Hidden || !shown.Person.Hidden || !shown.Unverifiable.Hidden || !shown.Anonymous.Hidden) {
				rt.Fatalf("an analyst sees of %d people: %+v", people, shown)
			}
			for name, rows := range column(marketer, click) {
				taken := int64(0)
				for row, got := range rows {
					n, part := column(truth, click)[name][row].N, column(anonymous, click)[name][row].N
					switch {
					case !got.Hidden && got.N == n && part >= k || !got.Hidden && got.N == n && part == 0:
					case got.N == n-part && got.Hidden == (n == part):
						taken += part
					default:
						rt.Fatalf("a marketer sees %+v of %d (%d anonymous) in %s %s", got, n, part, name, row)
					}
				}
				// A row that says it is suppressed may have lost something or not.
				marked := marked(marketer)[name]
				if name == "links" && private(totals) >= k { // which have no row
					marked++
				}
				if taken > 0 && marked < 2 && len(rows) > 1 {
					rt.Fatalf("%s give away %d", name, taken)
				}
			}
			if got := pick(click, marketer.Clicks, marketer.Opens); got.Total != h.Total || got.Person != h.Person || got.Anonymous != h.Anonymous {
				rt.Fatalf("a marketer sees %+v, which is %+v", got, h)
			}
		}
	})
}

func TestTheOnlyRegionOfAFewAnonymousHitsIsNotGivenAwayByTheTotal(t *testing.T) {
	db := servertest.SQLite(t)
	which := campaign(t, db)
	totals := counter.Totals{}
	totals.Add(event.Cell{Hour: hour, Kind: event.Open, Verdict: event.Anonymous, Region: "GB-ENG"}, 3)
	s, err := New(db, fixed(totals), now).Stats(t.Context(), which, Viewer{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Opens.Anonymous.N != 3 || len(s.Regions) != 2 || !s.Regions[0].Opens.Hidden || !s.Regions[1].Opens.Hidden {
		t.Errorf("%+v, %+v", s.Opens, s.Regions)
	}
}

func TestMachinesCountNoPeopleAndAreShown(t *testing.T) {
	db := servertest.SQLite(t)
	which := campaign(t, db)
	totals := counter.Totals{}
	totals.Add(event.Cell{Hour: hour, Kind: event.Open, Verdict: event.Machine}, 2)
	totals.Add(event.Cell{Hour: hour, Kind: event.Open, Verdict: event.Person}, 3)
	s, err := New(db, fixed(totals), now).Stats(t.Context(), which, Viewer{Analyst: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Opens.Machine.N != 2 || !s.Opens.Total.Hidden || !s.Opens.Person.Hidden || !s.Opens.Suppressed || s.Clicks.Suppressed != true {
		t.Errorf("%+v, %+v", s.Opens, s.Clicks)
	}
}

func TestRatesSayTheirBase(t *testing.T) {
	s := Stats{Base: Base{Sent: 30, Identified: 20, Anonymous: 10}}
	s.Opens.Unique.N, s.Clicks.Unique.Hidden = 5, true
	got := s.Rates()
	if got.Opened.Base != 20 || got.Opened.Share == nil || *got.Opened.Share != 0.25 || got.Clicked.Share != nil {
		t.Errorf("%+v", got)
	}
	if none := (&Stats{}).Rates(); none.Opened.Share != nil {
		t.Errorf("a share of nothing: %+v", none)
	}
}

func TestTheOrderOfRegionsDoesNotTellWhatIsHidden(t *testing.T) {
	db := servertest.SQLite(t)
	which := campaign(t, db)
	totals := counter.Totals{}
	for i, region := range []string{"AT", "BE", "CH", "DE"} {
		totals.Add(event.Cell{Hour: hour, Kind: event.Open, Verdict: event.Person, Region: region}, []int64{1, 4, 90, 3}[i])
	}
	s, err := New(db, fixed(totals), now).Stats(t.Context(), which, Viewer{Analyst: true})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, g := range s.Regions {
		order = append(order, g.Region)
	}
	if got := strings.Join(order, " "); got != "CH AT BE DE" {
		t.Errorf("got %s", got)
	}
}

type broken struct{}

func (broken) Read(context.Context, id.Campaign) (counter.Totals, error) {
	return nil, errors.New("redis is down")
}

func TestWithoutRedisTheDurableTotalsAreTold(t *testing.T) {
	db := servertest.SQLite(t)
	s, err := New(db, broken{}, now).Stats(t.Context(), campaign(t, db), Viewer{})
	if err != nil || s.Opens.Total.N != 31 {
		t.Fatalf("%+v, %v", s.Opens, err)
	}
}
