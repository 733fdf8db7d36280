package bot

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheMatcherFindsWhatContainsFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("abA/ é")), 1, 5, -1)
		literals := rapid.SliceOfN(word, 1, 30).Draw(t, "literals")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abA/ éx")), 0, 40, -1).Draw(t, "text")
		m, err := newMatcher(literals)
		if err != nil {
			t.Fatal(err)
		}
		found := make([]int, len(literals))
		m.scan(text, func(l int32, end int) {
			if !strings.HasSuffix(text[:end], literals[l]) {
				t.Fatalf("%q in %q does not end at %d", literals[l], text, end)
			}
			found[l]++
		})
		for i, l := range literals {
			want := 0
			for at := range len(text) {
				if strings.HasPrefix(text[at:], l) {
					want++
				}
			}
			if found[i] != want {
				t.Fatalf("%q in %q: found %d times, is there %d times", l, text, found[i], want)
			}
		}
	})
}

func TestLiteralsOfExpressions(t *testing.T) {
	for _, c := range []struct {
		expr  string
		want  []string
		exact bool
	}{
		{`Googlebot\/`, []string{"Googlebot/"}, true},
		{`[wW]get`, []string{"Wget", "wget"}, true},
		{`^curl`, []string{"curl"}, false},
		{`SSL Labs$`, []string{"SSL Labs"}, false},
		{`Ahrefs(Bot|SiteAudit)`, []string{"AhrefsBot", "AhrefsSiteAudit"}, true},
		{`(sistrix|SISTRIX) [cC]rawler`, []string{"SISTRIX Crawler", "SISTRIX crawler", "sistrix Crawler", "sistrix crawler"}, true},
		{`(^| )sentry\/`, []string{" sentry/", "sentry/"}, false},
		{`AdsBot-Google([^-]|$)`, []string{"AdsBot-Google"}, false},
		{`Spider[\s\S]*spider\.com`, []string{"spider.com"}, false},
		{`Automaton|Newsify Feed Fetcher`, []string{"Automaton", "Newsify Feed Fetcher"}, true},
		{`(?i)abc?d`, nil, true},
		{`x+bot`, []string{"bot"}, false},
	} {
		got, ok, err := literalsOf(c.expr)
		if err != nil || !ok {
			t.Errorf("%s: %v, ok %v", c.expr, err, ok)
			continue
		}
		slices.Sort(got.literals)
		if c.want != nil && !slices.Equal(got.literals, c.want) || got.exact != c.exact {
			t.Errorf("%s: %q, exact %v; want %q, %v", c.expr, got.literals, got.exact, c.want, c.exact)
		}
	}
	for _, expr := range []string{`.*`, `ab`, `(abc|.)`, `a?b?c?`, `[a-z]+`} {
		if r, ok, err := literalsOf(expr); ok || err != nil {
			t.Errorf("%s: %+v, %v, %v; it has nothing to look for", expr, r, ok, err)
		}
	}
	if _, _, err := literalsOf(`(`); err == nil {
		t.Error("a broken expression was read")
	}
}

// The prefilter may let too much through, never too little.
func TestNoMatchEscapesItsLiterals(t *testing.T) {
	exprs := []string{`[wW]get`, `^ab(c|cd)e?f`, `ab{2,3}ccc`, `(?i)bot(?:[^a-z]|$)`, `aaa(b|c)+ddd`, `(abc|bcd)(a|b)?`, `x\d\.\d+abc`, `cab.*bac`}
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.SampledFrom(exprs).Draw(t, "expression")
		text := rapid.StringMatching(`.{0,3}(`+strings.TrimPrefix(expr, "^")+`).{0,3}`).Draw(t, "text")
		r, ok, err := literalsOf(expr)
		if err != nil || !ok {
			t.Fatal(expr, err, ok)
		}
		contains := slices.ContainsFunc(r.literals, func(l string) bool { return strings.Contains(text, l) })
		if matches := regexp.MustCompile(expr).MatchString(text); matches && !contains || r.exact && matches != contains {
			t.Fatalf("%s on %q: matches %v, literals %q found %v", expr, text, matches, r.literals, contains)
		}
	})
}

// Words that are looked for in any case are recognised as their expressions would.
func TestAWordInAnyCaseNeedsNoExpression(t *testing.T) {
	a := Default().agents
	piece := rapid.SampledFrom([]string{"fire", "FIRE", "Eye", "eye", "EYE", "fox/1", "ey", "barra", "Cuda", "CUDA", "cud", " ", "é"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "text"), "")
		got := ""
		if r := a.scan(Open, text).robot; r != nil {
			got = r.name
		}
		want := ""
		for _, w := range []string{"Barracuda", "FireEye"} { // in the order of agents.json
			if want == "" && regexp.MustCompile("(?i)"+w).MatchString(text) {
				want = w
			}
		}
		if got != want {
			t.Fatalf("%q is %q, want %q", text, got, want)
		}
	})
	folded := 0
	for _, p := range a.patterns {
		if p.fold != "" {
			folded++
		}
	}
	if folded < 10 {
		t.Errorf("%d words in any case", folded)
	}
}
