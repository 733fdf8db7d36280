package queue_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

// between makes one list of relays of several fake ones, each with its parameters.
func between(t testing.TB, relays map[*fakeRelay]string, order ...*fakeRelay) []*queue.Relay {
	t.Helper()
	var all []*queue.Relay
	for _, f := range order {
		all = append(all, f.relays(t, relays[f])...)
	}
	return all
}

func TestRelaysTakeSharesByWeight(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 400)
		s.build()
		small, big := newFakeRelay(t, nil), newFakeRelay(t, nil)
		relays := between(t, map[*fakeRelay]string{small: "?connections=8&weight=1", big: "?connections=2&weight=4"}, small, big)
		_, stop := s.start(relays, s.quick())
		s.untilFinished()
		stop()
		s.once(400, small, big)
		if n := small.total(); n < 70 || n > 110 { // a fifth, and what it took while the other was being connected
			t.Errorf("the relay of weight 1 took %d of 400, the one of weight 4 took %d", n, big.total())
		}
	})
}

// A relay that is full at its own rate, or does not answer, is waited for by nobody.
func TestNoShareIsKeptForARelayThatCannotTakeIt(t *testing.T) {
	for name, c := range map[string]struct {
		parameters string
		script     func(step, recipient string) string
	}{
		"at its rate":    {"?connections=4&weight=100&rate=2", nil},
		"without answer": {"?connections=2&weight=100", func(step, _ string) string { return map[string]string{"mail": stall}[step] }},
		"gone":           {"?connections=2&weight=100", func(step, _ string) string { return map[string]string{"banner": drop}[step] }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, servertest.SQLite(t), 300)
			s.build()
			able, other := newFakeRelay(t, nil), newFakeRelay(t, c.script)
			s.start(between(t, map[*fakeRelay]string{able: "?weight=1", other: c.parameters}, other, able), s.quick())
			begun := time.Now()
			s.until("nearly all", func() bool { return able.total() >= 290 })
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// One of two relays is killed in the middle: the other takes everything over, and everything arrives
// once.
func TestWhenARelayDiesTheOtherTakesOverAtOnce(t *testing.T) {
	for _, weights := range [][2]string{{"?connections=3", "?connections=3"}, {"?connections=3&weight=1", "?connections=3&weight=9"}, {"?connections=3&weight=0", "?connections=3"}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			servertest.Databases(t, func(t *testing.T, db *schema.DB) {
				s := newStage(t, db, 300)
				s.build()
				var known atomic.Pointer[fakeRelay]
				var dead atomic.Bool
				heir := newFakeRelay(t, nil)
				dying := newFakeRelay(t, func(step, _ string) string {
					if self := known.Load(); (step == "mail" || step == "banner") && (dead.Load() || self != nil && self.total() >= 60) {
						dead.Store(true)
						return drop
					}
					return ""
				})
				known.Store(dying)
				o := s.quick()
				o.Redial, o.Backoff = time.Minute, func(int) time.Duration { return 0 }
				_, stop := s.start(between(t, map[*fakeRelay]string{heir: weights[0], dying: weights[1]}, dying, heir), o)
				s.untilFinished()
				stop()
				s.once(300, heir, dying)
				if !dead.Load() || dying.total() > 70 {
					t.Errorf("the relay that died took %d", dying.total())
				}
			})
		})
	}
}

func TestAStandbyIsUsedOnlyWhileTheOthersAreOut(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 200)
	s.build()
	regular, standby := newFakeRelay(t, nil), newFakeRelay(t, nil)
	_, stop := s.start(between(t, map[*fakeRelay]string{regular: "?connections=1", standby: "?connections=4&weight=0"}, standby, regular), s.quick())
	s.untilFinished()
	stop()
	if standby.total() != 0 {
		t.Errorf("the standby took %d while the other worked", standby.total())
	}
	s.once(200, regular)

	s.campaign = s.newCampaign()
	s.build()
	var refuses atomic.Bool
	refuses.Store(true)
	moody := newFakeRelay(t, func(step, _ string) string {
		if step == "banner" && refuses.Load() {
			return "421 4.3.2 not now"
		}
		return ""
	})
	standby = newFakeRelay(t, func(step, _ string) string {
		if step == "dot" {
			refuses.Store(false) // it works again as soon as the standby has begun
		}
		return ""
	})
	_, stop = s.start(between(t, map[*fakeRelay]string{moody: "?connections=2", standby: "?connections=1&weight=0"}, moody, standby), s.quick())
	s.untilFinished()
	stop()
	s.once(200, moody, standby)
	if standby.total() == 0 || moody.total() == 0 {
		t.Errorf("the standby took %d, the other %d when it was back", standby.total(), moody.total())
	}
}

// once checks that each of the stage's recipients got one mail, from one of the relays.
func (s *stage) once(n int, relays ...*fakeRelay) {
	s.t.Helper()
	for i := 1; i <= n; i++ {
		got := 0
		for _, f := range relays {
			got += f.count(address(i))
		}
		if got != 1 {
			s.t.Errorf("recipient %d got %d mails", i, got)
		}
	}
}
