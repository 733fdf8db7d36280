package consent

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

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
		found, err := w.l.Verify(w.ctx, "")
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
		found, err := w.l.Verify(w.ctx, "")
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
