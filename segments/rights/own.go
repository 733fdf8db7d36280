package rights

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
)

// The parts that this package holds itself.
const (
	partRequests   = "Your requests to us"
	partLinks      = "Links that we mailed to you"
	partGroups     = "Groups you belong to"
	partHolds      = "Legal holds"
	partExtensions = "Written decisions to keep data longer"
	partAudit      = "Log of what was done with your data"
)

const accountability = "showing that we answer for what we do with your data"

// own is what this package holds. The names of staff are left out of it: they are the staff's data,
// which the right of access does not give (CJEU, C-579/21).
func (d *Desk) own(ctx context.Context, q schema.Querier, who id.Contact) ([]Part, error) {
	requests, err := d.requestsOf(ctx, q, who)
	if err != nil {
		return nil, err
	}
	holds, err := d.holdsOf(ctx, q, who)
	if err != nil {
		return nil, err
	}
	all := []Part{requests, holds}
	for _, t := range []struct {
		part  Part
		query string
	}{
		{Part{partLinks, "letting you, and nobody else, download or erase your data", LegalObligation, []string{"What for", "Made", "Valid until", "Used"}, nil},
			`SELECT purpose, created_at, expires_at, used_at FROM rights_links WHERE contact = ? ORDER BY id`},
		{Part{partGroups, "knowing on what footing we hold your data, and for how long", LegalObligation, []string{"Group", "Lawful basis", "Since"}, nil},
			`SELECT grp, basis, since FROM subject_groups WHERE contact = ? ORDER BY grp`},
		{Part{partExtensions, "keeping what is still needed", LegalObligation, []string{"What", "Kept until", "Our reference", "Decided"}, nil},
			`SELECT purpose, until, reference, created_at FROM retention_extensions WHERE contact = ? ORDER BY id`},
	} {
		if t.part.Rows, err = rowsOf(ctx, q, t.query, who); err != nil {
			return nil, fmt.Errorf("rights: copy: %s: %w", t.part.Name, err)
		}
		all = append(all, t.part)
	}
	return all, nil
}

// auditOf is what the audit log tells of a contact, who did it left out as in own.
func auditOf(ctx context.Context, q schema.Querier, who id.Contact) (Part, error) {
	p := Part{partAudit, accountability + ", and security; the log is used for nothing else", LegalObligation, []string{"When", "What", "Ground", "Detail"}, nil}
	var err error
	if p.Rows, err = rowsOf(ctx, q, `SELECT at, action, ground, detail FROM audit_log WHERE object = ? ORDER BY id`, who.String()); err != nil {
		err = fmt.Errorf("rights: copy: %s: %w", p.Name, err)
	}
	return p, err
}

var instants = []string{"at", "since", "until", "created_at", "expires_at", "used_at"}

// rowsOf reads the rows of a query as the cells of a part; what is an instant shows by its name.
func rowsOf(ctx context.Context, q schema.Querier, query string, args ...any) ([][]any, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]any
	for rows.Next() {
		cells, err := rows.SliceScan()
		if err != nil {
			return nil, err
		}
		for i, v := range cells {
			switch n, whole := v.(int64); {
			case whole && slices.Contains(instants, columns[i]):
				cells[i] = schema.Time(n)
			case !whole:
				cells[i] = fmt.Sprintf("%s", v)
			}
		}
		all = append(all, cells)
	}
	return all, rows.Err()
}

// What an erasure leaves behind here, and why.
const (
	keptRequests    = "That you asked something of us, and when it was answered"
	keptRequestsWhy = "it shows that requests are answered in time; it holds neither your words nor a way to you"
	keptLog         = "Security and audit log"
	keptLogWhy      = "it tells when data was read, changed or erased, under a number that leads to nobody any more; it is kept apart and used for nothing else"
	keptLine        = "A line in the refusals journal"
	keptLineWhy     = "it holds a keyed hash of the address, so that a restored backup is erased again before anything is sent"
	keptBackups     = "Backups made until now"
	keptBackupsWhy  = "they are not changed; whenever one is restored this erasure is done again first. Each goes when its own time is over"
	keptAll         = "Everything"
	keptAllWhy      = "a legal hold stands: it is needed for a legal claim or obligation. Until the hold ends it is stored and not used for anything else; ask again then"
)

