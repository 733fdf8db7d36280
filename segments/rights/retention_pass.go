package rights

import (
	"context"
	"errors"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

const (
	passChunk  = 500                   // looked for at a time
	passBudget = 10 * time.Millisecond // after which a transaction takes up nothing more
	failMost   = 10                    // failures after which a purpose is given up until the next run
)

type membership struct {
	who   id.Contact
	group string
}

// pass is a run on its way through the purposes. A dry one keeps in mind what would be gone.
type pass struct {
	RetentionOptions
	dry  bool
	gone map[id.Contact]bool
	left map[membership]bool
}

func (p *pass) apply(ctx context.Context, rule Rule, o *Outcome) error {
	switch {
	case ofGroups(rule.Purpose):
		return p.groups(ctx, rule, o)
	case p.Keepers[rule.Purpose] != nil:
		return p.contacts(ctx, rule, o)
	}
	for _, s := range p.Sweepers[rule.Purpose] {
		if err := p.rows(ctx, rule, s, o); err != nil {
			return err
		}
	}
	return nil
}

// verdict is what keeps data whose time is over.
type verdict struct {
	cover    cover
	extended func(id.Contact) bool
}

func (p *pass) verdict(ctx context.Context, q schema.Querier, purpose Purpose, contacts []id.Contact) (v verdict, err error) {
	if v.cover, err = p.Holds.cover(ctx, q, contacts); err != nil {
		return v, err
	}
	restrained, err := p.Restrained(ctx, q, contacts)
	if err != nil {
		return v, err
	}
	for _, who := range restrained {
		v.cover.contacts[who] = true
	}
	v.extended, err = extended(ctx, q, purpose, contacts, schema.At(p.Now()))
	return v, err
}

// keeps counts what is due, and reports whether it is kept.
func (v verdict) keeps(who id.Contact, company id.Company, o *Outcome) bool {
	o.Due++
	switch {
	case v.cover.contact(who) || v.cover.companies[company]:
		o.Held++
	case v.extended(who):
		o.Extended++
	default:
		return false
	}
	return true
}

// contacts erases the contacts of a purpose.
func (p *pass) contacts(ctx context.Context, rule Rule, o *Outcome) error {
	keeper := p.Keepers[rule.Purpose]
	for after := id.Contact(0); ; {
		due, err := keeper(ctx, p.DB, o.Before, after, 0, passChunk)
		if err != nil || len(due) == 0 {
			return err
		}
		after = due[len(due)-1]
		if p.dry {
			err = p.count(ctx, p.DB, rule, due, o)
		} else {
			err = each(ctx, p, due, o, func(tx *schema.Tx, who id.Contact, o *Outcome) error {
				still, err := keeper(ctx, tx, o.Before, who-1, who, 1)
				if err != nil || len(still) == 0 {
					return err
				}
				return p.contact(ctx, tx, rule, who, o)
			})
		}
		if err != nil {
			return err
		}
	}
}

// count is contact for many, in a dry run.
func (p *pass) count(ctx context.Context, q schema.Querier, rule Rule, due []id.Contact, o *Outcome) error {
	due = slices.DeleteFunc(due, func(who id.Contact) bool { return p.gone[who] })
	if len(due) == 0 {
		return nil
	}
	grouped, err := p.grouped(ctx, q, due)
	if err != nil {
		return err
	}
	v, err := p.verdict(ctx, q, rule.Purpose, due)
	if err != nil {
		return err
	}
	for _, who := range due {
		if !grouped[who] && !v.keeps(who, 0, o) {
			o.Done++
			p.gone[who] = true
		}
	}
	return nil
}

func (p *pass) contact(ctx context.Context, tx *schema.Tx, rule Rule, who id.Contact, o *Outcome) error {
	grouped, err := p.grouped(ctx, tx, []id.Contact{who})
	if err != nil || grouped[who] {
		return err
	}
	v, err := p.verdict(ctx, tx, rule.Purpose, []id.Contact{who})
	if err != nil || v.keeps(who, 0, o) {
		return err
	}
	o.Done++
	return p.end(ctx, tx, rule, who)
}

// end erases or de-identifies a contact. What it refused stays refused.
func (p *pass) end(ctx context.Context, tx *schema.Tx, rule Rule, who id.Contact) error {
	erase := func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
		return p.Outlive(ctx, tx, who, func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
			_, err := p.Desk.Erase(ctx, tx, who, OnRetention, p.Actor)
			return err
		})
	}
	if rule.Action != ActionDeidentify {
		return erase(ctx, tx, who)
	}
	if err := p.Deidentify(ctx, tx, who, erase); err != nil {
		return err
	}
	return p.Audit.Write(ctx, tx, Entry{Actor: p.Actor, Action: "contact.de-identify", Object: who.String(), Detail: string(rule.Purpose)})
}

