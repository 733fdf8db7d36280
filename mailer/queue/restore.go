package queue

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Doubt makes every message of a campaign unknown that is neither sent nor given up: an older
// database was put back, and the one that is lost may have sent it. No sender may be at work. They
// can be resolved at once, since nobody still hears from a relay. It goes in short transactions;
// called again it finds what is left.
func Doubt(ctx context.Context, db *schema.DB, c id.Campaign) (n int64, err error) {
	for _, status := range []Status{Queued, Deferred, Sending} {
		for {
			some, err := db.Exec(ctx, `UPDATE messages SET status = 'unknown', reason = '`+ReasonRestored+`', lease = '', lease_end = 0, next_at = 0
				WHERE id IN (SELECT id FROM messages WHERE campaign = ? AND status = ? LIMIT 500) AND status = ?`, c, status, status)
			if err != nil {
				return n, fmt.Errorf("queue: doubt the messages of %s: %w", c, err)
			}
			if some == 0 {
				break
			}
			n += some
		}
	}
	return n, nil
}
