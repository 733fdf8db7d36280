package compose

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema/id"
	"beckon/tracker/token"

	"pgregory.net/rapid"
)

// hostile are values that try to get out of where they stand.
var hostile = []string{
	`"><img src=https://evil.example/?x>`, `'><a href=https://evil.example>`, `--><img src=x>`, `-`, `--`, `--!>`, `>`, `<`, `</style>`, `</title><b>`,
	`url(https://evil.example/)`, `";@import "https://evil.example`, `x" onclick="y`, `{{ unsubscribe_url }}`, `{% if %}`, "\x01" + "3\x02", "\x00", "\xff\xfe",
	"a\r\nBcc: x@example.com", "=\n.\n", "From me", `&lt;script&gt;`, `&#34;`, `<![endif]-->`, `javascript:x`, strings.Repeat("ü", 100), " ", "",
}

func drawValue(t *rapid.T, name string) string {
	return rapid.OneOf(rapid.SampledFrom(hostile), rapid.String(), rapid.StringN(0, 20, -1), rapid.StringMatching(`[ -~]{0,120}`)).Draw(t, name)
}

// everywhere is a template with a value in every place where one may stand.
const everywhere = `<html><head><title>For {{ a }}</title><style>p { color: {{ b }} } /* {{ a }} */</style></head>
<body style="background: {{ c }}" class='{{ a }}'>{{ a }}{{ b }} <!-- {{ c }} and {{ a }} --> text {{ d.e | default: "none" }}
<!--[if mso]><v:rect href="https://example.com/vml" title="{{ a }}">{{ b }}></v:rect>{{ a }}!><![endif]-->
<!--[if !mso]><!--><a href="https://example.com/?a=1&amp;b=2" title="{{ b | upcase }}">for {{ c | append: "!" }}</a><!--<![endif]-->
<textarea>{{ a }}</textarea><a href="{{ unsubscribe_url }}">{{ b }}</a> <p>{{ a | escape }}{{ b | newline_to_br }}</p></body></html>`

var anyPage = regexp.MustCompile(`(https://t\.example\.com/[up]/)[\w-]+`)

func TestNoValueChangesTheTagsOrWhatIsFetched(t *testing.T) {
	spec := testSpec()
	spec.HTML = everywhere
	slots := mustCompile(t, spec)
	spec.HTML = "{% assign z = a %}{% capture y %}<i>{{ b }}</i>{% endcapture %}" + strings.Replace(everywhere, "</body>", "{{ z }}{% if a %}{{ y }}{% else %}{{ y }}{% endif %}</body>", 1)
	whole := mustCompile(t, spec)
	rapid.Check(t, func(t *rapid.T) {
		r := testRecipient()
		for _, tpl := range []*Template{slots, whole} {
			r.Fields = map[string]any{"a": "x", "b": "y", "c": "z", "d": map[string]any{"e": "w"}}
			want, _, err := tpl.Parts(r)
			if err != nil {
				t.Fatal(err)
			}
			r.Fields = map[string]any{"a": drawValue(t, "a"), "b": drawValue(t, "b"), "c": drawValue(t, "c"), "d": map[string]any{"e": drawValue(t, "e")}}
			r.Name, r.Why = drawValue(t, "name"), drawValue(t, "why")
			r.Cite = []Citation{{Name: "x" + drawValue(t, "source"), PrivacyURL: "https://data.example.net/privacy?x=1&y=2", TransparencyURL: "https://data.example.net/transparency"}}
			got, _, err := tpl.Parts(r)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := skeleton(got), skeleton(want); !slices.Equal(a, b) {
				t.Fatalf("tags\n%s\nwant\n%s\nin\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"), got)
			}
			if style, _, _ := strings.Cut(got[strings.Index(got, "<style>"):], "</style>"); strings.ContainsAny(style, `(@"'`) {
				t.Fatalf("a style with a value: %s", style)
			}
		}
	})
}

