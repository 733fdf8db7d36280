package rights

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Groups of data subjects that the policies name; an operator may add others.
const (
	GroupCandidate = "candidate"
	GroupCustomer  = "customer"
	GroupSupplier  = "supplier"
)

// Membership is a group of data subjects that a contact belongs to, beside being somebody who may
// be mailed, and on what footing we hold their data for it.
type Membership struct {
	Contact id.Contact  `db:"contact" json:"-"`
	Group   string      `db:"grp" json:"group"`
	Basis   Basis       `db:"basis" json:"basis"`
	Since   schema.Time `db:"since" json:"since"`
}

// Groups keeps who is in which group. A contact may be in several. While it is in one, no rule of
// another purpose erases it; a membership ends by its own rule ([PurposeCandidate], [PurposeGroup]).
type Groups struct {
	db  *schema.DB
	now func() time.Time
}

// NewGroups returns the store.
func NewGroups(db *schema.DB, now func() time.Time) *Groups { return &Groups{db, now} }

var groupForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Add puts a contact, which the caller has seen to exist, into a group, or says anew that it is in
// it, which starts the time of the membership again. It runs in a transaction of the caller's or
// (nil) one of its own. The error is an *Invalid.
func (s *Groups) Add(ctx context.Context, tx *schema.Tx, who id.Contact, group string, basis Basis) (Membership, error) {
	m := Membership{who, group, basis, schema.At(s.now())}
	var e Invalid
	if who <= 0 {
		e.add("contact", "is missing")
	}
	if !groupForm.MatchString(group) {
		e.add("group", "must be 1 to 63 lower-case letters, digits and hyphens, such as customer")
	}
	oneOf(&e, "basis", basis, Grounds)
	if err := e.err(); err != nil {
		return Membership{}, err
	}
	err := within(ctx, s.db, tx, func(tx *schema.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO subject_groups (contact, grp, basis, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (contact, grp) DO UPDATE SET basis = excluded.basis, since = excluded.since`, who, group, basis, m.Since)
		return err
	})
	if err != nil {
		return Membership{}, fmt.Errorf("rights: add to a group: %w", err)
	}
	return m, nil
}

// Remove takes a contact out of a group; that it was not in it is no error.
func (s *Groups) Remove(ctx context.Context, tx *schema.Tx, who id.Contact, group string) error {
	return within(ctx, s.db, tx, func(tx *schema.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM subject_groups WHERE contact = ? AND grp = ?`, who, group); err != nil {
			return fmt.Errorf("rights: remove from a group: %w", err)
		}
		return nil
	})
}

// Of returns the groups of a contact, by name; never nil.
func (s *Groups) Of(ctx context.Context, q schema.Querier, who id.Contact) ([]Membership, error) {
	return memberships(ctx, q, []id.Contact{who})
}

// Rights returns what the contact may ask: the union of the rights that its groups give, and those
// of the bases on which its data is held beside.
func (s *Groups) Rights(ctx context.Context, q schema.Querier, who id.Contact, beside ...Basis) ([]Right, error) {
	groups, err := s.Of(ctx, q, who)
	if err != nil {
		return nil, err
	}
	bases := append([]Basis{}, beside...)
	for _, m := range groups {
		bases = append(bases, m.Basis)
	}
	return Union(bases...), nil
}

// GroupCount is a group in use, with the footing on which its members' data is held.
type GroupCount struct {
	Group   string `db:"grp" json:"group"`
	Basis   Basis  `db:"basis" json:"basis"`
	Members int64  `db:"n" json:"members"`
}

// Counts returns the groups in use, by name and basis; never nil.
func (s *Groups) Counts(ctx context.Context, q schema.Querier) ([]GroupCount, error) {
	all := []GroupCount{}
	if err := q.Select(ctx, &all, `SELECT grp, basis, count(*) AS n FROM subject_groups GROUP BY grp, basis ORDER BY grp, basis`); err != nil {
		return nil, fmt.Errorf("rights: count groups: %w", err)
	}
	return all, nil
}

func memberships(ctx context.Context, q schema.Querier, contacts []id.Contact) ([]Membership, error) {
	all := []Membership{}
	if len(contacts) == 0 {
		return all, nil
	}
	args := make([]any, len(contacts))
	for i, who := range contacts {
		args[i] = who
	}
	if err := q.Select(ctx, &all, `SELECT contact, grp, basis, since FROM subject_groups WHERE contact IN (`+schema.List(len(args))+`) ORDER BY contact, grp`, args...); err != nil {
		return nil, fmt.Errorf("rights: read groups: %w", err)
	}
	return all, nil
}
