package consent

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// wish is the person's own request for an item by email.
func (w *world) wish(c id.Contact, co id.Company, item string) {
	w.t.Helper()
	w.record(Entry{Contact: c, Action: Grant, Company: co, Channel: Email, Item: item, Own: true})
}

func (w *world) serve(c id.Contact, co id.Company, item string) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error { return w.l.Served(w.ctx, tx, c, co, Email, item, "mailer") })
	w.pass(time.Second)
}

func (w *world) items(c id.Contact) []Item {
	w.t.Helper()
	list, err := w.l.Items(w.ctx, w.db, c)
	w.ok(err)
	return list
}

func TestS2ANewsletterConsentNeverMatchesAPromotionalOffer(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		types := w.cat.Slugs(KindType, all)
		for _, given := range types {
			c := w.contact("individual", "GB")
			w.grant(c, w.acme, given)
			for _, typ := range types {
				want := OtherConsent
				if typ == given {
					want = ""
				}
				w.want(c, mail(w.acme, typ), want)
				w.want(c, segment(w.acme, typ), want)
			}
			w.want(c, itemMail(w.acme, paper), OtherConsent)
		}
	})
}

func TestS2AOneOffAllowsThatItemAloneAndEndsWhenServed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("corporate", "GB")
		asked := schema.At(w.clock)
		w.wish(c, w.acme, paper)
		w.want(c, itemMail(w.acme, paper), "")
		if d := w.ask(c, itemMail(w.acme, paper)); d.Mode != Anonymous || d.Epoch != 0 {
			t.Errorf("a one-off gives no tracking: %+v", d)
		}
		byPhone := itemMail(w.acme, paper)
		byPhone.Channel = Phone
		for name, u := range map[string]Use{
			"another item": itemMail(w.acme, guide), "another company": itemMail(w.bolt, paper), "another channel": byPhone, "the newsletter": mail(w.acme, letter),
			"its own type": mail(w.acme, "whitepaper-intelligence"), "a segment": segment(w.acme, ""), "an export": {Company: w.acme, Channel: Email, Purpose: Export},
			"tracking": {Company: w.acme, Purpose: Track},
		} {
			if d := w.ask(c, u); d.Allowed {
				t.Errorf("%s: got %+v", name, d)
			}
		}
		want := []Item{{w.acme, "acme", Email, paper, asked, "v1"}}
		if got := w.items(c); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		state, err := w.l.State(w.ctx, w.db, c)
		w.ok(err)
		if len(state) != 1 || !equal(state[0].Items, []string{paper}) || len(state[0].Granted) > 0 {
			t.Errorf("got %+v", state)
		}
		w.clean()

		w.serve(c, w.acme, paper)
		w.want(c, itemMail(w.acme, paper), NoEvidence)
		w.serve(c, w.acme, paper)
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 2 || rows[0].Item != paper || rows[1].Item != paper || rows[1].How != byServing || rows[1].Outcome != Applied || len(w.items(c)) != 0 {
			t.Errorf("served, once: %+v, %+v", rows, w.items(c))
		}
		then, _, err := w.l.StateAt(w.ctx, w.db, c, rows[1].Recorded-1)
		w.ok(err)
		if !reflect.DeepEqual(then, state) {
			t.Errorf("before it was served: %+v, want %+v", then, state)
		}
		r, err := w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: paper, How: ByAPI})
		if err != nil || r.Outcome != Applied {
			t.Errorf("it was no refusal: %+v, %v", r, err)
		}
		w.want(c, itemMail(w.acme, paper), "")
		r, err = w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: guide, Own: true, Captured: asked})
		if err != nil || r.Outcome != Applied {
			t.Errorf("another item, asked for earlier: %+v, %v", r, err)
		}
		w.serve(c, w.acme, guide)
		r, err = w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: guide, Own: true, Captured: asked})
		if err != nil || r.Outcome != Older {
			t.Errorf("a request from before it was served: %+v, %v", r, err)
		}
		w.want(c, itemMail(w.acme, guide), NoEvidence)
		w.clean()
	})
}

