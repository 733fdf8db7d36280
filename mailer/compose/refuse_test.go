package compose

import (
	"strings"
	"testing"
)

// Each case is a mail that must not go out, the line that is named, and a part of what is said.
func TestL14WhatIsRefusedInHTML(t *testing.T) {
	for _, c := range []struct {
		html string
		line int
		want string
	}{
		// Contact data in what is fetched.
		{"<p>\n<a href=\"https://example.com/?e={{ email }}\">x</a>", 2, "inside href: whatever a mail links to"},
		{"<a href='{{ attributes.url }}'>x</a>", 1, "inside href"},
		{"<a href=\"mailto:x@example.com?subject={{ name }}\">x</a>", 1, "inside href"},
		{"\n\n<img src=\"https://img.example.com/{{ name | url_encode }}.png\">", 3, "inside src"},
		{`<img srcset="https://img.example.com/{{ name }}.png 2x">`, 1, "inside srcset"},
		{`<td background="https://img.example.com/{{ name }}.png">`, 1, "inside background"},
		{`<form action="https://example.com/{{ name }}"></form>`, 1, "inside action"},
		{`<video poster="https://example.com/{{ name }}"></video>`, 1, "inside poster"},
		{`<object data="https://example.com/{{ name }}"></object>`, 1, "inside data"},
		{`<link href="https://example.com/{{ name }}.css" rel=stylesheet>`, 1, "inside href"},
		{`<base href="https://example.com/{{ name }}/">`, 1, "inside href"},
		{`<meta http-equiv=refresh content="0;url=https://example.com/{{ name }}">`, 1, "inside content"},
		{`<svg><image xlink:href="https://example.com/{{ name }}"/></svg>`, 1, "inside xlink:href"},
		{`<a href="https://example.com/" ping="https://example.com/{{ name }}">x</a>`, 1, "inside ping"},
		{"<!--[if mso]>\n<v:fill src=\"https://example.com/{{ name }}\"/><![endif]-->", 2, "inside src"},
		{"<!--[if mso]><v:roundrect href=\"https://example.com/{{ name }}\"/><![endif]-->", 1, "inside href"},
		{`<noscript><img src="https://example.com/{{ name }}"></noscript>`, 1, "inside src"},
		{`<p style="background:url(https://example.com/{{ name }})">`, 1, "inside url()"},
		{`<p style="background:url('https://example.com/{{ name }}')">`, 1, "inside url()"},
		{`<p style="background:url(&quot;https://example.com/{{ name }}&quot;)">`, 1, "inside url()"},
		{`<p style="background:&#117;rl(x); color:{{ name }}">`, 1, "cannot hold an &"},
		{"<style>\np { background: url(https://example.com/{{ name }}) }</style>", 2, "inside url()"},
		{"<style>@import \"https://example.com/{{ name }}\";</style>", 1, "quotes of a style"},
		{"<style>{% if x %}/*{% endif %}@import \"https://e.com/{{ name }}\"/**/;</style>", 1, "quotes of a style"},
		{"<p>See https://example.com/{{ name }} for more", 1, "inside a web address"},
		{"<p>See www.example.com/{{ name }} for more", 1, "inside a web address"},
		{`<a href="https://example.com/?u={{ unsubscribe_url }}">x</a>`, 1, "must be the beginning of a link's href"},
		{`<img src="{{ unsubscribe_url }}">`, 1, "must be the beginning of a link's href"},
		{`<a href="https://example.com/{% if vip %}a{% else %}b{% endif %}">x</a>`, 1, "cannot stand inside href"},
		{`<a href="{% cycle 'a', 'b' %}">x</a>`, 1, "cannot stand inside href"},
		{`{% assign u = "https://example.com" %}<a href="{{ u }}">x</a>`, 1, "inside href"},
		{`{% for i in topics %}{% for sender in topics %}<a href="{{ sender }}">x</a>{% endfor %}{% endfor %}`, 1, "reserved name"},

		// What could change which tags there are.
		{`<p><{{ name }}>`, 1, "inside a tag's name"},
		{`<p><{% if a %}img src="x"{% endif %}>`, 1, "cannot follow a < directly"},
		{`1 < {{- name }}>`, 1, "cannot follow a < directly"},
		{`<a {{ attributes.more }}>x</a>`, 1, "between attributes"},
		{`<a{{ attributes.more }} href="https://example.com">x</a>`, 1, "inside a tag's name"},
		{`<td width={{ attributes.w }}>`, 1, "outside quotes"},
		{`<td onclick="x({{ name }})">`, 1, "inside onclick"},
		{`<p></{{ name }}>`, 1, "inside a tag's name"},
		{`<p{% if a %}re{% endif %}>`, 1, "leave a space"},
		{`<p {% if a %}href{% else %}src{% endif %}="x">`, 1, "leave a space"},
		{"{% if a %}<!-- {% endif %}<a href=\"https://e.com\">x</a>{% if a %}-->{% endif %}", 1, "does not stand where its {% if %}"},
		{`{% if a %}<a href="{% else %}<b title="{% endif %}x">`, 1, "does not stand where"},
		{`<!--{% if a %}--{% endif %}>`, 1, "inside a comment"},
		{"<!--[if mso]>{% if a %}<![endif]-->{% endif %}", 1, "does not stand where"},
		{`<!--[if {{ name }}]>x<![endif]-->`, 1, "condition of a comment"},
		{"<!--[if mso]><!--[if !mso]>{{ name }}<![endif]-->", 1, "within a conditional comment"},
		{`<script>var x = "{{ name }}"</script>`, 1, "inside <script>"},
		{`<style>a{content:x}<{{ name }}</style>`, 1, "cannot hold a <"},
		{`<!DOCTYPE {{ name }}>`, 1, "doctype"},
		{`{% cycle '<img src=x>', '' %}`, 1, "plain words"},

		// Blocks and structure.
		{"<p>\n{% if a %}{{ footer }}{% endif %}", 2, "outside of blocks"},
		{"<!-- {{ citation }} -->", 1, "must stand between tags"},
		{`<p title="{{ footer }}">`, 1, "must stand between tags"},
		{"<!--[if mso]>{{ footer }}<![endif]-->", 1, "must stand between tags"},
		{"{{ citation | upcase }}", 1, "must stand alone"},
		{"{% assign x = unsubscribe_url %}", 1, "cannot be used in"},
		{"{% assign footer = 1 %}", 1, "reserved name"},
		{"a\n{% if x %}b", 2, "{% if %} is never closed"},
		{"{% endif %}", 1, "closes nothing"},
		{"{% else %}", 1, "not possible here"},
		{"{% if a %}b{% else if c %}d{% endif %}", 1, "use {% elsif %}"},
		{"{% comment %} x", 1, "never closed"},
		{"\n{% raw %} x", 2, "never closed"},
		{"{{ name", 1, "never closed"},
		{"{% include 'x' %}", 1, "not possible here"},
		{"{% beckon_step %}", 1, "not possible here"},
		{"{{ name | shout }}", 1, `no Liquid filter "shout"`},
		{"{{ name | beckon_text }}", 1, "no Liquid filter"},
		{"{{ name name }}", 1, "not valid Liquid"},
		{"{% if == %}x{% endif %}", 1, "not valid Liquid"},
		{"{{ (1..1000000000) | join }}", 1, "range"},
		{"{% for i in (1..9) | reverse %}x{% endfor %}", 1, "range"},

		// What something appended to would be lost in.
		{"<p>x\n<!-- never closed", 2, "never closed"},
		{"<p>x<style>a{}", 1, "never closed"},
		{"<p>x\n\n<a href=\"https://example.com", 3, "never closed"},
		{"<p>x<plaintext>", 1, "never closed"},
		{"<p>x</", 1, "never closed"},

		{"<p>\x01", 1, "control character"},
		{"<p>\n\xff", 2, "not UTF-8"},
		{"<p>\n<a href=\"https://example.com/" + strings.Repeat("a", 1500) + "\">x</a>", 2, "more than the 1500"},
		{"<a href=\"https://example.com/&#1;x\">x</a>", 1, "control character"},
		{" ", 0, "empty"},

		// Rounds and explosions.
		{"{% for i in (1..1000000000) %}{% endfor %}", 0, "too many steps"},
		{"{% for i in (1..1000) %}{% for j in (1..1000) %}{% assign x = j %}{% endfor %}{% endfor %}", 0, "too many steps"},
		{"{% capture x %}0123456789{% endcapture %}{% for i in (1..60) %}{% capture x %}{{ x }}{{ x }}{% endcapture %}{% endfor %}", 0, "too much text"},
		{"{% for i in (1..15000) %}" + strings.Repeat("<p>long</p>", 20) + "{% endfor %}", 0, "too much text"},
	} {
		spec := testSpec()
		spec.HTML = c.html
		list := problems(t, spec)
		found := false
		for _, p := range list {
			found = found || p.Field == "html" && p.Line == c.line && strings.Contains(p.Message, c.want)
		}
		if !found {
			t.Errorf("%.120q: want line %d, %q, got\n%s", c.html, c.line, c.want, show(list))
		}
	}
}

