package queue

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// ReasonBounced is the reason of a failed message whose address turned out not to exist after a relay
// had taken it.
const ReasonBounced = "bounced"

// Returned makes a message failed that came back because its address does not exist, wherever on its
// way it is: a sender that has it under way does not write over that. One that is failed or skipped
// stays as it is.
func Returned(ctx context.Context, tx *schema.Tx, m id.Message) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET status = 'failed', reason = '`+ReasonBounced+`', lease = '', lease_end = 0, next_at = 0
		WHERE id = ? AND status NOT IN ('failed', 'skipped')`, m)
	if err != nil {
		return fmt.Errorf("queue: take back %s: %w", m, err)
	}
	return nil
}

// Pause stops a campaign before its next message, with a note for a person to read. It reports
// whether the campaign was being sent; another one stays as it is.
func Pause(ctx context.Context, tx *schema.Tx, c id.Campaign, note string) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE campaigns SET status = 'paused', status_note = ? WHERE id = ? AND status = 'sending'`, note, c)
	if err != nil {
		return false, fmt.Errorf("queue: pause %s: %w", c, err)
	}
	return n > 0, nil
}
