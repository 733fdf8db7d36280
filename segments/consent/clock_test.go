package consent

import (
	"context"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// clockOf is what the expressions of clock.go say of a contact.
type clockOf struct {
	Known, Acme, Bolt, Consents, Restrains  bool
	Consented, Changed, Refused, RequestedA schema.Time
}

func (w *world) clockOf(c id.Contact) (got clockOf) {
	w.t.Helper()
	fragments := []Fragment{Known("c.id"), KnownTo("c.id", "1"), KnownTo("c.id", "2"), Consents("c.id"), Restrains("c.id"),
		ConsentedAt("c.id"), ChangedAt("c.id"), RefusedAt("c.id"), RequestedAt("c.id")}
	sql, args := "SELECT ", []any{}
	for i, f := range fragments {
		if i > 0 {
			sql += ", "
		}
		sql, args = sql+f.SQL, append(args, f.Args...)
	}
	rows, err := w.db.Query(w.ctx, sql+` FROM contacts c WHERE c.id = ?`, append(args, c)...)
	w.ok(err)
	defer rows.Close()
	if !rows.Next() {
		w.t.Fatal("no such contact")
	}
	w.ok(rows.Scan(&got.Known, &got.Acme, &got.Bolt, &got.Consents, &got.Restrains, &got.Consented, &got.Changed, &got.Refused, &got.RequestedA))
	return got
}

func TestS25ClocksSayWhatTheLedgerHolds(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		if w.acme != 1 || w.bolt != 2 {
			t.Fatalf("companies %d and %d", w.acme, w.bolt)
		}
		c := w.contact("", "GB")
		is := func(what string, want clockOf) {
			t.Helper()
			if got := w.clockOf(c); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		want := clockOf{Known: true}
		is("registered", want)
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Item: "guide", Own: true})
		at := schema.At(w.clock.Add(-time.Second))
		want.Acme, want.Consents, want.Consented, want.Changed = true, true, at, at
		is("a one-off request is a consent", want)
		w.pass(time.Hour)
		w.tx(func(tx *schema.Tx) error { return w.l.Served(w.ctx, tx, c, w.acme, Email, "guide", "test") })
		want.Consents, want.Consented, want.Changed = false, 0, schema.At(w.clock)
		is("served, it is neither a consent nor a no", want)

		c = w.contact("", "GB")
		w.pass(time.Hour)
		w.grant(c, w.bolt, "newsletter", "product-updates")
		first := schema.At(w.clock.Add(-time.Second))
		want = clockOf{Known: true, Bolt: true, Consents: true, Consented: first, Changed: first}
		is("a consent", want)
		w.pass(time.Hour)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.bolt, Channel: Email, Types: []string{"newsletter"}})
		want.Refused = schema.At(w.clock.Add(-time.Second))
		want.Changed = want.Refused
		is("a partial no", want)
		w.pass(time.Hour)
		w.record(Entry{Contact: c, Action: Restrict})
		want.Restrains = true
		is("restricted: the consent stands all the same", want)
		w.record(Entry{Contact: c, Action: Lift})
		want.Restrains = false
		is("lifted", want)
		w.pass(time.Hour)
		w.record(Entry{Contact: c, Action: Object})
		want.Consents, want.Consented, want.Refused = false, 0, schema.At(w.clock.Add(-time.Second))
		want.Changed = want.Refused
		is("an objection to everything", want)

		c = w.contact("", "GB")
		w.tx(func(tx *schema.Tx) error {
			_, err := w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{"newsletter"}, Notice: "v1", How: ByForm}, time.Hour)
			return err
		})
		is("a request is no consent", clockOf{Known: true, Acme: true, RequestedA: schema.At(w.clock)})
		w.track(c, w.bolt, true)
		if got := w.clockOf(c); !got.Bolt || got.Consents || got.Changed == 0 {
			t.Errorf("tracking alone: %+v", got)
		}
		w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, c, 0) })
		is("forgotten", clockOf{})
	})
}

