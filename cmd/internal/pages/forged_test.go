package pages

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"beckon/schema/servertest"
	"beckon/tracker/token"
)

// Whatever is wrong with a token, on every page that takes one: a plain page that says so, and
// nothing stored or mailed.
func TestForgedTokensDoNothing(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		w.status(w.post(form, filled("grace@example.org")), 200)
		c, _, _ := strings.Cut(strings.TrimPrefix(w.confirmLink(), "/confirm/"), "?")
		c, _, _ = strings.Cut(c, ".")
		m, _, _ := strings.Cut(strings.TrimPrefix(w.link("erase", p), "/m/"), "?")
		good := map[string]string{"/u/": u, "/p/": p, "/confirm/": c, "/m/": m}
		tokens := map[string]token.Token{
			"/u/": {Kind: token.Unsubscribe, Campaign: 7, Message: 1}, "/p/": {Kind: token.Preferences, Campaign: 7, Message: 1},
			"/confirm/": {Kind: token.Confirm, Request: 1, Expires: start.Add(time.Hour)}, "/m/": {Kind: token.Manage, Request: 1, Expires: start.Add(time.Hour)},
		}
		others, err := token.ParseKeys("1:" + strings.Repeat("b3RoZXJrZXlz", 4))
		w.must(err)
		others.Now = w.clock.now
		sign := func(ring *token.Keyring, t token.Token) string {
			s, err := ring.Sign(t)
			w.must(err)
			return s
		}
		forms := []url.Values{{"List-Unsubscribe": {"One-Click"}}, {"choice": {"everything"}}, {"do": {"object"}}, {"do": {"copy"}}, {"do": {"confirm"}}, {"do": {"erase"}}, complaining("x"), {}}
		sent, before := len(w.mails.sent), w.dump()
		for page, own := range good {
			bad := map[string]string{
				"no token":                "x",
				"a space":                 "%20",
				"a zero byte":             "%00",
				"a token cut short":       own[:len(own)-1],
				"half a token":            own[:len(own)/2],
				"a longer token":          own + "A",
				"a token twice":           own + own,
				"the last letter changed": own[:len(own)-1] + other(own[len(own)-1]),
				"the first one changed":   other(own[0]) + own[1:],
				"one in the middle":       own[:10] + other(own[10]) + own[11:],
				"padding":                 own + "=",
				"another alphabet":        strings.NewReplacer("-", "+", "_", "%2F").Replace(own) + "+",
				"another installation's":  sign(others, tokens[page]),
				"a very long one":         strings.Repeat("A", 5000),
				"a path in it":            "..%2F..%2Fp%2F" + p,
			}
			for kind, of := range good {
				if kind != page {
					bad["that of "+kind] = of
				}
			}
			unknown := tokens[page]
			unknown.Message, unknown.Request = 4711*unknown.Message, 4711*unknown.Request
			bad["one for what is not held"] = sign(w.keys, unknown)
			for name, tok := range bad {
				for _, method := range []string{"GET", "HEAD"} {
					if a := w.do(method, page+tok, "", nil); a.StatusCode != 404 || a.Header.Get("Content-Type") != "text/html; charset=UTF-8" {
						w.t.Errorf("%s %s with %s: %d", method, page, name, a.StatusCode)
					}
				}
				for i, f := range forms {
					fits := page == "/u/" && i < 2 || page == "/confirm/" && i == 4
					if a := w.post(page+tok, f); a.StatusCode != 404 && (a.StatusCode != 400 || fits || page == "/p/" || page == "/m/") {
						w.t.Errorf("POST %s with %s and %v: %d", page, name, f, a.StatusCode)
					}
				}
			}
		}
		w.unchanged(before, "a forged token")
		if len(w.mails.sent) != sent {
			w.t.Errorf("%d mails went out", len(w.mails.sent)-sent)
		}
		for page, own := range good {
			w.status(w.get(page+own), 200)
		}
	})
}

// other is a letter of the alphabet that is not b.
func other(b byte) string {
	if b == 'A' {
		return "Q"
	}
	return "A"
}

// A link that did its work does not do it again; the links of a mail go on working, and change
// nothing more.
func TestReplayedTokensDoNothingMore(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		w.status(w.post(form, filled("grace@example.org")), 200)
		confirm := w.confirmLink()
		manage := w.link("copy", p)
		steps := []struct {
			target string
			form   url.Values
			again  int
		}{
			{confirm, confirming, 410},
			{manage, pressing["csv"], 410},
			{"/u/" + u, url.Values{"List-Unsubscribe": {"One-Click"}}, 200},
			{"/p/" + p, url.Values{"do": {"object"}}, 200},
			{"/u/" + u, url.Values{"choice": {"everything"}}, 200},
		}
		for _, s := range steps {
			w.status(w.post(s.target, s.form), 200)
		}
		before := w.dump()
		for range 3 {
			for _, s := range steps {
				w.status(w.post(s.target, s.form), s.again)
			}
		}
		w.unchanged(before, "a replay")
	})
}

