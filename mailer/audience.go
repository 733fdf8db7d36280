package mailer

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
)

// part is one segment or source of an audience, or who asked for an item.
type part struct {
	segment id.Segment
	source  segments.Source
	item    string
	company id.Company // that the item was asked of
}

// parts resolves an audience. Segments come first: where somebody is in both, the consent they gave
// is the better ground, and the only one on which they may be identified.
func (m *Mailer) parts(ctx context.Context, r row) (grounds, except []part, err error) {
	a := r.campaign().Audience
	list := a.Any
	if len(list) == 0 {
		list = []Audience{a}
	}
	var sources []part
	for _, one := range list {
		p, err := m.part(ctx, one)
		p.company = r.CompanyID
		switch {
		case err != nil:
			return nil, nil, err
		case p.source.ID == 0:
			grounds = append(grounds, p)
		default:
			sources = append(sources, p)
		}
	}
	for _, one := range a.Except {
		p, err := m.part(ctx, one)
		if err != nil {
			return nil, nil, err
		}
		except = append(except, p)
	}
	return append(grounds, sources...), except, nil
}

func (m *Mailer) part(ctx context.Context, a Audience) (part, error) {
	if a.Source == "" {
		return part{segment: a.Segment, item: a.Item}, nil
	}
	s, err := m.o.Sources.BySlug(ctx, a.Source)
	return part{source: s}, err
}

func (p part) audience() consent.Audience {
	if p.source.ID != 0 {
		return consent.SourceAudience(p.source.ID)
	}
	return consent.SegmentAudience()
}

func (r row) use(a consent.Audience) consent.Use {
	return consent.Use{Company: r.CompanyID, Channel: consent.Email, Type: r.Type, Item: r.campaign().Audience.Item, Purpose: consent.Mail, Audience: a}
}

// member is who is in the part, as a boolean over the contact c. whole says that the statement looks
// at all contacts, not at a few.
func (m *Mailer) member(ctx context.Context, p part, whole bool) (consent.Fragment, error) {
	if p.segment != 0 {
		f, _, _, err := m.o.Segments.Fragment(ctx, p.segment)
		return f, err
	}
	if p.item != "" {
		return m.o.Gate.Wants("c.id", p.company, consent.Email, p.item), nil
	}
	if whole {
		return consent.Fragment{SQL: `c.id IN (SELECT list.contact FROM contact_sources list WHERE list.source = ?)`, Args: []any{p.source.ID}}, nil
	}
	return consent.Fragment{SQL: `EXISTS (SELECT 1 FROM contact_sources list WHERE list.source = ? AND list.contact = c.id)`, Args: []any{p.source.ID}}, nil
}

// spec is what the queue needs to build the audience of a campaign.
func (m *Mailer) spec(ctx context.Context, r row) (queue.BuildSpec, error) {
	spec := queue.BuildSpec{Campaign: r.ID}
	grounds, except, err := m.parts(ctx, r)
	if err != nil {
		return spec, err
	}
	for _, p := range grounds {
		q := queue.Part{Via: p.source.ID}
		if q.Member, err = m.member(ctx, p, false); err != nil {
			return spec, err
		}
		if q.Allowed, err = m.o.Gate.Allowed(r.use(p.audience()), "c.id", ""); err != nil {
			return spec, err
		}
		spec.Parts = append(spec.Parts, q)
	}
	for _, p := range except {
		f, err := m.member(ctx, p, false)
		if err != nil {
			return spec, err
		}
		spec.Except = append(spec.Except, f)
	}
	return spec, nil
}

// gates are the gate's questions about the messages of a campaign.
func (m *Mailer) gates(r row) (queue.Gates, error) {
	var g queue.Gates
	var err error
	if g.Allowed, err = m.o.Gate.Allowed(r.use(consent.Audience{}), "m.contact", "m.via"); err != nil {
		return g, err
	}
	if g.Refusal, err = m.o.Gate.Refusal(r.use(consent.Audience{}), "m.contact", "m.via"); err != nil {
		return g, err
	}
	g.Cited = m.o.Gate.Cited("m.contact", "m.via")
	g.Epoch = m.epoch(r, "m.contact")
	return g, nil
}

// epoch is the tracking epoch that a message would be sent under.
func (m *Mailer) epoch(r row, contact string) consent.Fragment {
	if r.Tracking == "off" {
		return consent.Fragment{SQL: "0"}
	}
	return m.o.Gate.Epoch(contact, fmt.Sprint(int64(r.CompanyID)))
}

