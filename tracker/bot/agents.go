package bot

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

//go:embed data/crawler-user-agents.json
var crawlersFile []byte

//go:embed data/agents.json
var agentsFile []byte

// maxName bounds what a name adds to a reason.
const maxName = 40

// agents recognises user agents, all of them in one pass.
type agents struct {
	matcher  *matcher
	meaning  []meaning // of each literal
	patterns []pattern
	proxies  []imageProxy
}

// meaning is what it says of a user agent that a literal occurs in it.
type meaning struct {
	is      feature
	pattern int32 // index, or -1
	proxy   int32 // index, or -1
	length  int32 // of the literal
}

// pattern is one kind of machine.
type pattern struct {
	name   string
	reason string
	fold   string         // what its literals are the first letters of, in any case; empty: see expr
	expr   *regexp.Regexp // nil: the literal is enough
	bit    uint           // of expr, among all expressions
	unless string         // with expr: no match if the user agent holds this, in any case
	only   string         // kind of request it is about; empty: both
}

// sighting is what a user agent shows.
type sighting struct {
	features feature
	robot    *pattern    // the machine it names, or nil
	proxy    *imageProxy // the image proxy it names, or nil
}

// imageProxy fetches images for people.
type imageProxy struct {
	name    string
	opened  string // the reason for an open
	clicked string // the reason for a click, which is not for people
}

// ownAgents is the form of agents.json.
type ownAgents struct {
	Proxies []struct{ Contains, Name string }
	Unused  []struct{ Pattern string }
	More    []struct{ Pattern, Name, Unless, Only string }
}

func loadAgents() (*agents, error) {
	var own ownAgents
	if err := json.Unmarshal(agentsFile, &own); err != nil {
		return nil, fmt.Errorf("bot: agents.json: %w", err)
	}
	var crawlers []struct{ Pattern string }
	if err := json.Unmarshal(crawlersFile, &crawlers); err != nil {
		return nil, fmt.Errorf("bot: crawler-user-agents.json: %w", err)
	}
	unused := map[string]bool{}
	for _, u := range own.Unused {
		unused[u.Pattern] = true
	}

	a := &agents{}
	expressions := 0
	var literals []string
	see := func(literal string, m meaning) {
		literals, a.meaning = append(literals, literal), append(a.meaning, m)
	}
	add := func(expr string, p pattern) error {
		need, ok, err := literalsOf(expr)
		if err != nil {
			return fmt.Errorf("bot: pattern %q: %w", expr, err)
		}
		if !ok {
			return fmt.Errorf("bot: pattern %q: no part of it is %d bytes long", expr, minLiteral)
		}
		switch {
		case need.exact:
		case need.fold != "":
			p.fold = need.fold
		default:
			if expressions == len(refuted{})*64 {
				return fmt.Errorf("bot: more than %d patterns need an expression", expressions)
			}
			p.expr, p.bit = regexp.MustCompile(expr), uint(expressions) // literalsOf has parsed it
			expressions++
		}
		if p.name == "" {
			p.name = nameOf(need.literals)
		}
		p.reason = "robot: " + p.name
		for _, l := range need.literals {
			see(l, meaning{pattern: int32(len(a.patterns)), proxy: -1, length: int32(len(l))})
		}
		a.patterns = append(a.patterns, p)
		return nil
	}
	for _, c := range crawlers {
		if unused[c.Pattern] {
			continue
		}
		if err := add(c.Pattern, pattern{}); err != nil {
			return nil, err
		}
	}
	for _, m := range own.More {
		if err := add(m.Pattern, pattern{name: m.Name, unless: m.Unless, only: m.Only}); err != nil {
			return nil, err
		}
	}
	for _, p := range own.Proxies {
		see(p.Contains, meaning{pattern: -1, proxy: int32(len(a.proxies))})
		a.proxies = append(a.proxies, imageProxy{p.Name, "image proxy: " + p.Name, "image proxy at a link: " + p.Name})
	}
	for _, t := range tokens {
		see(t.text, meaning{is: t.is, pattern: -1, proxy: -1})
	}

	var err error
	if a.matcher, err = newMatcher(literals); err != nil {
		return nil, fmt.Errorf("bot: %w", err)
	}
	return a, nil
}

// nameOf makes a name for a pattern that has none: its longest literal without what marks the end of a
// word in user agents.
func nameOf(literals []string) string {
	longest := slices.MaxFunc(literals, func(a, b string) int { return len(a) - len(b) })
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, strings.Trim(longest, " /();:+-_"))
	return name[:min(len(name), maxName)]
}

// refuted is the set of expressions that were tried on a user agent and did not match. Each is tried
// once, so that no user agent is expensive to judge.
type refuted [2]uint64

// scan recognises a user agent. Of several machines that it names, the one listed first counts.
func (a *agents) scan(kind, ua string) sighting {
	var s sighting
	var not refuted
	machine := int32(len(a.patterns))
	a.matcher.scan(ua, func(literal int32, end int) {
		m := &a.meaning[literal]
		s.features |= m.is
		if m.proxy >= 0 && s.proxy == nil {
			s.proxy = &a.proxies[m.proxy]
		}
		if m.pattern < 0 || m.pattern >= machine {
			return
		}
		if a.patterns[m.pattern].matches(kind, ua, end-int(m.length), &not) {
			machine = m.pattern
		}
	})
	if int(machine) < len(a.patterns) {
		s.robot = &a.patterns[machine]
	}
	return s
}

// matches says whether the user agent, in which a literal of the pattern begins at the given place,
// is of its kind.
func (p *pattern) matches(kind, ua string, at int, not *refuted) bool {
	switch {
	case p.only != "" && p.only != kind:
		return false
	case p.fold != "":
		return len(ua)-at >= len(p.fold) && strings.EqualFold(ua[at:at+len(p.fold)], p.fold)
	case p.expr == nil:
		return true
	}
	word, bit := &not[p.bit/64], uint64(1)<<(p.bit%64)
	if *word&bit != 0 {
		return false
	}
	if p.expr.MatchString(ua) && (p.unless == "" || !containsFold(ua, p.unless)) {
		return true
	}
	*word |= bit
	return false
}

// containsFold says whether s holds a word, given in lower case, in any case.
func containsFold(s, word string) bool {
	for i := range len(s) - len(word) + 1 {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
