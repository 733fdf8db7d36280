package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/cmd/internal/api"
	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// ground is where a world keeps its data; empty fields are embedded.
type ground struct {
	database, redis string
	empty           func() error // makes the database fit for another world
}

func onSQLite(*testing.T) ground { return ground{empty: func() error { return nil }} }

// onPostgres has all worlds in one database, one after the other: a new one for each would take
// longer than what is done in it.
func onPostgres(t *testing.T) ground {
	// Its statements are many and its tables small: planning takes longer than what is planned.
	s := ground{database: servertest.PostgresDSN(t) + "&options=-c%20plan_cache_mode%3Dforce_generic_plan", redis: servertest.NewRedis(t).URL}
	s.empty = func() error {
		ctx := context.Background()
		db, err := schema.Open(ctx, s.database)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		var tables, guarded []string
		var refers []struct{ Child, Parent string }
		err = errors.Join(
			db.Select(ctx, &tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'`),
			db.Select(ctx, &guarded, `SELECT DISTINCT CAST(tgrelid AS regclass)::text FROM pg_trigger WHERE NOT tgisinternal`),
			db.Select(ctx, &refers, `SELECT DISTINCT CAST(conrelid AS regclass)::text AS child, CAST(confrelid AS regclass)::text AS parent FROM pg_constraint WHERE contype = 'f'`))
		if err != nil {
			return err
		}
		var all strings.Builder // TRUNCATE would take longer than what is done in a world
		for _, g := range guarded {
			all.WriteString("ALTER TABLE " + g + " DISABLE TRIGGER USER; ")
		}
		for len(tables) > 0 {
			i := slices.IndexFunc(tables, func(parent string) bool {
				return !slices.ContainsFunc(refers, func(r struct{ Child, Parent string }) bool {
					return r.Parent == parent && slices.Contains(tables, r.Child) && r.Child != parent
				})
			})
			all.WriteString("DELETE FROM " + tables[i] + "; ")
			tables = slices.Delete(tables, i, i+1)
		}
		for _, g := range guarded {
			all.WriteString("ALTER TABLE " + g + " ENABLE TRIGGER USER; ")
		}
		_, err = db.Exec(ctx, "DO $$ BEGIN "+all.String()+"END $$")
		return err
	}
	return s
}

// roomy returns a new directory, in memory if there is a file system for that.
func roomy() (string, error) {
	if d, err := os.MkdirTemp("/dev/shm", "beckon-machine-"); err == nil {
		return d, nil
	}
	return os.MkdirTemp("", "beckon-machine-")
}

// world is an installation as `serve` builds it, with a few people and a clock that the test alone
// moves. Only what `serve` does by itself at a time of its own is done at the test's: senders are
// let go, and the spool is drained, by actions.
type world struct {
	*rapid.T
	tally *tally
	ctx   context.Context
	conf  *Config
	clean []func()
	truth *model
	clock atomic.Int64 // in microseconds

	app     *app
	web     *echo.Echo
	relay   *relay
	stop    func()
	replay  func() // of the refusals journal, which `serve` does every second
	sending atomic.Bool
	token   string
	shouts  shouts

	companies map[string]id.Company
	sources   map[string]id.Source
	ids       map[string]id.Contact // of who is held, as of the newest look
	segments  []*segment
	files     []*upload
	wishes    []*wish
	campaigns []*campaign
	delivered []*delivered
	waiting   []*hit // in the spool
	events    int64  // the newest seen
	counted   int64  // units that the totals must hold
	forms     int
	mortal    bool // an older database will be put back
	saved     *saved
	restored  bool
}

// newWorld opens an installation and fills it with what no action makes.
func newWorld(t *rapid.T, tb testing.TB, on ground, tally *tally) *world {
	dir, err := roomy()
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{T: t, tally: tally, ctx: context.Background(), companies: map[string]id.Company{}, sources: map[string]id.Source{}}
	w.clean = append(w.clean, func() { os.RemoveAll(dir) })
	w.clock.Store(time.Now().AddDate(0, 0, -10).Truncate(time.Hour).UnixMicro()) // see doRestore
	if w.relay, err = listenRelay(); err != nil {
		t.Fatal(err)
	}
	w.ok(on.empty())
	w.conf = &Config{Listen: "127.0.0.1:8080", Data: filepath.Join(dir, "data"), Database: on.database, Redis: on.redis,
		SMTP: "smtp://" + w.relay.addr + "?tls=none", SenderConns: 1}
	w.ok(w.conf.finish())
	w.start()
	w.clean = append(w.clean, func() { w.halt() })
	w.ok(w.app.redis.FlushAll(w.ctx).Err())
	w.token, err = api.NewTokens(w.app.db, w.now).Create(w.ctx, "machine", api.Admin)
	w.ok(err)
	w.populate()
	w.mortal = w.n("mortal", 3) == 0
	return w
}

func (w *world) close() {
	w.relay.close()
	for i := len(w.clean) - 1; i >= 0; i-- {
		w.clean[i]()
	}
}

var errNotNow = errors.New("the test has not let the senders go")

// start opens the installation and lets run what runs in `serve`, but for the drain and for the
// guard's own clock.
func (w *world) start() {
	var err error
	w.app, err = open(w.ctx, w.conf, slog.New(slog.NewTextHandler(&w.shouts, &slog.HandlerOptions{Level: slog.LevelError})), w.now, true)
	w.ok(err)
	w.web, err = w.app.faces()
	w.ok(err)
	guard := w.app.running.refusals.guard
	w.replay = func() { w.ok(guard.Check(w.ctx)) }
	w.app.running.refusals.guard = rights.NewGuard(func(ctx context.Context) error {
		if !w.sending.Load() {
			return errNotNow
		}
		return guard.Check(ctx)
	}, nil)
	w.ok(w.app.counter.Rebuild(w.ctx))
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() {
		g := new(errgroup.Group)
		g.Go(func() error { return w.app.mailer.Run(ctx) })
		g.Go(func() error { return w.app.running.checkpoint.run(ctx) })
		ended <- g.Wait()
	}()
	w.stop = func() {
		cancel()
		for {
			w.nudge() // else the sender sees that it is to stop when it looks up next
			select {
			case err := <-ended:
				w.ok(err)
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	w.until("the ledger is held against its checkpoint", func() bool { return w.app.running.checkpoint.ready() == nil })
}

func (w *world) halt() {
	w.stop()
	w.app.close()
}

// nudge makes the mailer look up at once, as every change of a campaign's course does.
func (w *world) nudge() {
	c, err := w.app.mailer.Create(w.ctx, mailer.Draft{Name: "nudge", Company: "acme", Type: kinds[0], Subject: "s", From: "news@acme.example", HTML: "<p>x</p>",
		Audience: mailer.Audience{Source: "broker"}})
	w.ok(err)
	_, err = w.app.mailer.Cancel(w.ctx, c.ID)
	w.ok(err)
}

func (w *world) now() time.Time { return time.UnixMicro(w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(d.Microseconds()) }

// shouts keeps what the program logs as an error.
type shouts struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shouts) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shouts) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// Fatalf ends a world in which something is wrong.
func (w *world) Fatalf(format string, args ...any) {
	w.Helper()
	if w.tally.failed == 0 {
		w.tally.failed, w.tally.why = max(1, w.tally.steps), fmt.Sprintf(format, args...)
	}
	w.T.Fatalf(format, args...)
}

func (w *world) ok(err error) {
	if err != nil {
		w.Helper()
		w.Fatalf("%v", err)
	}
}

// did counts something that took effect.
func (w *world) did(what string) {
	w.tally.effects[what]++
	w.tally.effective[w.tally.doing]++
}

// n draws a number below k, each about as likely as the others: rapid's own ranges favour the small.
func (w *world) n(what string, k int) int {
	return rapid.Custom(func(t *rapid.T) int {
		n := 0
		for range bits.Len(uint(k)) + 3 {
			n *= 2
			if coin.Draw(t, "bit") {
				n++
			}
		}
		return n % k
	}).Draw(w.T, what)
}

var coin = rapid.Bool()

func pick[T any](w *world, what string, from ...T) T { return from[w.n(what, len(from))] }

// some draws up to most of the values, at least least.
func some[T any](w *world, what string, least, most int, from ...T) (all []T) {
	skip := len(from) - least - w.n(what+", how many", most-least+1)
	for i, v := range from {
		if skip > 0 && w.n(what, len(from)-i) < skip {
			skip--
			continue
		}
		all = append(all, v)
	}
	return all
}

// anybody is often somebody who was sent something: more can go wrong with them.
func (w *world) anybody() *subject {
	if len(w.delivered) > 0 && w.n("of those who were sent something", 2) > 0 {
		return w.truth.people[w.recent().to]
	}
	return w.truth.people[pick(w, "who", addresses...)]
}

// ask is a request to the service, from a network that no other came from.
func (w *world) ask(method, path, kind, body string, header ...string) *httptest.ResponseRecorder {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, w.conf.URL+path, r)
	w.forms++
	req.RemoteAddr = fmt.Sprintf("198.%d.%d.1:4711", 18+w.forms/250%2, w.forms%250)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.web.ServeHTTP(rec, req)
	return rec
}

func (w *world) form(path string, values url.Values) *httptest.ResponseRecorder {
	return w.ask(http.MethodPost, path, "application/x-www-form-urlencoded", values.Encode())
}

// call asks the API and reads its answer into out, if it is a good one.
func (w *world) call(method, path string, in, out any) (status int) {
	w.Helper()
	body := ""
	if in != nil {
		b, err := json.Marshal(in)
		w.ok(err)
		body = string(b)
	}
	rec := w.ask(method, "/api/v1"+path, "application/json", body, "Authorization", "Bearer "+w.token)
	if rec.Code < 300 && out != nil {
		w.ok(json.Unmarshal(rec.Body.Bytes(), out))
	}
	if rec.Code >= 500 {
		w.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	return rec.Code
}

// must asks the API for what cannot be refused.
func (w *world) must(method, path string, in, out any) {
	w.Helper()
	if status := w.call(method, path, in, out); status >= 300 {
		w.Fatalf("%s %s answered %d", method, path, status)
	}
}

type jsonObject = map[string]any
