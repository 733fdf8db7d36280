package consent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// Ask decides one use for one contact, on one snapshot of the database. It fails closed: with an
// error the decision is a refusal too.
func (g *Gate) Ask(ctx context.Context, who id.Contact, use Use) (d Decision, err error) {
	d = Decision{Reason: Unreadable}
	verr := g.db.View(ctx, func(tx *schema.Tx) error {
		d, err = g.AskIn(ctx, tx, who, use)
		return err
	})
	if err == nil && verr != nil {
		return Decision{Reason: Unreadable}, verr
	}
	return d, err
}

// AskIn is Ask within the caller's transaction. It decides by itself, without the fragments: each
// checks the other.
func (g *Gate) AskIn(ctx context.Context, q schema.Querier, who id.Contact, use Use) (Decision, error) {
	a, err := g.resolve(use)
	if err != nil {
		return Decision{Reason: Unreadable}, err
	}
	f, err := loadFacts(ctx, q, who)
	if err != nil {
		return Decision{Reason: Unreadable}, fmt.Errorf("consent: ask: %w", err)
	}
	if r := g.judge(f, a); r != "" {
		return Decision{Reason: r}, nil
	}
	d := Decision{Allowed: true, Mode: Anonymous, Epoch: f.epoch(a.company)}
	if d.Epoch > 0 {
		d.Mode = Identified
	}
	if a.purpose == Mail {
		d.Cite = f.cite(a.source, schema.At(g.now()))
	}
	return d, nil
}

// facts are all that is stored about a contact and matters to the gate.
type facts struct {
	known   bool
	blocks  Block
	kind    string
	country string
	ownAt   schema.Time
	state   map[place]*wishes
	tracks  map[id.Company]*trail
	items   map[wanted]*oneOff
	origins []origin
}

type origin struct {
	Source       id.Source   `db:"source"`
	Acquired     schema.Time `db:"acquired_at"`
	LicenceEnd   schema.Time `db:"licence_end"`
	Recalled     schema.Time `db:"recalled_at"`
	Name         string      `db:"name"`
	Privacy      string      `db:"privacy_url"`
	Transparency string      `db:"transparency_url"`
	Basis        string      `db:"lawful_basis"`
	Uses         string      `db:"permitted_uses"`
	Licensed     schema.Time `db:"licensed_until"`
	SourceRecall schema.Time `db:"source_recall"`
}

func (o *origin) recalled() bool { return o.Recalled != 0 || o.SourceRecall != 0 }

func (o *origin) licensed(now schema.Time) bool {
	return (o.LicenceEnd == 0 || o.LicenceEnd > now) && (o.Licensed == 0 || o.Licensed > now)
}

func (o *origin) citable() bool { return o.Name != "" && (o.Privacy != "" || o.Transparency != "") }

func loadFacts(ctx context.Context, q schema.Querier, who id.Contact) (*facts, error) {
	subjects, err := loadSubjects(ctx, q, []int64{int64(who)})
	if err != nil {
		return nil, err
	}
	s := subjects[who]
	if s == nil {
		return &facts{}, nil
	}
	f := &facts{known: true, blocks: s.blocks, state: s.model.state, tracks: s.model.tracks, items: s.model.items}
	var c []struct {
		Kind    string      `db:"subscriber_kind"`
		Country string      `db:"country"`
		OwnAt   schema.Time `db:"own_at"`
	}
	if err := q.Select(ctx, &c, `SELECT subscriber_kind, country, own_at FROM contacts WHERE id = ?`, who); err != nil {
		return nil, fmt.Errorf("read the contact: %w", err)
	}
	if len(c) == 0 {
		return &facts{}, nil
	}
	f.kind, f.country, f.ownAt = c[0].Kind, c[0].Country, c[0].OwnAt
	f.origins, err = originsOf(ctx, q, who)
	return f, err
}

func originsOf(ctx context.Context, q schema.Querier, who id.Contact) ([]origin, error) {
	var list []origin
	err := q.Select(ctx, &list, `SELECT o.source, o.acquired_at, o.licence_end, o.recalled_at, s.name, s.privacy_url, s.transparency_url,
		s.lawful_basis, s.permitted_uses, s.licensed_until, s.recalled_at AS source_recall
		FROM contact_sources o JOIN sources s ON s.id = o.source WHERE o.contact = ? ORDER BY o.source`, who)
	if err != nil {
		return nil, fmt.Errorf("read the origins: %w", err)
	}
	return list, nil
}

