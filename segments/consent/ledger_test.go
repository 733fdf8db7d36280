package consent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestWhatAnEntryNeeds(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		yes := true
		good := Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByForm}
		for _, k := range []struct {
			name   string
			change func(*Entry)
			want   error
		}{
			{"a contact", func(e *Entry) { e.Contact = 0 }, ErrEntry},
			{"a registered contact", func(e *Entry) { e.Contact = 99 }, ErrNoEntry},
			{"an action", func(e *Entry) { e.Action = "" }, ErrEntry},
			{"a way in which it came", func(e *Entry) { e.How = "rumour" }, ErrEntry},
			{"a company", func(e *Entry) { e.Company = 0 }, ErrEntry},
			{"a known company", func(e *Entry) { e.Company = 99 }, ErrUnknownCompany},
			{"a channel", func(e *Entry) { e.Channel = "" }, ErrEntry},
			{"something that is agreed to", func(e *Entry) { e.Types = nil }, ErrEntry},
			{"a notice", func(e *Entry) { e.Notice = "" }, ErrUnknownNotice},
			{"a known notice", func(e *Entry) { e.Notice = "v9" }, ErrUnknownNotice},
			{"a time that is not in the future", func(e *Entry) { e.Captured = schema.At(w.clock.Add(6 * time.Minute)) }, ErrFuture},
			{"a confirmation that is not in the future", func(e *Entry) { e.Confirmed = schema.At(w.clock.Add(time.Hour)) }, ErrFuture},
			{"a time after 1970", func(e *Entry) { e.Captured = -1 }, ErrEntry},
			{"an actor that is text", func(e *Entry) { e.Actor = "a\x00b" }, ErrEntry},
			{"a notice that is text", func(e *Entry) { e.Notice = "v1\x00" }, ErrUnknownNotice},
			{"a short actor", func(e *Entry) { e.Actor = strings.Repeat("x", 201) }, ErrEntry},
			{"no tracking with a withdrawal", func(e *Entry) { e.Action, e.Tracking = Withdraw, &yes }, ErrEntry},
		} {
			e := good
			k.change(&e)
			err := w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				_, err := w.l.Record(w.ctx, tx, e)
				return err
			})
			if !errors.Is(err, k.want) {
				t.Errorf("%s: got %v, want %v", k.name, err, k.want)
			}
		}
		for _, k := range []struct {
			change func(*Entry)
			want   ErrUnknownSlug
		}{
			{func(e *Entry) { e.Types = []string{letter, "spam"} }, ErrUnknownSlug{KindType, "spam"}},
			{func(e *Entry) { e.Topics = []string{"love"} }, ErrUnknownSlug{KindTopic, "love"}},
			{func(e *Entry) { e.Channel = "fax" }, ErrUnknownSlug{KindChannel, "fax"}},
		} {
			e := good
			k.change(&e)
			_, err := w.try(e)
			var slug *ErrUnknownSlug
			if !errors.As(err, &slug) || *slug != k.want {
				t.Errorf("got %v, want %v", err, k.want)
			}
		}
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 0 {
			t.Errorf("something was recorded: %+v", rows)
		}
		ahead := good
		ahead.Captured = schema.At(w.clock.Add(time.Minute))
		w.record(ahead)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Notice: "v9"})
		rows, err = w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if rows[0].Captured > rows[0].Recorded {
			t.Error("a clock that is a little ahead put an entry into the future")
		}
		if len(rows) != 2 || rows[1].Notice != "" {
			t.Errorf("a no was lost over its notice, or names one that is not stored: %+v", rows)
		}
	})
}

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

func TestATypeThatLeftTheCatalogueIsNobodysConsent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c, d := w.contact("", ""), w.contact("", "")
		w.grant(c, w.acme, letter, promo)
		w.grant(d, w.acme, letter)
		w.record(Entry{Contact: d, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{promo}})
		w.exec(`DELETE FROM catalogue WHERE slug = ?`, promo)
		cat, err := LoadCatalogue(w.ctx, w.db)
		w.ok(err)
		w.g = NewGate(w.db, cat, GateOptions{Now: w.l.now})
		if got, err := w.g.Ask(w.ctx, c, mail(w.acme, promo)); err == nil || got.Allowed {
			t.Errorf("got %+v, %v", got, err)
		}
		w.clean()
		for _, who := range []id.Contact{c, d} {
			w.want(who, mail(w.acme, letter), "")
			r := w.record(Entry{Contact: who, Action: Withdraw, Company: w.acme, Captured: 1, How: ByPhone})
			if !r.Applied {
				t.Errorf("a late no: %+v", r)
			}
			w.want(who, mail(w.acme, letter), "") // the person's own later yes
			w.tx(func(tx *schema.Tx) error { return w.l.Rebuild(w.ctx, tx, who) })
			w.want(who, mail(w.acme, letter), "")
		}
		w.clean()
	})
}

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

