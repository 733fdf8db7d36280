package queue_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// accounts checks that nobody was mailed twice, and that every recipient is sent, not sent, or
// listed as unknown.
func (s *stage) accounts(relay *fakeRelay, recipients int) {
	s.t.Helper()
	for i := 1; i <= recipients; i++ {
		n, m := relay.count(address(i)), s.message(i)
		switch {
		case n > 1:
			s.t.Errorf("recipient %d was mailed %d times: %+v", i, n, m)
		case m.Status == queue.Sent && n != 1, m.Status != queue.Sent && m.Status != queue.Unknown && n != 0:
			s.t.Errorf("recipient %d was mailed %d times and stands as %+v", i, n, m)
		}
	}
}

// TestSenderProcess is no test: it is the process that TestAKilledSender kills.
func TestSenderProcess(t *testing.T) {
	dsn := os.Getenv("BECKON_TEST_SENDER_DATABASE")
	if dsn == "" {
		return // runs in a process of its own, started by the test of a killed sender
	}
	db, err := schema.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{DB: db, t: t, clock: &clock{at: time.Now()}}
	relays, err := queue.ParseRelays(os.Getenv("BECKON_TEST_SENDER_RELAY"))
	if err != nil {
		t.Fatal(err)
	}
	_ = queue.NewSender(db, s, relays, s.quick()).Run(t.Context())
}

func TestAKilledSenderLosesNobodyAndRepeatsNobody(t *testing.T) {
	const recipients, connections = 400, 4
	for name, dsn := range map[string]func(t testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "beckon.db") },
		"postgres": servertest.PostgresDSN,
	} {
		t.Run(name, func(t *testing.T) {
			address := dsn(t)
			db, err := schema.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := newStage(t, db, recipients)
			s.build()
			var taken atomic.Int32
			due := make(chan struct{})
			relay := newFakeRelay(t, func(step, _ string) string {
				if step == "dot" && taken.Add(1) == 150 {
					close(due)
				}
				return ""
			})
			parameters := fmt.Sprintf("?connections=%d", connections)
			child := exec.Command(os.Args[0], "-test.run=^TestSenderProcess$")
			child.Env = append(os.Environ(), "BECKON_TEST_SENDER_DATABASE="+address, "BECKON_TEST_SENDER_RELAY=smtp://"+relay.listener.Addr().String()+parameters)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-due:
			case <-time.After(time.Minute):
			}
			_ = child.Process.Kill()
			_ = child.Wait()
			relay.hangUp()

			o := s.quick()
			o.Alone = true
			_, stop := s.start(relay.relays(t, parameters), o)
			s.untilFinished()
			stop()
			s.accounts(relay, recipients)
			n := s.counts()
			if n.Messages[queue.Sent]+n.Messages[queue.Unknown] != recipients || n.Messages[queue.Unknown] > connections {
				t.Errorf("messages: %+v", n)
			}
		})
	}
}

// A sender whose process is gone, seen by another that cannot know so: only time tells.
func TestMessagesOfAnotherSenderBecomeUnknownAfterLeaseAndTimeOut(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 4)
		s.build()
		now := schema.At(s.clock.now())
		s.exec(`UPDATE messages SET status = 'sending', attempts = 1, lease = 'gone', lease_end = ? WHERE contact = 1`, now.Add(time.Minute))
		s.exec(`UPDATE messages SET lease = 'gone', lease_end = ? WHERE contact = 2`, now.Add(time.Minute))
		relay := newFakeRelay(t, nil)
		relays := relay.relays(t, "")
		o := s.quick()
		o.DataTimeout = 2 * time.Minute
		for _, step := range []struct {
			after         time.Duration
			first, second queue.Status
		}{
			{0, queue.Sending, queue.Queued},
			{61 * time.Second, queue.Sending, queue.Sent},
			{121 * time.Second, queue.Unknown, queue.Sent},
		} {
			s.clock.advance(step.after)
			_, stop := s.start(relays, o)
			s.until(fmt.Sprintf("%+v", step), func() bool {
				return s.message(1).Status == step.first && s.message(2).Status == step.second && s.message(3).Status == queue.Sent && s.message(4).Status == queue.Sent
			})
			stop()
		}
		if got := s.message(1); got.Reason != queue.ReasonDied || relay.count(address(1)) != 0 || s.status() != "finished" {
			t.Errorf("stored as %+v in a campaign that is %s", got, s.status())
		}
	})
}

