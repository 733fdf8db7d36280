package segments

import (
	"slices"
	"strconv"
	"strings"

	"beckon/schema"
	"beckon/segments/consent"
)

// words compares text. Case does not matter, but for letters outside ASCII, on both databases alike.
func (c *ruleCompiler) words(x consent.Fragment, op string, l *ruleLeaf) {
	if op == "null" {
		c.text("(")
		c.add(x)
		c.text(" = '')")
		return
	}
	fold := func() {
		c.text("lower(")
		c.add(x)
		if c.q.Dialect() == schema.Postgres {
			c.text(` COLLATE "C"`)
		}
		c.text(")")
	}
	want := func(v any) string { return lowerASCII(v.(string)) }
	if stored, ok := storedForms[l.field]; ok {
		fold = func() {
			c.add(x)
			if c.q.Dialect() == schema.Postgres {
				c.text(` COLLATE "C"`)
			}
		}
		want = func(v any) string { return stored(v.(string)) }
	}
	c.text("(")
	switch op {
	case "=":
		fold()
		c.text(" = ?", want(l.value))
	case "in":
		fold()
		c.text(" IN ("+schema.List(len(l.list))+")", each(l.list, want)...)
	case "between":
		fold()
		c.text(" >= ? AND ", want(l.list[0]))
		fold()
		c.text(" <= ?", want(l.list[1]))
	case "<", "<=", ">", ">=":
		c.add(x)
		c.text(" <> '' AND ")
		fold()
		c.text(" "+op+" ?", want(l.value))
	case "contains":
		find := "instr("
		if c.q.Dialect() == schema.Postgres {
			find = "strpos("
		}
		c.text(find)
		fold()
		c.text(", ?) > 0", want(l.value))
	case "beginsWith":
		v := want(l.value)
		c.text("substr(")
		fold()
		c.text(", 1, ?) = ?", len([]rune(v)), v)
	case "endsWith":
		v := want(l.value)
		if c.q.Dialect() == schema.Postgres {
			c.text("right(")
			fold()
			c.text(", ?) = ?", len([]rune(v)), v)
			break
		}
		c.text("substr(")
		fold()
		c.text(", ?) = ?", -len([]rune(v)), v)
	}
	c.text(")")
}

// storedForms are the columns that are stored in one case only.
var storedForms = map[string]func(string) string{"country": strings.ToUpper, "subscriber_kind": strings.ToLower, "email": strings.ToLower}

// attribute compares an attribute: with a text as text, with a number as a number if it is one,
// with true and false as these. A missing attribute is blank.
func (c *ruleCompiler) attribute(l *ruleLeaf, op string) {
	postgres := c.q.Dialect() == schema.Postgres
	text := consent.Fragment{SQL: `COALESCE(CASE json_type(c.attributes, ?) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract(c.attributes, ?) AS TEXT) END, '')`}
	path := `$."` + l.attr + `"`
	text.Args = []any{path, path}
	if postgres {
		text = consent.Fragment{SQL: `COALESCE(c.attributes ->> CAST(? AS TEXT), '')`, Args: []any{l.attr}}
	}
	first := l.value
	if len(l.list) > 0 {
		first = l.list[0]
	}
	_, isText := first.(string)
	if !postgres && (op == "null" || isText && (op == "=" || op == "in") && !slices.ContainsFunc(l.slugs(), likeBoolean)) {
		// ->> writes true and false as 1 and 0, which matters to no such value, and reads the JSON once.
		text = consent.Fragment{SQL: `COALESCE(CAST(c.attributes ->> ? AS TEXT), '')`, Args: []any{path}}
	}
	switch first.(type) {
	case float64:
		c.number(text, op, l)
	case bool:
		word := func(v any) any { return strconv.FormatBool(v.(bool)) }
		yes := &ruleLeaf{value: l.value, op: op}
		if op == "in" {
			for _, v := range l.list {
				yes.list = append(yes.list, word(v))
			}
		} else {
			yes.value = word(l.value)
		}
		c.words(text, op, yes)
	default:
		c.words(text, op, l)
	}
}

// number compares text that is a number; other text compares with nothing.
func (c *ruleCompiler) number(text consent.Fragment, op string, l *ruleLeaf) {
	is, as := `x NOT GLOB '*[^0-9.-]*' AND x GLOB '*[0-9]*' AND x NOT GLOB '?*-*' AND x NOT GLOB '*.*.*'`, `CAST(x AS REAL)`
	if c.q.Dialect() == schema.Postgres {
		is, as = `x ~ '^-{0,1}([0-9]+\.{0,1}[0-9]*|\.[0-9]+)$' AND length(x) < 300`, `CAST(x AS DOUBLE PRECISION)`
	}
	expand := func(sql string) {
		parts := strings.Split(sql, "x")
		for i, part := range parts {
			c.text(part)
			if i < len(parts)-1 {
				c.add(text)
			}
		}
	}
	// CASE, because PostgreSQL may evaluate both sides of an AND.
	c.text("CASE WHEN ")
	expand(is)
	c.text(" THEN ")
	expand(as)
	switch op {
	case "in":
		c.text(" IN ("+schema.List(len(l.list))+")", l.list...)
	case "between":
		c.text(" BETWEEN ? AND ?", l.list...)
	default:
		c.text(" "+op+" ?", l.value)
	}
	c.text(" ELSE 1 = 0 END")
}

func likeBoolean(v string) bool {
	v = lowerASCII(v)
	return v == "true" || v == "false" || v == "0" || v == "1"
}

func each(list []any, f func(any) string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func lowerASCII(v string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, v)
}