func TestL9ARequestIsNothingUntilItIsConfirmed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.record(Entry{Contact: c, Action: Object})
		ask := func() (r id.Request) {
			w.tx(func(tx *schema.Tx) (err error) {
				r, err = w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByAPI,
					Evidence: map[string]string{"form": "footer"}}, 24*time.Hour)
				return err
			})
			return r
		}
		confirm := func(r id.Request) (res Result, err error) {
			err = w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				res, err = w.l.Confirm(w.ctx, tx, r)
				return err
			})
			return res, err
		}
		first, second := ask(), ask()
		requested := w.clock
		w.want(c, mail(w.acme, letter), Objected)
		shown, err := w.l.Requested(w.ctx, w.db, first)
		w.ok(err)
		if shown.Entry.Contact != c || !equal(shown.Entry.Types, []string{letter}) || shown.Confirmed != 0 || shown.RequestedAt != schema.At(requested) {
			t.Errorf("got %+v", shown)
		}
		w.pass(time.Hour)
		if r, err := confirm(first); err != nil || r.Outcome != Applied {
			t.Fatalf("got %+v, %v", r, err)
		}
		w.want(c, mail(w.acme, letter), "")
		if _, err := confirm(first); !errors.Is(err, ErrExpired) {
			t.Errorf("twice: %v", err)
		}
		w.pass(23 * time.Hour)
		if _, err := confirm(second); !errors.Is(err, ErrExpired) {
			t.Errorf("too late: %v", err)
		}
		if _, err := confirm(99); !errors.Is(err, ErrNoEntry) {
			t.Errorf("unknown: %v", err)
		}
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		last := rows[len(rows)-1]
		if last.Action != Grant || !last.Own || last.Requested != schema.At(requested) || last.Confirmed != schema.At(requested.Add(time.Hour)) {
			t.Errorf("got %+v", last)
		}
	})
}

func TestL8TheLedgerProves(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		before := schema.At(w.clock) - 1
		yes := true
		evidence := map[string]string{"shown": "May we write to you?", "ip": "192.0.2.0/24"}
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{promo, letter, letter}, Topics: []string{"transport"}, Tracking: &yes,
			How: ByForm, Own: true, Actor: "contact", Evidence: evidence})
		granted := schema.At(w.clock) - 1
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByPhone, Actor: "desk"})
		withdrawn := schema.At(w.clock) - 1
		w.record(Entry{Contact: c, Action: Object})

		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		r := rows[0]
		notice, err := NewNotices(w.db, nil).Get(w.ctx, "v1")
		w.ok(err)
		if len(rows) != 3 || r.Company != "acme" || !equal(r.Types, []string{letter, promo}) || r.Tracking == nil || !*r.Tracking || r.Notice != "v1" || r.NoticeHash != notice.Hash ||
			r.Actor != "contact" || !r.Own || r.Outcome != Applied || !reflect.DeepEqual(r.Evidence, evidence) {
			t.Errorf("got %+v", rows)
		}
		var plain int
		w.ok(w.db.Get(w.ctx, &plain, `SELECT count(*) FROM consent_ledger WHERE actor LIKE '%192.0.2%' OR types LIKE '%192.0.2%' OR outcome LIKE '%May we%'`))
		if plain > 0 {
			t.Error("evidence is in the ledger")
		}
		for _, k := range []struct {
			at      schema.Time
			granted []string
			tracked bool
			blocks  Block
		}{
			{before, nil, false, 0},
			{granted, []string{letter, promo}, true, 0},
			{withdrawn, []string{promo}, true, 0},
			{schema.At(w.clock), []string{}, false, BlockObjected},
		} {
			state, blocks, err := w.l.StateAt(w.ctx, w.db, c, k.at)
			w.ok(err)
			i := slices.IndexFunc(state, func(s Standing) bool { return s.Company == w.acme && s.Channel == Email })
			if k.granted == nil {
				if i >= 0 || len(state) > 0 {
					t.Errorf("before all: %+v", state)
				}
				continue
			}
			if i < 0 || !equal(state[i].Granted, sorted(w.cat, k.granted)) || state[i].Tracking.Open != k.tracked || blocks != k.blocks {
				t.Errorf("at %v: got %+v, %d", k.at, state, blocks)
			}
		}
		now, err := w.l.State(w.ctx, w.db, c)
		w.ok(err)
		then, blocks, err := w.l.StateAt(w.ctx, w.db, c, schema.At(w.clock))
		w.ok(err)
		if !reflect.DeepEqual(now, then) {
			t.Errorf("now %+v, folded %+v", now, then)
		}
		if b, err := w.l.Blocks(w.ctx, w.db, c); b != blocks || err != nil {
			t.Errorf("blocks %d, %v", b, err)
		}
	})
}

func sorted(c *Catalogue, slugs []string) []string {
	m, _ := c.Mask(KindType, slugs)
	return c.Slugs(KindType, m)
}

