package consent

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// imports enrols a contact with an old yes to nearly everything, as an import does.
func (w *world) imports(email string) (c id.Contact, r Result) {
	w.t.Helper()
	yes := true
	w.tx(func(tx *schema.Tx) error {
		if err := tx.Get(w.ctx, &c, `INSERT INTO contacts (email, subscriber_kind, country, created_at, updated_at) VALUES (?, 'corporate', 'GB', ?, 1) RETURNING id`, email, schema.At(w.clock)); err != nil {
			return err
		}
		rs, err := w.l.Enrol(w.ctx, tx, []Contact{{c, email}}, []Entry{{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter, promo},
			Topics: []string{"sexual-health"}, Tracking: &yes, Notice: "v1", How: ByImport, Captured: schema.At(w.clock.Add(-time.Hour))}})
		if err == nil {
			r = rs[0]
		}
		return err
	})
	return c, r
}

func TestS26NoesWaitForAnAddressThatIsNotHeld(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		special := mail(w.acme, letter)
		special.Topics = []string{"sexual-health"}
		track := Use{Company: w.acme, Purpose: Track}
		for i, k := range []struct {
			no      No
			use     Use
			reason  Reason
			outcome string
			kept    Block // by which the address is suppressed meanwhile
			restful bool  // the rest of the yes holds
		}{
			{No{Action: Withdraw, Company: "acme", Channel: Email, Types: []string{letter}, How: ByPage}, mail(w.acme, letter), Withdrawn, Partly, 0, true},
			{No{Action: Withdraw, Company: "acme", How: ByPhone}, mail(w.acme, letter), Withdrawn, Refused, 0, false},
			{No{Action: Object, Channel: Email, How: ByEmail}, mail(w.acme, letter), Withdrawn, Refused, 0, false},
			{No{Action: Withdraw, Topics: []string{"sexual-health"}, How: ByPage}, special, NoExplicit, Partly, 0, true},
			{No{Action: Grant, Company: "acme", Channel: Email, Tracking: true, How: ByPage}, track, Withdrawn, Partly, 0, true},
			{No{Action: Withdraw, Company: "acme", Channel: Email, Types: []string{letter}, Tracking: true, How: ByPage}, track, Withdrawn, Partly, 0, true},
			{No{Action: Restrict, How: ByPhone}, mail(w.acme, letter), Restricted, Applied, 0, false},
			{No{Action: Suppress, Block: BlockRestricted, How: bySuppression}, mail(w.acme, letter), Restricted, Applied, 0, false},
			{No{Action: Withdraw, How: ByPage}, mail(w.acme, letter), Withdrawn, Refused, BlockWithdrawn, false},
			{No{Action: Object, How: ByPage}, mail(w.acme, letter), Objected, Refused, BlockObjected, false},
			{No{Action: Suppress, Block: BlockComplained, How: byComplaint}, mail(w.acme, letter), Complained, Refused, BlockComplained, false},
			{No{Action: Suppress, Block: BlockBounced, How: byBounce}, mail(w.acme, letter), Bounced, Refused, BlockBounced, false},
			{No{Action: Suppress, Block: BlockErased, How: byErasure}, mail(w.acme, letter), Erased, Refused, BlockErased, false},
			{No{Action: Object, Company: "acme", How: "carrier-pigeon"}, mail(w.acme, letter), Withdrawn, Refused, 0, false},
		} {
			t.Run(fmt.Sprintf("%s %s %s %v %d", k.no.Action, k.no.Company, k.no.Channel, k.no.Types, k.no.Block), func(t *testing.T) {
				w.t = t
				email := fmt.Sprintf("waits%d@example.org", i)
				n := k.no
				n.Hash, n.At = Hash(testKey, email), schema.At(w.clock)
				if done, err := w.l.Applied(w.ctx, w.db, n); done || err != nil {
					t.Errorf("applied before: %v, %v", done, err)
				}
				for range 2 {
					w.apply(n)
					w.pass(time.Second)
				}
				if got := w.suppressed(email)[email]; got != k.kept {
					t.Errorf("suppressed by %d, want %d", got, k.kept)
				}
				if done, err := w.l.Applied(w.ctx, w.db, n); !done || err != nil {
					t.Errorf("applied: %v, %v", done, err)
				}
				w.pass(time.Hour)
				c, r := w.imports(email)
				w.want(c, k.use, k.reason)
				if r.Outcome != k.outcome {
					t.Errorf("the import's yes: %+v, want %s", r, k.outcome)
				}
				if k.restful {
					w.want(c, mail(w.acme, promo), "")
				}
				rows, err := w.l.History(w.ctx, w.db, c)
				w.ok(err)
				if len(rows) != 2 || rows[0].Captured != n.At || rows[1].How != ByImport {
					t.Errorf("the ledger: %s", show(rows))
				}
				was := w.standing(c)
				w.apply(n)
				if is := w.standing(c); is != was || w.count(`SELECT count(*) FROM consent_ledger l JOIN consent_subjects s ON s.subject = l.subject WHERE s.contact = ?`, c) != 2 {
					t.Errorf("applied again:\n%swas\n%s", is, was)
				}
				if n := w.count(`SELECT count(*) FROM consent_noes`); n != 0 {
					t.Errorf("%d wait still", n)
				}
			})
		}
		w.t = t
		w.clean()
	})
}

