package consent

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		_ = flag.Set("rapid.checks", "30")
	}
	os.Exit(m.Run())
}

// Whatever happens to contacts, in whatever order: one contact and sets get the same answer, a no is
// lifted by nothing but the person's own confirmed act, a closed epoch stays closed, and the state is
// what the ledger says.
func TestS14WhateverHappensTheGateHolds(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { whateverHappens(t, servertest.SQLite(t), 25) })
	t.Run("postgres", func(t *testing.T) { whateverHappens(t, servertest.Postgres(t), 6) })
}

func whateverHappens(t *testing.T, db *schema.DB, most int) {
	w := newWorld(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{world: w, rt: rt, epochs: map[string]int64{}}
		for range 2 {
			w.n++
			l.emails = append(l.emails, fmt.Sprintf("life%d@example.org", w.n))
			l.people = append(l.people, 0)
			l.imported(len(l.people) - 1)
		}
		for range rapid.IntRange(1, most).Draw(rt, "acts") {
			l.act()
			l.pass(time.Duration(rapid.IntRange(0, 3).Draw(rt, "minutes")) * time.Minute)
			l.epochsStayClosed()
		}
		l.gateAgrees()
		l.stateIsDerived()
		for _, s := range []id.Source{w.broker, w.fair} {
			w.exec(`UPDATE sources SET recalled_at = 0, licensed_until = 0 WHERE id = ?`, s)
		}
	})
	found, err := w.l.Verify(w.ctx, "")
	w.ok(err)
	if len(found) > 0 {
		t.Errorf("after all that: %v", found)
	}
}

type life struct {
	*world
	rt     *rapid.T
	people []id.Contact
	emails []string
	epochs map[string]int64 // the newest epoch seen closed, by contact and company
}

func pick[T any](l *life, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(l.rt, what)
}

// act does one thing to one contact.
func (l *life) act() {
	i := rapid.IntRange(0, len(l.people)-1).Draw(l.rt, "who")
	switch what := rapid.IntRange(0, 17).Draw(l.rt, "what"); what {
	case 0, 1, 2:
		l.say(i, Grant, true)
	case 3, 4:
		l.say(i, Grant, false)
	case 5, 6:
		l.say(i, Withdraw, false)
	case 7:
		l.say(i, Object, false)
	case 8:
		l.say(i, pick(l, "hold", Restrict, Lift), false)
	case 9:
		l.confirmed(i)
	case 10:
		b := pick(l, "block", BlockBounced, BlockComplained, BlockObjected, BlockWithdrawn, BlockErased, BlockRestricted, BlockUnderAge)
		l.tx(func(tx *schema.Tx) error { return l.l.Suppress(l.ctx, tx, l.emails[i], b) })
	case 11:
		l.erased(i)
	case 12:
		l.exec(`UPDATE contact_sources SET recalled_at = ? WHERE contact = ?`, pick(l, "recall", 0, 1), l.people[i])
	case 13:
		s := pick(l, "source", l.broker, l.fair)
		l.exec(`UPDATE sources SET recalled_at = ?, licensed_until = ? WHERE id = ?`, pick(l, "recalled", 0, 0, 1), pick(l, "licence", 0, 0, 1), s)
	case 14:
		l.exec(`UPDATE contacts SET subscriber_kind = ?, country = ?, own_at = ? WHERE id = ?`,
			pick(l, "kind", "", "corporate", "corporate", "individual"), pick(l, "country", "GB", "GB", "DE"), pick(l, "own", 0, 1), l.people[i])
	case 15:
		l.served(i)
	case 16:
		l.itemServed(i)
	case 17:
		l.recalled(i)
	}
}

// imported makes the contact, as an import does.
func (l *life) imported(i int) {
	l.people[i] = l.contactAt(l.emails[i], pick(l, "kind", "", "corporate", "corporate"), "GB")
	for _, s := range []id.Source{l.broker, l.fair} {
		if rapid.Bool().Draw(l.rt, "from") {
			l.from(l.people[i], s)
		}
	}
}

// erased deletes the contact and imports the address again.
func (l *life) erased(i int) {
	leave := pick(l, "leave", 0, BlockErased, BlockErased, BlockUnderAge)
	l.tx(func(tx *schema.Tx) error {
		if err := l.l.Forget(l.ctx, tx, l.people[i], leave); err != nil {
			return err
		}
		_, err := tx.Exec(l.ctx, `DELETE FROM contacts WHERE id = ?`, l.people[i])
		return err
	})
	l.imported(i)
}

