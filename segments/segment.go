package segments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Segment is a rule over the opted-in contacts of one company and channel.
type Segment struct {
	ID        id.Segment      `json:"id"`
	Name      string          `json:"name"`
	Company   string          `json:"company"` // slug
	Channel   consent.Channel `json:"channel"`
	Rule      json.RawMessage `json:"rule"`
	CreatedAt schema.Time     `json:"created_at"`

	CompanyID id.Company `json:"-"`
}

// NewSegment is what a segment is created from. Without a channel it is email.
type NewSegment struct {
	Name    string          `json:"name"`
	Company string          `json:"company"` // slug
	Channel consent.Channel `json:"channel"`
	Rule    json.RawMessage `json:"rule"`
}

// Segments stores segments and answers who is in them.
type Segments struct {
	db   *schema.DB
	gate *consent.Gate
	cat  *consent.Catalogue
	now  func() time.Time
}

// NewSegments returns the store; now is the clock for every age and date of a rule.
func NewSegments(db *schema.DB, gate *consent.Gate, cat *consent.Catalogue, now func() time.Time) *Segments {
	return &Segments{db, gate, cat, now}
}

// Create stores a segment. The error is an *Invalid for a field at fault; one in the rule is named
// by its place, such as rule.rules[1].field.
func (s *Segments) Create(ctx context.Context, n NewSegment) (Segment, error) {
	n.Name = strings.TrimSpace(n.Name)
	seg, _, err := s.check(ctx, n, func(e *Invalid) {
		e.required("name", n.Name, "a name by which you know the segment again")
		e.line("name", n.Name)
	})
	if err != nil {
		return Segment{}, boundary("create segment", err)
	}
	seg.CreatedAt = schema.At(s.now())
	err = s.db.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &seg.ID, `INSERT INTO segments (name, company, channel, rule, created_at) VALUES `+schema.Rows(1, 5)+` RETURNING id`,
			seg.Name, seg.CompanyID, string(seg.Channel), string(seg.Rule), seg.CreatedAt)
	})
	return seg, boundary("create segment", err)
}

// Get returns a segment, or ErrNotFound.
func (s *Segments) Get(ctx context.Context, seg id.Segment) (Segment, error) {
	got, err := getSegment(ctx, s.db, seg)
	return got, boundary("read segment", err)
}

// List returns the segments, the newest first; never nil.
func (s *Segments) List(ctx context.Context) ([]Segment, error) {
	var rows []segmentRow
	if err := s.db.Select(ctx, &rows, segmentQuery+` ORDER BY g.id DESC`); err != nil {
		return nil, boundary("list segments", err)
	}
	all := make([]Segment, len(rows))
	for i, r := range rows {
		all[i] = r.segment()
	}
	return all, nil
}

// Fragment is the segment as a condition on a contact under the alias c, the gate's included, with
// its company and channel. It says who is in the segment now: ages and dates count from the call,
// so make it for each statement.
func (s *Segments) Fragment(ctx context.Context, seg id.Segment) (consent.Fragment, id.Company, consent.Channel, error) {
	got, err := getSegment(ctx, s.db, seg)
	if err != nil {
		return consent.Fragment{}, 0, "", boundary("read segment", err)
	}
	sel, err := s.compile(ctx, s.db, got)
	if err != nil {
		return consent.Fragment{}, 0, "", boundary("compile segment", err)
	}
	allowed, err := s.gate.Allowed(sel.use, "c.id", "")
	if err != nil {
		return consent.Fragment{}, 0, "", boundary("compile segment", err)
	}
	return consent.Fragment{SQL: "(" + allowed.SQL + " AND " + sel.rule.SQL + ")", Args: append(allowed.Args, sel.rule.Args...)},
		got.CompanyID, got.Channel, nil
}

// Count says how many contacts are in the segment now, and keeps the figure for the day.
func (s *Segments) Count(ctx context.Context, seg id.Segment) (int64, error) {
	got, err := getSegment(ctx, s.db, seg)
	if err != nil {
		return 0, boundary("read segment", err)
	}
	sel, err := s.compile(ctx, s.db, got)
	if err != nil {
		return 0, boundary("count segment", err)
	}
	n, err := sel.count(ctx, s.db)
	if err == nil {
		err = s.keepSize(ctx, seg, n)
	}
	return n, boundary("count segment", err)
}

// Preview is what a rule would give.
type Preview struct {
	Count    int64        `json:"count"`
	AsOf     schema.Time  `json:"as_of"`
	Contacts []id.Contact `json:"contacts"` // the first few, by age
}

// Preview answers for a rule that is not stored; the name is not needed.
func (s *Segments) Preview(ctx context.Context, n NewSegment, limit int) (Preview, error) {
	p := Preview{AsOf: schema.At(s.now()), Contacts: []id.Contact{}}
	_, sel, err := s.check(ctx, n, func(*Invalid) {})
	if err != nil {
		return Preview{}, boundary("preview segment", err)
	}
	err = s.db.View(ctx, func(tx *schema.Tx) error {
		var err error
		if p.Count, err = sel.count(ctx, tx); err != nil || limit <= 0 {
			return err
		}
		from := sel.from("")
		return tx.Select(ctx, &p.Contacts, `SELECT c.id `+from.SQL+` ORDER BY c.id LIMIT ?`, append(from.Args, limit)...)
	})
	return p, boundary("preview segment", err)
}

