package lint_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/mailer/compose"
	"beckon/mailer/lint"
	"beckon/tracker/token"
)

// good is a mail that nothing is wrong with.
func good() compose.Spec {
	keys, err := token.ParseKeys("7:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
	if err != nil {
		panic(err)
	}
	return compose.Spec{
		Keys: keys, BaseURL: "https://t.example.com", Campaign: 12, Subject: "Spring news", Preheader: "What is new", From: "Acme <news@acme.example>",
		Tracking: compose.TrackConsented, TypeName: "Newsletter", TypeSlug: "newsletter", Now: func() time.Time { return time.Unix(1, 0) },
		HTML: `<html><body><p>Dear {{ name }}, the spring programme is out: three days of talks about transport, with more speakers than last year.</p>
<p><img src="https://acme.example/a.png" alt="A stage"> <a href="https://acme.example/spring">The programme</a></p>{{ ask_tracking }}</body></html>`,
		Company: compose.Company{Name: "Acme", PostalAddress: "1 Long Road", Domain: "acme.example", PrivacyURL: "https://acme.example/privacy", Language: "en"},
	}
}

func check(t testing.TB, s compose.Spec) []lint.Warning {
	t.Helper()
	m := lint.Mail{Subject: s.Subject, Preheader: s.Preheader, HTML: s.HTML, Text: s.Text, Tracking: s.Tracking, Known: []string{"email", "name", "company", "country", "job_title", "topics", "attributes"},
		Sample: compose.Recipient{Email: "alex@example.com", Name: "Alex Sample", Fields: map[string]any{"name": "Alex Sample"}, Mode: compose.Anonymous, Date: time.Unix(1, 0)}}
	if tpl, err := compose.Compile(s); err == nil {
		m.Template = tpl
	}
	return lint.Check(m)
}

func TestWhatReadersWillNotLike(t *testing.T) {
	body := func(html string) func(*compose.Spec) {
		return func(s *compose.Spec) { s.HTML = strings.Replace(s.HTML, "</body>", "\n"+html+"</body>", 1) }
	}
	subject := func(text string) func(*compose.Spec) { return func(s *compose.Spec) { s.Subject = text } }
	for _, c := range []struct {
		name   string
		change func(*compose.Spec)
		kind   lint.Kind // empty: nothing
		at     string    // field, or field:line
		says   string
	}{
		{"a mail that is as it should be", func(*compose.Spec) {}, "", "", ""},

		{"a subject that is empty for who has no name", subject("{{ name }}"), lint.SubjectEmpty, "subject", "of whom only the address is known"},
		{"a subject that is empty for everybody", subject("{% if false %}x{% endif %}"), lint.SubjectEmpty, "subject", "for a sample recipient"},
		{"a subject of 78 characters", subject(strings.Repeat("né ", 26)[:]), "", "", ""},
		{"a subject that a name makes longer", subject(strings.Repeat("né ", 24) + "{{ name }}"), lint.SubjectLong, "subject", "83 characters"},
		{"a shouted subject", subject("BUY IT NOW"), lint.SubjectCaps, "subject", "capitals"},
		{"a shouted subject with a name", subject("BUY IT NOW, {{ name }}"), lint.SubjectCaps, "subject", "capitals"},
		{"an abbreviation alone", subject("GDPR"), "", "", ""},
		{"a script without capitals", subject("春天的消息来了请看"), "", "", ""},
		{"an answer to nothing", subject("RE[2]: your order"), lint.SubjectReply, "subject", "“RE[2]:”"},
		{"a German one", subject("AW: Termin"), lint.SubjectReply, "subject", "answer"},
		{"a word that begins so", subject("Results: spring"), "", "", ""},
		{"a region's words", subject("Regarding: your visit"), "", "", ""},

		{"no preheader", func(s *compose.Spec) { s.Preheader = " " }, lint.NoPreheader, "preheader", "missing"},
		{"a preheader of the author's", func(s *compose.Spec) {
			s.Preheader, s.HTML = "", strings.Replace(s.HTML, "<body>", `<body><div style="DISPLAY: none">What is new</div>`, 1)
		}, "", "", ""},
		{"hidden text further down is none", func(s *compose.Spec) {
			s.Preheader, s.HTML = "", strings.Replace(s.HTML, "</body>", `<div style="display:none">x</div></body>`, 1)
		}, lint.NoPreheader, "preheader", "missing"},

		{"an HTML part near the limit", body("<p>" + strings.Repeat("Text of a mail. ", 5900) + "</p>"), lint.Clipped, "html", "Add nothing more"},
		{"one that is shown to its end", body("<p>" + strings.Repeat("Text of a mail. ", 5400) + "</p>"), "", "", ""},
		{"one that is cut off", body("<p>" + strings.Repeat("Text of a mail. ", 6600) + "</p>"), lint.Clipped, "html", "kB as it is sent"},
		{"letters of two bytes count as two", body("<p>" + strings.Repeat("é", 48<<10) + "</p>"), lint.Clipped, "html", "301 kB as it is sent"},

		{"pictures alone", func(s *compose.Spec) {
			s.HTML = `<body><img src="https://acme.example/a.png" alt="Everything we have to say is in this picture"><p>{{ ask_tracking }}</p></body>`
		}, lint.AllPictures, "html", "(1)"},
		{"pictures without a word", func(s *compose.Spec) {
			s.HTML, s.Tracking = `<body><img src="https://acme.example/a.png" alt=""></body>`, compose.TrackOff
		}, lint.NoText, "text", "made from the HTML"},
		{"words for pictures make a text", func(s *compose.Spec) {
			s.HTML, s.Text = `<body><p>{{ ask_tracking }}</p></body>`, "All that matters is written here, in a text part of the author's own."
		}, "", "", ""},
		{"icons are no pictures", func(s *compose.Spec) {
			s.HTML = `<body><p>Dear {{ name }}, the new hall opens on Monday at nine.</p>` + strings.Repeat(`<img src="https://acme.example/i.png" alt="" width="24"><img src="https://acme.example/i.png" alt="" style="border:0;width:24px">`, 9) + `{{ ask_tracking }}</body>`
		}, "", "", ""},
		{"a picture without words", body(`<img src="https://acme.example/b.png">`), lint.NoAlt, "html:3", "1 picture without alt"},
		{"several", body("<img src='https://acme.example/b.png'>\n\n<IMG\nSRC=https://acme.example/c.png>"), lint.NoAlt, "html:3", "2 pictures (line 3, 5)"},
		{"a spacer needs none", body(`<img src="https://acme.example/b.png" width="1" height=20>`), "", "", ""},
		{"one that decorates", body(`<img src="https://acme.example/b.png" alt="">`), "", "", ""},

		{"a link that shows another domain", body(`<a href="https://evil.example.com/x"><b>www.my-bank.co.uk</b>/login</a>`), lint.OtherDomain, "html:3", "shows www.my-bank.co.uk and leads to evil.example.com"},
		{"a bare name that is another domain", body(`<a href="https://tracker.example.net/x">acme.com</a>`), lint.OtherDomain, "html:3", "acme.com"},
		{"an address in a sentence", body(`<a href="https://a.example.net/x">Go to https://b.example.org/y now</a>`), lint.OtherDomain, "html:3", "b.example.org"},
		{"another host of the same owner", body(`<a href="https://shop.acme.co.uk/x">www.acme.co.uk</a>`), "", "", ""},
		{"a suffix is not an owner", body(`<a href="https://other.co.uk/x">acme.co.uk</a>`), lint.OtherDomain, "html:3", "acme.co.uk"},
		{"an umlaut and its A-label", body(`<a href="https://xn--mller-kva.de/x">www.müller.de</a>`), "", "", ""},
		{"a name that is no domain", body(`<a href="https://nodejs.org/">Node.js</a> <a href="https://acme.example/f">readme.md</a> <a href="https://acme.example/f">e.g.</a>`), "", "", ""},
		{"a mail address", body(`<a href="https://acme.example/write">hello@other.com</a>`), "", "", ""},
		{"a target that Liquid has a say in", body(`<a href="https://{{ sender.domain }}/x">www.elsewhere.com</a>`), "", "", ""},

		{"a link without TLS", body(`<a href="HTTP://acme.example/x">x</a>`), lint.PlainHTTP, "html:3", "1 link to http"},
		{"a picture without TLS", body(`<img alt="" src="http://acme.example/x.png">`), lint.PlainHTTP, "html:3", "1 picture fetched by http"},
		{"a link of the text part", func(s *compose.Spec) { s.Text = "Read more:\nhttp://acme.example/x.\n{{ ask_tracking }}" }, lint.PlainHTTP, "text:2", "1 link to http"},
		{"a shortener", body(`<a href="https://bit.ly/x">x</a>`), lint.Shortener, "html:3", "bit.ly"},
		{"a host that ends so", body(`<a href="https://orbit.ly/x">x</a>`), "", "", ""},
		{"an address instead of a name", body(`<a href="https://192.0.2.1/x">x</a>`), lint.BareIP, "html:3", "bare IP"},
		{"one of the new kind", body(`<a href="https://[2001:db8::1]:8080/x">x</a>`), lint.BareIP, "html:3", "bare IP"},

		{"a form", body("<p></p>\n<form action='https://acme.example/f'><input></form>"), lint.Dropped, "html:4", "<form>"},
		{"a script", body("<script>if (a < b) { go('<img src=x>') }</script>"), lint.Dropped, "html:3", "<script>"},
		{"data that some programs read", body(`<script type="application/ld+json">{"a":"<img src=x>"}</script>`), "", "", ""},
		{"a video, twice", body("<video src='https://acme.example/v.mp4'></video><video></video>"), lint.Dropped, "html:3", "(2 times)"},
		{"a frame", body("<iframe src='https://acme.example/'></iframe>"), lint.Dropped, "html:3", "<iframe>"},
		{"a stylesheet elsewhere", func(s *compose.Spec) {
			s.HTML = strings.Replace(s.HTML, "<body>", `<head><link rel="Stylesheet" href="https://acme.example/a.css"></head><body>`, 1)
		}, lint.Dropped, "html:1", "stylesheet"},
		{"a stylesheet that fetches another", func(s *compose.Spec) {
			s.HTML = strings.Replace(s.HTML, "<body>", "<head><style>\n@import url(https://acme.example/a.css);</style></head><body>", 1)
		}, lint.Dropped, "html:1", "@import"},
		{"what one program alone sees", body("<!--[if mso]><form><img><iframe></form><![endif]-->"), "", "", ""},

		{"a name that no contact has", body("<p>{{ first_name }}</p>"), lint.UnknownName, "html:3", "attributes.first_name"},
		{"one in the subject", subject("Hello {{ nmae | default: 'you' }}"), lint.UnknownName, "subject", "nmae"},
		{"an attribute", body("<p>{{ attributes.colour }}</p>"), "", "", ""},

		{"nobody is asked", func(s *compose.Spec) { s.HTML = strings.Replace(s.HTML, "{{ ask_tracking }}", "", 1) }, lint.NoAskTracking, "html", "{{ ask_tracking }}"},
		{"nobody need be asked", func(s *compose.Spec) {
			s.HTML, s.Tracking = strings.Replace(s.HTML, "{{ ask_tracking }}", "", 1), compose.TrackStrict
		}, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.change(&s)
			got := check(t, s)
			if c.kind == "" {
				if len(got) > 0 {
					t.Errorf("false alarm: %+v", got)
				}
				return
			}
			for _, w := range got {
				at := w.Field
				if w.Line > 0 {
					at = fmt.Sprintf("%s:%d", w.Field, w.Line)
				}
				if w.Kind == c.kind && at == c.at && strings.Contains(w.Message, c.says) {
					return
				}
			}
			t.Errorf("want %s at %s with %q, got %+v", c.kind, c.at, c.says, got)
		})
	}
}

