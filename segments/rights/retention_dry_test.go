package rights_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// everything is what the database holds, as text.
func (h *house) everything() string {
	h.Helper()
	var b strings.Builder
	for _, table := range []string{"events", "message_links", "contact_regions", "messages", "contact_sources", "contacts", "consent_ledger", "consent_requests", "consent_evidence",
		"consent_state", "consent_tracking", "consent_items", "consent_subjects", "consent_noes", "suppressions", "import_rejects", "imports", "rights_requests",
		"rights_links", "subject_groups", "holds", "retention_extensions", "retention_rules", "audit_log"} {
		rows, err := h.db.Query(h.ctx, `SELECT * FROM `+table+` ORDER BY 1, 2, 3`)
		h.ok(err)
		fmt.Fprintln(&b, table)
		for rows.Next() {
			cells, err := rows.SliceScan()
			h.ok(err)
			for _, c := range cells {
				if raw, ok := c.([]byte); ok {
					c = string(raw)
				}
				fmt.Fprint(&b, c, "|")
			}
			fmt.Fprintln(&b)
		}
		h.ok(rows.Err())
		rows.Close()
	}
	return b.String()
}

// populate makes somebody at a random time, in a random state, with random rows of theirs.
func (h *house) populate(r *rand.Rand, today time.Time, sources []segments.Source) {
	h.Helper()
	some := func(n int) bool { return r.IntN(n) == 0 }
	past := func() time.Time {
		return today.Add(-time.Duration(r.Int64N(int64(5 * 365 * 24 * time.Hour)))).Truncate(time.Second)
	}
	h.now = past()
	var who id.Contact
	switch r.IntN(5) {
	case 0:
		who = h.own()
	case 1:
		who = h.optedIn()
	case 2:
		who = h.entered()
	default:
		who = h.from(sources[r.IntN(len(sources))])
		if some(2) {
			h.exec(`UPDATE contact_sources SET licence_end = ? WHERE contact = ?`, schema.At(past()), who)
		}
	}
	h.now = h.now.Add(time.Duration(r.Int64N(int64(today.Sub(h.now)) + 1)))
	switch r.IntN(8) {
	case 0:
		h.says(who, consent.Entry{Action: consent.Object})
	case 1:
		h.says(who, consent.Entry{Action: consent.Withdraw, Company: h.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}})
	case 2:
		h.says(who, consent.Entry{Action: consent.Restrict})
	case 3:
		h.yes(who, h.bolt, "newsletter")
	case 4:
		h.clicked(who, h.mailed(who), []string{"person", "machine"}[r.IntN(2)])
		h.exec(`INSERT INTO contact_regions (contact, region, at) VALUES (?, 'GB-ENG', ?)`, who, schema.At(h.now))
	}
	if some(4) {
		h.join(who, rights.GroupCandidate)
	}
	if some(6) {
		h.join(who, rights.GroupCustomer)
	}
	if some(3) {
		status, closed := "done", schema.At(past())
		if some(3) {
			status, closed = "open", 0
		}
		company := []id.Company{0, h.acme.ID, h.bolt.ID}[r.IntN(3)]
		h.exec(`INSERT INTO rights_requests (kind, channel, contact, company, received_at, due_at, status, closed_at) VALUES ('erasure', 'post', ?, ?, 1, 1, ?, ?)`, who, company, status, closed)
	}
	if some(3) {
		h.exec(`INSERT INTO rights_links (contact, purpose, created_at, expires_at) VALUES (?, 'erase', 1, ?)`, who, schema.At(past()))
	}
	if some(3) {
		h.now = past()
		h.ok(h.audit.Write(h.ctx, nil, rights.Entry{Actor: "ann", Action: "contact.read", Object: who.String()}))
	}
	if some(10) {
		h.place(rights.Hold{Scope: rights.HoldContact, Contact: who})
	}
	if some(10) {
		h.now = today.AddDate(0, 0, -1)
		purposes := []rights.Purpose{"", rights.PurposeOwn, rights.PurposeSourced, rights.PurposeConsented, rights.PurposeRequests, rights.PurposeEvents, rights.PurposeSecurityLog}
		_, err := h.extensions.Extend(h.ctx, nil, rights.Extension{Contact: who, Purpose: purposes[r.IntN(len(purposes))], Until: schema.At(today.AddDate(0, r.IntN(3), 1)), Reference: "DPO 7", Actor: "ann"})
		h.ok(err)
	}
}

