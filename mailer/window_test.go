package mailer

import (
	"slices"
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	london := Window{From: "08:00", To: "18:00", Zone: "Europe/London", Days: []string{"mon", "tue", "wed", "thu", "fri"}}
	night := Window{From: "22:00", To: "06:00", Zone: "Europe/London", Days: []string{"fri"}}
	leapt := Window{From: "01:30", To: "05:00", Zone: "Europe/London"} // on 29 March 2026 clocks go from 01:00 to 02:00
	inGap := Window{From: "01:10", To: "01:50", Zone: "Europe/London"}
	always := Window{From: "00:00", To: "24:00", Zone: "America/New_York"}
	for _, c := range []struct {
		says string
		w    Window
		now  string
		open bool
		next string // when that changes; empty: a week or more later
	}{
		{"a winter morning before it opens", london, "2026-01-05T07:59:59Z", false, "2026-01-05T08:00:00Z"},
		{"the moment it opens", london, "2026-01-05T08:00:00Z", true, "2026-01-05T18:00:00Z"},
		{"the moment it closes", london, "2026-01-05T18:00:00Z", false, "2026-01-06T08:00:00Z"},
		{"a summer morning, an hour earlier by UTC", london, "2026-07-06T07:00:00Z", true, "2026-07-06T17:00:00Z"},
		{"a Friday evening", london, "2026-07-10T17:00:00Z", false, "2026-07-13T07:00:00Z"},
		{"the weekend on which summer begins", london, "2026-03-28T12:00:00Z", false, "2026-03-30T07:00:00Z"},
		{"the weekend on which summer ends", london, "2026-10-24T12:00:00Z", false, "2026-10-26T08:00:00Z"},
		{"before a night", night, "2026-01-09T21:00:00Z", false, "2026-01-09T22:00:00Z"},
		{"a night's second day", night, "2026-01-10T05:59:59Z", true, "2026-01-10T06:00:00Z"},
		{"the night after", night, "2026-01-10T23:00:00Z", false, "2026-01-16T22:00:00Z"},
		{"a night that loses an hour, to 06:00 of the clock", Window{From: "22:00", To: "06:00", Zone: "Europe/London", Days: []string{"sat"}}, "2026-03-28T23:00:00Z", true, "2026-03-29T05:00:00Z"},
		{"a night that gains an hour", Window{From: "22:00", To: "06:00", Zone: "Europe/London", Days: []string{"sat"}}, "2026-10-24T23:00:00Z", true, "2026-10-25T06:00:00Z"},
		{"a start that clocks leap over is when they have leapt", leapt, "2026-03-29T00:50:00Z", false, "2026-03-29T01:00:00Z"},
		{"and then it is open", leapt, "2026-03-29T01:00:00Z", true, "2026-03-29T04:00:00Z"},
		{"a window that clocks leap over is left out", inGap, "2026-03-29T00:30:00Z", false, "2026-03-30T00:10:00Z"},
		{"an hour that clocks show twice is the first", leapt, "2026-10-25T00:29:00Z", false, "2026-10-25T00:30:00Z"},
		{"and it stays open through the second", leapt, "2026-10-25T01:10:00Z", true, "2026-10-25T05:00:00Z"},
		{"an end that clocks show twice is the first", inGap, "2026-10-25T01:20:00Z", false, "2026-10-26T01:10:00Z"},
		{"whole days", always, "2026-03-08T06:30:00Z", true, ""},
		{"half an hour off", Window{From: "09:00", To: "10:00", Zone: "Asia/Kolkata"}, "2026-05-01T00:00:00Z", false, "2026-05-01T03:30:00Z"},
		{"a zone that is another day", Window{From: "09:00", To: "10:00", Zone: "Pacific/Auckland", Days: []string{"mon"}}, "2026-05-03T20:00:00Z", false, "2026-05-03T21:00:00Z"},
		{"unreadable", Window{From: "x"}, "2026-05-03T20:00:00Z", false, ""},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		open, next := c.w.open(now)
		if open != c.open {
			t.Errorf("%s: open is %t", c.says, open)
		}
		if got := next.UTC().Format(time.RFC3339); c.next != "" && got != c.next || c.next == "" && next.Sub(now) < 7*24*time.Hour {
			t.Errorf("%s: it changes at %s, want %s", c.says, got, c.next)
		}
	}
}

// Every minute of two years is open exactly if clocks say so.
func TestAWindowIsOpenByTheClock(t *testing.T) {
	for _, w := range []Window{
		{From: "08:00", To: "18:00", Zone: "Europe/London", Days: []string{"mon", "sun"}},
		{From: "22:00", To: "04:00", Zone: "America/New_York", Days: []string{"sat"}},
		{From: "09:15", To: "09:45", Zone: "Australia/Lord_Howe"},
	} {
		zone, err := w.location()
		if err != nil {
			t.Fatal(err)
		}
		from, _ := minutes(w.From)
		to, _ := minutes(w.To)
		for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2027; at = at.Add(31 * time.Minute) {
			local := at.In(zone)
			clock, day := local.Hour()*60+local.Minute(), local.Weekday()
			want := clock >= from && clock < to
			if to < from {
				want = clock >= from || clock < to
				if clock < to {
					day = (day + 6) % 7
				}
			}
			want = want && (len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day]))
			open, next := w.open(at)
			if open != want || !next.After(at) {
				t.Fatalf("%+v at %s: open %t, changes at %s", w, local, open, next)
			}
		}
	}
}

func TestBadWindows(t *testing.T) {
	good := Window{From: "08:00", To: "18:00", Zone: "Europe/London", Days: []string{" Mon", "mon", "fri"}}
	var f faults
	if good.check(&f); len(f.Fields) > 0 || !slices.Equal(good.Days, []string{"mon", "fri"}) {
		t.Errorf("%v, %q", f.Fields, good.Days)
	}
	for field, change := range map[string][]func(*Window){
		"window.from": {func(w *Window) { w.From = "" }, func(w *Window) { w.From = "8:00" }, func(w *Window) { w.From = "24:00" }, func(w *Window) { w.From = "08:60" }},
		"window.to":   {func(w *Window) { w.To = "08:00" }, func(w *Window) { w.To = "25:00" }, func(w *Window) { w.To = "00:00" }},
		"window.zone": {func(w *Window) { w.Zone = "" }, func(w *Window) { w.Zone = "Local" }, func(w *Window) { w.Zone = "London" }, func(w *Window) { w.Zone = "../etc/passwd" }},
		"window.days": {func(w *Window) { w.Days = []string{"monday"} }},
	} {
		for i, c := range change {
			w := good
			c(&w)
			var f faults
			if w.check(&f); len(f.Fields) != 1 || f.Fields[0].Field != field {
				t.Errorf("%s, change %d: %v", field, i, f.Fields)
			}
		}
	}
}
