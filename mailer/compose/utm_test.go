package compose

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"beckon/tracker/token"

	"pgregory.net/rapid"
)

func TestParametersAreAddedToAnAddress(t *testing.T) {
	spring := UTM{Source: "beckon", Campaign: "spring & fall"}
	for _, c := range []struct{ name, in, want string }{
		{"no query", "https://example.com/a", "https://example.com/a?utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"no path", "https://example.com", "https://example.com?utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"a query", "https://example.com/a?b=%7e&B", "https://example.com/a?b=%7e&B&utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"an empty query", "https://example.com/a?", "https://example.com/a?utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"a query that goes on", "https://example.com/a?b&", "https://example.com/a?b&utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"a fragment", "https://example.com/a#b", "https://example.com/a?utm_source=beckon&utm_campaign=spring+%26+fall#b"},
		{"a query within the fragment", "https://example.com/#/a?utm_source=x#c", "https://example.com/?utm_source=beckon&utm_campaign=spring+%26+fall#/a?utm_source=x#c"},
		{"one that is there", "https://example.com/?utm_source=me", "https://example.com/?utm_source=me&utm_campaign=spring+%26+fall"},
		{"one that is there and empty", "https://example.com/?utm_source&x", "https://example.com/?utm_source&x&utm_campaign=spring+%26+fall"},
		{"one that is there and escaped", "https://example.com/?utm%5Fsource=me", "https://example.com/?utm%5Fsource=me&utm_campaign=spring+%26+fall"},
		{"one that only looks alike", "https://example.com/?my_utm_source=me", "https://example.com/?my_utm_source=me&utm_source=beckon&utm_campaign=spring+%26+fall"},
		{"all are there", "https://example.com/?utm_campaign=a&utm_source=b#c", "https://example.com/?utm_campaign=a&utm_source=b#c"},
	} {
		if got := spring.Add(c.in); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if got := (UTM{}).Add(c.in); got != c.in {
			t.Errorf("%s: nothing to add makes %s", c.name, got)
		}
	}
	all := UTM{"a--->b", "ü", "1+1=2", "x/y?#", " "}
	if got, want := all.Add("https://example.com/"), "https://example.com/?utm_source=a-%2D-%3Eb&utm_medium=%C3%BC&utm_campaign=1%2B1%3D2&utm_term=x%2Fy%3F%23&utm_content=+"; got != want {
		t.Errorf("all five make %s, want %s", got, want)
	}
}

// drawUTM draws parameters of which some are empty.
func drawUTM(t *rapid.T) (u UTM) {
	u.Each(func(name string, value *string) {
		*value = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[ -~]{0,12}`), rapid.String()).Draw(t, name)
	})
	return u
}

var addressParts = []string{"/", "?", "#", "&", "=", ";", "a", "b=1", "%20", "%zz", "+", "utm_source=me", "utm%5Fmedium", "utm_term", "utm_x=y", "-", "--", ".", "é", "x y", "amp", "lt"}

func drawAddress(t *rapid.T) string {
	return rapid.SampledFrom([]string{"https://example.com", "http://example.com/a", "HTTPS://example.com/?q=1"}).Draw(t, "site") +
		strings.Join(rapid.SliceOfN(rapid.SampledFrom(addressParts), 0, 12).Draw(t, "rest"), "")
}

// pairs reads a query as servers do, empty pairs left out.
func pairs(address string) (list [][2]string) {
	address, _, _ = strings.Cut(address, "#")
	_, query, _ := strings.Cut(address, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		for _, s := range []*string{&name, &value} {
			if plain, err := url.QueryUnescape(*s); err == nil {
				*s = plain
			}
		}
		if pair != "" {
			list = append(list, [2]string{name, value})
		}
	}
	return list
}

// checkAdded holds an address that parameters were added to against the one before.
func checkAdded(t failer, u UTM, before, after string) {
	t.Helper()
	head, fragment, _ := strings.Cut(before, "#")
	if strings.Contains(before, "#") {
		fragment = "#" + fragment
	}
	if !strings.HasPrefix(after, head) || !strings.HasSuffix(after, fragment) || len(after) < len(before) {
		t.Fatalf("%q lost bytes of %q", after, before)
	}
	want := pairs(before)
	u.Each(func(name string, value *string) {
		name = "utm_" + name
		if *value != "" && !slices.ContainsFunc(want, func(p [2]string) bool { return p[0] == name }) {
			want = append(want, [2]string{name, *value})
		}
	})
	if got := pairs(after); !slices.Equal(got, want) {
		t.Fatalf("%q of %q has the parameters %q, want %q", after, before, got, want)
	}
	if again := u.Add(after); again != after {
		t.Fatalf("added twice: %q becomes %q", after, again)
	}
}

func TestAddingParametersKeepsTheAuthorsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, address := drawUTM(t), drawAddress(t)
		checkAdded(t, u, address, u.Add(address))
	})
}

// references are the ways to write a character of an address in an attribute.
func references(t *rapid.T, address string) string {
	var b strings.Builder
	for i, r := range address {
		ways := []string{string(r)}
		switch r {
		case '&':
			ways = []string{"&amp;", "&#38;", "&#x26;"}
			if rest := address[i+1:]; rest == "" || strings.IndexByte("#?/&;%+-. ", rest[0]) >= 0 {
				ways = append(ways, "&", "&amp")
			}
		case '#':
			ways = []string{"#", "&#35;", "&#x23;", "&num;"}
		case '?':
			ways = []string{"?", "&#63;", "&quest;"}
		case ';': // it could end a reference
			ways = []string{"&semi;"}
		}
		b.WriteString(rapid.SampledFrom(ways).Draw(t, "way"))
	}
	return b.String()
}

var blanks = []string{"", " ", "\n\t", "&#10;", "&Tab; "}

// Whatever the author's way of writing an address: the plain copy's href is theirs with one insertion
// and leads where the tracked copy leads.
func TestParametersInAnHrefKeepTheAuthorsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.UTM = drawUTM(t)
		address := drawAddress(t)
		raw := rapid.SampledFrom(blanks).Draw(t, "before") + references(t, address) + rapid.SampledFrom(blanks).Draw(t, "after")
		address = browserTrim(decodeAttr(raw))
		spec.UTM.Each(func(_ string, value *string) {
			if CheckUTM(*value) != "" {
				*value = ""
			}
		})
		const open, end = `<p>A <!--[if mso]><a title=b href="`, `">go</a><![endif]--> B</p>`
		spec.HTML, spec.Text = open+raw+end, "Go to <"+strings.ReplaceAll(address, " ", "")+"> now"
		tpl := mustCompile(t, spec)
		target := tpl.Links()[0].URL
		checkAdded(t, spec.UTM, address, target)
		r := testRecipient()
		body, _, err := tpl.Parts(r)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := tpl.keys.Open(token.Click, trackedURL.FindStringSubmatch(body)[1]); err != nil || k.URL != target {
			t.Fatalf("the link opens as %+v, %v, want %q", k, err, target)
		}
		for _, tracking := range []string{TrackConsented, TrackOff} {
			spec.Tracking = tracking
			r.Mode, r.Plain, r.Cite = Anonymous, true, nil
			body, text, err := mustCompile(t, spec).Parts(r)
			if err != nil {
				t.Fatal(err)
			}
			rest, ok := strings.CutPrefix(body, open)
			href, rest, found := strings.Cut(rest, end)
			if !ok || !found || !strings.HasPrefix(rest, `<div style="margin`) {
				t.Fatalf("the rest is not the author's: %s", body)
			}
			if got := browserTrim(decodeAttr(href)); got != target {
				t.Fatalf("%q leads to %q, want %q", href, got, target)
			}
			at := 0
			for at < len(raw) && at < len(href) && raw[at] == href[at] {
				at++
			}
			if tail := raw[at:]; !strings.HasSuffix(href, tail) {
				t.Fatalf("%q is not %q with an insertion", href, raw)
			}
			if plain := spec.UTM.Add(strings.ReplaceAll(address, " ", "")); !strings.Contains(text, plain) && addressLen(plain) == len(plain) && addressLen(strings.ReplaceAll(address, " ", "")) == len(strings.ReplaceAll(address, " ", "")) {
				t.Fatalf("%q is not in the text part:\n%s", plain, text)
			}
		}
	})
}

