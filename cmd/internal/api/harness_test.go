package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/segments/rights"

	"github.com/emersion/go-smtp"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/labstack/echo/v4"
)

// world is a server on a real socket over real domain packages, with a token per role and a clock
// that stands still unless moved.
type world struct {
	*API
	t      testing.TB
	url    string
	token  map[Role]string
	clock  *clock
	log    *bytes.Buffer
	router routers.Router
	worker *ImportWorker
	relay  *smtp.Server
	mail   chan string // what the relay was given
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// document parses and checks the OpenAPI document once for all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	for _, media := range []string{"application/jsonl", "text/markdown", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
	b, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

func newWorld(t testing.TB, db *schema.DB, change ...func(*Deps)) *world {
	t.Helper()
	w := &world{t: t, token: map[Role]string{}, log: &bytes.Buffer{}, clock: &clock{t: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	d := Deps{
		DB:     db,
		Tokens: NewTokens(db, w.clock.now),
		Audit:  rights.NewAudit(db, w.clock.now),
		Log:    slog.New(slog.NewTextHandler(&synced{w: w.log}, nil)),
		Now:    w.clock.now,
	}
	w.domain(&d)
	for _, f := range change {
		f(&d)
	}
	var err error
	if w.API, err = New(d); err != nil {
		t.Fatal(err)
	}
	for _, r := range Roles {
		if w.token[r], err = d.Tokens.Create(t.Context(), "the "+string(r), r); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if w.router, err = gorillamux.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	e.GET("/*", func(c echo.Context) error { return c.String(http.StatusOK, "somebody else's page") })
	w.Register(e)
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.Close()
		for role, token := range w.token {
			if strings.Contains(w.log.String(), token) {
				t.Errorf("the log holds the token of %s", role)
			}
		}
		if strings.Contains(w.log.String(), "@example") {
			t.Errorf("the log holds an address: %s", w.log)
		}
	})
	w.url = server.URL
	return w
}

type synced struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// reply is an answer as the client saw it.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call makes a call as the bearer of a role's token; body is a string to send as it is, or
// anything to send as JSON, or nil. Request and answer are held to the OpenAPI document.
func (w *world) call(role Role, method, path string, body any) reply {
	w.t.Helper()
	var r io.Reader
	header := http.Header{"Authorization": {"Bearer " + w.token[role]}}
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	return w.send(method, path, header, r)
}

func (w *world) send(method, path string, header http.Header, body io.Reader) reply {
	w.t.Helper()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = io.ReadAll(body); err != nil {
			w.t.Fatal(err)
		}
	}
	address := path
	if !strings.HasPrefix(path, "/api") && !strings.HasPrefix(path, "/healthz") && !strings.HasPrefix(path, "/readyz") && !strings.HasPrefix(path, "/metrics") {
		address = Prefix + path
	}
	newRequest := func(b io.Reader) *http.Request {
		req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+address, b)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header = header.Clone()
		return req
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(sent)
	}
	resp, err := http.DefaultClient.Do(newRequest(r))
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	out := reply{resp.StatusCode, resp.Header, got}
	if method != http.MethodHead {
		w.hold(newRequest(bytes.NewReader(sent)), out)
	}
	return out
}

// hold fails the test if the answer is not what the document says, or if it is a success although
// the request is not what the document says.
func (w *world) hold(req *http.Request, got reply) {
	w.t.Helper()
	if got.status >= 400 && !strings.HasPrefix(req.URL.Path, "/readyz") {
		w.holdProblem(req, got)
	}
	route, params, err := w.router.FindRoute(req)
	if err != nil {
		if got.status < 400 {
			w.t.Errorf("%s %s: not in the document: %v", req.Method, req.URL.Path, err)
		}
		return
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true, SkipSettingDefaults: true}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if got.status < 400 {
		if err := openapi3filter.ValidateRequest(w.t.Context(), in); err != nil {
			w.t.Errorf("%s %s: accepted although the document forbids it: %v", req.Method, req.URL, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: got.status, Header: got.header, Options: options}
	out.SetBodyBytes(got.body)
	if err := openapi3filter.ValidateResponse(w.t.Context(), out); err != nil {
		w.t.Errorf("%s %s: the answer is not as the document says: %v\n%s", req.Method, req.URL, err, got.body)
	}
}

// holdProblem fails the test unless the answer is a complete problem that gives nothing away.
func (w *world) holdProblem(req *http.Request, got reply) {
	w.t.Helper()
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		w.t.Errorf("%s %s: %d as %q: %s", req.Method, req.URL, got.status, ct, got.body)
		return
	}
	var p Problem
	if err := json.Unmarshal(got.body, &p); err != nil || p.Status != got.status || p.Title == "" || p.Type == "" || p.Detail == "" {
		w.t.Errorf("%s %s: incomplete problem: %s", req.Method, req.URL, got.body)
	}
	for _, token := range w.token {
		if bytes.Contains(got.body, []byte(token)) {
			w.t.Errorf("%s %s: the problem holds a token", req.Method, req.URL)
		}
	}
}

// into reads a JSON answer after checking its status.
func (r reply) into(t testing.TB, status int, out any) {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d, want %d: %s", r.status, status, r.body)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(r.body, out); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
}

// is checks that the answer is a problem of the kind, with these fields at fault.
func (r reply) is(t testing.TB, k kind, fields ...string) {
	t.Helper()
	var p Problem
	_ = json.Unmarshal(r.body, &p)
	var got []string
	for _, e := range p.Errors {
		got = append(got, e.Field)
	}
	if r.status != k.status || p.Type != k.uri() || strings.Join(got, " ") != strings.Join(fields, " ") {
		t.Errorf("got %d %s with fields %q, want %d %s with %q: %s", r.status, p.Type, got, k.status, k.uri(), fields, r.body)
	}
}

// items reads one page of a list.
type items struct {
	Items []map[string]any `json:"items"`
	Next  *string          `json:"next"`
}

// record serves one request without a socket.
func record(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec
}
