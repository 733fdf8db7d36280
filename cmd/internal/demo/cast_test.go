package demo

import (
	"encoding/csv"
	"reflect"
	"strings"
	"testing"
	"time"

	"beckon/schema"

	"golang.org/x/text/encoding/unicode"
)

func TestTheSameSeedInventsTheSamePeople(t *testing.T) {
	size := Size{Providers: 200, Form: 300}
	a, b := NewCast(1, size), NewCast(1, size)
	if !reflect.DeepEqual(a, b) {
		t.Error("two casts of one seed differ")
	}
	if reflect.DeepEqual(a, NewCast(2, size)) {
		t.Error("two seeds give the same cast")
	}
}

func TestSomePeopleAreOnSeveralLists(t *testing.T) {
	c := NewCast(1, Size{Providers: 200, Form: 300})
	first, second, all := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range c.First {
		first[p.Email], all[p.Email] = true, true
	}
	both, again, leave := 0, 0, 0
	for _, p := range c.Second {
		second[p.Email], all[p.Email] = true, true
		if first[p.Email] {
			both++
		}
	}
	for _, p := range c.Form {
		if first[p.Email] || second[p.Email] {
			again++
		}
		if p.Acts == Leaver {
			leave++
		}
	}
	if len(all) != 200 || len(c.Form) != 300 || both == 0 || again == 0 || leave != leavers {
		t.Errorf("%d people of providers, %d on the form, %d at both providers, %d also on the form, %d leave", len(all), len(c.Form), both, again, leave)
	}
}

func TestTheFilesAreTheMessThatTheyClaimToBe(t *testing.T) {
	c := NewCast(1, Size{Providers: 40, Form: 120})
	first := c.firstProvider()
	if !strings.HasPrefix(string(first.body), "\ufeff") || first.rows != len(c.First)+first.bad {
		t.Errorf("first provider: %d rows, %d bad, %d people", first.rows, first.bad, len(c.First))
	}
	second, err := c.secondProvider()
	if err != nil {
		t.Fatal(err)
	}
	text, err := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Bytes(second.body)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(strings.NewReader(string(text)))
	r.Comma = '\t'
	if rows, err := r.ReadAll(); err != nil || len(rows)-1 != second.rows {
		t.Errorf("second provider: %d rows, want %d, %v", len(rows)-1, second.rows, err)
	}
	form := c.form("acme", "v1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if rows, err := csv.NewReader(strings.NewReader(string(form.body))).ReadAll(); err != nil || len(rows)-1 != form.rows || form.bad != 1 {
		t.Errorf("form: %d rows, want %d, %v", len(rows)-1, form.rows, err)
	}
}

func TestTheClockGoesForwardToNowAndNoFurther(t *testing.T) {
	c := NewClock(2 * time.Hour)
	before := c.Now()
	c.Forward(time.Hour)
	if d := c.Now().Sub(before); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("an hour forward was %s", d)
	}
	c.Forward(100 * time.Hour)
	if ahead := time.Until(c.Now()); ahead > 0 {
		t.Errorf("the clock is %s ahead", ahead)
	}
}

func TestALedgerIsReadWithoutTheGate(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	grant := LedgerRow{Action: "grant", Company: company, Channel: "email", Types: []string{"newsletter"}, Tracking: "yes", Applied: true, At: at(10)}
	for _, c := range []struct {
		name    string
		rows    []LedgerRow
		opted   int
		tracked bool // at 100
	}{
		{"nothing", nil, 0, false},
		{"a grant", []LedgerRow{grant}, 1, true},
		{"a grant that was not applied", []LedgerRow{{Action: "grant", Company: company, Channel: "email", Types: []string{"newsletter"}, Tracking: "yes", At: at(10)}}, 0, false},
		{"a grant to another company", []LedgerRow{{Action: "grant", Company: "other", Channel: "email", Types: []string{"newsletter"}, Tracking: "yes", Applied: true, At: at(10)}}, 0, false},
		{"a request", []LedgerRow{{Action: "request", Company: company, Channel: "email", Types: []string{"newsletter"}, Tracking: "yes", Applied: true, At: at(10)}}, 0, false},
		{"a grant and a withdrawal from everything", []LedgerRow{grant, {Action: "withdraw", Applied: true, At: at(20)}}, 0, false},
		{"a grant and a later one without tracking", []LedgerRow{grant, {Action: "grant", Company: company, Channel: "email", Types: []string{"newsletter"}, Tracking: "no", Applied: true, At: at(20)}}, 1, false},
		{"a grant that comes after the moment", []LedgerRow{{Action: "grant", Company: company, Channel: "email", Types: []string{"newsletter"}, Tracking: "yes", Applied: true, At: at(200)}}, 1, false},
	} {
		if got := len(optedIn(c.rows)); got != c.opted {
			t.Errorf("%s: opted in to %d types, want %d", c.name, got, c.opted)
		}
		if got := trackingAt(c.rows, schema.At(at(100))); got != c.tracked {
			t.Errorf("%s: tracking %v, want %v", c.name, got, c.tracked)
		}
	}
}

func TestOnlyBeaconsAndTrackedLinksAreFetched(t *testing.T) {
	beacons, links, hidden := fetched(`<a href="https://x.example/c/1">a</a><a href="https://x.example/c/1">again</a><a href="https://x.example/u/1">unsubscribe</a>
		<a href="mailto:a@b.example">mail</a><img src="https://x.example/o/1.gif"><img src="https://x.example/logo.png"><!-- <a href="https://x.example/c/2">hidden</a> -->
		<a href="https://x.example/c/3" aria-hidden="true"></a><a href="https://x.example/c/3" aria-hidden="true"></a>`)
	if len(beacons) != 1 || len(links) != 1 || len(hidden) != 1 || !strings.HasSuffix(hidden[0], "/3") {
		t.Errorf("%q, %q, %q", beacons, links, hidden)
	}
}
