package segments

import (
	"context"

	"beckon/schema"
	"beckon/schema/id"
)

// recallChunk keeps a transaction under 20 ms on SQLite.
const recallChunk = 50

// Recall ends a source and every origin it gave, for good, and the consents that nothing but its
// imports brought, or those of sources recalled before: from the next message on none of its contacts is
// mailed as its contact. Other origins of the same people stand, and so does what they agreed to
// themselves or an origin not recalled vouched for. It answers how many origins ended now. A second recall changes nothing, or goes on
// where a first one was cut off.
func (s *Sources) Recall(ctx context.Context, slug string) (Source, int64, error) {
	var src Source
	var imports []string
	err := s.db.Tx(ctx, func(tx *schema.Tx) (err error) {
		if src, err = getSource(ctx, tx, `slug = ?`, slug); err != nil {
			return err
		}
		if src.RecalledAt == 0 {
			src.RecalledAt = schema.At(s.now())
			// The source's own mark is what the gate reads first: it ends all origins in one short
			// statement, and no import of the source writes anything after it.
			if _, err := tx.Exec(ctx, `UPDATE sources SET recalled_at = ? WHERE id = ?`, src.RecalledAt, src.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		imports, err = s.recalledImporters(ctx)
	}
	var ended int64
	for after, more := id.Contact(0), true; err == nil && more; {
		var n int64
		if after, n, err = s.recallAfter(ctx, src, after, imports); err == nil {
			ended, more = ended+n, after != 0
		}
	}
	return src, ended, boundary("recall source", err)
}

// recallAfter ends the origins of the next contacts of a source, and returns the last of them, or
// zero after the last of all, and how many origins it ended.
func (s *Sources) recallAfter(ctx context.Context, src Source, after id.Contact, imports []string) (last id.Contact, ended int64, err error) {
	err = s.db.Tx(ctx, func(tx *schema.Tx) error {
		last, ended = 0, 0
		var list []id.Contact
		if err := tx.Select(ctx, &list, `SELECT contact FROM contact_sources WHERE source = ? AND contact > ? AND recalled_at = 0 ORDER BY contact LIMIT ?`,
			src.ID, after, recallChunk); err != nil || len(list) == 0 {
			return err
		}
		if len(list) == recallChunk {
			last = list[len(list)-1]
		}
		if err := s.ledger.EndGrants(ctx, tx, list, imports, "recall of "+src.ID.String()); err != nil {
			return err
		}
		where, arg := amongIDs(tx.Dialect(), "contact", list)
		ended, err = tx.Exec(ctx, `UPDATE contact_sources SET recalled_at = ? WHERE source = ? AND recalled_at = 0 AND `+where, src.RecalledAt, src.ID, arg)
		return err
	})
	return last, ended, err
}

// recalledImporters returns what the ledger calls the imports of all recalled sources.
func (s *Sources) recalledImporters(ctx context.Context) ([]string, error) {
	var list []id.Import
	err := s.db.Select(ctx, &list, `SELECT i.id FROM imports i JOIN sources s ON s.id = i.source WHERE s.recalled_at <> 0
		UNION SELECT o.import FROM contact_sources o JOIN sources s ON s.id = o.source WHERE s.recalled_at <> 0 AND o.import <> 0 ORDER BY 1`)
	names := make([]string, len(list))
	for i, imp := range list {
		names[i] = importer(imp)
	}
	return names, err
}

// importer is what the ledger calls an import: the actor of the entries that it records.
func importer(imp id.Import) string { return "import " + imp.String() }