func (l *life) entry(i int, a Action) Entry {
	e := Entry{Contact: l.people[i], Action: a, Company: pick(l, "company", l.acme, l.bolt), Channel: pick(l, "channel", Email, Email, Phone),
		How: pick(l, "how", ByForm, ByAPI, ByImport), Actor: "rapid"}
	e.Types = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{letter, promo}), 0, 2, rapid.ID).Draw(l.rt, "types")
	if rapid.IntRange(0, 3).Draw(l.rt, "special") == 0 {
		e.Topics = []string{"sexual-health"}
	}
	if rapid.IntRange(0, 2).Draw(l.rt, "one-off") == 0 && a != Object && a != Restrict && a != Lift && len(e.Types) >= len(e.Topics) {
		e.Item = pick(l, "item", paper, guide)
	}
	if ago := rapid.IntRange(0, 3).Draw(l.rt, "ago"); ago > 0 {
		e.Captured = schema.At(l.clock.Add(-time.Duration(ago) * 2 * time.Minute))
	}
	return e
}

func (l *life) say(i int, a Action, own bool) {
	e := l.entry(i, a)
	e.Own = own
	switch a {
	case Grant:
		if t := pick(l, "tracking", "", "yes", "yes", "no"); t != "" {
			yes := t == "yes"
			e.Tracking = &yes
		}
	case Withdraw, Object:
		e.Company = pick(l, "whose", 0, e.Company, e.Company)
		e.Channel = pick(l, "by", "", e.Channel, e.Channel)
	}
	r, err := l.try(e)
	if errors.Is(err, ErrEntry) && a == Grant && len(e.Types)+len(e.Topics) == 0 && e.Tracking == nil && e.Item == "" {
		return
	}
	if errors.Is(err, ErrNotOwnAct) && a == Grant && !own && e.How != ByImport {
		return
	}
	if err != nil {
		l.rt.Fatalf("%+v: %v", e, err)
	}
	if r.Seq == 0 {
		l.rt.Fatalf("%+v: not recorded", e)
	}
}

func (l *life) confirmed(i int) {
	e := l.entry(i, Request)
	e.Notice, e.Captured = "v1", 0
	if e.Item == "" || len(e.Topics) > 0 {
		e.Types = []string{letter}
	}
	l.tx(func(tx *schema.Tx) error {
		r, err := l.l.Request(l.ctx, tx, e, time.Hour)
		if err != nil || rapid.Bool().Draw(l.rt, "never confirmed") {
			return err
		}
		_, err = l.l.Confirm(l.ctx, tx, r)
		return err
	})
}

func (l *life) served(i int) {
	l.tx(func(tx *schema.Tx) error {
		_, err := l.l.Lapse(l.ctx, tx, l.people[i], pick(l, "company", l.acme, l.bolt), Email, []string{pick(l, "type", letter, promo)}, "rapid")
		return err
	})
}

func (l *life) itemServed(i int) {
	l.tx(func(tx *schema.Tx) error {
		return l.l.Served(l.ctx, tx, l.people[i], pick(l, "company", l.acme, l.bolt), pick(l, "channel", Email, Phone), pick(l, "item", paper, guide), "rapid")
	})
}

func (l *life) recalled(i int) {
	l.tx(func(tx *schema.Tx) error {
		return l.l.EndGrants(l.ctx, tx, l.people[i:i+1], []string{"rapid"}, "recall")
	})
}

func (l *life) epochsStayClosed() {
	for _, c := range l.people {
		for _, co := range []id.Company{l.acme, l.bolt} {
			var newest []int64
			l.ok(l.db.Select(l.ctx, &newest, `SELECT epoch FROM consent_tracking WHERE contact = ? AND company = ? AND NOT open`, c, co))
			var open int64
			f := l.g.Epoch(fmt.Sprint(int64(c)), fmt.Sprint(int64(co)))
			l.ok(l.db.Get(l.ctx, &open, `SELECT `+f.SQL, f.Args...))
			key := fmt.Sprint(c, co)
			if open > 0 && open <= l.epochs[key] {
				l.rt.Fatalf("contact %d, company %d: epoch %d was closed and is open again", c, co, open)
			}
			if len(newest) == 1 {
				l.epochs[key] = newest[0]
			}
		}
	}
}

