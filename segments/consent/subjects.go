package consent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"

	"beckon/schema"
	"beckon/schema/id"
)

// Contact is a contact as Register needs it.
type Contact struct {
	ID    id.Contact
	Email string
}

// Register makes new contacts known to the ledger. It must be called for each in the transaction
// that creates it: without it every use of the contact is refused. What suppresses the address, and
// the noes that wait for it, become the contact's own, as entries of the ledger, before anything
// else is recorded. Registering a contact twice is an error.
func (l *Ledger) Register(ctx context.Context, tx *schema.Tx, contacts []Contact) error {
	_, err := l.Enrol(ctx, tx, contacts, nil)
	return err
}

// Enrol registers new contacts and records entries of theirs, as Register and RecordMany do one
// after the other, at a good deal less cost. An entry of another contact is ErrNoEntry.
func (l *Ledger) Enrol(ctx context.Context, tx *schema.Tx, contacts []Contact, entries []Entry) ([]Result, error) {
	if err := lockAddresses(ctx, tx, false); err != nil {
		return nil, err
	}
	of := make(map[id.Contact][]int, len(entries))
	for i := range entries {
		of[entries[i].Contact] = append(of[entries[i].Contact], i)
	}
	results := make([]Result, len(entries))
	for len(contacts) > 0 {
		n := min(len(contacts), batch)
		if err := l.enrol(ctx, tx, contacts[:n], entries, of, results); err != nil {
			return nil, fmt.Errorf("consent: register: %w", err)
		}
		contacts = contacts[n:]
	}
	for _, list := range of {
		for _, i := range list {
			results[i].Err = fmt.Errorf("consent: %w: the contact is not among the new ones", ErrNoEntry)
		}
	}
	return results, nil
}

// enrol takes from of the entries that it records.
func (l *Ledger) enrol(ctx context.Context, tx *schema.Tx, contacts []Contact, entries []Entry, of map[id.Contact][]int, results []Result) error {
	subjects := make(map[id.Contact]*subject, len(contacts))
	hashes := make([][]byte, len(contacts))
	ids := newSubjects(len(contacts))
	for i, c := range contacts {
		var err error
		if hashes[i], err = l.hashOf(c.Email); err != nil {
			return err
		}
		subjects[c.ID] = &subject{contact: c.ID, id: ids[i], hash: hashes[i], head: []byte{}, model: newModel(), fresh: true}
	}
	inherited, err := l.inherit(ctx, tx, subjects)
	if err != nil {
		return err
	}
	var theirs []Entry
	var places []int // of theirs in entries; -1: ours
	for _, c := range contacts {
		for _, e := range inherited[c.ID] {
			theirs, places = append(theirs, e), append(places, -1)
		}
		for _, j := range of[c.ID] {
			theirs, places = append(theirs, entries[j]), append(places, j)
		}
		delete(of, c.ID)
	}
	rs := make([]Result, len(theirs))
	if err := l.record(ctx, tx, theirs, rs, subjects); err != nil {
		return err
	}
	for i, r := range rs {
		switch {
		case places[i] >= 0:
			results[places[i]] = r
		case r.Err != nil:
			return r.Err
		}
	}
	return nil
}

// inherit returns what waits for the addresses of new contacts and what suppresses them, as entries
// of theirs that the journal has already.
func (l *Ledger) inherit(ctx context.Context, tx *schema.Tx, subjects map[id.Contact]*subject) (map[id.Contact][]Entry, error) {
	hashes := make([][]byte, 0, len(subjects))
	for _, s := range subjects {
		hashes = append(hashes, s.hash)
	}
	noes, err := l.waiting(ctx, tx, hashes)
	if err != nil {
		return nil, err
	}
	found, err := suppressions(ctx, tx, hashes)
	if err != nil || len(noes)+len(found) == 0 {
		return nil, err
	}
	words, err := loadWords(ctx, tx)
	if err != nil {
		return nil, err
	}
	entries := map[id.Contact][]Entry{}
	for c, s := range subjects {
		by := found[string(s.hash)]
		theirs, told := s.taken(noes[string(s.hash)], words, by.At, schema.At(l.now()))
		for _, e := range blockEntries(c, by.Blocks&^told&^s.blocks, by.At) {
			if by.Blocks&BlockErased != 0 && e.How != byErasure {
				e.Captured = 0 // the list says when the erasure was, which is not when this was
			}
			e.Journaled = true
			theirs = append(theirs, e)
		}
		if len(theirs) > 0 {
			entries[c] = theirs
		}
	}
	return entries, dropWaiting(ctx, tx, noes)
}

