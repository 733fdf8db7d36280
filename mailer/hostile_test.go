package mailer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema/servertest"
	"beckon/segments"
)

const smuggled = "x\r\nBcc: victim@example.org\r\n\r\n<script>boo()</script>"

// TestB10BadInputIsRefusedOrSentWhole: whatever stands in a campaign or a contact, the mail is refused
// with the field named, or arrives with nothing in its headers that nobody wrote.
func TestB10BadInputIsRefusedOrSentWhole(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		name    string
		draft   func(*mailer.Draft)
		refused string                  // the field
		reads   func(*letter) (ok bool) // what else is to be seen of what is sent
	}{
		{"a line break in the name", func(d *mailer.Draft) { d.Name = smuggled }, "name", nil},
		{"a line break in the company", func(d *mailer.Draft) { d.Company = smuggled }, "company", nil},
		{"a line break in the type", func(d *mailer.Draft) { d.Type = smuggled }, "type", nil},
		{"a line break in the subject", func(d *mailer.Draft) { d.Subject = smuggled }, "subject", nil},
		{"a line break in the sender", func(d *mailer.Draft) { d.From = "A\r\nBcc: victim@example.org <news@acme.example>" }, "from", nil},
		{"a line break in the sender's address", func(d *mailer.Draft) { d.From = "news@acme.example\r\nBcc: victim@example.org" }, "from", nil},
		{"a line break in reply_to", func(d *mailer.Draft) { d.ReplyTo = "me@acme.example\r\nBcc: victim@example.org" }, "reply_to", nil},
		{"a line break in the preheader", func(d *mailer.Draft) { d.Preheader = smuggled }, "preheader", nil},
		{"a line break in a parameter", func(d *mailer.Draft) { d.UTM.Source = smuggled }, "utm.source", nil},
		{"line breaks in the HTML", func(d *mailer.Draft) { d.HTML += "\r\n.\r\nBcc: victim@example.org\r\n\r.\n.\n" }, "", nil},
		{"line breaks in the text", func(d *mailer.Draft) { d.Text = "a\r\n.\r\nQUIT\r\n\r\rBcc: victim@example.org\n.\nend" }, "",
			func(l *letter) bool { return strings.Contains(l.text, "\nQUIT") && strings.Contains(l.text, "end") }},
		{"NUL in the subject", func(d *mailer.Draft) { d.Subject = "a\x00b" }, "subject", nil},
		{"no UTF-8 in the HTML", func(d *mailer.Draft) { d.HTML = "<p>\xff</p>" + d.HTML }, "html", nil},
		{"a sender of 300 characters", func(d *mailer.Draft) { d.From = long + "@acme.example" }, "from", nil},
		{"an address for replies of 300 characters", func(d *mailer.Draft) { d.ReplyTo = long + "@acme.example" }, "reply_to", nil},
		{"emoji in the subject", func(d *mailer.Draft) { d.Subject = strings.Repeat("🎉👩‍👩‍👧‍👦", 17) }, "",
			func(l *letter) bool { return subject(l) == strings.Repeat("🎉👩‍👩‍👧‍👦", 17) }},
		{"an encoded word in the subject", func(d *mailer.Draft) { d.Subject = "=?utf-8?q?=0D=0ABcc:_v@example.org?=" }, "",
			func(l *letter) bool { return subject(l) == "=?utf-8?q?=0D=0ABcc:_v@example.org?=" }},
		{"a subject of 480 characters", func(d *mailer.Draft) { d.Subject = strings.Repeat("wörter ", 60) + "Ende" }, "",
			func(l *letter) bool { return subject(l) == strings.Repeat("wörter ", 60)+"Ende" }},
		{"a subject of 900 characters", func(d *mailer.Draft) { d.Subject = strings.Repeat("w", 900) }, "subject", nil},
		{"a sender's name from right to left", func(d *mailer.Draft) { d.From = `"חדשות, \"אקמי\"" <news@acme.example>` }, "",
			func(l *letter) bool {
				from, err := l.head.AddressList("From")
				return err == nil && len(from) == 1 && from[0].Name == `חדשות, "אקמי"` && from[0].Address == "news@acme.example"
			}},
		{"HTML that never closes", func(d *mailer.Draft) {
			d.HTML = `<table><tr><td><div><p>Hello <b><i>{{ name }}<a href="https://acme.example/x">go<p>{{ citation }}{{ footer }}`
		}, "", func(l *letter) bool { return strings.Contains(l.html, "/c/") && strings.Contains(l.text, "Hello") }},
		{"HTML that closes what it never opened", func(d *mailer.Draft) { d.HTML = "</p></div></table></body></html>" + d.HTML + "</td></b>" }, "", nil},
		{"HTML cut off in a tag", func(d *mailer.Draft) { d.HTML = `<p>Hello</p><a href="https://acme.example/` }, "html", nil},
		{"HTML cut off in a comment", func(d *mailer.Draft) { d.HTML = `<p>Hello</p><!-- what is this` }, "html", nil},
		{"HTML cut off in a style", func(d *mailer.Draft) { d.HTML = `<p>Hello</p><style>p { color: red` }, "html", nil},
		{"one line of 900 kB", func(d *mailer.Draft) { d.HTML += strings.Repeat("é", 450<<10) }, "",
			func(l *letter) bool { return strings.Contains(l.html, strings.Repeat("é", 450<<10)) }},
		{"5 MB of HTML", func(d *mailer.Draft) { d.HTML += strings.Repeat("<p>x</p>", 5<<20/8) }, "html", nil},
		{"5 MB of text", func(d *mailer.Draft) { d.Text = strings.Repeat("x ", 5<<20/2) }, "text", nil},
		{"a loop without end", func(d *mailer.Draft) { d.HTML += "{% for i in (1..1000000000) %}{{ i }}{% endfor %}" }, "html", nil},
		{"loops in loops", func(d *mailer.Draft) {
			d.HTML += strings.Repeat("{% for i in (1..9999) %}", 8) + "x" + strings.Repeat("{% endfor %}", 8)
		}, "html", nil},
		{"a loop that grows", func(d *mailer.Draft) {
			d.HTML += "{% assign x = 'xx' %}{% for i in (1..99) %}{% capture x %}{{ x }}{{ x }}{% endcapture %}{% endfor %}{{ x }}"
		}, "html", nil},
		{"a loop that is never closed", func(d *mailer.Draft) { d.HTML += "{% for i in topics %}" }, "html", nil},
		{"a template that includes itself", func(d *mailer.Draft) { d.HTML += "{% include 'self' %}" }, "html", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, servertest.SQLite(t))
			w.optIn(w.person("eve@example.org", "", ""), true)
			m := mailer.New(w.options)
			d := w.draft(w.everybody())
			c.draft(&d)
			made, err := m.Create(t.Context(), d)
			if err == nil {
				_, err = m.Launch(t.Context(), made.ID)
			}
			if c.refused != "" {
				fields := slices.DeleteFunc(faulty(err), func(f string) bool { return f == "text" && c.refused == "html" }) // it is made from the HTML
				if len(fields) != 1 || fields[0] != c.refused {
					t.Fatalf("got %v for the fields %v", err, fields)
				}
				return
			}
			w.ok(err)
			w.run(m)
			w.untilFinished(m, made.ID)
			l := w.relay.to("eve@example.org")
			if len(l) != 1 {
				t.Fatalf("%d mails arrived", len(l))
			}
			whole(t, &l[0])
			if c.reads != nil && !c.reads(&l[0]) {
				t.Errorf("it reads\n%s", l[0].raw[:min(4000, len(l[0].raw))])
			}
		})
	}
}

