package bounce

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

const (
	// softRun are the campaigns in a row that come back soft before an address counts as dead, of those
	// sent within softWithin.
	softRun    = 5
	softWithin = 30 * 24 * time.Hour
	// senderRun are the refusals of our own fault in a row that pause a campaign, as in queue.Options.
	senderRun = 5
	// complaintsLeast and complaintRate (per mille of what was delivered) pause a campaign when both are
	// reached. Below the first a rate says nothing.
	complaintsLeast = 3
	complaintRate   = 3
)

// act writes a report down and does what follows from it; of one that is written down already
// nothing follows any more.
func (in *Intake) act(ctx context.Context, tx *schema.Tx, c claim, r row, sent int64) error {
	var l queue.Letter
	if c.message != 0 {
		var err error
		if l, err = queue.Lookup(ctx, tx, c.message); err != nil {
			return err
		}
		if l.Contact == 0 {
			r.Diagnostic = "" // what a server says of somebody who was erased is not kept
		}
	}
	n, err := tx.Exec(ctx, `INSERT INTO returns (message, campaign, class, status, code, diagnostic, way, at, key) VALUES `+schema.Rows(1, 9)+` ON CONFLICT (key) DO NOTHING`,
		r.Message, l.Campaign, string(r.Class), r.Status, r.Code, r.Diagnostic, string(r.Way), r.At, r.Key)
	if err != nil || n == 0 {
		return err
	}
	switch r.Class {
	case Hard:
		if err := queue.Returned(ctx, tx, l.Message); err != nil {
			return err
		}
		return in.suppress(ctx, tx, l.Contact, consent.BlockBounced)
	case Soft:
		run, err := softReturns(ctx, tx, l.Contact, r.At.Add(-softWithin))
		if err != nil || run < softRun {
			return err
		}
		return in.suppress(ctx, tx, l.Contact, consent.BlockBounced)
	case Sender:
		return in.refusals(ctx, tx, l.Campaign, r)
	case Complaint:
		if err := in.object(ctx, tx, l, c.report); err != nil {
			return err
		}
		if err := in.suppress(ctx, tx, l.Contact, consent.BlockComplained); err != nil {
			return err
		}
		return in.complaints(ctx, tx, l.Campaign, sent)
	case optedOut:
		return in.object(ctx, tx, l, c.report)
	case Other:
		return in.askedOut(ctx, tx, l, c)
	}
	return nil
}

// suppress keeps a contact's address out; of an erased contact there is nothing left to keep out.
func (in *Intake) suppress(ctx context.Context, tx *schema.Tx, who id.Contact, b consent.Block) error {
	var emails []string
	if err := tx.Select(ctx, &emails, `SELECT email FROM contacts WHERE id = ?`, who); err != nil || len(emails) == 0 {
		return err
	}
	return in.o.Ledger.Suppress(ctx, tx, emails[0], b)
}

// object records that somebody objects to every mail of the company.
func (in *Intake) object(ctx context.Context, tx *schema.Tx, l queue.Letter, rep Report) error {
	company, err := companyOf(ctx, tx, l.Campaign)
	if err != nil || l.Contact == 0 {
		return err
	}
	_, err = in.o.Ledger.Record(ctx, tx, consent.Entry{Contact: l.Contact, Action: consent.Object, Company: company, Channel: consent.Email, How: consent.ByEmail,
		Actor: "beckon", Evidence: map[string]string{"complaint": rep.FeedbackType, "message": l.Message.String()}})
	if errors.Is(err, consent.ErrNoEntry) { // erased meanwhile
		return nil
	}
	return err
}

func companyOf(ctx context.Context, tx *schema.Tx, c id.Campaign) (id.Company, error) {
	var company id.Company
	err := tx.Get(ctx, &company, `SELECT company FROM campaigns WHERE id = ?`, c)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return company, err
}

// softReturns counts the campaigns in a row, from the latest that came back soft, that were sent to a
// contact since a time and came back so. One that was sent and did not come back ends the row.
func softReturns(ctx context.Context, tx *schema.Tx, who id.Contact, since schema.Time) (run int, err error) {
	var sent []struct {
		Soft bool `db:"soft"`
		Back bool `db:"back"`
	}
	err = tx.Select(ctx, &sent, `SELECT EXISTS (SELECT 1 FROM returns r WHERE r.message = m.id AND r.class = 'soft') AS soft,
		EXISTS (SELECT 1 FROM returns r WHERE r.message = m.id AND r.class IN ('hard', 'sender')) AS back
		FROM messages m WHERE m.contact = ? AND m.sent_at >= ? ORDER BY m.sent_at DESC, m.id DESC LIMIT 100`, who, since)
	for _, m := range sent {
		switch {
		case m.Soft:
			run++
		case m.Back || run == 0: // the latest may come back yet
		default:
			return run, err
		}
	}
	return run, err
}