func TestTwoSendersOnOneDatabaseMailNobodyTwice(t *testing.T) {
	const recipients = 500
	dsn := servertest.PostgresDSN(t)
	open := func() *schema.DB {
		db, err := schema.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, db, recipients)
	s.build()
	relay := newFakeRelay(t, nil)
	var stops []func()
	for range 2 {
		other := *s
		other.DB = open()
		_, stop := other.start(relay.relays(t, ""), s.quick())
		stops = append(stops, stop)
	}
	s.untilFinished()
	for _, stop := range stops {
		stop()
	}
	s.accounts(relay, recipients)
	if n := s.counts(); n.Messages[queue.Sent] != recipients {
		t.Errorf("messages: %+v", n)
	}
}

// Whatever a relay does, in whatever order: nobody twice, nobody lost, and the end is reached.
func TestAnyRelayLeavesTrueAccounts(t *testing.T) {
	const recipients = 40
	answers := []string{"", "", "", "", drop, "421 4.3.2 closing", "450 4.2.0 later", "550 5.1.1 nobody", "554 5.6.0 no", "250 2.0.0 oh", "354 what", "nonsense"}
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, recipients)
		for seed := range 3 {
			s.campaign = s.newCampaign()
			s.build()
			var mu sync.Mutex
			turn := map[string]int{}
			relay := newFakeRelay(t, func(step, recipient string) string {
				if step == "banner" || step == "ehlo" || step == "quit" || step == "other" {
					recipient = ""
				}
				mu.Lock()
				turn[step+recipient]++
				k := turn[step+recipient]
				mu.Unlock()
				h := fnv.New32a()
				fmt.Fprint(h, seed, step, recipient, k)
				answer := answers[h.Sum32()%uint32(len(answers))]
				if (step == "banner" || step == "ehlo") && h.Sum32()/64%4 > 0 || step == "body" || step == "quit" {
					return ""
				}
				return answer
			})
			o := s.quick()
			o.MaxAttempts = 4
			o.PolicyRun = 1000
			sender, stop := s.start(relay.relays(t, ""), o)
			s.until("the end", func() bool {
				s.clock.advance(time.Minute)
				sender.Wake()
				return s.status() == "finished"
			})
			stop()
			s.accounts(relay, recipients)
			s.clock.advance(time.Hour)
		}
	})
}

func TestOutcomesSurviveADatabaseThatFails(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const recipients = 24
		s := newStage(t, db, recipients)
		s.build()
		f := &faulty{stage: s}
		relay := newFakeRelay(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- queue.NewSender(s.DB, f, relay.relays(t, ""), s.quick()).Run(ctx) }()
		s.untilFinished()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.accounts(relay, recipients)
		if n := s.counts(); n.Messages[queue.Sent] != recipients || f.loads.Load() < recipients/4 {
			t.Errorf("messages: %+v after %d loads", n, f.loads.Load())
		}
	})
}

// faulty makes each second claiming transaction fail at its end.
type faulty struct {
	*stage
	loads atomic.Int32
}

func (f *faulty) Sending(ctx context.Context) ([]queue.Campaign, error) {
	all, err := f.stage.Sending(ctx)
	for i := range all {
		all[i].Filler = f
	}
	return all, err
}

func (f *faulty) Load(ctx context.Context, tx *schema.Tx, ms []queue.Claimed) error {
	if f.loads.Add(1)%2 == 0 {
		var none id.Contact
		return tx.Get(ctx, &none, `SELECT id FROM contacts WHERE id = 0`)
	}
	return f.stage.Load(ctx, tx, ms)
}
