package rights

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// ownSweepers look after the rows of this package. A request that is open is never due.
func ownSweepers() map[Purpose][]Sweeper {
	return map[Purpose][]Sweeper{
		PurposeRequests: {sweeper(`SELECT id, contact, company FROM rights_requests WHERE status <> 'open' AND closed_at < ? AND id > ? ORDER BY id LIMIT ?`,
			`DELETE FROM rights_requests WHERE id IN `, false)},
		PurposeSupport: {sweeper(`SELECT id, contact, 0 AS company FROM rights_links WHERE expires_at < ? AND id > ? ORDER BY id LIMIT ?`,
			`DELETE FROM rights_links WHERE id IN `, true)},
		PurposeSecurityLog: {logSweeper()},
	}
}

func sweeper(aged, remove string, theirs bool) Sweeper {
	return Sweeper{
		Aged: func(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) ([]Aged, error) {
			var rows []Aged
			err := q.Select(ctx, &rows, aged, before, after, limit)
			return rows, err
		},
		Remove: func(ctx context.Context, tx *schema.Tx, rows []int64) (bool, error) {
			return false, removeRows(ctx, tx, remove, rows)
		},
		Theirs: theirs,
	}
}

// logSweeper looks after the audit log. The database refuses to delete entries that are younger than
// a year. An entry tells of the contact that it names.
func logSweeper() Sweeper {
	s := sweeper("", `DELETE FROM audit_log WHERE id IN `, false)
	s.Aged = func(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) ([]Aged, error) {
		var rows []struct {
			ID     int64  `db:"id"`
			Object string `db:"object"`
		}
		if err := q.Select(ctx, &rows, `SELECT id, object FROM audit_log WHERE at < ? AND id > ? ORDER BY id LIMIT ?`, before, after, limit); err != nil {
			return nil, err
		}
		all := make([]Aged, len(rows))
		for i, r := range rows {
			all[i].ID = r.ID
			all[i].Contact, _ = id.Parse[id.Contact](r.Object)
			all[i].Company, _ = id.Parse[id.Company](r.Object)
		}
		return all, nil
	}
	return s
}

func removeRows(ctx context.Context, tx *schema.Tx, remove string, rows []int64) error {
	args := make([]any, len(rows))
	for i, row := range rows {
		args[i] = row
	}
	if _, err := tx.Exec(ctx, remove+`(`+schema.List(len(args))+`)`, args...); err != nil {
		return fmt.Errorf("rights: sweep: %w", err)
	}
	return nil
}
