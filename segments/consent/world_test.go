package consent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// world is a database with two companies, two sources and a clock that only the test moves.
type world struct {
	t     testing.TB
	ctx   context.Context
	db    *schema.DB
	l     *Ledger
	g     *Gate
	cat   *Catalogue
	clock time.Time
	n     int

	acme, bolt   id.Company
	broker, fair id.Source
}

var testKey = []byte("a hash key that is used in tests")

func newWorld(t testing.TB, db *schema.DB) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), db: db, clock: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}
	w.ok(Seed(w.ctx, db))
	var err error
	w.cat, err = LoadCatalogue(w.ctx, db)
	w.ok(err)
	now := func() time.Time { return w.clock }
	w.l = NewLedger(db, LedgerOptions{HashKey: testKey, Now: now})
	w.g = NewGate(db, w.cat, GateOptions{Now: now})
	_, err = NewNotices(db, now).Add(w.ctx, Notice{Version: "v1", Language: "en", Text: "May we write to you?"})
	w.ok(err)
	w.acme, w.bolt = w.company("acme"), w.company("bolt")
	w.broker = w.source("broker", `privacy_url = 'https://broker.example/privacy', lawful_basis = 'legitimate interests', permitted_uses = '|email|'`)
	w.fair = w.source("fair", `transparency_url = 'https://fair.example/data', lawful_basis = 'legitimate interests', permitted_uses = '|email|post|'`)
	return w
}

func eachDatabase(t *testing.T, test func(t *testing.T, w *world)) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) { test(t, newWorld(t, db)) })
}

func (w *world) ok(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(w.ctx, query, args...)
	w.ok(err)
}

func (w *world) company(slug string) (c id.Company) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error {
		return tx.Get(w.ctx, &c, `INSERT INTO companies (slug, name, created_at) VALUES (?, ?, 1) RETURNING id`, slug, slug)
	})
	return c
}

func (w *world) source(slug, set string) (s id.Source) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error {
		if err := tx.Get(w.ctx, &s, `INSERT INTO sources (slug, name, created_at) VALUES (?, ?, 1) RETURNING id`, slug, slug); err != nil {
			return err
		}
		_, err := tx.Exec(w.ctx, `UPDATE sources SET `+set+` WHERE id = ?`, s)
		return err
	})
	return s
}

// contact makes a registered contact; kind is "", "corporate" or "individual".
func (w *world) contact(kind, country string) id.Contact {
	w.t.Helper()
	w.n++
	return w.contactAt(fmt.Sprintf("p%d@example.org", w.n), kind, country)
}

func (w *world) contactAt(email, kind, country string) (c id.Contact) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error {
		if err := tx.Get(w.ctx, &c, `INSERT INTO contacts (email, subscriber_kind, country, created_at, updated_at) VALUES (?, ?, ?, 1, 1) RETURNING id`, email, kind, country); err != nil {
			return err
		}
		return w.l.Register(w.ctx, tx, []Contact{{c, email}})
	})
	return c
}

func (w *world) from(c id.Contact, s id.Source) {
	w.t.Helper()
	w.exec(`INSERT INTO contact_sources (contact, source, acquired_at) VALUES (?, ?, ?)`, c, s, schema.At(w.clock))
}

func (w *world) tx(fn func(tx *schema.Tx) error) {
	w.t.Helper()
	w.ok(w.db.Tx(w.ctx, fn))
}

func (w *world) try(e Entry) (r Result, err error) {
	if e.How == "" {
		e.How = ByForm
	}
	if e.Notice == "" && e.yes() {
		e.Notice = "v1"
	}
	err = w.db.Tx(w.ctx, func(tx *schema.Tx) error {
		r, err = w.l.Record(w.ctx, tx, e)
		return err
	})
	w.pass(time.Second)
	return r, err
}

func (w *world) record(e Entry) Result {
	w.t.Helper()
	r, err := w.try(e)
	w.ok(err)
	return r
}

func (w *world) pass(d time.Duration) { w.clock = w.clock.Add(d) }