func TestAMessageReadsAsItWasComposed(t *testing.T) {
	spec := testSpec()
	spec.HTML, spec.Preheader, spec.Subject = everywhere, "For {{ a }} & all", "News: {{ b }} für {{ c }}"
	templates := []*Template{mustCompile(t, spec)}
	spec.HTML += "{% if a %}{{ a }}{% endif %}"
	spec.Text = "Hello {{ a }}\n\nhttps://example.com/a?b=1&c=2, https://example.com/(x).\n{% if b %}{{ b }}{% endif %}"
	templates = append(templates, mustCompile(t, spec))
	rapid.Check(t, func(t *rapid.T) {
		r := testRecipient()
		r.Mode = rapid.SampledFrom([]string{Identified, Anonymous}).Draw(t, "mode")
		r.Plain = rapid.Bool().Draw(t, "plain")
		r.Message = id.Message(rapid.Int64Min(1).Draw(t, "message"))
		r.Fields = map[string]any{"a": drawValue(t, "a"), "b": drawValue(t, "b"), "c": drawValue(t, "c")}
		r.Name, r.Why = drawValue(t, "name"), drawValue(t, "why")
		if rapid.Bool().Draw(t, "uncited") {
			r.Cite = nil
		}
		for _, tpl := range templates {
			raw, err := tpl.Fill([]byte("kept"), r)
			if err != nil {
				t.Fatal(err)
			}
			raw = raw[len("kept"):]
			h, text, body := readMail(t, raw)
			wantBody, wantText, err := tpl.Parts(r)
			if err != nil || text != wantText || body != wantBody {
				t.Fatalf("reads\n%q\n%q\nwant\n%q\n%q (%v)", text, body, wantText, wantBody, err)
			}
			if err := tpl.Check(raw, r); err != nil {
				t.Fatal(err)
			}
			subject, err := h.Subject()
			if want := strings.TrimSpace(fmt.Sprintf("News: %s für %s", inHeader.render(stripControls(r.Fields["b"].(string))), inHeader.render(stripControls(r.Fields["c"].(string))))); err != nil || subject != want {
				t.Fatalf("subject %q, %v, want %q", subject, err, want)
			}
			to, err := h.AddressList("To")
			if err != nil || len(to) != 1 || to[0].Address != r.Email || to[0].Name != oneLine(r.Name) {
				t.Fatalf("to %v, %v, want %q", to, err, oneLine(r.Name))
			}
			for _, name := range []string{"Bcc", "User-Agent", "X-Mailer"} {
				if h.Has(name) {
					t.Fatalf("there is a %s", name)
				}
			}
			for i, line := range strings.Split(string(raw), "\r\n") {
				if len(line) > 76 && !strings.HasPrefix(line, "List-Unsubscribe: <https://") && !strings.HasPrefix(line, " <mailto:") {
					t.Fatalf("line %d has %d characters: %q", i+1, len(line), line)
				}
			}
		}
	})
}

func TestSlotsAndWholeRenderingAgree(t *testing.T) {
	spec := testSpec()
	spec.HTML, spec.Subject = everywhere, "{{ a }} {{ b }}"
	slots := mustCompile(t, spec)
	spec.HTML, spec.Subject = everywhere+"{% assign z = 1 %}", "{% assign z = 1 %}{{ a }} {{ b }}"
	whole := mustCompile(t, spec)
	if slots.html.whole != nil || whole.html.whole == nil || whole.subject.whole == nil {
		t.Fatal("the two are not what they should be")
	}
	rapid.Check(t, func(t *rapid.T) {
		r := testRecipient()
		value := rapid.OneOf(rapid.Custom(func(t *rapid.T) any { return drawValue(t, "text") }),
			rapid.SampledFrom([]any{nil, true, false, 0, 42, 3.5, 1e6, 1e20, []string{"a", "<b>"}, []any{1, "x"}, noon, map[string]any{"e": "f"}}))
		r.Fields = map[string]any{"a": value.Draw(t, "a"), "b": value.Draw(t, "b"), "c": value.Draw(t, "c"), "d": value.Draw(t, "d")}
		a, at, errA := slots.Parts(r)
		b, bt, errB := whole.Parts(r)
		if a != b || errA != nil || errB != nil || tidy(at) != tidy(bt) {
			t.Fatalf("slots:\n%q\n%q %v\nwhole:\n%q\n%q %v", a, at, errA, b, bt, errB)
		}
	})
}

