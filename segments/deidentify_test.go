package segments

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
	"beckon/segments/consent"
	"beckon/tracker/event"
)

// dump is everything that the database holds, as text.
func (w *world) dump() string {
	w.t.Helper()
	tables := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if w.db.Dialect() == schema.Postgres {
		tables = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	}
	var names []string
	w.ok(w.db.Select(w.t.Context(), &names, tables+` ORDER BY 1`))
	var b strings.Builder
	for _, name := range names {
		rows, err := w.db.Query(w.t.Context(), `SELECT * FROM `+name)
		w.ok(err)
		for rows.Next() {
			cells, err := rows.SliceScan()
			w.ok(err)
			fmt.Fprintf(&b, "%s", name)
			for _, c := range cells {
				if raw, ok := c.([]byte); ok {
					c = string(raw)
				}
				fmt.Fprintf(&b, "|%v", c)
			}
			b.WriteString("\n")
		}
		w.ok(rows.Err())
		rows.Close()
	}
	return b.String()
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), query, args...)
	w.ok(err)
}

func (w *world) deidentify(who id.Contact) error {
	return w.db.Tx(w.t.Context(), func(tx *schema.Tx) error {
		return w.contacts.Deidentify(w.t.Context(), tx, who, func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
			return w.contacts.EraseIn(ctx, tx, who, 0, event.DeleteContact, queue.Forget)
		})
	})
}

