package api

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/report"
	"beckon/tracker/token"

	"github.com/emersion/go-smtp"
)

// domain fills in the domain packages.
func (w *world) domain(d *Deps) {
	w.t.Helper()
	ctx, db, now := w.t.Context(), d.DB, w.clock.now
	if err := consent.Seed(ctx, db); err != nil {
		w.t.Fatal(err)
	}
	cat, err := consent.LoadCatalogue(ctx, db)
	if err != nil {
		w.t.Fatal(err)
	}
	d.Catalogue = cat
	d.Notices = consent.NewNotices(db, now)
	d.Ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a key that is long enough for all"), Now: now})
	gate := consent.NewGate(db, cat, consent.GateOptions{Now: now})
	d.Companies = segments.NewCompanies(db, now)
	d.Sources = segments.NewSources(db, d.Ledger, cat, now)
	d.Contacts = segments.NewContacts(db, d.Ledger, cat, now)
	d.Segments = segments.NewSegments(db, gate, cat, now)
	d.Imports = segments.NewImports(db, now)
	if d.Uploads, err = OpenUploads(w.t.TempDir()); err != nil {
		w.t.Fatal(err)
	}
	d.Node = "here"
	importer := &segments.Importer{DB: db, Ledger: d.Ledger, Gate: gate, Catalogue: cat, Now: now}
	w.worker = NewImportWorker(importer, d.Imports, d.Uploads, d.Node)
	keys, err := token.ParseKeys(token.Generate(1))
	if err != nil {
		w.t.Fatal(err)
	}
	relays, err := queue.ParseRelays("smtp://" + w.catch().String())
	if err != nil {
		w.t.Fatal(err)
	}
	d.Mailer = mailer.New(mailer.Options{DB: db, Gate: gate, Catalogue: cat, Ledger: d.Ledger, Companies: d.Companies, Sources: d.Sources,
		Segments: d.Segments, Keys: keys, BaseURL: "http://127.0.0.1:8080", Relays: relays, Insecure: true, Now: now})
	d.Reports = report.New(db, nil, now)
	d.Desk = rights.NewDesk(db, []rights.Subject{held{d.Contacts, d.Ledger}}, d.Audit, now)
	d.Requests = rights.NewRequests(db, d.Audit, now)
	d.Holds = rights.NewHolds(db, rights.Reach{OfSource: d.Contacts.OfSource, OfCompany: d.Contacts.OfCompany}, now)
	d.Desk.Holds = d.Holds
	d.Desk.Restrict = func(ctx context.Context, tx *schema.Tx, who id.Contact, actor string) error {
		_, err := d.Ledger.Record(ctx, tx, consent.Entry{Contact: who, Action: consent.Restrict, How: consent.ByAPI, Actor: actor})
		return err
	}
	d.Extensions = rights.NewExtensions(db, now)
	d.Groups = rights.NewGroups(db, now)
	d.Retention = &keeper{}
	d.Activities = func(context.Context) (rights.Register, error) { return rights.Register{}, nil }
	d.ImportRunner = &woken{ImportWorker: w.worker}
}

// held is the contact and its ledger, as the desk of these tests knows them.
type held struct {
	contacts *segments.Contacts
	ledger   *consent.Ledger
}

func (h held) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	c, err := h.contacts.GetIn(ctx, q, who)
	if errors.Is(err, segments.ErrNotFound) {
		return nil, rights.ErrNoContact
	}
	if err != nil {
		return nil, err
	}
	rows, err := h.ledger.History(ctx, q, who)
	consents := rights.Part{Name: "Consents", Basis: rights.LegalObligation, Columns: []string{"Action", "Evidence"}}
	for _, r := range rows {
		consents.Rows = append(consents.Rows, []any{string(r.Action), r.Evidence["form"]})
	}
	return []rights.Part{{Name: "Contact details", Basis: rights.Consent, Columns: []string{"Email address"}, Rows: [][]any{{c.Email}}}, consents}, err
}

func (h held) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, _ rights.Reason) ([]rights.Kept, error) {
	return []rights.Kept{{What: "a keyed hash", Why: "so that nothing brings it back"}}, h.contacts.EraseIn(ctx, tx, who, consent.BlockErased)
}

// keeper counts the runs of retention.
type keeper struct{ dry, wet int }

func (k *keeper) Run(_ context.Context, dry bool) ([]rights.Outcome, error) {
	if dry {
		k.dry++
	} else {
		k.wet++
	}
	return []rights.Outcome{{Purpose: rights.PurposeConsented, Action: rights.ActionErase, Before: schema.At(time.Date(2023, 5, 4, 0, 0, 0, 0, time.UTC)), Due: 1, Done: 1}}, nil
}

// woken counts how often the import worker was woken; the tests run it themselves.
type woken struct {
	*ImportWorker
	n atomic.Int32
}

func (w *woken) Wake() { w.n.Add(1) }

// catch starts a relay that keeps what it is given.
func (w *world) catch() net.Addr {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.mail = make(chan string, 1000)
	w.relay = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{mail: w.mail}, nil }))
	w.relay.Domain = "catcher.example"
	go func() { _ = w.relay.Serve(l) }()
	w.t.Cleanup(func() { w.relay.Close() })
	return l.Addr()
}

type session struct{ mail chan string }

func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mail <- string(b)
	return err
}
