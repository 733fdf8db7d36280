package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/schema/servertest"

	"github.com/labstack/echo/v4"
)

func TestBadRequestsAreToldByPlaceAndRemedy(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for _, c := range []struct {
		name, body string
		kind       kind
		field      string
		detail     string
	}{
		{"nothing", "", malformed, "", "empty"},
		{"blanks", " \n", malformed, "", "empty"},
		{"not JSON", "name=crm", malformed, "", "line 1, column"},
		{"a missing comma", "{\n  \"name\": \"crm\"\n  \"role\": \"admin\"\n}", malformed, "", "line 3, column"},
		{"cut off", `{"name": "crm", "ro`, malformed, "", "ends in the middle"},
		{"two values", `{"name":"crm","role":"admin"}{}`, malformed, "", "line 1, column"},
		{"a list", `[]`, malformed, "", "must be an object"},
		{"an unknown field", `{"name":"crm","role":"admin","age":12}`, unknownField, "age", "age"},
		{"a field in other letters", `{"Name":"crm","role":"admin"}`, unknownField, "Name", "Name"},
		{"a field twice", `{"name":"crm","name":"crm","role":"admin"}`, invalid, "name", "twice"},
		{"a number for a string", "{\"role\":\"admin\",\n\"name\":12}", invalid, "name", "line 2"},
		{"not UTF-8", "{\"name\":\"\xff\",\"role\":\"admin\"}", malformed, "", "line 1"},
		{"too much", `{"name":"` + strings.Repeat("x", maxJSON) + `"}`, tooLarge, "", "4 MiB (4194304 bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.call(Admin, "POST", "/tokens", c.body)
			if c.field == "" {
				got.is(t, c.kind)
			} else {
				got.is(t, c.kind, c.field)
			}
			if !strings.Contains(string(got.body), c.detail) {
				t.Errorf("%s does not say %q", got.body, c.detail)
			}
		})
	}
	t.Run("a form", func(t *testing.T) {
		header := http.Header{"Authorization": {"Bearer " + w.token[Admin]}, "Content-Type": {"application/x-www-form-urlencoded"}}
		got := w.send("POST", "/tokens", header, strings.NewReader("name=crm"))
		got.is(t, badMedia)
		if got.header.Get("Accept") != "application/json" {
			t.Error("the answer does not say which type is taken")
		}
	})
	var all items
	w.call(Admin, "GET", "/tokens", nil).into(t, http.StatusOK, &all)
	if len(all.Items) != len(Roles) {
		t.Errorf("a refused request stored something: %v", all.Items)
	}
}

func TestAddressesThatNoCallHasAreProblemsToo(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for _, c := range []struct {
		method, path string
		kind         kind
		allow        string
	}{
		{"GET", "/api", notFound, ""},
		{"GET", "/api/", notFound, ""},
		{"GET", "/api/v2/tokens", notFound, ""},
		{"GET", "/api/v1/token", notFound, ""},
		{"POST", "/api/v1/tokens/tok_1/more", notFound, ""},
		{"PUT", "/api/v1/tokens", badMethod, "GET, POST"},
		{"GET", "/api/v1/tokens/tok_1", badMethod, "DELETE"},
		{"POST", "/api/openapi.json", badMethod, "GET"},
	} {
		got := w.send(c.method, c.path, http.Header{}, nil)
		got.is(t, c.kind)
		if got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: allows %q", c.method, c.path, got.header.Get("Allow"))
		}
	}
	resp, err := http.Get(w.url + "/about")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("pages of others are in the way: %v", err)
	}
	resp.Body.Close()
}

func TestUnknownQueryParametersAreRefused(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.call(Admin, "GET", "/tokens?limt=5", nil).is(t, unknownField, "limt")
	w.call(Admin, "GET", "/tokens?limit=5&limit=6", nil).is(t, invalid, "limit")
}

func TestAPanicTellsTheClientNothing(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for name, f := range map[string]func(){
		"a value":         func() { panic("jo@example.org") },
		"a runtime error": func() { var list []int; list[len(w.token)]++ },
	} {
		t.Run(name, func(t *testing.T) {
			w.log.Reset()
			e := echo.New()
			r := route{method: "GET", path: "/panic", public: true, handle: func(*API, echo.Context, Token) error { f(); return nil }}
			e.GET("/panic", w.serve(r))
			rec := record(e, "GET", "/panic")
			if rec.Code != 500 || strings.Contains(rec.Body.String(), "jo@") || strings.Contains(rec.Body.String(), "index") {
				t.Errorf("got %d %s", rec.Code, rec.Body)
			}
			if strings.Contains(w.log.String(), "jo@") || !strings.Contains(w.log.String(), "request_test.go") {
				t.Errorf("logged %s", w.log)
			}
		})
	}
}

func TestAnAnswerThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	e := echo.New()
	r := route{method: "GET", path: "/export", public: true, stream: true, handle: func(_ *API, c echo.Context, _ Token) error {
		c.Response().WriteHeader(http.StatusOK)
		_, _ = c.Response().Write([]byte("half of it"))
		c.Response().Flush()
		return http.ErrBodyNotAllowed
	}}
	e.GET("/export", w.serve(r))
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("the connection was not cut: %v", p)
		}
	}()
	record(e, "GET", "/export")
}

func TestAClientThatStallsIsGivenUp(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(d *Deps) { d.Stall = 20 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", w.token[Admin])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", resp.Status)
	}
}
