package rights_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/event"
)

// house is an installation with everything that retention looks after, and a clock that only the
// test moves.
type house struct {
	*testing.T
	ctx        context.Context
	db         *schema.DB
	now        time.Time
	n          int
	ledger     *consent.Ledger
	gate       *consent.Gate
	cat        *consent.Catalogue
	contacts   *segments.Contacts
	imports    *segments.Imports
	sources    *segments.Sources
	groups     *rights.Groups
	holds      *rights.Holds
	extensions *rights.Extensions
	audit      *rights.Audit
	options    rights.RetentionOptions
	acme, bolt segments.Company
	campaign   id.Campaign
	fails      map[id.Contact]bool // who cannot be erased
	erased     func(id.Contact)    // told of each erasure, if not nil
}

// long ago: the database itself refuses to delete entries of the audit log of the last year.
var dawn = time.Date(2020, 1, 15, 9, 30, 0, 0, time.UTC)

func houses(t *testing.T, test func(h *house)) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) { test(newHouse(t, db)) })
}

func newHouse(t *testing.T, db *schema.DB) *house {
	t.Helper()
	h := &house{T: t, ctx: t.Context(), db: db, now: dawn, fails: map[id.Contact]bool{}}
	clock := func() time.Time { return h.now }
	h.ok(consent.Seed(h.ctx, db))
	var err error
	h.cat, err = consent.LoadCatalogue(h.ctx, db)
	h.ok(err)
	h.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte(strings.Repeat("k", 32)), Now: clock})
	h.gate = consent.NewGate(db, h.cat, consent.GateOptions{Now: clock})
	h.contacts = segments.NewContacts(db, h.ledger, h.cat, clock)
	h.imports = segments.NewImports(db, clock)
	h.sources = segments.NewSources(db, h.ledger, h.cat, clock)
	h.audit = rights.NewAudit(db, clock)
	h.groups, h.extensions = rights.NewGroups(db, clock), rights.NewExtensions(db, clock)
	h.holds = rights.NewHolds(db, rights.Reach{OfSource: h.contacts.OfSource, OfCompany: h.contacts.OfCompany}, clock)
	desk := rights.NewDesk(db, []rights.Subject{h}, h.audit, clock)
	desk.Holds = h.holds
	h.options = rights.RetentionOptions{DB: db, Desk: desk, Holds: h.holds, Audit: h.audit, Now: clock,
		Keepers: map[rights.Purpose]rights.Keeper{
			rights.PurposeConsented: h.contacts.DueConsented, rights.PurposeOptedOut: h.contacts.DueOptedOut, rights.PurposeUnconfirmed: h.contacts.DueUnconfirmed,
			rights.PurposeSourced: h.contacts.DueSourced, rights.PurposeSourcedEnded: h.contacts.DueSourcedEnded, rights.PurposeOwn: h.contacts.DueOwn,
		},
		Sweepers: map[rights.Purpose][]rights.Sweeper{
			rights.PurposeEvents:  {{Aged: event.Aged, Remove: event.Remove, Theirs: true}, {Aged: event.AgedRegions, Remove: event.RemoveRegions, Theirs: true}},
			rights.PurposeSupport: {{Aged: h.imports.Aged, Remove: h.imports.Clear}},
		},
		Carried: h.contacts.Carried, Restrained: h.contacts.Restrained, Deidentify: h.contacts.Deidentify, Outlive: h.ledger.Outlive,
	}
	companies := segments.NewCompanies(db, clock)
	h.acme, err = companies.Create(h.ctx, segments.Company{Slug: "acme", Name: "Acme"})
	h.ok(err)
	h.bolt, err = companies.Create(h.ctx, segments.Company{Slug: "bolt", Name: "Bolt"})
	h.ok(err)
	_, err = consent.NewNotices(db, clock).Add(h.ctx, consent.Notice{Version: "v1", Language: "en", Text: "May we write to you?"})
	h.ok(err)
	h.tx(func(tx *schema.Tx) error {
		return tx.Get(h.ctx, &h.campaign, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
			VALUES ('May', ?, 'newsletter', 's', 'a@acme.example', '', '{}', 'consented', 'finished', 1) RETURNING id`, h.acme.ID)
	})
	return h
}

// Export and Erase make the house a rights.Subject: contact, ledger, messages and events.
func (h *house) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	c, err := h.contacts.GetIn(ctx, q, who)
	if errors.Is(err, segments.ErrNotFound) {
		return nil, rights.ErrNoContact
	}
	return []rights.Part{{Name: "You", Purpose: "mail", Basis: rights.Consent, Columns: []string{"Address"}, Rows: [][]any{{c.Email}}}}, err
}

func (h *house) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why rights.Reason) ([]rights.Kept, error) {
	if h.fails[who] {
		return nil, errors.New("this one cannot be erased")
	}
	leave := map[rights.Reason]consent.Block{rights.OnRequest: consent.BlockErased, rights.UnderAge: consent.BlockUnderAge}[why]
	if err := h.contacts.EraseIn(ctx, tx, who, leave, event.DeleteContact, queue.Forget); err != nil {
		return nil, err
	}
	if h.erased != nil {
		h.erased(who)
	}
	return nil, nil
}

func (h *house) ok(err error) {
	if err != nil {
		h.Helper()
		h.Fatal(err)
	}
}

func (h *house) tx(fn func(tx *schema.Tx) error) {
	h.Helper()
	h.ok(h.db.Tx(h.ctx, fn))
}

func (h *house) exec(query string, args ...any) {
	h.Helper()
	_, err := h.db.Exec(h.ctx, query, args...)
	h.ok(err)
}

// clear empties the house of everybody, and sets the clock to dawn.
func (h *house) clear() {
	h.Helper()
	for _, table := range []string{"events", "message_links", "contact_regions", "messages", "contact_sources", "sources", "consent_requests", "consent_evidence", "consent_state",
		"consent_tracking", "consent_items", "consent_subjects", "consent_noes", "suppressions", "contacts", "import_rejects", "imports", "rights_requests", "rights_links",
		"subject_groups", "holds", "retention_extensions", "audit_log"} {
		h.exec(`DELETE FROM ` + table)
	}
	h.now, h.n = dawn, 0
}

// later sets the clock to a time after dawn.
func (h *house) later(years, months, days int, d time.Duration) {
	h.now = dawn.AddDate(years, months, days).Add(d)
}

func (h *house) address() string {
	h.n++
	return fmt.Sprintf("p%d@example.org", h.n)
}

// own is a contact that gave us its address.
func (h *house) own() id.Contact {
	h.Helper()
	c, _, err := h.contacts.Create(h.ctx, segments.NewContact{Email: h.address(), Name: "Jo Doe", Country: "GB", Phone: "+44 20 7946 0000"})
	h.ok(err)
	return c.ID
}

func (h *house) source(slug string, until schema.Time) segments.Source {
	h.Helper()
	s, err := h.sources.Create(h.ctx, segments.Source{Slug: slug, Name: slug, PrivacyURL: "https://" + slug + ".example/privacy", LawfulBasis: "legitimate-interests",
		PermittedUses: []string{"email"}, LicensedUntil: until})
	h.ok(err)
	return s
}

// from is a contact that providers alone gave us.
func (h *house) from(sources ...segments.Source) id.Contact {
	h.Helper()
	n := segments.NewContact{Email: h.address(), SubscriberKind: "corporate", Country: "GB"}
	var who id.Contact
	for _, s := range sources {
		n.Source = s.Slug
		c, _, err := h.contacts.Create(h.ctx, n)
		h.ok(err)
		who = c.ID
	}
	return who
}

// entered is an address that somebody entered in a form and nobody confirmed.
func (h *house) entered() (who id.Contact) {
	h.Helper()
	address := h.address()
	h.tx(func(tx *schema.Tx) (err error) {
		who, err = h.contacts.HoldIn(h.ctx, tx, address)
		return err
	})
	h.request(who)
	return who
}

func (h *house) request(who id.Contact) (r id.Request) {
	h.Helper()
	h.tx(func(tx *schema.Tx) (err error) {
		r, err = h.ledger.Request(h.ctx, tx, consent.Entry{Contact: who, Company: h.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "v1", How: consent.ByForm}, 24*time.Hour)
		return err
	})
	return r
}

// says records what the person does themselves.
func (h *house) says(who id.Contact, e consent.Entry) {
	h.Helper()
	e.Contact, e.How, e.Own, e.Actor = who, consent.ByForm, true, "test"
	if e.Action == consent.Grant {
		e.Notice = "v1"
	}
	h.tx(func(tx *schema.Tx) error {
		r, err := h.ledger.Record(h.ctx, tx, e)
		if err == nil && !r.Applied {
			err = fmt.Errorf("not applied: %s", r.Outcome)
		}
		return err
	})
}

func (h *house) yes(who id.Contact, company segments.Company, types ...string) {
	h.Helper()
	h.says(who, consent.Entry{Action: consent.Grant, Company: company.ID, Channel: consent.Email, Types: types})
}

// optedIn is an own contact with a consent to acme's newsletter.
func (h *house) optedIn() id.Contact {
	h.Helper()
	who := h.own()
	h.yes(who, h.acme, "newsletter")
	return who
}

// mailed adds a message of acme's campaign, sent now.
func (h *house) mailed(who id.Contact) (m id.Message) {
	h.Helper()
	h.tx(func(tx *schema.Tx) error {
		return tx.Get(h.ctx, &m, `INSERT INTO messages (campaign, contact, mode, status, sent_at) VALUES (?, ?, 'identified', 'sent', ?)
			ON CONFLICT (campaign, contact) DO UPDATE SET sent_at = excluded.sent_at RETURNING id`, h.campaign, who, schema.At(h.now))
	})
	return m
}

// clicked adds an event of a message, now.
func (h *house) clicked(who id.Contact, m id.Message, verdict string) {
	h.Helper()
	h.n++
	h.exec(`INSERT INTO events (campaign, message, contact, kind, link, at, verdict, reason, node, seq) VALUES (?, ?, ?, 'click', 1, ?, ?, '', 'n', ?)`,
		h.campaign, m, who, schema.At(h.now), verdict, h.n)
}

func (h *house) retention() *rights.Retention {
	h.Helper()
	r, err := rights.NewRetention(h.options)
	h.ok(err)
	return r
}

// run runs retention and returns what came of a purpose; of no other anything may come.
func (h *house) run(purpose rights.Purpose) rights.Outcome {
	h.Helper()
	all, err := h.retention().Run(h.ctx, false)
	h.ok(err)
	var found rights.Outcome
	for _, o := range all {
		switch {
		case o.Purpose == purpose:
			found = o
		case o.Due != 0 && o.Purpose != rights.PurposeSecurityLog: // earlier runs are in it
			h.Errorf("%s came due instead of %s: %+v", o.Purpose, purpose, o)
		}
	}
	return found
}

func (h *house) held(who id.Contact) bool {
	h.Helper()
	_, err := h.contacts.Get(h.ctx, who)
	if !errors.Is(err, segments.ErrNotFound) {
		h.ok(err)
	}
	return err == nil
}

func (h *house) count(query string, args ...any) (n int) {
	h.Helper()
	h.ok(h.db.Get(h.ctx, &n, query, args...))
	return n
}

func (h *house) place(o rights.Hold) rights.Hold {
	h.Helper()
	o.Reference, o.Reason, o.Actor = "case 7", "a claim is pending", "ann"
	o, err := h.holds.Place(h.ctx, nil, o)
	h.ok(err)
	return o
}

func sqlite(t *testing.T) *schema.DB { return servertest.SQLite(t) }
