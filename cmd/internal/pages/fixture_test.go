package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/token"
)

var start = time.Date(2026, 4, 3, 9, 30, 0, 0, time.UTC)

// world is an installation with two companies, a source and the pages, over a real ledger.
type world struct {
	t        *testing.T
	db       *schema.DB
	pages    *Pages
	echo     *echo.Echo
	keys     *token.Keyring
	ledger   *consent.Ledger
	contacts *segments.Contacts
	acme     segments.Company
	globex   segments.Company
	source   segments.Source
	clock    *clock
	mails    *outbox
	messages messages
	records  Recorded
	inbox    *rights.Requests
	gate     *consent.Gate
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// outbox keeps the confirmation mails.
type outbox struct{ sent []Confirmation }

func (o *outbox) Confirm(_ context.Context, c Confirmation) error {
	o.sent = append(o.sent, c)
	return nil
}

// messages are the mails whose links are opened.
type messages map[id.Message]Message

func (m messages) Lookup(_ context.Context, ref id.Message) (Message, error) {
	if msg, ok := m[ref]; ok {
		return msg, nil
	}
	return Message{}, ErrNoMessage
}

func (w *world) Recorded(context.Context, id.Contact) (Recorded, error) { return w.records, nil }

// HoldIn makes a contact that has not shown yet that the address is theirs.
func (w *world) HoldIn(ctx context.Context, tx *schema.Tx, address string) (id.Contact, error) {
	var found []id.Contact
	if err := tx.Select(ctx, &found, `SELECT id FROM contacts WHERE email = ?`, address); err != nil || len(found) > 0 {
		return append(found, 0)[0], err
	}
	c, _, err := w.contacts.CreateIn(ctx, tx, segments.NewContact{Email: address})
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE contacts SET own_at = 0 WHERE id = ?`, c.ID)
	}
	return c.ID, err
}

// Export is what the desk finds of a contact, beside what it holds itself.
func (w *world) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	c, err := w.contacts.GetIn(ctx, q, who)
	if errors.Is(err, segments.ErrNotFound) {
		return nil, rights.ErrNoContact
	}
	return []rights.Part{{Name: "You", Purpose: "writing to you", Basis: rights.Basis(rights.Consent), Columns: []string{"Address", "Name"}, Rows: [][]any{{c.Email, c.Name}}}}, err
}

func (w *world) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, _ rights.Reason) ([]rights.Kept, error) {
	return []rights.Kept{{What: "A keyed hash of the address", Why: "so that it stays out", Until: schema.At(start.AddDate(1, 0, 0))}},
		w.contacts.EraseIn(ctx, tx, who, consent.BlockErased)
}

const noticeText = "I agree that Acme Ltd sends me what I ticked above.\nI can take this back at any time, with one click in every mail."

// each runs the test in a fresh world on both databases.
func each(t *testing.T, test func(w *world)) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) { test(newWorld(t, db, nil)) })
}

// onSQLite runs the test on SQLite alone: what it looks at does not depend on the database.
func onSQLite(t *testing.T, test func(w *world)) { test(newWorld(t, servertest.SQLite(t), nil)) }

func newWorld(t *testing.T, db *schema.DB, change func(*Options)) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, db: db, clock: &clock{at: start}, mails: &outbox{}, messages: messages{}, echo: echo.New()}
	w.must(consent.Seed(ctx, db))
	cat, err := consent.LoadCatalogue(ctx, db)
	w.must(err)
	w.keys, err = token.ParseKeys("1:" + strings.Repeat("a2V5", 11))
	w.must(err)
	w.keys.Now = w.clock.now
	w.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a hash key for tests alone"), Now: w.clock.now})
	notices := consent.NewNotices(db, w.clock.now)
	companies := segments.NewCompanies(db, w.clock.now)
	sources := segments.NewSources(db, w.ledger, cat, w.clock.now)
	w.contacts = segments.NewContacts(db, w.ledger, cat, w.clock.now)
	w.acme, err = companies.Create(ctx, segments.Company{Slug: "acme", Name: "Acme Ltd", FromDomain: "acme.example", ReplyTo: "hello@acme.example",
		PrivacyEmail: "privacy@acme.example", PostalAddress: "1 Long Lane\nLondon EC1A 9HF\nUnited Kingdom", Phone: "+44 20 7946 0000",
		PrivacyURL: "https://acme.example/privacy", ComplaintURL: "https://acme.example/complain", Language: "en"})
	w.must(err)
	w.globex, err = companies.Create(ctx, segments.Company{Slug: "globex", Name: "Globex GmbH", PostalAddress: "Ring 1, 10115 Berlin",
		PrivacyURL: "https://globex.example/datenschutz", Language: "de"})
	w.must(err)
	w.source, err = sources.Create(ctx, segments.Source{Slug: "listco", Name: "ListCo Data", PrivacyURL: "https://listco.example/privacy",
		TransparencyURL: "https://listco.example/transparency", LawfulBasis: "legitimate interests", PermittedUses: []string{"email"}})
	w.must(err)
	_, err = notices.Add(ctx, consent.Notice{Version: "acme-form-1", Language: "en", Text: noticeText})
	w.must(err)
	audit := rights.NewAudit(db, w.clock.now)
	w.inbox = rights.NewRequests(db, audit, w.clock.now)
	w.gate = consent.NewGate(db, cat, consent.GateOptions{Now: w.clock.now})
	o := Options{Desk: rights.NewDesk(db, []rights.Subject{w}, audit, w.clock.now), Audit: audit, Inbox: w.inbox, URL: "https://mail.example.org", DB: db, Keys: w.keys, Catalogue: cat, Notices: notices, Ledger: w.ledger, Companies: companies,
		Sources: sources, Contacts: w.contacts, Addresses: w, Messages: w.messages, Records: w, Mailer: w.mails, Now: w.clock.now}
	if change != nil {
		change(&o)
	}
	w.pages, err = New(o)
	w.must(err)
	w.pages.Register(w.echo)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// person holds a contact of our own, who has agreed to some types of Acme's email and to tracking.
func (w *world) person(email string, types ...string) id.Contact {
	w.t.Helper()
	c, _, err := w.contacts.Create(w.t.Context(), segments.NewContact{Email: email, Name: "Ada Example", Country: "GB", Topics: []string{"transport", "compliance"}})
	w.must(err)
	if len(types) > 0 {
		yes := true
		w.record(consent.Entry{Contact: c.ID, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: types, Tracking: &yes})
	}
	return c.ID
}

func (w *world) record(e consent.Entry) {
	w.t.Helper()
	e.How, e.Notice, e.Own = consent.ByForm, "acme-form-1", true
	w.must(w.db.Tx(w.t.Context(), func(tx *schema.Tx) error {
		_, err := w.ledger.Record(w.t.Context(), tx, e)
		return err
	}))
}

// sourced holds a contact that came from ListCo alone.
func (w *world) sourced(email string) id.Contact {
	w.t.Helper()
	c, _, err := w.contacts.Create(w.t.Context(), segments.NewContact{Email: email, Source: "listco", Country: "GB", SubscriberKind: "corporate"})
	w.must(err)
	return c.ID
}

// mail is a newsletter of Acme's to the contact; it returns the tokens of its two links.
func (w *world) mail(who id.Contact, via id.Source) (unsubscribe, preferences string) {
	w.t.Helper()
	ref := id.Message(len(w.messages) + 1)
	w.messages[ref] = Message{Contact: who, Company: w.acme.ID, Campaign: 7, Type: "newsletter", Via: via}
	u, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 7, Message: ref})
	w.must(err)
	p, err := w.keys.Sign(token.Token{Kind: token.Preferences, Campaign: 7, Message: ref})
	w.must(err)
	return u, p
}

// granted are the types of Acme's email that are agreed to, and whether tracking is.
func (w *world) granted(who id.Contact) (types []string, tracked bool) {
	w.t.Helper()
	all, err := w.ledger.State(w.t.Context(), w.db, who)
	w.must(err)
	for _, s := range all {
		if s.Company == w.acme.ID && s.Channel == consent.Email {
			return s.Granted, s.Tracking.Open
		}
	}
	return nil, false
}

func (w *world) blocks(who id.Contact) consent.Block {
	w.t.Helper()
	b, err := w.ledger.Blocks(w.t.Context(), w.db, who)
	w.must(err)
	return b
}

// may tells whether Acme may mail the contact as part of a segment now.
func (w *world) may(who id.Contact, typ string) bool {
	w.t.Helper()
	d, err := w.gate.Ask(w.t.Context(), who, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: typ, Purpose: consent.Mail, Audience: consent.SegmentAudience()})
	w.must(err)
	return d.Allowed
}

type answer struct {
	*http.Response
	body string
}

func (w *world) do(method, target, kind string, body io.Reader) answer {
	w.t.Helper()
	h := http.Header{}
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	return w.ask(method, target, "192.0.2.77", h, body)
}

// ask sends a request with headers of its own, from an address.
func (w *world) ask(method, target, from string, h http.Header, body io.Reader) answer {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, body)
	r.RemoteAddr = net.JoinHostPort(from, "4711")
	maps.Copy(r.Header, h)
	rec := httptest.NewRecorder()
	w.echo.ServeHTTP(rec, r)
	res := rec.Result()
	for _, h := range []string{"Content-Security-Policy", "Referrer-Policy", "Cache-Control", "X-Robots-Tag", "X-Content-Type-Options"} {
		if res.Header.Get(h) == "" {
			w.t.Errorf("%s %s: no %s", method, target, h)
		}
	}
	if len(res.Cookies()) > 0 || res.Header.Get("Location") != "" {
		w.t.Errorf("%s %s: a cookie or a redirect", method, target)
	}
	return answer{res, rec.Body.String()}
}

func (w *world) get(target string) answer { w.t.Helper(); return w.do("GET", target, "", nil) }

func (w *world) post(target string, form url.Values) answer {
	w.t.Helper()
	return w.do("POST", target, echo.MIMEApplicationForm, strings.NewReader(form.Encode()))
}

func (w *world) multipart(target string, fields map[string]string) answer {
	w.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for k, v := range fields {
		w.must(m.WriteField(k, v))
	}
	w.must(m.Close())
	return w.do("POST", target, m.FormDataContentType(), &b)
}

func (w *world) status(a answer, want int) answer {
	w.t.Helper()
	if a.StatusCode != want {
		w.t.Fatalf("answered %d, want %d:\n%s", a.StatusCode, want, text(a.body))
	}
	return a
}

// says fails unless the page says all of it.
func (w *world) says(a answer, wants ...string) {
	w.t.Helper()
	shown := text(a.body)
	for _, want := range wants {
		if !strings.Contains(shown, want) {
			w.t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
}

var (
	styles = regexp.MustCompile(`(?s)<style>.*?</style>`)
	marks  = regexp.MustCompile(`(?s)<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

func text(html string) string {
	plain := marks.ReplaceAllString(styles.ReplaceAllString(html, ""), " ")
	return spaces.ReplaceAllString(strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace(plain), " ")
}

// dump is everything in the database, table by table.
func (w *world) dump() map[string]string {
	w.t.Helper()
	ctx := w.t.Context()
	var tables []string
	q := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`
	if w.db.Dialect() == schema.Postgres {
		q = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%'`
	}
	w.must(w.db.Select(ctx, &tables, q))
	all := map[string]string{}
	for _, t := range tables {
		rows, err := w.db.Query(ctx, `SELECT * FROM `+t)
		w.must(err)
		var lines []string
		for rows.Next() {
			v, err := rows.SliceScan()
			w.must(err)
			lines = append(lines, spell(v))
		}
		w.must(errors.Join(rows.Err(), rows.Close()))
		slices.Sort(lines)
		all[t] = strings.Join(lines, "\n")
	}
	return all
}

func (w *world) unchanged(before map[string]string, what string) {
	w.t.Helper()
	after := w.dump()
	for _, t := range slices.Sorted(maps.Keys(after)) {
		if before[t] != after[t] {
			w.t.Errorf("%s changed table %s:\n%s\nbecame\n%s", what, t, before[t], after[t])
		}
	}
}

func spell(values []any) string {
	var b strings.Builder
	for _, v := range values {
		if raw, ok := v.([]byte); ok {
			v = string(raw)
		}
		fmt.Fprintf(&b, "%v|", v)
	}
	return b.String()
}

func (everyone) Covers(context.Context, schema.Querier, id.Contact) (bool, error) { return true, nil }

func (w *world) restrict(ctx context.Context, tx *schema.Tx, who id.Contact, actor string) error {
	_, err := w.ledger.Record(ctx, tx, consent.Entry{Contact: who, Action: consent.Restrict, How: consent.ByPage, Actor: actor})
	return err
}

// echoed is the status of a request that may find no page of ours at all.
func (w *world) echoed(method, target string, form url.Values) int {
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", echo.MIMEApplicationForm)
	rec := httptest.NewRecorder()
	w.echo.ServeHTTP(rec, r)
	return rec.Code
}

// preferencesOf is the token of a mail's preferences link.
func (w *world) preferencesOf(ref id.Message) token.Token {
	return token.Token{Kind: token.Preferences, Campaign: 7, Message: ref}
}