// grouped tells which of the contacts are in a group.
func (p *pass) grouped(ctx context.Context, q schema.Querier, contacts []id.Contact) (map[id.Contact]bool, error) {
	list, err := memberships(ctx, q, contacts)
	in := map[id.Contact]bool{}
	for _, m := range list {
		if !p.left[membership{m.Contact, m.Group}] {
			in[m.Contact] = true
		}
	}
	return in, err
}

// groups ends memberships. Who was a candidate and nothing else is erased.
func (p *pass) groups(ctx context.Context, rule Rule, o *Outcome) error {
	is := `grp <> ?`
	if rule.Purpose == PurposeCandidate {
		is = `grp = ?`
	}
	for last := (Membership{}); ; {
		var due []Membership
		err := p.DB.Select(ctx, &due, `SELECT contact, grp, basis, since FROM subject_groups WHERE since < ? AND `+is+`
			AND (contact > ? OR contact = ? AND grp > ?) ORDER BY contact, grp LIMIT ?`, o.Before, GroupCandidate, last.Contact, last.Contact, last.Group, passChunk)
		if err != nil || len(due) == 0 {
			return err
		}
		last = due[len(due)-1]
		if p.dry {
			for _, m := range due {
				if err := p.leave(ctx, p.DB, nil, rule, m, o); err != nil {
					return err
				}
			}
			continue
		}
		err = each(ctx, p, due, o, func(tx *schema.Tx, m Membership, o *Outcome) error {
			var still int
			if err := tx.Get(ctx, &still, `SELECT count(*) FROM subject_groups WHERE contact = ? AND grp = ? AND since < ?`, m.Contact, m.Group, o.Before); err != nil || still == 0 {
				return err
			}
			return p.leave(ctx, tx, tx, rule, m, o)
		})
		if err != nil {
			return err
		}
	}
}

// leave ends one membership; without a transaction it counts.
func (p *pass) leave(ctx context.Context, q schema.Querier, tx *schema.Tx, rule Rule, m Membership, o *Outcome) error {
	v, err := p.verdict(ctx, q, rule.Purpose, []id.Contact{m.Contact})
	if err != nil || v.keeps(m.Contact, 0, o) {
		return err
	}
	o.Done++
	if tx == nil {
		p.left[membership{m.Contact, m.Group}] = true
	} else {
		if _, err := tx.Exec(ctx, `DELETE FROM subject_groups WHERE contact = ? AND grp = ?`, m.Contact, m.Group); err != nil {
			return err
		}
		if err := p.Audit.Write(ctx, tx, Entry{Actor: p.Actor, Action: "group.end", Object: m.Contact.String(), Detail: m.Group}); err != nil {
			return err
		}
	}
	if rule.Purpose != PurposeCandidate {
		return nil
	}
	grouped, err := p.grouped(ctx, q, []id.Contact{m.Contact})
	if err != nil || grouped[m.Contact] {
		return err
	}
	carried, err := p.Carried(ctx, q, []id.Contact{m.Contact})
	if err != nil || len(carried) > 0 {
		return err
	}
	if tx == nil {
		p.gone[m.Contact] = true
		return nil
	}
	if err := p.end(ctx, tx, rule, m.Contact); !errors.Is(err, ErrNoContact) {
		return err
	}
	return nil
}

