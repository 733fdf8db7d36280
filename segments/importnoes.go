package segments

import (
	"context"
	"strconv"

	"beckon/segments/consent"
)

// noes records one no for each row: in the ledger of a contact that is held, and against the
// address in any case.
func (w *chunkWrite) noes(ctx context.Context, rows []*importRow) error {
	w.outcome.Updated += int64(len(rows))
	emails := emailsOf(rows)
	block := map[string]consent.Block{AsWithdrawn: consent.BlockWithdrawn, AsObjected: consent.BlockObjected, AsBounced: consent.BlockBounced}[w.As]
	if w.As != AsBounced {
		held, err := contactsByEmail(ctx, w.tx, rows)
		if err != nil {
			return err
		}
		blocks, err := w.Ledger.Suppressed(ctx, w.tx, emails)
		if err != nil {
			return err
		}
		action := consent.Withdraw
		if w.As == AsObjected {
			action = consent.Object
		}
		var entries []consent.Entry
		for _, row := range rows {
			if old, ok := held[row.contact.Email]; ok && blocks[row.contact.Email]&block == 0 {
				e := consent.Entry{Contact: old.ID, Action: action, How: consent.ByImport, Actor: w.actor,
					Evidence: map[string]string{"import": w.Import.ID.String(), "line": strconv.FormatInt(row.line, 10)}}
				if row.at != 0 {
					e.Evidence["at"] = row.at.String()
				}
				entries = append(entries, e)
			}
		}
		if err := w.record(ctx, entries); err != nil {
			return err
		}
	}
	return w.Ledger.SuppressMany(ctx, w.tx, emails, block)
}
