package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones are known by name on every machine
)

// Time is an instant as the database keeps it: microseconds since 1970-01-01 UTC, zero for
// "never". It compares and sorts alike in both dialects, and in JSON it is RFC 3339 or null.
type Time int64

// At returns t to the microsecond; the zero time is the zero Time.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// T returns the instant in UTC; a zero Time gives the zero time.
func (t Time) T() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add returns t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// Hour returns the start of the hour that holds t.
func (t Time) Hour() Time { return t - t%Time(time.Hour.Microseconds()) }

// String returns RFC 3339 with microseconds, or "never".
func (t Time) String() string {
	if t == 0 {
		return "never"
	}
	return t.T().Format(time.RFC3339Nano)
}

// MarshalJSON writes RFC 3339 or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(t.T())
}

// UnmarshalJSON reads null or what ParseTime does.
func (t *Time) UnmarshalJSON(b []byte) error {
	var v *string
	err := json.Unmarshal(b, &v)
	*t = 0
	if err == nil && v != nil {
		*t, err = ParseTime(*v)
	}
	if err != nil {
		return fmt.Errorf("schema: want a time like 2026-04-01T12:00:00Z: %w", err)
	}
	return nil
}

// ParseTime reads RFC 3339, or what the clocks of a time zone show, such as
// 2026-12-01T09:00[Europe/London], with or without seconds. A time that they show twice is the first, one that
// they leap over is an error.
func ParseTime(s string) (Time, error) {
	local, zone, named := strings.Cut(s, "[")
	if !named {
		var at time.Time
		err := at.UnmarshalText([]byte(s))
		return At(at), err
	}
	zone, closed := strings.CutSuffix(zone, "]")
	loc, err := time.LoadLocation(zone)
	if err != nil || !closed || zone == "" || zone == "Local" {
		return 0, fmt.Errorf("schema: %q is no time zone such as Europe/London", zone)
	}
	shown, err := time.Parse("2006-01-02T15:04:05", local)
	if err != nil {
		if shown, err = time.Parse("2006-01-02T15:04", local); err != nil {
			return 0, fmt.Errorf("schema: before a time zone goes a local time such as 2026-12-01T09:00: %w", err)
		}
	}
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} { // what clocks were ahead by before and after
		_, ahead := shown.Add(near).In(loc).Zone()
		at := shown.Add(-time.Duration(ahead) * time.Second)
		if at.In(loc).Format(time.DateTime) == shown.Format(time.DateTime) {
			return At(at), nil
		}
	}
	return 0, fmt.Errorf("schema: the clocks of %s leap over %s", zone, local)
}
