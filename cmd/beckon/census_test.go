package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// copied says, for every table that can hold something of a person, which of its rows are theirs and
// where each column is in their copy: a field, ~field if it is told in other words there, or - and
// why it is left out. A table that is added later fails the tests below until it is here.
var copied = map[string]struct {
	part    string
	where   string // contact, its text form, its hash, or its messages
	order   string
	columns map[string]string
}{
	"contacts": {"Contact details", `id = :contact`, `id`, map[string]string{"id": "~Number", "email": "Email address", "name": "Name", "company": "Employer", "country": "Country", "phone": "Phone",
		"job_title": "Job title", "subscriber_kind": "Kind of subscriber", "topics": "~Interests", "attributes": "- the part Further details", "own_at": "Given by yourself",
		"created_at": "Held since", "updated_at": "Last changed"}},
	"contact_sources": {"Where your data came from", `contact = :contact`, `acquired_at`, map[string]string{"contact": selfRef, "source": "~Provider", "import": "~Import", "acquired_at": "Acquired",
		"licence_end": "Licence ends", "recalled_at": "Recalled"}},
	"consent_subjects": {"Blocks on your record", `contact = :contact`, `contact`, map[string]string{"contact": selfRef, "subject": pathBack, "hash": pathBack, "blocks": "~Reason",
		"seq": "- the number of ledger entries, which are all there", "head": seal}},
	"suppressions": {"Blocks on your record", `hash = :hash`, `hash`, map[string]string{"hash": pathBack, "blocks": "~Reason", "at": "~Since"}},
	"consent_ledger": {"Record of your choices", `subject = (SELECT subject FROM consent_subjects WHERE contact = :contact)`, `seq`, map[string]string{"subject": pathBack, "seq": "Entry", "action": "What",
		"company": "~Company", "channel": "~Channel", "types": "Types", "topics": "Topics", "tracking": "~Measuring opens and clicks", "item": "Item", "notice": "Wording shown",
		"notice_hash": "Fingerprint of the wording", "how": "How", "captured_at": "Captured", "requested_at": "Asked", "confirmed_at": "Confirmed", "recorded_at": "Recorded", "actor": "Recorded by",
		"evidence": seal, "outcome": "~What became of it", "mac": seal}},
	"consent_evidence": {"Record of your choices", `subject = (SELECT subject FROM consent_subjects WHERE contact = :contact)`, `seq`, map[string]string{"subject": pathBack, "seq": "~Entry", "salt": seal,
		"body": "~Evidence"}},
	"consent_state": {"Your choices", `contact = :contact`, `company, channel`, map[string]string{"contact": selfRef, "company": "~Company", "channel": "~Channel", "granted": "~Agreed to", "refused": "~Refused",
		"explicit": "~Sensitive topics agreed to", "refused_topics": "~Sensitive topics refused", "live": "- what was agreed to, or nothing while something keeps us from writing", "granted_at": "Newest yes",
		"changed_at": "Last changed", "notice": "Wording shown"}},
	"consent_tracking": {"Your choice about measuring opens and clicks", `contact = :contact`, `company`, map[string]string{"contact": selfRef, "company": "~Company", "epoch": "Period", "open": "Agreed", "refused": "Refused",
		"changed_at": "Last changed"}},
	"consent_requests": {"Sign-ups and their confirmation", `contact = :contact`, `id`, map[string]string{"id": "~Request", "contact": selfRef, "entry": "~Types", "requested_at": "Asked", "expires_at": "Valid until",
		"confirmed_at": "Confirmed"}},
	"consent_items": {"Things you asked for and have not got yet", `contact = :contact`, `item`, map[string]string{"contact": selfRef, "company": "~Company", "channel": "Channel", "item": "What", "granted_at": "Asked",
		"notice": "Wording shown"}},
	"consent_noes": {"Refusals from before we held your address", `hash = :hash`, `at`, map[string]string{"hash": pathBack, "entry": "~What", "at": "When"}},
	"messages": {"Mails to you", `contact = :contact`, `id`, map[string]string{"id": "~Mail", "campaign": "~Campaign", "contact": selfRef, "via": "~Provider whose list it went to", "mode": "Opens and clicks measured",
		"epoch": "Period of your agreement", "cited": "~Providers named in it", "status": "Status", "reason": "Reason", "attempts": "Attempts", "next_at": "Next attempt", "lease": machinery, "lease_end": machinery,
		"smtp_code": "Reply code", "smtp_reply": "Reply", "sent_at": "Sent", "opened_at": "First opened"}},
	"returns": {"Mails that came back", `message IN (SELECT id FROM messages WHERE contact = :contact)`, `id`, map[string]string{"id": machinery, "message": "~Mail", "campaign": "~Campaign", "class": "What",
		"status": "Status", "code": "Reply code", "diagnostic": "Reply", "way": "How it came", "at": "When", "spent": machinery, "key": machinery}},
	"events": {"Opens and clicks", `contact = :contact`, `at, id`, map[string]string{"id": "~Number", "campaign": "~Campaign", "message": "~Mail", "contact": selfRef, "kind": "What", "link": "Link", "at": "When",
		"verdict": "Taken for", "reason": "Because", "region": "Region", "client": "Program", "os": "System", "device": "Device", "node": machinery, "seq": machinery}},
	"message_links":   {"First clicks", `message IN (SELECT id FROM messages WHERE contact = :contact)`, `message, link`, map[string]string{"message": "~Mail", "link": "Link", "first_at": "When"}},
	"contact_regions": {"Region", `contact = :contact`, `contact`, map[string]string{"contact": selfRef, "region": "Region", "at": "As of"}},
	"rights_requests": {"Your requests to us", `contact = :contact`, `id`, map[string]string{"id": "~Request", "kind": "What for", "channel": "How it came", "company": "~To", "contact": selfRef, "detail": "Your words",
		"reference": "Our reference", "received_at": "Received", "due_at": "Due", "acknowledged_at": "Acknowledged", "extension": "Put off because", "status": "Status", "outcome": "Outcome", "handled_by": staff,
		"closed_at": "Closed"}},
	"rights_links": {"Links that we mailed to you", `contact = :contact`, `id`, map[string]string{"id": "- the number in a link, which is a key", "contact": selfRef, "purpose": "What for", "created_at": "Made",
		"expires_at": "Valid until", "used_at": "Used"}},
	"subject_groups": {"Groups you belong to", `contact = :contact`, `grp`, map[string]string{"contact": selfRef, "grp": "Group", "basis": "Lawful basis", "since": "Since"}},
	"holds": {"Legal holds", `scope = 'contact' AND object = :contact`, `id`, map[string]string{"id": machinery, "scope": "Covers", "object": selfRef, "reference": "Our reference", "reason": "Reason", "actor": staff,
		"created_at": "Placed", "ends_at": "Ends", "released_at": "Released"}},
	"retention_extensions": {"Written decisions to keep data longer", `contact = :contact`, `id`, map[string]string{"id": machinery, "purpose": "What", "contact": selfRef, "until": "Kept until", "reference": "Our reference",
		"actor": staff, "created_at": "Decided"}},
	"audit_log": {"Log of what was done with your data", `object = :text`, `id`, map[string]string{"id": machinery, "at": "When", "actor": staff, "action": "What", "object": selfRef, "ground": "Ground", "detail": "Detail"}},
}

