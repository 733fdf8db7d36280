package segments

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Provenance is one provider that a contact came from, with what a person is told of it.
type Provenance struct {
	Source          string      `json:"source"` // slug
	Name            string      `json:"name"`
	PrivacyURL      string      `json:"privacy_url"`
	TransparencyURL string      `json:"transparency_url"`
	LawfulBasis     string      `json:"lawful_basis"`
	PermittedUses   []string    `json:"permitted_uses"` // channel slugs
	Import          id.Import   `json:"import,omitzero"`
	AcquiredAt      schema.Time `json:"acquired_at"`
	LicenceEnd      schema.Time `json:"licence_end"` // the earlier of the origin's and the source's; null: no end
	RecalledAt      schema.Time `json:"recalled_at"` // the earlier of the origin's and the source's
}

// Provenance returns every provider that a contact came from, recalled ones included, in the order in
// which they gave it to us. It is empty for who came by themselves only.
func (s *Contacts) Provenance(ctx context.Context, q schema.Querier, who id.Contact) ([]Provenance, error) {
	var rows []struct {
		sourceRow
		Import    id.Import   `db:"import"`
		Acquired  schema.Time `db:"acquired_at"`
		End       schema.Time `db:"licence_end"`
		OriginEnd schema.Time `db:"origin_recalled_at"`
	}
	err := q.Select(ctx, &rows, `SELECT s.slug, s.name, s.privacy_url, s.transparency_url, s.lawful_basis, s.permitted_uses, s.licensed_until, s.recalled_at,
		cs.import, cs.acquired_at, cs.licence_end, cs.recalled_at AS origin_recalled_at
		FROM contact_sources cs JOIN sources s ON s.id = cs.source WHERE cs.contact = ? ORDER BY cs.acquired_at, s.id`, who)
	if err != nil {
		return nil, fmt.Errorf("segments: read provenance: %w", err)
	}
	all := make([]Provenance, len(rows))
	for i, r := range rows {
		src := r.source()
		all[i] = Provenance{src.Slug, src.Name, src.PrivacyURL, src.TransparencyURL, src.LawfulBasis, src.PermittedUses, r.Import, r.Acquired,
			sooner(r.End, src.LicensedUntil), sooner(r.OriginEnd, src.RecalledAt)}
	}
	return all, nil
}

// sooner returns the earlier of two instants, of which zero is none.
func sooner(a, b schema.Time) schema.Time {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// NameIn returns the name of a company in a transaction of the caller's; ErrNotFound.
func (s *Companies) NameIn(ctx context.Context, q schema.Querier, company id.Company) (string, error) {
	var c Company
	err := getCompany(ctx, q, &c, `id = ?`, company)
	return c.Name, boundary("read company", err)
}