// eraseOwn removes what this package holds. Of a request remains that there was one, and when and how
// it was answered; one for erasure is answered by this.
func (d *Desk) eraseOwn(ctx context.Context, tx *schema.Tx, who id.Contact, at schema.Time, actor string) ([]Kept, error) {
	var open []int
	if err := tx.Select(ctx, &open, `SELECT CASE WHEN status = 'open' AND kind <> 'erasure' THEN 1 ELSE 0 END FROM rights_requests WHERE contact = ?`, who); err != nil {
		return nil, fmt.Errorf("rights: erase: requests: %w", err)
	}
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`UPDATE rights_requests SET status = 'done', outcome = 'erased', closed_at = ?, handled_by = ? WHERE contact = ? AND kind = 'erasure' AND status = 'open'`, []any{at, actor, who}},
		{`UPDATE rights_requests SET contact = 0, detail = '', extension = CASE extension WHEN '' THEN '' ELSE 'emptied by the erasure' END,
			outcome = CASE outcome WHEN '' THEN '' WHEN 'erased' THEN 'erased' ELSE 'emptied by the erasure' END WHERE contact = ?`, []any{who}},
		{`DELETE FROM rights_links WHERE contact = ?`, []any{who}},
		{`DELETE FROM subject_groups WHERE contact = ?`, []any{who}},
		{`DELETE FROM holds WHERE scope = 'contact' AND object = ?`, []any{who}},
		{`DELETE FROM retention_extensions WHERE contact = ?`, []any{who}},
	} {
		if _, err := tx.Exec(ctx, s.query, s.args...); err != nil {
			return nil, fmt.Errorf("rights: erase: %w", err)
		}
	}
	logs, err := RuleFor(ctx, tx, PurposeSecurityLog)
	if err != nil {
		return nil, err
	}
	kept := []Kept{{keptLog, keptLogWhy, logs.Keep.after(at)}, {keptLine, keptLineWhy, 0}, {keptBackups, keptBackupsWhy, 0}}
	if len(open) == 0 {
		return kept, nil
	}
	k := Kept{keptRequests, keptRequestsWhy, 0} // while one is open nobody knows until when
	if !slices.Contains(open, 1) {
		rule, err := RuleFor(ctx, tx, PurposeRequests)
		if err != nil {
			return nil, err
		}
		k.Until = rule.Keep.after(at)
	}
	return append([]Kept{k}, kept...), nil
}

// after returns the end of a period that starts at an instant.
func (p Period) after(t schema.Time) schema.Time {
	return schema.At(months(t.T(), p.Months).AddDate(0, 0, p.Days))
}

// holdsOf is the part of a copy that shows the holds placed on a contact, and the standing ones that
// cover it with others.
func (d *Desk) holdsOf(ctx context.Context, q schema.Querier, who id.Contact) (Part, error) {
	p := Part{partHolds, "keeping what a legal claim or obligation needs", LegalObligation, []string{"Covers", "Our reference", "Reason", "Placed", "Ends", "Released"}, nil}
	all, err := listHolds(ctx, q, `scope = 'contact' AND object = ?`, who)
	if err != nil {
		return p, err
	}
	if s, ok := d.Holds.(*Holds); ok {
		wide, err := s.wide(ctx, q, who)
		if err != nil {
			return p, err
		}
		all = append(all, wide...)
	}
	slices.SortFunc(all, func(a, b Hold) int { return cmp.Compare(a.ID, b.ID) })
	for _, h := range all {
		p.Rows = append(p.Rows, []any{string(h.Scope), h.Reference, h.Reason, h.CreatedAt, h.EndsAt, h.ReleasedAt})
	}
	return p, nil
}

// holdsEnd is when the last of the holds ends that cover a contact; zero if none says when.
func (d *Desk) holdsEnd(ctx context.Context, q schema.Querier, who id.Contact) (schema.Time, error) {
	s, ok := d.Holds.(*Holds)
	if !ok {
		return 0, nil
	}
	one, err := listHolds(ctx, q, `scope = 'contact' AND object = ?`, who)
	if err != nil {
		return 0, err
	}
	wide, err := s.wide(ctx, q, who)
	if err != nil {
		return 0, err
	}
	var end schema.Time
	for _, h := range append(one, wide...) {
		if !h.Stands(schema.At(s.now())) {
			continue
		}
		if h.EndsAt == 0 {
			return 0, nil
		}
		end = max(end, h.EndsAt)
	}
	return end, nil
}

// wide returns the standing holds that cover a contact with others.
func (s *Holds) wide(ctx context.Context, q schema.Querier, who id.Contact) ([]Hold, error) {
	all, err := s.Standing(ctx, q)
	if err != nil {
		return nil, err
	}
	var found []Hold
	for _, h := range all {
		covered := []id.Contact{who}
		switch h.Scope {
		case HoldContact:
			continue
		case HoldSource:
			covered, err = s.reach.OfSource(ctx, q, h.Source, covered)
		case HoldCompany:
			covered, err = s.reach.OfCompany(ctx, q, h.Company, covered)
		}
		if err != nil {
			return nil, fmt.Errorf("rights: whom a hold covers: %w", err)
		}
		if len(covered) > 0 {
			found = append(found, h)
		}
	}
	return found, nil
}