// What everybody gets who did not agree to be followed is the same, to the byte, but for the two
// addresses that lower permissions.
func TestS11L1AnonymousCopiesAreAlike(t *testing.T) {
	spec := testSpec()
	spec.HTML, spec.Honeypot, spec.UTM = everywhere, "https://www.acme.example/hidden", UTM{Source: "beckon"}
	tpl := mustCompile(t, spec)
	cut := func(s string) string { return anyPage.ReplaceAllString(s, "$1") }
	rapid.Check(t, func(t *rapid.T) {
		r := testRecipient()
		r.Mode = Anonymous
		a, at, err := tpl.Parts(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Message, r.Email, r.Name = id.Message(rapid.Int64Min(1).Draw(t, "message")), "other@example.net", drawValue(t, "name")
		b, bt, err := tpl.Parts(r)
		if err != nil {
			t.Fatal(err)
		}
		if cut(a) != cut(b) || cut(at) != cut(bt) {
			t.Fatalf("%s\n%s\nand\n%s\n%s", a, at, b, bt)
		}
		if r.Message != 4711 && (a == b || at == bt) {
			t.Fatal("two messages share their unsubscribe link")
		}
	})
}

func TestWhoIsFollowedAndHow(t *testing.T) {
	for _, c := range []struct {
		tracking, mode string
		plain          bool
		links          int64 // message of the links; -1: the author's
	}{
		{TrackConsented, Identified, false, 4711},
		{TrackConsented, Anonymous, false, 0},
		{TrackConsented, Anonymous, true, -1},
		{TrackConsented, Identified, true, -1},
		{TrackStrict, Identified, false, 4711},
		{TrackStrict, Anonymous, false, -1},
		{TrackOff, Identified, false, -1},
		{TrackOff, Anonymous, false, -1},
	} {
		for _, test := range []bool{false, true} {
			spec := testSpec()
			spec.HTML, spec.Text = `<a href="https://example.com/x?a=1&amp;b=2">x</a>`, "Go to https://example.com/y now"
			spec.Tracking, spec.Test = c.tracking, test
			tpl := mustCompile(t, spec)
			r := testRecipient()
			r.Mode, r.Plain, r.Cite = c.mode, c.plain, nil
			body, text, err := tpl.Parts(r)
			if err != nil {
				t.Fatal(err)
			}
			found := trackedURL.FindAllStringSubmatch(body+text, -1)
			beacon := strings.Count(body, "/o/")
			if strings.Contains(text, "/o/") || c.links < 0 && (len(found) != 0 || beacon != 0) || c.links >= 0 && (len(found) != 2 || beacon != 1) {
				t.Errorf("%+v: %d tracked links and %d beacons in\n%s\n%s", c, len(found), beacon, body, text)
				continue
			}
			for i, f := range found {
				k, err := tpl.keys.Open(token.Click, f[1])
				if want := []string{"https://example.com/x?a=1&b=2", "https://example.com/y"}[i]; err != nil || int64(k.Message) != c.links || k.URL != want || k.Link != i+1 || k.Test != test {
					t.Errorf("%+v: link %d opens as %+v, %v", c, i+1, k, err)
				}
			}
			if c.links < 0 && (!strings.Contains(body, `<a href="https://example.com/x?a=1&amp;b=2">`) || !strings.Contains(text, "https://example.com/y now")) {
				t.Errorf("%+v: the author's links are gone", c)
			}
			for kind, mark := range map[token.Kind]string{token.Unsubscribe: "/u/", token.Preferences: "/p/"} {
				_, after, _ := strings.Cut(text, "https://t.example.com"+mark)
				s, _, _ := strings.Cut(after, "\n")
				if k, err := tpl.keys.Open(kind, s); err != nil || k.Message != 4711 || k.Campaign != 12 || k.Test != test {
					t.Errorf("%+v: %s opens as %+v, %v", c, mark, k, err)
				}
			}
			if links := len(tpl.Links()); (c.tracking == TrackOff) != (links == 0) {
				t.Errorf("%+v: %d links", c, links)
			}
		}
	}
}

func TestWhomNothingCanBeSentTo(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>Hello {{ name }}</p>"
	tpl := mustCompile(t, spec)
	for name, change := range map[string]func(*Recipient){
		"no address":               func(r *Recipient) { r.Email = "" },
		"two addresses":            func(r *Recipient) { r.Email = "a@example.com,b@example.com" },
		"a line end in it":         func(r *Recipient) { r.Email = "a@example.com\r\nBcc: b@example.com" },
		"brackets in it":           func(r *Recipient) { r.Email = "<a@example.com>" },
		"no mode":                  func(r *Recipient) { r.Mode = "" },
		"no message":               func(r *Recipient) { r.Message = 0 },
		"no date":                  func(r *Recipient) { r.Date = time.Time{} },
		"a source without a name":  func(r *Recipient) { r.Cite[0].Name = " " },
		"a source without a URL":   func(r *Recipient) { r.Cite[0].PrivacyURL, r.Cite[0].TransparencyURL = "", "" },
		"a source that is no URL":  func(r *Recipient) { r.Cite[0].PrivacyURL = "javascript:alert(1)" },
		"a source with a line end": func(r *Recipient) { r.Cite[0].PrivacyURL = "https://example.com/\r\nx" },
	} {
		r := testRecipient()
		change(&r)
		dst, err := tpl.Fill([]byte("kept"), r)
		if err == nil || string(dst) != "kept" {
			t.Errorf("%s: %v, %d bytes", name, err, len(dst))
		}
		if err != nil && (strings.Contains(err.Error(), "example.com") || strings.Contains(err.Error(), "alert")) {
			t.Errorf("%s: the error gives values away: %v", name, err)
		}
	}
	r := testRecipient()
	r.Email = "jürgen@example.com"
	if raw, err := tpl.Fill(nil, r); err != nil || !strings.Contains(string(raw), "<jürgen@example.com>\r\n") {
		t.Errorf("a local part in UTF-8 is not left as it is: %v", err)
	}
}

func TestTheLastLook(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>Hello</p>"
	tpl := mustCompile(t, spec)
	r := testRecipient()
	raw, err := tpl.Fill(nil, r)
	if err != nil || tpl.Check(raw, r) != nil {
		t.Fatal(err, tpl.Check(raw, r))
	}
	for _, cut := range []string{"/u/", "/p/", "Data & Lists", "Data &amp; Lists", "transparency\r\n", "List-Id:", "List-Unsubscribe-Post:", "Subject: Spring", "From:", "1 Long Road\r\n", "<br>1 Long", "text/plain"} {
		broken := strings.ReplaceAll(string(raw), cut, "Gone: ")
		if broken == string(raw) {
			t.Errorf("%q is not in the message:\n%s", cut, raw)
		}
		if err := tpl.Check([]byte(broken), r); !errors.Is(err, ErrIncomplete) {
			t.Errorf("without %q: %v", cut, err)
		}
	}
	for i := range 2 { // a part that lost its footer on the way does not leave
		broken := mustCompile(t, spec)
		p := []*part{broken.text, broken.html}[i]
		p.segments[linksOwn] = p.segments[linksOwn][:1]
		if _, err := broken.Fill(nil, r); !errors.Is(err, ErrIncomplete) {
			t.Errorf("part %d without a footer: %v", i, err)
		}
	}
}

func TestMessageIDsAreStableAndTellNothing(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>Hello</p>"
	tpl := mustCompile(t, spec)
	ids := map[string]bool{}
	for _, message := range []id.Message{1, 2, 1, 3} {
		r := testRecipient()
		r.Message, r.Date = message, noon.AddDate(0, 0, len(ids))
		raw, err := tpl.Fill(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		h, _, _ := readMail(t, raw)
		messageID, err := h.MessageID()
		if err != nil || !strings.HasSuffix(messageID, "@acme.example") || len(messageID) < 40 {
			t.Fatal(messageID, err)
		}
		ids[messageID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d identifiers for three messages", len(ids))
	}
}
