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

// Prune removes the events, and the regions of contacts, that are older than before, in short
// transactions, and returns how many events went. Counts and firsts stay.
func Prune(ctx context.Context, db *schema.DB, before schema.Time) (int64, error) {
	const chunk = 1000
	var removed int64
	for {
		var ids []id.Event
		if err := db.Select(ctx, &ids, `SELECT id FROM events WHERE at < ? ORDER BY id LIMIT ?`, before, chunk); err != nil {
			return removed, fmt.Errorf("event: prune: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		args := make([]any, len(ids))
		for i, e := range ids {
			args[i] = e
		}
		n, err := db.Exec(ctx, `DELETE FROM events WHERE id IN (`+schema.List(len(ids))+`)`, args...)
		if err != nil {
			return removed, fmt.Errorf("event: prune: %w", err)
		}
		removed += n
	}
	if _, err := db.Exec(ctx, `DELETE FROM contact_regions WHERE at < ?`, before); err != nil {
		return removed, fmt.Errorf("event: prune regions: %w", err)
	}
	return removed, nil
}
