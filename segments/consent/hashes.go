package consent

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Find returns the contact whose address has a hash, and when it was created, or ErrNoEntry. An
// erasure that was recorded before the contact was created was another one's.
func (l *Ledger) Find(ctx context.Context, q schema.Querier, hash []byte) (who id.Contact, created schema.Time, err error) {
	var held []struct {
		Contact id.Contact  `db:"contact"`
		Created schema.Time `db:"created_at"`
	}
	err = q.Select(ctx, &held, `SELECT s.contact, c.created_at FROM consent_subjects s JOIN contacts c ON c.id = s.contact WHERE s.hash = ? ORDER BY s.contact`, hash)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("consent: find: %w", err)
	case len(held) == 0:
		return 0, 0, fmt.Errorf("consent: find: %w", ErrNoEntry)
	}
	return held[0].Contact, held[0].Created, nil
}

// SuppressHash is Suppress for an address of which only the hash is known. The journal is not told.
func (l *Ledger) SuppressHash(ctx context.Context, tx *schema.Tx, hash []byte, b Block) error {
	if err := lockAddresses(ctx, tx, true); err != nil {
		return err
	}
	var held []struct {
		Contact id.Contact `db:"contact"`
		Blocks  Block      `db:"blocks"`
	}
	if err := tx.Select(ctx, &held, `SELECT contact, blocks FROM consent_subjects WHERE hash = ?`, hash); err != nil {
		return fmt.Errorf("consent: suppress: %w", err)
	}
	if len(held) == 0 {
		if err := l.suppressHash(ctx, tx, hash, b&kept, schema.At(l.now())); err != nil {
			return fmt.Errorf("consent: suppress: %w", err)
		}
		return nil
	}
	for _, h := range held {
		entries := blockEntries(h.Contact, b&^h.Blocks, 0)
		for i := range entries {
			entries[i].Journaled = true
		}
		if err := l.must(ctx, tx, entries); err != nil {
			return fmt.Errorf("consent: suppress: %w", err)
		}
	}
	return nil
}

// ErasedSince reports whether this database knows of an erasure of the address at that time or after
// it: it is suppressed for that. An erasure that left no suppression is not known.
func (l *Ledger) ErasedSince(ctx context.Context, q schema.Querier, hash []byte, at schema.Time) (bool, error) {
	found, err := suppressions(ctx, q, [][]byte{hash})
	if err != nil {
		return false, fmt.Errorf("consent: erased since: %w", err)
	}
	s := found[string(hash)]
	return s.Blocks&BlockErased != 0 && s.At >= at, nil
}

// ForgetHash does for an address that is not held what Forget did when the contact was erased at that
// time: leave suppresses it, which takes the place of the noes that waited until then; BlockUnderAge
// leaves nothing of what was kept until then. Without leave nothing changes: what somebody refused
// outlives the end of a retention period. Doing it again changes nothing, nor does it for an address
// that is held: Forget is for that. The journal is not told.
func (l *Ledger) ForgetHash(ctx context.Context, tx *schema.Tx, hash []byte, leave Block, at schema.Time) error {
	if leave == 0 {
		return nil
	}
	if err := lockAddresses(ctx, tx, true); err != nil {
		return err
	}
	var held bool
	if err := tx.Get(ctx, &held, `SELECT EXISTS (SELECT 1 FROM consent_subjects WHERE hash = ?)`, hash); err != nil || held {
		return boundary("forget", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM consent_noes WHERE hash = ? AND at <= ?`, hash, int64(at)); err != nil {
		return boundary("forget", err)
	}
	if leave&BlockUnderAge != 0 {
		_, err := tx.Exec(ctx, `DELETE FROM suppressions WHERE hash = ? AND at <= ?`, hash, int64(at))
		return boundary("forget", err)
	}
	return boundary("forget", l.suppressHash(ctx, tx, hash, leave&kept, at))
}

func boundary(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("consent: %s: %w", what, err)
}
