package rights_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// clocks are the purposes, each with what is held for it and the moment at which it is over. start
// returns what tells whether it is still there.
var clocks = []struct {
	what    string
	purpose rights.Purpose
	over    [3]int // years, months and days after dawn
	start   func(h *house) func() bool
}{
	{"a consent that was never used", rights.PurposeConsented, [3]int{3, 0, 0}, func(h *house) func() bool { return there(h, h.optedIn()) }},
	{"a consent, by the last mail sent", rights.PurposeConsented, [3]int{3, 4, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.later(0, 4, 0, 0)
		h.mailed(who)
		return there(h, who)
	}},
	{"a consent, by the last first open", rights.PurposeConsented, [3]int{3, 4, 0}, func(h *house) func() bool {
		who := h.optedIn()
		m := h.mailed(who)
		h.exec(`UPDATE messages SET opened_at = ? WHERE id = ?`, schema.At(dawn.AddDate(0, 4, 0)), m)
		return there(h, who)
	}},
	{"a consent, by the last first click", rights.PurposeConsented, [3]int{3, 4, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.exec(`INSERT INTO message_links (message, link, first_at) VALUES (?, 1, ?)`, h.mailed(who), schema.At(dawn.AddDate(0, 4, 0)))
		return there(h, who)
	}},
	{"a consent, not by what a machine clicked", rights.PurposeConsented, [3]int{3, 0, 0}, func(h *house) func() bool {
		who := h.optedIn()
		m := h.mailed(who)
		h.later(0, 4, 0, 0)
		h.clicked(who, m, "machine")
		h.exec(`DELETE FROM events`) // its own clock is another one's
		return there(h, who)
	}},
	{"a consent, by what the person changed last", rights.PurposeConsented, [3]int{3, 4, 0}, func(h *house) func() bool {
		who := h.own()
		h.yes(who, h.acme, "newsletter", "product-updates")
		h.later(0, 4, 0, 0)
		h.says(who, consent.Entry{Action: consent.Withdraw, Company: h.acme.ID, Channel: consent.Email, Types: []string{"product-updates"}})
		return there(h, who)
	}},
	{"a consent, by a later one", rights.PurposeConsented, [3]int{3, 4, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.later(0, 4, 0, 0)
		h.yes(who, h.bolt, "newsletter")
		return there(h, who)
	}},
	{"a consent to an address that bounces", rights.PurposeConsented, [3]int{3, 0, 0}, func(h *house) func() bool {
		who := h.optedIn()
		c, err := h.contacts.Get(h.ctx, who)
		h.ok(err)
		h.tx(func(tx *schema.Tx) error { return h.ledger.Suppress(h.ctx, tx, c.Email, consent.BlockBounced) })
		return there(h, who)
	}},
	{"who withdrew everything", rights.PurposeOptedOut, [3]int{3, 2, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.mailed(who)
		h.later(0, 2, 0, 0)
		h.says(who, consent.Entry{Action: consent.Withdraw})
		return there(h, who)
	}},
	{"who objected", rights.PurposeOptedOut, [3]int{3, 2, 0}, func(h *house) func() bool {
		who := h.own()
		h.later(0, 2, 0, 0)
		h.says(who, consent.Entry{Action: consent.Object})
		return there(h, who)
	}},
	{"who withdrew the last type", rights.PurposeOptedOut, [3]int{3, 2, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.later(0, 2, 0, 0)
		h.says(who, consent.Entry{Action: consent.Withdraw, Company: h.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}})
		return there(h, who)
	}},
	{"an address that nobody confirmed", rights.PurposeUnconfirmed, [3]int{0, 1, 0}, func(h *house) func() bool { return there(h, h.entered()) }},
	{"an address that was entered again", rights.PurposeUnconfirmed, [3]int{0, 1, 10}, func(h *house) func() bool {
		who := h.entered()
		h.later(0, 0, 10, 0)
		h.request(who)
		return there(h, who)
	}},
	{"a provider's contact", rights.PurposeSourced, [3]int{3, 0, 0}, func(h *house) func() bool { return there(h, h.from(h.source("fairs", 0))) }},
	{"a provider's contact, given again by another", rights.PurposeSourced, [3]int{3, 4, 0}, func(h *house) func() bool {
		fairs, lists := h.source("fairs", 0), h.source("lists", 0)
		who := h.from(fairs)
		h.later(0, 4, 0, 0)
		_, _, err := h.contacts.Create(h.ctx, segments.NewContact{Email: "p1@example.org", Source: lists.Slug})
		h.ok(err)
		return there(h, who)
	}},
	{"after the licence", rights.PurposeSourcedEnded, [3]int{0, 3, 0}, func(h *house) func() bool {
		return there(h, h.from(h.source("fairs", schema.At(dawn.AddDate(0, 2, 0)))))
	}},
	{"after the recall", rights.PurposeSourcedEnded, [3]int{0, 3, 0}, func(h *house) func() bool {
		who := h.from(h.source("fairs", 0))
		h.later(0, 2, 0, 0)
		_, _, err := h.sources.Recall(h.ctx, "fairs")
		h.ok(err)
		return there(h, who)
	}},
	{"after the last of two licences", rights.PurposeSourcedEnded, [3]int{0, 6, 0}, func(h *house) func() bool {
		return there(h, h.from(h.source("fairs", schema.At(dawn.AddDate(0, 2, 0))), h.source("lists", schema.At(dawn.AddDate(0, 5, 0)))))
	}},
	{"after the licence, whoever objected", rights.PurposeSourcedEnded, [3]int{0, 3, 0}, func(h *house) func() bool {
		who := h.from(h.source("fairs", schema.At(dawn.AddDate(0, 2, 0))))
		h.says(who, consent.Entry{Action: consent.Object})
		return there(h, who)
	}},
	{"an own contact without evidence of consent", rights.PurposeOwn, [3]int{3, 0, 0}, func(h *house) func() bool { return there(h, h.own()) }},
	{"a candidate", rights.PurposeCandidate, [3]int{0, 6, 0}, func(h *house) func() bool {
		who := h.own()
		h.join(who, rights.GroupCandidate)
		return there(h, who)
	}},
	{"a customer's membership", rights.PurposeGroup, [3]int{3, 0, 0}, func(h *house) func() bool {
		who := h.optedIn()
		h.join(who, rights.GroupCustomer)
		h.later(2, 0, 0, 0)
		h.mailed(who)
		return func() bool { return h.count(`SELECT count(*) FROM subject_groups`) > 0 }
	}},
	{"rejected rows", rights.PurposeSupport, [3]int{0, 1, 0}, func(h *house) func() bool {
		h.exec(`INSERT INTO imports (id, status, created_at, finished_at) VALUES (7, 'finished', 1, ?)`, schema.At(dawn))
		h.exec(`INSERT INTO import_rejects (import, line, field, reason) VALUES (7, 2, 'email', 'missing'), (7, 3, 'email', 'missing')`)
		return func() bool { return h.count(`SELECT count(*) FROM import_rejects`) > 0 }
	}},
	{"an upload whose import never ended", rights.PurposeSupport, [3]int{0, 1, 0}, func(h *house) func() bool {
		_, err := h.imports.Create(h.ctx, segments.NewImport{Node: "gone"})
		h.ok(err)
		return func() bool { return h.count(`SELECT count(*) FROM imports WHERE status = 'queued'`) > 0 }
	}},
	{"a single-use link", rights.PurposeSupport, [3]int{0, 1, 1}, func(h *house) func() bool {
		h.exec(`INSERT INTO rights_links (contact, purpose, created_at, expires_at) VALUES (99, 'erase', ?, ?)`, schema.At(dawn), schema.At(dawn.AddDate(0, 0, 1)))
		return func() bool { return h.count(`SELECT count(*) FROM rights_links`) > 0 }
	}},
	{"a click", rights.PurposeEvents, [3]int{0, 25, 0}, func(h *house) func() bool {
		h.clicked(99, 99, "person")
		return func() bool { return h.count(`SELECT count(*) FROM events`) > 0 }
	}},
	{"the region of a click", rights.PurposeEvents, [3]int{0, 25, 0}, func(h *house) func() bool {
		h.exec(`INSERT INTO contact_regions (contact, region, at) VALUES (99, 'GB-ENG', ?)`, schema.At(dawn))
		return func() bool { return h.count(`SELECT count(*) FROM contact_regions`) > 0 }
	}},
	{"a request that was closed", rights.PurposeRequests, [3]int{3, 0, 5}, func(h *house) func() bool {
		h.exec(`INSERT INTO rights_requests (kind, channel, received_at, due_at, status, closed_at) VALUES ('access', 'post', ?, ?, 'done', ?)`,
			schema.At(dawn), schema.At(dawn.AddDate(0, 1, 0)), schema.At(dawn.AddDate(0, 0, 5)))
		return func() bool { return h.count(`SELECT count(*) FROM rights_requests`) > 0 }
	}},
	{"an entry of the security log", rights.PurposeSecurityLog, [3]int{3, 0, 0}, func(h *house) func() bool {
		h.ok(h.audit.Write(h.ctx, nil, rights.Entry{Actor: "ann", Action: "contact.read", Object: "ct_1"}))
		return func() bool { return h.count(`SELECT count(*) FROM audit_log WHERE action = 'contact.read'`) > 0 }
	}},
}