func TestS26OnlyAnOwnYesLiftsANoThatWaited(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		n := No{Hash: Hash(testKey, "jane@example.org"), Action: Object, How: ByPage, At: schema.At(w.clock)}
		w.apply(n)
		w.pass(time.Hour)
		c, _ := w.imports("jane@example.org")
		if _, err := w.try(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByAPI}); !errors.Is(err, ErrNotOwnAct) {
			t.Errorf("got %v", err)
		}
		w.want(c, mail(w.acme, letter), Objected)
		w.grant(c, w.acme, letter)
		for range 2 {
			w.want(c, mail(w.acme, letter), "")
			w.apply(n)
		}
	})
}

func TestManyNoesOfOneAddressAndAForeignOne(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		hash, at := Hash(testKey, "jane@example.org"), schema.At(w.clock)
		w.apply(
			No{Hash: hash, Action: Withdraw, Company: "acme", Types: []string{promo}, How: ByPage, At: at + 2},
			No{Hash: hash, Action: Withdraw, Company: "bolt", How: ByPage, At: at + 1},
			No{Hash: Hash(testKey, "joe@example.org"), Action: Restrict, How: ByPage, At: at},
			No{Hash: hash, Action: Suppress, Block: BlockBounced, How: byBounce, At: at + 3},
		)
		w.pass(time.Hour)
		c, _ := w.imports("jane@example.org")
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 4 || rows[0].Company != "bolt" || rows[1].Company != "acme" || rows[2].How != byBounce || rows[3].How != ByImport {
			t.Errorf("got %s", show(rows))
		}
		if n := w.count(`SELECT count(*) FROM consent_noes`); n != 1 {
			t.Errorf("%d wait, want the other's", n)
		}
		w.clean()
	})
}

// What this database has no word for is told, and stays due; what it lost the word for since counts
// as a no to everything.
func TestS26ANoIsNotLostOverAWord(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		at := schema.At(w.clock)
		w.contactAt("held@example.org", "", "")
		var slug *ErrUnknownSlug
		for _, email := range []string{"held@example.org", "away@example.org"} {
			try := func(n No) error {
				n.Hash, n.At = Hash(testKey, email), at
				return w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Apply(w.ctx, tx, n) })
			}
			if err := try(No{Action: Object, Company: "newco", How: ByPage}); !errors.Is(err, ErrUnknownCompany) {
				t.Errorf("%s: got %v", email, err)
			}
			if err := try(No{Action: Withdraw, Company: "acme", Types: []string{"horoscope"}, How: ByPage}); !errors.As(err, &slug) || slug.Slug != "horoscope" {
				t.Errorf("%s: got %v", email, err)
			}
			for name, n := range map[string]No{
				"an erasure":                 {Action: Erase, Block: BlockErased},
				"a yes":                      {Action: Grant, Company: "acme", Types: []string{letter}},
				"tracking of nobody":         {Action: Grant, Tracking: true},
				"a lift":                     {Action: Lift},
				"a suppression by nothing":   {Action: Suppress},
				"nothing":                    {},
				"a request, which is no no":  {Action: Request, Company: "acme", Types: []string{letter}},
				"a grant without a tracking": {Action: Grant, Company: "acme"},
			} {
				if err := try(n); !errors.Is(err, ErrEntry) {
					t.Errorf("%s: got %v", name, err)
				}
			}
		}
		if n := w.count(`SELECT (SELECT count(*) FROM consent_noes) + (SELECT count(*) FROM consent_ledger) + (SELECT count(*) FROM suppressions)`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		w.apply(No{Hash: Hash(testKey, "gone@example.org"), Action: Withdraw, Company: "acme", Types: []string{letter}, How: ByPage, At: at})
		w.exec(`UPDATE consent_noes SET entry = '{"action":"withdraw","company":"acme","types":["transport-news"],"how":"page"}'`)
		w.exec(`INSERT INTO consent_noes (hash, at, entry) VALUES (?, ?, 'not JSON')`, Hash(testKey, "torn@example.org"), at)
		for _, email := range []string{"gone@example.org", "torn@example.org"} {
			c, r := w.imports(email)
			w.want(c, mail(w.acme, letter), Objected)
			if r.Applied {
				t.Errorf("got %+v", r)
			}
		}
	})
}

