package tracker_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"beckon/tracker"
	"beckon/tracker/bot"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// appendFunc is a spool that does one thing.
type appendFunc func(ctx context.Context, h event.Hit) (int64, error)

func (f appendFunc) Append(ctx context.Context, h event.Hit) (int64, error) { return f(ctx, h) }

func withSpool(f appendFunc) func(*tracker.Handler, *echo.Echo) {
	return func(h *tracker.Handler, _ *echo.Echo) { h.Spool = f }
}

func TestR5ALinkWorksWhateverTheSpoolDoes(t *testing.T) {
	for _, c := range []struct {
		about, reason string
		spool         appendFunc
	}{
		{"full", "full", func(context.Context, event.Hit) (int64, error) { return 0, event.ErrFull }},
		{"closed", "closed", func(context.Context, event.Hit) (int64, error) { return 0, event.ErrClosed }},
		{"on a broken disk", "failed", func(context.Context, event.Hit) (int64, error) { return 0, errors.New("input/output error") }},
		{"faulty", "panic", func(context.Context, event.Hit) (int64, error) { panic("index out of range") }},
	} {
		t.Run(c.about, func(t *testing.T) {
			s := serve(t, withSpool(c.spool))
			path := s.link(t, 42, 1, "https://example.com/secret-offer")
			if a := s.do(t, "GET", path); a.status != 302 || a.header.Get("Location") != "https://example.com/secret-offer" {
				t.Errorf("link: %d %q", a.status, a.header.Get("Location"))
			}
			if a := s.do(t, "GET", s.beacon(t, 42)); a.status != 200 || len(a.body) != 43 {
				t.Errorf("beacon: %d, %d bytes", a.status, len(a.body))
			}
			if n := s.count(t, "beckon_tracker_losses_total", "reason", c.reason); n != 2 {
				t.Errorf("%v losses counted, want 2", n)
			}
			if n := s.count(t, "beckon_tracker_hits_total", "", ""); n != 0 {
				t.Errorf("%v hits counted that were not recorded", n)
			}
			log := s.log.String()
			if strings.Count(log, "\n") != 1 || !strings.Contains(log, "not recorded") || !strings.Contains(log, "reason="+c.reason) {
				t.Errorf("the log of two losses in a row: %q", log)
			}
			for _, private := range []string{path[3:], path[3:40], "secret-offer", "127.0.0.1", "Mozilla"} {
				if strings.Contains(log, private) {
					t.Errorf("the log holds %q: %q", private, log)
				}
			}
		})
	}
}

func TestLossesAreReportedTogether(t *testing.T) {
	now := noon
	s := serve(t, withSpool(func(context.Context, event.Hit) (int64, error) { return 0, event.ErrFull }),
		func(h *tracker.Handler, _ *echo.Echo) { h.Now = func() time.Time { return now } })
	path := s.beacon(t, 42)
	for range 5 {
		s.do(t, "GET", path)
	}
	now = now.Add(11 * time.Second)
	s.do(t, "GET", path)
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "hits=1 ") || !strings.Contains(lines[1], "hits=5 ") {
		t.Errorf("six losses were reported as %q", lines)
	}
}

// TestTheLastLossesAreReportedToo: an outage that is over leaves no loss unsaid.
func TestTheLastLossesAreReportedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := token.ParseKeys(token.Generate(1))
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		full := appendFunc(func(context.Context, event.Hit) (int64, error) { return 0, event.ErrFull })
		h := &tracker.Handler{Keys: keys, Spool: full, Log: slog.New(slog.NewTextHandler(&log, nil))}
		e := echo.New()
		h.Register(e)
		text, err := keys.Sign(token.Token{Kind: token.Beacon, Campaign: 7})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/o/"+text, nil))
		}
		time.Sleep(time.Minute) // the clock of the bubble: nobody waits
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "hits=1 ") || !strings.Contains(lines[1], "hits=4 ") {
			t.Errorf("five losses, and none after them, were reported as %q", lines)
		}
	})
}

