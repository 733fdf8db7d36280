package bot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/tracker/bot"
)

// Excerpts in the forms that the publishers document.
const (
	apple = "104.28.1.0/31,GB,GB-EN,London,\n104.28.1.2/31,GB,GB-SC,Edinburgh,\n172.224.224.0/27,US,US-CA,San Francisco,\n" +
		"2a02:26f7:b000:4000::/64,DE,DE-BE,Berlin,\n2a02:26f7:b000:4001::/64,DE,DE-BE,Berlin,\n"
	googlebot = `{"creationTime":"2026-03-01T15:00:00.000000","prefixes":[{"ipv6Prefix":"2001:4860:4801:10::/64"},{"ipv4Prefix":"66.249.64.0/27"},{"ipv4Prefix":"66.249.64.32/27"}]}`
	special   = `{"creationTime":"2026-03-01T15:00:00.000000","prefixes":[{"ipv4Prefix":"66.249.87.0/27"}]}`
	fetchers  = `{"creationTime":"2026-03-01T15:00:00.000000","prefixes":[{"ipv4Prefix":"66.249.93.0/27"},{"ipv6Prefix":"2001:4860:4801:2008::/64"}]}`
	exchange  = `[
 {"id":1,"serviceArea":"Exchange","serviceAreaDisplayName":"Exchange Online","urls":["outlook.cloud.microsoft","outlook.office.com","outlook.office365.com"],"ips":["40.96.0.0/13","2603:1006::/40"],"tcpPorts":"80,443","expressRoute":true,"category":"Optimize","required":true},
 {"id":8,"serviceArea":"Exchange","urls":["*.outlook.com","autodiscover.*.onmicrosoft.com"],"tcpPorts":"80,443","category":"Default","required":true},
 {"id":9,"serviceArea":"Exchange","urls":["*.protection.outlook.com"],"ips":["40.92.0.0/15","2a01:111:f400::/48"],"tcpPorts":"443","category":"Allow","required":true},
 {"id":10,"serviceArea":"Exchange","urls":["*.mail.protection.outlook.com","*.mx.microsoft"],"ips":["40.92.0.0/15","104.47.0.0/17"],"tcpPorts":"25","category":"Allow","required":true},
 {"id":11,"serviceArea":"Exchange","urls":["*.protection.outlook.com","login.example.com"],"ips":["13.64.0.0/16"],"tcpPorts":"443","category":"Allow","required":true},
 {"id":46,"serviceArea":"Common","urls":["*.protection.outlook.com"],"ips":["20.20.32.0/19"],"tcpPorts":"443","category":"Allow","required":true}]`
)

// publisher serves the lists; a test changes what it answers.
type publisher struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string
	answers map[string]http.HandlerFunc // by the path
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
}

const ranges = "/static/search/apis/ipranges/"

func publish(t *testing.T) *publisher {
	p := &publisher{answers: map[string]http.HandlerFunc{
		"/egress-ip-ranges.csv":                        text(apple),
		ranges + "googlebot.json":                      text(googlebot),
		ranges + "special-crawlers.json":               text(special),
		ranges + "user-triggered-fetchers-google.json": text(fetchers),
		"/endpoints/worldwide":                         text(exchange),
	}}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.RequestURI())
		answer := p.answers[r.URL.Path]
		p.mu.Unlock()
		if answer == nil {
			answer = http.NotFound
		}
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