// The page of a foreign site has nothing to abuse: there is no cookie, an answer cannot be read from
// there, and without the token there is no page. Where the browser tells that the form is another
// site's, it is refused even with the token.
func TestCSRF(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter", "company-updates")
		u, p := w.mail(who, 0)
		w.status(w.post(form, filled("grace@example.org")), 200)
		confirm, manage := w.confirmLink(), w.link("erase", p)
		sent, before := len(w.mails.sent), w.dump()
		post := func(target string, f url.Values, headers ...string) answer {
			h := map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}
			for i := 0; i < len(headers); i += 2 {
				h[headers[i]] = []string{headers[i+1]}
			}
			a := w.ask("POST", target, "192.0.2.77", h, strings.NewReader(f.Encode()))
			if a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Set-Cookie") != "" {
				w.t.Errorf("%s: %v", target, a.Header)
			}
			return a
		}
		own := []struct {
			target string
			form   url.Values
		}{{"/p/" + p, url.Values{"do": {"object"}}}, {"/p/" + p, url.Values{"do": {"erase"}}}, {"/p/" + p, complaining("x")}, {confirm, confirming}, {manage, pressing["erase"]}}
		for _, target := range []string{"/p/", "/p/x", "/p", "/u/", "/m/", "/confirm/"} {
			for _, f := range []url.Values{{"do": {"object"}}, {"choice": {"everything"}}} {
				if a := w.echoed("POST", target, f); a != 404 && a != 405 {
					w.t.Errorf("POST %s without a token: %d", target, a)
				}
			}
		}
		for _, c := range own {
			for _, h := range [][]string{
				{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site", "Origin", "null"}, {"Sec-Fetch-Site", "same-site"},
				{"Origin", "https://evil.example"}, {"Origin", "https://mail.example.org.evil.example"}, {"Origin", "://"}, {"Origin", "http://evil.example", "Referer", "http://evil.example/page"},
			} {
				w.says(w.status(post(c.target, c.form, h...), 403), "This form came from another site")
			}
		}
		w.unchanged(before, "a foreign form")
		if len(w.mails.sent) != sent {
			w.t.Error("a mail went out")
		}

		// Our own page, and whatever says nothing, is heard; a mail program always is.
		for _, h := range [][]string{nil, {"Origin", "null"}, {"Sec-Fetch-Site", "same-origin", "Origin", "null"}, {"Sec-Fetch-Site", "none"}, {"Origin", "https://mail.example.org"}, {"Origin", "http://example.com"}} {
			w.status(post("/p/"+p, url.Values{"do": {"save"}}, h...), 200)
		}
		w.status(post("/u/"+u, url.Values{"List-Unsubscribe": {"One-Click"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://webmail.example"), 200)
		w.status(post(form, filled("x@example.org"), "Sec-Fetch-Site", "cross-site", "Origin", "https://www.acme.example"), 200)
		if types, _ := w.granted(who); len(types) != 1 {
			w.t.Errorf("%v is agreed to", types)
		}
	})
}

// Nobody can make the pages, or the mail, say something in HTML, or send it elsewhere.
func TestInjectionThroughTheWholeWay(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	before := w.dump()
	for _, evil := range []string{"Grace\r\nBcc: x@example.org", "Grace\nSubject: x", "\u202egrace", "a\u2066b", "x\u2028y", "a\x7fb"} {
		for _, field := range []string{"name", "company"} {
			w.status(w.post(form, with(filled("grace@example.org"), field, evil)), 422)
			w.clock.pass(time.Minute)
		}
	}
	for _, evil := range []string{"grace@example.org\r\nBcc: x@example.org", "grace@example.org,x@example.org", "<script>@example.org", "\"a b\"@example.org", "grace@exa mple.org", "grace@example.org\x00"} {
		if a := w.post(form, filled(evil)); a.StatusCode != 422 && a.StatusCode != 400 {
			t.Errorf("%q: %d", evil, a.StatusCode)
		}
		w.clock.pass(time.Minute)
	}
	w.unchanged(before, "an injection")

	evil := `<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{.}}&lt;`
	f := with(with(with(filled("grace@example.org"), "name", evil), "company", "=cmd|'/C calc'!A0"), "phone", "+1 (202) 555-0100")
	w.status(w.post(form, f), 200)
	c := w.mails.sent[0]
	_, h, plain, html := w.message(c)
	for _, part := range []string{plain, html, h.Get("Subject"), h.Get("From"), h.Get("To")} {
		for _, not := range []string{"alert(1)", "calc", "<script", "{{"} {
			if strings.Contains(part, not) {
				t.Errorf("the mail holds %q:\n%s", not, part)
			}
		}
	}
	a := w.status(w.get(w.confirmLink()), 200)
	if strings.Contains(a.body, "<script") || strings.Contains(a.body, "<img") || !strings.Contains(a.body, "<bdi>&lt;script&gt;alert(1)") {
		t.Errorf("the confirmation page holds HTML:\n%s", a.body)
	}
	w.status(w.post(w.confirmLink(), confirming), 200)
	who, err := w.contacts.ByEmail(t.Context(), "grace@example.org")
	w.must(err)
	if who.Name != evil {
		t.Errorf("stored as %q", who.Name)
	}
	u, p := w.mail(who.ID, 0)
	for _, target := range []string{"/u/" + u, "/p/" + p, w.link("erase", p)} {
		if a := w.status(w.get(target), 200); strings.Contains(a.body, "alert(1)") {
			t.Errorf("%s shows the name", target)
		}
	}
}
