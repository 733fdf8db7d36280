package rights_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

// drawer is a subject that keeps what it holds in the settings table, under NAME/contact.
type drawer struct {
	name  string
	calls *[]string
	fail  error
	holds bool // the contact itself
}

func (d drawer) key(who id.Contact) string { return d.name + "/" + who.String() }

func (d drawer) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	p := rights.Part{Name: d.name, Purpose: "trying", Basis: rights.Consent, Columns: []string{"Value"}}
	var values []string
	if err := q.Select(ctx, &values, `SELECT value FROM settings WHERE name = ?`, d.key(who)); err != nil {
		return nil, err
	}
	for _, v := range values {
		p.Rows = append(p.Rows, []any{v})
	}
	if d.holds && len(values) == 0 {
		return nil, rights.ErrNoContact
	}
	return []rights.Part{p}, nil
}

func (d drawer) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why rights.Reason) ([]rights.Kept, error) {
	*d.calls = append(*d.calls, d.name+" "+string(why))
	if _, err := tx.Exec(ctx, `DELETE FROM settings WHERE name = ?`, d.key(who)); err != nil {
		return nil, err
	}
	return []rights.Kept{{What: d.name + " hash", Why: "because"}}, d.fail
}

func (d drawer) put(o *office, who id.Contact) {
	o.Helper()
	_, err := o.db.Exec(o.Context(), `INSERT INTO settings (name, value) VALUES (?, ?)`, d.key(who), "of "+who.String())
	o.ok(err)
}

func (o *office) erase(who id.Contact, why rights.Reason, actor string) (r rights.Receipt, err error) {
	err = o.tx(func(ctx context.Context, tx *schema.Tx) (err error) {
		r, err = o.desk.Erase(ctx, tx, who, why, actor)
		return err
	})
	return r, err
}

func (o *office) exec(query string, args ...any) {
	o.Helper()
	_, err := o.db.Exec(o.Context(), query, args...)
	o.ok(err)
}

// lines are the rows of a part of a copy.
func lines(t *testing.T, c rights.Copy, part string) []string {
	t.Helper()
	for _, p := range c.Parts {
		if p.Name == part {
			var all []string
			for _, row := range p.Rows {
				line := ""
				for _, v := range row {
					line += fmt.Sprint(v) + " | "
				}
				all = append(all, line)
			}
			return all
		}
	}
	t.Errorf("the copy has no part %q", part)
	return nil
}

// fill puts something of contacts 7 and 8 into every table of this package.
func (o *office) fill() {
	for _, who := range []id.Contact{7, 8} {
		o.open(rights.NewRequest{Kind: rights.Complaint, Channel: rights.ByPage, Contact: who, Company: 3, Detail: "my words", Reference: "T-1"})
		_, _, err := o.link(who, rights.ForErasure, time.Hour)
		o.ok(err)
		_, err = rights.NewGroups(o.db, func() time.Time { return o.now }).Add(o.Context(), nil, who, "candidate", rights.Contract)
		o.ok(err)
		o.exec(`INSERT INTO holds (scope, object, reference, reason, actor, created_at, released_at) VALUES ('contact', ?, 'CASE-1', 'a claim', 'ann', 5, 9)`, who)
		o.exec(`INSERT INTO retention_extensions (purpose, contact, until, reference, actor, created_at) VALUES ('candidate', ?, 10, 'DOC-1', 'ann', 5)`, who)
		o.ok(o.audit.Write(o.Context(), nil, rights.Entry{Actor: "ann", Action: "contact.read", Object: who.String(), Detail: "by address"}))
	}
}

