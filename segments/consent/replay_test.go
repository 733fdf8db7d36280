package consent

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// Whatever people say, in whatever order: the journal's noes change nothing in the database that
// recorded them; and a backup of any point, into which they are replayed, allows nothing that was
// refused since.
func TestS26TheJournalBringsEveryNoBackAndNothingElse(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		journalHolds(t, newWorld(t, servertest.SQLite(t)), newWorld(t, servertest.SQLite(t)), 20)
	})
	t.Run("postgres", func(t *testing.T) {
		journalHolds(t, newWorld(t, servertest.Postgres(t)), newWorld(t, servertest.Postgres(t)), 8)
	})
}

func journalHolds(t *testing.T, now, backup *world, most int) {
	d, runs := now.journaled(), 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		d.take()
		now.t, backup.t = fatal{t, rt}, fatal{t, rt}
		backup.clock = now.clock
		a, b := &cast{world: now}, &cast{world: backup}
		for _, c := range []*cast{a, b} {
			for i := range c.people {
				c.emails[i] = fmt.Sprintf("run%d-%d@example.org", runs, i)
			}
		}
		deeds := rapid.SliceOfN(rapid.Custom(drawDeed), 1, most).Draw(rt, "deeds")
		cut := rapid.IntRange(0, len(deeds)).Draw(rt, "cut")
		var early []No
		for i, deed := range deeds {
			if i == cut {
				early = d.take()
			}
			said := a.seq(deed.who)
			deed.do(a)
			if i >= cut {
				a.lost(deed, said)
			}
			if i < cut {
				deed.do(b)
				if b.clock != a.clock {
					rt.Fatalf("the backup went another way: %s, %s", a.clock, b.clock)
				}
			}
		}
		late := d.take()
		if cut == len(deeds) {
			early, late = late, nil
		}
		all := slices.Concat(early, late)

		was := a.dump()
		for range 2 {
			a.replay(all)
			if is := a.dump(); is != was {
				rt.Fatalf("replayed where it was recorded:\n%s\nwas\n%s", is, was)
			}
		}

		b.clock = a.clock
		held := b.people
		if rapid.Bool().Draw(rt, "from the start") {
			b.replay(all)
		} else {
			b.replay(late)
		}
		was = b.dump()
		b.replay(late)
		if is := b.dump(); is != was {
			rt.Fatalf("replayed twice:\n%s\nwas\n%s", is, was)
		}
		b.pass(time.Hour)
		for i := range b.people {
			if held[i] != 0 && a.erased[i] != (b.people[i] == 0) {
				rt.Fatalf("%s was erased: %v, and is held: %v", b.emails[i], a.erased[i], b.people[i] != 0)
			}
			b.nothingRefusedIsAllowed(rt, i, a.said[i])
		}
	})
	now.t, backup.t = t, t
	now.clean()
	backup.clean()
}

// cast are the people of a test in one of its databases; zero is somebody who is not held.
type cast struct {
	*world
	people [2]id.Contact
	emails [2]string
	said   [2][]Row // after the cut
	erased [2]bool  // after the cut
}

// seq is the number of a person's newest row.
func (c *cast) seq(i int) (seq int64) {
	c.t.Helper()
	c.ok(c.db.Get(c.ctx, &seq, `SELECT COALESCE((SELECT seq FROM consent_subjects WHERE contact = ?), 0)`, c.people[i]))
	return seq
}

// lost notes the noes of a deed that the backup does not know: those that the ledger has after a row,
// and those that it has no row for.
func (c *cast) lost(r deed, after int64) {
	c.t.Helper()
	rows, err := c.l.History(c.ctx, c.db, c.people[r.who])
	c.ok(err)
	for _, row := range rows {
		no := row.Action == Withdraw || row.Action == Object || row.Action == Restrict || row.Tracking != nil && !*row.Tracking
		if no && !row.How.lapse() && row.Seq > after {
			c.said[r.who] = append(c.said[r.who], row)
		}
	}
	if c.people[r.who] != 0 {
		return
	}
	block := r.block
	if r.what != 12 {
		block, c.erased[r.who] = BlockErased, true
	}
	for _, e := range blockEntries(0, block&kept, schema.At(c.clock)-schema.Time(r.minutes*60e6+1e6)) {
		c.said[r.who] = append(c.said[r.who], Row{Action: e.Action, How: e.How, Captured: e.Captured})
	}
}

