package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/cmd/internal/api"
	"beckon/cmd/internal/demo"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/event"
)

// site is the service as serve runs it, with a relay that keeps the mail, a mail program to read it
// in, and somebody else's web site that mails and pages link to.
type site struct {
	app       *app
	url       string
	clock     *demo.Clock
	catcher   *demo.Catcher
	token     string
	reader    *httptest.Server // /N shows the N-th mail
	elsewhere *httptest.Server

	mu     sync.Mutex
	faults []string
	asked  []string // paths that elsewhere was asked for
}

// openSite starts the service more than a day ago, so that time can pass.
func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{clock: demo.NewClock(30 * time.Hour)}
	var err error
	if s.catcher, err = demo.ListenCatcher("127.0.0.1:0", s.clock.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.catcher.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conf := &Config{Listen: l.Addr().String(), Data: t.TempDir(), SMTP: "smtp://" + s.catcher.Addr() + "?tls=none", SenderConns: 2}
	if err := conf.finish(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if s.app, err = open(t.Context(), conf, log, s.clock.Now, true); err != nil {
		t.Fatal(err)
	}
	faces, err := s.app.faces()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.app.serve(ctx, l, s.watched(faces)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.app.close()
	})
	if s.token, err = api.NewTokens(s.app.db, s.app.now).Create(t.Context(), "test", api.Admin); err != nil {
		t.Fatal(err)
	}
	s.url = conf.URL
	s.reader = httptest.NewServer(http.HandlerFunc(s.read))
	t.Cleanup(s.reader.Close)
	t.Cleanup(func() {
		for _, fault := range s.told() {
			t.Error(fault)
		}
	})
	s.elsewhere = httptest.NewServer(s.watched(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.URL.Path)
		fmt.Fprint(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Elsewhere</title><p>Somebody else’s page.</p>`)
	})))
	t.Cleanup(s.elsewhere.Close)
	return s
}

// watched notes what a server must never be told, or tell: neither where somebody came from, since
// the tokens are in the addresses of our pages, nor a cookie.
func (s *site) watched(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		route, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		for name, values := range map[string][]string{"Referer": r.Header.Values("Referer"), "Cookie": r.Header.Values("Cookie"), "Set-Cookie": w.Header().Values("Set-Cookie")} {
			if len(values) > 0 {
				s.mu.Lock()
				s.faults = append(s.faults, fmt.Sprintf("%s %s/%s carries %s: %q", r.Method, r.Host, route, name, values))
				s.mu.Unlock()
			}
		}
	})
}

// told takes what watched noted.
func (s *site) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.faults
	s.faults = nil
	return all
}

// visited tells whether elsewhere was asked for a path.
func (s *site) visited(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.asked {
		if p == path {
			return true
		}
	}
	return false
}

// read is a mail program in the browser; like all of them it keeps its own address to itself.
func (s *site) read(w http.ResponseWriter, r *http.Request) {
	all := s.catcher.All()
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || n < 0 || n >= len(all) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	fmt.Fprint(w, all[n].HTML)
}

// client calls the API in the name of a test.
func (s *site) client(t *testing.T) *node { return &node{t: t, base: s.url, token: s.token} }

// post calls the API as a marketer's program would and returns the identifier of what it made.
func (s *site) post(t *testing.T, path string, body map[string]any) (made string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ ID string }
	s.client(t).call("POST", path, "application/json", bytes.NewReader(b), &answer)
	return answer.ID
}

// mail waits for a mail to an address, after the n it has got.
func (s *site) mail(t *testing.T, to string, n int) *demo.Caught {
	t.Helper()
	var got *demo.Caught
	s.client(t).until(fmt.Sprintf("there are %d mails to %s", n+1, to), func() bool {
		var all []*demo.Caught
		for _, m := range s.catcher.All() {
			if m.To == to {
				all = append(all, m)
			}
		}
		if len(all) > n {
			got = all[n]
		}
		return got != nil
	})
	return got
}

// show is the address of a mail in the mail program.
func (s *site) show(m *demo.Caught) string { return fmt.Sprintf("%s/%d", s.reader.URL, m.N) }

// standing is what somebody agreed to by email.
func (s *site) standing(t *testing.T, who id.Contact) consent.Standing {
	t.Helper()
	all, err := s.app.ledger.State(t.Context(), s.app.db, who)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Channel == consent.Email && one.Company != 0 {
			return one
		}
	}
	return consent.Standing{}
}

// counted returns what is tied to somebody, and how much is counted in a campaign, once all hits so
// far are in the database.
func (s *site) counted(t *testing.T, who id.Contact, in id.Campaign) (events []event.Event, n int) {
	t.Helper()
	if err := s.app.running.drain.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, err := event.Of(t.Context(), s.app.db, who, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.app.db.Get(t.Context(), &n, `SELECT COALESCE(SUM(n), 0) FROM counts WHERE campaign = ?`, in); err != nil {
		t.Fatal(err)
	}
	return events, n
}
