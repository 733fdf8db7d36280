package pages

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema/servertest"
	"beckon/segments/consent"
)

func load(t *testing.T) *languages {
	t.Helper()
	ls, err := loadLanguages()
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

var slots = regexp.MustCompile(`\{\w*\}`)

func TestEveryLanguageIsComplete(t *testing.T) {
	ls := load(t)
	english := ls.all[0]
	for _, l := range ls.all {
		if diff := missing(english.texts, l.texts); len(diff) > 0 {
			t.Errorf("%s lacks %v", l.Tag, diff)
		}
		if diff := missing(l.texts, english.texts); len(diff) > 0 {
			t.Errorf("%s has %v, which English has not", l.Tag, diff)
		}
		same := 0
		for k, v := range l.texts {
			if strings.TrimSpace(v) == "" {
				t.Errorf("%s: %s is empty", l.Tag, k)
			}
			if want, got := slots.FindAllString(english.texts[k], -1), slots.FindAllString(v, -1); !slices.Equal(sorted(want), sorted(got)) {
				t.Errorf("%s: %s has %v, English %v", l.Tag, k, got, want)
			}
			if v == english.texts[k] {
				same++
			}
		}
		if l != english && same > 10 {
			t.Errorf("%s: %d texts are the English ones", l.Tag, same)
		}
		if n := len(l.countries); n != 249 {
			t.Errorf("%s: %d countries, ISO 3166-1 has 249", l.Tag, n)
		}
	}
	files, err := fs.Glob(languageFiles, "languages/*.json")
	if err != nil || len(files) != len(tags) {
		t.Errorf("files %v for languages %v", files, tags)
	}
}

func missing(want, have map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(k string) bool { _, ok := have[k]; return ok })
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

var (
	keyUse  = regexp.MustCompile(`\b[TN]\(?\s*"([a-z][\w.]*)"`)
	keyText = regexp.MustCompile(`"(\.?[a-z]+(?:[._][a-z_]+)*)"`)
	keyHead = regexp.MustCompile(`"([a-z]+\.)"`) // to which the code adds the rest
)

// Every key that the code and the templates ask for exists, and every text is asked for by somebody.
func TestEveryKeyExists(t *testing.T) {
	english := load(t).all[0]
	asked, words, heads := map[string]string{}, map[string]bool{}, map[string]bool{}
	var files []string
	for _, pattern := range []string{"*.go", "templates/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range keyUse.FindAllStringSubmatch(string(b), -1) {
			asked[m[1]] = f
		}
		for _, m := range keyText.FindAllStringSubmatch(string(b), -1) {
			words[m[1]] = true
		}
		for _, m := range keyHead.FindAllStringSubmatch(string(b), -1) {
			heads[m[1]] = true
		}
	}
	for key, file := range asked {
		prefix := slices.ContainsFunc(slices.Collect(maps.Keys(english.texts)), func(k string) bool {
			return strings.HasPrefix(k, key+".") || strings.HasPrefix(k, key) && strings.HasSuffix(key, ".")
		})
		if !english.has(key) && !prefix {
			t.Errorf("%s asks for %s, which no language has", file, key)
		}
	}
	for key := range english.texts {
		stem := key
		for _, suffix := range []string{".one", ".other", ".none", ".text", ".title"} {
			stem = strings.TrimSuffix(stem, suffix)
		}
		family := slices.ContainsFunc([]string{"type.", "topic.", "channel.", "detail.", "error.", "preferences.blocked.", "preferences.channel.", "removed.", "kept."}, func(p string) bool { return strings.HasPrefix(key, p) })
		head, rest, _ := strings.Cut(key, ".")
		joined := heads[head+"."] && (words[rest] || words[rest[strings.LastIndexByte(rest, '.')+1:]] || words[rest[max(0, strings.LastIndexByte(rest, '.')):]])
		if !family && !joined && !words[key] && !words[stem] {
			t.Errorf("nobody asks for %s", key)
		}
	}
}

