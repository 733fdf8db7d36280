package segments

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Source is a third-party provider of contacts. Every mail to its contacts names it and links to
// its policy, so it does not exist without one.
type Source struct {
	ID              id.Source   `json:"id"`
	Slug            string      `json:"slug"`
	Name            string      `json:"name"`
	PrivacyURL      string      `json:"privacy_url"`
	TransparencyURL string      `json:"transparency_url"`
	LawfulBasis     string      `json:"lawful_basis"`
	PermittedUses   []string    `json:"permitted_uses"` // channel slugs
	LicensedUntil   schema.Time `json:"licensed_until"` // null: no end
	Warranty        *Warranty   `json:"warranty,omitempty"`
	RecalledAt      schema.Time `json:"recalled_at"`
	CreatedAt       schema.Time `json:"created_at"`
}

// Warranty is the provider's word for the subscriber kind of its rows, and where that is written.
// It is not believed for addresses at free-mail domains.
type Warranty struct {
	Kind     string      `json:"kind"` // corporate or individual
	Document string      `json:"document"`
	Date     schema.Time `json:"date"`
}

// Sources stores the data sources.
type Sources struct {
	db     *schema.DB
	ledger *consent.Ledger
	cat    *consent.Catalogue
	now    func() time.Time
}

// NewSources returns the store; now is the clock for created_at and recalls.
func NewSources(db *schema.DB, ledger *consent.Ledger, cat *consent.Catalogue, now func() time.Time) *Sources {
	return &Sources{db, ledger, cat, now}
}

// Create stores a new source; slug, name, privacy_url and lawful_basis are required. The error is
// an *Invalid for a field at fault, a slug already taken included.
func (s *Sources) Create(ctx context.Context, src Source) (Source, error) {
	src.normalise()
	if err := src.check(slugs(s.cat, consent.KindChannel), schema.At(s.now())); err != nil {
		return Source{}, err
	}
	src.CreatedAt, src.RecalledAt = schema.At(s.now()), 0
	var w Warranty
	if src.Warranty != nil {
		w = *src.Warranty
	}
	err := s.db.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &src.ID, `INSERT INTO sources (slug, name, privacy_url, transparency_url, lawful_basis, permitted_uses,
			licensed_until, warranty, warranty_document, warranty_date, created_at) VALUES `+schema.Rows(1, 11)+` RETURNING id`,
			src.Slug, src.Name, src.PrivacyURL, src.TransparencyURL, src.LawfulBasis, joinList(src.PermittedUses),
			src.LicensedUntil, w.Kind, w.Document, w.Date, src.CreatedAt)
	})
	if schema.IsUnique(err) {
		return Source{}, invalid("slug", "is taken by another source: choose another")
	}
	return src, boundary("create source", err)
}

// BySlug returns a source, or ErrNotFound.
func (s *Sources) BySlug(ctx context.Context, slug string) (Source, error) {
	src, err := getSource(ctx, s.db, `slug = ?`, slug)
	return src, boundary("read source", err)
}

// ByID returns a source, or ErrNotFound.
func (s *Sources) ByID(ctx context.Context, source id.Source) (Source, error) {
	src, err := getSource(ctx, s.db, `id = ?`, source)
	return src, boundary("read source", err)
}

// List returns every source by slug, recalled ones included; never nil.
func (s *Sources) List(ctx context.Context) ([]Source, error) {
	var rows []sourceRow
	if err := s.db.Select(ctx, &rows, `SELECT `+sourceColumns+` FROM sources ORDER BY slug`); err != nil {
		return nil, fmt.Errorf("segments: list sources: %w", err)
	}
	all := make([]Source, len(rows))
	for i, r := range rows {
		all[i] = r.source()
	}
	return all, nil
}

const sourceColumns = `id, slug, name, privacy_url, transparency_url, lawful_basis, permitted_uses, licensed_until,
	warranty, warranty_document, warranty_date, recalled_at, created_at`

