package rights

import (
	"context"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Scope says whose data a legal hold covers.
type Scope string

// The scopes.
const (
	HoldContact Scope = "contact"
	HoldSource  Scope = "source"  // every contact that came from it
	HoldCompany Scope = "company" // every contact that the company has to do with
	HoldAll     Scope = "all"
)

var scopes = []Scope{HoldContact, HoldSource, HoldCompany, HoldAll}

// Hold is a legal hold: while it stands nothing that it covers is erased, whatever the rules say.
type Hold struct {
	ID         int64       `json:"id"`
	Scope      Scope       `json:"scope"`
	Contact    id.Contact  `json:"contact,omitzero"`
	Source     id.Source   `json:"source,omitzero"`
	Company    id.Company  `json:"company,omitzero"`
	Reference  string      `json:"reference"` // of the case or letter
	Reason     string      `json:"reason"`
	Actor      string      `json:"actor"`
	CreatedAt  schema.Time `json:"created_at"`
	EndsAt     schema.Time `json:"ends_at"` // null: until it is released
	ReleasedAt schema.Time `json:"released_at"`
}

// Stands reports whether the hold keeps anything at an instant.
func (h Hold) Stands(at schema.Time) bool {
	return h.ReleasedAt == 0 && (h.EndsAt == 0 || h.EndsAt > at)
}

// ErrNoHold is wrapped when there is no such hold, or it was released before.
var ErrNoHold = errors.New("no such hold")

// Reach tells whom a hold covers: which of some contacts came from a source, and which of them a
// company has to do with.
type Reach struct {
	OfSource  func(ctx context.Context, q schema.Querier, source id.Source, contacts []id.Contact) ([]id.Contact, error)
	OfCompany func(ctx context.Context, q schema.Querier, company id.Company, contacts []id.Contact) ([]id.Contact, error)
}

// Holds keeps the legal holds. It is a HoldBook.
type Holds struct {
	db    *schema.DB
	reach Reach
	now   func() time.Time
}

// NewHolds returns the store.
func NewHolds(db *schema.DB, reach Reach, now func() time.Time) *Holds { return &Holds{db, reach, now} }

// Place puts a hold in force, in a transaction of the caller's or (nil) one of its own. Reference and
// reason are required; the error is an *Invalid.
func (s *Holds) Place(ctx context.Context, tx *schema.Tx, h Hold) (Hold, error) {
	now := schema.At(s.now())
	var e Invalid
	oneOf(&e, "scope", h.Scope, scopes)
	for scope, object := range map[Scope]int64{HoldContact: int64(h.Contact), HoldSource: int64(h.Source), HoldCompany: int64(h.Company)} {
		switch {
		case scope == h.Scope && object <= 0:
			e.add(string(scope), "is missing: say which")
		case scope != h.Scope && object != 0:
			e.add(string(scope), "is not what the scope says")
		}
	}
	e.line("reference", &h.Reference, "that of the case, letter or contract which the hold is for")
	e.line("reason", &h.Reason, "why the data is needed")
	e.unnamed("reference", h.Reference)
	e.unnamed("reason", h.Reason)
	e.line("actor", &h.Actor, "the name of who places the hold")
	if h.EndsAt != 0 && h.EndsAt <= now {
		e.add("ends_at", "is over: give a later time, or none")
	}
	if err := e.err(); err != nil {
		return Hold{}, err
	}
	h.CreatedAt, h.ReleasedAt = now, 0
	err := within(ctx, s.db, tx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &h.ID, `INSERT INTO holds (scope, object, reference, reason, actor, created_at, ends_at) VALUES `+schema.Rows(1, 7)+` RETURNING id`,
			h.Scope, h.object(), h.Reference, h.Reason, h.Actor, h.CreatedAt, h.EndsAt)
	})
	if err != nil {
		return Hold{}, fmt.Errorf("rights: place a hold: %w", err)
	}
	return h, nil
}

