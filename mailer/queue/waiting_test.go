package queue_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

// office is open from 9 to 17 UTC.
func office(now time.Time) (bool, time.Time) {
	y, m, d := now.Date()
	at := func(day, hour int) time.Time { return time.Date(y, m, d+day, hour, 0, 0, 0, time.UTC) }
	switch {
	case now.Before(at(0, 9)):
		return false, at(0, 9)
	case now.Before(at(0, 17)):
		return true, at(0, 17)
	}
	return false, at(1, 9)
}

func TestOutsideItsHoursNothingOfACampaignIsClaimed(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 60)
		s.hours = office
		s.build()
		s.clock.advance(5*time.Hour - time.Second) // a second before it closes
		var once sync.Once
		relay := newFakeRelay(t, func(step, _ string) string {
			if step == "dot" {
				once.Do(func() { s.clock.advance(time.Second) })
			}
			return ""
		})
		_, stop := s.start(relay.relays(t, "?connections=2"), s.quick())
		s.until("the note", func() bool { return s.note() == "waits for its hours, and goes on at 5 May 2026 09:00 UTC" })
		s.until("an empty hand", func() bool {
			var held int
			err := s.Get(t.Context(), &held, `SELECT count(*) FROM messages WHERE lease <> ''`)
			return err == nil && held == 0
		})
		if n := relay.total(); n < 1 || n > 3 || s.status() != "sending" { // those under way, and no more
			t.Errorf("%d were sent around the end of its hours; the campaign is %s", n, s.status())
		}
		if n := s.counts(); n.Messages[queue.Queued] != int64(60-relay.total()) {
			t.Errorf("messages: %+v", n)
		}
		stop()
		_, stop = s.start(relay.relays(t, ""), s.quick()) // a sender that starts outside its hours sends nothing
		s.clock.advance(15 * time.Hour)
		s.until("the note to stay", func() bool { return strings.HasPrefix(s.note(), "waits for its hours") })
		if relay.total() > 3 {
			t.Errorf("%d were sent outside its hours", relay.total())
		}
		s.clock.advance(time.Hour)
		s.untilFinished()
		stop()
		s.once(60, relay)
		if s.note() != "" {
			t.Errorf("the finished campaign says %q", s.note())
		}
	})
}

func TestACampaignEndsOutsideItsHours(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 3)
	s.hours = office
	s.build()
	relay := newFakeRelay(t, func(step, recipient string) string {
		if step == "dot" && recipient == address(3) {
			s.clock.advance(10 * time.Hour)
		}
		return ""
	})
	s.start(relay.relays(t, "?connections=1"), s.quick())
	s.untilFinished()
	s.once(3, relay)
}

func warmups(t testing.TB, list string) queue.Warmups {
	t.Helper()
	w, err := queue.ParseWarmups(list)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestBadWarmups(t *testing.T) {
	if w := warmups(t, " A.example = 2026-05-04:1, 2;b.example=2026-01-01:7; "); len(w) != 2 {
		t.Errorf("read as %v", w)
	}
	for _, list := range []string{"a.example", "a.example=50", "a.example=2026-05-04", "a.example=2026-05-04:", "a.example=2026-05-04:0", "a.example=2026-05-04:1,x", "=2026-05-04:1", "a.example=4.5.2026:1"} {
		if _, err := queue.ParseWarmups(list); !errors.Is(err, queue.ErrWarmups) {
			t.Errorf("%q gives %v", list, err)
		}
	}
}

// Two senders together send a new domain's allowance of the day and not one more, day after day,
// restarts included; messages put back and refusals use nothing up.
func TestSendersTogetherKeepTheAllowanceOfANewDomain(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 200)
		s.domain = "new.example"
		s.build()
		s.exec(`UPDATE contacts SET job_title = 'withdrawn' WHERE id <= 10`)
		relay := newFakeRelay(t, nil)
		o := s.quick()
		o.Warmups = warmups(t, "other.example=2026-05-04:1;new.example=2026-05-04:30,70")
		senders := 2
		if db.Dialect() == schema.SQLite { // which one process has for itself
			senders = 1
		}
		for day, want := range []int{30, 100} {
			for range 2 { // restarts
				var stops []func()
				for range senders {
					_, stop := s.start(relay.relays(t, ""), o)
					stops = append(stops, stop)
				}
				on := startOfMay(5 + day).Format("2 January 2006 15:04 MST")
				s.until("the note", func() bool {
					return strings.HasPrefix(s.note(), "waits for tomorrow: new.example has sent the ") && strings.HasSuffix(s.note(), on)
				})
				for _, stop := range stops {
					stop()
				}
				if n := relay.total(); n != want {
					t.Fatalf("by day %d %d were sent, want %d", day+1, n, want)
				}
			}
			if s.status() != "sending" {
				t.Fatalf("the campaign is %s", s.status())
			}
			s.clock.advance(24 * time.Hour)
		}
		var used []int
		if err := s.Select(t.Context(), &used, `SELECT n FROM warmups WHERE domain = 'new.example' ORDER BY day`); err != nil || len(used) != 2 || used[0] != 30 || used[1] != 70 {
			t.Errorf("used up: %v, %v", used, err)
		}
		s.start(relay.relays(t, ""), o)
		s.untilFinished()
		if n := s.counts(); relay.total() != 190 || n.SkippedReasons["withdrawn"] != 10 || s.note() != "" {
			t.Errorf("%d were sent, messages %+v, note %q", relay.total(), n, s.note())
		}
	})
}

func startOfMay(day int) time.Time { return time.Date(2026, 5, day, 0, 0, 0, 0, time.UTC) }

// What was claimed and not tried, since its connection was gone, is not counted.
func TestAMessageThatIsPutBackUsesNoAllowance(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 40)
	s.domain = "new.example"
	s.build()
	n := 0
	relay := newFakeRelay(t, nil)
	relay.script = func(step, _ string) string {
		relay.mu.Lock()
		defer relay.mu.Unlock()
		if n++; step == "mail" && n%7 == 0 || step == "banner" && n%3 == 0 {
			return drop
		}
		return ""
	}
	o := s.quick()
	o.Warmups, o.Backoff = warmups(t, "new.example=2026-05-04:1000"), func(int) time.Duration { return 0 }
	_, stop := s.start(relay.relays(t, "?connections=1"), o)
	s.untilFinished()
	stop()
	var used, tried int
	if err := s.Get(t.Context(), &used, `SELECT n FROM warmups`); err != nil {
		t.Fatal(err)
	}
	if err := s.Get(t.Context(), &tried, `SELECT sum(attempts) FROM messages`); err != nil || used != tried {
		t.Errorf("%d tries used up %d, %v", tried, used, err)
	}
	s.once(40, relay)
}