func TestWhichLinksGetParameters(t *testing.T) {
	const q, h = "?utm_source=beckon&utm_medium=email", "?utm_source=beckon&amp;utm_medium=email"
	for _, c := range []struct{ name, html, want string }{
		{"a link", `<a href="https://example.com/">x</a>`, `<a href="https://example.com/` + h + `">x</a>`},
		{"a query in entities", `<a href='https://example.com/?a=1&amp;b=2#c'>x</a>`, `<a href='https://example.com/?a=1&amp;b=2&amp;utm_source=beckon&amp;utm_medium=email#c'>x</a>`},
		{"no quotes", `<a href=https://example.com/>x</a>`, `<a href=https://example.com/` + h + `>x</a>`},
		{"a fragment in a reference that does not end", `<a href="https://example.com/&#35a">x</a>`, `<a href="https://example.com/` + h + `&#35a">x</a>`},
		{"an area", `<area href="https://example.com/" alt="x">`, `<area href="https://example.com/` + h + `" alt="x">`},
		{"a shape of VML", `<!--[if mso]><v:rect href="https://example.com/"></v:rect><![endif]-->`, `<!--[if mso]><v:rect href="https://example.com/` + h + `"></v:rect><![endif]-->`},
		{"a constant in it", `<a href="https://example.com/?t={{ campaign.type }}#a">x</a>`, `<a href="https://example.com/?t=Newsletter&amp;utm_source=beckon&amp;utm_medium=email#a">x</a>`},
		{"data-utm says no", `<a href="https://example.com/" data-utm="no">x</a>`, `<a href="https://example.com/" data-utm="no">x</a>`},
		{"data-utm says yes", `<a data-utm="yes" href="https://example.com/">x</a>`, `<a data-utm="yes" href="https://example.com/` + h + `">x</a>`},
		{"data-track says no", `<a href="https://example.com/" data-track="no">x</a>`, `<a href="https://example.com/" data-track="no">x</a>`},
		{"other schemes", `<a href="mailto:a@example.com">x</a><a href="tel:1">y</a><a href="#z">z</a>`, `<a href="mailto:a@example.com">x</a><a href="tel:1">y</a><a href="#z">z</a>`},
		{"what is fetched", `<img src="https://example.com/a.png"><link href="https://example.com/a.css">`, `<img src="https://example.com/a.png"><link href="https://example.com/a.css">`},
	} {
		spec := testSpec()
		spec.HTML, spec.UTM = c.html, UTM{Source: "beckon", Medium: "email"}
		r := testRecipient()
		for name, change := range map[string]func(){
			"off":    func() { spec.Tracking, r.Mode, r.Plain = TrackOff, Identified, false },
			"strict": func() { spec.Tracking, r.Mode, r.Plain = TrackStrict, Anonymous, false },
			"few":    func() { spec.Tracking, r.Mode, r.Plain = TrackConsented, Anonymous, true },
		} {
			change()
			body, _, err := mustCompile(t, spec).Parts(r)
			if err != nil || !strings.HasPrefix(body, c.want) {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", c.name, name, err, body, c.want)
			}
			if n := strings.Count(body, "utm_source"); n != strings.Count(c.want, "utm_source") {
				t.Errorf("%s, %s: %d links have parameters, ours too:\n%s", c.name, name, n, body)
			}
		}
	}
	spec := testSpec()
	spec.UTM = UTM{Source: "beckon", Medium: "email"}
	spec.HTML = `<a href="https://example.com/a">https://example.com/a</a> <a href="{{ unsubscribe_url }}">bye</a> {{ citation }} {{ footer }}`
	for _, tracking := range []string{TrackConsented, TrackOff} {
		spec.Tracking = tracking
		r := testRecipient()
		r.Plain = true
		_, text, err := mustCompile(t, spec).Parts(r)
		if err != nil || !strings.HasPrefix(text, "https://example.com/a"+q+" bye <https://t.example.com/u/") || strings.Count(text, "utm_source") != 1 {
			t.Errorf("%s: the text part is %v\n%s", tracking, err, text)
		}
		spec.Text = "See https://example.com/b#c."
		_, text, err = mustCompile(t, spec).Parts(r)
		if err != nil || !strings.HasPrefix(text, "See https://example.com/b"+q+"#c.\n") || strings.Count(text, "utm_source") != 1 {
			t.Errorf("%s: the author's text part is %v\n%s", tracking, err, text)
		}
		spec.Text = ""
	}
}