// grant is the person's own yes to types by email.
func (w *world) grant(c id.Contact, co id.Company, types ...string) {
	w.t.Helper()
	w.record(Entry{Contact: c, Action: Grant, Company: co, Channel: Email, Types: types, Own: true})
}

func (w *world) track(c id.Contact, co id.Company, yes bool) {
	w.t.Helper()
	w.record(Entry{Contact: c, Action: Grant, Company: co, Channel: Email, Tracking: &yes, Own: true})
}

// ask asks in every way there is, and fails if the answers differ.
func (w *world) ask(c id.Contact, use Use) Decision {
	w.t.Helper()
	d, err := w.g.Ask(w.ctx, c, use)
	w.ok(err)
	via := fmt.Sprint(int64(use.Audience.Source))
	for _, source := range []string{"", via} {
		a, err := w.g.Allowed(use, "c.id", source)
		w.ok(err)
		r, err := w.g.Refusal(use, "c.id", source)
		w.ok(err)
		var got struct {
			Allowed bool   `db:"allowed"`
			Reason  Reason `db:"reason"`
			Epoch   int64  `db:"epoch"`
			Cited   string `db:"cited"`
		}
		cited := w.g.Cited("c.id", via)
		epoch := w.g.Epoch("c.id", fmt.Sprint(int64(use.Company)))
		args := append(append(append(append([]any{}, a.Args...), r.Args...), epoch.Args...), cited.Args...)
		w.ok(w.db.Get(w.ctx, &got, `SELECT `+a.SQL+` AS allowed, `+r.SQL+` AS reason, `+epoch.SQL+` AS epoch, `+cited.SQL+` AS cited FROM contacts c WHERE c.id = ?`, append(args, c)...))
		if got.Allowed != d.Allowed || got.Reason != d.Reason {
			w.t.Fatalf("%+v for contact %d: Ask says %+v, the fragments (source %q) say %+v", use, c, d, source, got)
		}
		if d.Allowed && got.Epoch != d.Epoch {
			w.t.Fatalf("%+v for contact %d: Ask says epoch %d, the fragment %d", use, c, d.Epoch, got.Epoch)
		}
		cite := ""
		for _, s := range d.Cite {
			if cite == "" {
				cite = "|"
			}
			cite += fmt.Sprintf("%d|", s)
		}
		if d.Allowed && use.Purpose == Mail && got.Cited != cite {
			w.t.Fatalf("%+v for contact %d: Ask cites %q, the fragment %q", use, c, cite, got.Cited)
		}
	}
	if use.Purpose == Segment || use.Purpose == Export {
		f, err := w.g.Eligible(use)
		w.ok(err)
		var n int
		w.ok(w.db.Get(w.ctx, &n, `SELECT count(*) FROM contacts c WHERE c.id = ? AND c.id IN (`+f.SQL+`)`, append([]any{c}, f.Args...)...))
		if n == 1 != d.Allowed {
			w.t.Fatalf("%+v for contact %d: Ask says %+v, Eligible %d", use, c, d, n)
		}
	}
	return d
}

func (w *world) want(c id.Contact, use Use, reason Reason) {
	w.t.Helper()
	if d := w.ask(c, use); d.Reason != reason || d.Allowed != (reason == "") {
		w.t.Errorf("%s of contact %d to company %d, type %q, source %d: got %+v, want reason %q", use.Purpose, c, use.Company, use.Type, use.Audience.Source, d, reason)
	}
}

func mail(co id.Company, typ string) Use {
	return Use{Company: co, Channel: Email, Type: typ, Purpose: Mail}
}

// itemMail is a newsletter's mail that answers the request for an item.
func itemMail(co id.Company, item string) Use {
	u := mail(co, letter)
	u.Item = item
	return u
}

func listMail(co id.Company, typ string, s id.Source) Use {
	u := mail(co, typ)
	u.Audience = SourceAudience(s)
	return u
}

func segment(co id.Company, typ string) Use {
	return Use{Company: co, Channel: Email, Type: typ, Purpose: Segment}
}
