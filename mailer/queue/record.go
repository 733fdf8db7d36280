package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// outcome is what is to be written about a message that was under way.
type outcome struct {
	Claimed
	verdict
	at   schema.Time // of the relay's answer
	next schema.Time // not before
}

// lease takes up to n due messages of a campaign for this sender, but for some that it holds already.
// They stay queued or deferred.
func (s *Sender) lease(ctx context.Context, tx *schema.Tx, c id.Campaign, n int, but []id.Message) ([]id.Message, error) {
	now := schema.At(s.opt.Now())
	free := now // a lease that ended before is nobody's
	if s.opt.Alone {
		free = never
	}
	lock := ""
	if tx.Dialect() == schema.Postgres {
		lock = ` FOR UPDATE SKIP LOCKED`
	}
	others := ""
	if len(but) > 0 {
		others = ` AND id NOT IN (` + schema.List(len(but)) + `)`
	}
	var all []id.Message
	for _, status := range []Status{Deferred, Queued} {
		if n <= 0 {
			break
		}
		var ids []id.Message
		err := tx.Select(ctx, &ids, `WITH due AS MATERIALIZED (SELECT id FROM messages WHERE campaign = ? AND status = ? AND next_at <= ? AND (lease_end < ? OR lease = ?)`+others+`
			ORDER BY next_at, id LIMIT ?`+lock+`) UPDATE messages SET lease = ?, lease_end = ? WHERE id IN (SELECT id FROM due) RETURNING id`,
			append(append([]any{c, status, now, free, s.owner}, anys(but)...), n, s.owner, now.Add(s.opt.Lease))...)
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
		n -= len(ids)
	}
	return all, nil
}

// claim turns leased messages into ones that are being sent, as far as the gate allows, and skips
// those it refuses. Messages that somebody else took, or whose campaign is no longer being sent, are
// among neither. going is false when the campaign is no longer being sent.
func (s *Sender) claim(ctx context.Context, tx *schema.Tx, c *Campaign, ids []id.Message) (claimed []Claimed, going bool, err error) {
	var status string
	if err := tx.Get(ctx, &status, `SELECT status FROM campaigns WHERE id = ?`, c.ID); err != nil {
		return nil, false, err
	}
	if status != "sending" {
		return nil, false, s.release(ctx, tx, ids)
	}
	g, err := c.Gates()
	if err != nil {
		return nil, true, err
	}
	if g.Epoch.SQL == "" {
		g.Epoch.SQL = "0"
	}
	if g.Cited.SQL == "" {
		g.Cited.SQL = "''"
	}
	in := schema.List(len(ids))
	args := []any{schema.At(s.opt.Now()).Add(s.opt.Lease)}
	args = append(append(append(args, g.Epoch.Args...), g.Epoch.Args...), g.Cited.Args...)
	args = append(append(append(args, s.owner), anys(ids)...), g.Allowed.Args...)
	var rows []struct {
		Message id.Message   `db:"id"`
		Contact id.Contact   `db:"contact"`
		Via     id.Source    `db:"via"`
		Mode    consent.Mode `db:"mode"`
		Epoch   int64        `db:"epoch"`
		Cited   string       `db:"cited"`
		Attempt int          `db:"attempts"`
	}
	err = tx.Select(ctx, &rows, `UPDATE messages AS m SET status = 'sending', lease_end = ?, attempts = attempts + 1,
		epoch = (`+g.Epoch.SQL+`), mode = CASE WHEN (`+g.Epoch.SQL+`) <> 0 THEN 'identified' ELSE 'anonymous' END, cited = (`+g.Cited.SQL+`)
		WHERE m.status IN ('queued', 'deferred') AND m.lease = ? AND m.contact IS NOT NULL AND m.id IN (`+in+`) AND (`+g.Allowed.SQL+`)
		RETURNING id, contact, via, mode, epoch, cited, attempts`, args...)
	if err != nil {
		return nil, true, err
	}
	claimed = make([]Claimed, len(rows))
	for i, r := range rows {
		claimed[i] = Claimed{Message: r.Message, Campaign: c.ID, Contact: r.Contact, Via: r.Via, Mode: r.Mode, Epoch: r.Epoch, Cited: CitedSources(r.Cited), Attempt: r.Attempt}
	}
	if len(claimed) < len(ids) {
		args := append([]any{}, g.Refusal.Args...)
		args = append(append(append(args, s.owner), anys(ids)...), g.Refusal.Args...)
		_, err := tx.Exec(ctx, `UPDATE messages AS m SET status = 'skipped', lease = '', lease_end = 0,
			reason = CASE WHEN m.contact IS NULL THEN '`+ReasonErased+`' ELSE (`+g.Refusal.SQL+`) END
			WHERE m.status IN ('queued', 'deferred') AND m.lease = ? AND m.id IN (`+in+`) AND (m.contact IS NULL OR (`+g.Refusal.SQL+`) <> '')`, args...)
		if err != nil {
			return nil, true, err
		}
		if err := s.release(ctx, tx, ids); err != nil {
			return nil, true, err
		}
	}
	if len(claimed) == 0 {
		return nil, true, nil
	}
	if err := c.Filler.Load(ctx, tx, claimed); err != nil {
		return nil, true, fmt.Errorf("load the recipients: %w", err)
	}
	return claimed, true, nil
}

// CitedSources reads a list of sources as the gate writes it, such as |1|2|.
func CitedSources(list string) []id.Source {
	var all []id.Source
	for n := range strings.SplitSeq(strings.Trim(list, "|"), "|") {
		if v, err := strconv.ParseInt(n, 10, 64); err == nil {
			all = append(all, id.Source(v))
		}
	}
	return all
}

