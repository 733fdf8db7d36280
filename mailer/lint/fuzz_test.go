package lint_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"beckon/mailer/compose"
	"beckon/mailer/lint"
)

// FuzzCheck holds whatever an author may write to what Check promises: no panic, no more than 100
// warnings, lines that are there.
func FuzzCheck(f *testing.F) {
	s := good()
	for _, seed := range []struct{ subject, html, text string }{
		{s.Subject, s.HTML, ""},
		{"RE: {{ name", "<a href='http://[::1'>www.x</a><img><form", "http://a http://192.0.2.1/"},
		{"{% if x %}", "{{{{{%{%\n<!--[if mso]><a><![endif]--><style>@import</style", "www.\x01"},
		{"", "<a href=https://xn--a>https://ü.</a><script>", "{{ x }}"},
	} {
		f.Add(seed.subject, seed.html, seed.text)
	}
	f.Fuzz(func(t *testing.T, subject, html, text string) {
		s := good()
		s.Subject, s.HTML, s.Text = subject, html, text
		got := check(t, s)
		if got == nil || len(got) > 100 {
			t.Fatalf("%d warnings", len(got))
		}
		for _, w := range got {
			most := map[string]int{"html": 1 + strings.Count(html, "\n"), "text": 1 + strings.Count(text, "\n")}[w.Field]
			if w.Line < 0 || w.Line > most || w.Message == "" || w.Kind == "" {
				t.Errorf("%+v of %d lines", w, most)
			}
			if utf8.ValidString(subject+html+text) && !utf8.ValidString(w.Message) {
				t.Errorf("broken letters in %q", w.Message)
			}
		}
	})
}

// TestTimeGrowsWithTheMail gives Check much of what makes careless readers slow; a quadratic one would take
// a quarter of an hour for 1 MB, and hours for 5.
func TestTimeGrowsWithTheMail(t *testing.T) {
	for i, one := range []string{"{{", "<a href=http://x.com>", "&am", "<img a=", "<a>", "{%", "{{ x", "<a ", "<", "<!--", "<!--[if ", "<img a=b ", "<style>",
		"<script><!--", "&", "http://", "www.a.", "a.", "\n", "\"", "'", "x", "é", "<b x='", "<b style='width:1px;"} {
		size := 1 << 20
		if i < 5 {
			size = 5 << 20
		}
		text := strings.Repeat(one, size/len(one))
		start := time.Now()
		lint.Check(lint.Mail{Subject: text, HTML: text, Text: text, Preheader: text, Tracking: compose.TrackConsented})
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%q took %s", one, d)
		}
	}
}