// deed is something that happens, the same in whichever database.
type deed struct {
	who, what int
	e         Entry // its company is 0, 1 for acme, 2 for bolt
	ago       int
	block     Block
	minutes   int
}

func drawDeed(rt *rapid.T) deed {
	r := deed{who: rapid.IntRange(0, 1).Draw(rt, "who"), what: rapid.IntRange(0, 13).Draw(rt, "what"), ago: rapid.IntRange(-3, 3).Draw(rt, "ago"),
		minutes: rapid.IntRange(0, 2).Draw(rt, "minutes")}
	r.block = rapid.SampledFrom([]Block{BlockBounced, BlockComplained, BlockObjected, BlockWithdrawn, BlockRestricted, BlockBounced | BlockObjected}).Draw(rt, "block")
	r.e = Entry{Company: id.Company(rapid.IntRange(1, 2).Draw(rt, "company")), Channel: rapid.SampledFrom([]Channel{Email, Email, Phone}).Draw(rt, "channel"),
		Types: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{letter, promo}), 1, 2, rapid.ID).Draw(rt, "types"),
		How:   rapid.SampledFrom([]How{ByForm, ByPage, ByImport}).Draw(rt, "how"), Own: rapid.Bool().Draw(rt, "own"), Actor: "rapid"}
	if rapid.IntRange(0, 3).Draw(rt, "special") == 0 {
		r.e.Topics = []string{"sexual-health"}
	}
	if t := rapid.IntRange(0, 3).Draw(rt, "tracking"); t > 0 {
		yes := t > 1
		r.e.Tracking = &yes
	}
	switch wide := rapid.IntRange(0, 5).Draw(rt, "wide"); {
	case r.what < 6:
		r.e.Action = Grant
	case r.what < 10:
		r.e.Action = rapid.SampledFrom([]Action{Withdraw, Withdraw, Object, Restrict, Lift}).Draw(rt, "no")
		r.e.Tracking = nil
		if wide > 0 {
			r.e.Types = nil
		}
		if wide > 1 {
			r.e.Channel = ""
		}
		if wide > 2 {
			r.e.Company, r.e.Topics = 0, nil
		}
	}
	return r
}

func (r deed) do(c *cast) {
	c.t.Helper()
	e, who := r.e, c.people[r.who]
	e.Contact, e.Company = who, [...]id.Company{0, c.acme, c.bolt}[e.Company]
	if r.ago > 0 {
		e.Captured = schema.At(c.clock.Add(-time.Duration(r.ago) * time.Minute))
	}
	switch {
	case r.what == 12:
		c.suppress(r.block, c.emails[r.who])
	case who == 0:
		c.people[r.who] = c.imported(r.who, e)
	case r.what == 10:
		c.tx(func(tx *schema.Tx) error {
			_, err := c.l.Lapse(c.ctx, tx, who, c.acme, Email, []string{letter}, "rapid")
			return err
		})
	case r.what == 11:
		c.record(Untrack(who, c.bolt, ByPage))
	case r.what == 13:
		c.erase(who, BlockErased)
		c.people[r.who] = 0
	default:
		if _, err := c.try(e); err != nil && !errors.Is(err, ErrNotOwnAct) {
			c.t.Fatalf("%+v: %v", e, err)
		}
	}
	c.pass(time.Duration(r.minutes)*time.Minute + time.Second)
}

