package queue_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

func rates(t testing.TB, s string) queue.DomainRates {
	t.Helper()
	d, err := queue.ParseDomainRates(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// taken counts what the relay took for a domain.
func (f *fakeRelay) takenFor(domain string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for to, k := range f.taken {
		if strings.HasSuffix(to, "@"+domain) {
			n += k
		}
	}
	return n
}

// Ten thousand messages of a slow domain stand first. The others do not wait for them, and each of
// the ten thousand is written once to be put back.
func TestASlowDomainHoldsUpNobody(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const slow, fast = 10_000, 400
		s := newStage(t, db, slow+fast)
		s.exec(`UPDATE contacts SET email = 's' || CAST(id AS TEXT) || '@slow.example' WHERE id <= ?`, slow)
		s.build()
		relay := newFakeRelay(t, nil)
		o := s.quick()
		o.Now, o.Batch, o.Poll, o.Domains = time.Now, 256, time.Second, rates(t, "slow.example=5")
		begun := time.Now()
		_, stop := s.start(relay.relays(t, ""), o)
		s.until("the others", func() bool { return relay.takenFor("example.org") == fast })
		stop()
		took := time.Since(begun)
		if n := relay.takenFor("slow.example"); float64(n) > 5*(took.Seconds()+1)+1 {
			t.Errorf("%d of the slow domain in %s, at 5 a second", n, took)
		}
		var put struct {
			N     int         `db:"n"`
			First schema.Time `db:"first"`
			Last  schema.Time `db:"last"`
			Tried int         `db:"tried"`
		}
		err := s.Get(t.Context(), &put, `SELECT count(*) AS n, min(next_at) AS first, max(next_at) AS last, max(attempts) AS tried FROM messages WHERE status = 'queued' AND next_at > 0`)
		if err != nil {
			t.Fatal(err)
		}
		if span := put.Last.T().Sub(put.First.T()).Seconds(); put.N < slow/2 || put.Tried != 0 || span < 0.95*float64(put.N)/5 || span > 1.05*float64(put.N)/5 {
			t.Errorf("%d were put back, over %.0f s, tried %d times", put.N, span, put.Tried)
		}
		if n := s.counts(); n.Messages[queue.Sent] != int64(relay.total()) || s.status() != "sending" {
			t.Errorf("%d taken, messages %+v", relay.total(), n)
		}
	})
}

func TestACampaignEndsThatHasToWaitForADomain(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 40)
		s.build()
		relay := newFakeRelay(t, nil)
		o := s.quick()
		o.Now, o.Domains = time.Now, rates(t, "*=20")
		begun := time.Now()
		_, stop := s.start(relay.relays(t, ""), o)
		s.untilFinished()
		stop()
		if took := time.Since(begun); took < 1900*time.Millisecond {
			t.Errorf("40 messages at 20 per second took %s", took)
		}
		s.once(40, relay)
	})
}

// Messages that wait for their domain are as much under the gate, a cancellation and the sender's end
// as others.
func TestAMessageThatWaitsForItsDomainIsNotLost(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 30)
		s.build()
		relay := newFakeRelay(t, nil)
		o := s.quick()
		o.Now, o.Domains = time.Now, rates(t, "*=4")
		_, stop := s.start(relay.relays(t, ""), o)
		s.until("the first", func() bool { return relay.total() >= 1 })
		stop()
		var held int
		if err := s.Get(t.Context(), &held, `SELECT count(*) FROM messages WHERE lease <> '' AND status = 'queued'`); err != nil || held != 0 {
			t.Fatalf("a sender that ended holds %d, %v", held, err)
		}
		s.exec(`UPDATE contacts SET job_title = 'withdrawn' WHERE id = 30`)
		s.exec(`UPDATE messages SET next_at = 0 WHERE contact > 27`)
		o.Domains = rates(t, "*=40")
		_, stop = s.start(relay.relays(t, ""), o)
		s.until("the one who said no", func() bool { return s.message(30).Status == queue.Skipped })
		if err := queue.Cancel(t.Context(), s.DB, s.campaign); err != nil {
			t.Fatal(err)
		}
		s.exec(`UPDATE campaigns SET status = 'cancelled'`)
		stop()
		n := s.counts()
		if n.Messages[queue.Sent] != int64(relay.total()) || relay.count(address(30)) != 0 || n.Messages[queue.Sent]+n.Messages[queue.Skipped] != 30 {
			t.Errorf("%d taken, messages %+v", relay.total(), n)
		}
	})
}

// A domain that answers 421 gets less from then on, without any limit being set; the others do not.
func TestADomainThatThrottlesIsSlowedDown(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 500)
	s.exec(`UPDATE contacts SET email = 's' || CAST(id AS TEXT) || '@hasty.example' WHERE id % 2 = 0`)
	s.build()
	var refused atomic.Int32
	relay := newFakeRelay(t, func(step, recipient string) string {
		if step == "rcpt" && strings.HasSuffix(recipient, "@hasty.example") && refused.Add(1) == 20 {
			return "450 4.7.28 too many from you"
		}
		return ""
	})
	o := s.quick()
	o.Now, o.Batch, o.Backoff = time.Now, 8, func(int) time.Duration { return 0 }
	_, stop := s.start(relay.relays(t, "?connections=2&rate=200"), o)
	s.until("the others", func() bool { return relay.takenFor("example.org") == 250 })
	stop()
	if n := relay.takenFor("hasty.example"); n > 125 {
		t.Errorf("the domain that asked for patience got %d of 250 meanwhile", n)
	}
}
