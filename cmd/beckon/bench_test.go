package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
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
