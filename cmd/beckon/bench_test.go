package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
)

// TestTheBenchCountsWhatItDrove: figures of speed depend on the machine, what is counted does not.
func TestTheBenchCountsWhatItDrove(t *testing.T) {
	r, err := benchTracker(t.Context(), benchOptions{connections: 8, recipients: 40, rounds: 1, each: 200 * time.Millisecond}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// A request that the end of the time cut off may be counted and not answered.
	if r.Answered == 0 || r.Counted < r.Answered || r.Counted > r.Answered+8 || r.Lost != 0 || !r.Agree || r.Bare.Hits == 0 || r.Beckon.Failed != 0 {
		t.Errorf("%+v", r)
	}
	var b bytes.Buffer
	if err := r.print(&b); err != nil || !strings.Contains(b.String(), "bare Echo") || !strings.Contains(b.String(), "ratio") {
		t.Errorf("%s, %v", &b, err)
	}
}

func TestTheMailBenchSendsToTheSink(t *testing.T) {
	sink, err := demo.ListenCatcher("127.0.0.1:0", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	r, err := benchMailer(t.Context(), mailOptions{sink: sink.Addr(), messages: 30, connections: 2, rounds: 2, sign: true}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 60 || len(sink.All()) != 60 || r.PerSec <= 0 || r.Signing <= 0 || r.Bytes < 18<<10 || r.Bytes > 24<<10 {
		t.Errorf("%+v, %d came", r, len(sink.All()))
	}
	if n := strings.Count(sink.All()[0].HTML, "/c/"); n != 11 { // and the one that no person sees
		t.Errorf("%d links", n)
	}
	var b bytes.Buffer
	if err := r.print(&b); err != nil || !strings.Contains(b.String(), "signing alone") {
		t.Errorf("%s, %v", &b, err)
	}
}

func TestTheSegmentBenchCountsWhatItImported(t *testing.T) {
	for _, use := range []string{"import", "segments"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"bench", use, "--rows", "50", "--json"}, &out, &errs); code != 0 {
			t.Fatalf("%s: %d %s", use, code, &errs)
		}
		var all []figure
		if err := json.Unmarshal(out.Bytes(), &all); err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"import with consents": 50, "count, everybody": 50, "count, two conditions": 20, "export as CSV, identified": 50}
		for _, f := range all {
			if f.Rows != want[f.What] || f.Seconds <= 0 {
				t.Errorf("%+v, want %d rows", f, want[f.What])
			}
		}
		if n := map[string]int{"import": 1, "segments": 4}[use]; len(all) != n {
			t.Errorf("%s: %d figures, want %d", use, len(all), n)
		}
	}
}

func TestGeoUpdateSaysWhatItNeeds(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"geo", "update", "--provider", "nobody", "--geo", "x.mmdb"}, "neither geolite2 nor dbip"},
		{[]string{"geo", "update", "--provider", "dbip"}, "BECKON_GEO"},
		{[]string{"geo", "update", "--provider", "geolite2", "--geo", t.TempDir() + "/x.mmdb"}, "account"},
	} {
		t.Setenv("BECKON_GEO", "")
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errs); code != 1 || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v: %d %s", c.args, code, &errs)
		}
	}
}
