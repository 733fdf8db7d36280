package segments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mapping says where each field of an import comes from: a column of the file under another name,
// or one value for the whole file. Fields it does not name come from the column of their own name.
// Besides the import fields it may name attributes.NAME, and ignore: the columns, separated by |,
// that are not wanted as attributes.
type Mapping map[string]Cell

// Cell is the column that holds a field, or the field's fixed value. In JSON a text is the
// column's name and {"value": text} is the value.
type Cell struct {
	Column string
	Value  *string
}

// Fixed is a cell with the same value in every row.
func Fixed(value string) Cell { return Cell{Value: &value} }

// MarshalJSON writes a text or {"value": text}.
func (c Cell) MarshalJSON() ([]byte, error) {
	if c.Value != nil {
		return json.Marshal(struct {
			Value string `json:"value"`
		}{*c.Value})
	}
	return json.Marshal(c.Column)
}

// UnmarshalJSON reads a text or {"value": text}.
func (c *Cell) UnmarshalJSON(b []byte) error {
	*c = Cell{}
	if json.Unmarshal(b, &c.Column) == nil && string(b) != "null" {
		return nil
	}
	var fixed struct {
		Value *string `json:"value"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&fixed); err != nil || fixed.Value == nil {
		return fmt.Errorf(`segments: want the name of a column, or {"value":"…"} for the whole file`)
	}
	c.Value = fixed.Value
	return nil
}

// ParseMapping reads a mapping from JSON; blank is no mapping. The error is an *Invalid.
func ParseMapping(src []byte) (Mapping, error) {
	if len(bytes.TrimSpace(src)) == 0 {
		return nil, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(src, &raw); err != nil {
		return nil, invalid("mapping", `must be a JSON object such as {"email":"Email Address","country":{"value":"GB"}}`)
	}
	m := Mapping{}
	var e Invalid
	for name, cell := range raw {
		var c Cell
		if err := c.UnmarshalJSON(cell); err != nil {
			e.add("mapping."+printable(name), `must be the name of a column such as "Email Address", or {"value":"…"} for the whole file`)
		}
		m[name] = c
	}
	m.check(&e)
	return m, e.err()
}

// The fields of an import, in the order of the documentation.
const (
	fEmail = iota
	fName
	fCompany
	fCountry
	fPhone
	fJobTitle
	fSubscriberKind
	fTopics
	fConsentCompany
	fConsentChannel
	fConsentTypes
	fConsentTracking
	fConsentNotice
	fConsentHow
	fConsentAt
	fCount
)

var fieldNames = [fCount]string{"email", "name", "company", "country", "phone", "job_title", "subscriber_kind", "topics",
	"consent_company", "consent_channel", "consent_types", "consent_tracking", "consent_notice", "consent_how", "consent_at"}

const ignoreField = "ignore"

func (m Mapping) check(e *Invalid) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		attribute, isAttribute := strings.CutPrefix(name, "attributes.")
		field := "mapping." + printable(name)
		switch {
		case isAttribute:
			if problem := attributeNameProblem(attribute); problem != "" {
				e.add(field, problem)
			}
		case name != ignoreField && !slices.Contains(fieldNames[:], name):
			e.add(field, "is not a field of an import: map one of "+strings.Join(fieldNames[:], ", ")+", attributes.NAME or ignore")
			continue
		}
		if c := m[name]; c.Value == nil && strings.TrimSpace(c.Column) == "" {
			e.add(field, `names no column: write the column's name as in the header row, or {"value":"…"}`)
		}
		if m[name].Value != nil && (name == fieldNames[fEmail] || name == ignoreField) {
			e.add(field, "must name a column: it cannot have the same value in every row")
		}
	}
}

// layout is a mapping applied to the header row of one file.
type layout struct {
	width   int
	column  [fCount]int // -1: none
	fixed   [fCount]string
	attrs   []attributeColumn
	consent bool // the file records consents
}

type attributeColumn struct {
	name   string
	column int // -1: fixed
	fixed  string
}

