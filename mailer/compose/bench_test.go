package compose

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/tracker/token"
)

// benchSpec is a newsletter of 20 kB with ten links and three values.
func benchSpec(b *testing.B) Spec {
	keys, err := token.ParseKeys("7:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
	if err != nil {
		b.Fatal(err)
	}
	var html strings.Builder
	html.WriteString("<!DOCTYPE html><html><head><title>News</title></head><body bgcolor=\"#ffffff\">\n<p>Dear {{ name | default: \"reader\" }},</p>\n")
	for i := range 10 {
		fmt.Fprintf(&html, "<table width=\"600\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr><td style=\"font-family:Arial,sans-serif;font-size:14px;color:#333333\">\n<h2>Article %d</h2>\n", i)
		html.WriteString(strings.Repeat("<p style=\"margin:0 0 12px\">The quick brown fox jumps over the lazy dog, and what it finds there is a story worth reading.</p>\n", 13))
		fmt.Fprintf(&html, "<a href=\"https://www.example.com/articles/%d?utm_source=newsletter&amp;utm_medium=email\">Read on</a></td></tr></table>\n", i)
	}
	html.WriteString("<p>{{ company }}, {{ country }}</p></body></html>\n")
	return Spec{
		Keys: keys, BaseURL: "https://t.example.com", Campaign: 12, Subject: "News for {{ name }}", From: "Acme <news@example.com>", Honeypot: "https://example.com/privacy",
		HTML: html.String(), Tracking: TrackConsented, TypeName: "Newsletter", TypeSlug: "newsletter",
		Company: Company{Name: "Acme Ltd", PostalAddress: "1 Road\nTown", Domain: "example.com", PrivacyEmail: "privacy@example.com", PrivacyURL: "https://example.com/privacy"},
	}
}

func BenchmarkFill(b *testing.B) {
	t, err := Compile(benchSpec(b))
	if err != nil {
		b.Fatal(err)
	}
	whole := benchSpec(b)
	whole.HTML = strings.Replace(whole.HTML, "<p>{{ company }}", "{% if company %}<p>{{ company }}", 1)
	whole.HTML = strings.Replace(whole.HTML, "</p></body>", "</p>{% endif %}</body>", 1)
	w, err := Compile(whole)
	if err != nil {
		b.Fatal(err)
	}
	r := Recipient{
		Email: "ada@example.org", Name: "Ada Lovelace", Message: 1_234_567, Date: time.Unix(1_800_000_000, 0).UTC(),
		Fields: map[string]any{"name": "Ada Lovelace", "company": "Analytical Engines", "country": "GB"},
	}
	for _, c := range []struct {
		name string
		t    *Template
		mode string
	}{{"identified", t, Identified}, {"anonymous", t, Anonymous}, {"control-flow", w, Identified}} {
		b.Run(c.name, func(b *testing.B) {
			r.Mode = c.mode
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = c.t.Fill(dst[:0], r); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(dst)))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	spec := benchSpec(b)
	b.SetBytes(int64(len(spec.HTML)))
	for b.Loop() {
		if _, err := Compile(spec); err != nil {
			b.Fatal(err)
		}
	}
}
