package queue_test

import (
	"sync/atomic"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

// Rates of relays, domains and campaign, hours, an allowance, a domain that complains, relays that die
// and come back, and senders that are stopped and started: each recipient gets one mail all the same.
func TestWhateverHappensEverybodyIsMailedOnce(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const people = 400
		s := newStage(t, db, people)
		s.exec(`UPDATE contacts SET email = 'r' || SUBSTR(CAST(100000 + id AS TEXT), 2) || CASE id % 4 WHEN 0 THEN '@a.example' WHEN 1 THEN '@b.example' WHEN 2 THEN '@c.example' ELSE '@example.org' END`)
		s.domain, s.rate = "new.example", 400
		s.clock.at = time.Now()
		begun := time.Now()
		// Half of every second is outside its hours.
		s.hours = func(now time.Time) (bool, time.Time) {
			half := now.Truncate(500 * time.Millisecond)
			return half.Nanosecond() >= int(500*time.Millisecond), half.Add(500 * time.Millisecond)
		}
		s.build()
		var refusals atomic.Int32
		relay := func(down int64) *fakeRelay { // it is down in one of three spells of 300 ms
			return newFakeRelay(t, func(step, recipient string) string {
				away := int64(time.Since(begun)/(300*time.Millisecond))%3 == down
				switch {
				case away && (step == "banner" || step == "mail"):
					return drop
				case away && step == "rcpt":
					return "451 4.3.0 going down"
				case step == "rcpt" && refusals.Add(1) == 100:
					return "421 4.7.0 too fast"
				}
				return ""
			})
		}
		one, two, spare := relay(0), relay(1), relay(2)
		relays := between(t, map[*fakeRelay]string{one: "?connections=3&weight=3", two: "?connections=2&weight=1&rate=200", spare: "?connections=1&weight=0"}, one, two, spare)
		o := s.quick()
		o.Now, o.Lease, o.DataTimeout, o.Poll = time.Now, 3*time.Second, 3*time.Second, 20*time.Millisecond
		o.MaxAge = 10_000 * time.Hour // it was launched by another clock
		o.Backoff, o.MaxAttempts = func(int) time.Duration { return 50 * time.Millisecond }, 1000
		o.Domains, o.Warmups = rates(t, "a.example=60,b.example=80,*=300"), warmups(t, "new.example="+begun.UTC().Format(time.DateOnly)+":100000")
		senders := 2
		if db.Dialect() == schema.SQLite {
			senders = 1
		}
		for round := 1; s.status() != "finished"; round++ {
			var stops []func()
			for range senders {
				_, stop := s.start(relays, o)
				stops = append(stops, stop)
			}
			s.until("some more", func() bool {
				n := s.counts().Messages[queue.Sent]
				return n >= int64(min(people, 150*round)) || s.status() == "finished"
			})
			if round > 3 {
				s.untilFinished()
			}
			for _, stop := range stops {
				stop()
			}
		}
		n := s.counts()
		if n.Messages[queue.Sent] != people {
			t.Errorf("messages: %+v", n)
		}
		got := map[string]int{}
		for _, f := range []*fakeRelay{one, two, spare} {
			f.mu.Lock()
			for to, k := range f.taken {
				got[to] += k
			}
			f.mu.Unlock()
		}
		if len(got) != people {
			t.Errorf("%d of %d got a mail", len(got), people)
		}
		for to, k := range got {
			if k != 1 {
				t.Errorf("%s got %d mails", to, k)
			}
		}
	})
}