func TestS2ARequestCarriesItsItem(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		var r id.Request
		w.tx(func(tx *schema.Tx) (err error) {
			r, err = w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{letter}, Item: paper, Notice: "v1", How: ByForm}, time.Hour)
			return err
		})
		w.pass(time.Minute)
		w.want(c, itemMail(w.acme, paper), NoEvidence)
		shown, err := w.l.Requested(w.ctx, w.db, r)
		w.ok(err)
		w.tx(func(tx *schema.Tx) error { _, err := w.l.Confirm(w.ctx, tx, r); return err })
		w.want(c, itemMail(w.acme, paper), "")
		w.want(c, mail(w.acme, letter), "")
		w.pass(time.Second)
		w.serve(c, w.acme, paper)
		w.want(c, itemMail(w.acme, paper), OtherConsent)
		w.want(c, mail(w.acme, letter), "")
		if shown.Entry.Item != paper {
			t.Errorf("got %+v", shown)
		}
	})
}

func TestS2WhatEndsAOneOffAndWhatStandsInItsWay(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		block := func(b Block) func(id.Contact) {
			return func(c id.Contact) {
				w.tx(func(tx *schema.Tx) error {
					var email string
					if err := tx.Get(w.ctx, &email, `SELECT email FROM contacts WHERE id = ?`, c); err != nil {
						return err
					}
					return w.l.Suppress(w.ctx, tx, email, b)
				})
			}
		}
		say := func(e Entry) func(id.Contact) {
			return func(c id.Contact) {
				e.Contact = c
				w.record(e)
			}
		}
		past := schema.At(w.clock.Add(-time.Hour))
		for _, k := range []struct {
			name string
			do   func(id.Contact)
			want Reason
			open bool
		}{
			{"a withdrawal from the company", say(Entry{Action: Withdraw, Company: w.acme}), Withdrawn, false},
			{"a withdrawal from the company's mail", say(Entry{Action: Withdraw, Company: w.acme, Channel: Email}), Withdrawn, false},
			{"a withdrawal from everything", say(Entry{Action: Withdraw}), Withdrawn, false},
			{"an objection", say(Entry{Action: Object}), Objected, false},
			{"a withdrawal of the item", say(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Item: paper}), NoEvidence, false},
			{"a withdrawal of the item from whomever", say(Entry{Action: Withdraw, Item: paper}), NoEvidence, false},
			{"a withdrawal of the type and the item", say(Entry{Action: Withdraw, Company: w.acme, Types: []string{letter}, Item: paper}), Withdrawn, false},
			{"a withdrawal of the type", say(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}}), "", true},
			{"a withdrawal of another item", say(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Item: guide}), "", true},
			{"a withdrawal from another company", say(Entry{Action: Withdraw, Company: w.bolt}), "", true},
			{"a withdrawal from the phone", say(Entry{Action: Withdraw, Channel: Phone}), "", true},
			{"a withdrawal from before it was asked for", say(Entry{Action: Withdraw, Captured: past, How: ByPhone}), "", true},
			{"the end of a type", func(c id.Contact) {
				w.tx(func(tx *schema.Tx) error {
					_, err := w.l.Lapse(w.ctx, tx, c, w.acme, Email, []string{letter}, "mailer")
					return err
				})
			}, "", true},
			{"a restriction", say(Entry{Action: Restrict}), Restricted, true},
			{"a restriction that was lifted", func(c id.Contact) { say(Entry{Action: Restrict})(c); say(Entry{Action: Lift})(c) }, "", true},
			{"a bounce", block(BlockBounced), Bounced, true},
			{"a complaint", block(BlockComplained), Complained, false},
			{"an age under 13", block(BlockUnderAge), UnderAge, true},
			{"a suppression", block(BlockErased), Erased, false},
		} {
			t.Run(k.name, func(t *testing.T) {
				w.t = t
				c := w.contact("", "")
				w.wish(c, w.acme, paper)
				k.do(c)
				w.pass(time.Second)
				w.want(c, itemMail(w.acme, paper), k.want)
				if got := len(w.items(c)) == 1; got != k.open {
					t.Errorf("open: %v", got)
				}
				w.clean()
			})
		}
		w.t = t
	})
}

func TestL17AnItemThatWasRefusedIsThePersonsToAskForAgain(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		refusedItem(w, false)
		refusedItem(w, true)
	})
}

