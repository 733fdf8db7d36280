package consent

import (
	"testing"

	"beckon/schema"
	"beckon/schema/id"
)

func TestTrackingEpochs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		epoch := func(c id.Contact) int64 {
			t.Helper()
			return w.ask(c, mail(w.acme, letter)).Epoch
		}
		start := func() id.Contact {
			c := w.contact("", "")
			w.grant(c, w.acme, letter)
			w.track(c, w.acme, true)
			return c
		}
		no := false
		for _, k := range []struct {
			name string
			do   func(c id.Contact)
			want int64
		}{
			{"a yes opens the first", func(id.Contact) {}, 1},
			{"another yes keeps it", func(c id.Contact) { w.track(c, w.acme, true) }, 1},
			{"a grant that says nothing keeps it", func(c id.Contact) { w.grant(c, w.acme, promo) }, 1},
			{"a no closes it", func(c id.Contact) { w.track(c, w.acme, false) }, 0},
			{"a yes after a no opens the next", func(c id.Contact) { w.track(c, w.acme, false); w.track(c, w.acme, true) }, 2},
			{"an import's yes after a no opens none", func(c id.Contact) {
				w.track(c, w.acme, false)
				yes := true
				r := w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &yes, How: ByImport})
				if r.Outcome != Partly {
					t.Errorf("got %+v", r)
				}
			}, 0},
			{"tracking false in a later grant withdraws tracking alone", func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &no})
			}, 0},
			{"Untrack withdraws tracking alone", func(c id.Contact) { w.record(Untrack(c, w.acme, ByPage)) }, 0},
			{"another company's no is its own", func(c id.Contact) { w.track(c, w.bolt, false) }, 1},
			{"a restriction closes it", func(c id.Contact) { w.record(Entry{Contact: c, Action: Restrict}) }, 0},
			{"the end of a restriction opens the next", func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Restrict})
				w.record(Entry{Contact: c, Action: Lift})
			}, 2},
			{"the end of a restriction opens none where there was none", func(c id.Contact) {
				w.track(c, w.acme, false)
				w.record(Entry{Contact: c, Action: Restrict})
				w.record(Entry{Contact: c, Action: Lift})
			}, 0},
			{"the last type of mail takes it along, and a new type does not bring it back", func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}})
				w.grant(c, w.acme, letter)
			}, 0},
			{"one of two types leaves it", func(c id.Contact) {
				w.grant(c, w.acme, promo)
				w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{promo}})
			}, 1},
			{"leaving the phone leaves it", func(c id.Contact) { w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Phone}) }, 1},
			{"an objection closes it for good", func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Object})
				w.grant(c, w.acme, letter)
			}, 0},
			{"served and granted again, it is closed", func(c id.Contact) {
				w.tx(func(tx *schema.Tx) error {
					_, err := w.l.Lapse(w.ctx, tx, c, w.acme, Email, []string{letter}, "mailer")
					return err
				})
				w.grant(c, w.acme, letter)
			}, 0},
		} {
			c := start()
			k.do(c)
			if got := epoch(c); got != k.want {
				t.Errorf("%s: epoch %d, want %d", k.name, got, k.want)
			}
		}
	})
}
