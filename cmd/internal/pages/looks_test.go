package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"beckon/schema/servertest"
)

var (
	foreign = regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|video|audio|source|base)\b|\ssrc=|\ssrcset=|\son\w+=|@import|url\(`)
	styled  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
)

func TestEveryPageStandsAlone(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, p := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.status(w.post(form, filled("new@example.org")), 200)
	confirm := w.confirmLink()
	for _, target := range []string{"/u/" + u, "/p/" + p, "/u/broken", form, form + "&embed=1&item=x", "/subscribe", confirm, w.link("copy", p), w.link("erase", p), "/m/broken", "/notice/acme-form-1", "/notice/none"} {
		a := w.get(target)
		if m := foreign.FindString(a.body); m != "" {
			t.Errorf("%s holds %q", target, m)
		}
		style := styled.FindStringSubmatch(a.body)
		if len(style) != 2 {
			t.Fatalf("%s has no style", target)
		}
		sum := sha256.Sum256([]byte(style[1]))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
		for k, v := range map[string]string{"Content-Security-Policy": want, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Type": "text/html; charset=UTF-8"} {
			if got := a.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", target, k, got, v)
			}
		}
		for _, must := range []string{"<h1", "<main>", `<html lang="`, "<title>", `name="viewport"`} {
			if strings.Count(a.body, must) != 1 {
				t.Errorf("%s: %d times %s", target, strings.Count(a.body, must), must)
			}
		}
	}
}

func TestS30APageNamesTheController(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, p := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.status(w.post(form, filled("new@example.org")), 200)
	confirm := w.confirmLink()
	for _, target := range []string{"/u/" + u, "/p/" + p, form, form + "&embed=1", confirm, w.link("copy", p), w.link("erase", p)} {
		a := w.get(target)
		w.says(a, "Acme Ltd 1 Long Lane London EC1A 9HF United Kingdom", "Privacy policy", "Complain about how your data is used", "Write to privacy@acme.example")
		for _, link := range []string{"https://acme.example/privacy", "https://acme.example/complain"} {
			if !strings.Contains(a.body, `href="`+link+`" rel="noreferrer noopener"`) {
				t.Errorf("%s: no link to %s", target, link)
			}
		}
	}
}

func TestFramingTheForm(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Embed = []string{"https://www.acme.example", "http://localhost:3000"} })
	u, _ := w.mail(w.person("ada@example.org", "newsletter"), 0)
	a := w.get(form)
	if !strings.HasSuffix(a.Header.Get("Content-Security-Policy"), "frame-ancestors https://www.acme.example http://localhost:3000") || a.Header.Get("X-Frame-Options") != "" {
		t.Errorf("the form: %v", a.Header)
	}
	a = w.get("/u/" + u)
	if !strings.HasSuffix(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("another page: %v", a.Header)
	}
	for _, origin := range []string{"*", "'self'", "https:", "https://a.example/", "https://a.example; script-src *", "ftp://a.example", "https://a.example b"} {
		if _, err := loadLooks([]string{origin}); err == nil {
			t.Errorf("%q may frame the form", origin)
		}
	}
}

// In a frame the form has nothing around it, and leaves it for no other page of ours, which could
// not be framed.
func TestTheFormInAFrame(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Embed = []string{"https://www.acme.example"} })
	a := w.status(w.get(form+"&embed=1"), 200)
	if strings.Contains(a.body, `<header`) || !strings.Contains(a.body, `<body class="framed">`) {
		t.Error("the frame has what a page has around it")
	}
	for _, l := range regexp.MustCompile(`<a [^>]*href="([^"]*)"[^>]*>`).FindAllStringSubmatch(a.body, -1) {
		if inside := strings.HasPrefix(l[1], "?") || strings.HasPrefix(l[1], "#"); inside == strings.Contains(l[0], `target="_blank"`) {
			t.Errorf("%s leads out of the frame, or out of the form", l[0])
		}
		if strings.HasPrefix(l[1], "?") && !strings.Contains(l[1], "embed=1") {
			t.Errorf("%s leaves the frame's looks", l[0])
		}
	}
	for target, want := range map[string]bool{form + "&embed=1": true, form: false, form + "&embed=2": false} {
		a := w.status(w.post(target, filled("new@example.org")), 200)
		if strings.Contains(a.body, `class="framed"`) != want {
			t.Errorf("%s is framed: %v", target, !want)
		}
	}
	u, _ := w.mail(w.person("ada@example.org", "newsletter"), 0)
	if strings.Contains(w.get("/u/"+u+"?embed=1").body, "framed\"") {
		t.Error("another page is framed")
	}
}

// What doc.go tells operators to put on their sites is a form that is taken.
func TestTheDocumentedFormIsTaken(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	action := regexp.MustCompile(`<form method="post" action="https://mail.example.org([^"]+)">`).FindStringSubmatch(doc)
	frame := regexp.MustCompile(`<iframe src="https://mail.example.org([^"]+)"`).FindStringSubmatch(doc)
	if action == nil || frame == nil {
		t.Fatal("doc.go shows no form")
	}
	f := url.Values{}
	for _, m := range regexp.MustCompile(`<input ([^>]*)>`).FindAllStringSubmatch(doc, -1) {
		attribute := func(name string) string {
			if v := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(m[1]); v != nil {
				return v[1]
			}
			return ""
		}
		if strings.Contains(m[1], "checked") {
			t.Error("something is ticked beforehand")
		}
		f.Add(attribute("name"), attribute("value"))
	}
	if len(f) != 6 {
		t.Fatalf("the fields are %v", f)
	}
	f.Set("email", "new@example.org")
	w.says(w.status(w.post(action[1], f), 200), "Please look in your inbox")
	w.status(w.post(w.confirmLink(), confirming), 200)
	who, err := w.contacts.ByEmail(t.Context(), "new@example.org")
	w.must(err)
	if types, tracked := w.granted(who.ID); len(types) != 1 || !tracked {
		t.Errorf("%v is agreed to, tracking %v", types, tracked)
	}
	w.status(w.get(strings.ReplaceAll(frame[1], "&amp;", "&")), 200)
}

func TestThePublicAddressIsChecked(t *testing.T) {
	for _, u := range []string{"", "mail.example.org", "ftp://mail.example.org", "https://", "https://mail.example.org?x=1", "https://mail.example.org#x"} {
		if _, err := New(Options{URL: u}); err == nil {
			t.Errorf("%q was taken", u)
		}
	}
}

func TestAPanicBecomesAPage(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, _ := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.pages.Messages = nil
	w.says(w.status(w.get("/u/"+u), http.StatusServiceUnavailable), "We cannot do that right now")
}