// refusedItem goes through the ways to refuse an item, asked for before or not.
func refusedItem(w *world, before bool) {
	t := w.t
	for _, no := range []Entry{
		{Action: Withdraw, Company: w.acme, Channel: Email, Item: paper},
		{Action: Withdraw, Item: paper},
		{Action: Withdraw, Company: w.acme},
		{Action: Withdraw},
		{Action: Object},
	} {
		c := w.contact("", "")
		if before {
			w.wish(c, w.acme, paper)
		}
		no.Contact = c
		w.record(no)
		e := Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: paper, How: ByAPI}
		if _, err := w.try(e); !errors.Is(err, ErrNotOwnAct) {
			t.Errorf("an API call over %+v: %v", no, err)
		}
		e.How = ByImport
		if r := w.record(e); r.Outcome != Refused {
			t.Errorf("an import over %+v: %+v", no, r)
		}
		w.wish(c, w.acme, paper)
		w.want(c, itemMail(w.acme, paper), "")
		if d := w.ask(c, mail(w.acme, letter)); d.Allowed {
			t.Errorf("after %+v the newsletter: %+v", no, d)
		}
		r, err := w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Item: guide, How: ByImport})
		if wide := no.Item == ""; err != nil || r.Applied == wide {
			t.Errorf("after %+v an import: %+v, %v", no, r, err)
		}
		w.clean()
	}
}

// What the person's own request lifts is lent for that one thing.
func TestL17AnObjectionIsBackWhenTheItemIsServed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const email = "once@example.org"
		blocks := func() Block {
			t.Helper()
			b, err := w.l.Blocks(w.ctx, w.db, 1)
			w.ok(err)
			return b
		}
		c := w.contactAt(email, "corporate", "GB")
		w.from(c, w.broker)
		w.grant(c, w.acme, letter)
		w.suppress(BlockBounced|BlockObjected, email)
		w.pass(time.Second)
		w.wish(c, w.acme, paper)
		w.wish(c, w.acme, guide)
		w.want(c, itemMail(w.acme, paper), "")
		w.want(c, mail(w.acme, letter), Withdrawn)
		w.want(c, listMail(w.acme, letter, w.broker), Withdrawn)
		if b, m := blocks(), w.suppressed(email); b != 0 || len(m) != 0 {
			t.Errorf("blocked by %d, suppressed %v", b, m)
		}
		w.serve(c, w.acme, paper)
		w.want(c, itemMail(w.acme, guide), "")
		if b := blocks(); b != 0 {
			t.Errorf("blocked by %d while a thing that was asked for is not served", b)
		}
		w.serve(c, w.acme, guide)
		if b, m := blocks(), w.suppressed(email); b != BlockObjected || m[email] != BlockObjected {
			t.Errorf("blocked by %d, suppressed %v: the address works, and the objection stands", b, m)
		}
		w.clean()
		t.Run("but not over a yes to more", func(t *testing.T) {
			w.t = t
			w.wish(c, w.acme, paper)
			w.grant(c, w.acme, letter)
			w.serve(c, w.acme, paper)
			if b := blocks(); b != 0 {
				t.Errorf("blocked by %d", b)
			}
			w.want(c, mail(w.acme, letter), "")
		})
		t.Run("and also when the contact is forgotten first", func(t *testing.T) {
			w.t = t
			w.record(Entry{Contact: c, Action: Object})
			w.wish(c, w.acme, paper)
			w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, c, 0) })
			if m := w.suppressed(email); m[email] != BlockObjected {
				t.Errorf("suppressed %v", m)
			}
		})
		w.t = t
		w.clean()
	})
}

func TestS6AnItemOnASpecialTopicNeedsExplicitConsent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.wish(c, w.acme, paper)
		u := itemMail(w.acme, paper)
		u.Topics = []string{"sexual-health"}
		w.want(c, u, NoExplicit)
		_, err := w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: paper, Topics: u.Topics, Own: true})
		if !errors.Is(err, ErrEntry) {
			t.Errorf("an explicit consent that would outlast the item: %v", err)
		}
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Topics: u.Topics, Own: true})
		w.want(c, u, "")
	})
}

func TestL2AOneOffIsIdentifiedByTrackingConsentAloneWithMail(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		yes := true
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: paper, Tracking: &yes, Own: true})
		if d := w.ask(c, itemMail(w.acme, paper)); !d.Allowed || d.Mode != Anonymous {
			t.Errorf("without a consent to mail no epoch is open: %+v", d)
		}
		w.grant(c, w.acme, letter)
		if d := w.ask(c, itemMail(w.acme, paper)); !d.Allowed || d.Mode != Identified || d.Epoch != 1 {
			t.Errorf("got %+v", d)
		}
	})
}