// TestAStuckSpoolDelaysAnAnswerByItsBound runs on a clock of its own.
func TestAStuckSpoolDelaysAnAnswerByItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := token.ParseKeys(token.Generate(1))
		if err != nil {
			t.Fatal(err)
		}
		stuck := appendFunc(func(ctx context.Context, _ event.Hit) (int64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		registry := prometheus.NewRegistry()
		h := &tracker.Handler{Keys: keys, Spool: stuck, Metrics: tracker.NewMetrics(registry)}
		e := echo.New()
		h.Register(e)
		text, err := keys.Sign(token.Token{Kind: token.Click, Campaign: 7, Link: 1, URL: "https://example.com/"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond) // the clock of the bubble: nobody waits
				began := time.Now()
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequest("GET", "/c/"+text, nil))
				took := time.Since(began)
				if w.Code != 302 || w.Header().Get("Location") != "https://example.com/" {
					t.Errorf("answered %d", w.Code)
				}
				if took < tracker.DefaultWait || took > tracker.DefaultWait+tracker.DefaultWait/8 {
					t.Errorf("answered after %s", took)
				}
			})
		}
		wg.Wait()
		if n := counted(t, registry, "beckon_tracker_losses_total", "reason", "unconfirmed"); n != 40 {
			t.Errorf("%v losses, want 40", n)
		}
	})
}

func TestAnAnswerIsGivenAfterItsHitIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := token.ParseKeys(token.Generate(1))
		if err != nil {
			t.Fatal(err)
		}
		recorded := make(chan struct{})
		slow := appendFunc(func(ctx context.Context, _ event.Hit) (int64, error) {
			select {
			case <-recorded:
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		h := &tracker.Handler{Keys: keys, Spool: slow}
		e := echo.New()
		h.Register(e)
		text, err := keys.Sign(token.Token{Kind: token.Beacon, Campaign: 7, Message: 42})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			e.ServeHTTP(w, httptest.NewRequest("GET", "/o/"+text, nil))
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Fatal("answered before the hit was recorded")
		default:
		}
		close(recorded)
		<-answered
		if w.Code != 200 {
			t.Errorf("answered %d", w.Code)
		}
	})
}

func TestAFaultyJudgeTakesNoLinkDown(t *testing.T) {
	s := serve(t, func(h *tracker.Handler, _ *echo.Echo) {
		h.Judge = func(string, string, http.Header, netip.Addr) bot.Judgement { panic("no") }
	})
	if a := s.do(t, "GET", s.link(t, 42, 1, "https://example.com/")); a.status != 302 {
		t.Errorf("answered %d", a.status)
	}
	if n := s.count(t, "beckon_tracker_losses_total", "reason", "panic"); n != 1 {
		t.Errorf("%v losses", n)
	}
}

func TestMetricsNameNobody(t *testing.T) {
	s := serve(t)
	s.do(t, "GET", s.beacon(t, 42))
	s.do(t, "GET", s.beacon(t, 42), "DNT", "1")
	s.do(t, "GET", s.link(t, 42, 3, "https://example.com/"), "User-Agent", "curl/8.4.0")
	s.do(t, "HEAD", s.beacon(t, 42))
	s.do(t, "GET", "/o/nothing")
	for _, c := range []struct {
		name, label, value string
		want               float64
	}{
		{"beckon_tracker_hits_total", "", "", 3},
		{"beckon_tracker_hits_total", "verdict", "person", 1},
		{"beckon_tracker_hits_total", "verdict", "private", 1},
		{"beckon_tracker_hits_total", "verdict", "machine", 1},
		{"beckon_tracker_hits_total", "kind", "open", 2},
		{"beckon_tracker_invalid_links_total", "kind", "open", 1},
		{"beckon_tracker_losses_total", "", "", 0},
		{"beckon_tracker_spool_seconds", "", "", 3},
	} {
		if got := s.count(t, c.name, c.label, c.value); got != c.want {
			t.Errorf("%s{%s=%q} is %v, want %v", c.name, c.label, c.value, got, c.want)
		}
	}
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains([]string{"kind", "verdict", "reason"}, l.GetName()) {
					t.Errorf("%s has the label %s", f.GetName(), l.GetName())
				}
			}
		}
	}
}

func (s *site) count(t *testing.T, name, label, value string) float64 {
	t.Helper()
	return counted(t, s.metrics, name, label, value)
}

// counted adds a metric up over every label but one.
func counted(t *testing.T, g prometheus.Gatherer, name, label, value string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := label == ""
			for _, l := range m.GetLabel() {
				match = match || l.GetName() == label && l.GetValue() == value
			}
			if match {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