// judge goes through the table of the design, row by row.
func (g *Gate) judge(f *facts, a asked) Reason {
	now := schema.At(g.now())
	if !f.known {
		return NotFound
	}
	if f.blocks != 0 {
		return f.blocks.Reason()
	}
	var via *origin
	if a.source != 0 {
		i := slices.IndexFunc(f.origins, func(o origin) bool { return o.Source == a.source })
		switch {
		case i < 0:
			return NotFromSource
		case f.origins[i].recalled():
			return Recalled
		case !f.origins[i].licensed(now):
			return Licence
		case !strings.Contains(f.origins[i].Uses, "|"+string(a.channel)+"|"):
			return SourceUse
		case !f.origins[i].citable():
			return Uncitable
		}
		via = &f.origins[i]
	}
	if f.inForce(a) {
		return f.judgeOptIn(a, now)
	}
	granted, refused, named := false, false, false
	for p, w := range f.state {
		granted = granted || w.granted != 0
		refused = refused || w.refused|w.refusedTopics != 0
		if (p.company == 0 || p.company == a.company) && (p.channel == "" || p.channel == a.channel) {
			named = named || w.refused&a.mask != 0
		}
	}
	switch {
	case named:
		return Withdrawn
	case granted:
		return OtherConsent
	case via == nil && len(f.origins) > 0:
		return NoConsent
	case via == nil:
		return NoEvidence
	case refused:
		return Withdrawn
	case a.special != 0:
		return NoExplicit
	case f.kind == "":
		return UnknownKind
	case f.kind != "corporate":
		return Individual
	case !slices.Contains(g.countries, f.country):
		return CountryRoute
	case via.Basis == "":
		return NoBasis
	}
	return ""
}

// inForce reports whether the item was asked for, or else a consent to one of the types stands.
func (f *facts) inForce(a asked) bool {
	p := place{a.company, a.channel}
	if a.item != "" {
		o := f.items[wanted{p, a.item}]
		return o != nil && o.open
	}
	w := f.state[p]
	return w != nil && w.granted&a.mask != 0
}

func (f *facts) judgeOptIn(a asked, now schema.Time) Reason {
	if w := f.state[place{a.company, a.channel}]; a.special != 0 && (w == nil || w.explicit&a.special != a.special) {
		return NoExplicit
	}
	switch {
	case a.purpose == Track && f.epoch(a.company) == 0:
		if t := f.tracks[a.company]; t != nil && t.refused {
			return Withdrawn
		}
		return NoConsent
	case a.purpose == Mail && a.source == 0 && !f.ownFirst():
		for i := range f.origins {
			if o := &f.origins[i]; !o.recalled() && o.licensed(now) && !o.citable() {
				return Uncitable
			}
		}
	}
	return ""
}

func (f *facts) epoch(c id.Company) int64 {
	t, w := f.tracks[c], f.state[place{c, Email}]
	if f.blocks != 0 || t == nil || !t.open || w == nil || w.granted == 0 {
		return 0
	}
	return t.epoch
}

func (f *facts) ownFirst() bool {
	return f.ownAt > 0 && !slices.ContainsFunc(f.origins, func(o origin) bool { return o.Acquired < f.ownAt })
}

func (f *facts) cite(via id.Source, now schema.Time) []id.Source {
	if via == 0 && f.ownFirst() {
		return nil
	}
	var list []id.Source
	for i := range f.origins {
		if o := &f.origins[i]; !o.recalled() && o.licensed(now) && (via == 0 || o.Source == via) {
			list = append(list, o.Source)
		}
	}
	return list
}

// Cite returns the sources that a mail to the contact has to name: of a source's list that source,
// of a segment every live one, unless the person gave us the address before any of them.
func (g *Gate) Cite(ctx context.Context, q schema.Querier, who id.Contact, aud Audience) ([]id.Source, error) {
	var own []schema.Time
	if err := q.Select(ctx, &own, `SELECT own_at FROM contacts WHERE id = ?`, who); err != nil {
		return nil, fmt.Errorf("consent: cite: %w", err)
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("consent: cite: %w", ErrNoEntry)
	}
	origins, err := originsOf(ctx, q, who)
	if err != nil {
		return nil, fmt.Errorf("consent: cite: %w", err)
	}
	f := &facts{ownAt: own[0], origins: origins}
	return f.cite(aud.Source, schema.At(g.now())), nil
}

// Cited returns a text expression: what Cite gives, as |1|2|, or empty for none. source is as in
// Allowed, without the empty form.
func (g *Gate) Cited(contact, source string) Fragment {
	c := &conditions{g: g, contact: contact, now: schema.At(g.now())}
	live := c.bind(notRecalled + " AND " + licensed)
	join := "group_concat(gate_cited.source, '|')"
	if g.db.Dialect() == schema.Postgres {
		join = "string_agg(CAST(gate_cited.source AS TEXT), '|')"
	}
	return Fragment{"COALESCE((SELECT '|' || " + join + " || '|' FROM (SELECT gate_origin.source FROM contact_sources gate_origin JOIN sources gate_source ON gate_source.id = gate_origin.source" +
		" WHERE gate_origin.contact = " + contact + " AND " + live.SQL + " AND (gate_origin.source = " + source + " OR " + source + " = 0 AND NOT " + ownFirst(contact) + ")" +
		" ORDER BY gate_origin.source) gate_cited), '')", live.Args}
}
