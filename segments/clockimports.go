package segments

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// expired is the problem of an import that did not end in time.
const expired = "it did not end within the time for which uploads are kept: send the file again; rows that were read stay"

// Aged returns up to limit imports, by identifier, those after the given one, of which copies are
// still held: rejected rows of imports that ended before an instant, and imports that began before
// it and have not ended. They tell of nobody.
func (s *Imports) Aged(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) (rows []struct {
	ID      int64
	Contact id.Contact
	Company id.Company
}, err error) {
	err = q.Select(ctx, &rows, `SELECT i.id, 0 AS contact, 0 AS company FROM imports i WHERE i.id > ? AND (
			i.status IN ('finished', 'failed') AND i.finished_at < ? AND EXISTS (SELECT 1 FROM import_rejects r WHERE r.import = i.id)
			OR i.status IN ('queued', 'running') AND i.created_at < ?) ORDER BY i.id LIMIT ?`, after, before, before, limit)
	if err != nil {
		return nil, fmt.Errorf("segments: which imports are old: %w", err)
	}
	return rows, nil
}

// rejectsAtOnce is how many rejected rows go in one transaction.
const rejectsAtOnce = 2000

// Clear removes the rejected rows of imports, and ends those that have not ended as failed, so that
// their uploads go; more says that there are rejected rows left.
func (s *Imports) Clear(ctx context.Context, tx *schema.Tx, imports []int64) (more bool, err error) {
	in, arg := amongIDs(tx.Dialect(), "import", imports)
	if _, err := tx.Exec(ctx, `UPDATE imports SET status = 'failed', problem = ?, finished_at = ? WHERE status IN ('queued', 'running') AND id IN (`+schema.List(len(imports))+`)`,
		append([]any{expired, schema.At(s.now())}, anys(imports)...)...); err != nil {
		return false, boundary("end old imports", err)
	}
	n, err := tx.Exec(ctx, `DELETE FROM import_rejects WHERE (import, line) IN (SELECT import, line FROM import_rejects WHERE `+in+` LIMIT ?)`, arg, rejectsAtOnce)
	return n == rejectsAtOnce, boundary("remove old rejects", err)
}

func anys(list []int64) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}
