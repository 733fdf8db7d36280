package consent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// GateOptions are what an operator may set.
type GateOptions struct {
	// CorporateCountries are where a corporate subscriber from a data source may be mailed without a
	// consent, as ISO 3166-1 codes. Nil is GB alone; an empty list closes that route.
	CorporateCountries []string
	Now                func() time.Time // nil: the real clock
}

// Gate answers whether a use of a contact is allowed now: for one contact with Ask, for sets with
// SQL fragments that give the same answer. It is safe for concurrent use.
//
// A fragment holds the instant at which it was made (licences end): make it for each statement.
// The expressions a caller passes in are SQL and must be qualified, as in "m.contact"; no alias of
// theirs may begin with gate_.
type Gate struct {
	db        *schema.DB
	cat       *Catalogue
	countries []string
	now       func() time.Time
}

// NewGate returns a gate over db. With a nil catalogue it refuses everything.
func NewGate(db *schema.DB, cat *Catalogue, o GateOptions) *Gate {
	if o.CorporateCountries == nil {
		o.CorporateCountries = []string{"GB"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Gate{db, cat, slices.Clone(o.CorporateCountries), o.Now}
}

// asked is a use with its slugs looked up.
type asked struct {
	company id.Company
	channel Channel
	purpose Purpose
	mask    int64 // any of these types will do
	special int64 // all of these topics need explicit consent
	source  id.Source
	item    string // what allows it is the request for this item, and not the types
}

func (g *Gate) resolve(use Use) (asked, error) {
	bad := func(what string) (asked, error) { return asked{}, fmt.Errorf("consent: %w: %s", ErrUse, what) }
	a := asked{use.Company, use.Channel, use.Purpose, all, 0, use.Audience.Source, use.Item}
	if g.cat == nil {
		return bad("no catalogue")
	}
	if use.Company <= 0 {
		return bad("no company")
	}
	switch {
	case use.Item == "":
	case !isItem(use.Item):
		return bad("item " + strconv.Quote(use.Item))
	case use.Purpose != Mail:
		return bad("an item can only be mailed")
	case a.source != 0:
		return bad("nobody on a source's list asked for an item")
	}
	switch use.Purpose {
	case Mail:
		if use.Type == "" {
			return bad("mail without a type")
		}
	case Segment, Export:
		a.source = 0
	case Track:
		if use.Channel != "" && use.Channel != Email {
			return bad("only mail can be tracked")
		}
		a.source, a.channel, use.Type = 0, Email, ""
	default:
		return bad("purpose " + strconv.Quote(string(use.Purpose)))
	}
	if _, ok := g.cat.entry(KindChannel, string(a.channel)); !ok {
		return asked{}, &ErrUnknownSlug{KindChannel, string(a.channel)}
	}
	var err error
	if use.Type != "" {
		if a.mask, err = g.cat.Mask(KindType, []string{use.Type}); err != nil {
			return asked{}, err
		}
	}
	topics, err := g.cat.Mask(KindTopic, use.Topics)
	if err != nil {
		return asked{}, err
	}
	a.special = topics & g.cat.special
	return a, nil
}

// refuseAll is what a fragment is for a use that cannot be judged.
var refuseAll = Fragment{SQL: "(1 = 0)"}

// Allowed returns a boolean expression: the use is allowed for the contact. source is an expression
// too, the source whose list the contact is mailed as part of, or zero for a segment; "" takes it
// from use.Audience. On an error the fragment refuses everybody.
func (g *Gate) Allowed(use Use, contact, source string) (Fragment, error) {
	a, err := g.resolve(use)
	if err != nil {
		return refuseAll, err
	}
	c := g.conditions(a, contact, source)
	var b builder
	switch {
	case a.purpose == Track:
		b.all(c.optedIn(), c.trackOpen())
	case a.purpose != Mail:
		b.all(c.optedIn())
	case c.noSource:
		b.all(c.optedIn(), not(c.uncitable()))
	case c.source.SQL != "" && source == "":
		b.add(c.sourced())
	case a.item != "":
		b.all(c.viaSegment(), c.optedIn(), not(c.uncitable()))
	default:
		b.any(and(c.viaSegment(), c.optedIn(), not(c.uncitable())), and(c.viaSource(), c.sourced()))
	}
	return b.fragment(), nil
}

// Refusal returns a text expression: empty where Allowed is true, else the Reason. On an error it is
// Unreadable for everybody.
func (g *Gate) Refusal(use Use, contact, source string) (Fragment, error) {
	a, err := g.resolve(use)
	if err != nil {
		return Fragment{SQL: quote(string(Unreadable))}, err
	}
	c := g.conditions(a, contact, source)
	var b builder
	b.text("CASE")
	when := func(f Fragment, then Reason) {
		b.text(" WHEN ").add(f).text(" THEN " + quote(string(then)))
	}
	if a.item != "" && !c.noSource {
		when(c.viaSource(), Unreadable)
	}
	when(not(c.subject("")), NotFound)
	b.text(" WHEN ").add(c.subject("gate_subject.blocks <> 0")).text(" THEN ").add(c.blockReason())
	if a.purpose == Mail && !c.noSource && a.item == "" {
		for _, o := range originConditions {
			when(and(c.viaSource(), not(c.origin(o.sql))), o.reason)
		}
	}
	inForce := c.inForce()
	if a.special != 0 {
		when(and(inForce, not(c.optedIn())), NoExplicit)
	}
	switch {
	case a.purpose == Track:
		when(and(inForce, c.track("gate_track.refused")), Withdrawn)
		when(and(inForce, not(c.trackOpen())), NoConsent)
	case a.purpose == Mail && (c.dynamic || c.noSource):
		when(and(c.viaSegment(), inForce, c.uncitable()), Uncitable)
	}
	when(inForce, "")
	when(c.refused(), Withdrawn)
	when(c.anywhere("gate_state.granted <> 0"), OtherConsent)
	if c.dynamic || c.noSource {
		when(and(c.viaSegment(), c.fromAnySource()), NoConsent)
		when(c.viaSegment(), NoEvidence)
	}
	if !c.noSource && a.item == "" {
		when(c.anywhere(anyRefusal), Withdrawn)
		if a.special != 0 {
			when(Fragment{SQL: "1 = 1"}, NoExplicit)
		}
		when(c.contactIs("gate_contact.subscriber_kind = ''"), UnknownKind)
		when(not(c.contactIs("gate_contact.subscriber_kind = 'corporate'")), Individual)
		when(not(c.country()), CountryRoute)
		when(not(c.origin(hasBasis)), NoBasis)
	}
	b.text(" ELSE '' END")
	f := b.fragment()
	f.SQL = "(" + f.SQL + ")"
	return f, nil
}

// Eligible returns a query of the contacts whom a segment of the use may hold, for "c.id IN (…)" and
// joins: the same set as Allowed gives for Segment and Export. Mail and Track are ErrUse.
func (g *Gate) Eligible(use Use) (Fragment, error) {
	none := Fragment{SQL: "SELECT gate_state.contact FROM consent_state gate_state WHERE 1 = 0"}
	a, err := g.resolve(use)
	if err != nil {
		return none, err
	}
	if a.purpose != Segment && a.purpose != Export {
		return none, fmt.Errorf("consent: %w: only segments and exports are sets of opted-in contacts", ErrUse)
	}
	f := Fragment{"SELECT gate_state.contact FROM consent_state gate_state WHERE gate_state.company = ? AND gate_state.channel = ? AND gate_state.live & ? <> 0",
		[]any{int64(a.company), string(a.channel), a.mask}}
	if a.special != 0 {
		f.SQL += " AND gate_state.explicit & ? = ?"
		f.Args = append(f.Args, a.special, a.special)
	}
	return f, nil
}

const openNow = `gate_track.open AND gate_track.epoch > 0 AND EXISTS (SELECT 1 FROM consent_state gate_state
	WHERE gate_state.company = gate_track.company AND gate_state.channel = 'email' AND gate_state.contact = gate_track.contact AND gate_state.live <> 0)`

// Epoch returns a bigint expression: the tracking epoch that is open for the contact and company, or
// zero. None is open for a contact who is blocked or has no mail consent left.
func (g *Gate) Epoch(contact, company string) Fragment {
	return Fragment{SQL: `COALESCE((SELECT gate_track.epoch FROM consent_tracking gate_track WHERE gate_track.contact = ` + contact +
		` AND gate_track.company = ` + company + ` AND ` + openNow + `), 0)`}
}

// TrackOpen returns a boolean expression: the very epoch is open now.
func (g *Gate) TrackOpen(contact, company, epoch string) Fragment {
	return Fragment{SQL: `EXISTS (SELECT 1 FROM consent_tracking gate_track WHERE gate_track.contact = ` + contact +
		` AND gate_track.company = ` + company + ` AND gate_track.epoch = ` + epoch + ` AND ` + openNow + `)`}
}

// HasType returns a boolean expression: the contact opted in to one of the types, by any channel, and
// nothing blocks the contact. On an error, or without types, it is false for everybody.
func (g *Gate) HasType(contact, company string, types ...string) (Fragment, error) {
	if g.cat == nil {
		return refuseAll, fmt.Errorf("consent: %w: no catalogue", ErrUse)
	}
	mask, err := g.cat.Mask(KindType, types)
	if err != nil {
		return refuseAll, err
	}
	return Fragment{`EXISTS (SELECT 1 FROM consent_state gate_state WHERE gate_state.contact = ` + contact +
		` AND gate_state.company = ` + company + ` AND gate_state.live & ? <> 0)`, []any{mask}}, nil
}

// GrantedAt returns a bigint expression: when the newest consent in force was given to the company for
// the channel, or zero.
func (g *Gate) GrantedAt(contact, company string, channel Channel) Fragment {
	return Fragment{`COALESCE((SELECT gate_state.granted_at FROM consent_state gate_state WHERE gate_state.contact = ` + contact +
		` AND gate_state.company = ` + company + ` AND gate_state.channel = ?), 0)`, []any{string(channel)}}
}

// builder joins fragments.
type builder struct {
	sql  strings.Builder
	args []any
}

func (b *builder) text(s string) *builder {
	b.sql.WriteString(s)
	return b
}

func (b *builder) add(f Fragment) *builder {
	b.sql.WriteString(f.SQL)
	b.args = append(b.args, f.Args...)
	return b
}

func (b *builder) join(word string, fs []Fragment) {
	b.text("(")
	for i, f := range fs {
		if i > 0 {
			b.text(word)
		}
		b.add(f)
	}
	b.text(")")
}

func (b *builder) all(fs ...Fragment) { b.join(" AND ", fs) }
func (b *builder) any(fs ...Fragment) { b.join(" OR ", fs) }

func (b *builder) fragment() Fragment { return Fragment{b.sql.String(), b.args} }

func and(fs ...Fragment) Fragment {
	var b builder
	b.all(fs...)
	return b.fragment()
}

func not(f Fragment) Fragment { return Fragment{"NOT " + f.SQL, f.Args} }

// quote writes an SQL text of our own: a reason or slug, never a value from outside.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// CorporateCountries are where a corporate subscriber from a data source may be mailed without a
// consent.
func (g *Gate) CorporateCountries() []string { return slices.Clone(g.countries) }
