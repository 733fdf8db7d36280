package queue

import (
	"context"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Counts says how many messages of a campaign are where.
type Counts struct {
	Messages       map[Status]int64 `json:"messages"` // every status is there
	SkippedReasons map[string]int64 `json:"skipped_reasons"`
	FailedReasons  map[string]int64 `json:"failed_reasons"`
}

// Count counts the messages of a campaign by status, and the skipped and failed ones by reason.
func Count(ctx context.Context, q schema.Querier, c id.Campaign) (Counts, error) {
	n := Counts{map[Status]int64{}, map[string]int64{}, map[string]int64{}}
	for _, s := range []Status{Queued, Sending, Sent, Deferred, Failed, Skipped, Unknown} {
		n.Messages[s] = 0
	}
	var rows []struct {
		Status Status `db:"status"`
		Reason string `db:"reason"`
		N      int64  `db:"n"`
	}
	err := q.Select(ctx, &rows, `SELECT status, '' AS reason, count(*) AS n FROM messages WHERE campaign = ? AND status NOT IN ('skipped', 'failed') GROUP BY status
		UNION ALL SELECT status, reason, count(*) AS n FROM messages WHERE campaign = ? AND status IN ('skipped', 'failed') GROUP BY status, reason`, c, c)
	if err != nil {
		return n, fmt.Errorf("queue: count the messages of %s: %w", c, err)
	}
	for _, r := range rows {
		n.Messages[r.Status] += r.N
		switch r.Status {
		case Skipped:
			n.SkippedReasons[r.Reason] += r.N
		case Failed:
			n.FailedReasons[r.Reason] += r.N
		}
	}
	return n, nil
}

// Cancel skips every message of the campaign that is not under way, in short transactions. What a
// connection holds at this moment is still sent.
func Cancel(ctx context.Context, db *schema.DB, c id.Campaign) error {
	for _, status := range []Status{Queued, Deferred} {
		for {
			n, err := db.Exec(ctx, `UPDATE messages SET status = 'skipped', reason = ?, lease = '', lease_end = 0
				WHERE id IN (SELECT id FROM messages WHERE campaign = ? AND status = ? LIMIT 500) AND status = ?`,
				ReasonCancelled, c, status, status)
			if err != nil {
				return fmt.Errorf("queue: cancel %s: %w", c, err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// Resolution is what became of the unknown messages of a campaign.
type Resolution struct {
	Changed int64 `json:"changed"`
	// Early ones stay unknown: the process that sent them may still hear from the relay. Ask again later.
	Early int64 `json:"early"`
}

// Resend queues the unknown messages of a campaign again, on the word of a marketer who accepts
// that some may arrive twice. timeout is Options.DataTimeout.
func Resend(ctx context.Context, db *schema.DB, c id.Campaign, now time.Time, timeout time.Duration) (Resolution, error) {
	return resolve(ctx, db, c, schema.At(now.Add(-timeout)), `status = 'queued', reason = '', lease = '', lease_end = 0, next_at = 0`)
}

// Leave records that the unknown messages of a campaign are not to be sent again.
func Leave(ctx context.Context, db *schema.DB, c id.Campaign) (Resolution, error) {
	return resolve(ctx, db, c, never, `reason = '`+ReasonLeft+`'`)
}

func resolve(ctx context.Context, db *schema.DB, c id.Campaign, before schema.Time, change string) (Resolution, error) {
	var r Resolution
	var after id.Message
	for {
		var ids []id.Message
		err := db.Tx(ctx, func(tx *schema.Tx) error {
			ids = ids[:0]
			if err := tx.Select(ctx, &ids, `SELECT id FROM messages WHERE campaign = ? AND status = 'unknown' AND reason <> ? AND id > ? AND lease_end < ? ORDER BY id LIMIT 500`,
				c, ReasonLeft, after, before); err != nil || len(ids) == 0 {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE messages SET `+change+` WHERE status = 'unknown' AND id IN (`+schema.List(len(ids))+`)`, anys(ids)...)
			return err
		})
		if err != nil {
			return r, fmt.Errorf("queue: resolve the unknown messages of %s: %w", c, err)
		}
		if len(ids) == 0 {
			break
		}
		r.Changed += int64(len(ids))
		after = ids[len(ids)-1]
	}
	err := db.Get(ctx, &r.Early, `SELECT count(*) FROM messages WHERE campaign = ? AND status = 'unknown' AND reason <> ?`, c, ReasonLeft)
	if err != nil {
		return r, fmt.Errorf("queue: count the unknown messages of %s: %w", c, err)
	}
	return r, nil
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}