// must records entries of this package's own making.
func (l *Ledger) must(ctx context.Context, tx *schema.Tx, entries []Entry) error {
	rs, err := l.RecordMany(ctx, tx, entries)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (l *Ledger) hashOf(email string) ([]byte, error) {
	n, err := NormaliseEmail(email)
	if err != nil {
		return nil, err
	}
	return l.hash.sum16([]byte(n)), nil
}

// newSubjects returns random subjects, none of which says anything about its contact. Those of one
// call lie together, in random order: the ledger shows anyway, by recorded_at, what was recorded
// together, and writing it in one place is what makes a large import fast.
func newSubjects(n int) []id.Subject {
	const room = 1 << 14
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	base := id.Subject(binary.BigEndian.Uint64(b[:]) >> 1 &^ (room - 1))
	if n == 1 {
		return []id.Subject{base | id.Subject(mrand.Int64N(room-1)+1)}
	}
	ids := make([]id.Subject, n)
	for i, p := range mrand.Perm(n) {
		ids[i] = base + id.Subject(p) + 1
	}
	return ids
}

// lockAddresses keeps an address from being registered and suppressed at once on PostgreSQL, where
// neither transaction would see the other's row. SQLite has one writer.
func lockAddresses(ctx context.Context, tx *schema.Tx, alone bool) error {
	if tx.Dialect() != schema.Postgres {
		return nil
	}
	call := "pg_advisory_xact_lock_shared"
	if alone {
		call = "pg_advisory_xact_lock"
	}
	if _, err := tx.Exec(ctx, `SELECT `+call+`(7310595044872189801)`); err != nil {
		return fmt.Errorf("consent: lock addresses: %w", err)
	}
	return nil
}

// Readdress tells the ledger that a contact has another address. What was refused from the old
// address stays refused, and what suppresses the new one, or waits for it, holds from now on.
func (l *Ledger) Readdress(ctx context.Context, tx *schema.Tx, who id.Contact, email string) error {
	if err := lockAddresses(ctx, tx, false); err != nil {
		return err
	}
	hash, err := l.hashOf(email)
	if err != nil {
		return err
	}
	subjects, err := lockSubjects(ctx, tx, []int64{int64(who)})
	if err != nil {
		return fmt.Errorf("consent: readdress: %w", err)
	}
	s := subjects[who]
	if s == nil {
		return fmt.Errorf("consent: readdress: %w", ErrNoEntry)
	}
	if _, err := tx.Exec(ctx, `UPDATE consent_subjects SET hash = ? WHERE contact = ?`, hash, who); err != nil {
		return fmt.Errorf("consent: readdress: %w", err)
	}
	s.hash = hash
	theirs, err := l.inherit(ctx, tx, subjects)
	if err != nil {
		return fmt.Errorf("consent: readdress: %w", err)
	}
	for i := range theirs[who] {
		theirs[who][i].Captured = 0 // the contact's from now on
	}
	if b := s.blocks & kept; b != 0 {
		now := schema.At(l.now())
		if err := l.suppressHash(ctx, tx, hash, b, now); err != nil {
			return fmt.Errorf("consent: readdress: %w", err)
		}
		if err := l.keep(ctx, []No{{Hash: hash, Action: Suppress, Block: b, How: bySuppression, At: now}}); err != nil {
			return fmt.Errorf("consent: readdress: %w", err)
		}
	}
	return l.must(ctx, tx, theirs[who])
}

// Forget takes a contact out of the consent tables, so that the contact itself can be deleted:
// state, tracking, evidence, requests and the subject's map go, the ledger's rows stay and name
// nobody. What suppressed the address goes on doing so, and leave (BlockErased, or zero) is added;
// BlockUnderAge leaves nothing at all. It must be called before the contact is deleted, and the
// journal is told: an erasure outlives the restore of an older database.
func (l *Ledger) Forget(ctx context.Context, tx *schema.Tx, who id.Contact, leave Block) error {
	subjects, err := lockSubjects(ctx, tx, []int64{int64(who)})
	if err != nil {
		return boundary("forget", err)
	}
	hash, at, err := l.addressOf(ctx, tx, who, subjects[who])
	if err != nil {
		return boundary("forget", err)
	}
	if hash != nil {
		if leave&BlockUnderAge != 0 {
			_, err = tx.Exec(ctx, `DELETE FROM suppressions WHERE hash = ?`, hash)
		} else if lent, lerr := l.lent(ctx, tx, subjects[who]); lerr != nil {
			err = lerr
		} else {
			err = l.suppressHash(ctx, tx, hash, (leave|lent)&kept, at)
		}
		if err == nil {
			err = dropWaiting(ctx, tx, map[string][]No{string(hash): nil})
		}
		if err != nil {
			return boundary("forget", err)
		}
	}
	if s := subjects[who]; s != nil {
		if _, err := tx.Exec(ctx, `DELETE FROM consent_evidence WHERE subject = ?`, s.id); err != nil {
			return boundary("forget", err)
		}
	}
	for _, table := range []string{"consent_requests", "consent_state", "consent_tracking", "consent_items", "consent_subjects"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE contact = ?`, who); err != nil {
			return boundary("forget", err)
		}
	}
	if hash == nil {
		return nil
	}
	how := byErasure
	if leave&BlockUnderAge != 0 {
		how = byAge
	}
	return boundary("forget", l.keep(ctx, []No{{Hash: hash, Action: Erase, Block: leave & (kept | BlockUnderAge), How: how, At: at}}))
}

// addressOf returns the hash of a contact's address, nil for a contact that is not there, and now,
// or when the contact was created if that is later: another node's clock may be ahead.
func (l *Ledger) addressOf(ctx context.Context, q schema.Querier, who id.Contact, s *subject) (hash []byte, now schema.Time, err error) {
	var rows []struct {
		Email   string      `db:"email"`
		Created schema.Time `db:"created_at"`
	}
	if err := q.Select(ctx, &rows, `SELECT email, created_at FROM contacts WHERE id = ?`, who); err != nil {
		return nil, 0, fmt.Errorf("read the address: %w", err)
	}
	now = schema.At(l.now())
	if len(rows) == 1 {
		now = max(now, rows[0].Created)
	}
	if s != nil {
		return s.hash, now, nil
	}
	if len(rows) == 1 {
		hash, err = l.hashOf(rows[0].Email)
	}
	return hash, now, err
}
