package rights

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Errors of the inbox that callers branch on.
var (
	// ErrNoRequest: there is no such request.
	ErrNoRequest = errors.New("no such request")
	// ErrSettled: the request is closed, and stays as it is.
	ErrSettled = errors.New("the request is closed")
)

// Status says how far a request is.
type Status string

// The statuses.
const (
	Open    Status = "open"
	Done    Status = "done"
	Refused Status = "refused" // the person was told why, and where to complain (GDPR Art. 12(4))
)

// Request is what somebody asks of us about their data, however it reached us.
type Request struct {
	ID             id.Request  `db:"id" json:"id"`
	Kind           Right       `db:"kind" json:"kind"`
	Channel        Channel     `db:"channel" json:"channel"`
	Company        id.Company  `db:"company" json:"company,omitzero"` // none: all of them
	Contact        id.Contact  `db:"contact" json:"contact,omitzero"` // none: somebody we do not hold, or not any more
	Detail         string      `db:"detail" json:"detail"`            // in the person's words
	Reference      string      `db:"reference" json:"reference"`      // of a ticket, letter or call
	ReceivedAt     schema.Time `db:"received_at" json:"received_at"`
	DueAt          schema.Time `db:"due_at" json:"due_at"`
	AcknowledgeBy  schema.Time `db:"-" json:"acknowledge_by"` // null: no date is set for it
	AcknowledgedAt schema.Time `db:"acknowledged_at" json:"acknowledged_at"`
	Extension      string      `db:"extension" json:"extension"` // why DueAt was put off, as the person was told
	Status         Status      `db:"status" json:"status"`
	Outcome        string      `db:"outcome" json:"outcome"`
	HandledBy      string      `db:"handled_by" json:"handled_by"` // who did the latest to it
	ClosedAt       schema.Time `db:"closed_at" json:"closed_at"`
	Overdue        bool        `db:"-" json:"overdue"` // open, and past the time for the answer or the acknowledgement
}

const requestColumns = `id, kind, channel, company, contact, detail, reference, received_at, due_at, acknowledged_at, extension, status, outcome, handled_by, closed_at`

// judge fills in what follows from the rest at an instant.
func (r *Request) judge(now schema.Time) {
	r.AcknowledgeBy = schema.At(AcknowledgeBy(r.Kind, r.ReceivedAt.T()))
	r.Overdue = r.Status == Open && (r.DueAt < now || r.AcknowledgeBy != 0 && r.AcknowledgedAt == 0 && r.AcknowledgeBy < now)
}

// NewRequest is what the inbox takes.
type NewRequest struct {
	Kind       Right       `json:"kind"`
	Channel    Channel     `json:"channel"`
	Company    id.Company  `json:"company"`
	Contact    id.Contact  `json:"contact"`
	Detail     string      `json:"detail"`
	Reference  string      `json:"reference"`   // outlives the person's data: no names
	ReceivedAt schema.Time `json:"received_at"` // when it reached us, not when it was typed in; null: now
	Actor      string      `json:"-"`           // who takes it
}

// Requests is the inbox for what people ask. Each change is in the audit log, in the same transaction.
type Requests struct {
	db    *schema.DB
	audit *Audit
	now   func() time.Time
}

// NewRequests returns the inbox kept in db.
func NewRequests(db *schema.DB, audit *Audit, now func() time.Time) *Requests {
	return &Requests{db, audit, now}
}

// Open takes a request and says by when it is due. The error is an *Invalid for a field at fault.
func (s *Requests) Open(ctx context.Context, tx *schema.Tx, n NewRequest) (Request, error) {
	now := schema.At(s.now())
	var e Invalid
	oneOf(&e, "kind", n.Kind, Rights)
	oneOf(&e, "channel", n.Channel, channels)
	e.text("detail", &n.Detail)
	e.line("reference", &n.Reference, "")
	e.unnamed("reference", n.Reference)
	switch {
	case n.ReceivedAt == 0:
		n.ReceivedAt = now
	case n.ReceivedAt > now:
		e.add("received_at", "lies in the future: give when the request reached us")
	case n.ReceivedAt < 0:
		e.add("received_at", "lies too far back: give when the request reached us")
	}
	if err := e.err(); err != nil {
		return Request{}, err
	}
	r := Request{Kind: n.Kind, Channel: n.Channel, Company: n.Company, Contact: n.Contact, Detail: n.Detail, Reference: n.Reference,
		ReceivedAt: n.ReceivedAt, DueAt: schema.At(Due(n.Kind, n.Channel, n.ReceivedAt.T())), Status: Open, HandledBy: n.Actor}
	err := tx.Get(ctx, &r.ID, `INSERT INTO rights_requests (kind, channel, company, contact, detail, reference, received_at, due_at, status, handled_by)
		VALUES `+schema.Rows(1, 10)+` RETURNING id`, r.Kind, r.Channel, r.Company, r.Contact, r.Detail, r.Reference, r.ReceivedAt, r.DueAt, r.Status, r.HandledBy)
	if err != nil {
		return Request{}, fmt.Errorf("rights: take a request: %w", err)
	}
	r.judge(now)
	return r, s.tell(ctx, tx, n.Actor, "request.open", r.ID, string(r.Kind)+" by "+string(r.Channel))
}

