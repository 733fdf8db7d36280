package pages

import (
	"bytes"
	"io"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"

	"beckon/schema/servertest"
	"beckon/segments"
)

func (w *world) message(c Confirmation) (raw []byte, header mail.Header, text, html string) {
	w.t.Helper()
	m, err := c.Message("Acme Ltd <confirm@acme.example>", start)
	w.must(err)
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	w.must(err)
	raw = b.Bytes()
	plain, err := mail.ReadMessage(bytes.NewReader(raw))
	w.must(err)
	e, err := message.Read(bytes.NewReader(raw))
	w.must(err)
	parts := e.MultipartReader()
	for {
		p, err := parts.NextPart()
		if err == io.EOF {
			return raw, plain.Header, text, html
		}
		w.must(err)
		body, err := io.ReadAll(p.Body)
		w.must(err)
		if kind, _, _ := p.Header.ContentType(); kind == "text/html" {
			html = string(body)
		} else {
			text = string(body)
		}
	}
}

func TestL9TheConfirmationMailAsksAndNothingElse(t *testing.T) {
	for _, lang := range tags {
		w := newWorld(t, servertest.SQLite(t), nil)
		w.status(w.post(form+"&lang="+lang, with(filled("grace@example.org"), "name", "BUY AT spam.example")), 200)
		c := w.mails.sent[0]
		raw, h, text, html := w.message(c)
		l := load(t).choose(lang)
		for _, part := range []string{text, html} {
			for _, want := range []string{c.Link, "Acme Ltd", "1 Long Lane", "https://acme.example/privacy", l.T("type.newsletter"), l.T("channel.phone"), l.T("topic.transport"),
				l.T("mail.tracking.yes"), "I agree that Acme Ltd sends me", l.T("mail.greeting"), "09:30"} {
				if !strings.Contains(strings.NewReplacer("&#43;", "+", "&amp;", "&").Replace(part), want) {
					t.Errorf("%s: no %q in\n%s", lang, want, part)
				}
			}
			for _, not := range []string{"spam.example", "Navy", "+1 202", l.T("topic.sexual-health"), "<img", "src=", "/o/", "/c/"} {
				if strings.Contains(part, not) {
					t.Errorf("%s: %q in\n%s", lang, not, part)
				}
			}
		}
		for k, want := range map[string]string{"To": "<grace@example.org>", "From": `"Acme Ltd" <confirm@acme.example>`, "Reply-To": "<hello@acme.example>",
			"Auto-Submitted": "auto-generated", "Content-Language": lang, "User-Agent": "", "X-Mailer": "", "List-Unsubscribe": "", "Date": "Fri, 03 Apr 2026 09:30:00 +0000"} {
			if h.Get(k) != want || len(h[k]) > 1 {
				t.Errorf("%s: %s is %q, want %q", lang, k, h[k], want)
			}
		}
		if id := h.Get("Message-Id"); !strings.HasSuffix(id, "@acme.example>") || len(id) < 30 {
			t.Errorf("%s: Message-ID %s", lang, id)
		}
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: a line of %d bytes, or a bare line end", lang, len(line))
			}
		}
	}
}

func TestNoHeaderIsInjectedIntoAConfirmation(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	evil := "Acme\r\nBcc: x@example.org\r\n\r\nbody"
	c := Confirmation{Company: segments.Company{Name: evil}, To: "a@example.org", Subject: evil, Language: "en", Link: "https://a.example/confirm/x", Text: "text", HTML: "<p>html"}
	_, h, _, _ := w.message(c)
	if h.Get("Bcc") != "" || strings.ContainsAny(h.Get("Subject"), "\r\n") {
		t.Errorf("headers are %v", h)
	}
	for _, to := range []string{"a@example.org\r\nBcc: x@example.org", "a@example.org, b@example.org", "", "Eve <"} {
		c.To = to
		if m, err := c.Message("confirm@acme.example", start); err == nil {
			t.Errorf("a mail to %q: %v", to, m.GetToString())
		} else if to != "" && strings.Contains(err.Error(), to) {
			t.Errorf("the error holds the address: %v", err)
		}
	}
	c.To = "a@example.org"
	if _, err := c.Message("nobody", start); err == nil {
		t.Error("a mail from nobody")
	}
}
