package consent

import (
	"errors"
	"slices"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// TestS23TheLedgerGivesOutAllThatItHoldsOfSomebody: what State and History tell, and what only the
// tables do.
func TestS23TheLedgerGivesOutAllThatItHoldsOfSomebody(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		if _, err := w.l.Held(w.ctx, w.db, 99); !errors.Is(err, ErrNoEntry) {
			t.Errorf("of somebody who is not registered: %v", err)
		}
		who := w.contactAt("jo@example.org", "", "GB")
		other := w.contactAt("other@example.org", "", "GB")
		if h, err := w.l.Held(w.ctx, w.db, other); err != nil || len(h.Blocks)+len(h.Suppressed)+len(h.Wishes)+len(h.Tracking)+len(h.Ledger)+len(h.Requests)+len(h.Items)+len(h.Noes) != 0 {
			t.Errorf("of somebody who never said anything: %+v, %v", h, err)
		}
		yes, granted := true, schema.At(w.clock)
		w.record(Entry{Contact: who, Action: Grant, Company: w.acme, Channel: Email, Types: []string{"newsletter"}, Topics: []string{"sexual-health"}, Tracking: &yes, Notice: "v1", How: ByForm, Own: true,
			Evidence: map[string]string{"form": "footer"}})
		w.pass(time.Minute)
		w.record(Entry{Contact: who, Action: Withdraw, Company: w.acme, Channel: Email, Topics: []string{"sexual-health"}, How: ByPage})
		w.record(Entry{Contact: who, Action: Grant, Company: w.acme, Channel: Email, Item: "guide", Notice: "v1", How: ByForm, Own: true})
		changed := schema.At(w.clock)
		var r id.Request
		w.tx(func(tx *schema.Tx) (err error) {
			r, err = w.l.Request(w.ctx, tx, Entry{Contact: who, Company: w.bolt, Channel: Email, Types: []string{"newsletter"}, Notice: "v1", How: ByForm}, time.Hour)
			return err
		})
		w.exec(`INSERT INTO consent_noes (hash, entry, at) VALUES (?, '{"action":"withdraw","company":"acme","types":["newsletter"]}', 7)`, Hash(testKey, "jo@example.org"))
		w.exec(`INSERT INTO consent_noes (hash, entry, at) VALUES (?, '{"action":"object"}', 8)`, Hash(testKey, "other@example.org"))

		h, err := w.l.Held(w.ctx, w.db, who)
		w.ok(err)
		if len(h.Wishes) != 1 || h.Wishes[0].Company != "acme" || h.Wishes[0].Channel != Email || !slices.Equal(h.Wishes[0].Granted, []string{"newsletter"}) ||
			!slices.Equal(h.Wishes[0].RefusedTopics, []string{"sexual-health"}) || len(h.Wishes[0].Explicit) != 0 || h.Wishes[0].GrantedAt != granted || h.Wishes[0].Notice != "v1" {
			t.Errorf("wishes: %+v", h.Wishes)
		}
		if len(h.Tracking) != 1 || h.Tracking[0] != (TrackingWish{"acme", Tracking{true, false, 1, granted}}) {
			t.Errorf("tracking: %+v", h.Tracking)
		}
		if len(h.Ledger) != 4 || h.Ledger[0].Evidence["form"] != "footer" || h.Ledger[2].Item != "guide" {
			t.Errorf("ledger: %+v", h.Ledger)
		}
		if len(h.Requests) != 1 || h.Requests[0].ID != r || h.Requests[0].Company != "bolt" || h.Requests[0].Entry.Types[0] != "newsletter" || h.Requests[0].RequestedAt != changed || h.Requests[0].Confirmed != 0 {
			t.Errorf("requests: %+v", h.Requests)
		}
		if len(h.Items) != 1 || h.Items[0].Item != "guide" || h.Items[0].Slug != "acme" {
			t.Errorf("items: %+v", h.Items)
		}
		if len(h.Noes) != 1 || h.Noes[0].Action != Withdraw || h.Noes[0].Company != "acme" || !slices.Equal(h.Noes[0].Types, []string{"newsletter"}) || h.Noes[0].At != 7 || h.Noes[0].Hash != nil {
			t.Errorf("noes: %+v", h.Noes)
		}
		if len(h.Blocks)+len(h.Suppressed) != 0 {
			t.Errorf("nothing blocks them, and yet: %v, %v", h.Blocks, h.Suppressed)
		}
		w.tx(func(tx *schema.Tx) error { return w.l.Suppress(w.ctx, tx, "jo@example.org", BlockBounced) })
		if h, err = w.l.Held(w.ctx, w.db, who); err != nil || !slices.Equal(h.Blocks, []Reason{Bounced}) || !slices.Equal(h.Suppressed, []Reason{Bounced}) || h.SuppressedAt != schema.At(w.clock) {
			t.Errorf("after a bounce: %v, %v since %s, %v", h.Blocks, h.Suppressed, h.SuppressedAt, err)
		}
	})
}