func TestB10WhatAContactIsCalledChangesNoHeader(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for field, c := range map[string]segments.NewContact{
		"email":           {Email: strings.Repeat("a", 300) + "@example.org"},
		"name":            {Email: "x@example.org", Name: smuggled},
		"company":         {Email: "x@example.org", Company: strings.Repeat("c", 5<<20)},
		"job_title":       {Email: "x@example.org", JobTitle: "a\nb"},
		"attributes.city": {Email: "x@example.org", Attributes: map[string]any{"city": smuggled}},
	} {
		if _, _, err := w.contacts.Create(t.Context(), c); !slices.Equal(faulty(err), []string{field}) {
			t.Errorf("a bad %s: %v", field, err)
		}
	}
	// What is refused today may stand in the database since before.
	names := map[string]string{
		"ann":  smuggled,
		"ben":  "שלום \u202eגרשון, \"מ\"",
		"cleo": strings.Repeat("👩‍👩‍👧‍👦", 60),
		"dan":  "<script>alert(1)</script>{{ email }}{% for i in (1..9) %}",
		"eve":  "=?utf-8?q?=0D=0ABcc:_v@example.org?=",
		"finn": "محمد" + strings.Repeat(" عبد", 80),
	}
	attributes, err := json.Marshal(map[string]string{"city": smuggled, "note": strings.Repeat("é\r\n.\r\n", 2000)})
	w.ok(err)
	for who, name := range names {
		c := w.person(who+"@example.org", "", "")
		w.optIn(c, true)
		w.exec(`UPDATE contacts SET name = ?, company = ?, job_title = ?, attributes = ? WHERE id = ?`, name, name, name, string(attributes), c)
	}
	d := w.draft(w.everybody())
	d.Subject = "{{ name }} of {{ company }}"
	d.HTML = strings.Replace(d.HTML, "{{ name }}", "{{ name }} {{ job_title }} {{ attributes.city }} {{ attributes.note }}", 1)
	m := mailer.New(w.options)
	c := w.launch(m, d)
	w.run(m)
	if s := w.untilFinished(m, c); s.Messages[queue.Sent] != int64(len(names)) {
		t.Errorf("messages: %+v", s.Messages)
	}
	for who, name := range names {
		l := w.relay.to(who + "@example.org")
		if len(l) != 1 {
			t.Errorf("%s got %d mails", who, len(l))
			continue
		}
		whole(t, &l[0])
		to, err := l[0].head.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != who+"@example.org" {
			t.Errorf("%s: To is %q, %v", who, l[0].head.Get("To"), err)
		}
		if strings.Contains(l[0].html, "<script>") {
			t.Errorf("%s: the mail has a script", who)
		}
		if who != "ann" && !strings.Contains(subject(&l[0]), name[:min(len(name), 12)]) {
			t.Errorf("%s: the subject is %q", who, subject(&l[0]))
		}
	}
}