const (
	selfRef   = "- the contact"
	pathBack  = "- who has it could find the rows that an erasure leaves"
	seal      = "- a seal, which says nothing"
	machinery = "- of the machinery, and says nothing of the person"
	staff     = "- the name of a member of staff"
)

// nobodys are columns that look like those of a person and are not.
var nobodys = map[string]string{"campaigns.subject": "the line of a mail", "notices.hash": "of a wording", "api_tokens.hash": "of a token of staff"}

// personal are the names of columns by which a row is a person's.
var personal = []string{"contact", "message", "subject", "hash", "object", "email"}

// census is a database in which one person is in every table, and another one beside.
type census struct {
	*testing.T
	*app
	at    time.Time
	who   id.Contact
	other id.Contact
	hash  []byte
}

const (
	hisEmail = "jo.quill@somewhere-else.example"
	hisName  = "Josephine Quillfeather"
	hisPhone = "+44 20 7946 0991"
	hisWords = "please send what you have on the heron project"
	hisShoe  = "shoe size forty-four"
)

var censusKey = []byte(strings.Repeat("c", 32))

func takeCensus(t *testing.T, db *schema.DB) *census {
	t.Helper()
	c := &census{T: t, at: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)}
	ctx, clock := t.Context(), func() time.Time { return c.at }
	c.ok(consent.Seed(ctx, db))
	catalogue, err := consent.LoadCatalogue(ctx, db)
	c.ok(err)
	ledger := consent.NewLedger(db, consent.LedgerOptions{HashKey: censusKey, Now: clock})
	c.app = &app{db: db, now: clock, catalogue: catalogue, ledger: ledger, audit: rights.NewAudit(db, clock), companies: segments.NewCompanies(db, clock),
		contacts: segments.NewContacts(db, ledger, catalogue, clock), gate: consent.NewGate(db, catalogue, consent.GateOptions{Now: clock})}
	c.holds = rights.NewHolds(db, rights.Reach{OfSource: c.contacts.OfSource, OfCompany: c.contacts.OfCompany}, clock)
	_, err = consent.NewNotices(db, clock).Add(ctx, consent.Notice{Version: "v1", Language: "en", Text: "May we write to you?"})
	c.ok(err)
	for _, slug := range []string{"acme", "other"} {
		_, err := c.companies.Create(ctx, segments.Company{Slug: slug, Name: strings.ToUpper(slug) + " Ltd"})
		c.ok(err)
	}
	c.exec(`INSERT INTO sources (id, slug, name, privacy_url, transparency_url, lawful_basis, permitted_uses, created_at) VALUES
		(1, 'fairs', 'Fairs Ltd', 'https://fairs.example/privacy', 'https://fairs.example/clear', 'legitimate-interests', '|email|', 1), (2, 'lists', 'Lists Ltd', 'https://lists.example/privacy', '', 'consent', '', 1)`)
	c.exec(`INSERT INTO imports (id, source, status, created_at) VALUES (4, 1, 'finished', 1)`)
	c.exec(`INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at) VALUES (1, 'Spring', 1, 'newsletter', 'Spring is here', 'news@acme.example', '', '{}', 'consented', 'finished', 1)`)
	c.exec(`INSERT INTO links (campaign, position, label, url) VALUES (1, 1, 'more', 'https://acme.example/more')`)
	c.who = c.person(hisEmail, hisName, hisPhone, hisShoe, 10)
	c.other = c.person("somebody@third.example", "Somebody Third", "+1 1", "none", 20)
	c.hash = consent.Hash(censusKey, hisEmail)
	before, err := c.newDesk().Copy(ctx, db, c.who)
	c.ok(err)
	for _, p := range before.Parts {
		if p.Name == "Your choice about measuring opens and clicks" && (len(p.Rows) == 0 || p.Rows[0][1] != true) {
			t.Errorf("before anything stands in the way, the copy says %v of tracking", p.Rows)
		}
	}
	for _, email := range []string{hisEmail, "somebody@third.example"} {
		c.ok(db.Tx(ctx, func(tx *schema.Tx) error { return ledger.Suppress(ctx, tx, email, consent.BlockBounced) }))
	}
	return c
}

