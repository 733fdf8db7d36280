package mailer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"

	"github.com/emersion/go-smtp"
)

// world is a whole sending installation: a database, the real gate and ledger, a relay, and a clock
// that only the test moves.
type world struct {
	*schema.DB
	t         testing.TB
	cat       *consent.Catalogue
	ledger    *consent.Ledger
	gate      *consent.Gate
	companies *segments.Companies
	sources   *segments.Sources
	contacts  *segments.Contacts
	segments  *segments.Segments
	keys      *token.Keyring
	acme      segments.Company
	relay     *relay
	options   mailer.Options
	stopping  func() // called when a mailer was told to stop

	mu    sync.Mutex
	clock time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func newWorld(t testing.TB, db *schema.DB) *world {
	t.Helper()
	w := &world{DB: db, t: t, clock: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}
	ctx := t.Context()
	w.ok(consent.Seed(ctx, db))
	var err error
	w.cat, err = consent.LoadCatalogue(ctx, db)
	w.ok(err)
	w.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a hash key that is used in tests"), Now: w.now})
	w.gate = consent.NewGate(db, w.cat, consent.GateOptions{Now: w.now})
	w.companies = segments.NewCompanies(db, w.now)
	w.sources = segments.NewSources(db, w.ledger, w.cat, w.now)
	w.contacts = segments.NewContacts(db, w.ledger, w.cat, w.now)
	w.segments = segments.NewSegments(db, w.gate, w.cat, w.now)
	w.keys, err = token.ParseKeys("1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	w.ok(err)
	_, err = consent.NewNotices(db, w.now).Add(ctx, consent.Notice{Version: "v1", Language: "en", Text: "May we write to you?"})
	w.ok(err)
	w.acme, err = w.companies.Create(ctx, segments.Company{Slug: "acme", Name: "ACME", FromDomain: "acme.example", PostalAddress: "1 High Street\nLondon",
		PrivacyURL: "https://acme.example/privacy", PrivacyEmail: "privacy@acme.example"})
	w.ok(err)
	w.relay = newRelay(t)
	relays, err := queue.ParseRelays("smtp://" + w.relay.address)
	w.ok(err)
	w.options = mailer.Options{
		DB: db, Gate: w.gate, Catalogue: w.cat, Ledger: w.ledger, Companies: w.companies, Sources: w.sources, Segments: w.segments, Keys: w.keys,
		BaseURL: "http://127.0.0.1:8080", Relays: relays, K: 2, Now: w.now, Poll: 5 * time.Millisecond,
		Sender: queue.Options{Poll: 5 * time.Millisecond, Redial: 5 * time.Millisecond, Grace: 2 * time.Second},
	}
	return w
}

func (w *world) ok(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	_, err := w.Exec(context.Background(), statement, args...)
	w.ok(err)
}

func (w *world) source(slug string) segments.Source {
	w.t.Helper()
	s, err := w.sources.Create(w.t.Context(), segments.Source{Slug: slug, Name: strings.ToUpper(slug) + " Data Ltd", PrivacyURL: "https://" + slug + ".example/privacy",
		TransparencyURL: "https://" + slug + ".example/transparency", LawfulBasis: "legitimate-interests", PermittedUses: []string{"email"}})
	w.ok(err)
	return s
}

// person makes a contact; from is the slug of the source, or empty for the person's own.
func (w *world) person(email, from, kind string) id.Contact {
	w.t.Helper()
	name, _, _ := strings.Cut(email, "@")
	c, _, err := w.contacts.Create(w.t.Context(), segments.NewContact{Email: email, Name: name, Country: "GB", Source: from, SubscriberKind: kind})
	w.ok(err)
	return c.ID
}

func (w *world) record(e consent.Entry) {
	w.t.Helper()
	if e.Action != consent.Object {
		e.Company, e.Channel = w.acme.ID, consent.Email
	}
	if e.How == "" {
		e.How = consent.ByForm
	}
	if e.Action == consent.Grant {
		e.Notice = "v1"
	}
	w.ok(w.Tx(context.Background(), func(tx *schema.Tx) error {
		r, err := w.ledger.Record(context.Background(), tx, e)
		if err == nil && !r.Applied {
			err = fmt.Errorf("recorded as %s", r.Outcome)
		}
		return err
	}))
}

// optIn agrees to the newsletter, and to being followed or not.
func (w *world) optIn(c id.Contact, tracking bool) {
	w.t.Helper()
	w.record(consent.Entry{Contact: c, Action: consent.Grant, Types: []string{"newsletter"}, Tracking: &tracking, Own: true})
}

func (w *world) everybody() mailer.Audience {
	w.t.Helper()
	s, err := w.segments.Create(w.t.Context(), segments.NewSegment{Name: "all", Company: "acme", Rule: []byte(`{"combinator":"and","rules":[]}`)})
	w.ok(err)
	return mailer.Audience{Segment: s.ID}
}

const mailHTML = `<html><body><p>Hello {{ name }}, see <a href="https://acme.example/offer?a=1&amp;b=2">our offer</a> and <a href="https://acme.example/two">more</a>.</p>
{{ citation }}{{ footer }}</body></html>`

func (w *world) draft(a mailer.Audience) mailer.Draft {
	return mailer.Draft{Name: "May", Company: "acme", Type: "newsletter", Subject: "News for {{ name }}", From: "ACME News <news@acme.example>", HTML: mailHTML, Audience: a}
}

func (w *world) create(m *mailer.Mailer, d mailer.Draft) mailer.Campaign {
	w.t.Helper()
	c, err := m.Create(w.t.Context(), d)
	w.ok(err)
	return c
}

func (w *world) launch(m *mailer.Mailer, d mailer.Draft) id.Campaign {
	w.t.Helper()
	c := w.create(m, d)
	_, err := m.Launch(w.t.Context(), c.ID)
	w.ok(err)
	return c.ID
}

// run runs the mailer until the test ends or the function it returns is called.
func (w *world) run(m *mailer.Mailer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if w.stopping != nil {
			w.stopping()
		}
		if err := <-done; err != nil {
			w.t.Errorf("the mailer ended with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *world) status(m *mailer.Mailer, c id.Campaign) mailer.Status {
	w.t.Helper()
	s, err := m.Status(context.Background(), c)
	w.ok(err)
	return s
}

func (w *world) until(m *mailer.Mailer, c id.Campaign, what string, ok func(mailer.Status) bool) mailer.Status {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		s := w.status(m, c)
		if ok(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s did not come about: %s %q %+v", what, s.Campaign.Status, s.StatusNote, s.Counts)
		}
	}
}

func (w *world) untilFinished(m *mailer.Mailer, c id.Campaign) mailer.Status {
	w.t.Helper()
	return w.until(m, c, "the end", func(s mailer.Status) bool { return s.Campaign.Status == mailer.Finished })
}

// relay takes mail over a real socket.
type relay struct {
	address string
	mu      sync.Mutex
	mails   map[string][]letter
	onMail  func(to string) error // before a mail is taken
}

// letter is a mail as it arrived.
type letter struct {
	raw        []byte
	head       mail.Header
	html, text string
	from       string // envelope
}

func newRelay(t testing.TB) *relay {
	t.Helper()
	r := &relay{mails: map[string][]letter{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{relay: r}, nil }))
	server.Domain = "relay.example"
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return r
}

func (r *relay) to(address string) []letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mails[address]
}

func (r *relay) total() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range r.mails {
		n += len(list)
	}
	return n
}

type session struct {
	relay    *relay
	from, to string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = to; return nil }
func (s *session) Reset()                                      {}
func (s *session) Logout() error                               { return nil }

func (s *session) Data(in io.Reader) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	s.relay.mu.Lock()
	hook := s.relay.onMail
	s.relay.mu.Unlock()
	if hook != nil {
		if err := hook(s.to); err != nil {
			return err
		}
	}
	l := letter{raw: raw, from: s.from}
	if err := l.open(); err != nil {
		return fmt.Errorf("unreadable mail: %w", err)
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.mails[s.to] = append(s.relay.mails[s.to], l)
	return nil
}

func (l *letter) open() error {
	m, err := mail.ReadMessage(bytes.NewReader(l.raw))
	if err != nil {
		return err
	}
	l.head = m.Header
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var body io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			l.html = string(text)
		} else {
			l.text = string(text)
		}
	}
}
