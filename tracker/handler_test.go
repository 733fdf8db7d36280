package tracker_test

import (
	"bytes"
	"context"
	"image/gif"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/geo"
	"beckon/geo/sample"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// memory is a spool that never fails and remembers what it was given.
type memory struct {
	mu   sync.Mutex
	hits []event.Hit
}

func (m *memory) Append(_ context.Context, h event.Hit) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hits = append(m.hits, h)
	return int64(len(m.hits)), nil
}

func (m *memory) take() []event.Hit {
	m.mu.Lock()
	defer m.mu.Unlock()
	hits := m.hits
	m.hits = nil
	return hits
}

// overrides are the corrections of links, by position.
type overrides map[int]string

func (o overrides) Override(campaign id.Campaign, link int) (string, bool) {
	url, ok := o[link]
	return url, ok && campaign == 7
}

// site is a handler behind a real server.
type site struct {
	*httptest.Server
	keys    *token.Keyring
	spool   *memory
	log     *bytes.Buffer
	metrics *prometheus.Registry
}

func serve(t testing.TB, change ...func(*tracker.Handler, *echo.Echo)) *site {
	t.Helper()
	s := &site{spool: &memory{}, log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	var err error
	if s.keys, err = token.ParseKeys(token.Generate(1)); err != nil {
		t.Fatal(err)
	}
	h := &tracker.Handler{
		Keys: s.keys, Spool: s.spool, Metrics: tracker.NewMetrics(s.metrics),
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Now: func() time.Time { return noon },
	}
	e := echo.New()
	for _, c := range change {
		c(h, e)
	}
	h.Register(e)
	s.Server = httptest.NewUnstartedServer(e)
	tracker.LimitServer(s.Config)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *site) sign(t testing.TB, tok token.Token) string {
	t.Helper()
	text, err := s.keys.Sign(tok)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *site) beacon(t testing.TB, message id.Message) string {
	return "/o/" + s.sign(t, token.Token{Kind: token.Beacon, Campaign: 7, Message: message})
}

func (s *site) link(t testing.TB, message id.Message, position int, url string) string {
	return "/c/" + s.sign(t, token.Token{Kind: token.Click, Campaign: 7, Message: message, Link: position, URL: url})
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (s *site) do(t testing.TB, method, path string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", chrome)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

func TestABeaconIsATransparentImageAndOneHit(t *testing.T) {
	s := serve(t)
	path := s.beacon(t, 42)
	for _, p := range []string{path, path + ".gif", path + "?cachebuster=1"} {
		a := s.do(t, "GET", p)
		img, err := gif.Decode(bytes.NewReader(a.body))
		if err != nil || a.status != 200 || len(a.body) != 43 || a.header.Get("Content-Type") != "image/gif" {
			t.Fatalf("%d, %d bytes, %v", a.status, len(a.body), err)
		}
		if _, _, _, alpha := img.At(0, 0).RGBA(); img.Bounds().Dx() != 1 || img.Bounds().Dy() != 1 || alpha != 0 {
			t.Error("the image is seen")
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store, max-age=0", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow",
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin", "Set-Cookie": "", "Content-Length": "43",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		want := event.Hit{
			At: schema.At(noon), Kind: event.Open, Campaign: 7, Message: 42,
			Verdict: event.Person, Reason: "browser", Client: "Chrome", OS: "Windows", Device: "desktop",
		}
		if hits := s.spool.take(); !slices.Equal(hits, []event.Hit{want}) {
			t.Errorf("%s recorded %+v", p[len(path):], hits)
		}
	}
}

func TestALinkRedirectsAndIsOneHit(t *testing.T) {
	s := serve(t)
	a := s.do(t, "GET", s.link(t, 42, 3, "https://example.com/sale?a=1"))
	if a.status != 302 || a.header.Get("Location") != "https://example.com/sale?a=1" || len(a.body) != 0 {
		t.Fatalf("%+v", a)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store, max-age=0", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "Set-Cookie": ""} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	hits := s.spool.take()
	if len(hits) != 1 || hits[0].Kind != event.Click || hits[0].Link != 3 || hits[0].Message != 42 || hits[0].Verdict != event.Person {
		t.Errorf("recorded %+v", hits)
	}
}

func TestHEADIsAnsweredAlikeAndRecordsNothing(t *testing.T) {
	s := serve(t)
	for _, path := range []string{s.beacon(t, 42), s.beacon(t, 0) + ".gif", s.link(t, 42, 1, "https://example.com/"), "/o/nothing", "/c/nothing"} {
		head := s.do(t, "HEAD", path)
		if hits := s.spool.take(); len(hits) != 0 {
			t.Errorf("HEAD %.12s recorded %+v", path, hits)
		}
		get := s.do(t, "GET", path)
		s.spool.take()
		head.header.Del("Date")
		get.header.Del("Date")
		if head.status != get.status || len(head.body) != 0 {
			t.Errorf("%.12s: HEAD %d, GET %d", path, head.status, get.status)
		}
		for name := range get.header {
			if head.header.Get(name) != get.header.Get(name) {
				t.Errorf("%.12s: %s is %q under HEAD, %q under GET", path, name, head.header.Get(name), get.header.Get(name))
			}
		}
	}
}

func TestATestMailRecordsNothing(t *testing.T) {
	s := serve(t)
	o := s.do(t, "GET", "/o/"+s.sign(t, token.Token{Kind: token.Beacon, Campaign: 7, Message: 42, Test: true}))
	c := s.do(t, "GET", "/c/"+s.sign(t, token.Token{Kind: token.Click, Campaign: 7, Link: 1, URL: "https://example.com/", Test: true}))
	if o.status != 200 || c.status != 302 || len(s.spool.take()) != 0 {
		t.Errorf("image %d, redirect %d, or something was recorded", o.status, c.status)
	}
}

func TestWhatWeDidNotSignLeadsNowhere(t *testing.T) {
	s := serve(t)
	other, err := token.ParseKeys(token.Generate(1))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Sign(token.Token{Kind: token.Click, Campaign: 7, Link: 1, URL: "https://example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	link := s.link(t, 42, 1, "https://example.com/")
	beacon := s.beacon(t, 42)
	cases := map[string]string{
		"signed with another key":        "/c/" + foreign,
		"a beacon's token at a link":     "/c/" + beacon[3:],
		"a link's token at a beacon":     "/o/" + link[3:],
		"an unsubscribe token at a link": "/c/" + s.sign(t, token.Token{Kind: token.Unsubscribe, Campaign: 7, Message: 42}),
		"cut short":                      link[:len(link)-1],
		"with something after it":        link + "A",
		"a link with .gif":               link + ".gif",
		"two times .gif":                 beacon + ".gif.gif",
		"padded":                         link + "=",
		"percent-encoded":                "/c/%" + "41" + link[4:],
		"with a line break":              link[:20] + "%0A" + link[20:],
		"a target in the query":          "/c/nothing?url=https://evil.example/",
		"an address in place of it":      "/c/https:%2F%2Fevil.example%2F",
		"eight kilobytes":                "/c/" + strings.Repeat("A", 8<<10),
		"eight kilobytes at a beacon":    "/o/" + strings.Repeat("A", 8<<10) + ".gif",
		"dots":                           "/c/..%2f..%2fetc",
	}
	for i := range len(link) - 3 {
		at := 3 + i
		flipped := "A"
		if link[at] == 'A' {
			flipped = "B"
		}
		cases["altered at "+link[at:]] = link[:at] + flipped + link[at+1:]
	}
	for name, path := range cases {
		a := s.do(t, "GET", path)
		if a.status != 404 || a.header.Get("Location") != "" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(string(a.body), "not one of ours") {
			t.Errorf("%s: %d %q %q", name, a.status, a.header.Get("Location"), a.body)
		}
	}
	if hits := s.spool.take(); len(hits) != 0 {
		t.Errorf("recorded %+v", hits)
	}
}

func TestOnlyGETAndHEADAreAnswered(t *testing.T) {
	s := serve(t)
	for _, path := range []string{s.beacon(t, 42), s.link(t, 42, 1, "https://example.com/")} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			if a := s.do(t, method, path); a.status == 200 || a.status == 302 {
				t.Errorf("%s %.3s: %d", method, path, a.status)
			}
		}
	}
	if hits := s.spool.take(); len(hits) != 0 {
		t.Errorf("recorded %+v", hits)
	}
}

func TestACorrectionOfALinkWins(t *testing.T) {
	s := serve(t, func(h *tracker.Handler, _ *echo.Echo) { h.Overrides = overrides{2: "https://example.com/corrected"} })
	for position, want := range map[int]string{1: "https://example.com/first", 2: "https://example.com/corrected"} {
		a := s.do(t, "GET", s.link(t, 0, position, "https://example.com/first"))
		if a.status != 302 || a.header.Get("Location") != want {
			t.Errorf("link %d leads to %q", position, a.header.Get("Location"))
		}
	}
	if hits := s.spool.take(); len(hits) != 2 {
		t.Errorf("recorded %+v", hits)
	}
}

func TestS15WhoAsksNotToBeTrackedIsMarkedAndHasNoRegion(t *testing.T) {
	s := serve(t, atHome(t))
	for _, c := range []struct {
		name, value string
		private     bool
		region      string
	}{
		{"DNT", "1", true, ""},
		{"Sec-GPC", "1", true, ""},
		{"DNT", "0", false, "GB-ENG"},
		{"X-None", "1", false, "GB-ENG"},
	} {
		for _, path := range []string{s.beacon(t, 42), s.link(t, 42, 1, "https://example.com/"), s.beacon(t, 0)} {
			a := s.do(t, "GET", path, c.name, c.value, "X-Forwarded-For", "192.0.2.1")
			hits := s.spool.take()
			if a.status != 200 && a.status != 302 || len(hits) != 1 || hits[0].Private != c.private || hits[0].Region != c.region {
				t.Errorf("%s: %s at %.3s: %d, %+v", c.name, c.value, path, a.status, hits)
			}
		}
	}
}

func TestVerdictsReachTheRecord(t *testing.T) {
	s := serve(t, atHome(t))
	for _, c := range []struct {
		about, ua, region string
		verdict           event.Verdict
	}{
		{"a person", chrome, "GB-ENG", event.Person},
		{"Gmail's image proxy, whose place is not the reader's", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "", event.Person},
		{"Mail Privacy Protection", "Mozilla/5.0", "", event.Unverifiable},
		{"a robot, whose place is nobody's business", "curl/8.4.0", "", event.Machine},
		{"a client that nobody knows", "SomeMailThing/1.2", "GB-ENG", event.Unverifiable},
	} {
		s.do(t, "GET", s.beacon(t, 42), "User-Agent", c.ua, "X-Forwarded-For", "192.0.2.1")
		hits := s.spool.take()
		if len(hits) != 1 || hits[0].Verdict != c.verdict || hits[0].Region != c.region || hits[0].Reason == "" {
			t.Errorf("%s: %+v", c.about, hits)
		}
	}
}

// atHome gives the handler the sample regions, and trusts the machine that the test runs on to tell
// where a request comes from.
func atHome(t testing.TB) func(*tracker.Handler, *echo.Echo) {
	return func(h *tracker.Handler, e *echo.Echo) {
		h.Geo = regions(t)
		extract, err := tracker.TrustedIPExtractor([]string{"127.0.0.0/8", "::1"})
		if err != nil {
			t.Fatal(err)
		}
		e.IPExtractor = extract
	}
}

func regions(t testing.TB) *geo.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.mmdb")
	if err := sample.Write(path); err != nil {
		t.Fatal(err)
	}
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
