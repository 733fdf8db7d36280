package compose

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhereInsertionsGo(t *testing.T) {
	pre, foot, beacon := `<div style="display:none`, `<strong>Acme`, `<img src="https://t.example.com/o/`
	for _, c := range []struct {
		name, html string
		order      []string
	}{
		{"a whole document", `<!doctype html><html><head></head><body class="x">A</body></html>`, []string{`<body class="x">`, pre, "A", foot, beacon, "</body></html>"}},
		{"a fragment", `<p>A</p>`, []string{pre, "<p>A</p>", foot, beacon}},
		{"no body tags", `<!doctype html><html><head><title>T</title></head><p>A</p></html>`, []string{"</head>", pre, "<p>A", "</html>", foot, beacon}},
		{"a doctype alone", `<!doctype html><p>A</p>`, []string{"<!doctype html>", pre, "<p>A", foot, beacon}},
		{"a body in a comment", `<!--[if mso]><body><![endif]--><body>A</body><!--[if mso]></body><![endif]-->`, []string{"<![endif]--><body>", pre, "A", foot, beacon, "</body><!--"}},
		{"two ends", `<body>A</body>B</body>`, []string{"<body>", pre, "A</body>B", foot, beacon, "</body>"}},
		{"an end in a branch", `<body>A{% if name %}</body>{% endif %}`, []string{"<body>", pre, "A</body>", foot, beacon}},
		{"a body in upper case with values", `<BODY TITLE="{{ name }}">A</BODY >`, []string{`"Ada Lovelace">`, pre, "A", foot, beacon, "</BODY >"}},
		{"a footer in its place", `<body>A{{ footer }}B</body>`, []string{pre, "A", foot, "B", beacon, "</body>"}},
		{"a citation in its place", `<body>{{ citation }}A</body>`, []string{pre, "We received", "A", foot, beacon, "</body>"}},
	} {
		spec := testSpec()
		spec.HTML, spec.Preheader = c.html, "In short & sweet: {{ name }}"
		body, _, err := mustCompile(t, spec).Parts(testRecipient())
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, want := range c.order {
			i := strings.Index(body[at:], want)
			if i < 0 {
				t.Errorf("%s: %q does not follow in\n%s", c.name, want, body)
				break
			}
			at += i
		}
		if n := strings.Count(body, foot); n != 1 {
			t.Errorf("%s: %d footers", c.name, n)
		}
		if !strings.Contains(body, "In short &amp; sweet: Ada Lovelace</div>") {
			t.Errorf("%s: the preheader is wrong in\n%s", c.name, body)
		}
	}
}

