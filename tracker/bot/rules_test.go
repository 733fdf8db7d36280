package bot

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var reader = netip.MustParseAddr("192.0.2.7")

func header(ua string) http.Header { return http.Header{"User-Agent": {ua}} }

// Every example that comes with the list is a machine, at a beacon as at a link. Left out are the image
// proxies, which are people, and the patterns that agents.json takes out.
func TestEveryListedCrawlerIsAMachine(t *testing.T) {
	var own ownAgents
	if err := json.Unmarshal(agentsFile, &own); err != nil {
		t.Fatal(err)
	}
	var crawlers []struct {
		Pattern   string
		Instances []string
	}
	if err := json.Unmarshal(crawlersFile, &crawlers); err != nil {
		t.Fatal(err)
	}
	if len(crawlers) < 1000 {
		t.Fatalf("the list has %d patterns", len(crawlers))
	}
	skip := func(pattern, ua string) bool {
		for _, u := range own.Unused {
			if u.Pattern == pattern {
				return true
			}
		}
		for _, p := range own.Proxies {
			if strings.Contains(ua, p.Contains) {
				return true
			}
		}
		return false
	}
	for _, c := range crawlers {
		for _, ua := range c.Instances {
			for _, kind := range []string{Open, Click} {
				if j := Judge(kind, "GET", header(ua), reader); j.Verdict != Machine && !skip(c.Pattern, ua) {
					t.Errorf("%q at the %s is %s: %s", ua, kind, j.Verdict, j.Reason)
				}
			}
		}
	}
	known := map[string]bool{}
	for _, c := range crawlers {
		known[c.Pattern] = true
	}
	for _, u := range own.Unused {
		if !known[u.Pattern] {
			t.Errorf("agents.json leaves out %q, which the list does not have", u.Pattern)
		}
	}
}

func TestEveryExampleOfAnImageProxyIsAPerson(t *testing.T) {
	var own struct {
		Proxies []struct{ Contains, Name, Like string }
	}
	if err := json.Unmarshal(agentsFile, &own); err != nil {
		t.Fatal(err)
	}
	for _, p := range own.Proxies {
		j := Judge(Open, "GET", header(p.Like), reader)
		if j.Verdict != Person || j.Reason != "image proxy: "+p.Name || !j.NoRegion || j.Client != p.Name {
			t.Errorf("%q: %+v", p.Like, j)
		}
	}
}