// release gives back what this sender leased and did not claim.
func (s *Sender) release(ctx context.Context, tx *schema.Tx, ids []id.Message) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET lease = '', lease_end = 0 WHERE lease = ? AND status IN ('queued', 'deferred') AND id IN (`+schema.List(len(ids))+`)`,
		append([]any{s.owner}, anys(ids)...)...)
	return err
}

// record writes outcomes. A message that meanwhile became unknown, because this sender was thought
// dead, is corrected; one that was decided on by a person is left alone.
func (s *Sender) record(ctx context.Context, tx *schema.Tx, outs []*outcome) error {
	var sent []any
	for _, o := range outs {
		if o.status == Sent {
			sent = append(sent, o.Message, o.at, o.code)
			continue
		}
		if err := s.recordOther(ctx, tx, o); err != nil {
			return err
		}
	}
	if len(sent) == 0 {
		return nil
	}
	rows := schema.Rows(len(sent)/3, 3)
	if tx.Dialect() == schema.Postgres { // the first row gives the columns their type
		rows = `(CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))` + rows[len(`(?,?,?)`):]
	}
	_, err := tx.Exec(ctx, `WITH v (message, at, code) AS (VALUES `+rows+`)
		UPDATE messages SET status = 'sent', reason = '', sent_at = v.at, smtp_code = v.code, smtp_reply = '', lease = '', lease_end = 0, next_at = 0
		FROM v WHERE messages.id = v.message AND messages.lease = ? AND messages.status IN ('sending', 'unknown')`, append(sent, s.owner)...)
	if err != nil || s.opt.Sent == nil {
		return err
	}
	to := map[id.Campaign][]id.Contact{}
	for _, o := range outs {
		if o.status == Sent {
			to[o.Campaign] = append(to[o.Campaign], o.Contact)
		}
	}
	for c, contacts := range to {
		if err := s.opt.Sent(ctx, tx, c, contacts); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) recordOther(ctx context.Context, tx *schema.Tx, o *outcome) error {
	set, where := `lease = '', lease_end = 0`, ` WHERE id = ? AND lease = ? AND status IN ('sending', 'unknown')`
	switch o.status {
	case Unknown: // who sent it, and until when its answer may come, stays on record
		set = `lease_end = lease_end`
	case Queued: // never tried
		set += `, attempts = attempts - 1, mode = '', epoch = 0, cited = ''`
	}
	_, err := tx.Exec(ctx, `UPDATE messages SET `+set+`, status = ?, reason = ?, next_at = ?, smtp_code = ?, smtp_reply = ?`+where,
		o.status, o.reason, o.next, o.code, o.reply, o.Message, s.owner)
	return err
}

// underWay finds messages m that are being sent, campaign by campaign: CROSS JOIN keeps SQLite from
// reading all messages instead.
const underWay = `FROM campaigns k CROSS JOIN messages m WHERE k.status <> 'draft' AND m.campaign = k.id AND m.status = 'sending'`

// unclaim queues again what this sender claimed without hearing that it did: a commit whose answer
// was lost. flying is what it knows to be under way.
func (s *Sender) unclaim(ctx context.Context, tx *schema.Tx, flying []id.Message) error {
	args := []any{s.owner}
	but := ""
	if len(flying) > 0 {
		but = ` AND m.id NOT IN (` + schema.List(len(flying)) + `)`
		args = append(args, anys(flying)...)
	}
	_, err := tx.Exec(ctx, `UPDATE messages SET status = 'queued', attempts = attempts - 1, mode = '', epoch = 0, cited = '' WHERE id IN (
		SELECT m.id `+underWay+` AND m.lease = ?`+but+`)`, args...)
	return err
}

// finish ends a campaign that has nothing left to send.
func (s *Sender) finish(ctx context.Context, tx *schema.Tx, c id.Campaign) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE campaigns SET status = 'finished', status_note = '', finished_at = ? WHERE id = ? AND status = 'sending' AND built
		AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.campaign = ? AND m.status IN ('queued', 'deferred', 'sending'))`, schema.At(s.opt.Now()), c, c)
	return n > 0, err
}

func (s *Sender) pause(ctx context.Context, tx *schema.Tx, c id.Campaign, note string) error {
	_, err := tx.Exec(ctx, `UPDATE campaigns SET status = 'paused', status_note = ? WHERE id = ? AND status = 'sending'`, note, c)
	return err
}

// note tells, on every campaign being sent, what keeps a relay from working; an empty text takes
// back what was told about that relay.
func (s *Sender) note(ctx context.Context, r *Relay, text string) {
	about := "relay " + r.String() + " %"
	var err error
	if text == "" {
		_, err = s.db.Exec(ctx, `UPDATE campaigns SET status_note = '' WHERE status = 'sending' AND status_note LIKE ?`, about)
	} else {
		_, err = s.db.Exec(ctx, `UPDATE campaigns SET status_note = ? WHERE status = 'sending' AND (status_note = '' OR status_note LIKE ?)`, text, about)
	}
	if err != nil && ctx.Err() == nil {
		s.opt.Log.Error("queue: write the status note", "err", err)
	}
}

// never is later than every instant.
const never = schema.Time(1 << 62)

// recover makes messages unknown whose sender is gone: their lease ended before the given time.
func (s *Sender) recover(ctx context.Context, before schema.Time) error {
	for {
		n, err := s.db.Exec(ctx, `UPDATE messages SET status = 'unknown', reason = '`+ReasonDied+`' WHERE status = 'sending' AND lease <> ? AND id IN (
			SELECT m.id `+underWay+` AND m.lease <> ? AND m.lease_end < ? LIMIT 500)`, s.owner, s.owner, before)
		if err != nil {
			return fmt.Errorf("queue: recover messages of dead senders: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}