func TestS26AnErasureLeavesNoNoesBehind(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const email = "gone@example.org"
		hash := Hash(testKey, email)
		no := func(at schema.Time) No {
			return No{Hash: hash, Action: Withdraw, Company: "acme", Types: []string{letter}, How: ByPage, At: at}
		}
		for _, leave := range []Block{BlockErased, 0, BlockUnderAge} {
			t.Run(fmt.Sprintf("leaving %d", leave), func(t *testing.T) {
				w.t = t
				early := schema.At(w.clock)
				w.pass(time.Minute)
				c := w.contactAt(email, "", "")
				w.exec(`INSERT INTO consent_noes (hash, at, entry) VALUES (?, 1, '{}')`, hash) // as of a race
				erased := schema.At(w.clock)
				w.erase(c, leave)
				if _, _, err := w.l.Find(w.ctx, w.db, hash); !errors.Is(err, ErrNoEntry) {
					t.Errorf("found: %v", err)
				}
				want := Block(0)
				if leave == BlockErased {
					want = BlockErased
				}
				check := func(what string, noes int) {
					t.Helper()
					if n, got := w.count(`SELECT count(*) FROM consent_noes`), w.suppressed(email)[email]; n != noes || got != want {
						t.Errorf("%s: %d noes wait, want %d; suppressed by %d, want %d", what, n, noes, got, want)
					}
				}
				check("erased", 0)
				outlive := 0 // what the person refused outlives retention, and nothing else
				if leave == 0 {
					outlive = 1
				}
				// The journal is replayed from an early point on, twice.
				for range 2 {
					w.pass(time.Minute)
					w.apply(no(early))
					since, err := w.l.ErasedSince(w.ctx, w.db, hash, erased)
					w.ok(err)
					if since != (leave == BlockErased) {
						t.Errorf("erased since: %v", since)
					}
					w.tx(func(tx *schema.Tx) error { return w.l.ForgetHash(w.ctx, tx, hash, leave, erased) })
					check("replayed", outlive)
				}
				if since, err := w.l.ErasedSince(w.ctx, w.db, hash, erased+1); since || err != nil {
					t.Errorf("erased since later: %v, %v", since, err)
				}
				// A later no stays.
				late := schema.At(w.clock)
				w.apply(no(late))
				w.tx(func(tx *schema.Tx) error { return w.l.ForgetHash(w.ctx, tx, hash, leave, erased) })
				if n := w.count(`SELECT count(*) FROM consent_noes WHERE at = ?`, late); n != 1 {
					t.Errorf("%d later noes wait", n)
				}
				c = w.contactAt(email, "", "")
				w.want(c, mail(w.acme, letter), map[Block]Reason{BlockErased: Erased, 0: Withdrawn, BlockUnderAge: Withdrawn}[leave])
				// What was erased was another one.
				w.tx(func(tx *schema.Tx) error { return w.l.ForgetHash(w.ctx, tx, hash, BlockErased, erased) })
				if who, created, err := w.l.Find(w.ctx, w.db, hash); who != c || created != 1 || err != nil {
					t.Errorf("found %d, %d, %v", who, created, err)
				}
				w.clean()
				w.erase(c, 0)
				w.exec(`DELETE FROM suppressions`)
				w.exec(`DELETE FROM consent_noes`)
			})
		}
		w.t = t
	})
}

// An erasure that this database does not know of is done to it, and what else the list says of the
// address does not make it seem older or newer than it is.
func TestS26WhenAnAddressWasErasedIsRemembered(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const email = "jane@example.org"
		hash := Hash(testKey, email)
		erased := schema.At(w.clock)
		w.tx(func(tx *schema.Tx) error { return w.l.ForgetHash(w.ctx, tx, hash, BlockErased, erased) })
		w.pass(time.Hour)
		w.suppress(BlockObjected, email)
		w.apply(No{Hash: hash, Action: Suppress, Block: BlockBounced, How: byBounce, At: schema.At(w.clock)})
		c := w.contactAt(email, "", "")
		w.suppress(BlockComplained, email)
		if m := w.suppressed(email); m[email] != BlockErased|BlockObjected|BlockBounced|BlockComplained {
			t.Errorf("got %v", m)
		}
		for at, want := range map[schema.Time]bool{erased: true, erased + 1: false} {
			if since, err := w.l.ErasedSince(w.ctx, w.db, hash, at); since != want || err != nil {
				t.Errorf("erased since %s: %v, %v", at, since, err)
			}
		}
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		for _, r := range rows {
			if (r.How == byErasure) != (r.Captured == erased) {
				t.Errorf("captured %s: %+v", r.Captured, r)
			}
		}
		w.erase(c, BlockErased)
		if since, err := w.l.ErasedSince(w.ctx, w.db, hash, schema.At(w.clock)); !since || err != nil {
			t.Errorf("erased again: %v, %v", since, err)
		}
	})
}

