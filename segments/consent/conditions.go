package consent

import (
	"strconv"
	"strings"

	"beckon/schema"
)

// conditions are the facts that Allowed and Refusal are both made of, for one use and one pair of
// SQL expressions. Each is an expression that can be negated as it stands.
type conditions struct {
	g        *Gate
	a        asked
	contact  string
	source   Fragment
	now      schema.Time
	dynamic  bool // the source is an expression of the caller's
	noSource bool // it is known to be a segment
}

func (g *Gate) conditions(a asked, contact, source string) *conditions {
	c := &conditions{g: g, a: a, contact: contact, now: schema.At(g.now())}
	switch {
	case a.purpose != Mail || source == "" && a.source == 0:
		c.noSource, c.source = true, Fragment{SQL: "0"}
	case source == "":
		c.source = Fragment{SQL: strconv.FormatInt(int64(a.source), 10)}
	default:
		c.dynamic, c.source = true, Fragment{SQL: source}
	}
	return c
}

// What a list may be used for, in the order in which a refusal is told. The first condition is that
// the contact is on it; each of the others is checked beside the recall.
const (
	notRecalled = "gate_origin.recalled_at = 0 AND gate_source.recalled_at = 0"
	// Both the origin's own licence and the source's must run.
	licensed = "(gate_origin.licence_end = 0 OR gate_origin.licence_end > :now) AND (gate_source.licensed_until = 0 OR gate_source.licensed_until > :now)"
	permits  = "replace(gate_source.permitted_uses, :channel, '') <> gate_source.permitted_uses" // exact, on both dialects
	citable  = "gate_source.name <> '' AND (gate_source.privacy_url <> '' OR gate_source.transparency_url <> '')"
	hasBasis = "gate_source.lawful_basis <> ''"
)

// anyRefusal: something was refused, be it a type or the explicit consent to a topic.
const anyRefusal = "gate_state.refused | gate_state.refused_topics <> 0"

var originConditions = []struct {
	sql    string
	reason Reason
}{
	{"1 = 1", NotFromSource},
	{notRecalled, Recalled},
	{licensed, Licence},
	{permits, SourceUse},
	{citable, Uncitable},
}

func (c *conditions) viaSegment() Fragment {
	if c.noSource {
		return Fragment{SQL: "(1 = 1)"}
	}
	return Fragment{SQL: "(" + c.source.SQL + " = 0)"}
}

func (c *conditions) viaSource() Fragment { return Fragment{SQL: "(" + c.source.SQL + " <> 0)"} }

// subject: the contact has a subject row of which more holds.
func (c *conditions) subject(more string) Fragment {
	if more != "" {
		more = " AND " + more
	}
	return Fragment{SQL: "EXISTS (SELECT 1 FROM consent_subjects gate_subject WHERE gate_subject.contact = " + c.contact + more + ")"}
}

func (c *conditions) blockReason() Fragment {
	var b strings.Builder
	b.WriteString("(SELECT CASE")
	for _, r := range blockReasons {
		b.WriteString(" WHEN gate_subject.blocks & " + strconv.FormatInt(int64(r.block), 10) + " <> 0 THEN " + quote(string(r.reason)))
	}
	b.WriteString(" ELSE " + quote(string(Unreadable)) + " END FROM consent_subjects gate_subject WHERE gate_subject.contact = " + c.contact + ")")
	return Fragment{SQL: b.String()}
}

// state: the contact's row for the company and channel of the use exists and more holds of it.
func (c *conditions) state(more string, args ...any) Fragment {
	return Fragment{"EXISTS (SELECT 1 FROM consent_state gate_state WHERE gate_state.company = ? AND gate_state.channel = ? AND gate_state.contact = " + c.contact + " AND " + more + ")",
		append([]any{int64(c.a.company), string(c.a.channel)}, args...)}
}

// inForce: the item was asked for, or else a consent to one of the types stands, and nothing blocks
// the contact.
func (c *conditions) inForce() Fragment {
	if c.a.item == "" {
		return c.state("gate_state.live & ? <> 0", c.a.mask)
	}
	return Fragment{"EXISTS (SELECT 1 FROM consent_items gate_item JOIN consent_subjects gate_subject ON gate_subject.contact = gate_item.contact" +
		" WHERE gate_item.item = ? AND gate_item.company = ? AND gate_item.channel = ? AND gate_item.contact = " + c.contact + " AND gate_subject.blocks = 0)",
		[]any{c.a.item, int64(c.a.company), string(c.a.channel)}}
}

// optedIn: what inForce says, and every special topic of the use has its explicit consent.
func (c *conditions) optedIn() Fragment {
	switch {
	case c.a.special == 0:
		return c.inForce()
	case c.a.item != "":
		return and(c.inForce(), c.state("gate_state.explicit & ? = ?", c.a.special, c.a.special))
	}
	return c.state("gate_state.live & ? <> 0 AND gate_state.explicit & ? = ?", c.a.mask, c.a.special, c.a.special)
}

