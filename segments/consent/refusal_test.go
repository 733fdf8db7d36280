package consent

import (
	"errors"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

func TestL17OnlyThePersonsOwnActLiftsANo(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		yes := Entry{Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}}
		with := func(how How, own bool) Entry {
			e := yes
			e.How, e.Own = how, own
			return e
		}
		suppress := func(b Block) func(c id.Contact) {
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
		say := func(e Entry) func(c id.Contact) {
			return func(c id.Contact) {
				e.Contact = c
				w.record(e)
			}
		}
		for _, n := range []struct {
			name   string
			no     func(c id.Contact)
			lifted bool
		}{
			{"a withdrawal of the type", say(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}}), true},
			{"a withdrawal from the company", say(Entry{Action: Withdraw, Company: w.acme}), true},
			{"a withdrawal from everything", say(Entry{Action: Withdraw}), true},
			{"an objection", say(Entry{Action: Object}), true},
			{"an objection to the channel", say(Entry{Action: Object, Channel: Email}), true},
			{"a bounce", suppress(BlockBounced), true},
			{"a complaint", suppress(BlockComplained), true},
			{"an erasure", suppress(BlockErased), true},
			{"an age under 13", suppress(BlockUnderAge), false},
		} {
			t.Run(n.name, func(t *testing.T) {
				w.t = t
				c := w.contact("", "")
				w.grant(c, w.acme, letter)
				w.grant(c, w.bolt, letter)
				n.no(c)
				refusal := w.ask(c, mail(w.acme, letter)).Reason
				if refusal == "" {
					t.Fatal("the no does nothing")
				}
				e := with(ByImport, true)
				e.Contact = c
				if r := w.record(e); r.Outcome != Refused || r.Applied {
					t.Errorf("an import: %+v", r)
				}
				e = with(ByAPI, false)
				e.Contact = c
				if _, err := w.try(e); !errors.Is(err, ErrNotOwnAct) {
					t.Errorf("an API call: %v", err)
				}
				w.want(c, mail(w.acme, letter), refusal)
				e = with(ByPage, true)
				e.Contact, e.Captured = c, schema.At(w.clock.Add(-time.Hour))
				if r := w.record(e); r.Applied {
					t.Errorf("the person's own act from before the no: %+v", r)
				}
				w.want(c, mail(w.acme, letter), refusal)
				e.Captured = 0
				if r := w.record(e); r.Applied != n.lifted {
					t.Errorf("the person's own act: %+v", r)
				}
				if !n.lifted {
					w.want(c, mail(w.acme, letter), refusal)
					return
				}
				w.want(c, mail(w.acme, letter), "")
				if n.name != "a bounce" && n.name != "a withdrawal of the type" && n.name != "a withdrawal from the company" {
					w.want(c, mail(w.bolt, letter), Withdrawn)
				}
				if b, err := w.l.Blocks(w.ctx, w.db, c); b != 0 || err != nil {
					t.Errorf("blocks %d, %v", b, err)
				}
			})
		}
		w.t = t
	})
}

func TestANoHoldsForWhatComesLater(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.record(Entry{Contact: c, Action: Withdraw, Channel: Email})
		third := w.company("third")
		r := w.record(Entry{Contact: c, Action: Grant, Company: third, Channel: Email, Types: []string{letter}, How: ByImport})
		if r.Outcome != Refused {
			t.Errorf("a company that was founded after the no: %+v", r)
		}
		r = w.record(Entry{Contact: c, Action: Grant, Company: third, Channel: Post, Types: []string{letter}, How: ByImport})
		if r.Outcome != Applied {
			t.Errorf("a channel that was not refused: %+v", r)
		}
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme})
		r = w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Post, Types: []string{letter}, How: ByImport})
		if r.Outcome != Refused {
			t.Errorf("a channel of a company that was refused wholly: %+v", r)
		}
	})
}

func TestPartOfAGrantOverPartOfANo(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}})
		both := Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter, promo}}
		both.How = ByAPI
		if _, err := w.try(both); !errors.Is(err, ErrNotOwnAct) {
			t.Errorf("API: %v", err)
		}
		both.How = ByImport
		if r := w.record(both); r.Outcome != Partly || !r.Applied {
			t.Errorf("import: %+v", r)
		}
		w.want(c, mail(w.acme, letter), Withdrawn)
		w.want(c, mail(w.acme, promo), "")
	})
}

func TestOlderEntries(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		at := func(minutes int) schema.Time { return schema.At(w.clock.Add(time.Duration(minutes) * time.Minute)) }
		t.Run("a yes older than the state is recorded, not applied", func(t *testing.T) {
			w.t = t
			c := w.contact("", "")
			w.grant(c, w.acme, letter)
			r := w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{promo}, Own: true, Captured: at(-60)})
			if r.Outcome != Older || r.Applied || r.Seq != 2 {
				t.Errorf("got %+v", r)
			}
			w.want(c, mail(w.acme, promo), OtherConsent)
		})
		t.Run("a late no loses against the person's own later yes to the same, and against nothing else", func(t *testing.T) {
			w.t = t
			c := w.contact("", "")
			for _, e := range []Entry{
				{Company: w.acme, Types: []string{letter}, Captured: at(-10), Own: true},
				{Company: w.acme, Types: []string{promo}, Captured: at(-9), How: ByImport},
				{Company: w.bolt, Types: []string{letter}, Captured: at(-30), Own: true},
			} {
				e.Contact, e.Action, e.Channel = c, Grant, Email
				w.record(e)
			}
			if r := w.record(Entry{Contact: c, Action: Withdraw, Captured: at(-20), How: ByPhone}); !r.Applied {
				t.Errorf("got %+v", r)
			}
			w.want(c, mail(w.acme, letter), "")
			w.want(c, mail(w.acme, promo), Withdrawn)
			w.want(c, mail(w.bolt, letter), Withdrawn)
			r := w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}, Captured: at(-20), How: ByPhone})
			if r.Outcome != Older {
				t.Errorf("got %+v", r)
			}
			w.want(c, mail(w.acme, letter), "")
		})
		t.Run("what happens now counts as last, though another node's clock was ahead", func(t *testing.T) {
			w.t = t
			c := w.contact("", "")
			w.pass(time.Minute)
			w.grant(c, w.acme, letter)
			w.track(c, w.acme, true)
			w.pass(-2 * time.Minute)
			w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}})
			w.want(c, mail(w.acme, letter), Withdrawn)
			if d := w.ask(c, Use{Company: w.acme, Purpose: Track}); d.Allowed {
				t.Errorf("got %+v", d)
			}
		})
		w.t = t
	})
}
