package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/api"
	"beckon/cmd/internal/demo"
)

// TestBadInputIsToldAndLosesNothing: each gets a problem answer that names the field and the remedy,
// and what was there before is there afterwards.
func TestBadInputIsToldAndLosesNothing(t *testing.T) {
	d, err := startDemo(t.Context(), "127.0.0.1:0", t.TempDir(), demo.Length, demoStorage{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.stop(nil); err != nil {
			t.Error(err)
		}
	}()
	token, err := api.NewTokens(d.app.db, d.app.now).Create(t.Context(), "test", api.Admin)
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, token, kind string, body io.Reader) (int, string, []byte) {
		t.Helper()
		req, err := http.NewRequest(method, d.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("Content-Type"), b
	}
	post := func(path, body string) []byte {
		t.Helper()
		status, _, b := send("POST", "/api/v1"+path, token, "application/json", strings.NewReader(body))
		if status >= 300 {
			t.Fatalf("%s: %d %s", path, status, b)
		}
		return b
	}
	upload := func(csv string) (kind string, body io.Reader) {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		part, _ := form.CreateFormFile("file", "a.csv")
		_, _ = io.WriteString(part, csv)
		form.Close()
		return form.FormDataContentType(), &b
	}
	made := func(b []byte) string {
		var v struct{ ID string }
		if err := json.Unmarshal(b, &v); err != nil || v.ID == "" {
			t.Fatalf("%s: %v", b, err)
		}
		return v.ID
	}
	post("/companies", `{"slug":"acme","name":"ACME","from_domain":"acme.example","privacy_email":"privacy@acme.example","postal_address":"1 High St","privacy_url":"https://acme.example/privacy"}`)
	segment := made(post("/segments", `{"name":"all","company":"acme","rule":{"combinator":"and","rules":[]}}`))
	campaign := func(html string) string {
		b, _ := json.Marshal(map[string]any{"name": "c", "company": "acme", "type": "newsletter", "subject": "s", "from": "ACME <news@acme.example>", "html": html,
			"audience": map[string]string{"segment": segment}, "tracking": "consented"})
		return string(b)
	}

	for _, c := range []struct {
		what, path, body string
		status           int
		field, says      string
	}{
		{"a template that does not parse", "/campaigns", campaign("<p>Hello</p>\n<p>{{ name </p>"), 400, "html", "line 2"},
		{"a template that puts contact data into a URL", "/campaigns", campaign("<p>Hello</p>\n<a href=\"https://acme.example/?who={{ email }}\">x</a>"), 400, "html", "line 2"},
		{"a source without policy URL", "/sources", `{"slug":"s","name":"S","lawful_basis":"legitimate interests","permitted_uses":["email"]}`, 400, "privacy_url", "privacy policy"},
		{"an unknown rule field", "/segments", `{"name":"x","company":"acme","rule":{"combinator":"and","rules":[{"field":"contry","operator":"=","value":"GB"}]}}`, 400, "rule.rules[0].field", "country"},
		{"an unknown field", "/contacts", `{"email":"a@b.example","shoe_size":42}`, 400, "shoe_size", ""},
		{"an oversized body", "/contacts", `{"email":"` + strings.Repeat("a", 8<<20) + `"}`, 413, "", "4 MiB"},
		{"JSON that ends too early", "/contacts", "{\n\"email\": ", 400, "", "line 2"},
	} {
		status, kind, b := send("POST", "/api/v1"+c.path, token, "application/json", strings.NewReader(c.body))
		if status == 201 && c.path == "/campaigns" { // a draft may be unfinished: the launch is what is refused
			status, kind, b = send("POST", "/api/v1/campaigns/"+made(b)+"/launch", token, "", nil)
			c.status = 409
		}
		var p struct {
			Title, Detail string
			Errors        []struct{ Field, Message string }
		}
		if err := json.Unmarshal(b, &p); err != nil || kind != "application/problem+json" || status != c.status || p.Title == "" {
			t.Errorf("%s: %d %s %s", c.what, status, kind, b)
			continue
		}
		told := c.field == "" && (c.says == "" || strings.Contains(string(b), c.says))
		for _, e := range p.Errors {
			told = told || e.Field == c.field && strings.Contains(e.Message, c.says)
		}
		if !told {
			t.Errorf("%s: nothing names %q and says %q: %s", c.what, c.field, c.says, b)
		}
	}

	t.Run("a bad token", func(t *testing.T) {
		for _, bad := range []string{"", "nonsense", token + "x"} {
			if status, kind, b := send("GET", "/api/v1/companies", bad, "", nil); status != http.StatusUnauthorized || kind != "application/problem+json" {
				t.Errorf("%q: %d %s %s", bad, status, kind, b)
			}
		}
		for _, path := range []string{"/o/AQEBAWszQmqWKDHFltFOgteC50Eo.gif", "/c/nonsense", "/u/nonsense", "/p/nonsense", "/confirm/nonsense"} {
			if status, _, b := send("GET", path, "", "", nil); status != http.StatusNotFound || bytes.Contains(b, []byte("nonsense")) {
				t.Errorf("%s: %d %s", path, status, b)
			}
		}
	})

	t.Run("malformed rows", func(t *testing.T) {
		kind, body := upload("email,name\na@b.example,Ann\nnot an address,Bob\nc@d.example,\"Cy\" the third\ne@f.example,Eve\n")
		status, _, b := send("POST", "/api/v1/imports", token, kind, body)
		if status != http.StatusAccepted {
			t.Fatalf("%d %s", status, b)
		}
		imp := made(b)
		var got demo.Import
		for deadline := time.Now().Add(30 * time.Second); got.Status != "finished" && time.Now().Before(deadline); {
			_, _, b := send("GET", "/api/v1/imports/"+imp, token, "", nil)
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
		}
		_, _, rejects := send("GET", "/api/v1/imports/"+imp+"/rejects.csv", token, "", nil)
		if got.Status != "finished" || got.Created != 2 || got.Rejected != 2 || !strings.Contains(string(rejects), "\n3,email,") || !strings.Contains(string(rejects), "\n4,") || strings.Contains(string(rejects), "not an address") {
			t.Errorf("%+v\n%s", got, rejects)
		}
	})

	t.Run("a file without addresses", func(t *testing.T) {
		kind, body := upload("name,phone\nAnn,123\n")
		if status, kind, b := send("POST", "/api/v1/imports", token, kind, body); status != 400 || kind != "application/problem+json" || !strings.Contains(string(b), "mapping") {
			t.Errorf("%d %s %s", status, kind, b)
		}
	})

	t.Run("a broken region database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "broken.mmdb")
		if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
		conf := &Config{Listen: "127.0.0.1:0", Data: t.TempDir(), Geo: path}
		if err := conf.finish(); err != nil {
			t.Fatal(err)
		}
		if a, err := open(t.Context(), conf, slog.New(slog.DiscardHandler), time.Now, true); err == nil || !strings.Contains(err.Error(), "BECKON_GEO") {
			t.Errorf("got %v", err)
			a.close()
		}
	})
}

