package rights

import (
	"context"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Errors of a link that callers branch on.
var (
	ErrNoLink  = errors.New("no such link") // nor one for this purpose, or its contact was erased
	ErrUsed    = errors.New("the link was used")
	ErrExpired = errors.New("the link has expired")
	// ErrTooMany: so many links wait in the mailbox already that another would be a nuisance.
	ErrTooMany = errors.New("too many links were mailed")
)

// LinkPurpose says what a link is good for.
type LinkPurpose string

// The purposes.
const (
	ForDownload LinkPurpose = "download"
	ForErasure  LinkPurpose = "erase"
)

var linkPurposes = []LinkPurpose{ForDownload, ForErasure}

const (
	maxLinks = 3              // unused ones for a contact and a purpose in a day
	linkDay  = 24 * time.Hour // also the longest that a link is valid
)

// Link is a single-use link mailed to a contact's address: whoever opens it holds the mailbox.
type Link struct {
	Contact   id.Contact  `db:"contact"`
	Purpose   LinkPurpose `db:"purpose"`
	CreatedAt schema.Time `db:"created_at"`
	ExpiresAt schema.Time `db:"expires_at"`
	UsedAt    schema.Time `db:"used_at"`
}

// Link makes a link for a contact, and returns its number, which a signed token carries, and the
// instant in whole seconds from which it is not valid. ErrTooMany if three of the last 24 hours have
// not been used.
func (d *Desk) Link(ctx context.Context, tx *schema.Tx, who id.Contact, purpose LinkPurpose, ttl time.Duration) (id.Request, time.Time, error) {
	var e Invalid
	oneOf(&e, "purpose", purpose, linkPurposes)
	if err := e.err(); err != nil {
		return 0, time.Time{}, err
	}
	if who <= 0 {
		return 0, time.Time{}, fmt.Errorf("rights: %w", ErrNoContact)
	}
	if ttl < time.Second || ttl > linkDay {
		return 0, time.Time{}, fmt.Errorf("rights: a link is valid for a second to %s, not %s", linkDay, ttl)
	}
	if tx.Dialect() == schema.Postgres { // two at a time would not see each other's; SQLite has one writer
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(4163508917244105733)`); err != nil {
			return 0, time.Time{}, fmt.Errorf("rights: lock links: %w", err)
		}
	}
	now := schema.At(d.now())
	var waiting int
	if err := tx.Get(ctx, &waiting, `SELECT count(*) FROM rights_links WHERE contact = ? AND purpose = ? AND used_at = 0 AND created_at > ?`, who, purpose, now.Add(-linkDay)); err != nil {
		return 0, time.Time{}, fmt.Errorf("rights: count links: %w", err)
	}
	if waiting >= maxLinks {
		return 0, time.Time{}, fmt.Errorf("rights: link to %s: %w", purpose, ErrTooMany)
	}
	expires := d.now().UTC().Add(ttl).Truncate(time.Second) // as the token has it
	var r id.Request
	err := tx.Get(ctx, &r, `INSERT INTO rights_links (contact, purpose, created_at, expires_at) VALUES (?, ?, ?, ?) RETURNING id`, who, purpose, now, schema.At(expires))
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("rights: store a link: %w", err)
	}
	return r, expires, nil
}

// Use uses a link up for its own purpose, and returns whose it is: ErrNoLink, ErrUsed or ErrExpired.
// Of two that use it at a time one gets ErrUsed.
func (d *Desk) Use(ctx context.Context, tx *schema.Tx, r id.Request, purpose LinkPurpose) (id.Contact, error) {
	now := schema.At(d.now())
	n, err := tx.Exec(ctx, `UPDATE rights_links SET used_at = ? WHERE id = ? AND purpose = ? AND used_at = 0 AND expires_at > ?`, now, r, purpose, now)
	if err != nil {
		return 0, fmt.Errorf("rights: use a link: %w", err)
	}
	l, err := d.link(ctx, tx, r)
	switch {
	case err != nil:
		return 0, err
	case n == 1:
		return l.Contact, nil
	case l.Purpose != purpose:
		return 0, fmt.Errorf("rights: use a link: %w", ErrNoLink)
	}
	if err = l.problem(now); err == nil {
		err = ErrUsed // by another, between the two statements
	}
	return 0, fmt.Errorf("rights: use a link: %w", err)
}

// Peek returns a link that could be used, and uses it not: ErrNoLink, ErrUsed or ErrExpired.
func (d *Desk) Peek(ctx context.Context, q schema.Querier, r id.Request) (Link, error) {
	l, err := d.link(ctx, q, r)
	if err != nil {
		return Link{}, err
	}
	if err := l.problem(schema.At(d.now())); err != nil {
		return Link{}, fmt.Errorf("rights: look at a link: %w", err)
	}
	return l, nil
}

func (d *Desk) link(ctx context.Context, q schema.Querier, r id.Request) (Link, error) {
	var list []Link
	if err := q.Select(ctx, &list, `SELECT contact, purpose, created_at, expires_at, used_at FROM rights_links WHERE id = ?`, r); err != nil {
		return Link{}, fmt.Errorf("rights: read a link: %w", err)
	}
	if len(list) == 0 {
		return Link{}, fmt.Errorf("rights: read a link: %w", ErrNoLink)
	}
	return list[0], nil
}

func (l Link) problem(now schema.Time) error {
	switch {
	case l.UsedAt != 0:
		return ErrUsed
	case l.ExpiresAt <= now:
		return ErrExpired
	}
	return nil
}
