package event

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Aged returns up to limit events that are older than before, by identifier, those after the given
// one: each with its contact and the company whose campaign it belongs to.
func Aged(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) (rows []struct {
	ID      int64
	Contact id.Contact
	Company id.Company
}, err error) {
	err = q.Select(ctx, &rows, `SELECT e.id, e.contact, COALESCE((SELECT g.company FROM campaigns g WHERE g.id = e.campaign), 0) AS company
		FROM events e WHERE e.at < ? AND e.id > ? ORDER BY e.id LIMIT ?`, before, after, limit)
	if err != nil {
		return nil, fmt.Errorf("event: what is old: %w", err)
	}
	return rows, nil
}

// Remove removes events. Counts and firsts stay. It never leaves more to do.
func Remove(ctx context.Context, tx *schema.Tx, events []int64) (more bool, err error) {
	return false, remove(ctx, tx, `DELETE FROM events WHERE id IN `, events)
}

// AgedRegions is Aged for the regions in which contacts clicked last; each goes by its contact.
func AgedRegions(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) (rows []struct {
	ID      int64
	Contact id.Contact
	Company id.Company
}, err error) {
	err = q.Select(ctx, &rows, `SELECT contact AS id, contact, 0 AS company FROM contact_regions WHERE at < ? AND contact > ? ORDER BY contact LIMIT ?`, before, after, limit)
	if err != nil {
		return nil, fmt.Errorf("event: which regions are old: %w", err)
	}
	return rows, nil
}

// RemoveRegions removes the regions of contacts.
func RemoveRegions(ctx context.Context, tx *schema.Tx, contacts []int64) (more bool, err error) {
	return false, remove(ctx, tx, `DELETE FROM contact_regions WHERE contact IN `, contacts)
}

func remove(ctx context.Context, tx *schema.Tx, query string, rows []int64) error {
	if len(rows) == 0 {
		return nil
	}
	args := make([]any, len(rows))
	for i, row := range rows {
		args[i] = row
	}
	if _, err := tx.Exec(ctx, query+`(`+schema.List(len(args))+`)`, args...); err != nil {
		return fmt.Errorf("event: remove what is old: %w", err)
	}
	return nil
}
