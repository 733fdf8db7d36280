package segments

import (
	"context"
	"database/sql"
	"errors"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// HoldIn returns the contact of an address, and makes one if there is none, for a request that has
// yet to be confirmed: nobody has shown yet that the address is theirs, so it is not one that the
// person gave us. CreateIn, once they have, says that they did. The address is normalised first.
func (s *Contacts) HoldIn(ctx context.Context, tx *schema.Tx, address string) (id.Contact, error) {
	var e Invalid
	email := e.email(address)
	if err := e.err(); err != nil {
		return 0, err
	}
	now := schema.At(s.now())
	var who id.Contact
	err := tx.Get(ctx, &who, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, ?, ?) ON CONFLICT (email) DO NOTHING RETURNING id`, email, now, now)
	if err == nil {
		return who, boundary("register contact", s.ledger.Register(ctx, tx, []consent.Contact{{ID: who, Email: email}}))
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, boundary("hold contact", err)
	}
	err = tx.Get(ctx, &who, `SELECT id FROM contacts WHERE email = ?`, email)
	return who, boundary("hold contact", err)
}