func TestS23TheDeskCopiesWhatItHoldsItself(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		var calls []string
		first, second := drawer{name: "first", calls: &calls, holds: true}, drawer{name: "second", calls: &calls}
		o := newOffice(t, db, first, second)
		o.desk.Company = func(context.Context, schema.Querier, id.Company) (string, error) { return "Acme Ltd", nil }
		first.put(o, 7)
		second.put(o, 8)
		o.fill()
		c, err := o.desk.Copy(t.Context(), db, 7)
		o.ok(err)
		if c.AsOf != schema.At(o.now) || c.Contact != 7 {
			t.Errorf("a copy of %s as of %s", c.Contact, c.AsOf)
		}
		var names []string
		for _, p := range c.Parts {
			names = append(names, p.Name)
		}
		if want := []string{"first", "second", "Your requests to us", "Legal holds", "Links that we mailed to you", "Groups you belong to", "Written decisions to keep data longer",
			"Log of what was done with your data"}; !slices.Equal(names, want) {
			t.Errorf("the parts are %q, want %q", names, want)
		}
		at := schema.At(o.now).String()
		for part, want := range map[string][]string{
			"first":                                 {"of ct_7"},
			"second":                                nil,
			"Your requests to us":                   {"req_1 | complaint | page | Acme Ltd | my words | T-1 | " + at},
			"Legal holds":                           {"contact | CASE-1 | a claim | 1970-01-01T00:00:00.000005Z | never | 1970-01-01T00:00:00.000009Z"},
			"Links that we mailed to you":           {"erase | " + at},
			"Groups you belong to":                  {"candidate | contract | " + at},
			"Written decisions to keep data longer": {"candidate | 1970-01-01T00:00:00.00001Z | DOC-1 | 1970-01-01T00:00:00.000005Z"},
			"Log of what was done with your data":   {at + " | contact.read |  | by address"},
		} {
			got := lines(t, c, part)
			if len(got) != len(want) {
				t.Errorf("%s: %q, want %q", part, got, want)
				continue
			}
			for i := range want {
				if !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("%s: %q, want %q", part, got[i], want[i])
				}
			}
		}
		for _, p := range c.Parts {
			for _, row := range p.Rows {
				if strings.Contains(fmt.Sprint(row...), "ann") {
					t.Errorf("%s names a member of staff: %v", p.Name, row)
				}
			}
		}
		for _, who := range []id.Contact{0, -1, 8, 9} { // the first holds the contact, and holds 7 alone
			if _, err := o.desk.Copy(t.Context(), db, who); !errors.Is(err, rights.ErrNoContact) {
				t.Errorf("a copy of %s: %v", who, err)
			}
		}
	})
}

func TestS23AnErasureSaysWhatWentAndWhatStaysAndWhy(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		var calls []string
		first, second, third := drawer{name: "first", calls: &calls, holds: true}, drawer{name: "second", calls: &calls}, drawer{name: "third", calls: &calls}
		o := newOffice(t, db, first, second, third)
		for _, who := range []id.Contact{7, 8} {
			first.put(o, who)
			third.put(o, who)
		}
		o.fill()
		asked := o.open(rights.NewRequest{Kind: rights.Erasure, Channel: rights.ByPhone, Contact: 7, Detail: "delete me"})
		answered := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByPost, Contact: 7, Detail: "my data"})
		_, err := o.extend(answered, answered.DueAt.T().Add(time.Hour), "Jo has many records")
		o.ok(err)
		_, err = o.close(answered, rights.Done, "sent to Jo")
		o.ok(err)
		before, err := o.desk.Copy(t.Context(), db, 8)
		o.ok(err)

		r, err := o.erase(7, rights.OnRequest, "page")
		o.ok(err)
		if r.Contact != 7 || r.Result != rights.Erased || r.Reason != rights.OnRequest || r.ErasedAt != schema.At(o.now) {
			t.Errorf("the receipt says %+v", r)
		}
		if want := []string{"first", "third", "Your requests to us", "Legal holds", "Links that we mailed to you", "Groups you belong to", "Written decisions to keep data longer"}; !slices.Equal(r.Removed, want) {
			t.Errorf("removed: %q, want %q", r.Removed, want)
		}
		if want := []string{"third request", "second request", "first request"}; !slices.Equal(calls, want) {
			t.Errorf("erased in the order %q, want %q", calls, want)
		}
		var kept []string
		for _, k := range r.Kept {
			kept = append(kept, k.What)
			if k.Why == "" {
				t.Errorf("%s is kept for no reason", k.What)
			}
		}
		if want := []string{"first hash", "second hash", "third hash", "That you asked something of us, and when it was answered", "Security and audit log", "A line in the refusals journal",
			"Backups made until now"}; !slices.Equal(kept, want) {
			t.Errorf("kept: %q, want %q", kept, want)
		}

		if _, err := o.desk.Copy(t.Context(), db, 7); !errors.Is(err, rights.ErrNoContact) {
			t.Errorf("a copy of whom was erased: %v", err)
		}
		for _, q := range []string{`SELECT count(*) FROM rights_links WHERE contact = 7`, `SELECT count(*) FROM subject_groups WHERE contact = 7`, `SELECT count(*) FROM holds WHERE object = 7`,
			`SELECT count(*) FROM retention_extensions WHERE contact = 7`, `SELECT count(*) FROM rights_requests WHERE contact = 7`,
			`SELECT count(*) FROM rights_requests WHERE contact = 0 AND (detail <> '' OR outcome LIKE '%Jo%' OR extension LIKE '%Jo%')`} {
			var n int
			if o.ok(db.Get(t.Context(), &n, q)); n != 0 {
				t.Errorf("%s: %d", q, n)
			}
		}
		got, err := o.inbox.Get(t.Context(), db, asked.ID)
		o.ok(err)
		if got.Status != rights.Done || got.Outcome != "erased" || got.HandledBy != "page" || got.ClosedAt != schema.At(o.now) {
			t.Errorf("the request for it is %+v", got)
		}
		got, err = o.inbox.Get(t.Context(), db, answered.ID)
		o.ok(err)
		if got.Status != rights.Done || got.Outcome != "emptied by the erasure" || got.Extension != "emptied by the erasure" || got.HandledBy != "bob" || got.ReceivedAt != answered.ReceivedAt {
			t.Errorf("an earlier request is %+v", got)
		}
		if records, err := o.audit.List(t.Context(), rights.ListOptions{Object: "ct_7", Action: "contact.erase"}); err != nil || len(records) != 1 || records[0].Actor != "page" || records[0].Detail != "request" {
			t.Errorf("the audit log tells %+v, %v", records, err)
		}
		after, err := o.desk.Copy(t.Context(), db, 8)
		o.ok(err)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("somebody else's data changed:\n%v\n%v", before, after)
		}
	})
}

