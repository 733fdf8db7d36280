package rights_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

func (o *office) open(n rights.NewRequest) rights.Request {
	o.Helper()
	if n.Actor == "" {
		n.Actor = "ann"
	}
	var r rights.Request
	o.ok(o.tx(func(ctx context.Context, tx *schema.Tx) (err error) {
		r, err = o.inbox.Open(ctx, tx, n)
		return err
	}))
	return r
}

// change runs one of the inbox's methods in a transaction.
func (o *office) change(fn func(ctx context.Context, tx *schema.Tx) (rights.Request, error)) (r rights.Request, err error) {
	err = o.tx(func(ctx context.Context, tx *schema.Tx) (err error) {
		r, err = fn(ctx, tx)
		return err
	})
	return r, err
}

func (o *office) acknowledge(r rights.Request) (rights.Request, error) {
	return o.change(func(ctx context.Context, tx *schema.Tx) (rights.Request, error) {
		return o.inbox.Acknowledge(ctx, tx, r.ID, "bob")
	})
}

func (o *office) extend(r rights.Request, until time.Time, reason string) (rights.Request, error) {
	return o.change(func(ctx context.Context, tx *schema.Tx) (rights.Request, error) {
		return o.inbox.Extend(ctx, tx, r.ID, schema.At(until), reason, "bob")
	})
}

func (o *office) close(r rights.Request, status rights.Status, outcome string) (rights.Request, error) {
	return o.change(func(ctx context.Context, tx *schema.Tx) (rights.Request, error) {
		return o.inbox.Close(ctx, tx, r.ID, status, outcome, "bob")
	})
}

// at fields of an *Invalid, sorted.
func faults(err error) string {
	var e *rights.Invalid
	if !errors.As(err, &e) {
		return "no *Invalid"
	}
	var names []string
	for _, f := range e.Fields {
		names = append(names, f.Field)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestS20StaffRecordChannelDateAndOutcome: a call on Friday afternoon is written down on Monday, is due
// on Tuesday, and its outcome stays on record.
func TestS20StaffRecordChannelDateAndOutcome(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		o.now = instant(t, "2026-05-11 09:00:00")
		r := o.open(rights.NewRequest{Kind: rights.Withdrawal, Channel: rights.ByPhone, Company: 2, Contact: 7, Detail: " no more\r\nnewsletters ", Reference: "CALL-12",
			ReceivedAt: schema.At(instant(t, "2026-05-08 15:00:00"))})
		want := rights.Request{ID: r.ID, Kind: rights.Withdrawal, Channel: rights.ByPhone, Company: 2, Contact: 7, Detail: "no more\nnewsletters", Reference: "CALL-12",
			ReceivedAt: schema.At(instant(t, "2026-05-08 15:00:00")), DueAt: schema.At(instant(t, "2026-05-12 15:00:00")), Status: rights.Open, HandledBy: "ann"}
		if r != want {
			t.Errorf("taken as %+v, want %+v", r, want)
		}
		if got, err := o.inbox.Get(t.Context(), db, r.ID); err != nil || got != want {
			t.Errorf("stored as %+v, %v", got, err)
		}
		r, err := o.close(r, rights.Done, "withdrawn from everything, confirmed by phone")
		o.ok(err)
		want.Status, want.Outcome, want.HandledBy, want.ClosedAt = rights.Done, "withdrawn from everything, confirmed by phone", "bob", schema.At(o.now)
		if r != want {
			t.Errorf("closed as %+v, want %+v", r, want)
		}
		records, err := o.audit.List(t.Context(), rights.ListOptions{Object: r.ID.String()})
		o.ok(err)
		var told []string
		for _, e := range records {
			told = append(told, e.Actor+" "+e.Action+" "+e.Detail)
		}
		if want := []string{"bob request.close done", "ann request.open withdrawal by phone"}; !slices.Equal(told, want) {
			t.Errorf("the audit log tells %q, want %q", told, want)
		}
	})
}

