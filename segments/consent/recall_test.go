package consent

import (
	"testing"

	"beckon/schema"
	"beckon/schema/id"
)

func TestL20WhatOnlyAnOriginsImportsBroughtEnds(t *testing.T) {
	const broker, fair = "import imp_1", "import imp_2"
	eachDatabase(t, func(t *testing.T, w *world) {
		yes := true
		brought := func(by string, tracking *bool, types ...string) func(id.Contact) {
			return func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: types, Tracking: tracking, How: ByImport, Actor: by})
			}
		}
		own := func(tracking *bool, types ...string) func(id.Contact) {
			return func(c id.Contact) {
				w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: types, Tracking: tracking, Own: true, Actor: broker}) // whoever is called so
			}
		}
		lapse := func(c id.Contact) {
			w.tx(func(tx *schema.Tx) error {
				_, err := w.l.Lapse(w.ctx, tx, c, w.acme, Email, []string{letter}, "mailer")
				return err
			})
		}
		say := func(e Entry) func(id.Contact) {
			return func(c id.Contact) {
				e.Contact = c
				w.record(e)
			}
		}
		phone := say(Entry{Action: Grant, Company: w.bolt, Channel: Phone, Types: []string{promo, letter}, How: ByImport, Actor: broker})
		for _, k := range []struct {
			name   string
			before []func(id.Contact)
			letter Reason
			mode   Mode
			ends   int // rows
		}{
			{"an import alone", []func(id.Contact){brought(broker, &yes, letter)}, NoEvidence, "", 1},
			{"two imports of which one is another's", []func(id.Contact){brought(broker, &yes, letter), brought(fair, nil, letter)}, "", Anonymous, 1},
			{"another's before it", []func(id.Contact){brought(fair, nil, letter), brought(broker, nil, letter)}, "", Anonymous, 0},
			{"the person's own before it", []func(id.Contact){own(nil, letter), brought(broker, &yes, letter)}, "", Anonymous, 1},
			{"the person's own after it", []func(id.Contact){brought(broker, &yes, letter), own(&yes, letter)}, "", Identified, 0},
			{"the person's own that had ended before it", []func(id.Contact){own(nil, letter), lapse, brought(broker, nil, letter)}, NoEvidence, "", 1},
			{"another's tracking that had ended before it", []func(id.Contact){own(nil, letter), brought(fair, &yes), say(Untrack(0, w.acme, ByPage)), own(&yes), brought(broker, &yes)}, "", Identified, 0},
			{"tracking without mail", []func(id.Contact){brought(broker, &yes), own(nil, letter)}, "", Anonymous, 1},
			{"by another channel to another company", []func(id.Contact){own(nil, letter), phone}, "", Anonymous, 1},
			{"the person's own that came late: of it the tracking alone counts", []func(id.Contact){brought(broker, nil, letter),
				say(Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &yes, Own: true, Captured: 1})}, NoEvidence, "", 1},
			{"the person's own that came late: of it the type by phone alone counts", []func(id.Contact){own(nil, letter), brought(broker, &yes),
				say(Entry{Action: Grant, Company: w.acme, Channel: Phone, Types: []string{letter}, Tracking: &yes, Own: true, Captured: 1})}, "", Anonymous, 1},
			{"another's of the same moment, of which only the no to tracking counts, as a withdrawal came after", []func(id.Contact){
				say(Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter, promo}, How: ByImport, Actor: broker, Captured: 1000}),
				say(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{promo}}),
				say(Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: new(bool), How: ByImport, Actor: fair, Captured: 1000})}, NoEvidence, "", 1},
			{"another's of the same moment, of which only the no to tracking counts, as the address had bounced", []func(id.Contact){
				say(Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByImport, Actor: broker, Captured: 1000}),
				say(Entry{Action: Restrict, How: byBounce}),
				say(Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: new(bool), How: ByImport, Actor: fair, Captured: 1000}),
				say(Entry{Action: Grant, Company: w.acme, Channel: Phone, Types: []string{letter}, Own: true})}, OtherConsent, "", 1},
			{"what was withdrawn", []func(id.Contact){brought(broker, &yes, letter), say(Entry{Action: Withdraw, Company: w.acme})}, Withdrawn, "", 0},
			{"what did not count", []func(id.Contact){say(Entry{Action: Withdraw}), brought(broker, &yes, letter)}, Withdrawn, "", 0},
			{"a contact who is blocked", []func(id.Contact){brought(broker, &yes, letter), say(Entry{Action: Restrict})}, Restricted, "", 1},
			{"a one-off", []func(id.Contact){brought(broker, &yes, letter), func(c id.Contact) { w.wish(c, w.acme, paper) }}, NoEvidence, "", 1},
			{"nothing", nil, NoEvidence, "", 0},
		} {
			t.Run(k.name, func(t *testing.T) {
				w.t = t
				c, other := w.contact("", ""), w.contact("", "")
				for _, do := range k.before {
					do(c)
				}
				brought(broker, nil, letter)(other)
				before, err := w.l.History(w.ctx, w.db, c)
				w.ok(err)
				open := len(w.items(c))
				for range 2 { // the second time changes nothing
					w.tx(func(tx *schema.Tx) error {
						return w.l.EndGrants(w.ctx, tx, []id.Contact{c, 99}, []string{broker, "import imp_9"}, "recall of src_1")
					})
				}
				if d := w.ask(c, mail(w.acme, letter)); d.Reason != k.letter || d.Mode != k.mode {
					t.Errorf("got %+v, want %q, %q", d, k.letter, k.mode)
				}
				rows, err := w.l.History(w.ctx, w.db, c)
				w.ok(err)
				for _, r := range rows[len(before):] {
					if r.How != byRecall || r.Actor != "recall of src_1" || r.Outcome != Applied {
						t.Errorf("got %+v", r)
					}
				}
				if got := len(rows) - len(before); got != k.ends {
					t.Errorf("%d rows were added, want %d:\n%s", got, k.ends, show(rows))
				}
				if len(w.items(c)) != open {
					t.Error("a one-off was touched")
				}
				w.want(other, mail(w.acme, letter), "")
				w.clean()
			})
		}
		w.t = t
	})
}
