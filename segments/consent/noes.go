package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Apply records a no of the journal, unless this database has it: then it changes nothing, at the
// cost of one indexed query. It is recorded as said when it was said, so that a later yes of the
// person's own wins. The journal is not told again.
//
// The no of an address that is not held waits, and becomes an entry of the contact when it is
// created; one that refuses everything suppresses the address, too. A company or slug that this
// database does not hold is an error (ErrUnknownCompany, *ErrUnknownSlug): it was added since the
// backup and has to be added again. Erase is ErrEntry: see Find and ForgetHash.
func (l *Ledger) Apply(ctx context.Context, tx *schema.Tx, n No) error {
	if err := n.check(); err != nil {
		return err
	}
	for _, n := range n.single() {
		if err := l.apply(ctx, tx, n); err != nil {
			return fmt.Errorf("consent: apply a no of the journal: %w", err)
		}
	}
	return nil
}

// Applied reports whether Apply would find the no in this database and change nothing, so that a
// replay need not open a writing transaction for it.
func (l *Ledger) Applied(ctx context.Context, q schema.Querier, n No) (bool, error) {
	if err := n.check(); err != nil {
		return false, err
	}
	for _, n := range n.single() {
		if _, done, err := l.look(ctx, q, &n); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

// single returns a suppression as one for each of its blocks.
func (n *No) single() []No {
	if n.Action != Suppress {
		return []No{*n}
	}
	var list []No
	for _, r := range blockReasons {
		if one := *n; n.Block&r.block != 0 {
			one.Block = r.block
			list = append(list, one)
		}
	}
	return list
}

func (l *Ledger) apply(ctx context.Context, tx *schema.Tx, n No) error {
	_, done, err := l.look(ctx, tx, &n)
	if err != nil || done {
		return err
	}
	// What is found now stays so: nobody registers or suppresses the address, or applies the same no.
	if err := lockAddresses(ctx, tx, true); err != nil {
		return err
	}
	words, err := loadWords(ctx, tx)
	if err != nil {
		return err
	}
	if err := n.known(words); err != nil {
		return err
	}
	for range 2 {
		who, done, err := l.look(ctx, tx, &n)
		switch {
		case err != nil || done:
			return err
		case who == 0:
			return l.wait(ctx, tx, &n)
		}
		err = l.must(ctx, tx, n.entries(&subject{contact: who}, words))
		if !errors.Is(err, ErrNoEntry) { // forgotten meanwhile
			return err
		}
	}
	return ErrNoEntry
}

// look finds whose no it is, zero for an address that is not held, and whether it is done with.
func (l *Ledger) look(ctx context.Context, q schema.Querier, n *No) (who id.Contact, done bool, err error) {
	same, args := n.same()
	var held []struct {
		Contact id.Contact  `db:"contact"`
		Blocks  Block       `db:"blocks"`
		Created schema.Time `db:"created_at"`
		Done    bool        `db:"done"`
	}
	// An erasure covers whatever was said before it.
	err = q.Select(ctx, &held, `SELECT s.contact, s.blocks, c.created_at, EXISTS (SELECT 1 FROM consent_ledger h WHERE h.subject = s.subject AND
		(`+same+` OR h.captured_at >= ? AND h.action = 'withdraw' AND h.how = 'erasure' AND `+everything+`)) AS done
		FROM consent_subjects s JOIN contacts c ON c.id = s.contact WHERE s.hash = ? ORDER BY s.contact`, append(args, int64(n.At), n.Hash)...)
	if err != nil {
		return 0, false, fmt.Errorf("look for it: %w", err)
	}
	if len(held) == 0 {
		done, err = l.lookAway(ctx, q, n)
		return 0, done, err
	}
	s := held[0]
	if n.Action == Suppress {
		s.Done = s.Done || s.Blocks&n.Block != 0 || n.Block == BlockUnderAge && s.Created > n.At // that child is gone
	}
	return s.Contact, s.Done, nil
}

const everything = `h.company = '' AND h.channel = '' AND h.types = '' AND h.topics = '' AND h.item = ''`

// same returns the condition under which a row h of the ledger is this no. A block that was imposed
// later covers it, and so does the no that waited for an address and was taken over with it.
func (n *No) same() (sql string, args []any) {
	if n.Action == Suppress {
		e := blockEntries(0, n.Block, n.At)[0]
		return `h.captured_at >= ? AND h.action = ? AND h.how = ? AND ` + everything, []any{int64(n.At), string(e.Action), string(e.How)}
	}
	channel, tracking := n.Channel, ""
	if n.Tracking {
		tracking = "no"
	}
	if n.Action == Grant && channel == "" {
		channel = Email
	}
	sql = `(h.captured_at = ? OR h.captured_at > ? AND h.actor = ?) AND h.action = ? AND h.company = ? AND h.channel = ? AND h.tracking = ?`
	args = []any{int64(n.At), int64(n.At), journalActor, string(n.Action), n.Company, string(channel), tracking}
	if n.Action == Grant {
		return sql, args // whatever else it granted
	}
	return sql + ` AND h.types = ? AND h.topics = ? AND h.item = ?`, append(args, joined(n.Types), joined(n.Topics), n.Item)
}

// lookAway is look for an address that is not held.
func (l *Ledger) lookAway(ctx context.Context, q schema.Querier, n *No) (done bool, err error) {
	if n.Action == Suppress && n.Block == BlockUnderAge {
		return true, nil // it concerns contacts alone
	}
	found, err := suppressions(ctx, q, [][]byte{n.Hash})
	if err != nil {
		return false, fmt.Errorf("look for it: %w", err)
	}
	s, b := found[string(n.Hash)], n.block()&kept
	if s.At >= n.At && (s.Blocks&BlockErased != 0 || b != 0 && s.Blocks&b == b) {
		return true, nil
	}
	if n.Action == Suppress && b != 0 {
		return false, nil
	}
	body, err := n.body()
	if err != nil {
		return false, err
	}
	err = q.Get(ctx, &done, `SELECT EXISTS (SELECT 1 FROM consent_noes WHERE hash = ? AND at = ? AND entry = ?)`, n.Hash, int64(n.At), body)
	if err != nil {
		return false, fmt.Errorf("look for it: %w", err)
	}
	return done, nil
}

func (n *No) body() (string, error) {
	b, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("write a no: %w", err)
	}
	return string(b), nil
}

// wait keeps the no of an address that is not held.
func (l *Ledger) wait(ctx context.Context, tx *schema.Tx, n *No) error {
	if b := n.block() & kept; b != 0 {
		if err := l.suppressHash(ctx, tx, n.Hash, b, n.At); err != nil || n.Action == Suppress {
			return err
		}
	}
	body, err := n.body()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO consent_noes (hash, at, entry) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, n.Hash, int64(n.At), body); err != nil {
		return fmt.Errorf("keep it waiting: %w", err)
	}
	return nil
}