func (l *life) gateAgrees() {
	// The failures of ask must fail this check, not the test around it.
	w := *l.world
	w.t = fatal{l.t, l.rt}
	for _, c := range l.people {
		rows, err := l.l.History(l.ctx, l.db, c)
		l.ok(err)
		for _, co := range []id.Company{l.acme, l.bolt} {
			slug := map[id.Company]string{l.acme: "acme", l.bolt: "bolt"}[co]
			for _, typ := range []string{letter, promo} {
				special := mail(co, typ)
				special.Topics = []string{"sexual-health"}
				phone := segment(co, typ)
				phone.Channel = Phone
				for _, u := range []Use{mail(co, typ), special, segment(co, typ), phone} {
					if d := w.ask(c, u); d.Allowed {
						if why := against(rows, slug, u); why != "" {
							l.rt.Fatalf("contact %d: %+v is allowed against %s\n%s", c, u, why, show(rows))
						}
					}
				}
				for _, s := range []id.Source{l.broker, l.fair} {
					d := w.ask(c, listMail(co, typ, s))
					if why := against(rows, slug, mail(co, typ)); d.Allowed && why != "" && !virgin(rows) {
						l.rt.Fatalf("contact %d: the list of %d is allowed against %s\n%s", c, s, why, show(rows))
					}
				}
			}
			for _, item := range []string{paper, guide} {
				u := itemMail(co, item)
				special, phone := u, u
				special.Topics, phone.Channel = []string{"sexual-health"}, Phone
				for _, u := range []Use{u, special, phone} {
					if d := w.ask(c, u); d.Allowed {
						if why := againstItem(rows, slug, u); why != "" {
							l.rt.Fatalf("contact %d: %+v is allowed against %s\n%s", c, u, why, show(rows))
						}
					}
				}
			}
			w.ask(c, segment(co, ""))
			if d := w.ask(c, Use{Company: co, Purpose: Track}); d.Allowed {
				if why := againstTracking(rows, slug); why != "" {
					l.rt.Fatalf("contact %d: tracking for %s is allowed against %s\n%s", c, slug, why, show(rows))
				}
			}
		}
	}
}

type fatal struct {
	testing.TB
	rt *rapid.T
}

func (f fatal) Fatal(args ...any)                 { f.rt.Fatal(args...) }
func (f fatal) Fatalf(format string, args ...any) { f.rt.Fatalf(format, args...) }

// against judges from the rows alone, by brute force: which row forbids the use?
// againstItem judges a one-off from the rows alone: it was granted, neither served nor withdrawn
// since, and what else stands against the person is older than their own request for it.
// virgin reports whether the contact never said yes or no to any mail, as the corporate route asks; a
// yes that lapsed does not count.
type stored struct {
	State []struct {
		Company, Granted, Refused, Explicit, Live int64
		RefusedTopics                             int64 `db:"refused_topics"`
		GrantedAt                                 int64 `db:"granted_at"`
		ChangedAt                                 int64 `db:"changed_at"`
		Channel, Notice                           string
	}
	Tracks []struct {
		Company, Epoch int64
		Open, Refused  bool
		ChangedAt      int64 `db:"changed_at"`
	}
	Items []struct {
		Company               int64
		Channel, Item, Notice string
		GrantedAt             int64 `db:"granted_at"`
	}
	Blocks, Seq int64
	Suppressed  []int64
}

func (l *life) stored(c id.Contact, email string) (s stored) {
	l.ok(l.db.Select(l.ctx, &s.State, `SELECT company, channel, granted, refused, explicit, refused_topics, live, granted_at, changed_at, notice FROM consent_state WHERE contact = ? ORDER BY company, channel`, c))
	l.ok(l.db.Select(l.ctx, &s.Tracks, `SELECT company, epoch, open, refused, changed_at FROM consent_tracking WHERE contact = ? ORDER BY company`, c))
	l.ok(l.db.Select(l.ctx, &s.Items, `SELECT company, channel, item, notice, granted_at FROM consent_items WHERE contact = ? ORDER BY company, channel, item`, c))
	l.ok(l.db.Get(l.ctx, &s.Blocks, `SELECT blocks FROM consent_subjects WHERE contact = ?`, c))
	l.ok(l.db.Get(l.ctx, &s.Seq, `SELECT seq FROM consent_subjects WHERE contact = ?`, c))
	l.ok(l.db.Select(l.ctx, &s.Suppressed, `SELECT blocks FROM suppressions WHERE hash = ?`, Hash(testKey, email)))
	return s
}

func (l *life) stateIsDerived() {
	for i, c := range l.people {
		before := l.stored(c, l.emails[i])
		suppressed := Block(0)
		if len(before.Suppressed) == 1 {
			suppressed = Block(before.Suppressed[0])
		}
		if Block(before.Blocks)&kept != suppressed {
			l.rt.Fatalf("contact %d is blocked by %b and its address suppressed by %b", c, before.Blocks, suppressed)
		}
		l.tx(func(tx *schema.Tx) error { return l.l.Rebuild(l.ctx, tx, c) })
		if after := l.stored(c, l.emails[i]); !reflect.DeepEqual(before, after) {
			rows, err := l.l.History(l.ctx, l.db, c)
			l.ok(err)
			l.rt.Fatalf("contact %d\nwas     %+v\nrebuilt %+v\n%s", c, before, after, show(rows))
		}
	}
}
