package bounce

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
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

// world is an intake with a real database and ledger, whose journal and inbox only take notes.
type world struct {
	*schema.DB
	t        *testing.T
	in       *Intake
	paths    *Paths
	keys     *token.Keyring
	ledger   *consent.Ledger
	contacts *segments.Contacts
	clock    time.Time
	kept     []consent.No
	asked    []asked
	counts   map[string]int
	down     bool // the inbox fails, and the transaction with it
}

type asked struct {
	who     id.Contact
	company id.Company
	words   string
}

func (w *world) Keep(_ context.Context, noes []consent.No) error {
	w.kept = append(w.kept, noes...)
	return nil
}

func (w *world) OptOut(_ context.Context, _ *schema.Tx, who id.Contact, company id.Company, words string) error {
	if w.down {
		return errors.New("the database went away")
	}
	w.asked = append(w.asked, asked{who, company, words})
	return nil
}

func newWorld(t *testing.T, db *schema.DB) *world {
	t.Helper()
	w := &world{DB: db, t: t, clock: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC), counts: map[string]int{}}
	now := func() time.Time { return w.clock }
	ctx := t.Context()
	w.ok(consent.Seed(ctx, db))
	catalogue, err := consent.LoadCatalogue(ctx, db)
	w.ok(err)
	w.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a hash key that is used in tests"), Now: now, Journal: w})
	w.contacts = segments.NewContacts(db, w.ledger, catalogue, now)
	w.keys = pathRing(t, pathKeyA)
	w.paths = NewPaths("b.acme.example", w.keys)
	_, err = segments.NewCompanies(db, now).Create(ctx, segments.Company{Slug: "acme", Name: "ACME"})
	w.ok(err)
	w.in = NewIntake(Options{DB: db, Paths: w.paths, Keys: w.keys, Ledger: w.ledger, Inbox: w, Now: now,
		Count: func(c Class, way Way) { w.counts[string(c)+" by "+string(way)]++ }})
	return w
}

func (w *world) ok(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.Exec(w.t.Context(), query, args...)
	w.ok(err)
}

func (w *world) number(query string, args ...any) (n int64) {
	w.t.Helper()
	w.ok(w.Get(w.t.Context(), &n, query, args...))
	return n
}

func (w *world) text(query string, args ...any) (s string) {
	w.t.Helper()
	w.ok(w.Get(w.t.Context(), &s, query, args...))
	return s
}

func (w *world) person(email string) id.Contact {
	w.t.Helper()
	c, _, err := w.contacts.Create(w.t.Context(), segments.NewContact{Email: email, Country: "GB"})
	w.ok(err)
	return c.ID
}

func (w *world) campaign() (c id.Campaign) {
	w.t.Helper()
	w.ok(w.Tx(w.t.Context(), func(tx *schema.Tx) error {
		return tx.Get(w.t.Context(), &c, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
			VALUES ('May', 1, 'newsletter', 'May', 'news@acme.example', '', '{}', 'off', 'sending', 1) RETURNING id`)
	}))
	return c
}

// sent makes a message of a campaign that a relay took now.
func (w *world) sent(c id.Campaign, who id.Contact) (m id.Message) {
	w.t.Helper()
	w.ok(w.Tx(w.t.Context(), func(tx *schema.Tx) error {
		return tx.Get(w.t.Context(), &m, `INSERT INTO messages (campaign, contact, status, sent_at) VALUES (?, ?, 'sent', ?) RETURNING id`, c, who, schema.At(w.clock))
	}))
	return m
}

// crowd makes a campaign that was sent to n people, whom it numbers.
func (w *world) crowd(n int) (id.Campaign, []id.Message) {
	w.t.Helper()
	c := w.campaign()
	var all []id.Message
	for i := range n {
		all = append(all, w.sent(c, w.person(fmt.Sprintf("p%d.%d@shop%d.example", i, c, i%3))))
	}
	return c, all
}

func (w *world) letter(m id.Message, raw string) {
	w.t.Helper()
	w.ok(w.in.Letter(w.t.Context(), BySMTP, []string{w.paths.Make(m)}, []byte(raw)))
}

func (w *world) message(m id.Message) queue.Letter {
	w.t.Helper()
	l, err := queue.Lookup(w.t.Context(), w.DB, m)
	w.ok(err)
	return l
}

func (w *world) blocks(who id.Contact) consent.Block {
	w.t.Helper()
	b, err := w.ledger.Blocks(w.t.Context(), w.DB, who)
	w.ok(err)
	return b
}

func (w *world) status(c id.Campaign) (status, note string) {
	w.t.Helper()
	return w.text(`SELECT status FROM campaigns WHERE id = ?`, c), w.text(`SELECT status_note FROM campaigns WHERE id = ?`, c)
}

// dsn is a delivery report with a status and what the server said.
func dsn(id, action, status, said string) string {
	return strings.ReplaceAll(`From: MAILER-DAEMON@mx.example
To: bounces@acme.example
Message-ID: <`+id+`@mx.example>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain

This is the mail system.

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; jo@shop.example
Action: `+action+`
Status: `+status+`
Diagnostic-Code: smtp; `+said+`

--x--
`, "\n", "\r\n")
}

func hardDSN(id string) string {
	return dsn(id, "failed", "5.1.1", "550 5.1.1 <jo@shop.example>: user unknown")
}
func softDSN(id string) string {
	return dsn(id, "failed", "4.2.2", "452 4.2.2 mailbox of jo@shop.example is full")
}
func senderDSN(id string) string {
	return dsn(id, "failed", "5.7.1", "550 5.7.1 blocked for poor reputation")
}

// arf is a feedback report of a type, with a List-Unsubscribe field in the mail that it returns.
func arf(kind, listUnsubscribe string) string {
	return strings.ReplaceAll(`From: feedback@provider.example
To: complaints@acme.example
Subject: abuse report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="x"

--x
Content-Type: text/plain

Somebody complained.

--x
Content-Type: message/feedback-report

Feedback-Type: `+kind+`
User-Agent: Provider/1
Version: 1
Original-Rcpt-To: jo@shop.example

--x
Content-Type: message/rfc822

From: news@acme.example
To: jo@shop.example
Subject: May
List-Unsubscribe: `+listUnsubscribe+`

Hello
--x--
`, "\n", "\r\n")
}

func person(subject, text string) string {
	return strings.ReplaceAll("From: Jo <jo@shop.example>\nTo: news@acme.example\nMessage-ID: <"+fmt.Sprintf("%x", subject+text)+"@shop.example>\nSubject: "+subject+"\n\n"+text+"\n", "\n", "\r\n")
}
