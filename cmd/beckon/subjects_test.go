package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// TestS23ACopyHoldsEverythingHeld: every table that can hold something of a person, every row of
// theirs and every column is in the copy, or is left out for a reason that is written down here.
func TestS23ACopyHoldsEverythingHeld(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		c := takeCensus(t, db)
		everything, err := c.newDesk().Copy(t.Context(), db, c.who)
		c.ok(err)
		parts := map[string]rights.Part{}
		for _, p := range everything.Parts {
			parts[p.Name] = p
		}
		seen := map[string]bool{}
		for table, columns := range c.tables() {
			where, known := copied[table]
			if !known {
				for _, col := range columns {
					if _, excused := nobodys[table+"."+col]; slices.Contains(personal, col) && !excused {
						t.Errorf("%s.%s can hold something of a person: say where it is in the copy, or why it is nobody's", table, col)
					}
				}
				continue
			}
			seen[table] = true
			part, ok := parts[where.part]
			if !ok {
				t.Errorf("%s: the copy has no part %q", table, where.part)
				continue
			}
			rows := c.rows(table, c.who, c.hash)
			if len(rows) == 0 {
				t.Errorf("%s: nothing of the person is there, so nothing is tried", table)
				continue
			}
			oneToOne := len(rows) == len(part.Rows)
			if !oneToOne && table != "consent_subjects" && table != "suppressions" && table != "consent_evidence" {
				t.Errorf("%s holds %d rows, and %q %d", table, len(rows), where.part, len(part.Rows))
				continue
			}
			for _, col := range columns {
				field, told := where.columns[col]
				if !told {
					t.Errorf("%s.%s: say where it is in the copy, or why it is left out", table, col)
					continue
				}
				if strings.HasPrefix(field, "-") {
					continue
				}
				name, derived := strings.CutPrefix(field, "~")
				k := slices.Index(part.Columns, name)
				if k < 0 {
					t.Errorf("%s.%s: %q has no field %q", table, col, where.part, name)
					continue
				}
				tried := false
				for i, row := range rows {
					tried = tried || said(row[col])
					if !oneToOne {
						continue
					}
					switch got := part.Rows[i][k]; {
					case derived && said(row[col]) && !said(got):
						t.Errorf("%s.%s is %q, and %q says nothing", table, col, plain(row[col]), name)
					case !derived && plain(got) != plain(row[col]):
						t.Errorf("%s.%s is %q, and %q says %q", table, col, plain(row[col]), name, plain(got))
					}
				}
				if !tried && table+"."+col != "consent_tracking.open" { // a bounce closes it; takeCensus has looked before

					t.Errorf("%s.%s is empty, so nothing is tried", table, col)
				}
			}
		}
		for table := range copied {
			if !seen[table] {
				t.Errorf("%s does not exist", table)
			}
		}
		var text bytes.Buffer
		c.ok(everything.WriteCSV(&text))
		for _, want := range []string{hisEmail, hisName, hisPhone, hisShoe, hisWords, "1.5", `["a","b"]`, "https://fairs.example/privacy", "https://fairs.example/clear", "Spring is here", "https://acme.example/more",
			"footer of " + hisName, "May we write to you?", "ACME Ltd", "heron-guide", "bounced"} {
			if !strings.Contains(strings.ReplaceAll(text.String(), `""`, `"`), want) {
				t.Errorf("the copy does not say %q", want)
			}
		}
		for _, not := range []string{"Somebody Third", "somebody@", c.other.String() + ",", "warden"} {
			if strings.Contains(text.String(), not) {
				t.Errorf("the copy says %q, which is somebody else's", not)
			}
		}
	})
}

// TestL13TheCopyIsTheSameInBothFormats: the cells of the JSON are those of the CSV.
func TestL13TheCopyIsTheSameInBothFormats(t *testing.T) {
	c := takeCensus(t, servertest.SQLite(t))
	everything, err := c.newDesk().Copy(t.Context(), c.db, c.who)
	c.ok(err)
	var j, s bytes.Buffer
	c.ok(errors.Join(everything.WriteJSON(&j), everything.WriteCSV(&s)))
	var parsed struct {
		Contact id.Contact
		Parts   []struct {
			Name, Purpose, Basis string
			Rights               []string
			Rows                 []map[string]any
		}
	}
	c.ok(json.Unmarshal(j.Bytes(), &parsed))
	lines, err := csv.NewReader(&s).ReadAll()
	c.ok(err)
	inCSV := map[string]bool{}
	for _, l := range lines[1:] {
		inCSV[l[0]+"/"+l[1]+"/"+l[2]] = true
	}
	n := 0
	for _, p := range parsed.Parts {
		if p.Purpose == "" || len(p.Rights) < 4 {
			t.Errorf("%s is used for %q, with the rights %v", p.Name, p.Purpose, p.Rights)
		}
		for i, row := range p.Rows {
			for field := range row {
				if n++; !inCSV[fmt.Sprintf("%s/%d/%s", p.Name, i+1, field)] {
					t.Errorf("%s, row %d, %s is not in the CSV", p.Name, i+1, field)
				}
			}
		}
	}
	if parsed.Contact != c.who || n != len(inCSV) || n < 200 {
		t.Errorf("%d cells in the JSON, %d in the CSV", n, len(inCSV))
	}
}

