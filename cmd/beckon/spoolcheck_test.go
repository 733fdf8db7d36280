package main

import (
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/tracker/event"
)

// openGate lets every hit through.
type openGate struct{}

func (openGate) TrackOpen(_, _, _ string) consent.Fragment { return consent.Fragment{SQL: "1 = 1"} }

func TestANodeIsReadyAsLongAsHitsGetThrough(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	spool, err := event.OpenSpool(t.TempDir(), event.Options{Now: clock, MaxBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	c := &spoolCheck{spool: spool, now: clock}
	hits := func(n int) {
		for range n {
			h := event.Hit{At: schema.At(now), Kind: event.Open, Campaign: 1, Verdict: event.Person}
			if _, err := spool.Append(t.Context(), h); err != nil && spool.Lost() == 0 {
				t.Fatal(err)
			}
		}
	}
	expect := func(when string, want bool) {
		t.Helper()
		if err := c.ready(t.Context()); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	expect("at first", true)
	hits(3)
	expect("hits wait", true)
	now = now.Add(staleSpool + time.Second)
	expect("they have waited for long", false)
	drain := &event.Drain{DB: servertest.SQLite(t), Gate: openGate{}, Spool: spool}
	if err := drain.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("they are drained", true)
	hits(3)
	now = now.Add(staleSpool - time.Second)
	expect("others wait", true)
	now = now.Add(2 * time.Second)
	expect("others have waited for long", false)
	for spool.Bytes() <= spool.MaxBytes()/2 {
		hits(20)
	}
	expect("the spool fills", false)
	for spool.Lost() == 0 {
		hits(20)
	}
	expect("hits are lost", false)
}