// newLayout finds every field in the header. as is set for a file of noes, which is read for its
// addresses alone.
func newLayout(header []string, m Mapping, as string) (*layout, error) {
	var e Invalid
	m.check(&e)
	if err := e.err(); err != nil {
		return nil, err
	}
	l := &layout{width: len(header)}
	used := make([]bool, len(header))
	find := func(field, column string) int {
		at := -1
		for i, h := range header {
			if !strings.EqualFold(h, strings.TrimSpace(column)) {
				continue
			}
			if at >= 0 {
				e.add(field, fmt.Sprintf("column %s occurs twice in the header row: rename one of them", quote(h)))
				return at
			}
			at = i
		}
		if at < 0 {
			e.add("mapping."+field, fmt.Sprintf("names the column %s, which the file does not have: its columns are %s", quote(column), listColumns(header)))
			return -1
		}
		used[at] = true
		return at
	}
	for i, name := range fieldNames {
		l.column[i] = -1
		switch cell, mapped := m[name]; {
		case mapped && cell.Value != nil:
			l.fixed[i] = strings.TrimSpace(*cell.Value)
		case mapped:
			l.column[i] = find(name, cell.Column)
		default:
			for _, h := range header {
				if ownName(h) == name {
					l.column[i] = find(name, h)
					break
				}
			}
		}
	}
	if l.column[fEmail] < 0 && len(e.Fields) == 0 {
		e.add("email", fmt.Sprintf(`has no column: name one in the mapping, such as {"email":%s}; the file's columns are %s`, quote(likelyEmail(header)), listColumns(header)))
	}
	if cell, ok := m[ignoreField]; ok {
		for _, column := range strings.Split(cell.Column, "|") {
			find(ignoreField, column)
		}
	}
	if as == "" {
		l.findConsent(&e)
		l.findAttributes(header, used, m, find)
		for i := range l.attrs {
			if p := attributeNameProblem(l.attrs[i].name); p != "" {
				e.add("file", fmt.Sprintf("column %s %s, or leave it out with {\"ignore\":…} in the mapping", quote(l.attrs[i].name), p))
			}
		}
	}
	if err := e.err(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *layout) findConsent(e *Invalid) {
	var missing []int
	for i := fConsentCompany; i <= fConsentAt; i++ {
		if l.column[i] < 0 && l.fixed[i] == "" {
			missing = append(missing, i)
		}
	}
	if len(missing) == fConsentAt-fConsentCompany+1 {
		return
	}
	l.consent = true
	for _, i := range missing {
		e.add(fieldNames[i], fmt.Sprintf(`is missing: the consent columns come all together or not at all; add the column, or fix it for the whole file with {%q:{"value":"…"}} in the mapping`, fieldNames[i]))
	}
}

func (l *layout) findAttributes(header []string, used []bool, m Mapping, find func(field, column string) int) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		attribute, ok := strings.CutPrefix(name, "attributes.")
		if !ok {
			continue
		}
		if cell := m[name]; cell.Value != nil {
			l.attrs = append(l.attrs, attributeColumn{attribute, -1, *cell.Value})
		} else {
			l.attrs = append(l.attrs, attributeColumn{attribute, find(name, cell.Column), ""})
		}
	}
	taken := map[string]bool{}
	for _, a := range l.attrs {
		taken[a.name] = true
	}
	for i, h := range header {
		if used[i] || h == "" {
			continue
		}
		name := h
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s %d", h, n)
		}
		taken[name] = true
		l.attrs = append(l.attrs, attributeColumn{name, i, ""})
	}
}

// ownName is how a header must read to be taken for a field without a mapping: "Job Title" is
// job_title; "Email Address" is not email, and has to be mapped.
func ownName(h string) string {
	return strings.ReplaceAll(strings.ToLower(h), " ", "_")
}

func likelyEmail(header []string) string {
	for _, h := range header {
		if l := strings.ToLower(h); strings.Contains(l, "mail") {
			return h
		}
	}
	return "Email Address"
}

func listColumns(header []string) string {
	var b strings.Builder
	for i, h := range header {
		if i == 20 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(h))
	}
	return b.String()
}