func TestNetworksOfTheOperatorCount(t *testing.T) {
	more, err := ParseNetworks(strings.NewReader("198.51.100.0/24 scanner House gateway\n192.0.2.0/24 relay Example relay\n203.0.113.0/24 proxy Example webmail"))
	if err != nil {
		t.Fatal(err)
	}
	chrome := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
	mail := "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
	with, err := New(Options{Networks: more})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := New(Options{Networks: more, OnlyNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rules           *Rules
		kind, ua, addr  string
		verdict, reason string
		noRegion        bool
	}{
		{with, Click, chrome, "198.51.100.9", Machine, "scanner: House gateway", true},
		{with, Open, chrome, "198.51.100.9", Person, "browser", true},
		{with, Click, chrome, "::ffff:198.51.100.9", Machine, "scanner: House gateway", true},
		{with, Open, mail, "192.0.2.1", Unverifiable, reasonApple, true},
		{with, Open, chrome, "203.0.113.5", Person, "image proxy: Example webmail", true},
		{with, Click, chrome, "203.0.113.5", Person, "browser", true},
		{with, Click, chrome, "40.107.0.1", Machine, "scanner: Microsoft Defender", true},
		{alone, Click, chrome, "40.107.0.1", Person, "browser", false},
		{alone, Click, chrome, "198.51.100.9", Machine, "scanner: House gateway", true},
	} {
		j := c.rules.Judge(c.kind, "GET", header(c.ua), netip.MustParseAddr(c.addr))
		if j.Verdict != c.verdict || j.Reason != c.reason || j.NoRegion != c.noRegion {
			t.Errorf("%s from %s: %+v", c.kind, c.addr, j)
		}
	}
}

func TestJudgingTakesNoMemory(t *testing.T) {
	for what, c := range map[string]struct{ kind, ua, addr, purpose string }{
		"telephone":             {Open, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "192.0.2.7", ""},
		"image proxy":           {Open, "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "192.0.2.7", ""},
		"image proxy at a link": {Click, "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "192.0.2.7", ""},
		"scanner":               {Click, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "40.107.0.1", ""},
		"proxy's network":       {Open, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "40.96.0.1", ""},
		"robot":                 {Click, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "192.0.2.7", ""},
		"prefetch":              {Click, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "192.0.2.7", "Prefetch;anonymous-client-ip"},
	} {
		h, addr := header(c.ua), netip.MustParseAddr(c.addr)
		if c.purpose != "" {
			h.Set("Sec-Purpose", c.purpose)
		}
		Judge(c.kind, "GET", h, addr)
		if n := testing.AllocsPerRun(100, func() { Judge(c.kind, "GET", h, addr) }); n > 0 {
			t.Errorf("%s: %v allocations a request", what, n)
		}
	}
}

func TestEveryPatternNeedsALiteralAndEveryNameFits(t *testing.T) {
	a := Default().agents
	if len(families) > 64 {
		t.Errorf("%d families do not fit into the bits", len(families))
	}
	for _, p := range a.patterns {
		if p.name == "" || len("robot: "+p.name) > 64 || strings.ContainsFunc(p.name, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("name %q", p.name)
		}
	}
	named := map[string]bool{}
	for _, p := range a.patterns {
		named[p.name] = true
	}
	for _, want := range []string{"Googlebot", "curl", "Slackbot", "python-requests"} {
		if !named[want] {
			t.Errorf("no pattern is called %s", want)
		}
	}
}

// FuzzJudge holds what every caller relies on, whatever is sent.
func FuzzJudge(f *testing.F) {
	f.Add("open", "GET", "Mozilla/5.0", "", "1", []byte{192, 0, 2, 1})
	f.Add("click", "GET", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "prefetch", "", []byte{40, 107, 0, 1})
	f.Add("click", "HEAD", "curl/8.4.0", "", "0", []byte{})
	f.Add("open", "GET", strings.Repeat("bota spidera ", 200), "", "", []byte{0x2a, 0x02, 0x26, 0xf7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	verdicts := []string{Person, Machine, Unverifiable}
	devices := []string{"", Desktop, Mobile, Tablet}
	f.Fuzz(func(t *testing.T, kind, method, ua, purpose, dnt string, ip []byte) {
		addr, _ := netip.AddrFromSlice(ip)
		h := http.Header{"User-Agent": {ua}, "Purpose": {purpose}, "Dnt": {dnt}}
		j := Judge(kind, method, h, addr)
		switch {
		case !slices.Contains(verdicts, j.Verdict) || !slices.Contains(devices, j.Device):
			t.Errorf("made up: %+v", j)
		case j.Reason == "" || len(j.Reason) > 64 || len(j.Client) > 32 || len(j.OS) > 32:
			t.Errorf("out of bounds: %+v", j)
		case j.Private != (dnt == "1") || j.Private && !j.NoRegion:
			t.Errorf("DNT %q: %+v", dnt, j)
		case method != "GET" && j.Verdict != Machine:
			t.Errorf("%s is %s", method, j.Verdict)
		case Judge(kind, method, h, addr) != j:
			t.Error("judged twice, two verdicts")
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	chrome := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0"
	gmail := "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	for _, c := range []struct{ name, kind, ua, addr string }{
		{"browser", Click, chrome, "192.0.2.7"},
		{"phone", Click, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "2001:db8::7"},
		{"image proxy", Open, gmail, "66.249.93.1"},
		{"image proxy at a link", Click, gmail, "66.249.93.1"},
		{"scanner", Click, chrome, "40.107.0.1"},
		{"robot", Click, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "192.0.2.7"},
		{"hostile", Click, strings.Repeat("bota spidera wget ", 100), "192.0.2.7"},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, addr := header(c.ua), netip.MustParseAddr(c.addr)
			Default()
			b.ReportAllocs()
			for b.Loop() {
				Judge(c.kind, "GET", h, addr)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
