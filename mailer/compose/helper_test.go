package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"beckon/tracker/token"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"
	"golang.org/x/net/html"
)

var noon = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)

func testKeys() *token.Keyring {
	keys, err := token.ParseKeys("7:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
	if err != nil {
		panic(err)
	}
	return keys
}

// failer is a test, a fuzz target or a property.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// testSpec is a campaign without a mail yet.
func testSpec() Spec {
	return Spec{
		Keys: testKeys(), BaseURL: "https://t.example.com", Campaign: 12, Subject: "Spring news", From: "Acme <news@acme.example>",
		Tracking: TrackConsented, TypeName: "Newsletter", TypeSlug: "newsletter", Now: func() time.Time { return noon },
		Company: Company{
			Name: "Acme & Sons Ltd", Slug: "acme", PostalAddress: "1 Long Road\nLondon N1 1AA", Domain: "acme.example",
			PrivacyURL: "https://www.acme.example/privacy?a=1&b=2", PrivacyEmail: "privacy@acme.example",
			ComplaintURL: "https://www.acme.example/complain", Language: "en",
		},
	}
}

func testRecipient() Recipient {
	return Recipient{
		Email: "ada@example.org", Name: "Ada Lovelace", Message: 4711, Mode: Identified, Date: noon,
		Fields: map[string]any{
			"name": "Ada Lovelace", "company": "Analytical Engines", "country": "GB", "job_title": "Programmer",
			"topics": []string{"transport", "compliance"},
			"attributes": map[string]any{
				"colour": "red", "vip": "yes", "anrede": "frau", "nachname": "Lovelace", "brand": "navy",
				"sessions": []any{map[string]any{"title": "Opening"}, map[string]any{"title": "Lifts"}},
				"rows":     []any{map[string]any{"year": 1995, "name": "Java"}},
			},
		},
		Cite: []Citation{{Name: "Data & Lists plc", PrivacyURL: "https://data.example.net/privacy?x=1&y=2", TransparencyURL: "https://data.example.net/transparency"}},
	}
}

func mustCompile(t failer, spec Spec) *Template {
	t.Helper()
	tpl, err := Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// problems compiles a mail and returns why it is refused; nothing if it is not.
func problems(t failer, spec Spec) []Problem {
	t.Helper()
	_, err := Compile(spec)
	var p *Problems
	if err != nil && !errors.As(err, &p) {
		t.Fatalf("failed without problems: %v", err)
	}
	if p == nil {
		return nil
	}
	return p.List
}

// readMail reads a message as another program would.
func readMail(t failer, raw []byte) (h mail.Header, text, html string) {
	t.Helper()
	for i, line := range bytes.Split(raw, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line %d is not fit for SMTP: %q", i+1, line)
		}
	}
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	parts := e.MultipartReader()
	if parts == nil {
		t.Fatal("not a multipart message")
	}
	var bodies []string
	for _, want := range []string{"text/plain", "text/html"} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if kind, params, _ := p.Header.ContentType(); kind != want || !strings.EqualFold(params["charset"], "utf-8") {
			t.Fatalf("a part is %s %v, want %s", kind, params, want)
		}
		b, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Fatalf("a third part, or %v", err)
	}
	return mail.Header{Header: e.Header}, bodies[0], bodies[1]
}

var trackedURL = regexp.MustCompile(`https://t\.example\.com/c/([\w-]+)`)

// restore undoes in a filled part what composing did: tracked links become the author's again, what
// was inserted goes. It checks on the way that each link leads where the author meant.
func restore(t failer, tpl *Template, r Recipient, body string, p *part) string {
	t.Helper()
	body = trackedURL.ReplaceAllStringFunc(body, func(url string) string {
		k, err := tpl.keys.Open(token.Click, strings.TrimPrefix(url, "https://t.example.com/c/"))
		if err != nil || k.Campaign != 12 || k.Link < 0 || k.Link > len(tpl.links) || k.Link > 0 && k.URL != tpl.links[k.Link-1].URL || k.Link == 0 && k.URL != tpl.honeypot {
			t.Fatalf("%s opens as %+v, %v", url, k, err)
		}
		if own := tpl.linkMode(&r) == linksOwn; own != (k.Message == r.Message) || !own && k.Message != 0 {
			t.Fatalf("a link for %q has message %d", r.Mode, k.Message)
		}
		if k.Link == 0 {
			return url
		}
		for _, o := range p.ops {
			if o.kind == opLink && o.n == k.Link {
				return o.s
			}
		}
		t.Fatalf("link %d is not in the part", k.Link)
		return ""
	})
	for _, inserted := range insertions(t, tpl, r) {
		body = strings.Replace(body, inserted, "", 1)
	}
	return body
}

// insertions are the blocks of r's HTML.
func insertions(t failer, tpl *Template, r Recipient) []string {
	f, err := tpl.filling(&r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	var list []string
	for _, ops := range [][]op{{{kind: opCitation}}, {{kind: opHoneypot}}, tpl.blocks.footer(true), {{kind: opBeacon}}} {
		w := &sink{}
		for i := range ops {
			if err := f.op(w, &ops[i], true); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, string(w.dst))
	}
	return list
}

var condComment = regexp.MustCompile(`(?is)^\[if[^\]]*\]>(.*?)(?:<!\[endif\])?$`)

// eachTag walks through the tags of a document with x/net/html alone, those in conditional comments
// included.
func eachTag(doc string, visit func(html.Token)) {
	z := html.NewTokenizer(strings.NewReader(doc))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken:
			if !strings.HasPrefix(string(z.Raw()), "<!--") {
				continue
			}
			if m := condComment.FindStringSubmatch(strings.TrimSpace(string(z.Raw()[4:max(4, len(z.Raw())-3)]))); m != nil {
				visit(html.Token{Data: "[if"})
				eachTag(m[1], visit)
				visit(html.Token{Data: "[endif"})
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			tok := z.Token()
			if tok.Data == "noscript" && tok.Type == html.StartTagToken {
				z.NextIsNotRawText()
			}
			visit(tok)
		}
	}
}

// webLinks lists where the links of a document lead that are to be tracked.
func webLinks(src string) (list []string) {
	eachTag(src, func(tok html.Token) {
		if tok.Type == html.EndTagToken || tok.Data != "a" && tok.Data != "area" && !strings.HasPrefix(tok.Data, "v:") {
			return
		}
		href, track := "", true
		for _, a := range tok.Attr {
			switch a.Key {
			case "href":
				href = strings.Trim(a.Val, " \n\t\r\f")
			case "data-track":
				track = a.Val != "no"
			}
		}
		if low := strings.ToLower(href); track && (strings.HasPrefix(low, "http://") && len(low) > 7 || strings.HasPrefix(low, "https://") && len(low) > 8) {
			list = append(list, href)
		}
	})
	return list
}

// skeleton lists the tags and fetched addresses of a document.
func skeleton(doc string) (list []string) {
	eachTag(doc, func(tok html.Token) {
		s := tok.Data
		for _, a := range tok.Attr {
			s += " " + a.Key
			if isURLAttr(tok.Data, a.Key) {
				s += "=" + a.Val
			}
		}
		if tok.Data != "br" { // newline_to_br
			list = append(list, s)
		}
	})
	return list
}

func show(list []Problem) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}
