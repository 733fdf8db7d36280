package consent

import (
	"errors"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

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