// countChunk is how many contacts SQLite counts in one statement: it groups them in memory.
const countChunk = 50_000

// count asks the gate for everybody in the audience, on one snapshot.
func (m *Mailer) count(ctx context.Context, r row, grounds, except []part) (Check, error) {
	c := Check{LeftOut: map[string]int64{}, Problems: []segments.FieldError{}}
	var via, why, in strings.Builder
	var viaArgs, whyArgs, inArgs []any
	whole := m.o.DB.Dialect() == schema.Postgres // else a statement looks at a chunk
	for i, p := range grounds {
		member, err := m.member(ctx, p, whole)
		if err != nil {
			return c, err
		}
		allowed, err := m.o.Gate.Allowed(r.use(p.audience()), "c.id", "")
		if err != nil {
			return c, err
		}
		refusal, err := m.o.Gate.Refusal(r.use(p.audience()), "c.id", "")
		if err != nil {
			return c, err
		}
		fmt.Fprintf(&via, ` WHEN (%s) AND (%s) THEN %d`, member.SQL, allowed.SQL, p.source.ID)
		viaArgs = append(append(viaArgs, member.Args...), allowed.Args...)
		fmt.Fprintf(&why, ` WHEN (%s) THEN (%s)`, member.SQL, refusal.SQL)
		whyArgs = append(append(whyArgs, member.Args...), refusal.Args...)
		if i > 0 {
			in.WriteString(` OR `)
		}
		fmt.Fprintf(&in, `(%s)`, member.SQL)
		inArgs = append(inArgs, member.Args...)
	}
	out := ""
	for _, p := range except {
		f, err := m.member(ctx, p, whole)
		if err != nil {
			return c, err
		}
		out += ` AND NOT (` + f.SQL + `)`
		inArgs = append(inArgs, f.Args...)
	}
	cited, epoch := m.o.Gate.Cited("a.contact", "a.via"), m.epoch(r, "a.contact")
	type group struct {
		Why     string `db:"why"`
		Cited   bool   `db:"cited"`
		Tracked bool   `db:"tracked"`
		N       int64  `db:"n"`
	}
	// Materialized, so that the grounds are worked out once for each contact.
	statement := `WITH a AS MATERIALIZED (SELECT c.id AS contact, CASE` + via.String() + ` ELSE -1 END AS via FROM contacts c WHERE c.id > ? AND c.id <= ? AND (` + in.String() + `)` + out + `)
		SELECT b.why, b.cited, b.tracked, count(*) AS n FROM (
			SELECT CASE WHEN a.via >= 0 THEN '' ELSE COALESCE(NULLIF(CASE` + why.String() + ` ELSE '' END, ''), '` + string(consent.Unreadable) + `') END AS why,
				a.via >= 0 AND (` + cited.SQL + `) <> '' AS cited, a.via >= 0 AND (` + epoch.SQL + `) <> 0 AS tracked FROM a JOIN contacts c ON c.id = a.contact) b
		GROUP BY b.why, b.cited, b.tracked`
	var rows []group
	err := m.o.DB.View(ctx, func(tx *schema.Tx) error {
		for after, upTo := int64(0), int64(math.MaxInt64); ; after = upTo {
			if !whole {
				var last sql.NullInt64
				err := tx.Get(ctx, &last, `SELECT max(id) FROM (SELECT id FROM contacts WHERE id > ? ORDER BY id LIMIT ?) t`, after, countChunk)
				if err != nil || !last.Valid {
					return err
				}
				upTo = last.Int64
			}
			var some []group
			if err := tx.Select(ctx, &some, statement, slices.Concat(viaArgs, []any{after, upTo}, inArgs, whyArgs, cited.Args, epoch.Args)...); err != nil {
				return err
			}
			rows = append(rows, some...)
			if whole {
				return nil
			}
		}
	})
	if err != nil {
		return c, fmt.Errorf("count the audience: %w", err)
	}
	for _, r := range rows {
		switch {
		case r.Why != "":
			c.LeftOut[r.Why] += r.N
			continue
		case r.Tracked:
			c.Identified += r.N
		default:
			c.Anonymous += r.N
		}
		c.Send += r.N
		if r.Cited {
			c.Cited += r.N
		}
	}
	return c, nil
}
