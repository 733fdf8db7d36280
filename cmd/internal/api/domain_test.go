package api

import (
	"io"
	"net"
	"sync/atomic"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/segments"
	"beckon/segments/consent"
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
	d.Sources = segments.NewSources(db, cat, now)
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
	d.ImportRunner = &woken{ImportWorker: w.worker}
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