type sourceRow struct {
	ID               id.Source   `db:"id"`
	Slug             string      `db:"slug"`
	Name             string      `db:"name"`
	PrivacyURL       string      `db:"privacy_url"`
	TransparencyURL  string      `db:"transparency_url"`
	LawfulBasis      string      `db:"lawful_basis"`
	PermittedUses    string      `db:"permitted_uses"`
	LicensedUntil    schema.Time `db:"licensed_until"`
	Warranty         string      `db:"warranty"`
	WarrantyDocument string      `db:"warranty_document"`
	WarrantyDate     schema.Time `db:"warranty_date"`
	RecalledAt       schema.Time `db:"recalled_at"`
	CreatedAt        schema.Time `db:"created_at"`
}

func (r sourceRow) source() Source {
	src := Source{ID: r.ID, Slug: r.Slug, Name: r.Name, PrivacyURL: r.PrivacyURL, TransparencyURL: r.TransparencyURL,
		LawfulBasis: r.LawfulBasis, PermittedUses: splitList(r.PermittedUses), LicensedUntil: r.LicensedUntil,
		RecalledAt: r.RecalledAt, CreatedAt: r.CreatedAt}
	if r.Warranty != "" {
		src.Warranty = &Warranty{r.Warranty, r.WarrantyDocument, r.WarrantyDate}
	}
	return src
}

func getSource(ctx context.Context, q schema.Querier, where string, arg any) (Source, error) {
	var r sourceRow
	if err := q.Get(ctx, &r, `SELECT `+sourceColumns+` FROM sources WHERE `+where, arg); err != nil {
		return Source{}, err
	}
	return r.source(), nil
}

func (s *Source) normalise() {
	for _, f := range []*string{&s.Slug, &s.Name, &s.PrivacyURL, &s.TransparencyURL, &s.LawfulBasis} {
		*f = strings.TrimSpace(*f)
	}
	s.PermittedUses = append([]string{}, s.PermittedUses...)
	slices.Sort(s.PermittedUses)
	s.PermittedUses = slices.Compact(s.PermittedUses)
	if w := s.Warranty; w != nil && *w == (Warranty{}) {
		s.Warranty = nil
	}
}

func (s *Source) check(channels []string, now schema.Time) error {
	var e Invalid
	e.slug("slug", s.Slug)
	e.required("name", s.Name, "the provider's name as it is cited in mails")
	e.line("name", s.Name)
	e.required("privacy_url", s.PrivacyURL, "the address of the provider's privacy policy: every mail to its contacts links to it")
	e.webURL("privacy_url", s.PrivacyURL)
	e.webURL("transparency_url", s.TransparencyURL)
	e.required("lawful_basis", s.LawfulBasis, "the lawful basis on which the provider's data is used, such as legitimate-interests or consent")
	e.line("lawful_basis", s.LawfulBasis)
	for _, use := range s.PermittedUses {
		if !slices.Contains(channels, use) {
			e.add("permitted_uses", "may hold channels only: "+strings.Join(channels, ", "))
			break
		}
	}
	if w := s.Warranty; w != nil {
		e.oneOf("warranty.kind", w.Kind, "corporate", "individual")
		e.required("warranty.document", w.Document, "the document in which the provider warrants it, such as a contract number")
		e.line("warranty.document", w.Document)
		switch {
		case w.Date == 0:
			e.add("warranty.date", "is missing: give the date of the warranty, such as 2026-04-01T00:00:00Z")
		case w.Date > now:
			e.add("warranty.date", "lies in the future: a warranty counts from the day it was given")
		}
	}
	return e.err()
}

// slugs are those of the catalogue, in its order.
func slugs(cat *consent.Catalogue, kind string) []string {
	var all []string
	for _, e := range cat.Entries(kind) {
		all = append(all, e.Slug)
	}
	return all
}

// Lists in the database are written |a|b|, so that a member is found without its neighbours.
func joinList(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "|" + strings.Join(list, "|") + "|"
}

func splitList(s string) []string {
	if s = strings.Trim(s, "|"); s == "" {
		return []string{}
	}
	return strings.Split(s, "|")
}