var fetchedAt = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func (p *publisher) updater() *bot.Updater {
	return &bot.Updater{Client: p.Client(), AppleURL: p.URL, GoogleURL: p.URL + "/", MicrosoftURL: p.URL, Now: func() time.Time { return fetchedAt }}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// alone checks that nothing is left beside a file.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestPublishedListsBecomeOneFile(t *testing.T) {
	p := publish(t)
	path := filepath.Join(t.TempDir(), "networks.txt")
	got, err := p.updater().Update(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if want := (bot.Updated{Published: 17, Written: 13}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want := "# Fetched by `beckon networks update` on 2026-03-02, which overwrites this file: name one of your own with BECKON_NETWORKS.\n" + `104.28.1.0/30 relay iCloud Private Relay
172.224.224.0/27 relay iCloud Private Relay
2a02:26f7:b000:4000::/63 relay iCloud Private Relay
66.249.64.0/26 scanner Googlebot
2001:4860:4801:10::/64 scanner Googlebot
66.249.87.0/27 scanner Google special crawlers
66.249.93.0/27 proxy Google
2001:4860:4801:2008::/64 proxy Google
40.96.0.0/13 proxy Outlook on the web
2603:1006::/40 proxy Outlook on the web
40.92.0.0/15 scanner Microsoft Exchange Online Protection
104.47.0.0/17 scanner Microsoft Exchange Online Protection
2a01:111:f400::/48 scanner Microsoft Exchange Online Protection
`
	if got := contents(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(fetchedAt) {
		t.Errorf("of %v, %v", info.ModTime(), err)
	}
	alone(t, path)
	last := p.asked[len(p.asked)-1]
	if ok, _ := regexp.MatchString(`^/endpoints/worldwide\?ServiceAreas=Exchange&clientrequestid=[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, last); !ok || len(p.asked) != 5 {
		t.Errorf("asked for %q", p.asked)
	}
	if again, err := p.updater().Update(t.Context(), path); err != nil || again != (bot.Updated{Published: 17, Written: 13, Replaced: 13}) {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

// Microsoft runs gateways and what people read their mail with side by side.
func TestWhoUsesMicrosoftStaysAPerson(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.txt")
	if _, err := publish(t).updater().Update(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l, err := bot.OpenLists(bot.List{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, addr, verdict, reason string }{
		{bot.Click, "40.92.1.1", bot.Machine, "scanner: Microsoft Exchange Online Protection"},
		{bot.Open, "40.92.1.1", bot.Person, "browser"},
		{bot.Click, "40.97.1.1", bot.Person, "browser"},
		{bot.Open, "40.97.1.1", bot.Person, "image proxy: Outlook on the web"},
		{bot.Click, "13.64.1.1", bot.Person, "browser"},
		{bot.Click, "20.20.32.1", bot.Person, "browser"},
		{bot.Click, "66.249.64.9", bot.Machine, "scanner: Googlebot"},
		{bot.Open, "66.249.93.9", bot.Person, "image proxy: Google"},
		{bot.Click, "66.249.93.9", bot.Person, "browser"},
		{bot.Click, "104.28.1.3", bot.Person, "browser behind iCloud Private Relay"},
	} {
		j := l.Judge(c.kind, http.MethodGet, http.Header{"User-Agent": {chrome}}, netip.MustParseAddr(c.addr))
		if j.Verdict != c.verdict || j.Reason != c.reason {
			t.Errorf("%s from %s: %+v", c.kind, c.addr, j)
		}
	}
}

func TestAFailedUpdateLeavesTheOldList(t *testing.T) {
	const old = "192.0.2.0/24 scanner Old\n"
	many := "192.0.2.0/24 scanner Googlebot\n" + strings.Repeat("66.249.64.0/22 scanner Googlebot\n", 3)
	cases := map[string]struct {
		old     string
		arrange func(*publisher, *bot.Updater)
		is      error
		says    string
	}{
		"a server that fails": {old, func(p *publisher, _ *bot.Updater) {
			p.answers[ranges+"googlebot.json"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
		}, nil, "Google's crawlers: the server refused the download (503"},
		"a list that has moved": {old, func(p *publisher, _ *bot.Updater) { delete(p.answers, "/egress-ip-ranges.csv") }, nil, "Apple's relays: the server refused the download (404"},
		"a page in place of the list": {old, func(p *publisher, _ *bot.Updater) {
			p.answers["/egress-ip-ranges.csv"] = text("<!doctype html>\n<title>Log in</title>")
		}, bot.ErrNetworks, "line 1"},
		"a page in place of JSON": {old, func(p *publisher, _ *bot.Updater) { p.answers["/endpoints/worldwide"] = text("<html>") }, bot.ErrNetworks, "Microsoft"},
		"an empty list":           {old, func(p *publisher, _ *bot.Updater) { p.answers[ranges+"googlebot.json"] = text(`{"prefixes":[]}`) }, bot.ErrNetworks, "no network"},
		"a list of another form": {old, func(p *publisher, _ *bot.Updater) {
			p.answers[ranges+"googlebot.json"] = text(`{"prefixes":[{"service":"x"}]}`)
		}, bot.ErrNetworks, "prefix 1"},
		"no gateway at Microsoft":    {old, func(p *publisher, _ *bot.Updater) { p.answers["/endpoints/worldwide"] = text(`[]`) }, bot.ErrNetworks, "gateways"},
		"half the world":             {old, func(p *publisher, _ *bot.Updater) { p.answers["/egress-ip-ranges.csv"] = text("128.0.0.0/1,GB,,,\n") }, bot.ErrNetworks, "too wide"},
		"a private network":          {old, func(p *publisher, _ *bot.Updater) { p.answers["/egress-ip-ranges.csv"] = text("10.1.0.0/16,GB,,,\n") }, bot.ErrNetworks, "nobody's"},
		"a list that is too large":   {old, func(_ *publisher, u *bot.Updater) { u.Limit = 100 }, bot.ErrTooLarge, "100 bytes"},
		"a list that is far smaller": {many, func(*publisher, *bot.Updater) {}, bot.ErrShrunk, "Googlebot"},
		"a list that breaks off": {old, func(p *publisher, _ *bot.Updater) {
			p.answers["/egress-ip-ranges.csv"] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, apple)
			}
		}, nil, "broke off"},
		"a redirect to plain HTTP": {old, func(p *publisher, _ *bot.Updater) {
			p.answers["/egress-ip-ranges.csv"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://"+r.Host+"/egress-ip-ranges.csv", http.StatusFound)
			}
		}, nil, "not encrypted"},
		"a redirect without end": {old, func(p *publisher, _ *bot.Updater) {
			p.answers["/egress-ip-ranges.csv"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }
		}, nil, "too often"},
		"a server that never ends": {old, func(p *publisher, u *bot.Updater) {
			u.Timeout = 50 * time.Millisecond
			p.answers["/egress-ip-ranges.csv"] = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, context.DeadlineExceeded, "try again"},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "networks.txt")
			put(t, path, c.old)
			p := publish(t)
			u := p.updater()
			c.arrange(p, u)
			_, err := u.Update(t.Context(), path)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "not touched") {
				t.Errorf("got %v", err)
			}
			if contents(t, path) != c.old {
				t.Error("the file in place was changed")
			}
			alone(t, path)
		})
	}
}

func TestASmallerListIsTakenByForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.txt")
	put(t, path, "66.0.0.0/16 scanner Googlebot\n")
	u := publish(t).updater()
	if _, err := u.Update(t.Context(), path); !errors.Is(err, bot.ErrShrunk) {
		t.Fatalf("got %v", err)
	}
	u.Force = true
	if got, err := u.Update(t.Context(), path); err != nil || got.Replaced != 1 || got.Written != 13 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestADamagedListIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.txt")
	put(t, path, "rubbish\n")
	if got, err := publish(t).updater().Update(t.Context(), path); err != nil || got.Replaced != 0 || got.Written != 13 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := publish(t).updater().Update(t.Context(), filepath.Join(t.TempDir(), "no", "networks.txt")); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("without a folder: %v", err)
	}
}
