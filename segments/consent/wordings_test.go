package consent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func (w *world) notice(version, language, text string) {
	w.t.Helper()
	_, err := NewNotices(w.db, w.l.now).Add(w.ctx, Notice{Version: version, Language: language, Text: text})
	w.ok(err)
	w.pass(time.Second)
}

func TestS5EveryYesInTheLedgerRefersToItsWording(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { yesesReferToTheirWording(t, servertest.SQLite(t), 25) })
	t.Run("postgres", func(t *testing.T) { yesesReferToTheirWording(t, servertest.Postgres(t), 6) })
}

func yesesReferToTheirWording(t *testing.T, db *schema.DB, most int) {
	w := newWorld(t, db)
	w.notice("v2", "en", "Please, may we write to you?")
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{world: w, rt: rt, epochs: map[string]int64{}}
		w.n++
		l.emails, l.people = []string{fmt.Sprintf("yes%d@example.org", w.n)}, []id.Contact{0}
		l.imported(0)
		for range rapid.IntRange(1, most).Draw(rt, "acts") {
			l.act()
			yes := rapid.Bool().Draw(rt, "tracking")
			e := Entry{Contact: l.people[0], Action: pick(l, "how asked", Grant, Request), Company: l.acme, Channel: Email, Types: []string{letter}, Tracking: &yes,
				Notice: pick(l, "notice", "", "v1", "v2", "v3"), How: ByForm, Own: true}
			err := l.db.Tx(l.ctx, func(tx *schema.Tx) error { _, err := l.l.Record(l.ctx, tx, e); return err })
			if bad := e.Notice == "" || e.Notice == "v3"; bad != errors.Is(err, ErrUnknownNotice) {
				rt.Fatalf("a yes that names the notice %q: %v", e.Notice, err)
			}
			l.pass(time.Second)
		}
	})
	var yeses, with int
	const yes = `FROM consent_ledger l WHERE l.action IN ('request', 'grant') AND (l.types <> '' OR l.topics <> '' OR l.item <> '' OR l.tracking = 'yes')`
	w.ok(db.Get(w.ctx, &yeses, `SELECT count(*) `+yes))
	w.ok(db.Get(w.ctx, &with, `SELECT count(*) `+yes+` AND EXISTS (SELECT 1 FROM notices n WHERE n.version = l.notice AND n.hash = l.notice_hash)`))
	if yeses < 30 || with != yeses {
		t.Errorf("%d of %d yeses refer to a wording", with, yeses)
	}
}

func TestS5WhoConsentedUnderAnOutdatedNotice(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		outdated := func(co id.Company) []Outdated {
			t.Helper()
			list, err := w.l.Outdated(w.ctx, w.db, co)
			w.ok(err)
			return list
		}
		yes := func(c id.Contact, co id.Company, notice string, tracking *bool, types ...string) {
			t.Helper()
			w.record(Entry{Contact: c, Action: Grant, Company: co, Channel: Email, Types: types, Tracking: tracking, Notice: notice, Own: true})
		}
		on := true
		var people []id.Contact
		for range 6 {
			people = append(people, w.contact("", ""))
		}
		yes(people[0], w.acme, "v1", &on, letter)
		yes(people[1], w.acme, "v1", nil, letter)
		yes(people[2], w.bolt, "v1", nil, letter)
		yes(people[3], w.acme, "v1", nil, letter)
		yes(people[4], w.acme, "v1", nil, letter)
		w.record(Entry{Contact: people[0], Action: Grant, Company: w.acme, Channel: Phone, Types: []string{promo}, Notice: "v1", Own: true})
		w.wish(people[5], w.acme, paper)
		if got := outdated(w.acme); got == nil || len(got) != 0 {
			t.Errorf("before there is another wording: %+v", got)
		}
		w.pass(time.Hour)
		w.notice("v1-de", "de", "Dürfen wir?")
		w.notice("v1-again", "en", "May we write to you?")
		if got := outdated(w.acme); len(got) != 0 {
			t.Errorf("another language, and the same text: %+v", got)
		}
		w.notice("v2", "en", "May we write to you, and how often?")
		want := []Outdated{{Notice: "v1", Language: "en", Newest: "v2", Contacts: 4, Tracking: 1, Items: 1}}
		if got := outdated(w.acme); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := outdated(w.bolt); len(got) != 1 || got[0].Contacts != 1 || got[0].Tracking+got[0].Items != 0 {
			t.Errorf("another company: %+v", got)
		}
		yes(people[1], w.acme, "v2", nil, letter)             // asked anew
		w.record(Entry{Contact: people[3], Action: Withdraw}) // left
		w.record(Entry{Contact: people[4], Action: Restrict}) // not in force
		yes(people[0], w.acme, "v2", &on)                     // tracking alone
		w.serve(people[5], w.acme, paper)
		want[0].Contacts, want[0].Tracking, want[0].Items = 1, 0, 0
		if got := outdated(w.acme); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		yes(people[0], w.acme, "v2", nil, letter)
		w.record(Entry{Contact: people[0], Action: Withdraw, Company: w.acme, Channel: Phone})
		if got := outdated(w.acme); len(got) != 0 {
			t.Errorf("nothing rests on it any more: %+v", got)
		}
		if _, err := w.l.Outdated(w.ctx, w.db, 0); !errors.Is(err, ErrUnknownCompany) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHowOftenAWordingIsAnsweredWithYes(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		on, off := true, false
		request := func(c id.Contact, tracking *bool, notice string, confirm bool) {
			t.Helper()
			w.tx(func(tx *schema.Tx) error {
				r, err := w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: tracking, Notice: notice, How: ByForm}, time.Hour)
				if err == nil && confirm {
					_, err = w.l.Confirm(w.ctx, tx, r)
				}
				return err
			})
			w.pass(time.Second)
		}
		say := func(c id.Contact, how How, own bool, tracking *bool, requested schema.Time) {
			t.Helper()
			w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: tracking, Notice: "v1", How: how, Own: own, Requested: requested})
		}
		request(w.contact("", ""), &on, "v1", true)
		request(w.contact("", ""), &off, "v1", true)
		request(w.contact("", ""), nil, "v1", true)
		request(w.contact("", ""), &on, "v1", false)
		say(w.contact("", ""), ByForm, true, &on, 0)
		say(w.contact("", ""), ByPage, true, nil, 0)
		say(w.contact("", ""), ByImport, false, &on, 0)               // was not asked by us
		say(w.contact("", ""), ByAPI, false, &on, schema.At(w.clock)) // confirmed elsewhere
		refuser := w.contact("", "")
		w.record(Entry{Contact: refuser, Action: Withdraw})
		w.record(Untrack(refuser, w.acme, ByPage))
		w.wish(w.contact("", ""), w.bolt, paper)
		w.notice("v2", "en", "Another question?")
		request(w.contact("", ""), nil, "v2", true)

		got, err := w.l.Wordings(w.ctx, w.db)
		w.ok(err)
		created := func(version string) schema.Time {
			n, err := NewNotices(w.db, nil).Get(w.ctx, version)
			w.ok(err)
			return n.CreatedAt
		}
		want := []Wording{
			{Version: "v2", Language: "en", CreatedAt: created("v2"), Asked: 1, Confirmed: 1, InForce: 1, Newest: "v2"},
			{Version: "v1", Language: "en", CreatedAt: created("v1"), Asked: 7, Confirmed: 6, TrackingAsked: 3, TrackingYes: 2, InForce: 7, Tracking: 4, Items: 1, Newest: "v2", Outdated: true},
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}
