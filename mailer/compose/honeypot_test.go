package compose

import (
	"strings"
	"testing"

	"beckon/tracker/token"

	"golang.org/x/net/html"
)

// traps lists the links of a document that are kept from readers, with their attributes.
func traps(doc string) (list []map[string]string) {
	eachTag(doc, func(tok html.Token) {
		a := map[string]string{}
		for _, at := range tok.Attr {
			a[at.Key] = at.Val
		}
		if tok.Type == html.StartTagToken && tok.Data == "a" && a["aria-hidden"] == "true" {
			list = append(list, a)
		}
	})
	return list
}

func TestA6TheHoneypotIsForMachines(t *testing.T) {
	const leads = "https://www.acme.example/privacy?a=1&b=2"
	for _, c := range []struct {
		tracking, mode string
		plain          bool
		message        int64 // of its token; -1: there is none
	}{
		{TrackConsented, Identified, false, 4711},
		{TrackConsented, Anonymous, false, 0},
		{TrackConsented, Anonymous, true, -1},
		{TrackConsented, Identified, true, -1},
		{TrackStrict, Anonymous, false, -1},
		{TrackOff, Identified, false, -1},
		{TrackOff, Anonymous, false, -1},
	} {
		for _, control := range []string{"", "{% if name %}!{% endif %}"} {
			for _, test := range []bool{false, true} {
				spec := testSpec()
				spec.HTML = `<html><body><p>` + control + `<a href="https://example.com/x">x</a></p></body></html>`
				spec.Tracking, spec.Test, spec.Honeypot, spec.UTM = c.tracking, test, leads, UTM{Source: "beckon"}
				tpl := mustCompile(t, spec)
				r := testRecipient()
				r.Mode, r.Plain = c.mode, c.plain
				body, text, err := tpl.Parts(r)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range tpl.Links() {
					if l.Position == 0 || l.URL == leads {
						t.Errorf("%+v: the honeypot is listed: %+v", c, l)
					}
				}
				found := traps(body)
				if want := map[bool]int{true: 1}[c.message >= 0]; len(found) != want || len(traps(text)) != 0 {
					t.Errorf("%+v: %d hidden links in\n%s\n%s", c, len(found), body, text)
					continue
				}
				if c.message < 0 {
					continue
				}
				a := found[0]
				url, ok := strings.CutPrefix(a["href"], "https://t.example.com/c/")
				k, err := tpl.keys.Open(token.Click, url)
				if !ok || err != nil || k.Link != 0 || k.Campaign != 12 || int64(k.Message) != c.message || k.URL != leads || k.Test != test {
					t.Errorf("%+v: it opens as %+v, %v", c, k, err)
				}
				if strings.Contains(text, a["href"]) || strings.Count(body, a["href"]) != 1 {
					t.Errorf("%+v: it stands in the text part, or twice", c)
				}
				for _, hides := range []string{"display:none", "max-height:0", "overflow:hidden", "font-size:0", "mso-hide:all"} {
					if !strings.Contains(a["style"], hides) {
						t.Errorf("its style lacks %s: %s", hides, a["style"])
					}
				}
				if a["tabindex"] != "-1" || a["rel"] != "nofollow" || !strings.Contains(body, potEnd) || !strings.HasSuffix(potEnd, "></a>") {
					t.Errorf("it can be come upon: %v", a)
				}
				before, after, _ := strings.Cut(body, a["href"])
				if !strings.Contains(before, "Data &amp; Lists") || !strings.Contains(after, "/u/") || !strings.Contains(after, "/o/") || !strings.Contains(after, "</body>") {
					t.Errorf("it stands elsewhere than before the footer:\n%s", body)
				}
			}
		}
	}
}

func TestWhereAHoneypotCannotLead(t *testing.T) {
	spec := testSpec()
	spec.HTML = "<p>x</p>"
	for url, want := range map[string]bool{
		"": true, "https://example.com": true, "javascript:alert(1)": false, "https://example.com/{{ email }}": false, "https://example.com/" + strings.Repeat("x", token.MaxURL): false,
	} {
		spec.Honeypot = url
		if list := problems(t, spec); want != (len(list) == 0) || !want && list[0].Field != "company" {
			t.Errorf("%.40q: %s", url, show(list))
		}
	}
	spec.Honeypot = ""
	body, _, err := mustCompile(t, spec).Parts(testRecipient())
	if err != nil || len(traps(body)) != 0 || strings.Contains(body, "/c/") {
		t.Errorf("a hidden link without a target: %v\n%s", err, body)
	}
}
