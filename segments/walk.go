package segments

import (
	"context"
	"fmt"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// member is a contact of a segment, as reports and exports see it.
type member struct {
	contactRow
	Region    string `db:"region"`
	types     int64  // bit i: the i-th type of the catalogue, for the segment's company and channel
	companies int64  // bit i: opted in to the i-th company by the segment's channel
	sources   []id.Source
}

// walker reads a segment's members in batches, so that neither their number nor that of their
// origins and consents matters to memory.
type walker struct {
	s         *Segments
	sel       selection
	seg       Segment
	columns   string // of contacts c
	region    consent.Fragment
	types     []consent.Fragment // eligible for each type of the catalogue
	companies []consent.Fragment // eligible for each company
}

const walkBatch = 2000

const (
	identifiedColumns   = `c.id, c.email, c.name, c.company, c.country, c.phone, c.job_title, c.subscriber_kind, c.topics, c.attributes, c.created_at`
	pseudonymousColumns = `c.id, c.country, c.subscriber_kind, c.topics, c.created_at`
)

func (s *Segments) walker(ctx context.Context, q schema.Querier, seg Segment, columns string, companies []id.Company) (*walker, error) {
	sel, err := s.compile(ctx, q, seg)
	if err != nil {
		return nil, err
	}
	w := &walker{s: s, sel: sel, seg: seg, columns: columns}
	w.region = (&ruleCompiler{ruleContext: ruleContext{q: q, gate: s.gate, company: seg.CompanyID}}).region()
	for _, t := range s.cat.Entries(consent.KindType) {
		f, err := s.gate.Eligible(consent.Use{Company: seg.CompanyID, Channel: seg.Channel, Type: t.Slug, Purpose: consent.Export})
		if err != nil {
			return nil, err
		}
		w.types = append(w.types, f)
	}
	for _, company := range companies {
		f, err := s.gate.Eligible(consent.Use{Company: company, Channel: seg.Channel, Purpose: consent.Export})
		if err != nil {
			return nil, err
		}
		w.companies = append(w.companies, f)
	}
	return w, nil
}

// walk calls visit for each batch of members, by id. The batch is valid during the call.
func (w *walker) walk(ctx context.Context, q schema.Querier, visit func([]member) error) error {
	batch := make([]member, 0, walkBatch)
	for after := id.Contact(0); ; {
		from := w.sel.from("g.contact > ?", after)
		batch = batch[:0]
		args := append(append(append([]any{}, w.region.Args...), from.Args...), walkBatch)
		if err := q.Select(ctx, &batch, `SELECT `+w.columns+`, `+w.region.SQL+` AS region `+from.SQL+` ORDER BY g.contact LIMIT ?`, args...); err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		if err := w.add(ctx, q, batch); err != nil {
			return err
		}
		if err := visit(batch); err != nil {
			return err
		}
		if len(batch) < walkBatch {
			return nil
		}
		after = batch[len(batch)-1].ID
	}
}

// add reads what lies outside the contacts' own rows.
func (w *walker) add(ctx context.Context, q schema.Querier, batch []member) error {
	at := make(map[id.Contact]int, len(batch))
	for i := range batch {
		at[batch[i].ID] = i
	}
	among, arg := w.among(q.Dialect(), batch)
	rows, err := q.Query(ctx, `SELECT o.contact, o.source FROM contact_sources o JOIN sources s ON s.id = o.source
		WHERE `+among("o.contact")+` AND o.recalled_at = 0 AND s.recalled_at = 0 ORDER BY o.contact, o.source`, arg...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var contact id.Contact
		var source id.Source
		if err := rows.Scan(&contact, &source); err != nil {
			return err
		}
		if i, ok := at[contact]; ok {
			batch[i].sources = append(batch[i].sources, source)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	set := func(sets []consent.Fragment, mark func(m *member, bit int64)) error {
		if len(sets) == 0 {
			return nil
		}
		var sql strings.Builder
		var args []any
		for i, f := range sets {
			if i > 0 {
				sql.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&sql, "SELECT e.contact, %d FROM (%s) e WHERE %s", i, f.SQL, among("e.contact"))
			args = append(append(args, f.Args...), arg...)
		}
		rows, err := q.Query(ctx, sql.String(), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var contact id.Contact
			var bit int
			if err := rows.Scan(&contact, &bit); err != nil {
				return err
			}
			if i, ok := at[contact]; ok {
				mark(&batch[i], 1<<bit)
			}
		}
		return rows.Err()
	}
	if err := set(w.types, func(m *member, bit int64) { m.types |= bit }); err != nil {
		return err
	}
	return set(w.companies, func(m *member, bit int64) { m.companies |= bit })
}

// among is a condition for the batch: its range of ids where the batch fills it, else the ids.
func (w *walker) among(d schema.Dialect, batch []member) (func(column string) string, []any) {
	first, last := batch[0].ID, batch[len(batch)-1].ID
	if int64(last-first) < 4*int64(len(batch)) {
		return func(column string) string { return column + " BETWEEN ? AND ?" }, []any{first, last}
	}
	ids := make([]id.Contact, len(batch))
	for i := range batch {
		ids[i] = batch[i].ID
	}
	_, arg := amongIDs(d, "", ids)
	return func(column string) string { sql, _ := amongIDs(d, column, ids[:1]); return sql }, []any{arg}
}

// named returns the slugs for the bits of a mask over entries of the catalogue.
func named(entries []consent.CatalogueEntry, mask int64) []string {
	var list []string
	for i, e := range entries {
		if mask&(1<<i) != 0 {
			list = append(list, e.Slug)
		}
	}
	return list
}
