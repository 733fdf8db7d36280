package compose

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A mail that compiles can be filled, reads back, leads where the author meant, and holds the
// author's bytes; whatever the values are, its tags stay the same.
func FuzzHTML(f *testing.F) {
	for _, src := range tokenSeeds {
		f.Add(src)
	}
	f.Add(everywhere)
	f.Add(`{% if a %}<p>{{ a }}</p>{% else %}<a href="https://example.com">x</a>{% endif %}{{ footer }}`)
	f.Add(`{% for x in b %}<li{% if x %} class="y"{% endif %}>{{- x -}}{% endfor %}{% capture c %}<b>{{ a }}</b>{% endcapture %}{{ c }}`)
	f.Add(`<td{% if a %} class="{{ a }}"{% endif %} {% for x in b %}id="{{ x }}" {% endfor %}>{% if a %}<!-- {{ a }} -->{% else %}<b>{% endif %}<style>{% if b %}p { color: {{ a }} }{% endif %}</style>`)
	for _, name := range []string{"03-event", "04-grants-de", "06-receipt"} {
		src, err := os.ReadFile("testdata/corpus/" + name + ".html")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		spec := testSpec()
		spec.HTML = src
		started := time.Now()
		tpl, err := Compile(spec)
		if took := time.Since(started); took > 20*time.Second {
			t.Fatalf("compiling took %s", took)
		}
		var p *Problems
		if err != nil && !errors.As(err, &p) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		r := testRecipient()
		r.Fields = map[string]any{"a": "x", "b": []any{"y", "z"}}
		raw, err := tpl.Fill(nil, r)
		if err != nil {
			return // values can be unfit for a template: a date that is none
		}
		_, text, body := readMail(t, raw)
		if err := tpl.Check(raw, r); err != nil {
			t.Fatal(err)
		}
		wantBody, wantText, err := tpl.Parts(r)
		if err != nil || body != wantBody || text != wantText {
			t.Fatalf("reads\n%q\n%q\nwant\n%q\n%q (%v)", text, body, wantText, wantBody, err)
		}
		clean := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(src)
		restored := restore(t, tpl, r, body, tpl.html)
		masks := scanLiquid("html", clean, newEngine(true, time.Now), func(Problem) {}).masks
		if len(masks) == 0 && restored != clean {
			t.Fatalf("restored %q, want %q", restored, clean)
		}
		if slices.ContainsFunc(masks, func(m mask) bool { return m.kind == maskTag && !plainCondition.MatchString(m.args) }) {
			return // which tags there are may depend on the values
		}
		want := skeleton(wantBody)
		for _, value := range hostile {
			if value == "" {
				continue // which is false
			}
			r.Fields = map[string]any{"a": value, "b": []any{value, value}}
			got, _, err := tpl.Parts(r)
			if err != nil {
				continue
			}
			if tags := skeleton(got); !slices.Equal(tags, want) {
				t.Fatalf("with %q the tags are\n%s\nwant\n%s\nin\n%s", value, strings.Join(tags, "\n"), strings.Join(want, "\n"), got)
			}
		}
	})
}

// plainCondition asks whether there is a value, not what it is.
var plainCondition = regexp.MustCompile(`^(?:\w+|\w+ in [ab])?$`)

func FuzzText(f *testing.F) {
	for _, src := range []string{
		"Hello {{ a }}\nhttps://example.com/a, (https://example.com/b(c)) <https://example.com/d>.",
		"{% if a %}https://example.com/ {% endif %}{{ footer }}", "HTTP://EXAMPLE.COM/?a=https://b.example/...", "{{ unsubscribe_url }}", "https://",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		spec := testSpec()
		spec.HTML, spec.Text = "<p>x</p>", src
		tpl, err := Compile(spec)
		if err != nil || strings.TrimSpace(src) == "" {
			return
		}
		r := testRecipient()
		r.Fields, r.Cite = map[string]any{"a": "x"}, nil
		raw, err := tpl.Fill(nil, r)
		if err != nil {
			return
		}
		_, text, _ := readMail(t, raw)
		if err := tpl.Check(raw, r); err != nil {
			t.Fatal(err)
		}
		clean := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(src)
		if len(scanLiquid("text", clean, newEngine(false, time.Now), func(Problem) {}).masks) > 0 {
			return
		}
		body, _, _ := strings.Cut(restore(t, tpl, r, text, tpl.text), "\n\n--\n"+tpl.blocks.why(false))
		if want := strings.TrimRight(clean, " \t\n"); body != want {
			t.Fatalf("restored %q, want %q", body, want)
		}
	})
}

// However an href is written, UTM parameters are one insertion, and lead where they are to lead.
func FuzzHref(f *testing.F) {
	for _, raw := range []string{"https://example.com/", " https://example.com/?a=1&amp;b=2#c ", "http://x/&#35&#x23;&num;", "https://x/?&amp", "https://x/?a&ampb&lt=1&#&#x;#", "https://x&Tab;&NewLine", "https://x/?utm%5fsource=#"} {
		f.Add(raw, "beckon")
	}
	f.Fuzz(func(t *testing.T, raw, value string) {
		u := UTM{Source: value, Term: "t"}
		target := browserTrim(decodeAttr(raw))
		if strings.ContainsAny(raw, "\x00\r") || CheckUTM(value) != "" || !isWeb(target) {
			return
		}
		got := u.addToHref(raw, target)
		if leads, want := browserTrim(decodeAttr(got)), u.Add(target); leads != want {
			t.Fatalf("%q makes %q, which leads to %q, want %q", raw, got, leads, want)
		}
		at := 0
		for at < len(raw) && at < len(got) && raw[at] == got[at] {
			at++
		}
		if !strings.HasSuffix(got, raw[at:]) || strings.ContainsAny(got[at:len(got)-len(raw)+at], "<>\"' \n") {
			t.Fatalf("%q is not %q with an insertion", got, raw)
		}
		checkAdded(t, u, target, u.Add(target))
	})
}

// Nothing that a person or an author is called makes another header field.
func FuzzHeaders(f *testing.F) {
	f.Add("Ada", "Hello", "ada@example.org")
	f.Add("a\r\nBcc: x@example.com", "=?utf-8?q?x?= \"", "a\"b@example.org")
	f.Add(strings.Repeat("ü ", 200), strings.Repeat("long", 300), "jürgen@exämple.org")
	f.Add(`"\`, " leading", "a(b)@example.org")
	f.Fuzz(func(t *testing.T, name, subject, email string) {
		spec := testSpec()
		spec.HTML, spec.Subject = "<p>x</p>", "{{ s }}."
		tpl, err := Compile(spec)
		if err != nil {
			t.Fatal(err)
		}
		r := testRecipient()
		r.Name, r.Email, r.Fields = name, email, map[string]any{"s": subject}
		raw, err := tpl.Fill(nil, r)
		if err != nil {
			return
		}
		if err := tpl.Check(raw, r); err != nil {
			t.Fatal(err)
		}
		h, _, _ := readMail(t, raw)
		fields := 0
		for all := h.Fields(); all.Next(); fields++ {
		}
		if fields != 11 {
			t.Fatalf("%d header fields in %q", fields, raw)
		}
		if got, err := h.Subject(); err != nil || got != strings.TrimSpace(inHeader.render(stripControls(subject))+".") {
			t.Fatalf("subject %q, %v, want %q", got, err, subject)
		}
		to, err := h.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Name != oneLine(name) {
			t.Fatalf("to %v, %v, want %q", to, err, oneLine(name))
		}
	})
}
