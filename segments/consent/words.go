package consent

import (
	"context"
	"fmt"
	"strconv"

	"beckon/schema"
	"beckon/schema/id"
)

// words translates between the ledger, which speaks in slugs so that it can be read without any
// other table, and the model, which computes in ids and masks.
type words struct {
	catalogue *Catalogue
	slugs     map[id.Company]string
	companies map[string]id.Company
}

func loadWords(ctx context.Context, q schema.Querier) (*words, error) {
	c, err := LoadCatalogue(ctx, q)
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID   id.Company `db:"id"`
		Slug string     `db:"slug"`
	}
	if err := q.Select(ctx, &list, `SELECT id, slug FROM companies`); err != nil {
		return nil, fmt.Errorf("consent: read companies: %w", err)
	}
	w := &words{c, map[id.Company]string{}, map[string]id.Company{}}
	for _, co := range list {
		w.slugs[co.ID], w.companies[co.Slug] = co.Slug, co.ID
	}
	return w, nil
}

// act reads a row that is about to be recorded; every slug must be known.
func (w *words) act(r *row) (act, error) {
	if _, ok := w.catalogue.entry(KindChannel, string(r.Channel)); !ok && r.Channel != "" {
		return act{}, &ErrUnknownSlug{KindChannel, string(r.Channel)}
	}
	for kind, slugs := range map[string]string{KindType: r.Types, KindTopic: r.Topics} {
		if _, err := w.catalogue.Mask(kind, split(slugs)); err != nil {
			return act{}, err
		}
	}
	return w.recorded(r)
}

// recorded reads a row of the ledger. A type or topic that an operator has taken out of the catalogue
// since is left out: nobody can ask for it any more.
func (w *words) recorded(r *row) (act, error) {
	a := act{action: r.Action, channel: r.Channel, notice: r.Notice, how: r.How, captured: r.Captured, item: r.Item,
		named: r.Types != "" || r.Topics != ""}
	if r.Company != "" {
		var ok bool
		if a.company, ok = w.companies[r.Company]; !ok {
			return a, fmt.Errorf("consent: %w %q", ErrUnknownCompany, r.Company)
		}
	}
	a.types = w.mask(KindType, r.Types)
	a.topics = w.mask(KindTopic, r.Topics)
	switch r.Tracking {
	case "yes":
		a.tracking = 1
	case "no":
		a.tracking = -1
	}
	return a, nil
}

func (w *words) mask(kind, slugs string) (mask int64) {
	for _, s := range split(slugs) {
		if e, ok := w.catalogue.entry(kind, s); ok {
			mask |= 1 << e.Bit
		}
	}
	return mask
}

// among returns "column IN (…)" for any number of ids, and its argument.
func among(d schema.Dialect, column string, ids []int64) (string, any) {
	if d == schema.Postgres {
		return column + " = ANY(?)", ids
	}
	b := make([]byte, 0, 12*len(ids)+2)
	b = append(b, '[')
	for i, n := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return column + " IN (SELECT value FROM json_each(?))", string(append(b, ']'))
}

func noticeHashes(ctx context.Context, q schema.Querier, entries []Entry) (map[string]string, error) {
	hashes := map[string]string{}
	for i := range entries {
		v := entries[i].Notice
		if _, ok := hashes[v]; ok || v == "" || !plain(v) {
			continue
		}
		var h []string
		if err := q.Select(ctx, &h, `SELECT hash FROM notices WHERE version = ?`, v); err != nil {
			return nil, fmt.Errorf("consent: read notices: %w", err)
		}
		if len(h) == 1 {
			hashes[v] = h[0]
		}
	}
	return hashes, nil
}