// TestAnUnreachableRelayLosesNobody: the campaign waits, says which relay and what to do, and is sent
// when the relay is there.
func TestAnUnreachableRelayLosesNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay := l.Addr().String()
	l.Close()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conf := &Config{Listen: web.Addr().String(), Data: t.TempDir(), SMTP: "smtp://" + relay + "?tls=none"}
	if err := conf.finish(); err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), conf, slog.New(slog.DiscardHandler), time.Now, true)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	faces, err := a.faces()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.serve(ctx, web, faces) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	n := &node{t: t, base: conf.URL}
	if n.token, err = api.NewTokens(a.db, a.now).Create(ctx, "test", api.Admin); err != nil {
		t.Fatal(err)
	}
	id := n.launch(20)
	var state struct {
		Status     string
		StatusNote string `json:"status_note"`
		Messages   map[string]int
	}
	look := func() { n.call("GET", "/campaigns/"+id, "", nil, &state) }
	n.until("the campaign says that the relay cannot be reached", func() bool { look(); return strings.Contains(state.StatusNote, relay) })
	if state.Messages["queued"]+state.Messages["deferred"] != 20 || state.Messages["failed"]+state.Messages["unknown"] != 0 {
		t.Errorf("%+v", state)
	}
	catcher, err := demo.ListenCatcher(relay, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer catcher.Close()
	n.until("the campaign is finished", func() bool { look(); return state.Status == "finished" })
	if state.Messages["sent"] != 20 || len(catcher.All()) != 20 {
		t.Errorf("%+v, %d caught", state, len(catcher.All()))
	}
}
