package bounce

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Held is what is kept of a mail to a contact that came back.
type Held struct {
	ID         int64       `db:"id"`
	Message    id.Message  `db:"message"`
	Campaign   id.Campaign `db:"campaign"`
	Class      Class       `db:"class"`
	Status     string      `db:"status"`
	Code       int64       `db:"code"`
	Diagnostic string      `db:"diagnostic"`
	Way        Way         `db:"way"`
	At         schema.Time `db:"at"`
}

// HeldOf returns what is kept of a contact's mails that came back, the oldest first.
func HeldOf(ctx context.Context, q schema.Querier, who id.Contact) ([]Held, error) {
	var all []Held
	if err := q.Select(ctx, &all, `SELECT r.id, r.message, r.campaign, r.class, r.status, r.code, r.diagnostic, r.way, r.at
		FROM messages m JOIN returns r ON r.message = m.id WHERE m.contact = ? ORDER BY r.id`, who); err != nil {
		return nil, fmt.Errorf("bounce: returns of a contact: %w", err)
	}
	return all, nil
}

// Forget takes what servers said out of what is kept of a contact's mails, in the transaction that
// erases the contact and before queue.Forget parts the mails from it. That they came back stays, as
// part of their campaign's figures.
func Forget(ctx context.Context, tx *schema.Tx, who id.Contact) error {
	if _, err := tx.Exec(ctx, `UPDATE returns SET diagnostic = '' WHERE diagnostic <> '' AND message IN (SELECT id FROM messages WHERE contact = ?)`, who); err != nil {
		return fmt.Errorf("bounce: forget what servers said of a contact: %w", err)
	}
	return nil
}
