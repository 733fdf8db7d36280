package rights

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Acknowledge records that who made the request was told that it came. Doing it again changes
// nothing; a closed request is ErrSettled.
func (s *Requests) Acknowledge(ctx context.Context, tx *schema.Tx, which id.Request, actor string) (Request, error) {
	r, err := s.open(ctx, tx, which)
	if err != nil || r.AcknowledgedAt != 0 {
		return r, err
	}
	return s.change(ctx, tx, which, actor, "request.acknowledge", "", `acknowledged_at = ?`, schema.At(s.now()))
}

// Extend puts off the date for an answer, for a reason that the person is told now: before the date
// at hand, once, and to three months after receipt at most (GDPR Art. 12(3)). An opt-out is not put
// off. The error is an *Invalid for what is at fault, or ErrSettled.
func (s *Requests) Extend(ctx context.Context, tx *schema.Tx, which id.Request, until schema.Time, reason, actor string) (Request, error) {
	r, err := s.open(ctx, tx, which)
	if err != nil {
		return r, err
	}
	most := schema.At(months(r.ReceivedAt.T(), mostMonths))
	var e Invalid
	e.line("reason", &reason, "why the answer takes longer, as the person is told")
	switch {
	case optOut(r.Kind, r.Channel) || r.Kind == Withdrawal || r.Kind == Objection:
		e.add("until", "cannot be put off: a no is followed at once, and answered within the time that was promised")
	case r.Extension != "":
		e.add("until", "was put off already, and the person was told until when")
	case schema.At(s.now()) > r.DueAt:
		e.add("until", "cannot be put off any more: the person would have to have been told before "+r.DueAt.String())
	case until <= r.DueAt:
		e.add("until", "is no later than the answer is due anyway: "+r.DueAt.String())
	case until > most:
		e.add("until", "is more than two further months: at most "+most.String())
	}
	if err := e.err(); err != nil {
		return r, err
	}
	return s.change(ctx, tx, which, actor, "request.extend", "until "+until.String(), `due_at = ?, extension = ?`, until, reason)
}

// Close records the answer: Done, or Refused with the reason that the person was told. A closed
// request is ErrSettled.
func (s *Requests) Close(ctx context.Context, tx *schema.Tx, which id.Request, status Status, outcome, actor string) (Request, error) {
	r, err := s.open(ctx, tx, which)
	if err != nil {
		return r, err
	}
	var e Invalid
	oneOf(&e, "status", status, []Status{Done, Refused})
	e.line("outcome", &outcome, "what was done or answered; of a refusal the reason, as the person was told")
	if err := e.err(); err != nil {
		return r, err
	}
	return s.change(ctx, tx, which, actor, "request.close", string(status), `status = ?, outcome = ?, closed_at = ?`, status, outcome, schema.At(s.now()))
}

func (s *Requests) open(ctx context.Context, tx *schema.Tx, which id.Request) (Request, error) {
	r, err := s.Get(ctx, tx, which)
	if err == nil && r.Status != Open {
		err = fmt.Errorf("rights: %s: %w", which, ErrSettled)
	}
	return r, err
}

// change sets columns of a request that is open still, and returns it as it is then.
func (s *Requests) change(ctx context.Context, tx *schema.Tx, which id.Request, actor, action, detail, set string, args ...any) (Request, error) {
	n, err := tx.Exec(ctx, `UPDATE rights_requests SET handled_by = ?, `+set+` WHERE id = ? AND status = 'open'`, append(append([]any{actor}, args...), which)...)
	if err != nil {
		return Request{}, fmt.Errorf("rights: change %s: %w", which, err)
	}
	if n == 0 {
		return Request{}, fmt.Errorf("rights: %s: %w", which, ErrSettled)
	}
	if err := s.tell(ctx, tx, actor, action, which, detail); err != nil {
		return Request{}, err
	}
	return s.Get(ctx, tx, which)
}
