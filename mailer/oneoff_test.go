package mailer_test

import (
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// TestS2AOneOffIsSentOnceToWhoAskedAndEnds: a whitepaper goes to those who asked for it, agreed to
// nothing else or not, and to nobody who agreed to something else; then the consent is over.
func TestS2AOneOffIsSentOnceToWhoAskedAndEnds(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		ask := func(who id.Contact, item string) {
			t.Helper()
			w.ok(db.Tx(t.Context(), func(tx *schema.Tx) error {
				_, err := w.ledger.Record(t.Context(), tx, consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Item: item,
					Notice: "v1", How: consent.ByForm, Own: true})
				return err
			}))
		}
		ann, bob, cat, dan := w.person("ann@example.org", "", ""), w.person("bob@example.org", "", ""), w.person("cat@example.org", "", ""), w.person("dan@example.org", "", "")
		ask(ann, "grants-guide")
		ask(bob, "another-guide")
		w.optIn(cat, true) // to everything but this
		ask(dan, "grants-guide")
		w.ok(db.Tx(t.Context(), func(tx *schema.Tx) error { // and thought better of it
			_, err := w.ledger.Record(t.Context(), tx, consent.Entry{Contact: dan, Action: consent.Object, How: consent.ByPage, Own: true})
			return err
		}))
		m := mailer.New(w.options)
		c := w.create(m, w.draft(mailer.Audience{Item: "grants-guide"}))
		check, err := m.Check(t.Context(), c.ID)
		w.ok(err)
		if len(check.Problems) > 0 || check.Send != 1 || check.Anonymous != 1 || len(check.LeftOut) != 0 {
			t.Fatalf("check: %+v", check)
		}
		w.run(m)
		if _, err := m.Launch(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		w.untilFinished(m, c.ID)
		if len(w.relay.to("ann@example.org")) != 1 || w.relay.total() != 1 {
			t.Errorf("%d letters, to ann %d", w.relay.total(), len(w.relay.to("ann@example.org")))
		}
		items, err := w.ledger.Items(t.Context(), db, ann)
		w.ok(err)
		if len(items) != 0 {
			t.Errorf("ann still wants %v", items)
		}
		if items, _ = w.ledger.Items(t.Context(), db, bob); len(items) != 1 {
			t.Errorf("bob wants %v", items)
		}
		again := w.create(m, w.draft(mailer.Audience{Item: "grants-guide"}))
		if check, err = m.Check(t.Context(), again.ID); err != nil || check.Send != 0 {
			t.Errorf("a second time: %+v, %v", check, err)
		}
		ask(ann, "grants-guide") // again
		if check, err = m.Check(t.Context(), again.ID); err != nil || check.Send != 1 {
			t.Errorf("asked for again: %+v, %v", check, err)
		}
		for _, bad := range []mailer.Audience{{Item: "Not A Slug"}, {Item: "a", Source: "b"}, {Any: []mailer.Audience{{Item: "grants-guide"}}}} {
			if _, err := m.Create(t.Context(), w.draft(bad)); err == nil || !strings.Contains(err.Error(), "audience") {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}