func TestAMailThatCannotBeComposedIsReadAllTheSame(t *testing.T) {
	s := good()
	s.Subject, s.HTML = "RE: {{ name", s.HTML+"<form>"
	got := check(t, s)
	if len(got) != 2 || got[0].Kind != lint.SubjectReply || got[1].Kind != lint.Dropped {
		t.Errorf("%+v", got)
	}
}

func TestTheSameThingIsToldOnce(t *testing.T) {
	s := good()
	s.HTML = strings.Repeat("<img src=https://acme.example/x.png>\n<a href=http://acme.example>x</a>\n<a href=https://evil.example>www.acme.com</a>\n", 500)
	kinds := map[lint.Kind]int{}
	for _, w := range check(t, s) {
		kinds[w.Kind]++
		if len(w.Message) > 400 {
			t.Errorf("%d bytes: %s", len(w.Message), w.Message)
		}
	}
	if kinds[lint.NoAlt] != 1 || kinds[lint.PlainHTTP] != 1 || kinds[lint.OtherDomain] != 10 {
		t.Errorf("%v", kinds)
	}
}

var update = flag.Bool("update", false, "rewrite the golden file")

// TestNewslettersAreJudgedAsBefore holds what is said of the newsletters of package compose to a file, so that
// a change of a rule shows where it bites.
func TestNewslettersAreJudgedAsBefore(t *testing.T) {
	files, err := filepath.Glob("../compose/testdata/corpus/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d newsletters, %v", len(files), err)
	}
	var b strings.Builder
	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := good()
		s.HTML, s.Preheader = string(source), ""
		fmt.Fprintln(&b, filepath.Base(path))
		for _, w := range check(t, s) {
			fmt.Fprintf(&b, "  %s %s:%d %s\n", w.Kind, w.Field, w.Line, w.Message)
		}
	}
	const golden = "testdata/newsletters.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != b.String() {
		t.Errorf("not as in %s (-update rewrites it), %v:\n%s", golden, err, b.String())
	}
}