// refused: one of the types was refused to the company and channel, by name or with others.
func (c *conditions) refused() Fragment {
	return Fragment{"EXISTS (SELECT 1 FROM consent_state gate_state WHERE gate_state.contact = " + c.contact +
		" AND gate_state.company IN (0, ?) AND gate_state.channel IN ('', ?) AND gate_state.refused & ? <> 0)",
		[]any{int64(c.a.company), string(c.a.channel), c.a.mask}}
}

// anywhere: more holds of the contact's state for any company or channel.
func (c *conditions) anywhere(more string) Fragment {
	return Fragment{SQL: "EXISTS (SELECT 1 FROM consent_state gate_state WHERE gate_state.contact = " + c.contact + " AND " + more + ")"}
}

func (c *conditions) track(more string) Fragment {
	return Fragment{"EXISTS (SELECT 1 FROM consent_tracking gate_track WHERE gate_track.contact = " + c.contact + " AND gate_track.company = ? AND " + more + ")",
		[]any{int64(c.a.company)}}
}

func (c *conditions) trackOpen() Fragment { return c.track(openNow) }

// bind puts the values of the origin conditions in place of their names.
func (c *conditions) bind(sql string) Fragment {
	var b builder
	for {
		i := strings.IndexByte(sql, ':')
		if i < 0 {
			b.text(sql)
			return b.fragment()
		}
		b.text(sql[:i])
		if rest, ok := strings.CutPrefix(sql[i:], ":now"); ok {
			b.add(Fragment{"?", []any{int64(c.now)}})
			sql = rest
		} else {
			b.add(Fragment{"?", []any{"|" + string(c.a.channel) + "|"}})
			sql = strings.TrimPrefix(sql[i:], ":channel")
		}
	}
}

const originOf = "EXISTS (SELECT 1 FROM contact_sources gate_origin JOIN sources gate_source ON gate_source.id = gate_origin.source WHERE gate_origin.contact = "

// origin: the contact came from the source and more holds of that.
func (c *conditions) origin(more string) Fragment {
	f := c.bind(more)
	return Fragment{originOf + c.contact + " AND gate_origin.source = " + c.source.SQL + " AND " + f.SQL + ")", f.Args}
}

func (c *conditions) fromAnySource() Fragment {
	return Fragment{SQL: "EXISTS (SELECT 1 FROM contact_sources gate_origin WHERE gate_origin.contact = " + c.contact + ")"}
}

// ownFirst: the person gave us the address before any source did.
func ownFirst(contact string) string {
	return "EXISTS (SELECT 1 FROM contacts gate_contact WHERE gate_contact.id = " + contact + " AND gate_contact.own_at > 0 AND NOT EXISTS (" +
		"SELECT 1 FROM contact_sources gate_earlier WHERE gate_earlier.contact = gate_contact.id AND gate_earlier.acquired_at < gate_contact.own_at))"
}

// uncitable: a mail to a segment would have to name a source that cannot be named.
func (c *conditions) uncitable() Fragment {
	f := c.bind(notRecalled + " AND " + licensed)
	return Fragment{"(" + originOf + c.contact + " AND " + f.SQL + " AND NOT (" + citable + ")) AND NOT " + ownFirst(c.contact) + ")", f.Args}
}

func (c *conditions) contactIs(what string) Fragment {
	return Fragment{SQL: "EXISTS (SELECT 1 FROM contacts gate_contact WHERE gate_contact.id = " + c.contact + " AND " + what + ")"}
}

func (c *conditions) country() Fragment {
	if len(c.g.countries) == 0 {
		return refuseAll
	}
	args := make([]any, len(c.g.countries))
	for i, n := range c.g.countries {
		args[i] = n
	}
	f := c.contactIs("gate_contact.country IN (" + schema.List(len(args)) + ")")
	return Fragment{f.SQL, args}
}

// sourced: the contact may be mailed as part of the source's list, by an opt-in or by the corporate
// route.
func (c *conditions) sourced() Fragment {
	var conds []string
	for _, o := range originConditions {
		conds = append(conds, o.sql)
	}
	may := c.origin(strings.Join(conds, " AND "))
	if c.a.special != 0 {
		return and(may, c.optedIn())
	}
	var route builder
	route.any(c.optedIn(), and(c.subject("gate_subject.blocks = 0"), not(c.anywhere("gate_state.granted | "+anyRefusal)),
		c.contactIs("gate_contact.subscriber_kind = 'corporate'"), c.country(), c.origin(hasBasis)))
	return and(may, route.fragment())
}