// traces says where in the database the person can still be found: by what they are called, or by a
// row that names the contact. The audit log is apart: it names a number, and the receipt names it.
func (c *census) traces(hash []byte) []string {
	c.Helper()
	var found []string
	for table, columns := range c.tables() {
		rows, err := c.db.Query(c.Context(), `SELECT * FROM `+table)
		c.ok(err)
		for rows.Next() {
			m := map[string]any{}
			c.ok(rows.MapScan(m))
			for _, col := range columns {
				s := plain(m[col])
				for _, secret := range []string{hisEmail, "jo.quill", hisName, "Quillfeather", hisPhone, "7946 0991", "79460991", hisShoe} {
					if strings.Contains(strings.ToLower(s), strings.ToLower(secret)) {
						found = append(found, fmt.Sprintf("%s.%s says %q", table, col, secret))
					}
				}
				if hash != nil && s == string(hash) {
					found = append(found, fmt.Sprintf("%s.%s holds the hash", table, col))
				}
				if (col == "contact" || col == "object") && s == fmt.Sprint(int64(c.who)) && !(table == "holds" && plain(m["scope"]) != "contact") {
					found = append(found, fmt.Sprintf("%s.%s names the contact", table, col))
				}
				if table != "audit_log" && strings.Contains(s, c.who.String()) {
					found = append(found, fmt.Sprintf("%s.%s names %s", table, col, c.who))
				}
				if col == "message" && (table == "events" || table == "message_links") && s == "11" {
					found = append(found, fmt.Sprintf("%s.%s names a mail to them", table, col))
				}
			}
		}
		c.ok(rows.Err())
		rows.Close()
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (c *census) erase(why rights.Reason) rights.Receipt {
	c.Helper()
	var r rights.Receipt
	c.ok(c.db.Tx(c.Context(), func(tx *schema.Tx) (err error) {
		r, err = c.newDesk().Erase(c.Context(), tx, c.who, why, "page")
		return err
	}))
	return r
}

// unharmed fails if the other person's rows are not what they were.
func (c *census) unharmed(before string) {
	c.Helper()
	if after := c.others(); after != before {
		c.Errorf("somebody else's rows changed:\n%s\n%s", before, after)
	}
}

func (c *census) others() string {
	c.Helper()
	all := map[string][]map[string]any{}
	for table := range copied {
		all[table] = c.rows(table, c.other, consent.Hash(censusKey, "somebody@third.example"))
		if len(all[table]) == 0 {
			c.Errorf("%s holds nothing of the other", table)
		}
	}
	return fmt.Sprint(all)
}

const (
	keptHash    = "Keyed hash of your address"
	keptLedger  = "Entries of the consent ledger"
	keptMails   = "That your mails were sent, as part of their campaigns' figures"
	keptTotals  = "Totals of opens and clicks"
	keptAsked   = "That you asked something of us, and when it was answered"
	keptLog     = "Security and audit log"
	keptJournal = "A line in the refusals journal"
	keptBackups = "Backups made until now"
)

func what(kept []rights.Kept) []string {
	var all []string
	for _, k := range kept {
		all = append(all, k.What)
	}
	return all
}

// TestS23AfterAnErasureAKeyedHashIsAllThatIsFound: in every column of every table.
func TestS23AfterAnErasureAKeyedHashIsAllThatIsFound(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		c := takeCensus(t, db)
		if before := c.traces(c.hash); len(before) < 25 {
			t.Fatalf("the search finds too little of who is there: %q", before)
		}
		others := c.others()
		held, err := c.newDesk().Copy(t.Context(), db, c.who)
		c.ok(err)
		r := c.erase(rights.OnRequest)
		if got := c.traces(c.hash); !slices.Equal(got, []string{"suppressions.hash holds the hash"}) {
			t.Errorf("after the erasure: %q", got)
		}
		var want []string
		for _, p := range held.Parts[:len(held.Parts)-1] {
			want = append(want, p.Name)
		}
		if r.Result != rights.Erased || !slices.Equal(r.Removed, want) {
			t.Errorf("the receipt says %s, removed %q, want all parts %q", r.Result, r.Removed, want)
		}
		if got, want := what(r.Kept), []string{keptHash, keptLedger, keptMails, keptTotals, keptAsked, keptLog, keptJournal, keptBackups}; !slices.Equal(got, want) {
			t.Errorf("kept: %q, want %q", got, want)
		}
		var n struct{ Mails, Ledger, Counts, Items int }
		c.ok(db.Get(t.Context(), &n, `SELECT (SELECT count(*) FROM messages WHERE id = 11 AND contact IS NULL) AS mails, (SELECT count(*) FROM consent_ledger) AS ledger,
			(SELECT count(*) FROM counts) AS counts, (SELECT count(*) FROM consent_items) AS items`))
		if n.Mails != 1 || n.Ledger < 14 || n.Counts != 2 || n.Items != 1 {
			t.Errorf("of what the receipt says is kept there is %+v", n)
		}
		if findings, err := c.ledger.Verify(t.Context(), ""); err != nil || len(findings) != 0 {
			t.Errorf("the ledger is not whole any more: %v, %v", findings, err)
		}
		if _, err := c.newDesk().Copy(t.Context(), db, c.who); !errors.Is(err, rights.ErrNoContact) || !errors.Is(err, segments.ErrNotFound) {
			t.Errorf("a copy of whom was erased: %v", err)
		}
		c.unharmed(others)
	})
}

