package pages

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"beckon/schema/servertest"
)

var urlencoded = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// rows are how many rows each table has.
func (w *world) rows() map[string]int {
	n := map[string]int{}
	for table, lines := range w.dump() {
		if lines != "" {
			n[table] = strings.Count(lines, "\n") + 1
		}
	}
	return n
}

func TestTenThousandFormsForOneAddress(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	body := filled("victim@example.org").Encode()
	answers, stored := map[int]int{}, map[string]int{}
	for i := range 10_000 { // each from a network of its own
		a := w.ask("POST", form, fmt.Sprintf("10.%d.%d.1", i/250, i%250), urlencoded, strings.NewReader(body))
		if answers[a.StatusCode]++; a.StatusCode == 429 && a.Header.Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
		if i == 2 {
			stored = w.rows()
		}
	}
	if len(w.mails.sent) != 3 || answers[200] != 1200 || answers[429] != 8800 {
		t.Errorf("%d mails, answers %v", len(w.mails.sent), answers)
	}
	if after := w.rows(); !maps.Equal(stored, after) {
		t.Errorf("three forms store %v, ten thousand %v", stored, after)
	}
	if n := len(w.pages.limiter.addresses.held); n != 1 {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestTenThousandFormsFromOneNetwork(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	answers, stored := map[int]int{}, map[string]int{}
	for i := range 10_000 {
		target := form
		if i%2 == 1 {
			target += "&embed=1&item=grants-guide-2026"
		}
		a := w.ask("POST", target, fmt.Sprintf("192.0.2.%d", i%250), urlencoded, strings.NewReader(filled(fmt.Sprintf("a%d@example.org", i)).Encode()))
		if answers[a.StatusCode]++; a.StatusCode == 429 && (a.Header.Get("Retry-After") != "60" || !strings.Contains(a.body, "Too many forms from your network")) {
			t.Fatalf("answered %v\n%s", a.Header, a.body)
		}
		if i == 11 {
			stored = w.rows()
		}
	}
	if len(w.mails.sent) != 12 || answers[200] != 12 || answers[429] != 9988 {
		t.Errorf("%d mails, answers %v", len(w.mails.sent), answers)
	}
	if after := w.rows(); !maps.Equal(stored, after) || after["contacts"] != 12 {
		t.Errorf("twelve forms store %v, ten thousand %v", stored, after)
	}
	if n, a := len(w.pages.limiter.networks.held), len(w.pages.limiter.addresses.held); n != 1 || a != 12 {
		t.Errorf("%d networks and %d addresses are remembered", n, a)
	}
}

// When no more addresses can be remembered nobody is mailed, and nobody is told so.
func TestAFullMemoryIsSaid(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Limits.Remembered = 3 })
	for i := range 3 {
		w.status(w.post(form, filled(fmt.Sprintf("a%d@example.org", i))), 200)
	}
	before := w.dump()
	w.says(w.status(w.post(form, filled("new@example.org")), 429), "Nothing was stored")
	w.unchanged(before, "a form too many")
	if len(w.mails.sent) != 3 || len(w.pages.limiter.addresses.held) != 3 {
		t.Errorf("%d mails, %d addresses remembered", len(w.mails.sent), len(w.pages.limiter.addresses.held))
	}
}

// In a frame, and from another site's own form, the limits and the trap are the same.
func TestTheEmbeddedFormIsGuardedAlike(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Embed = []string{"https://www.acme.example"} })
	before := w.dump()
	elsewhere := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {"https://www.acme.example"}, "Sec-Fetch-Site": {"cross-site"}}
	codes := []int{}
	for range 15 {
		a := w.ask("POST", form+"&embed=1", "192.0.2.77", elsewhere, strings.NewReader(with(filled("new@example.org"), "website", "https://spam.example").Encode()))
		codes = append(codes, a.StatusCode)
		if !strings.HasSuffix(a.Header.Get("Content-Security-Policy"), "frame-ancestors https://www.acme.example") || a.Header.Get("X-Frame-Options") != "" {
			t.Fatalf("the answer cannot be shown in the frame: %v", a.Header)
		}
	}
	if !slices.Equal(codes[10:], []int{200, 200, 429, 429, 429}) || len(w.mails.sent) > 0 {
		t.Errorf("answered %v, %d mails", codes, len(w.mails.sent))
	}
	w.unchanged(before, "the trap")
}