// The desk and whoever holds data speak in phrases that do not change; each that a receipt can show has
// a text in every language, and no text is left of one that changed all the same.
func TestEveryPhraseOfAReceiptIsTranslated(t *testing.T) {
	spoken := map[string]bool{}
	for _, from := range []struct {
		file, phrase, family string
	}{
		{"../../beckon/subjects.go", `rights\.Part\{Name: "([^"]+)"`, "removed."},
		{"../../beckon/subjects.go", `\b(?:What|Why): "([^"]+)"`, "kept."},
		{"../../../segments/rights/own.go", `\tpart\w+ += "([^"]+)"`, "removed."},
		{"../../../segments/rights/own.go", `\tkept\w+ += "([^"]+)"`, "kept."},
	} {
		b, err := os.ReadFile(from.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(from.phrase).FindAllStringSubmatch(string(b), -1)
		if len(found) == 0 {
			t.Errorf("%s has no %s", from.file, from.phrase)
		}
		for _, m := range found {
			spoken[from.family+m[1]] = true
		}
	}
	delete(spoken, "removed.Log of what was done with your data") // it stays
	for _, l := range load(t).all {
		for key := range spoken {
			if !l.has(key) {
				t.Errorf("%s: no text for %s", l.Tag, key)
			}
			if l.Tag == "en" && l.has(key) && "removed."+l.T(key) != key && "kept."+l.T(key) != key {
				t.Errorf("English says %q for %s", l.T(key), key)
			}
		}
		for key := range l.texts {
			if phrase := strings.HasPrefix(key, "removed.") || strings.HasPrefix(key, "kept."); phrase && !spoken[key] && key != "kept.until" {
				t.Errorf("%s: nobody says %s", l.Tag, key)
			}
		}
	}
}

func TestTheShippedCatalogueIsTranslated(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	for _, l := range w.pages.languages.all {
		v := &visit{pages: w.pages, view: view{Lang: l}}
		for _, kind := range []string{consent.KindType, consent.KindChannel, consent.KindTopic} {
			for _, e := range w.pages.Catalogue.Entries(kind) {
				if !l.has(kind + "." + e.Slug) {
					t.Errorf("%s: no name for the %s %s", l.Tag, kind, e.Slug)
				}
				if l.Tag == "en" && v.name(kind, e.Slug) != e.Name {
					t.Errorf("the %s %s is called %q on the pages and %q in the catalogue", kind, e.Slug, v.name(kind, e.Slug), e.Name)
				}
			}
		}
	}
}

func TestChoosingALanguage(t *testing.T) {
	ls := load(t)
	for _, c := range []struct {
		wishes []string
		want   string
	}{
		{nil, "en"},
		{[]string{"", "", ""}, "en"},
		{[]string{"fr", "de", "en"}, "fr"},
		{[]string{"", "de-AT", "fr"}, "de"},
		{[]string{"xx", "", "fr-CA,fr;q=0.8,en;q=0.5"}, "fr"},
		{[]string{"", "es", "it, de;q=0.4"}, "de"},
		{[]string{"", "ja", "zh-CN"}, "en"},
		{[]string{"%%%", "\x00", ";;;"}, "en"},
	} {
		if got := ls.choose(c.wishes...).Tag; got != c.want {
			t.Errorf("%q gives %s, want %s", c.wishes, got, c.want)
		}
	}
}

func TestLanguageOfAPage(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, _ := w.mail(w.person("ada@example.org", "newsletter"), 0)
	globex := w.messages[1]
	globex.Company = w.globex.ID
	w.messages[1] = globex
	for target, want := range map[string]string{"/u/" + u: "de", "/u/" + u + "?lang=fr": "fr", "/u/" + u + "?lang=en": "en", "/u/" + u + "?lang=xx": "de", "/u/broken": "en", form: "en", form + "&lang=de": "de"} {
		a := w.get(target)
		if !strings.Contains(a.body, `<html lang="`+want+`">`) || strings.Count(a.body, `aria-current="true"`) != 1 {
			t.Errorf("%s is not in %s", target, want)
		}
	}
}

func TestDatesAndLists(t *testing.T) {
	at := time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -3600))
	for i, want := range []string{"2 March 2026", "2. März 2026", "2 mars 2026"} {
		l := load(t).all[i]
		if got := l.date(at); got != want {
			t.Errorf("%s: %s", l.Tag, got)
		}
		if got := l.list([]string{"a", "b", "c"}); got != "a, b "+l.T("and")+" c" {
			t.Errorf("%s: %s", l.Tag, got)
		}
		if l.list(nil) != "" || l.list([]string{"a"}) != "a" {
			t.Errorf("%s: short lists", l.Tag)
		}
	}
	if l := load(t).all[2]; l.N("preferences.recorded.opens", 0) != "0 ouverture d’e-mail" || l.N("preferences.recorded.opens", 2) != "2 ouvertures d’e-mails" {
		t.Error("French numbers")
	}
	for i, want := range []string{"2,000", "2.000", "2\u00a0000"} {
		if got := load(t).all[i].T("preferences.complain.hint", "max", 2000); !strings.Contains(got, want) {
			t.Errorf("%q does not say %s", got, want)
		}
	}
}
