package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/collate"
	xlanguage "golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
)

//go:embed languages/*.json
var languageFiles embed.FS

// tags are the languages there is a file for; the first one is the last resort.
var tags = []string{"en", "de", "fr"}

// language is one file of texts. A text is found by its key; {name} in it is replaced.
type language struct {
	Tag       string
	Name      string
	texts     map[string]string
	numbers   *message.Printer
	months    []string
	countries []country
}

type country struct{ Code, Name string }

// languages are all of them, in the order of tags.
type languages struct {
	all     []*language
	matcher xlanguage.Matcher
}

func loadLanguages() (*languages, error) {
	ls := &languages{}
	var known []xlanguage.Tag
	for _, tag := range tags {
		b, err := languageFiles.ReadFile("languages/" + tag + ".json")
		if err != nil {
			return nil, fmt.Errorf("pages: language %s: %w", tag, err)
		}
		l := &language{Tag: tag}
		if err := json.Unmarshal(b, &l.texts); err != nil {
			return nil, fmt.Errorf("pages: language %s: %w", tag, err)
		}
		l.Name = l.T("name")
		l.months = strings.Fields(l.T("months"))
		if len(l.months) != 12 {
			return nil, fmt.Errorf("pages: language %s has %d months", tag, len(l.months))
		}
		t := xlanguage.MustParse(tag)
		l.countries, l.numbers = countriesIn(t), message.NewPrinter(t)
		ls.all = append(ls.all, l)
		known = append(known, t)
	}
	ls.matcher = xlanguage.NewMatcher(known)
	return ls, nil
}

// choose takes the first wish that there is a file for: each is a language tag or the value of an
// Accept-Language header.
func (ls *languages) choose(wishes ...string) *language {
	for _, w := range wishes {
		wanted, _, err := xlanguage.ParseAcceptLanguage(w)
		if err != nil || len(wanted) == 0 {
			continue
		}
		if _, i, sure := ls.matcher.Match(wanted...); sure >= xlanguage.High {
			return ls.all[i]
		}
	}
	return ls.all[0]
}

// T is the text of a key, with args (name, value, name, value …) put in. A key that does not exist
// is a fault of the program that TestEveryKeyExists finds; here it shows itself.
func (l *language) T(key string, args ...any) string {
	s, ok := l.texts[key]
	if !ok {
		return "[" + key + "]"
	}
	if len(args) == 0 {
		return s
	}
	pairs := make([]string, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case int:
			pairs[i] = l.numbers.Sprint(a)
		default:
			pairs[i] = fmt.Sprint(a)
		}
		if i%2 == 0 {
			pairs[i] = "{" + pairs[i] + "}"
		}
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// N is the text of key.one or key.other, whichever the number asks for, with {n} put in.
func (l *language) N(key string, n int, args ...any) string {
	form := ".other"
	if n == 1 || n == 0 && l.Tag == "fr" {
		form = ".one"
	}
	return l.T(key+form, append([]any{"n", n}, args...)...)
}

// has tells whether the file has a text of its own for the key.
func (l *language) has(key string) bool {
	_, ok := l.texts[key]
	return ok
}

// date is the day of t as a person writes it.
func (l *language) date(t time.Time) string {
	t = t.UTC()
	return l.T("date", "day", t.Day(), "month", l.months[t.Month()-1], "year", strconv.Itoa(t.Year()))
}

// list joins words: "a, b and c".
func (l *language) list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + l.T("and") + " " + words[last]
}

// countriesIn are the countries of ISO 3166-1 by their names in the language.
func countriesIn(t xlanguage.Tag) []country {
	names := display.Regions(t)
	var all []country
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			if r, ok := parseCountry(code); ok {
				if name := names.Name(r); name != "" {
					all = append(all, country{code, name})
				}
			}
		}
	}
	c := collate.New(t)
	slices.SortFunc(all, func(a, b country) int { return c.CompareString(a.Name, b.Name) })
	return all
}

// parseCountry takes an officially assigned code only: no exceptional reservation (UK, EU, UN), no
// withdrawn one (SU), none for private use (XK, ZZ).
func parseCountry(code string) (xlanguage.Region, bool) {
	r, err := xlanguage.ParseRegion(code)
	if err != nil || len(code) != 2 || r.String() != code || !r.IsCountry() || r.IsPrivateUse() || r.Canonicalize() != r {
		return r, false
	}
	return r, !slices.Contains([]string{"AC", "CP", "CQ", "DG", "EA", "EZ", "IC", "TA", "UN"}, code)
}