func there(h *house, who id.Contact) func() bool { return func() bool { return h.held(who) } }

func (h *house) join(who id.Contact, group string) {
	h.Helper()
	_, err := h.groups.Add(h.ctx, nil, who, group, rights.Contract)
	h.ok(err)
}

// eachClock sets every clock, each in a house where nothing else is.
func eachClock(t *testing.T, test func(h *house, over time.Time, purpose rights.Purpose, is func() bool)) {
	houses(t, func(h *house) {
		outer := h.T
		for _, c := range clocks {
			outer.Run(strings.ReplaceAll(c.what, " ", "-"), func(t *testing.T) {
				h.T = t
				h.clear()
				is := c.start(h)
				test(h, dawn.AddDate(c.over[0], c.over[1], c.over[2]), c.purpose, is)
			})
		}
	})
}

func TestS25EachClockRunsOutToTheSecond(t *testing.T) {
	proved := map[rights.Purpose]bool{}
	eachClock(t, func(h *house, over time.Time, purpose rights.Purpose, is func() bool) {
		proved[purpose] = true
		h.now = over.Add(-time.Second)
		if o := h.run(purpose); o.Due != 0 || !is() {
			h.Fatalf("a second early: %+v, there: %v", o, is())
		}
		h.now = over.Add(time.Second)
		if o := h.run(purpose); o.Due != 1 || o.Done != 1 || is() {
			h.Fatalf("a second late: %+v, there: %v", o, is())
		}
	})
	all, err := rights.Rules(t.Context(), sqlite(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !proved[r.Purpose] {
			t.Errorf("no clock of %s is looked at", r.Purpose)
		}
	}
}

func TestS25LegalHoldsWinOverEveryRule(t *testing.T) {
	eachClock(t, func(h *house, over time.Time, purpose rights.Purpose, is func() bool) {
		hold := h.place(rights.Hold{Scope: rights.HoldAll})
		h.now = over.Add(time.Second)
		if o := h.run(purpose); o.Due != 1 || o.Held != 1 || o.Done != 0 || !is() {
			h.Fatalf("held: %+v, there: %v", o, is())
		}
		h.ok(h.holds.Release(h.ctx, nil, hold.ID))
		if o := h.run(purpose); o.Done != 1 || is() {
			h.Fatalf("released: %+v, there: %v", o, is())
		}
	})
}

func TestS25AHoldCoversWhomItNames(t *testing.T) {
	houses(t, func(h *house) {
		fairs, lists := h.source("fairs", 0), h.source("lists", 0)
		inFairs, inBoth, inLists := h.from(fairs), h.from(fairs, lists), h.from(lists)
		ofAcme, mailedByAcme, ofBolt, named := h.optedIn(), h.own(), h.own(), h.own()
		h.mailed(mailedByAcme)
		h.yes(ofBolt, h.bolt, "newsletter")
		ends := h.own()
		h.place(rights.Hold{Scope: rights.HoldSource, Source: fairs.ID})
		h.place(rights.Hold{Scope: rights.HoldCompany, Company: h.acme.ID})
		h.place(rights.Hold{Scope: rights.HoldContact, Contact: named})
		h.place(rights.Hold{Scope: rights.HoldContact, Contact: ends, EndsAt: schema.At(dawn.AddDate(3, 0, 0))})
		for _, who := range []id.Contact{ofAcme, ofBolt} { // rows of theirs share their fate
			h.exec(`INSERT INTO rights_requests (kind, channel, contact, received_at, due_at, status, closed_at) VALUES ('access', 'post', ?, 1, 1, 'done', 1)`, who)
			h.clicked(who, h.mailed2(who), "person")
		}
		h.exec(`INSERT INTO rights_requests (kind, channel, company, received_at, due_at, status, closed_at) VALUES ('access', 'post', ?, 1, 1, 'done', 1)`, h.acme.ID)
		h.later(3, 0, 0, time.Second)
		_, err := h.retention().Run(h.ctx, false)
		h.ok(err)
		for who, want := range map[id.Contact]bool{inFairs: true, inBoth: true, inLists: false, ofAcme: true, mailedByAcme: true, ofBolt: false, named: true, ends: false} {
			if h.held(who) != want {
				h.Errorf("contact %d is there: %v, want %v", who, !want, want)
			}
		}
		if n := h.count(`SELECT count(*) FROM rights_requests WHERE contact = ? OR company = ?`, ofAcme, h.acme.ID); n != 2 || h.count(`SELECT count(*) FROM rights_requests`) != 2 {
			h.Errorf("%d requests of who is held stayed, of %d", n, h.count(`SELECT count(*) FROM rights_requests`))
		}
		if n := h.count(`SELECT count(*) FROM events WHERE contact = ?`, ofAcme); n != 1 || h.count(`SELECT count(*) FROM events`) != 1 {
			h.Errorf("%d events of who is held stayed, of %d", n, h.count(`SELECT count(*) FROM events`))
		}
	})
}

// mailed2 is a mail of bolt's, which acme has nothing to do with.
func (h *house) mailed2(who id.Contact) (m id.Message) {
	h.tx(func(tx *schema.Tx) error {
		var c id.Campaign
		if err := tx.Get(h.ctx, &c, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
			VALUES ('June', ?, 'newsletter', 's', 'a@bolt.example', '', '{}', 'consented', 'finished', 1) RETURNING id`, h.bolt.ID); err != nil {
			return err
		}
		return tx.Get(h.ctx, &m, `INSERT INTO messages (campaign, contact, status) VALUES (?, ?, 'failed') RETURNING id`, c, who)
	})
	return m
}

func TestS25WhoWantsTheirDataRestrictedOpposesItsErasure(t *testing.T) {
	houses(t, func(h *house) {
		who := h.optedIn()
		h.says(who, consent.Entry{Action: consent.Restrict})
		h.later(4, 0, 0, 0)
		if o := h.run(rights.PurposeConsented); o.Held != 1 || !h.held(who) {
			h.Fatalf("%+v", o)
		}
		h.says(who, consent.Entry{Action: consent.Lift})
		if o := h.run(rights.PurposeConsented); o.Done != 1 || h.held(who) {
			h.Fatalf("lifted: %+v", o)
		}
	})
}

func TestS25ExtensionsAreWrittenAndEnd(t *testing.T) {
	houses(t, func(h *house) {
		until := schema.At(dawn.AddDate(4, 0, 0))
		for what, x := range map[string]rights.Extension{
			"without a reference": {Purpose: rights.PurposeOwn, Until: until, Actor: "ann"},
			"of blanks":           {Purpose: rights.PurposeOwn, Until: until, Actor: "ann", Reference: " "},
		} {
			var inv *rights.Invalid
			if _, err := h.extensions.Extend(h.ctx, nil, x); !errors.Is(err, rights.ErrNoReference) || !errors.As(err, &inv) {
				h.Errorf("%s: %v", what, err)
			}
		}
		for what, x := range map[string]rights.Extension{
			"of nothing":             {Until: until, Reference: "DPO 7", Actor: "ann"},
			"of no purpose there is": {Purpose: "photos", Until: until, Reference: "DPO 7", Actor: "ann"},
			"that is over":           {Purpose: rights.PurposeOwn, Until: schema.At(dawn), Reference: "DPO 7", Actor: "ann"},
			"with an address":        {Purpose: rights.PurposeOwn, Until: until, Reference: "mail of jo@example.org", Actor: "ann"},
			"by nobody":              {Purpose: rights.PurposeOwn, Until: until, Reference: "DPO 7"},
		} {
			var inv *rights.Invalid
			if _, err := h.extensions.Extend(h.ctx, nil, x); !errors.As(err, &inv) || errors.Is(err, rights.ErrNoReference) {
				h.Errorf("%s: %v", what, err)
			}
		}
		if all, err := h.extensions.List(h.ctx, h.db); err != nil || len(all) != 0 {
			h.Fatalf("something was extended: %v, %v", all, err)
		}
		one, two, three := h.own(), h.own(), h.own()
		extend := func(x rights.Extension) rights.Extension {
			x.Reference, x.Actor = "DPO 7", "ann"
			x, err := h.extensions.Extend(h.ctx, nil, x)
			h.ok(err)
			return x
		}
		extend(rights.Extension{Contact: one, Until: until})
		extend(rights.Extension{Contact: two, Purpose: rights.PurposeConsented, Until: until}) // for what it is not held for
		h.later(3, 0, 0, time.Second)
		if o := h.run(rights.PurposeOwn); o.Due != 3 || o.Extended != 1 || o.Done != 2 || !h.held(one) || h.held(two) || h.held(three) {
			h.Fatalf("%+v", o)
		}
		h.later(4, 0, 0, time.Second)
		if o := h.run(rights.PurposeOwn); o.Due != 1 || o.Done != 1 {
			h.Fatalf("over: %+v", o)
		}
		four := h.own()
		h.later(7, 1, 0, 0)
		whole := extend(rights.Extension{Purpose: rights.PurposeOwn, Until: schema.At(dawn.AddDate(9, 0, 0))})
		if o := h.run(rights.PurposeOwn); o.Extended != 1 || !h.held(four) {
			h.Fatalf("a whole purpose: %+v", o)
		}
		h.ok(h.extensions.End(h.ctx, nil, whole.ID))
		if err := h.extensions.End(h.ctx, nil, whole.ID); !errors.Is(err, rights.ErrNoExtension) {
			h.Errorf("ended twice: %v", err)
		}
		if o := h.run(rights.PurposeOwn); o.Done != 1 {
			h.Fatalf("taken back: %+v", o)
		}
	})
}

func TestS25HoldsSayWhyAndWhom(t *testing.T) {
	h := newHouse(t, sqlite(t))
	good := rights.Hold{Scope: rights.HoldContact, Contact: 1, Reference: "case 7", Reason: "a claim", Actor: "ann"}
	for what, change := range map[string]func(*rights.Hold){
		"no scope":            func(o *rights.Hold) { o.Scope = "" },
		"another scope":       func(o *rights.Hold) { o.Scope = "world" },
		"nobody":              func(o *rights.Hold) { o.Contact = 0 },
		"more than it says":   func(o *rights.Hold) { o.Source = 1 },
		"all, and one":        func(o *rights.Hold) { o.Scope = rights.HoldAll },
		"no reference":        func(o *rights.Hold) { o.Reference = " " },
		"no reason":           func(o *rights.Hold) { o.Reason = "" },
		"an address":          func(o *rights.Hold) { o.Reason = "jo@example.org sues" },
		"nobody who places":   func(o *rights.Hold) { o.Actor = "" },
		"an end that is over": func(o *rights.Hold) { o.EndsAt = schema.At(dawn) },
	} {
		o := good
		change(&o)
		var inv *rights.Invalid
		if _, err := h.holds.Place(h.ctx, nil, o); !errors.As(err, &inv) {
			t.Errorf("%s: %v", what, err)
		}
	}
	placed, err := h.holds.Place(h.ctx, nil, good)
	h.ok(err)
	all, err := h.holds.List(h.ctx, h.db)
	if err != nil || !reflect.DeepEqual(all, []rights.Hold{placed}) {
		t.Errorf("listed %+v, %v, want %+v", all, err, placed)
	}
	h.ok(h.holds.Release(h.ctx, nil, placed.ID))
	if err := h.holds.Release(h.ctx, nil, placed.ID); !errors.Is(err, rights.ErrNoHold) {
		t.Errorf("released twice: %v", err)
	}
	if all, err := h.holds.Standing(h.ctx, h.db); err != nil || len(all) != 0 {
		t.Errorf("still standing: %v, %v", all, err)
	}
}

// TestS25AHoldPlacedDuringARunWins: what was due when the run looked is looked at again.
func TestS25AHoldPlacedDuringARunWins(t *testing.T) {
	houses(t, func(h *house) {
		held, changed, gone := h.own(), h.own(), h.own()
		look := h.options.Keepers[rights.PurposeOwn]
		var meanwhile func()
		h.options.Keepers[rights.PurposeOwn] = func(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
			found, err := look(ctx, q, before, after, last, limit)
			if last == 0 && meanwhile != nil {
				meanwhile()
				meanwhile = nil
			}
			return found, err
		}
		meanwhile = func() {
			h.place(rights.Hold{Scope: rights.HoldContact, Contact: held})
			h.yes(changed, h.acme, "newsletter")
		}
		h.later(3, 0, 0, time.Second)
		o := h.run(rights.PurposeOwn)
		if o.Due != 2 || o.Held != 1 || o.Done != 1 || !h.held(held) || !h.held(changed) || h.held(gone) {
			h.Fatalf("%+v", o)
		}
	})
}

func TestS25AMembershipKeepsAContact(t *testing.T) {
	houses(t, func(h *house) {
		applicant, customer, both, subscriber := h.own(), h.own(), h.own(), h.optedIn()
		h.later(2, 9, 0, 0) // three months before they would go as own contacts
		for _, who := range []id.Contact{applicant, both, subscriber} {
			h.join(who, rights.GroupCandidate)
		}
		for _, who := range []id.Contact{customer, both} {
			h.join(who, rights.GroupCustomer)
		}
		h.later(3, 0, 0, time.Second)
		h.mailed(subscriber)
		if o := h.run(rights.PurposeOwn); o.Due != 0 {
			h.Fatalf("who is in a group is held for that: %+v", o)
		}
		h.later(3, 3, 0, time.Second)
		if o := h.run(rights.PurposeCandidate); o.Done != 3 || h.held(applicant) || !h.held(both) || !h.held(subscriber) {
			h.Fatalf("a candidate who is nothing else goes: %+v", o)
		}
		if n := h.count(`SELECT count(*) FROM subject_groups`); n != 2 {
			h.Errorf("%d memberships are left", n)
		}
		h.later(5, 9, 0, time.Second)
		h.mailed(subscriber)
		all, err := h.retention().Run(h.ctx, false)
		h.ok(err)
		if h.held(both) || h.held(customer) || !h.held(subscriber) {
			h.Errorf("after the memberships: %+v", all)
		}
	})
}

func TestS25WhatCannotBeErasedKeepsNothingElse(t *testing.T) {
	houses(t, func(h *house) {
		var all []id.Contact
		for range 40 {
			all = append(all, h.own())
		}
		h.fails[all[0]], h.fails[all[17]], h.fails[all[39]] = true, true, true
		h.later(3, 0, 0, time.Second)
		outcomes, err := h.retention().Run(h.ctx, false)
		if err == nil || !strings.Contains(err.Error(), "cannot be erased") {
			h.Fatalf("nobody was told: %v", err)
		}
		o := of(outcomes, rights.PurposeOwn)
		if o.Due != 40 || o.Done != 37 || o.Failed != 3 {
			h.Errorf("%+v", o)
		}
		for i, who := range all {
			if want := h.fails[who]; h.held(who) != want {
				h.Errorf("the contact at %d is there: %v", i, !want)
			}
		}
		clear(h.fails)
		if o := h.run(rights.PurposeOwn); o.Due != 3 || o.Done != 3 {
			h.Errorf("the next run: %+v", o)
		}
	})
}

func of(outcomes []rights.Outcome, p rights.Purpose) rights.Outcome {
	i := slices.IndexFunc(outcomes, func(o rights.Outcome) bool { return o.Purpose == p })
	return outcomes[i]
}

func TestS25ARunThatIsStoppedGoesOn(t *testing.T) {
	houses(t, func(h *house) {
		for range 30 {
			h.own()
		}
		h.later(3, 0, 0, time.Second)
		ctx, stop := context.WithCancel(h.ctx)
		n := 0
		h.erased = func(id.Contact) {
			if n++; n == 12 {
				stop()
			}
		}
		if _, err := h.retention().Run(ctx, false); !errors.Is(err, context.Canceled) {
			h.Fatalf("got %v", err)
		}
		h.erased = nil
		left := h.count(`SELECT count(*) FROM contacts`)
		if left == 0 || left != h.count(`SELECT count(*) FROM consent_subjects`) {
			h.Fatalf("%d contacts, %d subjects", left, h.count(`SELECT count(*) FROM consent_subjects`))
		}
		if told := h.count(`SELECT count(*) FROM audit_log WHERE action = 'contact.erase'`); told != 30-left {
			h.Errorf("%d of %d erasures are in the audit log", told, 30-left)
		}
		if o := h.run(rights.PurposeOwn); o.Done != int64(left) || h.count(`SELECT count(*) FROM contacts`) != 0 {
			h.Errorf("the next run: %+v", o)
		}
	})
}

func TestS25RunsAreInTheAuditLog(t *testing.T) {
	houses(t, func(h *house) {
		who := h.own()
		h.later(3, 0, 0, time.Second)
		if _, err := h.retention().Run(h.ctx, true); err != nil {
			h.Fatal(err)
		}
		if n := h.count(`SELECT count(*) FROM audit_log`); n != 0 {
			h.Errorf("a dry run left %d entries", n)
		}
		h.run(rights.PurposeOwn)
		for _, want := range []rights.Entry{
			{Actor: "retention", Action: "contact.erase", Object: who.String(), Detail: "retention"},
			{Actor: "retention", Action: "retention.run", Object: "own-without-consent", Detail: "erase: due 1, held 0, extended 0, done 1, failed 0; before 2020-01-15T09:30:01Z"},
			{Actor: "retention", Action: "retention.run", Object: "events", Detail: "erase: due 0, held 0, extended 0, done 0, failed 0; before 2020-12-15T09:30:01Z"},
		} {
			got, err := h.audit.List(h.ctx, rights.ListOptions{Action: want.Action, Object: want.Object})
			if err != nil || len(got) != 1 || got[0].Entry != want {
				h.Errorf("%+v, %v, want %+v", got, err, want)
			}
		}
	})
}

func TestS25NothingIsPassedOverInSilence(t *testing.T) {
	for what, take := range map[string]func(o *rights.RetentionOptions){
		"a keeper":   func(o *rights.RetentionOptions) { delete(o.Keepers, rights.PurposeSourced) },
		"events":     func(o *rights.RetentionOptions) { delete(o.Sweepers, rights.PurposeEvents) },
		"imports":    func(o *rights.RetentionOptions) { delete(o.Sweepers, rights.PurposeSupport) },
		"the holds":  func(o *rights.RetentionOptions) { o.Holds = nil },
		"restricted": func(o *rights.RetentionOptions) { o.Restrained = nil },
	} {
		h := newHouse(t, sqlite(t))
		take(&h.options)
		if _, err := rights.NewRetention(h.options); err == nil {
			t.Errorf("%s are not missed", what)
		}
	}
}