// TestS7AChildLeavesNoRow: not even the hash stays in the database.
func TestS7AChildLeavesNoRow(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		c := takeCensus(t, db)
		others := c.others()
		r := c.erase(rights.UnderAge)
		if got := c.traces(c.hash); len(got) != 0 {
			t.Errorf("after the removal: %q", got)
		}
		if got, want := what(r.Kept), []string{keptLedger, keptMails, keptTotals, keptAsked, keptLog, keptJournal, keptBackups}; !slices.Equal(got, want) || r.Reason != rights.UnderAge {
			t.Errorf("kept after %s: %q, want %q", r.Reason, got, want)
		}
		c.unharmed(others)
	})
}

// TestS25WhatIsErasedAtTheEndOfItsTimeIsNoRefusal: nothing new keeps the address out; what did goes on.
func TestS25WhatIsErasedAtTheEndOfItsTimeIsNoRefusal(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		c := takeCensus(t, db)
		bounced := c.who
		got, _, err := c.contacts.Create(t.Context(), segments.NewContact{Email: "quiet@third.example"})
		c.ok(err)
		c.who = got.ID
		if r := c.erase(rights.OnRetention); slices.Contains(what(r.Kept), keptHash) {
			t.Errorf("of who refused nothing is kept %q", what(r.Kept))
		}
		c.who = bounced
		if r := c.erase(rights.OnRetention); !slices.Contains(what(r.Kept), keptHash) {
			t.Errorf("of whose address bounced is kept %q", what(r.Kept))
		}
		blocks, err := c.ledger.Suppressed(t.Context(), db, []string{hisEmail, "quiet@third.example"})
		c.ok(err)
		if want := map[string]consent.Block{hisEmail: consent.BlockBounced}; !maps.Equal(blocks, want) {
			t.Errorf("suppressed are %v, want %v", blocks, want)
		}
	})
}

// TestL13WhatIsHeldIsStoredAndNotUsed: a legal hold turns an erasure into a restriction.
func TestL13WhatIsHeldIsStoredAndNotUsed(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		c := takeCensus(t, db)
		ctx := t.Context()
		got, _, err := c.contacts.Create(ctx, segments.NewContact{Email: "held@third.example", Name: "Held Third"})
		c.ok(err)
		c.who = got.ID
		c.ok(db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := c.ledger.Record(ctx, tx, consent.Entry{Contact: c.who, Action: consent.Grant, Company: 1, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "v1", How: consent.ByForm, Own: true, Actor: "form"})
			return err
		}))
		ask := func() consent.Decision {
			t.Helper()
			d, err := c.gate.Ask(ctx, c.who, consent.Use{Company: 1, Channel: consent.Email, Type: "newsletter", Purpose: consent.Mail})
			c.ok(err)
			return d
		}
		if d := ask(); !d.Allowed {
			t.Fatalf("before: %+v", d)
		}
		_, err = c.holds.Place(ctx, nil, rights.Hold{Scope: rights.HoldContact, Contact: c.who, Reference: "CASE-9", Reason: "a claim", Actor: "warden"})
		c.ok(err)
		if r := c.erase(rights.OnRequest); r.Result != rights.Held || len(r.Removed) != 0 {
			t.Errorf("the receipt says %+v", r)
		}
		if d := ask(); d.Allowed || d.Reason != consent.Restricted {
			t.Errorf("after: %+v", d)
		}
		if kept, err := c.contacts.Get(ctx, c.who); err != nil || kept.Name != "Held Third" {
			t.Errorf("stored is %+v, %v", kept, err)
		}
		c.erase(rights.OnRequest) // asking again changes nothing more
		everything, err := c.newDesk().Copy(ctx, db, c.who)
		c.ok(err)
		for _, p := range everything.Parts {
			if p.Name == "Legal holds" && (len(p.Rows) != 1 || fmt.Sprint(p.Rows[0][:3]) != "[contact CASE-9 a claim]") {
				t.Errorf("the copy shows the holds %v", p.Rows)
			}
		}
	})
}
