package segments

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// world is a database with the catalogue, two companies, a notice and two sources in it.
type world struct {
	t         testing.TB
	db        *schema.DB
	now       time.Time
	cat       *consent.Catalogue
	ledger    *consent.Ledger
	gate      *consent.Gate
	companies *Companies
	sources   *Sources
	contacts  *Contacts
	imports   *Imports
	importer  *Importer
	segments  *Segments
	acme      Company
	other     Company
	fairs     Source // corporate by warranty
	lists     Source
}

func worlds(t *testing.T, test func(t *testing.T, w *world)) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) { test(t, newWorld(t, db)) })
}

func newWorld(t testing.TB, db *schema.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, now: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	ctx := t.Context()
	w.ok(consent.Seed(ctx, db))
	var err error
	w.cat, err = consent.LoadCatalogue(ctx, db)
	w.ok(err)
	w.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte(strings.Repeat("k", 32)), Now: clock})
	w.gate = consent.NewGate(db, w.cat, consent.GateOptions{Now: clock})
	w.companies = NewCompanies(db, clock)
	w.sources = NewSources(db, w.ledger, w.cat, clock)
	w.contacts = NewContacts(db, w.ledger, w.cat, clock)
	w.imports = NewImports(db, clock)
	w.segments = NewSegments(db, w.gate, w.cat, clock)
	w.importer = &Importer{DB: db, Ledger: w.ledger, Gate: w.gate, Catalogue: w.cat, Now: clock}
	w.acme, err = w.companies.Create(ctx, Company{Slug: "acme", Name: "Acme"})
	w.ok(err)
	w.other, err = w.companies.Create(ctx, Company{Slug: "other", Name: "Other Ltd"})
	w.ok(err)
	_, err = consent.NewNotices(db, clock).Add(ctx, consent.Notice{Version: "v1", Language: "en", Text: "May we write to you?"})
	w.ok(err)
	w.fairs, err = w.sources.Create(ctx, Source{Slug: "fairs", Name: "Fairs Ltd", PrivacyURL: "https://fairs.example/privacy", LawfulBasis: "legitimate-interests",
		PermittedUses: []string{"email"}, Warranty: &Warranty{"corporate", "Contract 7", schema.At(w.now.AddDate(-1, 0, 0))}})
	w.ok(err)
	w.lists, err = w.sources.Create(ctx, Source{Slug: "lists", Name: "Lists Ltd", PrivacyURL: "https://lists.example/privacy", LawfulBasis: "legitimate-interests",
		PermittedUses: []string{"email", "post"}})
	w.ok(err)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tx(fn func(tx *schema.Tx) error) {
	w.t.Helper()
	w.ok(w.db.Tx(w.t.Context(), fn))
}

func (w *world) contact(n NewContact) id.Contact {
	w.t.Helper()
	c, _, err := w.contacts.Create(w.t.Context(), n)
	w.ok(err)
	return c.ID
}

// grant records the person's own yes to acme by email.
func (w *world) grant(who id.Contact, tracking bool, types ...string) {
	w.t.Helper()
	w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: types, Tracking: &tracking})
}

func (w *world) record(e consent.Entry) {
	w.t.Helper()
	e.How, e.Own, e.Actor = consent.ByForm, true, "test"
	if e.Action == consent.Grant {
		e.Notice = "v1"
	}
	w.tx(func(tx *schema.Tx) error {
		r, err := w.ledger.Record(w.t.Context(), tx, e)
		if err == nil && !r.Applied {
			err = fmt.Errorf("not applied: %s", r.Outcome)
		}
		return err
	})
}

// fields lists the fields of an *Invalid as "field: message".
func fields(err error) []string {
	inv, ok := err.(*Invalid)
	if !ok {
		return []string{fmt.Sprintf("no *Invalid: %v", err)}
	}
	var list []string
	for _, f := range inv.Fields {
		list = append(list, f.Field+": "+f.Message)
	}
	return list
}

func (w *world) segment(rule string) id.Segment {
	w.t.Helper()
	seg, err := w.segments.Create(w.t.Context(), NewSegment{Name: "s", Company: "acme", Rule: []byte(rule)})
	w.ok(err)
	return seg.ID
}

func (w *world) count(rule string) int64 {
	w.t.Helper()
	n, err := w.segments.Count(w.t.Context(), w.segment(rule))
	w.ok(err)
	return n
}

func sqliteOf(t testing.TB) *schema.DB { return servertest.SQLite(t) }
