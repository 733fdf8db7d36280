package consent

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Suppressed returns which of the addresses are suppressed, by normalised address. An address that
// is none is left out.
func (l *Ledger) Suppressed(ctx context.Context, q schema.Querier, emails []string) (map[string]Block, error) {
	blocks := map[string]Block{}
	for len(emails) > 0 {
		n := min(len(emails), 2*batch)
		names, hashes := make([]string, 0, n), make([][]byte, 0, n)
		for _, e := range emails[:n] {
			if e, err := NormaliseEmail(e); err == nil {
				names, hashes = append(names, e), append(hashes, l.hash.sum16([]byte(e)))
			}
		}
		found, err := suppressions(ctx, q, hashes)
		if err != nil {
			return nil, fmt.Errorf("consent: read suppressions: %w", err)
		}
		for i, h := range hashes {
			if s, ok := found[string(h)]; ok {
				blocks[names[i]] = s.Blocks
			}
		}
		emails = emails[n:]
	}
	return blocks, nil
}

type suppression struct {
	Hash   []byte      `db:"hash"`
	Blocks Block       `db:"blocks"`
	At     schema.Time `db:"at"`
}

func suppressions(ctx context.Context, q schema.Querier, hashes [][]byte) (map[string]suppression, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	args := make([]any, len(hashes))
	for i, h := range hashes {
		args[i] = h
	}
	var list []suppression
	if err := q.Select(ctx, &list, `SELECT hash, blocks, at FROM suppressions WHERE hash IN (`+schema.List(len(args))+`)`, args...); err != nil {
		return nil, err
	}
	found := make(map[string]suppression, len(list))
	for _, s := range list {
		found[string(s.Hash)] = s
	}
	return found, nil
}

// Suppress forbids every use of an address, held or not, now and after any import. A contact who has
// it is blocked, with an entry in the ledger, and tracking ends. Doing it again changes nothing.
// BlockUnderAge and BlockRestricted concern contacts alone: of an address that is not held they
// leave nothing.
func (l *Ledger) Suppress(ctx context.Context, tx *schema.Tx, email string, b Block) error {
	return l.SuppressMany(ctx, tx, []string{email}, b)
}

// SuppressMany is Suppress for many addresses, with few statements. An address that is none is an
// error, and then the transaction must not be committed.
func (l *Ledger) SuppressMany(ctx context.Context, tx *schema.Tx, emails []string, b Block) error {
	if err := lockAddresses(ctx, tx, true); err != nil {
		return err
	}
	for len(emails) > 0 {
		n := min(len(emails), batch)
		if err := l.suppress(ctx, tx, emails[:n], b); err != nil {
			return fmt.Errorf("consent: suppress: %w", err)
		}
		emails = emails[n:]
	}
	return nil
}

func (l *Ledger) suppress(ctx context.Context, tx *schema.Tx, emails []string, b Block) error {
	hashes := make(map[string][]byte, len(emails)) // by normalised address
	var names []any
	for _, e := range emails {
		n, err := NormaliseEmail(e)
		if err != nil {
			return err
		}
		if hashes[n] == nil {
			hashes[n], names = l.hash.sum16([]byte(n)), append(names, n)
		}
	}
	var held []struct {
		Contact id.Contact `db:"contact"`
		Blocks  Block      `db:"blocks"`
		Email   string     `db:"email"`
	}
	err := tx.Select(ctx, &held, `SELECT s.contact, s.blocks, c.email FROM contacts c JOIN consent_subjects s ON s.contact = c.id
		WHERE c.email IN (`+schema.List(len(names))+`)`, names...)
	if err != nil {
		return err
	}
	var entries []Entry
	for _, h := range held {
		delete(hashes, h.Email)
		entries = append(entries, blockEntries(h.Contact, b&^h.Blocks, 0)...)
	}
	var noes []No
	if len(entries) > 0 {
		results := make([]Result, len(entries))
		if noes, err = l.write(ctx, tx, entries, results, nil); err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	if b &= kept; b != 0 {
		now, how := schema.At(l.now()), blockEntries(0, b, 0)[0].How
		list := make([]suppression, 0, len(hashes))
		for _, h := range hashes {
			list = append(list, suppression{h, b, now})
			noes = append(noes, No{Hash: h, Action: Suppress, Block: b, How: how, At: now})
		}
		if err := insert(ctx, tx, addTable, list, suppression.cells); err != nil {
			return err
		}
	}
	return l.keep(ctx, noes)
}

// addTable adds blocks to suppressions. Of an address that was erased the list says when that was,
// whatever else is added: see ErasedSince.
var addTable = table{"suppressions", []string{"hash", "blocks", "at"}, ` ON CONFLICT (hash) DO UPDATE SET blocks = suppressions.blocks | excluded.blocks,
	at = CASE WHEN suppressions.at > excluded.at OR (suppressions.blocks & 32) <> 0 AND (excluded.blocks & 32) = 0 THEN suppressions.at ELSE excluded.at END`}

func (s suppression) cells() []any { return []any{s.Hash, int64(s.Blocks), int64(s.At)} }

// suppressHash adds blocks to those of a suppressed address; none does nothing.
func (l *Ledger) suppressHash(ctx context.Context, tx *schema.Tx, hash []byte, b Block, at schema.Time) error {
	if b == 0 {
		return nil
	}
	return insert(ctx, tx, addTable, []suppression{{hash, b, at}}, suppression.cells)
}

// blockEntries returns the entries that put the blocks on a contact; blockOf reads them.
func blockEntries(who id.Contact, b Block, at schema.Time) []Entry {
	var es []Entry
	for _, k := range []struct {
		block  Block
		action Action
		how    How
	}{
		{BlockObjected, Object, bySuppression},
		{BlockComplained, Object, byComplaint},
		{BlockWithdrawn, Withdraw, bySuppression},
		{BlockErased, Withdraw, byErasure},
		{BlockRestricted, Restrict, bySuppression},
		{BlockBounced, Restrict, byBounce},
		{BlockUnderAge, Restrict, byAge},
	} {
		if b&k.block != 0 {
			es = append(es, Entry{Contact: who, Action: k.action, How: k.how, Captured: at, Actor: "beckon"})
		}
	}
	return es
}