func TestL11WhatIsLateIsListedFromTheSecondOn(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		o.now = instant(t, "2026-01-31 10:00:00")
		access := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByPost})     // due on 28 February
		optOut := o.open(rights.NewRequest{Kind: rights.Objection, Channel: rights.ByEmail}) // a Saturday: due on 3 February
		answered := o.open(rights.NewRequest{Kind: rights.Objection, Channel: rights.ByEmail})
		_, err := o.close(answered, rights.Done, "done")
		o.ok(err)
		for _, c := range []struct {
			at   string
			want []id.Request
		}{
			{"2026-02-03 09:59:59", nil},
			{"2026-02-03 10:00:00", nil},
			{"2026-02-03 10:00:01", []id.Request{optOut.ID}},
			{"2026-02-28 09:59:59", []id.Request{optOut.ID}},
			{"2026-02-28 10:00:01", []id.Request{optOut.ID, access.ID}},
		} {
			o.now = instant(t, c.at)
			list, err := o.inbox.List(t.Context(), rights.ListRequests{Overdue: true})
			o.ok(err)
			var got []id.Request
			for _, r := range list {
				got = append(got, r.ID)
				if !r.Overdue {
					t.Errorf("%s: %s is listed and does not say that it is late", c.at, r.ID)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v are late, want %v", c.at, got, c.want)
			}
		}
		if r, err := o.inbox.Get(t.Context(), db, answered.ID); err != nil || r.Overdue {
			t.Errorf("an answered request is late: %+v, %v", r, err)
		}
	})
}

func TestL12AComplaintNobodyAcknowledgedInThirtyDaysIsLate(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		o.now = instant(t, "2026-05-04 10:00:00") // an answer is due on 4 June, the acknowledgement on 3 June
		one := o.open(rights.NewRequest{Kind: rights.Complaint, Channel: rights.ByPage, Detail: "too many mails"})
		two := o.open(rights.NewRequest{Kind: rights.Complaint, Channel: rights.ByPage})
		if want := schema.At(instant(t, "2026-06-03 10:00:00")); one.AcknowledgeBy != want || one.AcknowledgedAt != 0 {
			t.Fatalf("a complaint is to be acknowledged by %s, want %s", one.AcknowledgeBy, want)
		}
		acknowledged, err := o.acknowledge(one)
		o.ok(err)
		at := schema.At(o.now)
		if acknowledged.AcknowledgedAt != at || acknowledged.HandledBy != "bob" || acknowledged.Status != rights.Open {
			t.Errorf("acknowledged as %+v", acknowledged)
		}
		o.now = o.now.Add(time.Hour)
		if again, err := o.acknowledge(one); err != nil || again.AcknowledgedAt != at {
			t.Errorf("the second acknowledgement: %+v, %v", again, err)
		}
		late := func(when string, want ...id.Request) {
			t.Helper()
			o.now = instant(t, when)
			list, err := o.inbox.List(t.Context(), rights.ListRequests{Overdue: true})
			o.ok(err)
			var got []id.Request
			for _, r := range list {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v are late, want %v", when, got, want)
			}
			for _, r := range []rights.Request{one, two} {
				if r, err := o.inbox.Get(t.Context(), db, r.ID); err != nil || r.Overdue != slices.Contains(want, r.ID) {
					t.Errorf("%s: %s says late: %v, %v", when, r.ID, r.Overdue, err)
				}
			}
		}
		late("2026-06-03 09:59:59")
		late("2026-06-03 10:00:01", two.ID)
		late("2026-06-04 10:00:01", one.ID, two.ID) // an acknowledgement is no answer
	})
}

