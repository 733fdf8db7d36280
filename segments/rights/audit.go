package rights

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
)

// ErrEntry is wrapped when an entry is refused: it lacks who or what, or holds an address.
var ErrEntry = errors.New("audit entry refused")

// Entry is one thing that somebody did.
type Entry struct {
	Actor  string `db:"actor" json:"actor"`   // name of the token or operator
	Action string `db:"action" json:"action"` // noun.verb, such as contact.read
	Object string `db:"object" json:"object"` // the identifier acted on, never an address
	Ground Ground `db:"ground" json:"ground"`
	Detail string `db:"detail" json:"detail"`
}

// Record is an entry as the log holds it.
type Record struct {
	ID int64       `db:"id" json:"-"` // grows with time
	At schema.Time `db:"at" json:"at"`
	Entry
}

// ListOptions narrow a listing; empty fields leave it as it is.
type ListOptions struct {
	Actor  string
	Action string
	Object string
	Before int64 // ID of the last record already seen; zero: from the newest on
	Limit  int   // at most this many; zero: 100
}

// Audit is the log.
type Audit struct {
	db  *schema.DB
	now func() time.Time
}

// NewAudit returns the log kept in db.
func NewAudit(db *schema.DB, now func() time.Time) *Audit {
	return &Audit{db, now}
}

// Write appends an entry through q: a transaction, so that the entry shares its fate, or nil to
// have it committed when Write returns.
func (a *Audit) Write(ctx context.Context, q schema.Querier, e Entry) error {
	if e.Actor == "" || e.Action == "" {
		return fmt.Errorf("rights: %w: actor and action are required", ErrEntry)
	}
	if strings.Contains(e.Object, "@") || strings.Contains(e.Detail, "@") {
		return fmt.Errorf("rights: %w: %s holds an address", ErrEntry, e.Action)
	}
	if q == nil {
		q = a.db
	}
	_, err := q.Exec(ctx, `INSERT INTO audit_log (at, actor, action, object, ground, detail) VALUES (?, ?, ?, ?, ?, ?)`,
		schema.At(a.now()), e.Actor, e.Action, e.Object, e.Ground, e.Detail)
	if err != nil {
		return fmt.Errorf("rights: write %s to the audit log: %w", e.Action, err)
	}
	return nil
}

// List returns records, the newest first.
func (a *Audit) List(ctx context.Context, o ListOptions) ([]Record, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, v any) {
		where, args = append(where, condition), append(args, v)
	}
	if o.Actor != "" {
		add("actor = ?", o.Actor)
	}
	if o.Action != "" {
		add("action = ?", o.Action)
	}
	if o.Object != "" {
		add("object = ?", o.Object)
	}
	if o.Before != 0 {
		add("id < ?", o.Before)
	}
	if o.Limit <= 0 {
		o.Limit = 100
	}
	records := []Record{}
	err := a.db.Select(ctx, &records, `SELECT id, at, actor, action, object, ground, detail FROM audit_log
		WHERE `+strings.Join(where, " AND ")+` ORDER BY id DESC LIMIT ?`, append(args, o.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("rights: read the audit log: %w", err)
	}
	return records, nil
}