func TestWhatIsRefusedElsewhere(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Spec)
		field  string
		line   int
		want   string
	}{
		{"a value in an address of the text", func(s *Spec) { s.Text = "Hello\nhttps://example.com/?e={{ email }}" }, "text", 2, adviceURL},
		{"a value before the path", func(s *Spec) { s.Text = "https://{{ name }}.example.com/" }, "text", 1, adviceURL},
		{"a branch within an address", func(s *Spec) { s.Text = "https://example.com/{% if a %}a{% else %}b{% endif %}" }, "text", 1, "leave a space"},
		{"an address that a trim glues", func(s *Spec) { s.Text = "https://example.com/ {{- name }}" }, "text", 1, "leave a space"},
		{"an address too long", func(s *Spec) { s.Text = "\n\nhttps://example.com/" + strings.Repeat("a", 1500) }, "text", 3, "more than the 1500"},
		{"a block in a branch of the text", func(s *Spec) { s.Text = "{% if a %}{{ citation }}{% endif %}" }, "text", 1, "outside of blocks"},
		{"a value in an address of the preheader", func(s *Spec) { s.Preheader = "https://example.com/{{ name }}" }, "preheader", 1, adviceURL},
		{"a block in the subject", func(s *Spec) { s.Subject = "{{ footer }}" }, "subject", 1, "no place here"},
		{"a subject of two lines", func(s *Spec) { s.Subject = "a\r\nBcc: x@example.com" }, "subject", 0, "control character"},
		{"no subject", func(s *Spec) { s.Subject = " " }, "subject", 0, "needed"},
		{"broken Liquid in the subject", func(s *Spec) { s.Subject = "{% if %}" }, "subject", 1, "{% if %}"},
		{"a From without a domain", func(s *Spec) { s.From = "news" }, "from", 0, "not one mailbox"},
		{"two in From", func(s *Spec) { s.From = "a@example.com, b@example.com" }, "from", 0, "not one mailbox"},
		{"a group in From", func(s *Spec) { s.From = "x: a@example.com;" }, "from", 0, "not one mailbox"},
		{"a line end in From", func(s *Spec) { s.From = "a@example.com\r\nBcc: b@example.com" }, "from", 0, "line end"},
		{"a line end in Reply-To", func(s *Spec) { s.ReplyTo = "A\nB <a@example.com>" }, "reply_to", 0, "line end"},
		{"Liquid in Reply-To", func(s *Spec) { s.ReplyTo = "{{ email }}" }, "reply_to", 0, "not one mailbox"},
		{"no postal address", func(s *Spec) { s.Company.PostalAddress = " \n" }, "company", 0, "postal address"},
		{"no company name", func(s *Spec) { s.Company.Name = "" }, "company", 0, "name"},
		{"a domain with a line end", func(s *Spec) { s.Company.Domain = "a.example\r\nX: y" }, "company", 0, "domain"},
		{"a privacy policy that is a script", func(s *Spec) { s.Company.PrivacyURL = "javascript:x" }, "company", 0, "privacy URL"},
		{"a privacy mail with a line end", func(s *Spec) { s.Company.PrivacyEmail = "a@example.com>\r\nX: y" }, "company", 0, "privacy mail"},
		{"a type that is no slug", func(s *Spec) { s.TypeSlug = "a b" }, "type", 0, "slug"},
		{"no public address", func(s *Spec) { s.BaseURL = "" }, "base_url", 0, "http"},
		{"a public address with a query", func(s *Spec) { s.BaseURL = "https://example.com/?a" }, "base_url", 0, "http"},
		{"no tracking", func(s *Spec) { s.Tracking = "" }, "tracking", 0, "consented"},
	} {
		spec := testSpec()
		spec.HTML = "<p>Hello</p>"
		c.change(&spec)
		list := problems(t, spec)
		found := false
		for _, p := range list {
			found = found || p.Field == c.field && p.Line == c.line && strings.Contains(p.Message, c.want)
		}
		if !found {
			t.Errorf("%s: want %s line %d, %q, got\n%s", c.name, c.field, c.line, c.want, show(list))
		}
	}
}

