package schema_test

import (
	"encoding/json"
	"testing"
	"time"

	"beckon/schema"
)

func TestTimesAreReadAsClocksShowThem(t *testing.T) {
	for in, want := range map[string]string{
		"2026-12-01T09:00:00Z":                 "2026-12-01T09:00:00Z",
		"2026-12-01T09:00:00.25-05:00":         "2026-12-01T14:00:00.25Z",
		"2026-12-01T09:00[Europe/London]":      "2026-12-01T09:00:00Z",
		"2026-07-01T09:00:30[Europe/London]":   "2026-07-01T08:00:30Z",
		"2026-07-01T09:00[America/New_York]":   "2026-07-01T13:00:00Z",
		"2026-07-01T00:10[Pacific/Kiritimati]": "2026-06-30T10:10:00Z",
		"2026-10-25T01:30[Europe/London]":      "2026-10-25T00:30:00Z", // shown twice: the first
		"2026-03-29T02:00[Europe/London]":      "2026-03-29T01:00:00Z",
		"2026-03-29T01:30[Europe/London]":      "", // leapt over
		"2026-03-08T02:30[America/New_York]":   "",
		"2026-12-01T09:00":                     "",
		"2026-12-01T09:00Z[Europe/London]":     "",
		"2026-12-01T09:00[London]":             "",
		"2026-12-01T09:00[Local]":              "",
		"2026-12-01T09:00[]":                   "",
		"2026-12-01T09:00[Europe/London":       "",
		"2026-12-01T09:00[../../etc/passwd]":   "",
		"2026-02-30T09:00[Europe/London]":      "",
		"tomorrow":                             "",
	} {
		b, _ := json.Marshal(in)
		got := schema.Time(7)
		err := json.Unmarshal(b, &got)
		if want == "" {
			if err == nil || got != 0 {
				t.Errorf("%s is read as %s, %v", in, got, err)
			}
			continue
		}
		at, _ := time.Parse(time.RFC3339Nano, want)
		if err != nil || got != schema.At(at) {
			t.Errorf("%s is read as %s, %v; want %s", in, got, err, want)
		}
	}
	got := schema.Time(7)
	if err := json.Unmarshal([]byte("null"), &got); err != nil || got != 0 {
		t.Errorf("null is read as %s, %v", got, err)
	}
}