// waiting returns the noes that wait for addresses, the oldest first, by hash. Mostly there are none
// at all, which is cheap to find out.
func (l *Ledger) waiting(ctx context.Context, tx *schema.Tx, hashes [][]byte) (map[string][]No, error) {
	var some bool
	if err := tx.Get(ctx, &some, `SELECT EXISTS (SELECT 1 FROM consent_noes)`); err != nil || !some || len(hashes) == 0 {
		return nil, err
	}
	args := make([]any, len(hashes))
	for i, h := range hashes {
		args[i] = h
	}
	var rows []struct {
		Hash  []byte      `db:"hash"`
		At    schema.Time `db:"at"`
		Entry string      `db:"entry"`
	}
	if err := tx.Select(ctx, &rows, `SELECT hash, at, entry FROM consent_noes WHERE hash IN (`+schema.List(len(args))+`) ORDER BY at, entry`, args...); err != nil {
		return nil, fmt.Errorf("read waiting noes: %w", err)
	}
	found := map[string][]No{}
	for _, r := range rows {
		var n No
		if err := json.Unmarshal([]byte(r.Entry), &n); err != nil {
			n = No{} // not understood: see taken
		}
		n.Hash, n.At = r.Hash, r.At
		found[string(r.Hash)] = append(found[string(r.Hash)], n)
	}
	return found, nil
}

// taken returns the entries that make waiting noes the contact's own, and the blocks that they put
// on it since a time. What cannot be understood (any more) counts as an objection to everything.
func (s *subject) taken(noes []No, w *words, since, now schema.Time) (entries []Entry, blocks Block) {
	for _, n := range noes {
		if n.At >= since {
			blocks |= n.block()
		}
		n.At = min(n.At, now)
		if n.check() != nil || n.known(w) != nil {
			n = No{Hash: n.Hash, Action: Object, How: n.How, At: max(n.At, 1)}
		}
		entries = append(entries, n.entries(s, w)...)
	}
	return entries, blocks
}

// dropWaiting deletes noes that wait no longer.
func dropWaiting(ctx context.Context, tx *schema.Tx, noes map[string][]No) error {
	if len(noes) == 0 {
		return nil
	}
	var args []any
	for h := range noes {
		args = append(args, []byte(h))
	}
	if _, err := tx.Exec(ctx, `DELETE FROM consent_noes WHERE hash IN (`+schema.List(len(args))+`)`, args...); err != nil {
		return fmt.Errorf("delete noes that waited: %w", err)
	}
	return nil
}