// TestS25ADryRunCountsWhatTheRunDoes: on a world that stands still, the two give the same numbers,
// and the first changes nothing.
func TestS25ADryRunCountsWhatTheRunDoes(t *testing.T) {
	houses(t, func(h *house) {
		seed := uint64(time.Now().UnixNano())
		h.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 25))
		today := dawn.AddDate(4, 6, 0)
		sources := []segments.Source{h.source("fairs", 0), h.source("lists", schema.At(dawn.AddDate(4, 5, 20))), h.source("halls", 0)}
		var done int64
		for round := range 5 {
			for range 35 {
				h.populate(r, today, sources)
			}
			h.exec(`INSERT INTO imports (status, created_at, finished_at) VALUES ('finished', 1, ?)`, schema.At(today.AddDate(0, -round%2-1, -3)))
			h.exec(`INSERT INTO import_rejects (import, line, field, reason) SELECT MAX(id), 1, 'email', 'missing' FROM imports`)
			h.now = today
			if round == 2 {
				h.place(rights.Hold{Scope: rights.HoldSource, Source: sources[2].ID})
			}
			if round == 3 {
				h.place(rights.Hold{Scope: rights.HoldCompany, Company: h.bolt.ID})
			}
			if round == 4 {
				_, err := h.extensions.Extend(h.ctx, nil, rights.Extension{Purpose: rights.PurposeOptedOut, Until: schema.At(today.AddDate(0, 0, 1)), Reference: "DPO 8", Actor: "ann"})
				h.ok(err)
				h.tx(func(tx *schema.Tx) error {
					_, err := rights.SetRule(h.ctx, tx, rights.NewRule{Purpose: rights.PurposeOwn, Keep: rights.Period{Months: 12}, Action: rights.ActionDeidentify, Actor: "ann"}, schema.At(today))
					return err
				})
			}
			before := h.everything()
			dry, err := h.retention().Run(h.ctx, true)
			h.ok(err)
			if h.everything() != before {
				h.Fatal("a dry run changed something")
			}
			real, err := h.retention().Run(h.ctx, false)
			h.ok(err)
			if !reflect.DeepEqual(dry, real) {
				for i := range dry {
					if dry[i] != real[i] {
						h.Errorf("round %d: the dry run said %+v, the run %+v", round, dry[i], real[i])
					}
				}
				h.FailNow()
			}
			for _, o := range real {
				if done += o.Done; o.Due != o.Held+o.Extended+o.Done || o.Failed != 0 {
					h.Errorf("round %d: it does not add up: %+v", round, o)
				}
			}
			again, err := h.retention().Run(h.ctx, false)
			h.ok(err)
			for i, o := range again {
				if o.Done != 0 || o.Held != real[i].Held && o.Purpose != rights.PurposeSecurityLog {
					h.Errorf("round %d: the run after it still does %+v, after %+v", round, o, real[i])
				}
			}
			today = today.AddDate(0, 0, 1)
		}
		if done < 80 {
			h.Errorf("only %d things were done: the worlds are too small", done)
		}
	})
}

