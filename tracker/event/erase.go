package event

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// DeleteContact removes everything that says what the contact did: events, first opens and clicks,
// and the region. The counts stay; they name nobody. It is called in the transaction that erases
// the contact, before its messages are parted from it. Hits that are still in a spool find the
// messages without a contact, or the gate closed, and are dropped.
func DeleteContact(ctx context.Context, tx *schema.Tx, who id.Contact) error {
	if tx.Dialect() == schema.Postgres {
		// A drain that has asked the gate already must be done before its events are removed, and one
		// that has not must ask it afterwards.
		if _, err := tx.Exec(ctx, `LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("event: delete contact: %w", err)
		}
	}
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM message_links WHERE message IN (SELECT id FROM messages WHERE contact = ? UNION SELECT message FROM events WHERE contact = ?)`, []any{who, who}},
		{`UPDATE messages SET opened_at = 0 WHERE contact = ? AND opened_at <> 0`, []any{who}},
		{`DELETE FROM events WHERE contact = ?`, []any{who}},
		{`DELETE FROM contact_regions WHERE contact = ?`, []any{who}},
	} {
		if _, err := tx.Exec(ctx, s.query, s.args...); err != nil {
			return fmt.Errorf("event: delete contact: %w", err)
		}
	}
	return nil
}
