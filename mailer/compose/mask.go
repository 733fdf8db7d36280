package compose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/osteele/liquid/parser"
)

// maskKind says what a Liquid construct is to the text around it.
type maskKind uint8

const (
	maskOutput  maskKind = iota // {{ … }}
	maskTag                     // {% … %}
	maskNothing                 // a Liquid comment, or the {% raw %} tags: they leave nothing
)

// mask is one Liquid construct in a source.
type mask struct {
	kind         maskKind
	start, end   int    // in the source
	name         string // of the tag
	args         string // the expression, or the tag's arguments
	trimL, trimR bool
	depth        int // how many blocks are open around it
	block        int // the mask that opened the innermost block it opens, divides or closes; -1: none
}

// source is a template with its Liquid found. In masked, which is as long as text, no byte of a
// construct is left that could mean anything in HTML: outputs are x and the rest is space.
type source struct {
	field  string
	text   string // lines end in LF
	masked string
	masks  []mask
	broken bool // its Liquid is wrong: nothing of it may be worked out
}

// blockTags maps the tags that open a block to those that may stand inside as its clauses.
var blockTags = map[string][]string{
	"if": {"elsif", "else"}, "unless": {"else"}, "case": {"when", "else"},
	"for": {"else", "break", "continue"}, "tablerow": {"break", "continue"}, "capture": {},
}

// plainTags stand alone.
var plainTags = []string{"assign", "cycle"}

// reserved are the names that Beckon gives a meaning; a template cannot assign to them.
var reserved = []string{"citation", "footer", "ask_tracking", "unsubscribe_url", "preferences_url", "sender", "campaign"}

const (
	maxConstruct  = 4096 // bytes of one
	maxConstructs = 5000
)

var unclosed = regexp.MustCompile(`\{\{|\{%`)

// scanLiquid finds the Liquid of a template and checks everything that can be seen without HTML:
// syntax, block structure, known tags and filters, reserved names.
func scanLiquid(field, text string, e *engine, tell func(Problem)) *source {
	s := &source{field: field, text: text}
	report := func(p Problem) {
		s.broken = true
		tell(p)
	}
	s.find(report)
	if len(s.masks) > maxConstructs {
		report(Problem{Field: field, Message: fmt.Sprintf("there are more than %d Liquid constructs", maxConstructs)})
		return s
	}
	s.structure(report)
	for i := range s.masks {
		s.check(&s.masks[i], e, report)
	}
	return s
}

// line of a byte of the text, from 1.
func (s *source) line(at int) int { return 1 + strings.Count(s.text[:at], "\n") }

func (s *source) problem(at int, format string, args ...any) Problem {
	return Problem{Field: s.field, Line: s.line(at), Message: fmt.Sprintf(format, args...)}
}

// find cuts the text in the same way as the Liquid parser will, and blanks what it finds.
func (s *source) find(report func(Problem)) {
	masked := []byte(s.text)
	at := 0
	var hidden *mask // the open {% comment %} or {% raw %}
	for _, tok := range parser.Scan(s.text, parser.SourceLoc{}, nil) {
		if tok.Source == "" {
			continue // a trim marker, which is part of its neighbour
		}
		m := mask{start: at, end: at + len(tok.Source), args: strings.TrimSpace(tok.Args), name: tok.Name, block: -1}
		at = m.end
		m.trimL = strings.HasPrefix(tok.Source[min(2, len(tok.Source)):], "-")
		m.trimR = strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(tok.Source, "}}"), "%}"), "-")
		if tok.Type != parser.TagTokenType && tok.Type != parser.ObjTokenType {
			if hit := unclosed.FindStringIndex(tok.Source); hidden == nil && hit != nil {
				report(s.problem(m.start+hit[0], "%s is never closed on its line; to show it as text, put it between {%% raw %%} and {%% endraw %%}", tok.Source[hit[0]:hit[1]]))
			}
			continue
		}
		if hidden != nil {
			if tok.Type != parser.TagTokenType || tok.Name != "end"+hidden.name {
				continue
			}
			m.kind = maskNothing
			if hidden.name == "comment" {
				hidden.end = m.end
			} else {
				s.masks = append(s.masks, m)
			}
			hidden = nil
			continue
		}
		switch {
		case tok.Type == parser.ObjTokenType:
			m.kind = maskOutput
		case tok.Name == "comment" || tok.Name == "raw":
			m.kind = maskNothing
		default:
			m.kind = maskTag
		}
		s.masks = append(s.masks, m)
		if m.kind == maskNothing {
			hidden = &s.masks[len(s.masks)-1]
		}
	}
	if hidden != nil {
		report(s.problem(hidden.start, "{%% %s %%} is never closed", hidden.name))
	}
	for _, m := range s.masks {
		fill := byte(' ')
		if m.kind == maskOutput {
			fill = 'x'
		}
		for i := m.start; i < m.end; i++ {
			masked[i] = fill
		}
	}
	s.masked = string(masked)
}

