package consent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// batch is how many entries RecordMany writes with one set of statements.
const batch = 500

// LedgerOptions are what a Ledger needs beside the database.
type LedgerOptions struct {
	HashKey []byte           // never rotated: addresses are hashed and chains sealed under subkeys of it
	Now     func() time.Time // nil: the real clock
	Journal Journal          // keeps every no that is recorded outside the database, too; nil: nobody does
}

// Ledger records what contacts agree to and refuse, and keeps the state that follows. It is safe
// for concurrent use; on PostgreSQL two entries for one contact wait for each other.
type Ledger struct {
	db      *schema.DB
	now     func() time.Time
	journal Journal
	hash    *mac
	chain   *mac
	heads   *mac // of checkpoints
}

// NewLedger panics if the hash key is shorter than 16 bytes: every address that it suppressed would
// be lost with the next key.
func NewLedger(db *schema.DB, o LedgerOptions) *Ledger {
	if len(o.HashKey) < 16 {
		panic("consent: the hash key must have 16 bytes or more")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Ledger{db, o.Now, o.Journal, newMAC(o.HashKey, hashInfo), newMAC(o.HashKey, chainInfo), newMAC(o.HashKey, headsInfo)}
}

// Record appends an entry and brings the state up to date with it. An entry that does not change
// the state (Result.Outcome says why) is recorded all the same; after an error nothing is.
// ErrNotOwnAct answers a yes that neither an import nor the person's own act brought, over a no.
func (l *Ledger) Record(ctx context.Context, tx *schema.Tx, e Entry) (Result, error) {
	rs, err := l.RecordMany(ctx, tx, []Entry{e})
	if err != nil {
		return Result{}, err
	}
	return rs[0], rs[0].Err
}

// RecordMany is Record for many entries, in order. What is wrong with an entry is in its own
// result, and the others are recorded; the error is the database's, and then the transaction must
// not be committed.
func (l *Ledger) RecordMany(ctx context.Context, tx *schema.Tx, entries []Entry) ([]Result, error) {
	results := make([]Result, len(entries))
	for i := 0; i < len(entries); i += batch {
		j := min(i+batch, len(entries))
		if err := l.record(ctx, tx, entries[i:j], results[i:j], nil); err != nil {
			return nil, fmt.Errorf("consent: record: %w", err)
		}
	}
	return results, nil
}

// record writes up to one batch of entries and keeps the noes among them. The subjects are those of
// the entries; nil reads them.
func (l *Ledger) record(ctx context.Context, tx *schema.Tx, entries []Entry, results []Result, subjects map[id.Contact]*subject) error {
	noes, err := l.write(ctx, tx, entries, results, subjects)
	if err != nil {
		return err
	}
	return l.keep(ctx, noes)
}

// write is record without the journal; it returns the noes that are to be kept.
func (l *Ledger) write(ctx context.Context, tx *schema.Tx, entries []Entry, results []Result, subjects map[id.Contact]*subject) (noes []No, err error) {
	words, err := loadWords(ctx, tx)
	if err != nil {
		return nil, err
	}
	notices, err := noticeHashes(ctx, tx, entries)
	if err != nil {
		return nil, err
	}
	if subjects == nil {
		if subjects, err = lockSubjects(ctx, tx, contactsOf(entries)); err != nil {
			return nil, err
		}
	}
	w := writing{rows: make([]row, 0, len(entries))}
	now := schema.At(l.now())
	for i := range entries {
		e := &entries[i]
		r, salt, body, err := l.enter(ctx, tx, e, now, words, notices, subjects[e.Contact])
		if isRefusal(err) {
			results[i].Err = err
			continue
		}
		if err != nil {
			return nil, err
		}
		if salt != nil {
			w.evidence = append(w.evidence, evidence{r.Subject, r.Seq, salt, body})
		}
		w.rows = append(w.rows, r)
		results[i] = Result{Seq: r.Seq, Applied: r.applied(), Outcome: strings.TrimSuffix(r.Outcome, "-own")}
		if l.journal != nil && !e.Journaled {
			if n, ok := r.no(subjects[e.Contact].hash); ok {
				noes = append(noes, n)
			}
		}
	}
	for _, s := range subjects {
		w.take(s)
	}
	return noes, w.write(ctx, tx, now)
}

// isRefusal tells what is wrong with an entry from what is wrong with the database.
func isRefusal(err error) bool {
	var slug *ErrUnknownSlug
	for _, target := range []error{ErrNotOwnAct, ErrFuture, ErrUnknownNotice, ErrUnknownCompany, ErrEntry, ErrNoEntry} {
		if errors.Is(err, target) {
			return true
		}
	}
	return errors.As(err, &slug)
}

// enter applies an entry to the subject's model and returns the row to append.
func (l *Ledger) enter(ctx context.Context, tx *schema.Tx, e *Entry, now schema.Time, words *words, notices map[string]string, s *subject) (r row, salt []byte, body string, err error) {
	if err := e.check(now); err != nil {
		return r, nil, "", err
	}
	if s == nil {
		return r, nil, "", fmt.Errorf("consent: %w: the contact is not registered", ErrNoEntry)
	}
	r = row{
		Subject: s.id, Seq: s.seq + 1, Action: e.Action, Channel: e.Channel, Types: joined(e.Types), Topics: joined(e.Topics), Item: e.Item,
		Notice: e.Notice, How: e.How, Captured: min(e.Captured, now), Requested: e.Requested, Confirmed: e.Confirmed, Recorded: now, Actor: e.Actor, Evidence: []byte{},
	}
	if e.Tracking != nil {
		if r.Tracking = "no"; *e.Tracking {
			r.Tracking = "yes"
		}
	}
	if e.Company != 0 {
		if r.Company = words.slugs[e.Company]; r.Company == "" {
			return r, nil, "", fmt.Errorf("consent: %w", ErrUnknownCompany)
		}
	}
	var known bool
	if r.NoticeHash, known = notices[e.Notice]; !known && e.Notice != "" {
		if e.yes() && (e.Action == Grant || e.Action == Request) {
			return r, nil, "", fmt.Errorf("consent: %w %q", ErrUnknownNotice, e.Notice)
		}
		r.Notice = "" // a no is not lost over a wrong reference
	}
	a, err := words.act(&r)
	if err != nil {
		return r, nil, "", err
	}
	a.own = e.Own && e.How != ByImport
	a.strict = !e.Own && e.How != ByImport
	r.Outcome, err = s.model.applyAt(&a, e.Captured == 0, now)
	if errors.Is(err, errReplay) {
		m, rerr := l.replay(ctx, tx, s, words)
		if rerr != nil {
			return r, nil, "", fmt.Errorf("replay the ledger: %v", rerr) // unwrapped: it is not the entry's fault
		}
		s.model = m
		r.Outcome, err = s.model.applyAt(&a, e.Captured == 0, now)
	}
	if err != nil {
		return r, nil, "", err
	}
	if r.Captured = a.captured; a.own && r.Outcome == Applied {
		r.Outcome = appliedOwn
	}
	if len(e.Evidence) > 0 {
		if salt, body, r.Evidence, err = seal(e.Evidence); err != nil {
			return r, nil, "", err
		}
	}
	r.MAC = l.seal(&r, s.head)
	s.seq, s.head, s.dirty = r.Seq, r.MAC, true
	s.pending = append(s.pending, r)
	return r, salt, body, nil
}

// applyAt applies an act that happens now after everything on record, so that a yes recorded by a
// node whose clock is ahead cannot outlive a no that follows it.
func (m *model) applyAt(a *act, happensNow bool, now schema.Time) (string, error) {
	if happensNow {
		a.captured = max(now, m.newest())
	}
	return m.apply(a)
}

// seal salts evidence and returns salt, body and the hash for the ledger.
func seal(e map[string]string) (salt []byte, body string, sum []byte, err error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, "", nil, fmt.Errorf("consent: write evidence: %w", err)
	}
	salt = make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return salt, string(b), evidenceHash(salt, b), nil
}

func evidenceHash(salt, body []byte) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write(body)
	return h.Sum(nil)
}

// Lapse ends consents to types whose purpose is fulfilled. It is no refusal: the person may be asked
// again, and types that were withdrawn stay so. Of a single thing that was asked for, see Served.
func (l *Ledger) Lapse(ctx context.Context, tx *schema.Tx, who id.Contact, company id.Company, channel Channel, types []string, actor string) (Result, error) {
	if company == 0 || channel == "" || len(types) == 0 {
		return Result{}, fmt.Errorf("consent: lapse: %w: company, channel and types are required", ErrEntry)
	}
	return l.Record(ctx, tx, Entry{Contact: who, Action: Withdraw, Company: company, Channel: channel, Types: types, How: byServing, Actor: actor})
}

func contactsOf(entries []Entry) []int64 {
	ids := make([]int64, 0, len(entries))
	seen := make(map[id.Contact]bool, len(entries))
	for i := range entries {
		if c := entries[i].Contact; !seen[c] {
			seen[c] = true
			ids = append(ids, int64(c))
		}
	}
	return ids
}