func TestWhatAnItemIsCalled(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		for _, item := range []string{"A", "a b", "a/b", "ü", "a|b", "a\x00", string(bytes.Repeat([]byte("x"), 101))} {
			if _, err := w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: item}); !errors.Is(err, ErrEntry) {
				t.Errorf("%q: %v", item, err)
			}
			if d, err := w.g.Ask(w.ctx, c, itemMail(w.acme, item)); !errors.Is(err, ErrUse) || d.Allowed {
				t.Errorf("%q: %+v, %v", item, d, err)
			}
		}
		for _, e := range []Entry{
			{Action: Grant, Channel: Email, Item: paper}, {Action: Grant, Company: w.acme, Item: paper},
			{Action: Object, Item: paper}, {Action: Restrict, Item: paper}, {Action: Lift, Item: paper},
		} {
			e.Contact = c
			if _, err := w.try(e); !errors.Is(err, ErrEntry) {
				t.Errorf("%+v: %v", e, err)
			}
		}
		err := w.db.Tx(w.ctx, func(tx *schema.Tx) error {
			_, err := w.l.Record(w.ctx, tx, Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: paper, How: ByForm})
			return err
		})
		if !errors.Is(err, ErrUnknownNotice) {
			t.Errorf("without a notice: %v", err)
		}
		for _, who := range []id.Contact{c, 99} {
			err = w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Served(w.ctx, tx, who, w.acme, Email, paper, "mailer") })
			if who == c && err != nil || who == 99 && !errors.Is(err, ErrNoEntry) {
				t.Errorf("served to contact %d, who did not ask: %v", who, err)
			}
		}
	})
}

func TestItemsAreWhatTheLedgerSays(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		for _, k := range []struct{ name, statement string }{
			{"another item", `UPDATE consent_items SET item = 'other' WHERE contact = ?`},
			{"another time", `UPDATE consent_items SET granted_at = granted_at - 1 WHERE contact = ?`},
			{"another notice", `UPDATE consent_items SET notice = 'v0' WHERE contact = ?`},
			{"one is gone", `DELETE FROM consent_items WHERE contact = ?`},
			{"one is added", `INSERT INTO consent_items (contact, company, channel, item, granted_at, notice) SELECT contact, company, channel, 'other', granted_at, notice FROM consent_items WHERE contact = ?`},
		} {
			c := w.contact("", "")
			w.wish(c, w.acme, paper)
			w.clean()
			before := w.items(c)
			w.exec(k.statement, c)
			found, err := w.l.Verify(w.ctx, "")
			w.ok(err)
			if len(found) != 1 || found[0].Problem != StateDiffers {
				t.Errorf("%s: found %v", k.name, found)
			}
			w.tx(func(tx *schema.Tx) error { return w.l.Rebuild(w.ctx, tx, c) })
			w.clean()
			if got := w.items(c); !reflect.DeepEqual(got, before) {
				t.Errorf("%s: rebuilt as %+v, was %+v", k.name, got, before)
			}
		}
		c := w.contact("", "")
		w.wish(c, w.acme, paper)
		w.unguarded(`UPDATE consent_ledger SET item = '' WHERE subject = (SELECT subject FROM consent_subjects WHERE contact = ?)`, c)
		found, err := w.l.Verify(w.ctx, "")
		w.ok(err)
		if len(found) != 1 || found[0].Problem != RowChanged {
			t.Errorf("the ledger's item was taken out: found %v", found)
		}
	})
}

// A row without an item is sealed as rows were before there were items.
func TestAListOfASourceServesNoItem(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("corporate", "GB")
		w.from(c, w.broker)
		w.wish(c, w.acme, paper)
		u := itemMail(w.acme, paper)
		w.want(c, u, "")
		if d := w.ask(c, u); !slices.Equal(d.Cite, []id.Source{w.broker}) {
			t.Errorf("the mail cites %v", d.Cite)
		}
		for _, source := range []string{"0", "1"} {
			a, err := w.g.Allowed(u, "c.id", "s.source")
			w.ok(err)
			r, err := w.g.Refusal(u, "c.id", "s.source")
			w.ok(err)
			var got struct {
				Allowed bool   `db:"allowed"`
				Reason  Reason `db:"reason"`
			}
			w.ok(w.db.Get(w.ctx, &got, `SELECT `+a.SQL+` AS allowed, `+r.SQL+` AS reason FROM contacts c CROSS JOIN (SELECT `+source+` AS source) s WHERE c.id = ?`, append(append(a.Args, r.Args...), c)...))
			if own := source == "0"; got.Allowed != own || got.Reason != map[bool]Reason{true: "", false: Unreadable}[own] {
				t.Errorf("source %s: got %+v", source, got)
			}
		}
	})
}