// refusals pauses a campaign whose latest returns were all refused for a reason that lies with us.
func (in *Intake) refusals(ctx context.Context, tx *schema.Tx, c id.Campaign, last row) error {
	var latest []Class
	err := tx.Select(ctx, &latest, `SELECT r.class FROM returns r WHERE r.id IN (SELECT max(s.id) FROM returns s WHERE s.campaign = ? AND s.class IN ('hard', 'soft', 'sender')
		AND s.spent = ? GROUP BY s.message) ORDER BY r.id DESC LIMIT ?`, c, false, senderRun)
	if err != nil || len(latest) < senderRun {
		return err
	}
	for _, class := range latest {
		if class != Sender {
			return nil
		}
	}
	return in.pause(ctx, tx, c, Sender, fmt.Sprintf("paused by itself: %d messages in a row came back, refused for a reason that lies with the sender, the last with: %s. Nobody was suppressed for it. Put it right with the receiving side, then resume",
		senderRun, said(last)))
}

func said(r row) string {
	text := r.Diagnostic
	if r.Status != "" {
		text = r.Status + " " + text
	}
	return text
}

// sentBefore counts what of a message's campaign was delivered, as far as it matters to the rate of
// complaints: outside the transaction that acts on one, which is to be short.
func (in *Intake) sentBefore(ctx context.Context, m id.Message) (sent int64, err error) {
	l, err := queue.Lookup(ctx, in.o.DB, m)
	if errors.Is(err, queue.ErrNoMessage) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var before int64
	if err := in.o.DB.Get(ctx, &before, `SELECT count(*) FROM returns WHERE campaign = ? AND class = 'complaint' AND spent = ?`, l.Campaign, false); err != nil {
		return 0, fmt.Errorf("bounce: count complaints: %w", err)
	}
	enough := (before + 32) * 1000 / complaintRate // beyond this the rate is kept, even if others complain at the same time
	if err := in.o.DB.Get(ctx, &sent, `SELECT count(*) FROM (SELECT 1 FROM messages WHERE campaign = ? AND status = 'sent' LIMIT ?) s`, l.Campaign, enough); err != nil {
		return 0, fmt.Errorf("bounce: count what was sent: %w", err)
	}
	return sent, nil
}

// complaints pauses a campaign that too many people complain about. Those that have paused it before
// do not count again.
func (in *Intake) complaints(ctx context.Context, tx *schema.Tx, c id.Campaign, sent int64) error {
	var n int64
	if err := tx.Get(ctx, &n, `SELECT count(*) FROM returns WHERE campaign = ? AND class = 'complaint' AND spent = ?`, c, false); err != nil {
		return err
	}
	if n < complaintsLeast || n*1000 < sent*complaintRate {
		return nil
	}
	return in.pause(ctx, tx, c, Complaint, fmt.Sprintf("paused by itself: %d of %d people it reached complained to their mail provider (%.2f %%; from 0.3 %% providers turn mail away). They are left out from now on. Look at who is written to and why, then resume or cancel",
		n, max(sent, n), 100*float64(n)/float64(max(sent, n))))
}

// pause stops a campaign for returns of a class, which count no further.
func (in *Intake) pause(ctx context.Context, tx *schema.Tx, c id.Campaign, class Class, note string) error {
	paused, err := queue.Pause(ctx, tx, c, note)
	if err != nil || !paused {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE returns SET spent = ? WHERE campaign = ? AND class = ? AND spent = ?`, true, c, string(class), false)
	return err
}

// askedOut hands a letter to the people who answer them. Whose it is, if no message says so, is what
// its sender claims; nothing is done on that.
func (in *Intake) askedOut(ctx context.Context, tx *schema.Tx, l queue.Letter, c claim) error {
	who, words := l.Contact, c.optOut
	company, err := companyOf(ctx, tx, l.Campaign)
	if err != nil {
		return err
	}
	if email, err := consent.NormaliseEmail(c.from); c.message == 0 && err == nil {
		var held []id.Contact
		if err := tx.Select(ctx, &held, `SELECT id FROM contacts WHERE email = ?`, email); err != nil {
			return err
		}
		if len(held) > 0 {
			who = held[0]
		} else {
			words = email + " (an address that is not held): " + words
		}
	}
	return in.o.Inbox.OptOut(ctx, tx, who, company, words)
}
