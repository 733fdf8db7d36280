package consent

import (
	"errors"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

func (w *world) suppress(b Block, emails ...string) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error { return w.l.SuppressMany(w.ctx, tx, emails, b) })
}

func (w *world) suppressed(emails ...string) map[string]Block {
	w.t.Helper()
	m, err := w.l.Suppressed(w.ctx, w.db, emails)
	w.ok(err)
	return m
}

func TestL7ASuppressedAddressIsBlockedWhenItIsImported(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.suppress(BlockObjected, "Jane@Example.org", "jane@example.org")
		w.suppress(BlockBounced, "jane@example.org")
		w.suppress(BlockUnderAge, "kid@example.org")
		if m := w.suppressed(" JANE@example.org", "kid@example.org", "joe@example.org", "no address"); len(m) != 1 || m["jane@example.org"] != BlockObjected|BlockBounced {
			t.Errorf("got %v", m)
		}
		at := schema.At(w.clock)
		w.pass(time.Hour)
		c := w.contactAt("jane@example.org", "corporate", "GB")
		w.from(c, w.broker)
		w.want(c, listMail(w.acme, letter, w.broker), Objected)
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 2 || rows[0].Action != Object || rows[0].How != bySuppression || rows[0].Captured != at {
			t.Errorf("the ledger says %+v", rows)
		}
		w.clean()
		w.grant(c, w.acme, letter)
		w.want(c, mail(w.acme, letter), "")
		if m := w.suppressed("jane@example.org"); len(m) != 0 {
			t.Errorf("the person's own act left %v", m)
		}
	})
}

func TestSuppressingAHeldAddress(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contactAt("jane@example.org", "", "")
		w.grant(c, w.acme, letter)
		w.track(c, w.acme, true)
		w.suppress(BlockComplained, "jane@example.org", "joe@example.org")
		w.suppress(BlockComplained, "jane@example.org")
		w.want(c, mail(w.acme, letter), Complained)
		if d := w.ask(c, Use{Company: w.acme, Purpose: Track}); d.Allowed {
			t.Errorf("got %+v", d)
		}
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 3 {
			t.Errorf("doing it again added a row: %+v", rows)
		}
		if m := w.suppressed("jane@example.org", "joe@example.org"); len(m) != 2 {
			t.Errorf("got %v", m)
		}
		err = w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Suppress(w.ctx, tx, "nobody", BlockBounced) })
		if !errors.Is(err, ErrAddress) {
			t.Errorf("got %v", err)
		}
	})
}

func TestANoThroughTheLedgerSuppressesTheAddress(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contactAt("jane@example.org", "", "")
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme})
		if m := w.suppressed("jane@example.org"); len(m) != 0 {
			t.Errorf("a withdrawal from one company: %v", m)
		}
		w.record(Entry{Contact: c, Action: Restrict})
		if m := w.suppressed("jane@example.org"); len(m) != 0 {
			t.Errorf("a restriction: %v", m)
		}
		w.record(Entry{Contact: c, Action: Withdraw})
		if m := w.suppressed("jane@example.org"); m["jane@example.org"] != BlockWithdrawn {
			t.Errorf("a withdrawal from everything: %v", m)
		}
	})
}