// imported creates a contact with an import's yes of the entry's kind.
func (c *cast) imported(i int, e Entry) (who id.Contact) {
	c.t.Helper()
	c.tx(func(tx *schema.Tx) error {
		if err := tx.Get(c.ctx, &who, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, ?, 1) RETURNING id`, c.emails[i], schema.At(c.clock)); err != nil {
			return err
		}
		co, ch := e.Company, e.Channel
		if co == 0 {
			co = c.acme
		}
		if ch == "" {
			ch = Email
		}
		yes := true
		_, err := c.l.Enrol(c.ctx, tx, []Contact{{who, c.emails[i]}}, []Entry{{Contact: who, Action: Grant, Company: co, Channel: ch, Types: []string{letter, promo},
			Topics: []string{"sexual-health"}, Tracking: &yes, Notice: "v1", How: ByImport, Captured: e.Captured, Actor: "rapid"}})
		return err
	})
	return who
}

// replay does what whoever replays the journal does.
func (c *cast) replay(noes []No) {
	c.t.Helper()
	for _, n := range noes {
		if n.Action != Erase {
			done, err := c.l.Applied(c.ctx, c.db, n)
			c.ok(err)
			if !done {
				c.apply(n)
			}
			continue
		}
		who, created, err := c.l.Find(c.ctx, c.db, n.Hash)
		switch {
		case errors.Is(err, ErrNoEntry):
			c.tx(func(tx *schema.Tx) error { return c.l.ForgetHash(c.ctx, tx, n.Hash, n.Block, n.At) })
		case err != nil:
			c.t.Fatal(err)
		case created <= n.At:
			c.erase(who, n.Block)
			for i := range c.people {
				if c.people[i] == who {
					c.people[i] = 0
				}
			}
		}
	}
}

// dump is all that the ledger has of the people.
func (c *cast) dump() (s string) {
	c.t.Helper()
	for i, who := range c.people {
		var list []suppression
		c.ok(c.db.Select(c.ctx, &list, `SELECT hash, blocks, at FROM suppressions WHERE hash = ?`, Hash(testKey, c.emails[i])))
		s += fmt.Sprintf("%s: suppressed %v, %d wait\n", c.emails[i], list, c.count(`SELECT count(*) FROM consent_noes WHERE hash = ?`, Hash(testKey, c.emails[i])))
		if who == 0 {
			continue
		}
		rows, err := c.l.History(c.ctx, c.db, who)
		c.ok(err)
		s += c.standing(who) + show(rows)
	}
	return s
}

// nothingRefusedIsAllowed asks for everything; somebody who is not held is imported with an old yes
// before.
func (c *cast) nothingRefusedIsAllowed(rt *rapid.T, i int, said []Row) {
	if c.people[i] == 0 {
		c.people[i] = c.imported(i, Entry{Company: c.acme, Channel: Email, Captured: schema.At(c.clock.Add(-48 * time.Hour))})
	}
	who := c.people[i]
	rows, err := c.l.History(c.ctx, c.db, who)
	c.ok(err)
	rows = append(rows, said...)
	for slug, co := range map[string]id.Company{"acme": c.acme, "bolt": c.bolt} {
		for _, typ := range []string{letter, promo} {
			special, phone := mail(co, typ), segment(co, typ)
			special.Topics, phone.Channel = []string{"sexual-health"}, Phone
			for _, u := range []Use{mail(co, typ), special, phone} {
				d, err := c.g.Ask(c.ctx, who, u)
				c.ok(err)
				if why := against(rows, slug, u); d.Allowed && why != "" {
					rt.Fatalf("%s: %+v is allowed against %s\n%s", c.emails[i], u, why, show(rows))
				}
			}
		}
		d, err := c.g.Ask(c.ctx, who, Use{Company: co, Purpose: Track})
		c.ok(err)
		if why := againstTracking(rows, slug); d.Allowed && why != "" {
			rt.Fatalf("%s: tracking for %s is allowed against %s\n%s", c.emails[i], slug, why, show(rows))
		}
	}
}