// person puts somebody into every table. n tells their rows from another's.
func (c *census) person(email, name, phone, shoe string, n int64) id.Contact {
	c.Helper()
	ctx := c.Context()
	got, _, err := c.contacts.Create(ctx, segments.NewContact{Email: email, Name: name, Company: "Heron " + name, Country: "GB", Phone: phone, JobTitle: "Keeper", SubscriberKind: "individual",
		Topics: []string{"transport"}, Attributes: map[string]any{"shoes": shoe, "score": 1.5, "tags": []any{"a", "b"}}})
	c.ok(err)
	who := got.ID
	c.exec(`INSERT INTO contact_sources (contact, source, import, acquired_at, licence_end, recalled_at) VALUES (?, 1, 4, 100, 900, 0), (?, 2, 0, 200, 0, 800)`, who, who)
	yes := true
	record := func(e consent.Entry) {
		c.Helper()
		c.at = c.at.Add(time.Minute)
		e.Contact, e.How, e.Own, e.Actor = who, consent.ByForm, true, "form"
		if e.Action == consent.Grant {
			e.Company, e.Channel, e.Notice, e.Requested, e.Confirmed = 1, consent.Email, "v1", schema.At(c.at.Add(-time.Second)), schema.At(c.at)
		}
		e.Evidence = map[string]string{"form": "footer of " + name, "shown": "May we write to you?"}
		c.ok(c.db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := c.ledger.Record(ctx, tx, e)
			return err
		}))
	}
	record(consent.Entry{Action: consent.Grant, Types: []string{"newsletter", "whitepaper-intelligence"}, Topics: []string{"sexual-health", "transport"}, Tracking: &yes})
	record(consent.Entry{Action: consent.Withdraw, Company: 1, Channel: consent.Email, Types: []string{"newsletter"}})
	record(consent.Entry{Action: consent.Withdraw, Company: 1, Channel: consent.Email, Topics: []string{"sexual-health"}})
	record(consent.Entry{Action: consent.Grant, Topics: []string{"transport"}, Types: []string{"company-updates"}})
	record(consent.Entry{Action: consent.Object, Company: 2})
	record(consent.Entry{Action: consent.Grant, Item: "heron-guide"})
	c.ok(c.db.Tx(ctx, func(tx *schema.Tx) error {
		for _, types := range [][]string{{"newsletter"}, {"promotional-offer"}} {
			r, err := c.ledger.Request(ctx, tx, consent.Entry{Contact: who, Company: 1, Channel: consent.Email, Types: types, Notice: "v1", How: consent.ByForm, Actor: "form", Captured: 0}, time.Hour)
			if err != nil {
				return err
			}
			if types[0] == "newsletter" {
				if _, err := c.ledger.Confirm(ctx, tx, r); err != nil {
					return err
				}
			}
		}
		no, err := json.Marshal(consent.No{Action: consent.Withdraw, Company: "acme", Types: []string{"newsletter"}, How: consent.ByEmail})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO consent_noes (hash, entry, at) VALUES (?, ?, ?)`, consent.Hash(censusKey, email), string(no), n)
		return err
	}))
	c.exec(`INSERT INTO messages (id, campaign, contact, via, mode, epoch, cited, status, reason, attempts, next_at, lease, lease_end, smtp_code, smtp_reply, sent_at, opened_at) VALUES
		(?, 1, ?, 1, 'identified', 1, '|1|2|', 'sent', 'network', 2, 7, 'x', 3, 250, ?, 500, 600)`, n+1, who, "2.0.0 queued for "+name)
	c.exec(`INSERT INTO returns (message, campaign, class, status, code, diagnostic, way, at, key) VALUES (?, 1, 'soft', '4.2.2', 452, ?, 'smtp', 650, ?)`, n+1, "mailbox of "+name+" is full", fmt.Sprint("soft:", n))
	c.exec(`INSERT INTO events (id, campaign, message, contact, kind, link, at, verdict, reason, region, client, os, device, node, seq) VALUES
		(?, 1, ?, ?, 'open', 0, 700, 'unverifiable', 'apple-privacy', '', 'Mail', 'iOS', 'phone', 'n', 1), (?, 1, ?, ?, 'click', 1, 800, 'person', 'click', 'GB-ENG', 'Firefox', 'Linux', 'desktop', 'n', 2)`,
		n+1, n+1, who, n+2, n+1, who)
	c.exec(`INSERT INTO message_links (message, link, first_at) VALUES (?, 1, 800)`, n+1)
	c.exec(`INSERT INTO contact_regions (contact, region, at) VALUES (?, 'GB-ENG', 800)`, who)
	c.exec(`INSERT INTO counts (campaign, hour, kind, link, verdict, region, node, n) VALUES (1, ?, 'click', 1, 'person', 'GB-ENG', 'n', 1)`, n)
	c.exec(`INSERT INTO rights_requests (kind, channel, company, contact, detail, reference, received_at, due_at, acknowledged_at, extension, status, outcome, handled_by, closed_at) VALUES
		('access', 'email', 1, ?, ?, 'T-1', 1, 2, 3, ?, 'done', ?, 'warden', 4), ('erasure', 'phone', 0, ?, ?, 'T-2', 1, 2, 0, '', 'open', '', 'warden', 0)`,
		who, hisWords+name, name+" is many", "sent to "+name, who, hisWords+name)
	c.exec(`INSERT INTO rights_links (contact, purpose, created_at, expires_at, used_at) VALUES (?, 'download', 1, 2, 3)`, who)
	c.exec(`INSERT INTO subject_groups (contact, grp, basis, since) VALUES (?, 'candidate', 'contract', 5)`, who)
	c.exec(`INSERT INTO holds (scope, object, reference, reason, actor, created_at, ends_at, released_at) VALUES ('contact', ?, 'CASE-1', ?, 'warden', 1, 2, 3)`, who, "claim of "+name)
	c.exec(`INSERT INTO retention_extensions (purpose, contact, until, reference, actor, created_at) VALUES ('candidate', ?, 5, 'DOC-1', 'warden', 1)`, who)
	c.ok(c.audit.Write(ctx, nil, rights.Entry{Actor: "warden", Action: "contact.export", Object: who.String(), Ground: rights.LegalObligation, Detail: "asked for"}))
	return who
}

func (c *census) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *census) exec(query string, args ...any) {
	c.Helper()
	_, err := c.app.db.Exec(c.Context(), query, args...)
	c.ok(err)
}

// tables lists every table of the schema with its columns.
func (c *census) tables() map[string][]string {
	c.Helper()
	query := `SELECT m.name AS t, p.name AS col FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`
	if c.db.Dialect() == schema.Postgres {
		query = `SELECT table_name AS t, column_name AS col FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE 'goose_%'`
	}
	var rows []struct{ T, Col string }
	c.ok(c.db.Select(c.Context(), &rows, query))
	all := map[string][]string{}
	for _, r := range rows {
		all[r.T] = append(all[r.T], r.Col)
	}
	if len(all) < 20 {
		c.Fatalf("found %d tables: the test looks in the wrong place", len(all))
	}
	return all
}

// rows reads what a table holds of somebody.
func (c *census) rows(table string, who id.Contact, hash []byte) []map[string]any {
	c.Helper()
	where := copied[table]
	condition, args := where.where, []any{}
	for name, v := range map[string]any{":contact": who, ":hash": hash, ":text": who.String()} {
		if strings.Contains(condition, name) {
			condition, args = strings.ReplaceAll(condition, name, "?"), append(args, v)
		}
	}
	rows, err := c.db.Query(c.Context(), `SELECT * FROM `+table+` WHERE `+condition+` ORDER BY `+where.order, args...)
	c.ok(err)
	defer rows.Close()
	var all []map[string]any
	for rows.Next() {
		m := map[string]any{}
		c.ok(rows.MapScan(m))
		all = append(all, m)
	}
	c.ok(rows.Err())
	return all
}

// plain is a value as both a table and a copy can give it.
func plain(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "1"
		}
		return "0"
	case schema.Time:
		return fmt.Sprint(int64(v))
	case []string:
		return strings.Join(v, "|")
	case []byte:
		return string(v)
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}

func said(v any) bool { s := plain(v); return s != "" && s != "0" && s != "map[]" }