// TestS25NoesOutliveWhomTheyAreOf: each that stood, and none that had been taken back.
func TestS25NoesOutliveWhomTheyAreOf(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const address = "jo@example.org"
		c := w.contactAt(address, "", "GB")
		w.grant(c, w.acme, "newsletter", "product-updates")
		w.grant(c, w.bolt, "newsletter")
		w.track(c, w.acme, true)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{"newsletter", "company-updates"}})
		w.grant(c, w.acme, "company-updates") // taken back
		w.track(c, w.acme, false)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.bolt, Channel: Phone})
		w.pass(time.Hour)
		forget := func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
			if err := w.l.Forget(ctx, tx, who, 0); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM contacts WHERE id = ?`, who)
			return err
		}
		w.tx(func(tx *schema.Tx) error { return w.l.Outlive(w.ctx, tx, c, forget) })
		again := w.contactAt(address, "", "GB")
		w.pass(time.Second)
		yes := true
		for _, e := range []struct {
			what string
			Entry
			want bool
		}{
			{"the type that was withdrawn", Entry{Company: w.acme, Channel: Email, Types: []string{"newsletter"}}, false},
			{"the type that was taken up again", Entry{Company: w.acme, Channel: Email, Types: []string{"company-updates"}}, true},
			{"another type", Entry{Company: w.acme, Channel: Email, Types: []string{"product-updates"}}, true},
			{"tracking", Entry{Company: w.acme, Channel: Email, Tracking: &yes}, false},
			{"a channel that was withdrawn", Entry{Company: w.bolt, Channel: Phone, Types: []string{"newsletter"}}, false},
			{"another channel", Entry{Company: w.bolt, Channel: Email, Types: []string{"newsletter"}}, true},
		} {
			e.Entry.Contact, e.Entry.Action, e.Entry.How = again, Grant, ByImport
			if r := w.record(e.Entry); r.Applied != e.want {
				t.Errorf("an import's yes to %s: %+v", e.what, r)
			}
		}
		w.grant(again, w.acme, "newsletter")
		w.want(again, mail(w.acme, "newsletter"), "")

		w.tx(func(tx *schema.Tx) error { return w.l.Outlive(w.ctx, tx, again, forget) })
		w.tx(func(tx *schema.Tx) error { return w.l.Outlive(w.ctx, tx, again, forget) }) // nobody any more
	})
}

// TestS26NoesOutliveARestoreToo: the journal of a retention run, applied where it is known and to a
// database of before, ends in the same noes.
func TestS26NoesOutliveARestoreToo(t *testing.T) {
	eachPair(t, func(t *testing.T, now, restored *world) {
		const address = "jo@example.org"
		forget := func(w *world) func(context.Context, *schema.Tx, id.Contact) error {
			return func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
				if err := w.l.Forget(ctx, tx, who, 0); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `DELETE FROM contacts WHERE id = ?`, who)
				return err
			}
		}
		who := map[*world]id.Contact{}
		for _, w := range []*world{now, restored} {
			who[w] = w.contactAt(address, "", "GB")
			w.grant(who[w], w.acme, "newsletter", "product-updates")
			w.record(Entry{Contact: who[w], Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{"product-updates"}}) // in the backup
		}
		d := now.journaled()
		now.pass(time.Hour)
		now.record(Entry{Contact: who[now], Action: Withdraw, Company: now.acme, Channel: Email, Types: []string{"company-updates"}})
		now.tx(func(tx *schema.Tx) error { return now.l.Outlive(now.ctx, tx, who[now], forget(now)) })
		waiting := func(w *world) (rows []string) {
			w.ok(w.db.Select(w.ctx, &rows, `SELECT entry FROM consent_noes ORDER BY entry`))
			return rows
		}
		before := waiting(now)
		restored.clock = now.clock.Add(time.Hour)
		for _, n := range d.noes() {
			if n.Action != Erase {
				now.apply(n)
				restored.apply(n)
				continue
			}
			for _, w := range []*world{now, restored} {
				w.tx(func(tx *schema.Tx) error {
					held, _, err := w.l.Find(w.ctx, tx, n.Hash)
					if err != nil {
						return w.l.ForgetHash(w.ctx, tx, n.Hash, n.Block, n.At)
					}
					return forget(w)(w.ctx, tx, held)
				})
			}
		}
		if after := waiting(now); len(before) == 0 || len(after) < len(before) {
			t.Errorf("waiting: %v, were %v", after, before)
		}
		for _, w := range []*world{now, restored} {
			again := w.contactAt(address, "", "GB")
			for typ, want := range map[string]bool{"newsletter": true, "product-updates": false, "company-updates": false} {
				r := w.record(Entry{Contact: again, Action: Grant, Company: w.acme, Channel: Email, Types: []string{typ}, How: ByImport})
				if r.Applied != want {
					t.Errorf("restored %v: an import's yes to %s: %+v", w == restored, typ, r)
				}
			}
		}
	})
}
