package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/tracker/report"

	"github.com/labstack/echo/v4"
)

const evil = `<script>alert(1)</script>`

type house struct{}

func (house) List(context.Context, id.Campaign, int) ([]mailer.Campaign, error) {
	return []mailer.Campaign{{ID: 1, Draft: mailer.Draft{Name: "April " + evil}, Status: mailer.Finished}}, nil
}

func (house) Status(_ context.Context, c id.Campaign) (mailer.Status, error) {
	if c != 1 {
		return mailer.Status{}, segments.ErrNotFound
	}
	return mailer.Status{
		Campaign: mailer.Campaign{ID: 1, Draft: mailer.Draft{Name: "April " + evil, Audience: mailer.Audience{Segment: 1}}, Status: mailer.Finished},
		Counts:   queue.Counts{Messages: map[queue.Status]int64{queue.Sent: 90, queue.Skipped: 2}, SkippedReasons: map[string]int64{"withdrawn": 2}},
		LeftOut:  map[string]int64{"no-consent": 7, "corporate-route-not-allowed": 9},
	}, nil
}

func (house) Stats(context.Context, id.Campaign, report.Viewer) (report.Stats, error) {
	n := func(i int64) report.Number { return report.Number{N: i} }
	return report.Stats{
		AsOf: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC), Base: report.Base{Sent: 90, Identified: 60, Anonymous: 30},
		Opens:   report.Hits{Total: n(100), Unique: n(40), Person: n(50), Machine: n(20), Unverifiable: n(10), Anonymous: n(20)},
		Clicks:  report.Hits{Total: n(30), Unique: n(15), Person: n(30)},
		Links:   []report.Link{{Position: 1, Label: evil, URL: "https://a.example/", Total: n(30), Unique: n(15)}},
		Regions: []report.Region{{Region: "GB-ENG", Opens: n(60), Clicks: n(30)}, {Region: "FR", Opens: report.Number{Hidden: true}, Suppressed: true}},
		Hourly:  []report.Hour{{At: time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC), Opens: n(80), Clicks: n(30)}},
	}, nil
}

type shelf struct{}

func (shelf) List(context.Context) ([]segments.Segment, error) {
	return []segments.Segment{{ID: 1, Name: "All " + evil}}, nil
}

func (shelf) Get(_ context.Context, s id.Segment) (segments.Segment, error) {
	if s != 1 {
		return segments.Segment{}, segments.ErrNotFound
	}
	return segments.Segment{ID: 1, Name: "All " + evil, Rule: json.RawMessage(`{"combinator":"and","rules":[]}`)}, nil
}

func (shelf) Count(context.Context, id.Segment) (int64, error) { return 1234, nil }

func (shelf) Report(context.Context, id.Segment, segments.ReportOptions) (segments.Report, error) {
	size := int64(1234)
	return segments.Report{Name: "All", Company: "acme", Channel: "email", K: 5, Size: segments.Figure{N: &size}, Countries: segments.Breakdown{
		Base: segments.Figure{N: &size}, Groups: []segments.Group{{Key: "GB", Figure: segments.Figure{N: &size}}, {Key: "FR", Figure: segments.Figure{Suppressed: true}}}}}, nil
}

type box []Mail

func (b box) Len() int { return len(b) }
func (b box) Mail(n int) (Mail, bool) {
	if n < 0 || n >= len(b) {
		return Mail{}, false
	}
	return b[n], true
}

func get(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	p, err := New(Options{Campaigns: house{}, Stats: house{}, Segments: shelf{}, Mailbox: box{{To: "a@b.example", Subject: evil, Text: evil, HTML: evil, Head: "Subject: " + evil}},
		Warnings: func() []string { return []string{"Every client looks like one proxy. " + evil} },
		Checks:   func() []Check { return []Check{{Name: "a promise", OK: true}, {Name: "another", Detail: evil}} }})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	p.Register(e)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Header(), w.Body.String()
}

func TestEveryPageShowsItsFiguresWithTheirBase(t *testing.T) {
	for path, want := range map[string][]string{
		"/":                {"April", "40 of 60 (67 %)", "15 of 60 (25 %)", "1234", "✓ holds", "✗ broken", "Every client looks like one proxy."},
		"/campaigns/cmp_1": {"90", "the segment All", "40 of 60 (67 %)", "GB-ENG", "&lt; 5", "<svg", "Corporate route not allowed", "Withdrawn, noticed while sending", "Base: 80 opens and 30 clicks"},
		"/segments/seg_1":  {"1234 contacts, all opted in to email from acme", "GB", "&lt; 5", "Of 1234 contacts"},
		"/mail":            {"1 messages were accepted", "a@b.example"},
		"/mail/0":          {"a@b.example", "sandbox"},
	} {
		status, _, body := get(t, path)
		if status != http.StatusOK || strings.Contains(body, evil) {
			t.Errorf("%s: %d, escaped: %v", path, status, !strings.Contains(body, evil))
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not show %q", path, w)
			}
		}
	}
}

func TestACaughtMailCanDoNothing(t *testing.T) {
	status, h, body := get(t, "/mail/0/html")
	if csp := h.Get("Content-Security-Policy"); status != http.StatusOK || body != evil || !strings.HasPrefix(csp, "sandbox; default-src 'none'") {
		t.Errorf("%d %q", status, csp)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	for _, path := range []string{"/campaigns/cmp_2", "/campaigns/x", "/segments/seg_2", "/mail/1", "/mail/-1", "/mail/x", "/mail/7/html"} {
		if status, _, _ := get(t, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestAxesEndAtARoundNumber(t *testing.T) {
	for n, want := range map[int64]int64{0: 4, 1: 4, 4: 4, 5: 8, 9: 12, 21: 40, 245: 400, 1001: 1200} {
		if got := nice(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}
