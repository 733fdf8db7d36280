package bot

import (
	"regexp/syntax"
	"unicode"
)

// required is a set of literals of which every match of an expression contains at least one. If exact,
// containing one of them is all there is to a match. If fold is not empty, a match is fold in any case,
// and the literals are how it can begin.
type required struct {
	literals []string
	exact    bool
	fold     string
}

const (
	maxLiterals = 64 // an expression that needs more is prefiltered by another part of it
	maxFolded   = 4  // letters of a case-insensitive literal that are spelled out
	minLiteral  = 3  // shorter ones occur in everybody's user agent
)

// literalsOf returns what the matcher must look for on behalf of an expression; ok is false if there
// is nothing that is long enough to look for.
func literalsOf(expr string) (r required, ok bool, err error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return required{}, false, err
	}
	s := collect(tree)
	r = required{literals: s.literals, exact: s.whole && !s.anchored}
	if !r.exact && tree.Op == syntax.OpLiteral && isASCII(tree.Rune) {
		r.fold = string(tree.Rune)
	}
	return r, s.shortest() >= minLiteral, nil
}

func isASCII(s []rune) bool {
	for _, r := range s {
		if r > unicode.MaxASCII {
			return false
		}
	}
	return true
}

// set is what collect knows of a part of an expression.
type set struct {
	literals []string
	whole    bool // the literals are all that the part matches
	anchored bool // it matches at some places only
}

func (s set) shortest() int {
	if len(s.literals) == 0 {
		return 0
	}
	n := len(s.literals[0])
	for _, l := range s.literals[1:] {
		n = min(n, len(l))
	}
	return n
}

func collect(re *syntax.Regexp) set {
	switch re.Op {
	case syntax.OpLiteral:
		return literal(re)
	case syntax.OpCharClass:
		return class(re)
	case syntax.OpEmptyMatch:
		return set{literals: []string{""}, whole: true}
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return set{literals: []string{""}, whole: true, anchored: true}
	case syntax.OpCapture:
		return collect(re.Sub[0])
	case syntax.OpQuest:
		if s := collect(re.Sub[0]); s.whole && len(s.literals) < maxLiterals {
			s.literals = append(s.literals, "")
			return s
		}
	case syntax.OpPlus:
		return set{literals: collect(re.Sub[0]).literals}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return set{literals: collect(re.Sub[0]).literals}
		}
	case syntax.OpAlternate:
		return alternate(re)
	case syntax.OpConcat:
		return concat(re)
	}
	return set{}
}

func literal(re *syntax.Regexp) set {
	if re.Flags&syntax.FoldCase == 0 {
		return set{literals: []string{string(re.Rune)}, whole: true}
	}
	n := min(len(re.Rune), maxFolded)
	spelled := []string{""}
	for _, r := range re.Rune[:n] {
		var longer []string
		for _, s := range spelled {
			longer = append(longer, s+string(unicode.ToLower(r)))
			if u := unicode.ToUpper(r); u != unicode.ToLower(r) {
				longer = append(longer, s+string(u))
			}
		}
		spelled = longer
	}
	return set{literals: spelled, whole: n == len(re.Rune)}
}

func class(re *syntax.Regexp) set {
	var literals []string
	for i := 0; i < len(re.Rune); i += 2 {
		for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
			if len(literals) == 10 {
				return set{}
			}
			literals = append(literals, string(r))
		}
	}
	return set{literals: literals, whole: true}
}

func alternate(re *syntax.Regexp) set {
	all := set{whole: true}
	for _, sub := range re.Sub {
		s := collect(sub)
		if len(s.literals) == 0 || len(all.literals)+len(s.literals) > maxLiterals {
			return set{}
		}
		all.literals = append(all.literals, s.literals...)
		all.whole = all.whole && s.whole
		all.anchored = all.anchored || s.anchored
	}
	return all
}

// concat joins what follows each other as long as it can be spelled out, and keeps the best piece.
func concat(re *syntax.Regexp) set {
	run := set{literals: []string{""}, whole: true}
	var best set
	broken := false
	better := func(s set) {
		if s.shortest() > best.shortest() {
			best = s
		}
	}
	for _, sub := range re.Sub {
		s := collect(sub)
		if s.whole && len(run.literals)*len(s.literals) <= maxLiterals {
			var longer []string
			for _, a := range run.literals {
				for _, b := range s.literals {
					longer = append(longer, a+b)
				}
			}
			run = set{literals: longer, whole: true, anchored: run.anchored || s.anchored}
			continue
		}
		broken = true
		better(run)
		better(s)
		run = set{literals: []string{""}, whole: true}
		if s.whole {
			run = s
		}
	}
	better(run)
	if !broken {
		return run
	}
	return set{literals: best.literals}
}
