package segments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema/id"
)

// The bounds of a rule.
const (
	maxRuleBytes  = 64 << 10
	maxRuleDepth  = 8
	maxRuleLeaves = 200
	maxRuleValues = 5000 // in all lists together
)

// Rule is a parsed segment rule. The zero Rule, and a rule without conditions, narrow nothing:
// they stand for everybody the gate lets into the segment.
type Rule struct {
	root ruleGroup
}

// ruleGroup joins conditions by and or or.
type ruleGroup struct {
	or, not bool
	nodes   []ruleNode
}

// ruleNode is a group or a condition.
type ruleNode struct {
	group *ruleGroup
	leaf  *ruleLeaf
}

// ruleLeaf is one condition. Its value has the type that its field and operator ask for:
// nothing, string, float64, bool, ruleSpan or ruleBehaviour, or a list of the first three.
type ruleLeaf struct {
	path  string // for errors, such as rules[1]
	field string
	attr  string // name of the attribute if field is attributes
	op    string
	value any
	list  []any
}

// ruleSpan is the time that a date or an instant of a rule stands for: from lo up to before hi.
type ruleSpan struct{ lo, hi time.Time }

type ruleBehaviour struct {
	campaign id.Campaign
	link     int64
	within   int64 // days
}

// ParseRule reads the JSON tree of a query builder:
//
//	{"combinator":"and","not":false,"rules":[{"field":"country","operator":"in","value":["GB","IE"]}, …]}
//
// A rule may itself be such a tree. The error is an *Invalid that names what is wrong by its
// place, such as rules[1].field. Whether slugs, sources and campaigns exist is not asked here.
func ParseRule(src []byte) (Rule, error) {
	p := &ruleParser{}
	switch {
	case len(src) > maxRuleBytes:
		p.e.add("", fmt.Sprintf("is longer than %d kB: split it into several segments", maxRuleBytes>>10))
	case !json.Valid(src):
		p.e.add("", `is not valid JSON: write a tree such as {"combinator":"and","rules":[{"field":"country","operator":"=","value":"GB"}]}`)
	default:
		if g := p.group("", src, 1); g != nil && len(p.e.Fields) == 0 {
			return Rule{*g}, nil
		}
	}
	return Rule{}, &p.e
}

type ruleParser struct {
	e      Invalid
	leaves int
	values int
}

func (p *ruleParser) group(path string, src []byte, depth int) *ruleGroup {
	if depth > maxRuleDepth {
		p.e.add(path, fmt.Sprintf("is nested more than %d deep: flatten it", maxRuleDepth))
		return nil
	}
	m := p.object(path, src, "combinator", "not", "rules", "id")
	if m == nil {
		return nil
	}
	g := &ruleGroup{}
	if raw, ok := m["combinator"]; ok {
		var c string
		switch _ = json.Unmarshal(raw, &c); c {
		case "and":
		case "or":
			g.or = true
		default:
			p.e.add(join(path, "combinator"), `must be "and" or "or"`)
		}
	}
	if raw, ok := m["not"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &g.not) != nil {
			p.e.add(join(path, "not"), "must be true or false")
		}
	}
	raw, ok := m["rules"]
	var rules []json.RawMessage
	if !ok || json.Unmarshal(raw, &rules) != nil || rules == nil {
		p.e.add(join(path, "rules"), "must be a list of conditions; an empty list stands for everybody who opted in")
		return nil
	}
	for i, raw := range rules {
		at := join(path, "rules["+strconv.Itoa(i)+"]")
		var probe map[string]json.RawMessage
		_ = json.Unmarshal(raw, &probe)
		_, hasRules := probe["rules"]
		_, hasCombinator := probe["combinator"]
		if hasRules || hasCombinator {
			if sub := p.group(at, raw, depth+1); sub != nil {
				g.nodes = append(g.nodes, ruleNode{group: sub})
			}
		} else if leaf := p.leaf(at, raw); leaf != nil {
			g.nodes = append(g.nodes, ruleNode{leaf: leaf})
		}
		if p.leaves > maxRuleLeaves {
			p.e.add(path, fmt.Sprintf("holds more than %d conditions: split the segment", maxRuleLeaves))
			return nil
		}
	}
	return g
}

func (p *ruleParser) leaf(path string, src []byte) *ruleLeaf {
	p.leaves++
	m := p.object(path, src, "field", "operator", "value", "id")
	if m == nil {
		return nil
	}
	leaf := &ruleLeaf{path: path}
	var name string
	_ = json.Unmarshal(m["field"], &name)
	kind := kindOfField(name)
	attr, isAttr := strings.CutPrefix(name, "attributes.")
	switch {
	case isAttr:
		leaf.field, leaf.attr = "attributes", attr
		if problem := attributeNameProblem(attr); problem != "" {
			p.e.add(join(path, "field"), problem)
			return nil
		}
	case kind == noField:
		p.e.add(join(path, "field"), fmt.Sprintf("is %s, which is no field of a rule: use one of %s", quote(name), strings.Join(ruleFields, ", ")))
		return nil
	default:
		leaf.field = name
	}
	_ = json.Unmarshal(m["operator"], &leaf.op)
	if !slices.Contains(kind.operators(), leaf.op) {
		p.e.add(join(path, "operator"), fmt.Sprintf("is %s, which %s cannot be asked: use one of %s", quote(leaf.op), printable(name), strings.Join(kind.operators(), ", ")))
		return nil
	}
	before := len(p.e.Fields)
	p.value(leaf, kind, join(path, "value"), m["value"])
	if len(p.e.Fields) > before {
		return nil
	}
	return leaf
}

// object reads an object that has no members but those named. Query builders add an id of their own
// to groups and conditions, which means nothing here.
func (p *ruleParser) object(path string, src []byte, members ...string) map[string]json.RawMessage {
	wanted := strings.Join(slices.DeleteFunc(slices.Clone(members), func(m string) bool { return m == "id" }), ", ")
	var m map[string]json.RawMessage
	if json.Unmarshal(src, &m) != nil || m == nil {
		p.e.add(path, "must be an object with "+wanted)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(src))
	_, _ = d.Token()
	seen := map[string]bool{}
	for d.More() {
		t, _ := d.Token()
		name, _ := t.(string)
		var skip json.RawMessage
		_ = d.Decode(&skip)
		switch {
		case seen[name]:
			p.e.add(join(path, printable(name)), "occurs twice: keep one")
			return nil
		case !slices.Contains(members, name):
			p.e.add(join(path, printable(name)), "is not known here: use "+wanted)
			return nil
		}
		seen[name] = true
	}
	return m
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
