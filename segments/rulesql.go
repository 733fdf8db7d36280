package segments

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// ruleContext is what a rule is compiled for.
type ruleContext struct {
	q       schema.Querier // to look up sources and campaigns
	gate    *consent.Gate
	cat     *consent.Catalogue
	company id.Company
	channel consent.Channel
	now     time.Time
}

// compile turns the rule into a condition over contacts c, and names the topics it mentions. The
// condition is never NULL. The error is an *Invalid for what does not exist.
//
// A negation goes down to the conditions, and there it makes the other operator of each pair. So
// what the person did not do is never concluded from a mail that could not tell.
func (r Rule) compile(ctx context.Context, rc ruleContext) (sql consent.Fragment, topics []string, err error) {
	c := &ruleCompiler{ruleContext: rc, ctx: ctx}
	c.group(&r.root, false)
	if c.err == nil {
		c.err = c.e.err()
	}
	if c.err != nil {
		return consent.Fragment{}, nil, c.err
	}
	return consent.Fragment{SQL: c.sql.String(), Args: c.args}, c.topics, nil
}

type ruleCompiler struct {
	ruleContext
	ctx    context.Context
	sql    strings.Builder
	args   []any
	topics []string
	e      Invalid
	err    error
}

func (c *ruleCompiler) text(sql string, args ...any) {
	c.sql.WriteString(sql)
	c.args = append(c.args, args...)
}

func (c *ruleCompiler) add(f consent.Fragment) { c.text(f.SQL, f.Args...) }

func (c *ruleCompiler) group(g *ruleGroup, negate bool) {
	negate = negate != g.not
	if len(g.nodes) == 0 {
		c.text(map[bool]string{false: "(1 = 1)", true: "(1 = 0)"}[negate])
		return
	}
	word := " AND "
	if g.or != negate {
		word = " OR "
	}
	c.text("(")
	for i, n := range g.nodes {
		if i > 0 {
			c.text(word)
		}
		if n.group != nil {
			c.group(n.group, negate)
		} else {
			c.leaf(n.leaf, negate)
		}
	}
	c.text(")")
}

func (c *ruleCompiler) leaf(l *ruleLeaf, negate bool) {
	op := l.op
	if plain, ok := negatedOps[op]; ok {
		op, negate = plain, !negate
	}
	if kindOfField(l.field) == behaviourField {
		c.behaviour(l, negate)
		return
	}
	if negate {
		c.text("NOT ")
	}
	switch l.field {
	case "attributes":
		c.attribute(l, op)
	case "topics":
		c.topic(l, op)
	case "types":
		c.communicationType(l, op)
	case "source":
		c.source(l, op)
	case "created":
		c.created(l, op)
	case "consent_age":
		c.consentAge(l, op)
	case "region":
		c.words(c.region(), op, l)
	default:
		c.words(consent.Fragment{SQL: "c." + l.field}, op, l)
	}
}

func (c *ruleCompiler) mask(l *ruleLeaf, kind string) int64 {
	mask, err := c.cat.Mask(kind, l.slugs())
	if err != nil {
		c.e.add(l.path+".value", unknownSlug(c.cat, kind, err))
	}
	return mask
}

// slugs are the condition's values that are text.
func (l *ruleLeaf) slugs() []string {
	var list []string
	for _, v := range append([]any{l.value}, l.list...) {
		if v, ok := v.(string); ok {
			list = append(list, v)
		}
	}
	return list
}

func (c *ruleCompiler) topic(l *ruleLeaf, op string) {
	if op == "null" {
		c.text("(c.topics = 0)")
		return
	}
	c.topics = append(c.topics, l.slugs()...)
	c.text("(c.topics & ? <> 0)", c.mask(l, consent.KindTopic))
}

func (c *ruleCompiler) communicationType(l *ruleLeaf, op string) {
	want := l.slugs()
	if op == "null" {
		want = slugs(c.cat, consent.KindType)
	} else if c.mask(l, consent.KindType) == 0 {
		return
	}
	f, err := c.gate.HasType("c.id", strconv.FormatInt(int64(c.company), 10), want...)
	if err != nil {
		c.err = err
	}
	if op == "null" {
		c.text("NOT ")
	}
	c.add(f)
}

