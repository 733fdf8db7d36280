package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"beckon/tracker/bot"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/spf13/pflag"
)

// replace puts a file at path as an operator should: by renaming a new one over it.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// installation opens one on embedded storage, with what is answered over HTTP.
func installation(t *testing.T, conf *Config) (*app, http.Handler) {
	t.Helper()
	conf.Listen = "127.0.0.1:0"
	if err := conf.finish(); err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), conf, slog.New(slog.DiscardHandler), time.Now, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	faces, err := a.faces()
	if err != nil {
		t.Fatal(err)
	}
	return a, faces
}

func TestHitsAreJudgedByTheListsOfTheInstallation(t *testing.T) {
	data := t.TempDir()
	own := filepath.Join(data, "own.txt")
	replace(t, own, "192.0.2.0/24 scanner House\n")
	replace(t, filepath.Join(data, "networks.txt"), "198.51.100.0/24 scanner Fetched\n")
	a, faces := installation(t, &Config{Data: data, Networks: own})
	text, err := a.secrets.ring.Sign(token.Token{Kind: token.Click, Campaign: 1, Link: 1, URL: "https://example.org/"})
	if err != nil {
		t.Fatal(err)
	}
	machines := func() (n int) {
		t.Helper()
		for _, addr := range []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"} {
			r := httptest.NewRequest(http.MethodGet, "/c/"+text, nil)
			r.RemoteAddr = addr + ":4711"
			r.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36")
			w := httptest.NewRecorder()
			if faces.ServeHTTP(w, r); w.Code != http.StatusFound {
				t.Fatalf("answered %d", w.Code)
			}
		}
		if err := a.running.drain.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.db.Get(t.Context(), &n, `SELECT COALESCE(SUM(n), 0) FROM counts WHERE verdict = ?`, event.AnonymousMachine); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := machines(); n != 2 {
		t.Errorf("%d of three hits are machines', want those of both lists", n)
	}
	replace(t, own, "192.0.2.0/24 scanner House\n203.0.113.0/24 scanner House\n")
	if changed, err := a.running.networks.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if n := machines(); n != 5 {
		t.Errorf("%d of six hits are machines', want 5: the new list counts, nothing else was started again", n)
	}
}