// TestS26WhatIsDeidentifiedLeadsToNobody: statistics keep the country, the kind, the month and the
// providers; nothing that says who it was is anywhere.
func TestS26WhatIsDeidentifiedLeadsToNobody(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.now = time.Date(2026, 4, 17, 12, 34, 56, 0, time.UTC)
		made := schema.At(w.now)
		n := NewContact{Email: "jo.doe@widgets.example", Name: "Jo Doe", Company: "Widgets Inc", Country: "GB", Phone: "+44 20 7946 0958", JobTitle: "Chief Tinkerer",
			SubscriberKind: "corporate", Topics: []string{"sexual-health"}, Attributes: map[string]any{"badge": "B-4711"}, Source: "fairs"}
		who := w.contact(n)
		n.Source = "lists"
		w.contact(n)
		w.grant(who, true, "newsletter")
		w.exec(`UPDATE contact_sources SET import = 7 WHERE contact = ?`, who)
		var campaign id.Campaign
		var message id.Message
		w.tx(func(tx *schema.Tx) error {
			if err := tx.Get(t.Context(), &campaign, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
				VALUES ('May', ?, 'newsletter', 's', 'a@acme.example', '', '{}', 'consented', 'finished', 1) RETURNING id`, w.acme.ID); err != nil {
				return err
			}
			return tx.Get(t.Context(), &message, `INSERT INTO messages (campaign, contact, mode, epoch, status, smtp_reply, sent_at, opened_at)
				VALUES (?, ?, 'identified', 1, 'sent', 'ok for Widgets Inc', 1, 2) RETURNING id`, campaign, who)
		})
		w.exec(`INSERT INTO events (campaign, message, contact, kind, at, verdict, reason, node, seq) VALUES (?, ?, ?, 'open', 2, 'person', '', 'n', 1)`, campaign, message, who)
		w.exec(`INSERT INTO contact_regions (contact, region, at) VALUES (?, 'GB-ENG', 2)`, who)
		w.ok(w.deidentify(who))

		text := w.dump()
		for _, s := range []string{"jo.doe", "widgets", "Jo Doe", "7946 0958", "Tinkerer", "4711", "badge", "Widgets", made.String(), fmt.Sprint(int64(made)) + "|"} {
			for line := range strings.Lines(text) {
				if strings.Contains(line, s) && !strings.HasPrefix(line, "consent_ledger|") { // whose rows name nobody
					t.Errorf("%q is still there: %s", s, line)
				}
			}
		}
		for _, query := range []string{`SELECT count(*) FROM contacts WHERE id = ?`, `SELECT count(*) FROM contact_sources WHERE contact = ?`, `SELECT count(*) FROM messages WHERE contact = ?`,
			`SELECT count(*) FROM events WHERE contact = ?`, `SELECT count(*) FROM contact_regions WHERE contact = ?`, `SELECT count(*) FROM consent_subjects WHERE contact = ?`} {
			var n int
			w.ok(w.db.Get(t.Context(), &n, query, who))
			if n != 0 {
				t.Errorf("the old identifier still leads somewhere: %s: %d", query, n)
			}
		}
		var left contactRow
		w.ok(w.db.Get(t.Context(), &left, `SELECT `+contactColumns+` FROM contacts`))
		april := schema.At(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
		if !strings.HasSuffix(left.Email, "@deidentified.invalid") || len(left.Email) != 32+len(nobody) {
			t.Errorf("address %q", left.Email)
		}
		if want := (contactRow{ID: left.ID, Email: left.Email, Country: "GB", SubscriberKind: "corporate", Attributes: "{}", CreatedAt: april, UpdatedAt: april}); left != want {
			t.Errorf("left: %+v, want %+v", left, want)
		}
		c, err := w.contacts.Get(t.Context(), left.ID)
		w.ok(err)
		if len(c.Sources) != 2 || c.Sources[0].Source != "fairs" || c.Sources[1].Source != "lists" || c.Sources[0].AcquiredAt != april || c.Sources[0].Import != 0 {
			t.Errorf("origins %+v", c.Sources)
		}
	})
}

// TestS26WhatIsDeidentifiedIsNeverUsed: no segment, no list and no clock finds it again.
func TestS26WhatIsDeidentifiedIsNeverUsed(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		who := w.contact(NewContact{Email: "jo@widgets.example", Country: "GB", SubscriberKind: "corporate", Source: "fairs"})
		w.ok(w.deidentify(who))
		if err := w.deidentify(who); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		var left id.Contact
		w.ok(w.db.Get(t.Context(), &left, `SELECT id FROM contacts`))
		for _, audience := range []consent.Audience{{}, consent.SourceAudience(w.fairs.ID)} {
			d, err := w.gate.Ask(t.Context(), left, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: "newsletter", Purpose: consent.Mail, Audience: audience})
			if err != nil || d.Allowed {
				t.Errorf("mail: %+v, %v", d, err)
			}
		}
		later := schema.At(w.now.AddDate(9, 0, 0))
		for name, due := range map[string]func(context.Context, schema.Querier, schema.Time, id.Contact, id.Contact, int) ([]id.Contact, error){
			"consented": w.contacts.DueConsented, "opted-out": w.contacts.DueOptedOut, "unconfirmed": w.contacts.DueUnconfirmed,
			"own": w.contacts.DueOwn, "sourced": w.contacts.DueSourced, "sourced-ended": w.contacts.DueSourcedEnded,
		} {
			if found, err := due(t.Context(), w.db, later, 0, 0, 10); err != nil || len(found) != 0 {
				t.Errorf("%s finds it: %v, %v", name, found, err)
			}
		}
		// Whoever makes themselves an address that looks like one is not passed over.
		_, _, err := w.contacts.Create(t.Context(), NewContact{Email: "x" + nobody})
		w.ok(err)
		if found, err := w.contacts.DueOwn(t.Context(), w.db, later, 0, 0, 10); err != nil || len(found) != 1 {
			t.Errorf("a contact with such an address: %v, %v", found, err)
		}
	})
}

func TestDueContactsComeInPages(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		var all []id.Contact
		for i := range 5 {
			all = append(all, w.contact(NewContact{Email: fmt.Sprintf("p%d@example.org", i)}))
		}
		later := schema.At(w.now.Add(time.Second))
		page := func(after, last id.Contact, limit int) string {
			found, err := w.contacts.DueOwn(t.Context(), w.db, later, after, last, limit)
			w.ok(err)
			return fmt.Sprint(found)
		}
		for _, c := range []struct {
			got  string
			want []id.Contact
		}{
			{page(0, 0, 10), all},
			{page(0, 0, 2), all[:2]},
			{page(all[1], 0, 2), all[2:4]},
			{page(all[1]-1, all[1], 1), all[1:2]},
			{page(all[4], 0, 2), nil},
		} {
			if want := fmt.Sprint(c.want); c.got != want {
				t.Errorf("got %s, want %s", c.got, want)
			}
		}
		for name, among := range map[string]func() ([]id.Contact, error){
			"of nobody": func() ([]id.Contact, error) { return w.contacts.Carried(t.Context(), w.db, nil) },
			"carried":   func() ([]id.Contact, error) { return w.contacts.Carried(t.Context(), w.db, all) },
		} {
			if found, err := among(); err != nil || len(found) != 0 {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
	})
}