func TestRecordManyTellsWhatIsWrongWithEach(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const n = batch + 20
		contacts := make([]Contact, n)
		entries := make([]Entry, n)
		w.tx(func(tx *schema.Tx) error {
			for i := range n {
				email := fmt.Sprintf("many%d@example.org", i)
				if err := tx.Get(w.ctx, &contacts[i].ID, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, 1, 1) RETURNING id`, email); err != nil {
					return err
				}
				contacts[i].Email = email
				entries[i] = Entry{Contact: contacts[i].ID, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByImport, Evidence: map[string]string{"line": "1"}}
			}
			entries[3].Types = []string{"spam"}
			entries[n-2].Contact = 1 << 40
			entries[n-1] = Entry{Contact: contacts[0].ID, Action: Withdraw, How: ByImport}
			if err := w.l.Register(w.ctx, tx, contacts); err != nil {
				return err
			}
			rs, err := w.l.RecordMany(w.ctx, tx, entries)
			if err != nil {
				return err
			}
			var slug *ErrUnknownSlug
			for i, r := range rs {
				switch {
				case i == 3 && errors.As(r.Err, &slug), i == n-2 && errors.Is(r.Err, ErrNoEntry):
				case i == n-1 && r.Seq == 2 && r.Outcome == Applied:
				case r.Err == nil && r.Seq == 1 && r.Outcome == Applied && i != 3 && i < n-2:
				default:
					t.Errorf("entry %d: %+v", i, r)
				}
			}
			return nil
		})
		w.want(contacts[1].ID, mail(w.acme, letter), "")
		w.want(contacts[3].ID, mail(w.acme, letter), NoEvidence)
		w.want(contacts[0].ID, mail(w.acme, letter), Withdrawn)
		found, err := w.l.Verify(w.ctx)
		w.ok(err)
		if len(found) > 0 {
			t.Errorf("got %v", found)
		}
	})
}

func TestEnrolIsRegisterAndRecord(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.tx(func(tx *schema.Tx) error { return w.l.Suppress(w.ctx, tx, "two@example.org", BlockObjected) })
		contacts := []Contact{{0, "one@example.org"}, {0, "two@example.org"}}
		var rs []Result
		w.tx(func(tx *schema.Tx) error {
			var entries []Entry
			for i := range contacts {
				if err := tx.Get(w.ctx, &contacts[i].ID, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, 1, 1) RETURNING id`, contacts[i].Email); err != nil {
					return err
				}
				entries = append(entries, Entry{Contact: contacts[i].ID, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByImport})
			}
			entries = append(entries, Entry{Contact: 77, Action: Withdraw, How: ByImport})
			var err error
			rs, err = w.l.Enrol(w.ctx, tx, contacts, entries)
			return err
		})
		if rs[0].Outcome != Applied || rs[1].Outcome != Refused || rs[1].Seq != 2 || !errors.Is(rs[2].Err, ErrNoEntry) {
			t.Errorf("got %+v", rs)
		}
		w.want(contacts[0].ID, mail(w.acme, letter), "")
		w.want(contacts[1].ID, mail(w.acme, letter), Objected)
		err := w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Register(w.ctx, tx, contacts[:1]) })
		if !schema.IsUnique(err) {
			t.Errorf("registered twice: %v", err)
		}
		err = w.db.Tx(w.ctx, func(tx *schema.Tx) error {
			return w.l.Register(w.ctx, tx, []Contact{{contacts[0].ID, "not an address"}})
		})
		if !errors.Is(err, ErrAddress) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTwoEntriesForOneContactAtOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					err := w.db.Tx(w.ctx, func(tx *schema.Tx) error {
						_, err := w.l.Record(w.ctx, tx, Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByForm})
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		found, err := w.l.Verify(w.ctx)
		w.ok(err)
		if len(rows) != 40 || len(found) > 0 {
			t.Errorf("%d rows, %v", len(rows), found)
		}
	})
}

func TestAnAddressIsNotRegisteredWhileItIsSuppressed(t *testing.T) {
	w := newWorld(t, servertest.Postgres(t))
	const email = "race@example.org"
	suppressing, registered := make(chan struct{}), make(chan error, 1)
	w.tx(func(tx *schema.Tx) error {
		if err := w.l.Suppress(w.ctx, tx, email, BlockObjected); err != nil {
			return err
		}
		go func() {
			var c id.Contact
			registered <- w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				if err := tx.Get(w.ctx, &c, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, 1, 1) RETURNING id`, email); err != nil {
					return err
				}
				close(suppressing)
				return w.l.Register(w.ctx, tx, []Contact{{c, email}})
			})
		}()
		<-suppressing
		return nil
	})
	w.ok(<-registered)
	var b Block
	w.ok(w.db.Get(w.ctx, &b, `SELECT blocks FROM consent_subjects`))
	if b != BlockObjected {
		t.Errorf("blocks %d", b)
	}
}