func TestListsAreTakenUpWithinAMinute(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, "networks.txt")
	replace(t, path, "192.0.2.0/24 scanner One\n")
	old := time.Now().AddDate(0, 0, -400)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log bytes.Buffer
		a := &app{conf: &Config{Data: data}, log: slog.New(slog.NewTextHandler(locked{&mu, &log}, nil)), now: func() time.Time { return old.AddDate(0, 0, 91) }}
		networks, err := a.openNetworks()
		if err != nil {
			t.Fatal(err)
		}
		a.running = &running{networks: networks}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.refreshNetworks(ctx) }()
		says := func(when, want string, times int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if n := strings.Count(log.String(), want); n != times {
				t.Errorf("%s %q is logged %d times, want %d:\n%s", when, want, n, times, log.String())
			}
		}
		minute := func() { <-time.After(time.Minute + time.Second) }
		says("at the start", "fetched 91 days ago", 1)
		replace(t, path, "192.0.2.0/24 scanner Two\n198.51.100.0/24 scanner Two\n")
		minute()
		says("after a minute", "new list of networks", 1)
		if n := networks.Networks(); n != 2 {
			t.Errorf("%d networks are in use", n)
		}
		replace(t, path, "192.0.2.0/24\n")
		minute()
		minute()
		says("after a broken list", "stays as it was", 1)
		says("after a broken list", "line 1", 1)
		if n := networks.Networks(); n != 2 {
			t.Errorf("%d networks are in use", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestABrokenListOfNetworksStopsTheStart(t *testing.T) {
	for what, c := range map[string]struct{ own, fetched, says string }{
		"the operator's": {"192.0.2.0/24 scanner House\n192.0.2.0/33 scanner House\n", "", "line 2"},
		"the fetched":    {"", "192.0.2.0/24 scanner\n", "beckon networks update"},
		"none":           {"-", "", "BECKON_NETWORKS names it"},
	} {
		data := t.TempDir()
		conf := &Config{Data: data, Listen: "127.0.0.1:0"}
		if c.own != "" {
			conf.Networks = filepath.Join(data, "own.txt")
		}
		if c.own != "" && c.own != "-" {
			replace(t, conf.Networks, c.own)
		}
		if c.fetched != "" {
			replace(t, filepath.Join(data, "networks.txt"), c.fetched)
		}
		if err := conf.finish(); err != nil {
			t.Fatal(err)
		}
		a, err := open(t.Context(), conf, slog.New(slog.DiscardHandler), time.Now, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.faces(); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), data) {
			t.Errorf("%s: got %v", what, err)
		}
		a.close()
	}
}

func TestTheCommandFetchesNetworks(t *testing.T) {
	lists := map[string]string{
		"/egress-ip-ranges.csv":                                            "104.28.1.0/31,GB,GB-EN,London,\n104.28.1.2/31,GB,GB-EN,London,\n",
		"/static/search/apis/ipranges/googlebot.json":                      `{"prefixes":[{"ipv4Prefix":"66.249.64.0/27"}]}`,
		"/static/search/apis/ipranges/special-crawlers.json":               `{"prefixes":[{"ipv4Prefix":"66.249.87.0/27"}]}`,
		"/static/search/apis/ipranges/user-triggered-fetchers-google.json": `{"prefixes":[{"ipv4Prefix":"66.249.93.0/27"}]}`,
		"/endpoints/worldwide":                                             `[{"serviceArea":"Exchange","urls":["*.protection.outlook.com"],"ips":["40.92.0.0/15"]}]`,
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, lists[r.URL.Path]) }))
	defer server.Close()
	update := func(args ...string) (string, error) {
		cmd := networksCommandOf(bot.Updater{Client: server.Client(), AppleURL: server.URL, GoogleURL: server.URL, MicrosoftURL: server.URL})
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(append([]string{"update"}, args...))
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	data := t.TempDir()
	t.Setenv("BECKON_DATA", data)
	out, err := update()
	if err != nil || !strings.Contains(out, "6 published networks are at "+filepath.Join(data, "networks.txt")+", joined to 5; there were 0 before.") {
		t.Errorf("%q, %v", out, err)
	}
	replace(t, filepath.Join(data, "networks.txt"), "66.0.0.0/16 scanner Googlebot\n")
	if _, err := update(); err == nil || !strings.Contains(err.Error(), "Googlebot") {
		t.Errorf("got %v", err)
	}
	if out, err := update("--force"); err != nil || !strings.Contains(out, "joined to 5; there were 1 before.") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := update("--data", filepath.Join(data, "nowhere")); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("got %v", err)
	}
}

func TestThresholdsAreReadAndReachTheDrain(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		soon, links, window string
		want                event.Thresholds
	}{
		{"", "", "", event.Thresholds{}},
		{"2s", "3", "2s", event.Thresholds{TooSoon: 2 * s, BurstLinks: 3, BurstWindow: 2 * s}},
		{"1500ms", "7", "1m", event.Thresholds{TooSoon: 1500 * time.Millisecond, BurstLinks: 7, BurstWindow: time.Minute}},
		{"off", "off", "off", event.Thresholds{TooSoon: -1, BurstLinks: -1, BurstWindow: -1}},
		{"0s", "0", "0", event.Thresholds{TooSoon: -1, BurstLinks: -1, BurstWindow: -1}},
	} {
		conf := &Config{TooSoon: c.soon, BurstLinks: c.links, BurstWindow: c.window}
		if got, err := conf.thresholds(); err != nil || got != c.want {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	var standard Config
	standard.flags(pflag.NewFlagSet("", pflag.ContinueOnError))
	if got, err := standard.thresholds(); err != nil || got != (event.Thresholds{TooSoon: 2 * s, BurstLinks: 3, BurstWindow: 2 * s}) {
		t.Errorf("by default %+v, %v", got, err)
	}
	a, _ := installation(t, &Config{Data: t.TempDir(), TooSoon: "5s", BurstLinks: "off", BurstWindow: "1s"})
	if got := a.running.drain.Thresholds; got != (event.Thresholds{TooSoon: 5 * s, BurstLinks: -1, BurstWindow: s}) {
		t.Errorf("the drain has %+v", got)
	}
}
