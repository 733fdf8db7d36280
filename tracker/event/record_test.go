package event

import (
	"errors"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"

	"pgregory.net/rapid"
)

func TestHitsThatCannotBeCountedAreRefused(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	for what, change := range map[string]func(*Hit){
		"no kind":          func(h *Hit) { h.Kind = "" },
		"no verdict":       func(h *Hit) { h.Verdict = "" },
		"a count verdict":  func(h *Hit) { h.Verdict = Anonymous },
		"no campaign":      func(h *Hit) { h.Campaign = 0 },
		"no time":          func(h *Hit) { h.At = 0 },
		"a negative link":  func(h *Hit) { h.Link = -1 },
		"negative message": func(h *Hit) { h.Message = -1 },
	} {
		h := hit(1, 1)
		change(&h)
		if _, err := s.Append(t.Context(), h); !errors.Is(err, ErrHit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestTheSpoolHoldsNoMoreThanMayBeKept(t *testing.T) {
	late := day.Add(25 * time.Minute)
	full := Hit{At: late, Kind: Click, Campaign: 1, Message: 7, Link: 2, Verdict: Person, Reason: "browser", Region: "GB", Client: "Firefox", OS: "Linux", Device: "desktop"}
	anonymous, private, unknown, long := full, full, full, full
	anonymous.Message = 0
	private.Private = true
	unknown.Region = "unknown"
	long.Client = strings.Repeat("é", 40) + "\x00\xff"
	for what, c := range map[string]struct{ give, want Hit }{
		"an identified hit is kept as it is":         {full, full},
		"an anonymous hit has an hour and no client": {anonymous, Hit{At: day, Kind: Click, Campaign: 1, Link: 2, Verdict: Person, Region: "GB"}},
		"a private hit has no link and no region":    {private, Hit{At: day, Kind: Click, Campaign: 1, Message: 7, Verdict: Person, Private: true}},
		"an unknown region is empty":                 {unknown, func() Hit { h := full; h.Region = ""; return h }()},
		"a word is cut and fit for both databases":   {long, func() Hit { h := full; h.Client = strings.Repeat("é", 32); return h }()},
	} {
		s := openSpool(t, t.TempDir(), Options{})
		appendHit(t, s, c.give)
		if got := readAll(t, s, 0); len(got) != 1 || got[0].Hit != c.want {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

func TestRecordsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, err := anyHit(t).recordable()
		if err != nil {
			t.Fatal(err)
		}
		b := appendRecord(nil, &want)
		if len(b) > recordMax {
			t.Fatalf("%d bytes", len(b))
		}
		var got Hit
		if n, err := readRecord(append(b, 1, 2, 3), &got, words{}); err != nil || n != len(b) || got != want {
			t.Fatalf("read %+v, %d bytes of %d, %v", got, n, len(b), err)
		}
	})
}

func anyHit(t *rapid.T) Hit {
	return Hit{
		At:       schema.Time(rapid.Int64Range(1, 1<<60).Draw(t, "at")) + day,
		Kind:     rapid.SampledFrom([]Kind{Open, Click}).Draw(t, "kind"),
		Campaign: id.Campaign(rapid.Int64Range(1, 1<<62).Draw(t, "campaign")),
		Message:  id.Message(rapid.Int64Range(0, 1<<62).Draw(t, "message")),
		Link:     rapid.IntRange(0, 100).Draw(t, "link"),
		Verdict:  rapid.SampledFrom([]Verdict{Person, Machine, Unverifiable}).Draw(t, "verdict"),
		Reason:   rapid.String().Draw(t, "reason"),
		Region:   rapid.SampledFrom([]string{"", "unknown", "GB", "GB-ENG"}).Draw(t, "region"),
		Client:   rapid.String().Draw(t, "client"),
		OS:       rapid.String().Draw(t, "os"),
		Device:   rapid.String().Draw(t, "device"),
		Private:  rapid.Bool().Draw(t, "private"),
	}
}

func FuzzRecord(f *testing.F) {
	h := hit(3, 4)
	f.Add(appendRecord(nil, &h))
	f.Add([]byte{})
	f.Add([]byte{255, 255, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hit
		n, err := readRecord(b, &h, nil)
		if n < 0 || n > len(b) {
			t.Fatalf("takes %d of %d bytes", n, len(b))
		}
		if err != nil {
			return
		}
		if h.Verdict == "" || h.Kind == "" {
			t.Fatalf("read %+v", h)
		}
		if again := appendRecord(nil, &h); len(again) > n {
			t.Fatalf("%d bytes were written as %d", n, len(again))
		}
	})
}
