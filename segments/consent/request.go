package consent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Request records that somebody asked in the name of the contact for what the entry grants, and
// returns the request whose confirmation, within ttl, grants it. Until then nothing is allowed: the
// request may not even come from the person. A confirmation lifts a standing no.
func (l *Ledger) Request(ctx context.Context, tx *schema.Tx, e Entry, ttl time.Duration) (id.Request, error) {
	e.Action, e.Own = Request, false
	if _, err := l.Record(ctx, tx, e); err != nil {
		return 0, err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("consent: write request: %w", err)
	}
	now := schema.At(l.now())
	var r id.Request
	err = tx.Get(ctx, &r, `INSERT INTO consent_requests (contact, entry, requested_at, expires_at) VALUES (?, ?, ?, ?) RETURNING id`,
		e.Contact, string(body), now, now.Add(ttl))
	if err != nil {
		return 0, fmt.Errorf("consent: store request: %w", err)
	}
	return r, nil
}

// Requested is a double opt-in as a page shows it.
type Requested struct {
	Entry                           Entry
	RequestedAt, Expires, Confirmed schema.Time // Confirmed is zero while it waits
}

// Requested returns a request, or ErrNoEntry.
func (l *Ledger) Requested(ctx context.Context, q schema.Querier, r id.Request) (Requested, error) {
	var rows []struct {
		Contact   id.Contact  `db:"contact"`
		Entry     string      `db:"entry"`
		Requested schema.Time `db:"requested_at"`
		Expires   schema.Time `db:"expires_at"`
		Confirmed schema.Time `db:"confirmed_at"`
	}
	if err := q.Select(ctx, &rows, `SELECT contact, entry, requested_at, expires_at, confirmed_at FROM consent_requests WHERE id = ?`, r); err != nil {
		return Requested{}, fmt.Errorf("consent: read request: %w", err)
	}
	if len(rows) == 0 {
		return Requested{}, fmt.Errorf("consent: request: %w", ErrNoEntry)
	}
	v := Requested{RequestedAt: rows[0].Requested, Expires: rows[0].Expires, Confirmed: rows[0].Confirmed}
	if err := json.Unmarshal([]byte(rows[0].Entry), &v.Entry); err != nil {
		return Requested{}, fmt.Errorf("consent: request is not readable: %w", err)
	}
	v.Entry.Contact = rows[0].Contact
	return v, nil
}

// Confirm grants what was requested, as the person's own act: the caller has seen the confirmation
// come back from the address, by POST. A request can be confirmed once and in time; else ErrExpired.
func (l *Ledger) Confirm(ctx context.Context, tx *schema.Tx, r id.Request) (Result, error) {
	v, err := l.Requested(ctx, tx, r)
	if err != nil {
		return Result{}, err
	}
	now := schema.At(l.now())
	n, err := tx.Exec(ctx, `UPDATE consent_requests SET confirmed_at = ? WHERE id = ? AND confirmed_at = 0 AND expires_at > ?`, now, r, now)
	if err != nil {
		return Result{}, fmt.Errorf("consent: confirm: %w", err)
	}
	if n != 1 {
		return Result{}, fmt.Errorf("consent: confirm: %w", ErrExpired)
	}
	e := v.Entry
	e.Action, e.Own, e.Captured, e.Requested, e.Confirmed = Grant, true, 0, v.RequestedAt, now
	if e.How == ByImport {
		e.How = ByPage // the confirmation is the person's, whoever asked
	}
	return l.Record(ctx, tx, e)
}
