package queue_test

import (
	"testing"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

// TestR4DoubtfulMessagesAreListed: all that could have been sent are unknown, in as many chunks as it
// takes; what had come to its end stays, and the marketer may decide at once.
func TestR4DoubtfulMessagesAreListed(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 1300)
		s.build()
		now := schema.At(s.clock.now())
		s.exec(`UPDATE messages SET status = 'sent' WHERE contact <= 10`)
		s.exec(`UPDATE messages SET status = 'skipped', reason = 'withdrawn' WHERE contact > 10 AND contact <= 20`)
		s.exec(`UPDATE messages SET status = 'failed', reason = 'refused' WHERE contact > 20 AND contact <= 30`)
		s.exec(`UPDATE messages SET status = 'unknown', reason = 'left' WHERE contact > 30 AND contact <= 40`)
		s.exec(`UPDATE messages SET status = 'deferred', next_at = ? WHERE contact > 40 AND contact <= 50`, now.Add(1e12))
		s.exec(`UPDATE messages SET status = 'sending', lease = 'gone', lease_end = ? WHERE contact > 50 AND contact <= 60`, now.Add(1e12))
		for _, want := range []int64{1260, 0} {
			if n, err := queue.Doubt(t.Context(), db, s.campaign); err != nil || n != want {
				t.Errorf("%d messages, %v; want %d", n, err, want)
			}
		}
		got, err := queue.Count(t.Context(), db, s.campaign)
		if err != nil || got.Messages[queue.Unknown] != 1270 || got.Messages[queue.Sent] != 10 || got.Messages[queue.Skipped] != 10 || got.Messages[queue.Failed] != 10 {
			t.Errorf("%v, %v", got.Messages, err)
		}
		if r, err := queue.Resend(t.Context(), db, s.campaign, s.clock.now(), 1e9); err != nil || r.Changed != 1260 || r.Early != 0 {
			t.Errorf("resend: %+v, %v", r, err)
		}
	})
}
