package segments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"beckon/schema/id"
)

// fieldKind says what a field can be asked.
type fieldKind int

const (
	noField fieldKind = iota
	textField
	attributeField
	slugField
	timeField
	daysField
	behaviourField
)

var fieldKinds = map[string]fieldKind{
	"email": textField, "name": textField, "company": textField, "country": textField, "phone": textField, "job_title": textField,
	"subscriber_kind": textField, "region": textField,
	"topics": slugField, "types": slugField, "source": slugField,
	"created": timeField, "consent_age": daysField,
	"opened": behaviourField, "clicked": behaviourField, "received": behaviourField,
}

// ruleFields are the fields as they are listed to whoever wrote another one.
var ruleFields = []string{"email", "name", "company", "country", "phone", "job_title", "subscriber_kind", "attributes.NAME", "topics",
	"types", "source", "region", "created", "consent_age", "opened", "clicked", "received"}

func kindOfField(name string) fieldKind {
	if strings.HasPrefix(name, "attributes.") {
		return attributeField
	}
	return fieldKinds[name]
}

var (
	equalOps   = []string{"=", "!=", "in", "notIn"}
	orderOps   = []string{"<", "<=", ">", ">=", "between", "notBetween"}
	partOps    = []string{"contains", "doesNotContain", "beginsWith", "doesNotBeginWith", "endsWith", "doesNotEndWith"}
	blankOps   = []string{"null", "notNull"}
	textOps    = slices.Concat(equalOps, partOps, orderOps, blankOps)
	slugOps    = slices.Concat(equalOps, []string{"contains", "doesNotContain"}, blankOps)
	timeOps    = slices.Concat([]string{"=", "!="}, orderOps)
	daysOps    = slices.Concat([]string{"=", "!="}, orderOps, blankOps)
	behaveOps  = []string{"=", "!="}
	negatedOps = map[string]string{"!=": "=", "notIn": "in", "doesNotContain": "contains", "doesNotBeginWith": "beginsWith",
		"doesNotEndWith": "endsWith", "notBetween": "between", "notNull": "null"}
)

func (k fieldKind) operators() []string {
	switch k {
	case textField, attributeField:
		return textOps
	case slugField:
		return slugOps
	case timeField:
		return timeOps
	case daysField:
		return daysOps
	case behaviourField:
		return behaveOps
	}
	return nil
}

// value reads the value of a condition as its field and operator ask for it.
func (p *ruleParser) value(leaf *ruleLeaf, kind fieldKind, path string, raw json.RawMessage) {
	op := leaf.op
	if plain, ok := negatedOps[op]; ok {
		op = plain
	}
	switch {
	case op == "null":
		if len(raw) > 0 && string(raw) != "null" && string(raw) != `""` && string(raw) != "true" {
			p.e.add(path, "is not wanted: this operator compares with nothing")
		}
	case kind == behaviourField:
		leaf.value = p.behaviour(leaf.field, path, raw)
	case op == "in", op == "between":
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil || len(items) == 0 {
			p.e.add(path, `must be a list such as ["a","b"]`)
			return
		}
		if op == "between" && len(items) != 2 {
			p.e.add(path, "must be a list of two: the lower and the upper bound")
			return
		}
		if p.values += len(items); p.values > maxRuleValues {
			p.e.add(path, fmt.Sprintf("brings the rule to more than %d values: import the list as contacts with an attribute, and ask for that", maxRuleValues))
			return
		}
		for i, item := range items {
			v := p.scalar(leaf, kind, op, fmt.Sprintf("%s[%d]", path, i), item)
			if v == nil {
				return
			}
			if i > 0 && fmt.Sprintf("%T", v) != fmt.Sprintf("%T", leaf.list[0]) {
				p.e.add(fmt.Sprintf("%s[%d]", path, i), "must be of the same type as the first in the list")
				return
			}
			leaf.list = append(leaf.list, v)
		}
	default:
		leaf.value = p.scalar(leaf, kind, op, path, raw)
	}
}

// scalar reads one value, or adds what is wrong with it and returns nil.
func (p *ruleParser) scalar(leaf *ruleLeaf, kind fieldKind, op, path string, raw json.RawMessage) any {
	var text string
	isText := json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"'
	if isText && (len(text) > maxText || strings.ContainsRune(text, 0)) {
		p.e.add(path, fmt.Sprintf("must be a text of at most %d bytes without control characters", maxText))
		return nil
	}
	switch kind {
	case textField, slugField:
		switch {
		case !isText:
			p.e.add(path, "must be a text in quotes")
			return nil
		case text == "" && (op != "=" || kind == slugField):
			p.e.add(path, "is blank: write what to compare with, or use the operator null")
			return nil
		}
		return tidyRuleText(leaf.field, text)
	case attributeField:
		var number float64
		var yes bool
		switch {
		case isText && text == "" && op != "=":
			p.e.add(path, "is blank: write what to compare with, or use the operator null")
			return nil
		case isText:
			return text
		case json.Unmarshal(raw, &yes) == nil && string(raw) != "null" && (op == "=" || op == "in"):
			return yes
		case json.Unmarshal(raw, &number) == nil && string(raw) != "null" && !slices.Contains(partOps, op) && math.Abs(number) < 1e15:
			return number
		case op == "=" || op == "in":
			p.e.add(path, "must be a text, a number, true or false")
		case slices.Contains(partOps, op):
			p.e.add(path, "must be a text in quotes")
		default:
			p.e.add(path, "must be a text or a number")
		}
		return nil
	case timeField:
		if t, err := time.Parse(time.DateOnly, text); err == nil && t.Year() >= 1970 && t.Year() < 9999 {
			return ruleSpan{t, t.AddDate(0, 0, 1)}
		}
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.Year() >= 1970 && t.Year() < 9999 {
			t = t.UTC().Truncate(time.Second)
			return ruleSpan{t, t.Add(time.Second)}
		}
		p.e.add(path, "must be a date like 2026-04-01 or a time like 2026-04-01T12:00:00Z")
		return nil
	case daysField:
		var days float64
		if json.Unmarshal(raw, &days) != nil || string(raw) == "null" || days < 0 || days > 36500 || days != math.Trunc(days) {
			p.e.add(path, "must be a whole number of days, from 0 to 36500")
			return nil
		}
		return days
	}
	return nil
}

// tidyRuleText writes a value as its column is written.
func tidyRuleText(field, v string) string {
	switch field {
	case "country":
		if code, ok := countryCode(v); ok {
			return code
		}
	}
	return v
}

func (p *ruleParser) behaviour(field, path string, raw json.RawMessage) any {
	var b ruleBehaviour
	if len(raw) == 0 || string(raw) == "null" {
		return b
	}
	members := []string{"campaign", "within_days"}
	if field == "clicked" {
		members = []string{"campaign", "link", "within_days"}
	}
	m := p.object(path, raw, members...)
	if m == nil {
		return nil
	}
	if raw, ok := m["campaign"]; ok {
		if err := json.Unmarshal(raw, &b.campaign); err != nil || bytes.Equal(raw, []byte("null")) {
			p.e.add(join(path, "campaign"), "must be the id of a campaign, such as "+quote(id.Campaign(1).String()))
		}
	}
	for _, n := range []struct {
		name string
		to   *int64
		max  int64
	}{{"link", &b.link, 10_000}, {"within_days", &b.within, 3650}} {
		if raw, ok := m[n.name]; ok {
			if json.Unmarshal(raw, n.to) != nil || *n.to < 1 || *n.to > n.max {
				p.e.add(join(path, n.name), fmt.Sprintf("must be a whole number from 1 to %d", n.max))
			}
		}
	}
	return b
}