// faulty are the fields that an error names.
func faulty(err error) (fields []string) {
	var invalid *segments.Invalid
	var refused *mailer.Refused
	var list []segments.FieldError
	switch {
	case errors.As(err, &invalid):
		list = invalid.Fields
	case errors.As(err, &refused):
		list = refused.Problems
	}
	for _, f := range list {
		fields = append(fields, f.Field)
	}
	return fields
}

func subject(l *letter) string {
	s, err := new(mime.WordDecoder).DecodeHeader(l.head.Get("Subject"))
	if err != nil {
		return err.Error()
	}
	return s
}

// whole holds a mail against RFC 5322: each header once and none that nobody wrote, short lines that
// end in CRLF, two parts.
func whole(t *testing.T, l *letter) {
	t.Helper()
	head, _, _ := bytes.Cut(l.raw, []byte("\r\n\r\n"))
	seen := map[string]int{}
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			seen[string(name)]++
		}
	}
	for _, name := range []string{"Date", "From", "To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type"} {
		if seen[name] != 1 {
			t.Errorf("there are %d headers %s", seen[name], name)
		}
	}
	known := map[string]bool{"Date": true, "From": true, "Reply-To": true, "To": true, "Subject": true, "Message-ID": true, "List-Id": true, "List-ID": true, "List-Unsubscribe": true,
		"List-Unsubscribe-Post": true, "Feedback-ID": true, "MIME-Version": true, "Content-Type": true, "DKIM-Signature": true, "Auto-Submitted": true, "Precedence": true}
	for name := range seen {
		if !known[name] {
			t.Errorf("there is a header %s", name)
		}
	}
	for i, line := range bytes.Split(l.raw, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line %d has %d bytes, or a bare CR, LF or NUL", i+1, len(line))
		}
	}
	if _, err := mail.ParseDate(l.head.Get("Date")); err != nil || l.html == "" || l.text == "" {
		t.Errorf("date %v; HTML of %d and text of %d bytes", err, len(l.html), len(l.text))
	}
}
