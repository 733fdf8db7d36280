package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
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
	for _, target := range []string{"/u/" + u, "/p/" + p, "/u/broken", form, "/subscribe", w.confirmLink(), "/notice/acme-form-1", "/notice/none"} {
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

func TestAPageNamesTheController(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, p := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.status(w.post(form, filled("new@example.org")), 200)
	for _, target := range []string{"/u/" + u, "/p/" + p, form, w.confirmLink()} {
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
