package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// ErrNoMessage is wrapped when there is no such message.
var ErrNoMessage = errors.New("no such message")

// Letter is a stored message as others may see it.
type Letter struct {
	Message  id.Message   `db:"id"`
	Campaign id.Campaign  `db:"campaign"`
	Contact  id.Contact   `db:"contact"` // zero once the contact is erased
	Via      id.Source    `db:"via"`
	Mode     consent.Mode `db:"mode"` // empty until sent
	Status   Status       `db:"status"`
	Reason   string       `db:"reason"`
	SentAt   schema.Time  `db:"sent_at"`
	OpenedAt schema.Time  `db:"opened_at"`
}

const letterColumns = `SELECT id, campaign, COALESCE(contact, 0) AS contact, via, mode, status, reason, sent_at, opened_at FROM messages`

// Lookup returns a message, or an error that wraps ErrNoMessage.
func Lookup(ctx context.Context, q schema.Querier, m id.Message) (Letter, error) {
	var l Letter
	err := q.Get(ctx, &l, letterColumns+` WHERE id = ?`, m)
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("queue: %s: %w", m, ErrNoMessage)
	}
	if err != nil {
		return l, fmt.Errorf("queue: look up %s: %w", m, err)
	}
	return l, nil
}

// Letters returns every message of a contact, the oldest first.
func Letters(ctx context.Context, q schema.Querier, who id.Contact) ([]Letter, error) {
	letters := []Letter{}
	if err := q.Select(ctx, &letters, letterColumns+` WHERE contact = ? ORDER BY id`, who); err != nil {
		return nil, fmt.Errorf("queue: messages of a contact: %w", err)
	}
	return letters, nil
}

// Forget parts a contact's messages from the contact, in the transaction that erases it: they stay as
// part of their campaign's figures and lead to nobody. Those not under way are skipped.
func Forget(ctx context.Context, tx *schema.Tx, who id.Contact) error {
	if _, err := tx.Exec(ctx, `UPDATE messages SET status = 'skipped', reason = ?, lease = '', lease_end = 0
		WHERE contact = ? AND status IN ('queued', 'deferred')`, ReasonErased, who); err != nil {
		return fmt.Errorf("queue: skip the messages of an erased contact: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE messages SET contact = NULL, epoch = 0, smtp_reply = '' WHERE contact = ?`, who); err != nil {
		return fmt.Errorf("queue: part the messages from an erased contact: %w", err)
	}
	return nil
}

// ByStatus returns up to limit messages of a campaign that are in the status, in the order of their
// ids, those after the given one: the unknown ones, say, for a person to decide on.
func ByStatus(ctx context.Context, q schema.Querier, c id.Campaign, status Status, after id.Message, limit int) ([]Letter, error) {
	letters := []Letter{}
	err := q.Select(ctx, &letters, letterColumns+` WHERE campaign = ? AND status = ? AND id > ? ORDER BY id LIMIT ?`, c, status, after, limit)
	if err != nil {
		return nil, fmt.Errorf("queue: list the messages of %s: %w", c, err)
	}
	return letters, nil
}
