package rights

import (
	"context"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Extension is a written decision to keep data longer than its rule says: everything of a purpose,
// or one contact (for a purpose, or, when that is empty, for all).
type Extension struct {
	ID        int64       `db:"id" json:"id"`
	Purpose   Purpose     `db:"purpose" json:"purpose"`
	Contact   id.Contact  `db:"contact" json:"contact,omitzero"`
	Until     schema.Time `db:"until" json:"until"`
	Reference string      `db:"reference" json:"reference"` // of the document that says so
	Actor     string      `db:"actor" json:"actor"`
	CreatedAt schema.Time `db:"created_at" json:"created_at"`
}

var (
	// ErrNoReference is wrapped when an extension does not say where it is written.
	ErrNoReference = errors.New("an extension needs the reference of the document that says so")
	// ErrNoExtension is wrapped when there is no such extension, or it is over.
	ErrNoExtension = errors.New("no such extension")
)

// Extensions keeps the written extensions.
type Extensions struct {
	db  *schema.DB
	now func() time.Time
}

// NewExtensions returns the store.
func NewExtensions(db *schema.DB, now func() time.Time) *Extensions { return &Extensions{db, now} }

// Extend puts an extension in force, in a transaction of the caller's or (nil) one of its own. The
// error is an *Invalid; without a reference it wraps ErrNoReference too.
func (s *Extensions) Extend(ctx context.Context, tx *schema.Tx, x Extension) (Extension, error) {
	now := schema.At(s.now())
	var e Invalid
	var missing error
	known := x.Purpose == "" && x.Contact > 0
	for _, r := range rules {
		known = known || r.Purpose == x.Purpose
	}
	if !known {
		e.add("purpose", unknownPurpose(x.Purpose).Fields[0].Message)
	}
	if x.Contact < 0 {
		e.add("contact", "is none")
	}
	if e.line("reference", &x.Reference, "that of the document which says so"); x.Reference == "" {
		missing = fmt.Errorf("rights: %w", ErrNoReference)
	}
	e.unnamed("reference", x.Reference)
	e.line("actor", &x.Actor, "the name of who extends")
	if x.Until <= now {
		e.add("until", "is over or missing: give the time until which the data is kept")
	}
	if err := e.err(); err != nil {
		return Extension{}, errors.Join(err, missing)
	}
	x.CreatedAt = now
	err := within(ctx, s.db, tx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &x.ID, `INSERT INTO retention_extensions (purpose, contact, until, reference, actor, created_at) VALUES `+schema.Rows(1, 6)+` RETURNING id`,
			x.Purpose, x.Contact, x.Until, x.Reference, x.Actor, x.CreatedAt)
	})
	if err != nil {
		return Extension{}, fmt.Errorf("rights: extend: %w", err)
	}
	return x, nil
}

// End takes an extension back.
func (s *Extensions) End(ctx context.Context, tx *schema.Tx, extension int64) error {
	now := schema.At(s.now())
	return within(ctx, s.db, tx, func(tx *schema.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE retention_extensions SET until = ? WHERE id = ? AND until > ?`, now, extension, now)
		if err == nil && n == 0 {
			err = ErrNoExtension
		}
		if err != nil {
			return fmt.Errorf("rights: end an extension: %w", err)
		}
		return nil
	})
}

// List returns every extension there was, the newest first; never nil.
func (s *Extensions) List(ctx context.Context, q schema.Querier) ([]Extension, error) {
	return listExtensions(ctx, q, `1 = 1`)
}

// Standing returns the extensions in force, the newest first; never nil.
func (s *Extensions) Standing(ctx context.Context, q schema.Querier) ([]Extension, error) {
	return listExtensions(ctx, q, `until > ?`, schema.At(s.now()))
}

func listExtensions(ctx context.Context, q schema.Querier, where string, args ...any) ([]Extension, error) {
	all := []Extension{}
	if err := q.Select(ctx, &all, `SELECT id, purpose, contact, until, reference, actor, created_at FROM retention_extensions WHERE `+where+` ORDER BY id DESC`, args...); err != nil {
		return nil, fmt.Errorf("rights: read extensions: %w", err)
	}
	return all, nil
}

// extended tells which of some contacts are kept for a purpose by an extension; zero stands for
// what is nobody's.
func extended(ctx context.Context, q schema.Querier, p Purpose, contacts []id.Contact, now schema.Time) (func(id.Contact) bool, error) {
	args := []any{now, p, 0}
	for _, who := range contacts {
		args = append(args, who)
	}
	list, err := listExtensions(ctx, q, `until > ? AND purpose IN (?, '') AND contact IN (`+schema.List(len(args)-2)+`)`, args...)
	if err != nil {
		return nil, err
	}
	whole, one := false, map[id.Contact]bool{}
	for _, x := range list {
		whole = whole || x.Contact == 0
		one[x.Contact] = true
	}
	return func(who id.Contact) bool { return whole || who != 0 && one[who] }, nil
}
