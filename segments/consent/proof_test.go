package consent

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

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

func TestL8TheDatabaseRefusesToChangeTheLedger(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		w.wish(c, w.acme, paper)
		before, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		statements := []string{
			`UPDATE consent_ledger SET types = 'promotional-offer'`,
			`UPDATE consent_ledger SET outcome = outcome WHERE seq = 1`,
			`DELETE FROM consent_ledger`,
			`DELETE FROM consent_ledger WHERE seq = 2`,
			`INSERT INTO consent_ledger (` + rowColumns + `) SELECT ` + rowColumns + ` FROM consent_ledger WHERE seq = 1 ON CONFLICT (subject, seq) DO UPDATE SET types = ''`,
		}
		if w.db.Dialect() == schema.Postgres {
			statements = append(statements, `TRUNCATE consent_ledger`, `TRUNCATE consent_subjects, consent_ledger CASCADE`)
		} else {
			statements = append(statements, `REPLACE INTO consent_ledger (`+rowColumns+`) SELECT `+rowColumns+` FROM consent_ledger WHERE seq = 1`)
		}
		for _, s := range statements {
			if _, err := w.db.Exec(w.ctx, s); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", s, err)
			}
		}
		after, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if !reflect.DeepEqual(before, after) {
			t.Errorf("was %+v, is %+v", before, after)
		}
		w.clean()
	})
}

// observed is what State and Blocks said at an instant.
type observed struct {
	who    id.Contact
	at     schema.Time
	state  []Standing
	blocks Block
}

// Whatever happened, what the ledger says of a past instant is what was seen then.
func TestL8TheStateOfAnyPastInstantIsTheOneThatWasSeenThen(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { pastIsAsItWas(t, servertest.SQLite(t), 25) })
	t.Run("postgres", func(t *testing.T) { pastIsAsItWas(t, servertest.Postgres(t), 6) })
}

func pastIsAsItWas(t *testing.T, db *schema.DB, most int) {
	w := newWorld(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{world: w, rt: rt, epochs: map[string]int64{}}
		for range 2 {
			w.n++
			l.emails = append(l.emails, fmt.Sprintf("past%d@example.org", w.n))
			l.people = append(l.people, 0)
			l.imported(len(l.people) - 1)
		}
		var seen []observed
		look := func() {
			for _, c := range l.people {
				state, err := l.l.State(l.ctx, l.db, c)
				l.ok(err)
				blocks, err := l.l.Blocks(l.ctx, l.db, c)
				l.ok(err)
				seen = append(seen, observed{c, schema.At(l.clock), state, blocks})
			}
		}
		for range rapid.IntRange(1, most).Draw(rt, "acts") {
			l.pass(time.Microsecond)
			l.act()
			look()
			l.pass(time.Duration(rapid.IntRange(0, 3).Draw(rt, "minutes")) * time.Minute)
		}
		for _, o := range seen {
			if !slices.Contains(l.people, o.who) {
				continue // erased since, and with that the way from the ledger to the person
			}
			state, blocks, err := l.l.StateAt(l.ctx, l.db, o.who, o.at)
			l.ok(err)
			if !reflect.DeepEqual(state, o.state) || blocks != o.blocks {
				rows, err := l.l.History(l.ctx, l.db, o.who)
				l.ok(err)
				rt.Fatalf("at %v contact %d was seen as %+v, blocked by %d; the ledger says %+v, %d\n%s", o.at, o.who, o.state, o.blocks, state, blocks, show(rows))
			}
		}
	})
}
