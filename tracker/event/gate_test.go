package event

import (
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// person is contact 1 of seed with a ledger and the real gate.
type person struct {
	t      *testing.T
	db     *schema.DB
	ledger *consent.Ledger
	gate   *consent.Gate
	clock  time.Time
}

func newPerson(t *testing.T, db *schema.DB) *person {
	t.Helper()
	ctx := t.Context()
	p := &person{t: t, db: db, clock: day.T().Add(-24 * time.Hour)}
	now := func() time.Time { return p.clock }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(consent.Seed(ctx, db))
	catalogue, err := consent.LoadCatalogue(ctx, db)
	check(err)
	_, err = consent.NewNotices(db, now).Add(ctx, consent.Notice{Version: "v1", Language: "en", Text: "May we?"})
	check(err)
	p.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a hash key that is used in tests"), Now: now})
	p.gate = consent.NewGate(db, catalogue, consent.GateOptions{Now: now})
	check(db.Tx(ctx, func(tx *schema.Tx) error {
		return p.ledger.Register(ctx, tx, []consent.Contact{{ID: 1, Email: "p1@example.org"}})
	}))
	return p
}

func (p *person) says(action consent.Action, tracking *bool) {
	p.t.Helper()
	e := consent.Entry{Contact: 1, Action: action, How: consent.ByPage, Own: true, Tracking: tracking, Confirmed: schema.At(p.clock)}
	if action != consent.Restrict && action != consent.Lift {
		e.Company, e.Channel = 1, consent.Email
	}
	if action == consent.Grant {
		e.Types, e.Notice = []string{"newsletter"}, "v1"
	}
	err := p.db.Tx(p.t.Context(), func(tx *schema.Tx) error {
		_, err := p.ledger.Record(p.t.Context(), tx, e)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.clock = p.clock.Add(time.Minute)
}

// TestL3ANoCoversMailAlreadySent: a hit counts only while the very epoch is open under which its mail
// was sent, and nothing of any other hit is stored.
func TestL3ANoCoversMailAlreadySent(t *testing.T) {
	yes, no := true, false
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 4)
		p := newPerson(t, db)
		r := newRig(t, db)
		r.drain.Gate = p.gate
		counted := 0
		step := func(what string, message int, counts bool) {
			t.Helper()
			h := hit(1, 1001)
			if message == 2001 {
				h = hit(2, 2001)
			}
			r.hits(h)
			if counts {
				counted++
			}
			if got := totals(t, db)["open 0 person GB-ENG"]; got != counted {
				t.Fatalf("%s: %d hits are counted, want %d", what, got, counted)
			}
		}
		step("before any yes", 1001, false)
		p.says(consent.Grant, nil)
		step("a yes to mail is none to tracking", 1001, false)
		p.says(consent.Grant, &yes) // epoch 1, under which both messages were sent
		step("tracking agreed to", 1001, true)
		p.says(consent.Grant, nil)
		step("a grant that does not speak of tracking", 1001, true)
		p.says(consent.Grant, &no)
		step("tracking withdrawn", 1001, false)
		p.says(consent.Grant, &yes) // epoch 2
		step("a mail from before the withdrawal", 1001, false)
		execute(t, db, `UPDATE messages SET epoch = 2 WHERE id = 2001`)
		step("a mail sent under the new yes", 2001, true)
		p.says(consent.Restrict, nil)
		step("restricted", 2001, false)
		p.says(consent.Lift, nil)
		step("a mail from before the restriction", 2001, false)
		p.says(consent.Withdraw, nil)
		step("withdrawn from all mail", 2001, false)
		r.consistent()
	})
}