// TestS24TheReceiptNamesTheSecurityLogAndItsEnd: an end date as the rule in force gives it.
func TestS24TheReceiptNamesTheSecurityLogAndItsEnd(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		end := func(who id.Contact) (log, requests schema.Time) {
			t.Helper()
			o.open(rights.NewRequest{Kind: rights.Erasure, Channel: rights.ByPhone, Contact: who})
			r, err := o.erase(who, rights.OnRequest, "ann")
			o.ok(err)
			for _, k := range r.Kept {
				switch k.What {
				case "Security and audit log":
					log = k.Until
				case "That you asked something of us, and when it was answered":
					requests = k.Until
				}
			}
			return log, requests
		}
		o.now = instant(t, "2026-08-31 12:00:00")
		log, requests := end(7)
		if want := schema.At(instant(t, "2029-08-31 12:00:00")); log != want || requests != want {
			t.Errorf("as the rules ship, the log is kept until %s and requests until %s, want %s", log, requests, want)
		}
		for purpose, keep := range map[rights.Purpose]rights.Period{rights.PurposeSecurityLog: {Months: 18}, rights.PurposeRequests: {Months: 1, Days: 2}} {
			o.ok(o.tx(func(ctx context.Context, tx *schema.Tx) error {
				_, err := rights.SetRule(ctx, tx, rights.NewRule{Purpose: purpose, Keep: keep, Actor: "ann"}, schema.At(o.now))
				return err
			}))
		}
		log, requests = end(8)
		if log != schema.At(instant(t, "2028-02-29 12:00:00")) || requests != schema.At(instant(t, "2026-10-02 12:00:00")) {
			t.Errorf("as the operator set them, the log is kept until %s and requests until %s", log, requests)
		}
	})
}

func TestAnErasureThatFailsLeavesEverything(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		var calls []string
		boom := errors.New("boom")
		first, second := drawer{name: "first", calls: &calls, holds: true, fail: boom}, drawer{name: "second", calls: &calls}
		o := newOffice(t, db, first, second)
		first.put(o, 7)
		second.put(o, 7)
		o.fill()
		before, err := o.desk.Copy(t.Context(), db, 7)
		o.ok(err)
		if _, err := o.erase(7, rights.OnRequest, "ann"); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		after, err := o.desk.Copy(t.Context(), db, 7)
		o.ok(err)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("half an erasure: %v became %v", before, after)
		}
		for name, erase := range map[string]func() error{
			"of nobody":                  func() error { _, err := o.erase(0, rights.OnRequest, "ann"); return err },
			"of somebody not held":       func() error { _, err := o.erase(9, rights.OnRequest, "ann"); return err },
			"by nobody":                  func() error { _, err := o.erase(7, rights.OnRequest, ""); return err },
			"for a reason there is none": func() error { _, err := o.erase(7, "boredom", "ann"); return err },
		} {
			if err := erase(); err == nil || errors.Is(err, boom) {
				t.Errorf("an erasure %s: %v", name, err)
			}
		}
	})
}