// Get returns a request, or ErrNoRequest.
func (s *Requests) Get(ctx context.Context, q schema.Querier, which id.Request) (Request, error) {
	var r Request
	err := q.Get(ctx, &r, `SELECT `+requestColumns+` FROM rights_requests WHERE id = ?`, which)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("rights: %s: %w", which, ErrNoRequest)
	}
	if err != nil {
		return r, fmt.Errorf("rights: read %s: %w", which, err)
	}
	r.judge(schema.At(s.now()))
	return r, nil
}

// ListRequests narrow a listing; empty fields leave it as it is.
type ListRequests struct {
	Overdue bool // alone those that are, for the answer or the acknowledgement
	Status  Status
	Kind    Right
	Contact id.Contact
	Company id.Company
	// The last request already seen: its DueAt and ID. Zero: from the start.
	AfterDue schema.Time
	AfterID  id.Request
	Limit    int // at most this many; zero: 100
}

// List returns requests, those first that are due first.
func (s *Requests) List(ctx context.Context, o ListRequests) ([]Request, error) {
	now := schema.At(s.now())
	where, args := []string{"1 = 1"}, []any{}
	add := func(asked bool, condition string, v ...any) {
		if asked {
			where, args = append(where, condition), append(args, v...)
		}
	}
	add(o.Overdue, `status = 'open' AND (due_at < ? OR kind = 'complaint' AND acknowledged_at = 0 AND received_at < ?)`, now, schema.At(now.T().AddDate(0, 0, -acknowledgeDays)))
	add(o.Status != "", `status = ?`, o.Status)
	add(o.Kind != "", `kind = ?`, o.Kind)
	add(o.Contact != 0, `contact = ?`, o.Contact)
	add(o.Company != 0, `company = ?`, o.Company)
	add(o.AfterID != 0, `(due_at > ? OR due_at = ? AND id > ?)`, o.AfterDue, o.AfterDue, o.AfterID)
	if o.Limit <= 0 {
		o.Limit = 100
	}
	list := []Request{}
	err := s.db.Select(ctx, &list, `SELECT `+requestColumns+` FROM rights_requests WHERE `+strings.Join(where, " AND ")+` ORDER BY due_at, id LIMIT ?`, append(args, o.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("rights: list requests: %w", err)
	}
	for i := range list {
		list[i].judge(now)
	}
	return list, nil
}

func (s *Requests) tell(ctx context.Context, tx *schema.Tx, actor, action string, r id.Request, detail string) error {
	return s.audit.Write(ctx, tx, Entry{Actor: actor, Action: action, Object: r.String(), Detail: detail})
}

// requestsOf is the part of a copy that shows a person's requests.
func (d *Desk) requestsOf(ctx context.Context, q schema.Querier, who id.Contact) (Part, error) {
	p := Part{partRequests, "answering what you ask of us, and " + accountability, LegalObligation, []string{"Request", "What for", "How it came", "To", "Your words",
		"Our reference", "Received", "Due", "Acknowledged", "Put off because", "Status", "Outcome", "Closed"}, nil}
	var list []Request
	if err := q.Select(ctx, &list, `SELECT `+requestColumns+` FROM rights_requests WHERE contact = ? ORDER BY id`, who); err != nil {
		return p, fmt.Errorf("rights: copy: requests: %w", err)
	}
	for _, r := range list {
		to := "all companies"
		if r.Company != 0 {
			to = r.Company.String()
			if d.Company != nil {
				var err error
				if to, err = d.Company(ctx, q, r.Company); err != nil {
					return p, fmt.Errorf("rights: copy: name a company: %w", err)
				}
			}
		}
		p.Rows = append(p.Rows, []any{r.ID.String(), string(r.Kind), string(r.Channel), to, r.Detail, r.Reference, r.ReceivedAt, r.DueAt, r.AcknowledgedAt, r.Extension,
			string(r.Status), r.Outcome, r.ClosedAt})
	}
	return p, nil
}
