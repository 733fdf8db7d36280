package schema

import (
	"encoding/json"
	"fmt"
	"time"
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

// UnmarshalJSON reads RFC 3339 or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	var v *time.Time
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("schema: want a time like 2026-04-01T12:00:00Z: %w", err)
	}
	*t = 0
	if v != nil {
		*t = At(*v)
	}
	return nil
}
