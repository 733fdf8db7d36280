package mailer

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Window says at which hours messages of a campaign may be sent. One whose end is not after its start
// goes on over midnight; its day is the one on which it starts. Hours are those of the clocks in the
// zone, summer time included: an hour that clocks leap over starts when they have leapt, and one that
// they show twice is the first.
type Window struct {
	From string   `json:"from"` // 08:00
	To   string   `json:"to"`   // 18:00, not included; 24:00 is midnight
	Zone string   `json:"zone"` // Europe/London
	Days []string `json:"days"` // mon to sun; none: every day
}

var errZone = errors.New("mailer: no time zone")

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// check normalises the window and says what is wrong with it.
func (w *Window) check(f *faults) {
	from, fromOK := minutes(w.From)
	to, toOK := minutes(w.To)
	if !fromOK || from == 24*60 {
		f.add("window.from", "must be a time from 00:00 to 23:59, such as 08:00")
	}
	if !toOK || to == 0 {
		f.add("window.to", "must be a time from 00:01 to 24:00, such as 18:00")
	} else if fromOK && from == to {
		f.add("window.to", "is the same as from: for whole days write 00:00 to 24:00")
	}
	if _, err := w.location(); err != nil {
		f.add("window.zone", "must be the name of a time zone, such as Europe/London or UTC")
	}
	days := []string{}
	for _, d := range w.Days {
		switch d = strings.ToLower(strings.TrimSpace(d)); {
		case !slices.Contains(weekdays, d):
			f.add("window.days", "must be of mon, tue, wed, thu, fri, sat and sun; leave it out for every day")
			return
		case !slices.Contains(days, d):
			days = append(days, d)
		}
	}
	w.Days = days
}

func (w *Window) location() (*time.Location, error) {
	if w.Zone == "" || w.Zone == "Local" { // that is UTC, and the machine's
		return nil, errZone
	}
	return time.LoadLocation(w.Zone)
}

// minutes reads 08:00 as minutes after midnight.
func minutes(s string) (int, bool) {
	if s == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil && len(s) == 5
}

// open says whether messages may be sent now, and when that changes next, or that it does not for a
// week. A window that cannot be read is never open.
func (w *Window) open(now time.Time) (open bool, until time.Time) {
	zone, err := w.location()
	from, fromOK := minutes(w.From)
	to, toOK := minutes(w.To)
	if !fromOK || !toOK || err != nil {
		return false, now.AddDate(1, 0, 0)
	}
	if to <= from {
		to += 24 * 60
	}
	until = now
	y, m, d := now.In(zone).Date()
	for day := -1; day <= 9; day++ {
		date := time.Date(y, m, d+day, 12, 0, 0, 0, time.UTC)
		if len(w.Days) > 0 && !slices.Contains(w.Days, weekdays[date.Weekday()]) {
			continue
		}
		start, end := onClock(date, from, zone), onClock(date, to, zone)
		switch {
		case !end.After(until) || !end.After(start): // over, or leapt over
		case !start.After(until): // without a break
			open, until = true, end
		case !open:
			return false, start.In(zone)
		default:
			return true, until
		}
	}
	if !open { // clocks leap over it
		return false, now.AddDate(0, 0, 1)
	}
	return open, until
}

// onClock is the first moment of the date at which the zone's clocks show so many minutes after
// midnight, or a later time if they never do.
func onClock(date time.Time, minutes int, zone *time.Location) time.Time {
	y, m, d := date.Date()
	wall := time.Date(y, m, d, 0, minutes, 0, 0, time.UTC)
	_, before := wall.Add(-26 * time.Hour).In(zone).Zone()
	_, after := wall.Add(26 * time.Hour).In(zone).Zone()
	early := wall.Add(-time.Duration(max(before, after)) * time.Second)
	late := wall.Add(-time.Duration(min(before, after)) * time.Second)
	for _, t := range []time.Time{early, late} {
		if shown := t.In(zone); shown.Hour() == wall.Hour() && shown.Minute() == wall.Minute() {
			return t
		}
	}
	if start, _ := late.In(zone).ZoneBounds(); !start.IsZero() { // they leap over it
		return start
	}
	return late
}

// storedWindow is how a window is kept.
func storedWindow(w *Window) (string, error) {
	if w == nil {
		return "", nil
	}
	b, err := json.Marshal(w)
	return string(b), err
}

// window is the one that Create wrote.
func (r row) window() *Window {
	if r.Window == "" {
		return nil
	}
	w := &Window{}
	_ = json.Unmarshal([]byte(r.Window), w) // an unreadable one is never open
	return w
}