// Release ends a hold: what it covered goes at the next run, if its time is over.
func (s *Holds) Release(ctx context.Context, tx *schema.Tx, hold int64) error {
	return within(ctx, s.db, tx, func(tx *schema.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE holds SET released_at = ? WHERE id = ? AND released_at = 0`, schema.At(s.now()), hold)
		if err == nil && n == 0 {
			err = ErrNoHold
		}
		if err != nil {
			return fmt.Errorf("rights: release a hold: %w", err)
		}
		return nil
	})
}

// List returns every hold there was, the newest first; never nil.
func (s *Holds) List(ctx context.Context, q schema.Querier) ([]Hold, error) {
	return listHolds(ctx, q, `1 = 1`)
}

// Standing returns the holds in force, the newest first; never nil.
func (s *Holds) Standing(ctx context.Context, q schema.Querier) ([]Hold, error) {
	return listHolds(ctx, q, `released_at = 0 AND (ends_at = 0 OR ends_at > ?)`, schema.At(s.now()))
}

// Covers reports whether a hold covers the contact.
func (s *Holds) Covers(ctx context.Context, q schema.Querier, who id.Contact) (bool, error) {
	c, err := s.cover(ctx, q, []id.Contact{who})
	return c.contact(who), err
}

// cover is what the holds in force keep.
type cover struct {
	all       bool
	contacts  map[id.Contact]bool // of those asked for
	companies map[id.Company]bool
}

func (c cover) contact(who id.Contact) bool { return c.all || c.contacts[who] }

// cover asks for contacts all at once.
func (s *Holds) cover(ctx context.Context, q schema.Querier, contacts []id.Contact) (cover, error) {
	c := cover{contacts: map[id.Contact]bool{}, companies: map[id.Company]bool{}}
	all, err := listHolds(ctx, q, `released_at = 0 AND (ends_at = 0 OR ends_at > ?) AND scope <> 'contact'`, schema.At(s.now()))
	if err != nil {
		return c, err
	}
	for _, h := range all {
		var found []id.Contact
		switch h.Scope {
		case HoldAll:
			c.all = true
		case HoldSource:
			found, err = s.reach.OfSource(ctx, q, h.Source, contacts)
		case HoldCompany:
			c.companies[h.Company] = true
			found, err = s.reach.OfCompany(ctx, q, h.Company, contacts)
		}
		if err != nil {
			return c, fmt.Errorf("rights: whom a hold covers: %w", err)
		}
		for _, who := range found {
			c.contacts[who] = true
		}
	}
	if len(contacts) == 0 {
		return c, nil
	}
	args := []any{schema.At(s.now())}
	for _, who := range contacts {
		args = append(args, who)
	}
	one, err := listHolds(ctx, q, `released_at = 0 AND (ends_at = 0 OR ends_at > ?) AND scope = 'contact' AND object IN (`+schema.List(len(contacts))+`)`, args...)
	for _, h := range one {
		c.contacts[h.Contact] = true
	}
	return c, err
}

func (h *Hold) object() int64 {
	return int64(h.Contact) + int64(h.Source) + int64(h.Company) // two of them are zero
}

func listHolds(ctx context.Context, q schema.Querier, where string, args ...any) ([]Hold, error) {
	var rows []struct {
		ID         int64       `db:"id"`
		Scope      Scope       `db:"scope"`
		Object     int64       `db:"object"`
		Reference  string      `db:"reference"`
		Reason     string      `db:"reason"`
		Actor      string      `db:"actor"`
		CreatedAt  schema.Time `db:"created_at"`
		EndsAt     schema.Time `db:"ends_at"`
		ReleasedAt schema.Time `db:"released_at"`
	}
	if err := q.Select(ctx, &rows, `SELECT id, scope, object, reference, reason, actor, created_at, ends_at, released_at FROM holds WHERE `+where+` ORDER BY id DESC`, args...); err != nil {
		return nil, fmt.Errorf("rights: read holds: %w", err)
	}
	all := make([]Hold, len(rows))
	for i, r := range rows {
		all[i] = Hold{ID: r.ID, Scope: r.Scope, Reference: r.Reference, Reason: r.Reason, Actor: r.Actor, CreatedAt: r.CreatedAt, EndsAt: r.EndsAt, ReleasedAt: r.ReleasedAt}
		switch r.Scope {
		case HoldContact:
			all[i].Contact = id.Contact(r.Object)
		case HoldSource:
			all[i].Source = id.Source(r.Object)
		case HoldCompany:
			all[i].Company = id.Company(r.Object)
		}
	}
	return all, nil
}

// within runs fn in the transaction, or in one of its own for nil.
func within(ctx context.Context, db *schema.DB, tx *schema.Tx, fn func(tx *schema.Tx) error) error {
	if tx != nil {
		return fn(tx)
	}
	return db.Tx(ctx, fn)
}
