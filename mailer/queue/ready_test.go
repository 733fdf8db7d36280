package queue_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

func TestNothingIsSentBeforeItMayBe(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 20)
		s.build()
		relay := newFakeRelay(t, nil)
		var ready atomic.Bool
		var asked atomic.Int64
		o := s.quick()
		o.Ready = func() error {
			asked.Add(1)
			if ready.Load() {
				return nil
			}
			return errors.New("the journal has not been replayed")
		}
		s.start(relay.relays(t, ""), o)
		s.until("the sender has asked a few times", func() bool { return asked.Load() > 10 })
		if n := s.counts(); n.Messages[queue.Queued] != 20 {
			t.Fatalf("messages: %+v", n)
		}
		ready.Store(true)
		s.untilFinished()
		if n := s.counts(); n.Messages[queue.Sent] != 20 {
			t.Errorf("messages: %+v", n)
		}
	})
}