func TestL11AnAnswerIsPutOffForAReasonAndByTwoMonthsAtMost(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		o.now = instant(t, "2026-01-31 10:00:00") // due on 28 February, with an extension on 30 April at most
		r := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByPost})
		for _, c := range []struct{ name, now, until, reason, want string }{
			{"no reason", "2026-02-10 10:00:00", "2026-04-01 10:00:00", " ", "reason"},
			{"no later", "2026-02-10 10:00:00", "2026-02-28 10:00:00", "many records", "until"},
			{"a second too long", "2026-02-10 10:00:00", "2026-04-30 10:00:01", "many records", "until"},
			{"too late to tell the person", "2026-02-28 10:00:01", "2026-04-01 10:00:00", "many records", "until"},
			{"both", "2026-02-28 10:00:01", "2026-04-01 10:00:00", "", "reason until"},
		} {
			o.now = instant(t, c.now)
			if _, err := o.extend(r, instant(t, c.until), c.reason); faults(err) != c.want {
				t.Errorf("%s: at fault %q, want %q: %v", c.name, faults(err), c.want, err)
			}
		}
		o.now = instant(t, "2026-02-28 10:00:00")
		extended, err := o.extend(r, instant(t, "2026-04-30 10:00:00"), "many records")
		o.ok(err)
		if extended.DueAt != schema.At(instant(t, "2026-04-30 10:00:00")) || extended.Extension != "many records" || extended.HandledBy != "bob" {
			t.Errorf("put off as %+v", extended)
		}
		if _, err := o.extend(r, instant(t, "2026-04-30 10:00:00"), "more"); faults(err) != "until" {
			t.Errorf("put off twice: %v", err)
		}
		for _, by := range []rights.Channel{rights.ByPhone, rights.ByPost} {
			no := o.open(rights.NewRequest{Kind: rights.Objection, Channel: by})
			if _, err := o.extend(no, no.DueAt.T().Add(time.Hour), "busy"); faults(err) != "until" {
				t.Errorf("an objection by %s was put off: %v", by, err)
			}
		}
	})
}

func TestAClosedRequestStaysAsItIs(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		r := o.open(rights.NewRequest{Kind: rights.Rectification, Channel: rights.ByEmail})
		for name, c := range map[string]struct {
			status  rights.Status
			outcome string
			want    string
		}{
			"open again":             {rights.Open, "x", "status"},
			"refused without reason": {rights.Refused, "", "outcome"},
			"nothing at all":         {"", "", "outcome status"},
			"an endless outcome":     {rights.Done, strings.Repeat("x", 501), "outcome"},
		} {
			if _, err := o.close(r, c.status, c.outcome); faults(err) != c.want {
				t.Errorf("%s: at fault %q, want %q", name, faults(err), c.want)
			}
		}
		closed, err := o.close(r, rights.Refused, "the address is right")
		o.ok(err)
		for name, change := range map[string]func() error{
			"closed again": func() error { _, err := o.close(r, rights.Done, "x"); return err },
			"acknowledged": func() error { _, err := o.acknowledge(r); return err },
			"put off":      func() error { _, err := o.extend(r, o.now.AddDate(0, 2, 0), "x"); return err },
		} {
			if err := change(); !errors.Is(err, rights.ErrSettled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := o.inbox.Get(t.Context(), db, r.ID); err != nil || got != closed {
			t.Errorf("it is %+v, want %+v (%v)", got, closed, err)
		}
		if _, err := o.inbox.Get(t.Context(), db, r.ID+1); !errors.Is(err, rights.ErrNoRequest) {
			t.Errorf("one that there is not: %v", err)
		}
		if _, err := o.acknowledge(rights.Request{ID: r.ID + 1}); !errors.Is(err, rights.ErrNoRequest) {
			t.Errorf("acknowledging one that there is not: %v", err)
		}

		race := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByEmail})
		results := make([]error, 6)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { _, results[i] = o.close(race, rights.Done, "sent") })
		}
		all.Wait()
		through := 0
		for _, err := range results {
			if err == nil {
				through++
			} else if !errors.Is(err, rights.ErrSettled) {
				t.Error(err)
			}
		}
		if through != 1 {
			t.Errorf("%d closed it", through)
		}
	})
}

