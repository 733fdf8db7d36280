package mailer

import (
	"context"
	"encoding/json"
	"slices"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
)

// Launch starts a draft, at once or at its send_at. The error is a *Refused with the problems of
// Check, a *StatusError, or segments.ErrNotFound; then nothing has changed.
func (m *Mailer) Launch(ctx context.Context, c id.Campaign) (Campaign, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return Campaign{}, err
	}
	if r.Status != string(DraftStatus) {
		return r.campaign(), &StatusError{CampaignStatus(r.Status), "launched"}
	}
	check, template, err := m.judge(ctx, r)
	if err != nil {
		return r.campaign(), boundary("launch campaign", err)
	}
	if len(check.Problems) > 0 {
		return r.campaign(), &Refused{check.Problems}
	}
	leftOut, err := json.Marshal(check.LeftOut)
	if err != nil {
		return r.campaign(), boundary("launch campaign", err)
	}
	err = m.o.DB.Tx(ctx, func(tx *schema.Tx) error {
		now := schema.At(m.o.Now())
		n, err := tx.Exec(ctx, `UPDATE campaigns SET status = ?, status_note = '', launched_at = ?, left_out = ? WHERE id = ? AND status = 'draft'`, m.onTheWay(r), now, string(leftOut), c)
		if err != nil {
			return err
		}
		if n == 0 {
			return &StatusError{Sending, "launched"}
		}
		for links := range slices.Chunk(template.Links(), 100) {
			var args []any
			for _, l := range links {
				args = append(args, c, l.Position, l.Label, l.URL)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO links (campaign, position, label, url) VALUES `+schema.Rows(len(links), 4), args...); err != nil {
				return err
			}
		}
		return nil
	})
	return m.after(ctx, c, "launch campaign", err)
}

// onTheWay is the status of a campaign that is not paused.
func (m *Mailer) onTheWay(r row) string {
	if r.SendAt > schema.At(m.o.Now()) {
		return string(Scheduled)
	}
	return string(Sending)
}

// Pause stops a campaign before its next message.
func (m *Mailer) Pause(ctx context.Context, c id.Campaign) (Campaign, error) {
	return m.turn(ctx, c, "paused", func(row) string { return string(Paused) }, Scheduled, Sending)
}

// Resume goes on with a paused campaign.
func (m *Mailer) Resume(ctx context.Context, c id.Campaign) (Campaign, error) {
	return m.turn(ctx, c, "resumed", m.onTheWay, Paused)
}

// Cancel ends a campaign for good; who was not reached yet is skipped.
func (m *Mailer) Cancel(ctx context.Context, c id.Campaign) (Campaign, error) {
	if k, err := m.turn(ctx, c, "cancelled", func(row) string { return string(Cancelled) }, DraftStatus, Scheduled, Sending, Paused); err != nil {
		return k, err
	}
	err := queue.Cancel(ctx, m.o.DB, c) // cut short, it is taken up by Run
	return m.after(ctx, c, "cancel campaign", err)
}

// turn changes the status of a campaign that is in one of the given ones.
func (m *Mailer) turn(ctx context.Context, c id.Campaign, want string, to func(row) string, from ...CampaignStatus) (Campaign, error) {
	err := m.o.DB.Tx(ctx, func(tx *schema.Tx) error {
		r, err := read(ctx, tx, c)
		if err != nil {
			return err
		}
		if !slices.Contains(from, CampaignStatus(r.Status)) {
			return &StatusError{CampaignStatus(r.Status), want}
		}
		next, ended := to(r), schema.Time(0)
		if next == string(Cancelled) {
			ended = schema.At(m.o.Now())
		}
		n, err := tx.Exec(ctx, `UPDATE campaigns SET status = ?, status_note = '', finished_at = ? WHERE id = ? AND status = ?`, next, ended, c, r.Status)
		if err == nil && n == 0 { // it moved on between the two statements
			err = &StatusError{CampaignStatus(r.Status), want}
		}
		return err
	})
	return m.after(ctx, c, want+" campaign", err)
}

// after reads the campaign as it is now, for an answer.
func (m *Mailer) after(ctx context.Context, c id.Campaign, what string, err error) (Campaign, error) {
	if err != nil {
		return Campaign{}, boundary(what, err)
	}
	m.nudge()
	return m.Get(ctx, c)
}

// ResolveUnknown decides on the unknown messages of a campaign: "resend" queues them again, as soon
// as no late answer can come any more, which may mail somebody twice; "leave" keeps them as they are.
func (m *Mailer) ResolveUnknown(ctx context.Context, c id.Campaign, action string) (queue.Resolution, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return queue.Resolution{}, err
	}
	switch action {
	case "leave":
		done, err := queue.Leave(ctx, m.o.DB, c)
		return done, boundary("resolve unknown messages", err)
	case "resend":
	default:
		return queue.Resolution{}, &segments.Invalid{Fields: []segments.FieldError{{Field: "action", Message: "must be resend or leave"}}}
	}
	if s := CampaignStatus(r.Status); s != Sending && s != Paused && s != Finished {
		return queue.Resolution{}, &StatusError{s, "sent again"}
	}
	done, err := queue.Resend(ctx, m.o.DB, c, m.o.Now(), m.sender.AnswerTime())
	if err == nil && done.Changed > 0 {
		_, err = m.o.DB.Exec(ctx, `UPDATE campaigns SET status = 'sending', finished_at = 0 WHERE id = ? AND status = 'finished'`, c)
		m.nudge()
	}
	return done, boundary("resolve unknown messages", err)
}

// Status says how far a campaign is.
func (m *Mailer) Status(ctx context.Context, c id.Campaign) (Status, error) {
	var s Status
	err := m.o.DB.View(ctx, func(tx *schema.Tx) error {
		r, err := read(ctx, tx, c)
		if err != nil {
			return err
		}
		s = Status{Campaign: r.campaign(), LeftOut: map[string]int64{}}
		if err := json.Unmarshal([]byte(r.LeftOut), &s.LeftOut); err != nil {
			return err
		}
		s.Counts, err = queue.Count(ctx, tx, c)
		return err
	})
	return s, boundary("read campaign", err)
}