// source: the contact came from one of the sources, and that origin was not recalled.
func (c *ruleCompiler) source(l *ruleLeaf, op string) {
	const origin = `EXISTS (SELECT 1 FROM contact_sources o JOIN sources s ON s.id = o.source WHERE o.contact = c.id AND o.recalled_at = 0 AND s.recalled_at = 0`
	if op == "null" {
		c.text("NOT " + origin + ")")
		return
	}
	want := l.slugs()
	var rows []struct {
		ID   id.Source `db:"id"`
		Slug string    `db:"slug"`
	}
	where, arg := amongTexts(c.q.Dialect(), "slug", want)
	if err := c.q.Select(c.ctx, &rows, `SELECT id, slug FROM sources WHERE `+where, arg); err != nil {
		c.err = fmt.Errorf("segments: read sources: %w", err)
		return
	}
	var ids []any
	for _, slug := range want {
		i := slices.IndexFunc(rows, func(r struct {
			ID   id.Source `db:"id"`
			Slug string    `db:"slug"`
		}) bool {
			return r.Slug == slug
		})
		if i < 0 {
			c.e.add(l.path+".value", fmt.Sprintf("names the source %s, which does not exist: use the slug of a source", quote(slug)))
			return
		}
		ids = append(ids, int64(rows[i].ID))
	}
	c.text(origin+" AND o.source IN ("+schema.List(len(ids))+"))", ids...)
}

func (c *ruleCompiler) created(l *ruleLeaf, op string) {
	lo := func(v any) int64 { return int64(schema.At(v.(ruleSpan).lo)) }
	hi := func(v any) int64 { return int64(schema.At(v.(ruleSpan).hi)) }
	switch op {
	case "=":
		c.text("(c.created_at >= ? AND c.created_at < ?)", lo(l.value), hi(l.value))
	case "between":
		c.text("(c.created_at >= ? AND c.created_at < ?)", lo(l.list[0]), hi(l.list[1]))
	case "<":
		c.text("(c.created_at < ?)", lo(l.value))
	case "<=":
		c.text("(c.created_at < ?)", hi(l.value))
	case ">":
		c.text("(c.created_at >= ?)", hi(l.value))
	case ">=":
		c.text("(c.created_at >= ?)", lo(l.value))
	}
}

// consentAge counts whole days since the newest consent in force was given to the segment's
// company for its channel.
func (c *ruleCompiler) consentAge(l *ruleLeaf, op string) {
	granted := c.gate.GrantedAt("c.id", strconv.FormatInt(int64(c.company), 10), c.channel)
	if op == "null" {
		c.text("(")
		c.add(granted)
		c.text(" = 0)")
		return
	}
	// A consent is at least n days old if it was given at or before oldest(n).
	oldest := func(days any, more float64) int64 {
		return int64(schema.At(c.now.Add(-time.Duration(days.(float64)+more) * 24 * time.Hour)))
	}
	const never = int64(-1) << 62
	after, until := never, int64(schema.At(c.now.Add(24*time.Hour)))
	switch op {
	case "=":
		after, until = oldest(l.value, 1), oldest(l.value, 0)
	case "between":
		after, until = oldest(l.list[1], 1), oldest(l.list[0], 0)
	case "<":
		after = oldest(l.value, 0)
	case "<=":
		after = oldest(l.value, 1)
	case ">":
		until = oldest(l.value, 1)
	case ">=":
		until = oldest(l.value, 0)
	}
	c.text("(")
	c.add(granted)
	c.text(" > ? AND ", max(after, 0))
	c.add(granted)
	c.text(" <= ?)", until)
}

// region is where the person last clicked, while tracking is allowed; else blank.
func (c *ruleCompiler) region() consent.Fragment {
	epoch := c.gate.Epoch("c.id", strconv.FormatInt(int64(c.company), 10))
	return consent.Fragment{SQL: "COALESCE((SELECT r.region FROM contact_regions r WHERE r.contact = c.id AND " + epoch.SQL + " > 0), '')", Args: epoch.Args}
}