// TestS25ARunOfManyIsWhole: more than is looked for at a time, and held ones among them.
func TestS25ARunOfManyIsWhole(t *testing.T) {
	houses(t, func(h *house) {
		h.tx(func(tx *schema.Tx) error {
			for i := range 620 {
				var who id.Contact
				email := fmt.Sprintf("m%d@example.org", i)
				if err := tx.Get(h.ctx, &who, `INSERT INTO contacts (email, own_at, created_at, updated_at) VALUES (?, 1, 1, 1) RETURNING id`, email); err != nil {
					return err
				}
				if err := h.ledger.Register(h.ctx, tx, []consent.Contact{{ID: who, Email: email}}); err != nil {
					return err
				}
				if i%100 == 50 {
					if _, err := h.holds.Place(h.ctx, tx, rights.Hold{Scope: rights.HoldContact, Contact: who, Reference: "case 7", Reason: "a claim", Actor: "ann"}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		h.tx(func(tx *schema.Tx) error {
			for i := range 620 {
				if _, err := tx.Exec(h.ctx, `INSERT INTO events (campaign, message, contact, kind, at, verdict, reason, node, seq) VALUES (?, 1, ?, 'click', 1, 'person', '', 'n', ?)`, h.campaign, 5000+i, i); err != nil {
					return err
				}
			}
			return nil
		})
		h.exec(`INSERT INTO imports (id, status, created_at, finished_at) VALUES (7, 'finished', 1, 2)`)
		h.exec(`INSERT INTO import_rejects (import, line, field, reason) SELECT 7, id, 'email', 'missing' FROM events`)
		for i := range 4 {
			h.exec(`INSERT INTO import_rejects (import, line, field, reason) SELECT 7, 100000 * ? + id, 'email', 'missing' FROM events`, i+1)
		}
		h.later(3, 0, 0, 0)
		dry, err := h.retention().Run(h.ctx, true)
		h.ok(err)
		real, err := h.retention().Run(context.Background(), false)
		h.ok(err)
		if !reflect.DeepEqual(dry, real) {
			h.Errorf("the dry run said %+v, the run %+v", dry, real)
		}
		if o := of(real, rights.PurposeOwn); o.Due != 620 || o.Held != 6 || o.Done != 614 || h.count(`SELECT count(*) FROM contacts`) != 6 {
			h.Errorf("%+v; left: %d", o, h.count(`SELECT count(*) FROM contacts`))
		}
		if o := of(real, rights.PurposeEvents); o.Done != 620 || h.count(`SELECT count(*) FROM events`) != 0 {
			h.Errorf("%+v", o)
		}
		if o := of(real, rights.PurposeSupport); o.Done != 1 || h.count(`SELECT count(*) FROM import_rejects`) != 0 {
			h.Errorf("%+v, %d left", o, h.count(`SELECT count(*) FROM import_rejects`))
		}
	})
}

// TestS25NobodyIsHeldForEver: whatever somebody did, one of the clocks runs out, and nothing of them
// is left but what stays no.
func TestS25NobodyIsHeldForEver(t *testing.T) {
	houses(t, func(h *house) {
		seed := uint64(time.Now().UnixNano())
		h.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 26))
		today := dawn.AddDate(2, 0, 0)
		sources := []segments.Source{h.source("fairs", 0), h.source("lists", schema.At(dawn.AddDate(1, 0, 0)))}
		for range 60 {
			h.populate(r, today, sources)
		}
		h.exec(`DELETE FROM holds`)
		h.exec(`DELETE FROM retention_extensions`)
		h.exec(`DELETE FROM rights_requests WHERE status = 'open'`)
		h.now = today.AddDate(3, 0, 1)
		var restricted []id.Contact
		h.ok(h.db.Select(h.ctx, &restricted, `SELECT contact FROM consent_subjects WHERE blocks & 2 <> 0`))
		_, err := h.retention().Run(h.ctx, false)
		h.ok(err)
		if left := h.count(`SELECT count(*) FROM contacts`); left != len(restricted) {
			h.Errorf("%d contacts are left, and %d of them wanted it so", left, len(restricted))
		}
		for _, who := range restricted {
			h.says(who, consent.Entry{Action: consent.Lift})
		}
		h.now = h.now.AddDate(3, 0, 1)
		_, err = h.retention().Run(h.ctx, false)
		h.ok(err)
		for _, table := range []string{"contacts", "contact_sources", "consent_subjects", "consent_state", "consent_tracking", "consent_items", "consent_evidence", "consent_requests",
			"events", "contact_regions", "subject_groups", "rights_requests", "rights_links"} {
			if n := h.count(`SELECT count(*) FROM ` + table); n != 0 {
				h.Errorf("%d rows are left in %s", n, table)
			}
		}
		if n := h.count(`SELECT count(*) FROM messages WHERE contact IS NOT NULL`); n != 0 {
			h.Errorf("%d messages still lead to somebody", n)
		}
	})
}