// check reads and compiles what a segment is to be made from; more adds what else is at fault.
func (s *Segments) check(ctx context.Context, n NewSegment, more func(*Invalid)) (Segment, selection, error) {
	var e Invalid
	more(&e)
	seg := Segment{Name: n.Name, Company: n.Company, Channel: n.Channel}
	if seg.Channel == "" {
		seg.Channel = consent.Email
	}
	if channels := slugs(s.cat, consent.KindChannel); !known(s.cat, consent.KindChannel, string(seg.Channel)) {
		e.oneOf("channel", string(seg.Channel), channels...)
	}
	var company Company
	switch err := getCompany(ctx, s.db, &company, `slug = ?`, n.Company); {
	case isNotFound(err):
		e.add("company", "is not a known company: give the slug of the company that the contacts opted in to")
	case err != nil:
		return Segment{}, selection{}, err
	}
	seg.CompanyID = company.ID
	var compact bytes.Buffer
	if len(n.Rule) == 0 {
		e.add("rule", `is missing: give a tree such as {"combinator":"and","rules":[{"field":"country","operator":"=","value":"GB"}]}`)
	} else if err := e.within("rule", func() error { _, err := ParseRule(n.Rule); return err }()); err != nil {
		return Segment{}, selection{}, err
	} else if json.Compact(&compact, n.Rule) == nil {
		seg.Rule = compact.Bytes()
	}
	if err := e.err(); err != nil {
		return Segment{}, selection{}, err
	}
	sel, err := s.compile(ctx, s.db, seg)
	if err := e.within("rule", err); err != nil {
		return Segment{}, selection{}, err
	}
	return seg, sel, e.err()
}

// within takes over the fields of an *Invalid as parts of a field; another error is returned.
func (e *Invalid) within(field string, err error) error {
	var inner *Invalid
	if !errors.As(err, &inner) {
		return err
	}
	for _, f := range inner.Fields {
		name := field
		if f.Field != "" {
			name += "." + f.Field
		}
		e.add(name, f.Message)
	}
	return nil
}

// selection is a segment compiled for one instant.
type selection struct {
	use      consent.Use
	rule     consent.Fragment
	eligible consent.Fragment
}

func (s *Segments) compile(ctx context.Context, q schema.Querier, seg Segment) (selection, error) {
	rule, err := ParseRule(seg.Rule)
	if err != nil {
		return selection{}, err
	}
	sql, topics, err := rule.compile(ctx, ruleContext{q, s.gate, s.cat, seg.CompanyID, seg.Channel, s.now()})
	if err != nil {
		return selection{}, err
	}
	sel := selection{rule: sql, use: consent.Use{Company: seg.CompanyID, Channel: seg.Channel, Topics: topics, Purpose: consent.Segment}}
	sel.eligible, err = s.gate.Eligible(sel.use)
	return sel, err
}

// from is the FROM and WHERE of a query over the segment's contacts c. A condition may narrow it
// to some g.contact, which is the contact's id.
func (sel selection) from(narrow string, args ...any) consent.Fragment {
	if narrow != "" {
		narrow += " AND "
	}
	return consent.Fragment{SQL: "FROM (" + sel.eligible.SQL + ") g JOIN contacts c ON c.id = g.contact WHERE " + narrow + sel.rule.SQL,
		Args: append(append(append([]any{}, sel.eligible.Args...), args...), sel.rule.Args...)}
}

func (sel selection) count(ctx context.Context, q schema.Querier) (n int64, err error) {
	from := sel.from("")
	err = q.Get(ctx, &n, `SELECT count(*) `+from.SQL, from.Args...)
	return n, err
}

// keepSize keeps the segment's size of the day, which is the newest that was counted on it.
func (s *Segments) keepSize(ctx context.Context, seg id.Segment, n int64) error {
	day := schema.At(s.now().UTC().Truncate(24 * time.Hour))
	var have []int64
	if err := s.db.Select(ctx, &have, `SELECT n FROM segment_sizes WHERE segment = ? AND at = ?`, seg, day); err != nil {
		return err
	}
	if len(have) == 1 && have[0] == n {
		return nil
	}
	_, err := s.db.Exec(ctx, `INSERT INTO segment_sizes (segment, at, n) VALUES (?, ?, ?) ON CONFLICT (segment, at) DO UPDATE SET n = excluded.n`, seg, day, n)
	return err
}

const segmentQuery = `SELECT g.id, g.name, g.company, o.slug, g.channel, g.rule, g.created_at FROM segments g JOIN companies o ON o.id = g.company`

type segmentRow struct {
	ID        id.Segment      `db:"id"`
	Name      string          `db:"name"`
	Company   id.Company      `db:"company"`
	Slug      string          `db:"slug"`
	Channel   consent.Channel `db:"channel"`
	Rule      string          `db:"rule"`
	CreatedAt schema.Time     `db:"created_at"`
}

func (r segmentRow) segment() Segment {
	return Segment{ID: r.ID, Name: r.Name, Company: r.Slug, Channel: r.Channel, Rule: json.RawMessage(r.Rule), CreatedAt: r.CreatedAt, CompanyID: r.Company}
}

func getSegment(ctx context.Context, q schema.Querier, seg id.Segment) (Segment, error) {
	var r segmentRow
	if err := q.Get(ctx, &r, segmentQuery+` WHERE g.id = ?`, seg); err != nil {
		return Segment{}, err
	}
	return r.segment(), nil
}