// structure matches the blocks.
func (s *source) structure(report func(Problem)) {
	var open []int
	for i := range s.masks {
		m := &s.masks[i]
		m.depth = len(open)
		if m.kind != maskTag {
			continue
		}
		if _, opens := blockTags[m.name]; opens {
			m.block = i
			open = append(open, i)
			continue
		}
		if name, ends := strings.CutPrefix(m.name, "end"); ends && blockTags[name] != nil {
			if len(open) == 0 || s.masks[open[len(open)-1]].name != name {
				report(s.problem(m.start, "{%% %s %%} closes nothing here: no {%% %s %%} is open", m.name, name))
				continue
			}
			m.block = open[len(open)-1]
			open = open[:len(open)-1]
			m.depth = len(open)
			continue
		}
		if slices.Contains(plainTags, m.name) {
			continue
		}
		m.block = s.owner(open, m.name)
		if m.block < 0 {
			report(s.problem(m.start, "{%% %s %%} is not possible here", m.name))
		}
	}
	for _, i := range open {
		report(s.problem(s.masks[i].start, "{%% %s %%} is never closed", s.masks[i].name))
	}
	if deepest := slices.MaxFunc(append(s.masks, mask{}), func(a, b mask) int { return a.depth - b.depth }); deepest.depth > 50 {
		report(s.problem(deepest.start, "more than 50 blocks stand inside each other"))
	}
}

// owner finds the open block that a clause belongs to: the innermost one, but a break reaches through
// to the loop.
func (s *source) owner(open []int, clause string) int {
	for i := len(open) - 1; i >= 0; i-- {
		if slices.Contains(blockTags[s.masks[open[i]].name], clause) {
			return open[i]
		}
		if clause != "break" && clause != "continue" {
			break
		}
	}
	return -1
}

// check looks at one construct on its own.
func (s *source) check(m *mask, e *engine, report func(Problem)) {
	fail := func(format string, args ...any) { report(s.problem(m.start, format, args...)) }
	if m.kind == maskNothing {
		return
	}
	if m.end-m.start > maxConstruct {
		fail("a Liquid construct is longer than %d characters", maxConstruct)
		return
	}
	info := readExpr(m.args)
	for _, f := range info.filters {
		if !e.filters[f] {
			fail("there is no Liquid filter %q", f)
		}
	}
	if err := e.syntax(m); err != nil {
		fail("this is not valid Liquid: %s", s.text[m.start:m.end])
		return
	}
	if m.kind == maskOutput {
		if info.ranges {
			fail("a range can only be walked through by {%% for %%}")
		}
		for _, name := range info.roots {
			if isBlock(name) && m.args != name {
				fail("{{ %s }} must stand alone, without filters", name)
			}
		}
		return
	}
	loop := m.name == "for" || m.name == "tablerow"
	if info.ranges && (!loop || len(info.filters) > 0) {
		fail("a range can only be walked through by {%% for %%}, without filters")
	}
	switch m.name {
	case "assign", "capture", "for", "tablerow":
		if n := 0; m.args != "" && isNameStart(m.args[0]) {
			if n = nameLen(m.args); slices.Contains(reserved, m.args[:n]) {
				fail("%s is a reserved name", m.args[:n])
			}
			if m.name == "capture" && n != len(m.args) {
				fail("{%% capture %%} takes one name")
			}
		} else {
			fail("{%% %s %%} needs a name", m.name)
		}
	case "cycle":
		if strings.ContainsAny(m.args, "<>&") || strings.Contains(m.args, `"`) && strings.Contains(m.args, "'") {
			fail("{%% cycle %%} takes plain words in one kind of quotes")
		}
	case "else":
		if m.args != "" {
			fail("{%% else %%} takes no condition; use {%% elsif %%}")
		}
	case "if", "elsif", "unless":
		return // a condition may ask for a block
	}
	for _, name := range info.roots {
		if isBlock(name) {
			fail("%s cannot be used in {%% %s %%}", name, m.name)
		}
	}
}

// isBlock reports whether a name stands for something that Beckon puts in, not for a value.
func isBlock(name string) bool { return slices.Contains(reserved[:5], name) }

// constant reports whether an output is the same for every recipient and may be worked out at once.
func (s *source) constant(m *mask) bool {
	for _, name := range readExpr(m.args).roots {
		if name != "sender" && name != "campaign" {
			return false
		}
	}
	return m.kind == maskOutput
}

// block returns the name of what Beckon puts in at an output, if it is such a one.
func (m *mask) blockName() string {
	if m.kind == maskOutput && isBlock(m.args) {
		return m.args
	}
	return ""
}

// whole reports whether the template has to be rendered for each recipient: it has control flow, or
// trims the white space around a construct.
func (s *source) whole() bool {
	for _, m := range s.masks {
		if m.kind == maskTag || m.trimL || m.trimR {
			return true
		}
	}
	return false
}

// within returns the masks that overlap a stretch of the source.
func (s *source) within(start, end int) []mask {
	lo, hi := s.withinIndex(start, end)
	return s.masks[lo:hi]
}

func (s *source) withinIndex(start, end int) (lo, hi int) {
	lo, _ = slices.BinarySearchFunc(s.masks, start, func(m mask, at int) int {
		if m.end <= at {
			return -1
		}
		return 1
	})
	for hi = lo; hi < len(s.masks) && s.masks[hi].start < end; hi++ {
	}
	return lo, hi
}