func TestARequestThatIsNotUnderstoodIsNotTaken(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		fit := rights.NewRequest{Kind: rights.Access, Channel: rights.ByEmail, Actor: "ann"}
		for name, c := range map[string]struct {
			change func(n *rights.NewRequest)
			want   string
		}{
			"no kind":                        {func(n *rights.NewRequest) { n.Kind = "" }, "kind"},
			"a kind that there is not":       {func(n *rights.NewRequest) { n.Kind = "refund" }, "kind"},
			"no channel":                     {func(n *rights.NewRequest) { n.Channel = "" }, "channel"},
			"a channel that there is not":    {func(n *rights.NewRequest) { n.Channel = "fax" }, "channel"},
			"an endless text":                {func(n *rights.NewRequest) { n.Detail = strings.Repeat("x", 10<<10+1) }, "detail"},
			"text that is no UTF-8":          {func(n *rights.NewRequest) { n.Detail = "a\xff" }, "detail"},
			"text with a NUL":                {func(n *rights.NewRequest) { n.Detail = "a\x00b" }, "detail"},
			"a reference of two lines":       {func(n *rights.NewRequest) { n.Reference = "a\nb" }, "reference"},
			"a reference that is an address": {func(n *rights.NewRequest) { n.Reference = "jo@example.org" }, "reference"},
			"from the future":                {func(n *rights.NewRequest) { n.ReceivedAt = schema.At(o.now.Add(time.Second)) }, "received_at"},
			"from before there were any":     {func(n *rights.NewRequest) { n.ReceivedAt = -1 }, "received_at"},
			"everything wrong at once":       {func(n *rights.NewRequest) { *n = rights.NewRequest{Detail: "\x00"} }, "channel detail kind"},
		} {
			n := fit
			c.change(&n)
			_, err := o.change(func(ctx context.Context, tx *schema.Tx) (rights.Request, error) { return o.inbox.Open(ctx, tx, n) })
			if got := faults(err); got != c.want {
				t.Errorf("%s: at fault %q, want %q", name, got, c.want)
			}
			if n.Reference != "" && err != nil && strings.Contains(err.Error(), n.Reference) {
				t.Errorf("%s: the error repeats the input: %v", name, err)
			}
		}
		if list, err := o.inbox.List(t.Context(), rights.ListRequests{}); err != nil || len(list) != 0 {
			t.Errorf("something was stored: %+v, %v", list, err)
		}
		n := fit
		n.Actor = ""
		if _, err := o.change(func(ctx context.Context, tx *schema.Tx) (rights.Request, error) { return o.inbox.Open(ctx, tx, n) }); !errors.Is(err, rights.ErrEntry) {
			t.Errorf("a request that nobody took: %v", err)
		}
	})
}

func TestTheInboxListsWhatIsAskedForWhatIsDueFirst(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		access := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByEmail, Contact: 7, Company: 1})
		later := o.open(rights.NewRequest{Kind: rights.Access, Channel: rights.ByEmail, Contact: 8, Company: 2})
		no := o.open(rights.NewRequest{Kind: rights.Withdrawal, Channel: rights.ByPhone, Contact: 7, Company: 2})
		done := o.open(rights.NewRequest{Kind: rights.Complaint, Channel: rights.ByPage})
		_, err := o.close(done, rights.Done, "answered")
		o.ok(err)
		for _, c := range []struct {
			name string
			opts rights.ListRequests
			want []id.Request
		}{
			{"everything", rights.ListRequests{}, []id.Request{no.ID, access.ID, later.ID, done.ID}},
			{"what is open", rights.ListRequests{Status: rights.Open}, []id.Request{no.ID, access.ID, later.ID}},
			{"of a kind", rights.ListRequests{Kind: rights.Access}, []id.Request{access.ID, later.ID}},
			{"of a contact", rights.ListRequests{Contact: 7}, []id.Request{no.ID, access.ID}},
			{"to a company", rights.ListRequests{Company: 2}, []id.Request{no.ID, later.ID}},
			{"the first page", rights.ListRequests{Limit: 2}, []id.Request{no.ID, access.ID}},
			{"the page after it", rights.ListRequests{AfterDue: access.DueAt, AfterID: access.ID}, []id.Request{later.ID, done.ID}},
			{"what is late", rights.ListRequests{Overdue: true}, nil},
		} {
			list, err := o.inbox.List(t.Context(), c.opts)
			o.ok(err)
			var got []id.Request
			for _, r := range list {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
		b, err := json.Marshal(no)
		o.ok(err)
		if s := string(b); !strings.Contains(s, `"due_at":"2026-05-06T12:00:00.123456Z"`) || !strings.Contains(s, `"closed_at":null`) || !strings.Contains(s, `"contact":"ct_7"`) {
			t.Errorf("as JSON: %s", s)
		}
	})
}
