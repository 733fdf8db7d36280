package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/osteele/liquid"
)

// corpus lists our own newsletters and, when BECKON_CORPUS names a folder, every HTML file below its
// templates folder (or below it, if there is none).
func corpus(t testing.TB) []string {
	files, err := filepath.Glob("testdata/corpus/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("the corpus has %d files, %v", len(files), err)
	}
	root := os.Getenv("BECKON_CORPUS")
	if root == "" {
		return files
	}
	if below := filepath.Join(root, "templates"); isDir(below) {
		root = below
	}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".html" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Each newsletter is composed and read back: the author's bytes are all there, each link leads where
// it did, and both parts have what they must. A newsletter that is refused must be refused for a
// value in a URL, with the line; it is then composed without it.
func TestCorpus(t *testing.T) {
	var total struct{ files, refused, links, bytes, whole int }
	for _, path := range corpus(t) {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), func(t *testing.T) {
			spec := testSpec()
			spec.HTML, spec.Honeypot = string(src), "https://www.acme.example/hidden"
			if _, err := Compile(spec); err != nil {
				list := problems(t, spec)
				for _, p := range list {
					if p.Line == 0 || !strings.Contains(p.Message, adviceURL) {
						t.Fatalf("refused:\n%s", show(list))
					}
				}
				total.refused++
				t.Logf("refused, and composed without its values in URLs:\n%s", show(list))
				spec.HTML = valueInURL.ReplaceAllString(spec.HTML, `${1}https://example.com/${2}`)
			}
			tpl := mustCompile(t, spec)
			checkNewsletter(t, spec, tpl)
			// Designers leave addresses for later; with some in their places there is more to rewrite.
			n := 0
			spec.HTML = emptyHref.ReplaceAllStringFunc(spec.HTML, func(m string) string {
				n++
				return emptyHref.ReplaceAllString(m, fmt.Sprintf(`${1}https://www.example.com/%d?a=1&amp;b=2${2}`, n))
			})
			tpl = mustCompile(t, spec)
			checkNewsletter(t, spec, tpl)
			total.files++
			total.links += len(tpl.links)
			total.bytes += len(spec.HTML)
			if tpl.html.whole != nil {
				total.whole++
			}
		})
	}
	t.Logf("%d newsletters, %d bytes, %d tracked links; %d rendered whole; %d first refused for a value in a URL",
		total.files, total.bytes, total.links, total.whole, total.refused)
}

var emptyHref = regexp.MustCompile(`(?i)(<a\s[^>]*href\s*=\s*")(?:#|http://)?(")`)

var valueInURL = regexp.MustCompile(`(?i)((?:href|src)\s*=\s*["'])[^"']*\{\{[^"']*(["'])`)

func checkNewsletter(t *testing.T, spec Spec, tpl *Template) {
	r := testRecipient()
	for _, mode := range []string{Identified, Anonymous} {
		r.Mode = mode
		raw, err := tpl.Fill(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		_, text, body := readMail(t, raw)
		wantHTML, wantText, err := tpl.Parts(r)
		if err != nil {
			t.Fatal(err)
		}
		if body != wantHTML || text != wantText {
			t.Fatalf("the message reads\n%s\n%s\nwant\n%s\n%s", text, body, wantText, wantHTML)
		}
		if err := tpl.Check(raw, r); err != nil {
			t.Fatal(err)
		}
		if got, want := restore(t, tpl, r, body, tpl.html), liquidAlone(t, tpl, spec.HTML, r); got != want {
			t.Fatalf("restored:\n%s\nwant:\n%s", got, want)
		}
		if strings.Contains(text, "<td") || strings.Contains(text, "{%") || strings.Contains(text, "&nbsp;") || strings.Contains(text, "mso") {
			t.Fatalf("markup in the text part:\n%s", text)
		}
	}
	var urls []string
	for i, l := range tpl.links {
		if l.Position != i+1 || l.Label == "" {
			t.Errorf("link %+v stands at %d", l, i+1)
		}
		urls = append(urls, l.URL)
	}
	plain := regexp.MustCompile(`(?s)\{% comment %\}.*?\{% endcomment %\}`).ReplaceAllString(spec.HTML, "")
	plain = strings.ReplaceAll(plain, "{{ sender.privacy_url }}", "https://www.acme.example/privacy?a=1&amp;b=2")
	if want := webLinks(plain); !slices.Equal(urls, want) {
		if !strings.Contains(spec.HTML, `{% if country == "GB" %}href`) { // two in one tag: x/net/html sees the first
			t.Errorf("links %q, want %q", urls, want)
		}
	}
}

// liquidAlone renders the source with nothing but Liquid: what the mail would be without tracking and
// without insertions. The test's values hold nothing that is escaped.
func liquidAlone(t *testing.T, tpl *Template, src string, r Recipient) string {
	f, err := tpl.filling(&r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	vars := map[string]any{"unsubscribe_url": f.unsubscribe, "preferences_url": f.preferences}
	for k, v := range r.Fields {
		vars[k] = v
	}
	for k, v := range tpl.consts {
		vars[k] = v
	}
	vars["sender"] = map[string]any{"name": "Acme &amp; Sons Ltd", "privacy_url": "https://www.acme.example/privacy?a=1&amp;b=2"}
	if r.Mode == Anonymous {
		vars["ask_tracking"] = tpl.blocks.ask(f.preferences, true)
	}
	// What restore takes away is not there in the first place.
	out, err := liquid.NewEngine().ParseAndRenderString(strings.ReplaceAll(src, "\r\n", "\n"), vars)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
