package segments

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// The states of an import.
const (
	ImportQueued   = "queued"
	ImportRunning  = "running"
	ImportFinished = "finished"
	ImportFailed   = "failed"
)

// What an import may record for each of its rows instead of a contact.
const (
	AsWithdrawn = "withdrawn"
	AsObjected  = "objected"
	AsBounced   = "bounced"
)

// Import is one file of contacts and what became of its rows:
// Rows = Created + Updated + Skipped + Rejected.
type Import struct {
	ID         id.Import        `json:"id"`
	Source     id.Source        `json:"source,omitzero"` // none: our own contacts
	As         string           `json:"as,omitempty"`
	Mapping    Mapping          `json:"mapping,omitempty"`
	Node       string           `json:"node,omitempty"`
	Status     string           `json:"status"`
	Problem    string           `json:"problem,omitempty"` // why it failed, and the remedy
	Rows       int64            `json:"rows"`
	Created    int64            `json:"created"`
	Updated    int64            `json:"updated"` // held already: blanks filled, origin and consent added; or a no recorded
	Skipped    int64            `json:"skipped"` // duplicates in the file and addresses that are blocked
	Rejected   int64            `json:"rejected"`
	Mailable   int64            `json:"mailable"` // of the rows that are contacts: can be mailed by email
	Reasons    map[string]int64 `json:"reasons"`  // why the others cannot
	CreatedAt  schema.Time      `json:"created_at"`
	FinishedAt schema.Time      `json:"finished_at"`
}

// NewImport is what an import is started with.
type NewImport struct {
	Source  id.Source // zero: our own contacts
	As      string    // empty, or the no that each row is
	Mapping Mapping
	Node    string // which node holds the uploaded file
}

// Imports stores the imports and what they rejected.
type Imports struct {
	db  *schema.DB
	now func() time.Time
}

// NewImports returns the store; now is the clock for created_at.
func NewImports(db *schema.DB, now func() time.Time) *Imports { return &Imports{db, now} }

// Create stores a queued import; *Invalid if the source is recalled or unknown, as is none of the
// noes, or the mapping names what is no field.
func (s *Imports) Create(ctx context.Context, n NewImport) (Import, error) {
	var e Invalid
	if n.As != "" {
		e.oneOf("as", n.As, AsWithdrawn, AsObjected, AsBounced)
	}
	n.Mapping.check(&e)
	if n.Source != 0 {
		switch src, err := getSource(ctx, s.db, `id = ?`, n.Source); {
		case isNotFound(err):
			e.add("source", "is not a known source: create it first")
		case err != nil:
			return Import{}, boundary("read source", err)
		case src.RecalledAt != 0:
			e.add("source", "is recalled: nothing more may come from it")
		}
	}
	if err := e.err(); err != nil {
		return Import{}, err
	}
	imp := Import{Source: n.Source, As: n.As, Mapping: n.Mapping, Node: n.Node, Status: ImportQueued,
		Reasons: map[string]int64{}, CreatedAt: schema.At(s.now())}
	mapping, err := json.Marshal(n.Mapping)
	if err != nil {
		return Import{}, fmt.Errorf("segments: write mapping: %w", err)
	}
	err = s.db.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &imp.ID, `INSERT INTO imports (source, as_no, mapping, node, status, created_at) VALUES `+schema.Rows(1, 6)+` RETURNING id`,
			n.Source, n.As, string(mapping), n.Node, ImportQueued, imp.CreatedAt)
	})
	return imp, boundary("create import", err)
}

// Get returns an import as far as it has come, or ErrNotFound.
func (s *Imports) Get(ctx context.Context, imp id.Import) (Import, error) {
	i, err := getImport(ctx, s.db, imp)
	return i, boundary("read import", err)
}

// Unfinished returns the imports of a node that are queued or were running, the oldest first: what
// a node that starts goes on with.
func (s *Imports) Unfinished(ctx context.Context, node string) ([]Import, error) {
	var ids []id.Import
	if err := s.db.Select(ctx, &ids, `SELECT id FROM imports WHERE node = ? AND status IN ('queued', 'running') ORDER BY id`, node); err != nil {
		return nil, boundary("list imports", err)
	}
	all := make([]Import, 0, len(ids))
	for _, i := range ids {
		imp, err := s.Get(ctx, i)
		if err != nil {
			return nil, err
		}
		all = append(all, imp)
	}
	return all, nil
}

// Fail ends an import for a reason that lies outside its file, such as a lost upload; problem says
// what was wrong and what to do.
func (s *Imports) Fail(ctx context.Context, imp id.Import, problem string) error {
	_, err := s.db.Exec(ctx, `UPDATE imports SET status = 'failed', problem = ?, finished_at = ? WHERE id = ? AND status IN ('queued', 'running')`,
		problem, schema.At(s.now()), imp)
	return boundary("fail import", err)
}

// Reject is a row that was not taken: rejected, or skipped. It never holds what the row held.
type Reject struct {
	Line   int64  `db:"line" json:"line"`
	Field  string `db:"field" json:"field"`
	Reason string `db:"reason" json:"reason"`
	Remedy string `db:"-" json:"remedy"`
}

// Rejects returns up to limit rows that were not taken after the given line, by line.
func (s *Imports) Rejects(ctx context.Context, imp id.Import, after int64, limit int) ([]Reject, error) {
	list := []Reject{}
	err := s.db.Select(ctx, &list, `SELECT line, field, reason FROM import_rejects WHERE import = ? AND line > ? ORDER BY line LIMIT ?`, imp, after, limit)
	for i := range list {
		list[i].Remedy = remedy(list[i].Reason)
	}
	return list, boundary("read rejects", err)
}

// WriteRejects writes the rows that were not taken as CSV: line, field, reason, remedy.
func (s *Imports) WriteRejects(ctx context.Context, imp id.Import, w io.Writer) error {
	return s.writeRejects(ctx, imp, w)
}

func getImport(ctx context.Context, q schema.Querier, imp id.Import) (Import, error) {
	var r struct {
		ID         id.Import   `db:"id"`
		Source     id.Source   `db:"source"`
		As         string      `db:"as_no"`
		Mapping    string      `db:"mapping"`
		Node       string      `db:"node"`
		Status     string      `db:"status"`
		Problem    string      `db:"problem"`
		Rows       int64       `db:"rows_read"`
		Created    int64       `db:"created"`
		Updated    int64       `db:"updated"`
		Skipped    int64       `db:"skipped"`
		Rejected   int64       `db:"rejected"`
		Mailable   int64       `db:"mailable"`
		Reasons    string      `db:"reasons"`
		CreatedAt  schema.Time `db:"created_at"`
		FinishedAt schema.Time `db:"finished_at"`
	}
	if err := q.Get(ctx, &r, `SELECT id, source, as_no, mapping, node, status, problem, rows_read, created, updated, skipped, rejected,
		mailable, reasons, created_at, finished_at FROM imports WHERE id = ?`, imp); err != nil {
		return Import{}, err
	}
	i := Import{r.ID, r.Source, r.As, nil, r.Node, r.Status, r.Problem, r.Rows, r.Created, r.Updated, r.Skipped, r.Rejected,
		r.Mailable, map[string]int64{}, r.CreatedAt, r.FinishedAt}
	if err := json.Unmarshal([]byte(r.Mapping), &i.Mapping); err != nil {
		return Import{}, fmt.Errorf("stored mapping: %w", err)
	}
	if err := json.Unmarshal([]byte(r.Reasons), &i.Reasons); err != nil {
		return Import{}, fmt.Errorf("stored reasons: %w", err)
	}
	return i, nil
}