func TestS26SuppressingByHash(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		c := w.agreeable("held@example.org")
		for range 2 {
			w.tx(func(tx *schema.Tx) error {
				return errors.Join(w.l.SuppressHash(w.ctx, tx, Hash(testKey, "held@example.org"), BlockErased|BlockRestricted),
					w.l.SuppressHash(w.ctx, tx, Hash(testKey, "away@example.org"), BlockErased|BlockRestricted|BlockUnderAge))
			})
		}
		w.want(c, mail(w.acme, letter), Erased)
		if m := w.suppressed("held@example.org", "away@example.org"); m["held@example.org"] != BlockErased || m["away@example.org"] != BlockErased {
			t.Errorf("got %v", m)
		}
		if got := d.take(); len(got) > 0 {
			t.Errorf("kept %+v", got)
		}
		if rows, err := w.l.History(w.ctx, w.db, c); err != nil || len(rows) != 6 {
			t.Errorf("%s, %v", show(rows), err)
		}
	})
}

// Whoever replays the same journal at the same time, and whoever registers the address meanwhile: the
// no is there once.
func TestS26NodesThatReplayAtOnceRecordANoOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contactAt("held@example.org", "", "")
		at := schema.At(w.clock) - 10
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 5 {
					for _, email := range []string{"held@example.org", "away@example.org"} {
						n := No{Hash: Hash(testKey, email), Action: Withdraw, Company: "acme", Types: []string{letter}, How: ByPage, At: at + schema.Time(i)}
						if err := w.db.Tx(w.ctx, func(tx *schema.Tx) error { return w.l.Apply(w.ctx, tx, n) }); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if n := w.count(`SELECT count(*) FROM consent_noes`); len(rows) != 5 || n != 5 {
			t.Errorf("%d rows, %d noes wait", len(rows), n)
		}
		w.clean()
	})
}

func TestAnAddressIsNotRegisteredWhileANoIsApplied(t *testing.T) {
	w := newWorld(t, servertest.Postgres(t))
	const email = "race@example.org"
	applied, registered := make(chan struct{}), make(chan error, 1)
	w.tx(func(tx *schema.Tx) error {
		if err := w.l.Apply(w.ctx, tx, No{Hash: Hash(testKey, email), Action: Withdraw, Company: "acme", How: ByPage, At: schema.At(w.clock)}); err != nil {
			return err
		}
		go func() {
			registered <- w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				var c id.Contact
				if err := tx.Get(w.ctx, &c, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, 1, 1) RETURNING id`, email); err != nil {
					return err
				}
				close(applied)
				return w.l.Register(w.ctx, tx, []Contact{{c, email}})
			})
		}()
		<-applied
		return nil
	})
	w.ok(<-registered)
	if n := w.count(`SELECT count(*) FROM consent_ledger WHERE company = 'acme'`); n != 1 || w.count(`SELECT count(*) FROM consent_noes`) != 0 {
		t.Errorf("%d rows", n)
	}
}

// A child that was removed is not the person who has the address later, even if the journal is
// applied from its start.
func TestS7AReplayDoesNotTakeALaterPersonForTheChild(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		c := w.contactAt("kid@example.org", "", "")
		w.pass(time.Second)
		w.suppress(BlockUnderAge, "kid@example.org")
		w.pass(time.Second)
		w.erase(c, BlockUnderAge)
		noes := d.take()
		w.pass(time.Hour)
		c, _ = w.imports("kid@example.org")
		w.apply(noes[0])
		w.want(c, mail(w.acme, letter), "")
		// Where the child itself is held, as in an older database, it is blocked.
		w.exec(`UPDATE contacts SET created_at = 1`)
		w.apply(noes[0])
		w.want(c, mail(w.acme, letter), UnderAge)
		if len(noes) != 2 || noes[1].Action != Erase || !slices.Equal(noes[0].Hash, noes[1].Hash) {
			t.Errorf("got %+v", noes)
		}
	})
}