func TestTheInvitationIsForWhoIsNotFollowed(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>x</p>{{ ask_tracking }}{% if ask_tracking %}asked{% endif %}"
	for _, c := range []struct {
		tracking, mode string
		want           bool
	}{{TrackConsented, Anonymous, true}, {TrackStrict, Anonymous, true}, {TrackConsented, Identified, false}, {TrackOff, Anonymous, false}} {
		spec.Tracking = c.tracking
		r := testRecipient()
		r.Mode = c.mode
		body, text, err := mustCompile(t, spec).Parts(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{body, text} {
			if strings.Contains(part, "Nobody follows") != c.want || strings.Contains(part, "asked") != c.want {
				t.Errorf("%+v:\n%s", c, part)
			}
		}
	}
}

func TestLiquidAsMarketersKnowIt(t *testing.T) {
	fields := map[string]any{
		"name": "ada lovelace", "empty": "", "n": 3.0, "price": 12.5, "big": 1e6, "yes": true, "html": "<b>&",
		"list": []any{"b", "a", "c"}, "day": "2026-05-04", "lines": "one\ntwo", "nobody": []any{}, "deep": map[string]any{"er": []string{"x", "y"}},
	}
	for in, want := range map[string]string{
		"{{ name | capitalize }}":                                           "Ada lovelace",
		"{{ name | upcase | truncate: 6 }}":                                 "ADA...",
		"{{ empty | default: 'none' }} {{ gone | default: \"none\" }}":      "none none",
		"{{ n }} {{ price }} {{ big }} {{ n | plus: 1 }}":                   "3 12.5 1000000 4",
		"{{ list | sort | join: ', ' }} {{ list | first }} {{ list.size }}": "a, b, c b 3",
		"{{ list }}":                                      "bac",
		"{{ day | date: '%d.%m.%Y' }}":                    "04.05.2026",
		"{{ 'now' | date: '%Y' }}":                        "2026",
		"{{ html }}":                                      "&lt;b&gt;&amp;",
		"{{ html | escape }}":                             "&lt;b&gt;&amp;",
		"{{ html | strip_html }}":                         "&amp;",
		"{{ lines | newline_to_br }}":                     "one<br />\ntwo",
		"{{ html | escape | upcase }}":                    "&amp;LT;B&amp;GT;&amp;AMP;",
		"{{ deep.er[1] }} {{ deep.er | last }}":           "y y",
		"{{ name | split: ' ' | last | prepend: 'Ms ' }}": "Ms lovelace",
		"{% if yes and n == 3 %}a{% elsif name %}b{% else %}c{% endif %}":       "a",
		"{% unless empty == '' %}a{% else %}b{% endunless %}":                   "b",
		"{% case name %}{% when 'x' %}1{% when 'ada lovelace' %}2{% endcase %}": "2",
		"{% for x in list limit: 2 %}{{ forloop.index }}{{ x }}{% endfor %}":    "1b2a",
		"{% for x in nobody %}a{% else %}none{% endfor %}":                      "none",
		"{% for i in (1..3) %}{{ i }}{% endfor %}":                              "123",
		"{% assign x = name | upcase %}{{ x }}{{ x }}":                          "ADA LOVELACEADA LOVELACE",
		"{% capture x %}<i>{{ html }}</i>{% endcapture %}{{ x }}":               "<i>&lt;b&gt;&amp;</i>",
		"{% capture x %}<i>{{ html }}</i>{% endcapture %}<p title=\"{{ x }}\">": "<p title=\"&lt;i&gt;&lt;b&gt;&amp;&lt;/i&gt;\">",
		"{% capture x %}Ms{% endcapture %}{% if x == 'Ms' %}{{ x }}{% endif %}": "Ms",
		"a  {{- name -}}  b":                                                     "aada lovelaceb",
		"{% raw %}{{ name }} {% if %}{% endraw %}":                               "{{ name }} {% if %}",
		"a{% comment %} {{ name }} {% if %} {% endcomment %}b":                   "ab",
		"{% assign x = 'a{b' %}{{ x }} { {% if yes %}{ y }{% endif %}":           "a{b { { y }",
		"{{ sender.name }} {{ campaign.type }} {{ campaign.year }}":              "Acme &amp; Sons Ltd Newsletter 2026",
		"{% if sender.name contains 'Acme' %}{{ name | append: sender.domain }}": "ada lovelaceacme.example",
	} {
		if strings.Count(in, "{% if sender") > 0 {
			in += "{% endif %}"
		}
		spec := testSpec()
		spec.HTML, spec.Text = in, "x"
		tpl, err := Compile(spec)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		r := testRecipient()
		r.Fields, r.Cite, r.Plain = fields, nil, true
		body, _, err := tpl.Parts(r)
		got, _, _ := strings.Cut(body, `<div style="margin`)
		if err != nil || got != want {
			t.Errorf("%s\nmakes %q (%v), want %q", in, got, err, want)
		}
	}
}

// A recipient's values can make a template explode that is harmless without them.
func TestValuesThatExplodeFailAlone(t *testing.T) {
	spec := testSpec()
	spec.HTML = "{% for a in list %}{% for b in list %}{% for c in list %}{{ name }}{% assign x = name | append: name %}{% endfor %}{% endfor %}{% endfor %}"
	tpl := mustCompile(t, spec)
	r := testRecipient()
	r.Fields = map[string]any{"list": make([]int, 1000), "name": strings.Repeat("x", 1000)}
	started := time.Now()
	if out, err := tpl.Fill([]byte("kept"), r); !errors.Is(err, errTooMuch) || string(out) != "kept" {
		t.Errorf("%v, %d bytes", err, len(out))
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s to fail", took)
	}
	r.Fields["list"] = []int{1, 2}
	if _, err := tpl.Fill(nil, r); err != nil {
		t.Errorf("a template is spoilt for the next: %v", err)
	}
}

func TestATemplateServesManyAtOnce(t *testing.T) {
	for _, src := range []string{everywhere, everywhere + "{% assign z = a %}{{ z }}"} {
		spec := testSpec()
		spec.HTML = src
		tpl := mustCompile(t, spec)
		var group sync.WaitGroup
		for worker := range 4 {
			r := testRecipient()
			r.Message += 1000 * 7
			r.Fields = map[string]any{"a": strings.Repeat("w", worker+1), "b": "<b>", "c": worker}
			want, err := tpl.Fill(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				for range 50 {
					if got, err := tpl.Fill(nil, r); err != nil || string(got) != string(want) {
						t.Errorf("worker %d got another copy, %v", worker, err)
						return
					}
				}
			})
		}
		group.Wait()
	}
}

func TestEveryLanguageHasEveryWord(t *testing.T) {
	for language, w := range wordings {
		for i, s := range []string{w.why, w.unsubscribe, w.preferences, w.privacy, w.complaint, w.contact, w.cite, w.citePrivacy, w.citeTransp, w.citeObject, w.ask, w.askLink} {
			if s == "" {
				t.Errorf("%s: word %d is missing", language, i)
			}
		}
		if !strings.Contains(w.unsubscribe, "Unsubscribe") || !strings.Contains(w.preferences, "Preferences") ||
			!strings.Contains(w.why, "{company}") || !strings.Contains(w.why, "{type}") {
			t.Errorf("%s lacks what every reader is promised", language)
		}
	}
	for tag, want := range map[string]string{"de": "de", "de-AT": "de", "FR_fr": "fr", "": "en", "pt": "en", "en-GB": "en"} {
		if wordsFor(tag) != wordings[want] {
			t.Errorf("%q does not speak %s", tag, want)
		}
	}
}