// TestL13AnErasureUnderALegalHoldIsARestriction: the person's own request stops every use and removes
// nothing; retention is refused.
func TestL13AnErasureUnderALegalHoldIsARestriction(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		var calls []string
		first := drawer{name: "first", calls: &calls, holds: true}
		o := newOffice(t, db, first)
		holds := rights.NewHolds(db, rights.Reach{}, func() time.Time { return o.now })
		o.desk.Holds = holds
		var restricted []string
		for _, who := range []id.Contact{7, 8} {
			first.put(o, who)
		}
		o.fill()
		held, err := holds.Place(t.Context(), nil, rights.Hold{Scope: rights.HoldContact, Contact: 7, Reference: "CASE-2", Reason: "a claim", Actor: "ann", EndsAt: schema.At(o.now.Add(48 * time.Hour))})
		o.ok(err)
		if _, err := o.erase(7, rights.OnRequest, "page"); !errors.Is(err, rights.ErrHeld) {
			t.Errorf("without anybody who could restrict: %v", err)
		}
		o.desk.Restrict = func(_ context.Context, _ *schema.Tx, who id.Contact, actor string) error {
			restricted = append(restricted, who.String()+" by "+actor)
			return nil
		}
		if _, err := o.erase(7, rights.OnRetention, "retention"); !errors.Is(err, rights.ErrHeld) || len(restricted) != 0 {
			t.Errorf("retention under a hold: %v, restricted %v", err, restricted)
		}
		before, err := o.desk.Copy(t.Context(), db, 7)
		o.ok(err)
		for i, why := range []rights.Reason{rights.OnRequest, rights.UnderAge} {
			r, err := o.erase(7, why, "page")
			o.ok(err)
			if r.Result != rights.Held || r.ErasedAt != 0 || len(r.Removed) != 0 || len(r.Kept) != 1 || r.Kept[0].What != "Everything" || r.Kept[0].Until != held.EndsAt {
				t.Errorf("the receipt says %+v", r)
			}
			if len(restricted) != i+1 || restricted[i] != "ct_7 by page" {
				t.Errorf("restricted: %v", restricted)
			}
		}
		after, err := o.desk.Copy(t.Context(), db, 7)
		o.ok(err)
		log := len(after.Parts) - 1
		if fmt.Sprint(before.Parts[:log]) != fmt.Sprint(after.Parts[:log]) || len(calls) != 0 {
			t.Errorf("something was erased: %v, %v", after, calls)
		}
		if got := len(after.Parts[log].Rows) - len(before.Parts[log].Rows); got != 2 {
			t.Errorf("%d entries of the audit log tell of two restrictions", got)
		}
		if r, err := o.erase(8, rights.OnRetention, "retention"); err != nil || r.Result != rights.Erased {
			t.Errorf("somebody whom the hold does not cover: %+v, %v", r, err)
		}
		o.now = o.now.Add(48 * time.Hour) // the hold has ended by itself
		if r, err := o.erase(7, rights.OnRequest, "page"); err != nil || r.Result != rights.Erased {
			t.Errorf("after the hold: %+v, %v", r, err)
		}
	})
}

// TestS23AHoldOnManyIsShownToEachOfThem: a copy shows the holds that cover the contact with others.
func TestS23AHoldOnManyIsShownToEachOfThem(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		only7 := func(_ context.Context, _ schema.Querier, contacts []id.Contact) []id.Contact {
			return slices.DeleteFunc(slices.Clone(contacts), func(c id.Contact) bool { return c != 7 })
		}
		holds := rights.NewHolds(db, rights.Reach{
			OfSource: func(ctx context.Context, q schema.Querier, _ id.Source, cs []id.Contact) ([]id.Contact, error) {
				return only7(ctx, q, cs), nil
			},
			OfCompany: func(ctx context.Context, q schema.Querier, _ id.Company, cs []id.Contact) ([]id.Contact, error) {
				return nil, nil
			},
		}, func() time.Time { return o.now })
		o.desk.Holds = holds
		o.desk.Restrict = func(context.Context, *schema.Tx, id.Contact, string) error { return nil }
		for _, h := range []rights.Hold{
			{Scope: rights.HoldSource, Source: 2, Reference: "SRC", EndsAt: schema.At(o.now.Add(time.Hour))},
			{Scope: rights.HoldCompany, Company: 3, Reference: "CO"},
			{Scope: rights.HoldContact, Contact: 8, Reference: "ONE"},
		} {
			h.Reason, h.Actor = "a claim", "ann"
			_, err := holds.Place(t.Context(), nil, h)
			o.ok(err)
		}
		end := func(who id.Contact) schema.Time {
			t.Helper()
			r, err := o.erase(who, rights.OnRequest, "page")
			o.ok(err)
			if r.Result != rights.Held {
				t.Fatalf("%s: %+v", who, r)
			}
			return r.Kept[0].Until
		}
		if got := end(7); got != schema.At(o.now.Add(time.Hour)) {
			t.Errorf("the hold on 7 ends %s", got)
		}
		if got := end(8); got != 0 {
			t.Errorf("the hold on 8 ends %s", got)
		}
		for who, want := range map[id.Contact]string{7: "source | SRC | ", 8: "contact | ONE | ", 9: ""} {
			c, err := o.desk.Copy(t.Context(), db, who)
			o.ok(err)
			got := strings.Join(lines(t, c, "Legal holds"), "; ")
			if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", who, got, want)
			}
		}
	})
}