// The counterpart: what looks similar and is fine.
func TestWhatIsAllowed(t *testing.T) {
	for _, html := range []string{
		`<a href="{{ sender.privacy_url }}">x</a> <a href="{{ unsubscribe_url }}">y</a> <a href={{ preferences_url }}>z</a>`,
		`<a href="mailto:{{ sender.privacy_email }}?subject=x">x</a>`,
		`<img src="https://img.example.com/a.png" alt="{{ name }}" title='{{ company }}'>`,
		`<p style="color: {{ attributes.colour }}; background: url(https://img.example.com/x.png)">x</p>`,
		"<style>a { color: {{ attributes.colour }} } /* don't */ {% if a %}b { background: url(x.png) }{% endif %}</style>x",
		`<td{% if a %} class="x"{% endif %}{% if b %} id="y"{% endif %}>x</td>`,
		`<td {% if a %}bgcolor="red"{% else %}bgcolor="blue"{% endif %} align=left>x</td>`,
		`<p title="{% if a %}b{% else %}c{% endif %}">x</p>`,
		`<!-- {{ name }} {% if a %} b {% endif %} -->x`,
		"{% raw %}https://example.com/{{ name }} {% if %}{% endraw %}",
		`{% comment %}<a href="https://example.com/{{ email }}">{% endcomment %}x`,
		"{% if citation %}We must tell you something.{% endif %}{% unless ask_tracking %}x{% endunless %}",
		"{% for t in topics %}{% cycle 'odd', 'even' %}{% if forloop.last %}{% break %}{% endif %}{% endfor %}",
		"See https://example.com/. {{ name }} likes it, and {{ name }}'s friends too.",
		"1 &lt; {{ name }} and a < {{ name }}",
		"@media{a{b:c}}",
		"{{ 'now' | date: '%Y' }} {{ campaign.year }} {{ 3.7 | round }}",
		"{% tablerow t in topics cols:2 %}{{ t }}{% endtablerow %}",
		"{%- comment -%} x {%- endcomment -%} y",
	} {
		spec := testSpec()
		spec.HTML = html
		tpl, err := Compile(spec)
		if err != nil {
			t.Errorf("%q: %v", html, err)
			continue
		}
		if _, err := tpl.Fill(nil, testRecipient()); err != nil {
			t.Errorf("%q: %v", html, err)
		}
	}
}