// rows sweeps rows of one kind.
func (p *pass) rows(ctx context.Context, rule Rule, s Sweeper, o *Outcome) error {
	for after := int64(0); ; {
		due, err := s.Aged(ctx, p.DB, o.Before, after, passChunk)
		if err != nil || len(due) == 0 {
			return err
		}
		after = due[len(due)-1].ID
		if p.dry { // of who would be gone by now
			due = slices.DeleteFunc(due, func(a Aged) bool { return s.Theirs && p.gone[a.Contact] })
			for i := range due {
				if p.gone[due[i].Contact] {
					due[i].Contact = 0
				}
			}
		}
		var sum Outcome
		var rest []int64
		judge := func(q schema.Querier) error {
			sum, rest = Outcome{}, nil
			contacts := make([]id.Contact, 0, len(due))
			for _, a := range due {
				if a.Contact != 0 {
					contacts = append(contacts, a.Contact)
				}
			}
			slices.Sort(contacts)
			v, err := p.verdict(ctx, q, rule.Purpose, slices.Compact(contacts))
			if err != nil {
				return err
			}
			for _, a := range due {
				if !v.keeps(a.Contact, a.Company, &sum) {
					rest = append(rest, a.ID)
				}
			}
			sum.Done = int64(len(rest))
			return nil
		}
		if p.dry {
			if err := judge(p.DB); err != nil {
				return err
			}
			o.add(sum)
			continue
		}
		for more := true; more; {
			err := p.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
				more = false
				if err := lockDecisions(ctx, tx); err != nil {
					return err
				}
				if err := judge(tx); err != nil || len(rest) == 0 {
					return err
				}
				more, err = s.Remove(ctx, tx, rest)
				return err
			})
			if err != nil {
				o.Due, o.Failed = o.Due+int64(len(due)), o.Failed+int64(len(due))
				return err
			}
		}
		o.add(sum)
	}
}

// each calls fn for every item, as many in a transaction as are done in short time. One that fails
// is passed over; after a few of them, or when ctx ends, the others wait for the next run.
func each[T any](ctx context.Context, p *pass, items []T, o *Outcome, fn func(*schema.Tx, T, *Outcome) error) error {
	var failed []error
	for most := len(items); len(items) > 0; {
		most = min(most, len(items))
		var n int
		var sum Outcome
		err := p.DB.Tx(ctx, func(tx *schema.Tx) error {
			n, sum = 0, Outcome{Before: o.Before}
			if err := lockDecisions(ctx, tx); err != nil {
				return err
			}
			for start := time.Now(); n < most && (n == 0 || time.Since(start) < passBudget); n++ {
				if err := fn(tx, items[n], &sum); err != nil {
					return err
				}
			}
			return nil
		})
		switch {
		case err == nil:
			o.add(sum)
			items, most = items[n:], len(items)
		case ctx.Err() != nil:
			return ctx.Err()
		case most > 1: // without the one that failed; nobody knows which if it was the commit
			if n == most {
				n = most / 2
			}
			most = max(1, n)
		default:
			o.Due, o.Failed = o.Due+1, o.Failed+1
			if failed = append(failed, err); o.Failed >= failMost {
				return errors.Join(failed...)
			}
			items, most = items[1:], len(items)
		}
	}
	return errors.Join(failed...)
}

// lockDecisions makes a hold or an extension that is placed meanwhile wait, so that none is
// confirmed to anybody and then passed over. SQLite has one writer.
func lockDecisions(ctx context.Context, tx *schema.Tx) error {
	if tx.Dialect() != schema.Postgres {
		return nil
	}
	_, err := tx.Exec(ctx, `LOCK TABLE holds, retention_extensions, subject_groups IN SHARE ROW EXCLUSIVE MODE`)
	return err
}
