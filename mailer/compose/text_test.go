package compose

import (
	"strings"
	"testing"
)

func plainText(t *testing.T, html string, fields map[string]any) string {
	t.Helper()
	spec := testSpec()
	spec.HTML, spec.Tracking = html, TrackOff
	r := testRecipient()
	r.Cite = nil
	if fields != nil {
		r.Fields = fields
	}
	_, text, err := mustCompile(t, spec).Parts(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _, found := strings.Cut(text, "\n\n--\n")
	if !found {
		t.Fatalf("no footer in %q", text)
	}
	return strings.TrimRight(body, "\n")
}

func TestTheTextPartSaysWhatTheReaderSees(t *testing.T) {
	for _, c := range []struct{ name, html, want string }{
		{"paragraphs", "<p>One\n two</p><p>Three</p>", "One two\n\nThree"},
		{"breaks", "One<br>two<br/>three", "One\ntwo\nthree"},
		{"entities", "<p>a &amp; b &lt;c&gt; &uuml; &nbsp; &#8211; d</p>", "a & b <c> ü – d"},
		{"lists", "<ul><li>One</li><li>Two</li></ul>After", "* One\n* Two\n\nAfter"},
		{"cells", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"},
		{"a link", `See <a href="https://example.com/?a=1&amp;b=2">the report</a>.`, "See the report <https://example.com/?a=1&b=2>."},
		{"a link that shows its address", `<a href="https://example.com/">https://example.com</a> or <a href="http://example.com/x">example.com/x</a>`, "https://example.com/ or http://example.com/x"},
		{"a picture as a link", `<a href="https://example.com"><img src="x.png" alt="Our &quot;shop&quot;"></a>`, `Our "shop" <https://example.com>`},
		{"a picture without words as a link", `<a href="https://example.com"><img src="x.png" alt=""></a>`, `<https://example.com>`},
		{"a link around blocks", `<a href="https://example.com"><p>One</p><p>Two</p></a>Three`, "One\n\nTwo\n<https://example.com>\n\nThree"},
		{"mail and telephone", `<a href="mailto:a@example.com?subject=x">Write</a> <a href="mailto:a@example.com">a@example.com</a> <a href="tel:1">call</a> <a href="#x">up</a>`, "Write <a@example.com> a@example.com call up"},
		{"links that do not close", `<a href="https://a.example">one <a href="https://b.example">two`, "one <https://a.example> two <https://b.example>"},
		{"areas", `<map><area href="https://example.com/a" alt="A"><area href="https://example.com/b"></map>`, "A <https://example.com/a> <https://example.com/b>"},
		{"what is no text", "<head><title>T</title><style>a{}</style></head><body><script>x</script><!-- c --><!--[if mso]>outlook<![endif]-->Text<!--[if !mso]><!--> more<!--<![endif]--></body>", "Text more"},
		{"what is hidden", `<div style="display: none">pre</div><p hidden>no</p><span style="DISPLAY:NONE"><b>x</b><span>y</span></span>Text<img style="display:none" alt="pic">`, "Text"},
		{"what is hidden and never ends", `<div style="display:none">All of it`, "All of it"},
		{"padding", "<p>Hello&#847;&zwnj;&nbsp;&#847;&zwnj;&nbsp;\u200b there</p>", "Hello͏\u200c there"},
		{"preformatted", "<pre>a   b\n  c</pre>d", "a   b\n  c\n\nd"},
		{"rules", "a<hr>b", "a\n\n----------\n\nb"},
		{"values", `<p>Dear {{ name }}, <b>{{ company | upcase }}</b>!</p><img alt="{{ name }}" src="x.png"><p title="{{ country }}">x</p>`, "Dear Ada & Co, ENGINES!\n\nAda & Co\n\nx"},
		{"a branch", `<p>a</p>{% if company %}<p>b</p>{% else %}<p>c</p>{% endif %}<p>d</p>`, "a\n\nb\n\nd"},
		{"a branch not taken", `<p>a</p>{% if nothing %}<p>b</p>{% endif %}<p>d</p>`, "a\n\nd"},
		{"a loop", `<ul>{% for t in topics %}<li>{{ t }}</li>{% endfor %}</ul>`, "* x\n* y"},
		{"a choice of links", `<a {% if company %}href="https://a.example"{% else %}href="https://b.example"{% endif %}>x</a>`, "x <https://a.example>"},
		{"a choice of link tags", `{% if nothing %}<a href="https://a.example">{% else %}<a href="https://b.example">{% endif %}x</a> y`, "<https://b.example>x y"},
		{"Liquid where nothing shows", `<head>{% assign x = "set" %}<title>{{ name }}</title></head><td {% if company %}class="y"{% endif %}>{{ x }}</td>`, "set"},
		{"the pages", `<a href="{{ unsubscribe_url }}">Leave</a>`, "Leave <https://t.example.com/u/AQcDDOcknKiYuKajpIiN3Yf-7IMk5A>"},
		{"nothing at all", "<br>", ""},
	} {
		fields := map[string]any{"name": "Ada & Co", "company": "Engines", "country": "GB", "topics": []string{"x", "y"}}
		if got := plainText(t, c.html, fields); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}

func TestAddressesInAGivenText(t *testing.T) {
	for in, want := range map[string]string{
		"See https://example.com/a.":                      "https://example.com/a",
		"(https://example.com/a)":                         "https://example.com/a",
		"https://example.com/a_(b)!":                      "https://example.com/a_(b)",
		"<https://example.com/a?b=1&c=2>":                 "https://example.com/a?b=1&c=2",
		"*https://example.com/a*":                         "https://example.com/a",
		"HTTP://Example.com":                              "HTTP://Example.com",
		"\"https://example.com/\"":                        "https://example.com/",
		"https://example.com/ü?q=日本, and":                 "https://example.com/ü?q=日本",
		"https:// is no address, nor is http:x":           "",
		"www.example.com is left alone":                   "",
		"https://example.com/{{ sender.domain }}/x":       "https://example.com/acme.example/x",
		"{% if name %}https://example.com/b {% endif %}x": "https://example.com/b",
	} {
		spec := testSpec()
		spec.HTML, spec.Text = "<p>x</p>", in
		tpl, err := Compile(spec)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		got := ""
		for _, l := range tpl.Links() {
			got += l.URL
		}
		if got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

func TestS13PositionsAndLabels(t *testing.T) {
	spec := testSpec()
	spec.HTML = `<a href="https://example.com/">  The
		<b>first</b>&amp;foremost </a><a href="https://example.com/"><img alt="A picture" src="x.png"></a>
		<a href="https://example.com/none" data-track="NO">left</a><a href="https://example.com/long">` + strings.Repeat("word ", 50) + `</a>
		<area href="https://example.com/area" alt="Area"><a href="https://example.com/empty"></a><a title="Titled" href="https://example.com/t"></a>
		<!--[if mso]><v:roundrect href="https://example.com/vml"><center>Button</center></v:roundrect><![endif]--><a href="https://example.com/v">Dear {{ name }}</a>`
	spec.Text = "https://example.com/ and https://example.com/"
	tpl := mustCompile(t, spec)
	want := []string{"The first &foremost https://example.com/", "A picture https://example.com/", strings.TrimSpace(strings.Repeat("word ", 24)[:119]) + "… https://example.com/long",
		"Area https://example.com/area", "https://example.com/empty https://example.com/empty", "Titled https://example.com/t", "Button https://example.com/vml",
		"Dear {{ name }} https://example.com/v", "https://example.com/ https://example.com/", "https://example.com/ https://example.com/"}
	for i, l := range tpl.Links() {
		if i >= len(want) || l.Position != i+1 || l.Label+" "+l.URL != want[i] {
			t.Errorf("link %d is %+v", i+1, l)
		}
	}
	if len(tpl.Links()) != len(want) {
		t.Errorf("%d links, want %d", len(tpl.Links()), len(want))
	}
	if got := strings.Join(tpl.Fields(), " "); got != "name" {
		t.Errorf("fields %q", got)
	}
}