func TestForgettingLeavesAKeyedHashAtMost(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		for _, k := range []struct {
			name  string
			leave Block
			no    bool
			want  Block
		}{
			{"an erasure", BlockErased, false, BlockErased},
			{"an erasure of somebody who objected", BlockErased, true, BlockErased | BlockObjected},
			{"the end of a retention period", 0, false, 0},
			{"the end of a retention period of somebody who objected", 0, true, BlockObjected},
			{"S7: a child", BlockUnderAge, false, 0},
			{"S7: a child who objected", BlockUnderAge, true, 0},
		} {
			t.Run(k.name, func(t *testing.T) {
				w.t = t
				w.n++
				c := w.contactAt("gone@example.org", "", "")
				w.grant(c, w.acme, letter)
				w.track(c, w.acme, true)
				w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Own: true, Evidence: map[string]string{"form": "1"}})
				w.tx(func(tx *schema.Tx) error {
					_, err := w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByForm}, time.Hour)
					return err
				})
				if k.no {
					w.record(Entry{Contact: c, Action: Object})
				}
				w.tx(func(tx *schema.Tx) error {
					if err := w.l.Forget(w.ctx, tx, c, k.leave); err != nil {
						return err
					}
					_, err := tx.Exec(w.ctx, `DELETE FROM contacts WHERE id = ?`, c)
					return err
				})
				for _, table := range []string{"consent_subjects", "consent_state", "consent_tracking", "consent_evidence", "consent_requests"} {
					var n int
					w.ok(w.db.Get(w.ctx, &n, `SELECT count(*) FROM `+table))
					if n != 0 {
						t.Errorf("%d rows of %s are left", n, table)
					}
				}
				if got := w.suppressed("gone@example.org")["gone@example.org"]; got != k.want {
					t.Errorf("suppressed by %d, want %d", got, k.want)
				}
				w.clean()
				w.exec(`DELETE FROM suppressions`)
			})
		}
		w.t = t
		w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, 99, BlockErased) })
	})
}

func TestAnErasedPersonMayComeBackByThemselves(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.suppress(BlockErased, "back@example.org")
		c := w.contactAt("back@example.org", "", "")
		w.want(c, mail(w.acme, letter), Erased)
		r := w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByImport})
		if r.Outcome != Refused {
			t.Errorf("got %+v", r)
		}
		w.grant(c, w.acme, letter)
		w.want(c, mail(w.acme, letter), "")
		w.want(c, mail(w.bolt, letter), Withdrawn)
	})
}

func TestANewAddress(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		readdress := func(c id.Contact, email string) error {
			return w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				if _, err := tx.Exec(w.ctx, `UPDATE contacts SET email = ? WHERE id = ?`, email, c); err != nil {
					return err
				}
				return w.l.Readdress(w.ctx, tx, c, email)
			})
		}
		t.Run("keeps the consent", func(t *testing.T) {
			w.t = t
			c := w.contactAt("a@example.org", "", "")
			w.grant(c, w.acme, letter)
			w.ok(readdress(c, "b@example.org"))
			w.want(c, mail(w.acme, letter), "")
			w.suppress(BlockBounced, "a@example.org")
			w.want(c, mail(w.acme, letter), "")
			w.suppress(BlockBounced, "b@example.org")
			w.want(c, mail(w.acme, letter), Bounced)
		})
		t.Run("that is suppressed blocks", func(t *testing.T) {
			w.t = t
			w.suppress(BlockComplained, "d@example.org")
			c := w.contactAt("c@example.org", "", "")
			w.grant(c, w.acme, letter)
			w.ok(readdress(c, "d@example.org"))
			w.want(c, mail(w.acme, letter), Complained)
		})
		t.Run("of somebody who objected is suppressed as the old one stays", func(t *testing.T) {
			w.t = t
			c := w.contactAt("e@example.org", "", "")
			w.record(Entry{Contact: c, Action: Object})
			w.ok(readdress(c, "f@example.org"))
			w.want(c, mail(w.acme, letter), Objected)
			if m := w.suppressed("e@example.org", "f@example.org"); len(m) != 2 {
				t.Errorf("got %v", m)
			}
		})
		w.t = t
		w.clean()
		err := w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Readdress(w.ctx, tx, 99, "g@example.org") })
		if !errors.Is(err, ErrNoEntry) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSubjectsSayNothing(t *testing.T) {
	seen := map[id.Subject]bool{}
	inOrder := 0
	for range 20 {
		ids := newSubjects(batch)
		for i, s := range ids {
			if s <= 0 || seen[s] {
				t.Fatalf("subject %d", s)
			}
			seen[s] = true
			if i > 0 && s == ids[i-1]+1 {
				inOrder++
			}
		}
	}
	if inOrder > 100 {
		t.Errorf("%d of 10,000 subjects follow the one before", inOrder)
	}
	if a, b := newSubjects(1)[0], newSubjects(1)[0]; a == b || a <= 0 {
		t.Error("not random")
	}
}

func TestAShortHashKeyIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was taken")
		}
	}()
	NewLedger(nil, LedgerOptions{HashKey: []byte("short")})
}