func TestALinkThatIsTooLongWithItsParameters(t *testing.T) {
	spec := testSpec()
	spec.UTM = UTM{Source: "beckon"}
	long := "https://example.com/" + strings.Repeat("x", token.MaxURL-len("https://example.com/?utm_source=beckon"))
	for _, c := range []struct {
		html, text string
		refused    bool
	}{
		{html: `<a href="` + long + `">x</a>`},
		{html: "\n" + `<a href="` + long + `y">x</a>`, refused: true},
		{html: `<a href="` + long + `y" data-utm="no">x</a>`},
		{html: "<p>", text: "\n" + long + "y", refused: true},
	} {
		spec.HTML, spec.Text = c.html, c.text
		list := problems(t, spec)
		if c.refused != (len(list) == 1 && list[0].Line == 2 && strings.Contains(list[0].Message, "1501 bytes with the UTM parameters")) || !c.refused && len(list) > 0 {
			t.Errorf("%.30q %.30q: %s", c.html, c.text, show(list))
		}
	}
}

func TestParametersArePlainText(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>x</p>"
	for value, want := range map[string]bool{
		"spring": true, "": true, strings.Repeat("ü", 50): true, "{ a } 50 %": true,
		strings.Repeat("ü", 50) + "x": false, "{{ email }}": false, "{{email": false, "email}}": false, "{% if a %}": false, "%}": false, "a\nb": false, "a\u0085b": false, "a\x00": false, "\xff": false,
	} {
		spec.UTM = UTM{Term: value}
		list := problems(t, spec)
		if ok := len(list) == 0; ok != want || !ok && (list[0].Field != "utm" || !strings.HasPrefix(list[0].Message, "term ")) {
			t.Errorf("%q: %s", value, show(list))
		}
	}
}

func TestLabelsOfLinks(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{`<a href="https://example.com/" data-label=" The  button &amp; more " title="t">text</a>`, "The button & more"},
		{`<a href="https://example.com/" data-label=" " title="t">some <b>text</b></a>`, "some text"},
		{`<a href="https://example.com/" title="t"><img alt="a picture" src="https://example.com/a.png"></a>`, "a picture"},
		{`<a href="https://example.com/" title="a title"><img src="https://example.com/a.png"></a>`, "a title"},
		{`<a href="https://example.com/a"></a>`, "https://example.com/a"},
	} {
		spec := testSpec()
		spec.HTML, spec.UTM = c.html, UTM{Source: "x"}
		tpl := mustCompile(t, spec)
		if got := tpl.Links()[0].Label; got != c.want {
			t.Errorf("%s is called %q, want %q", c.html, got, c.want)
		}
		body, _, err := tpl.Parts(testRecipient())
		if _, attrs, _ := strings.Cut(c.html, `" `); err != nil || !strings.Contains(body, attrs) {
			t.Errorf("%s is not as the author wrote it: %s", c.html, body)
		}
	}
}
