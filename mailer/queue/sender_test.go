package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestEverybodyIsMailedOnceAndTheCampaignEnds(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 300)
		s.exec(`UPDATE contacts SET topics = 7 WHERE id = 2`)
		s.build()
		relay := newFakeRelay(t, nil)
		_, stop := s.start(relay.relays(t, ""), s.quick())
		s.untilFinished()
		stop()
		for i := 1; i <= 300; i++ {
			if n := relay.count(address(i)); n != 1 {
				t.Errorf("recipient %d got %d mails", i, n)
			}
		}
		if n := s.counts(); n.Messages[queue.Sent] != 300 {
			t.Errorf("messages: %+v", n)
		}
		want := row{Status: queue.Sent, Code: 250, Mode: "anonymous", Attempts: 1, SentAt: schema.At(s.clock.now())}
		if got := s.message(1); got != want {
			t.Errorf("a sent message is stored as %+v, want %+v", got, want)
		}
		want.Mode, want.Epoch = "identified", 7
		if got := s.message(2); got != want {
			t.Errorf("that of a tracked contact as %+v, want %+v", got, want)
		}
	})
}

// Each fault has a campaign of its own, of one recipient, on one database.
func TestWhatBecomesOfAMessage(t *testing.T) {
	const hour = time.Hour
	faults := []struct {
		step, answer string
		status       queue.Status
		reason       string
		code         int
		taken        int
		attempts     int
	}{
		{"mail", "451 4.3.0 later", queue.Deferred, queue.ReasonTemporary, 451, 0, 1},
		{"mail", "421 4.3.2 closing", queue.Deferred, queue.ReasonTemporary, 421, 0, 1},
		{"mail", "550 5.1.8 who are you", queue.Failed, queue.ReasonRefused, 550, 0, 1},
		{"mail", drop, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"mail", stall, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"mail", "what?", queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"rcpt", "450 4.2.0 greylisted", queue.Deferred, queue.ReasonTemporary, 450, 0, 1},
		{"rcpt", "550 5.1.1 no such user", queue.Failed, queue.ReasonRefused, 550, 0, 1},
		{"rcpt", drop, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"rcpt", stall, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"data", "452 4.3.1 no space", queue.Deferred, queue.ReasonTemporary, 452, 0, 1},
		{"data", "554 5.6.0 no", queue.Failed, queue.ReasonRefused, 554, 0, 1},
		{"data", "250 ok", queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"data", drop, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"data", stall, queue.Deferred, queue.ReasonNetwork, 0, 0, 1},
		{"dot", "250 2.0.0 queued", queue.Sent, "", 250, 1, 1},
		{"dot", "252 fine", queue.Sent, "", 252, 0, 1},
		{"dot", "451 4.7.1 later", queue.Deferred, queue.ReasonTemporary, 451, 0, 1},
		{"dot", "554 5.6.0 spam", queue.Failed, queue.ReasonRefused, 554, 0, 1},
		{"dot", drop, queue.Unknown, queue.ReasonNoAnswer, 0, 1, 1},
		{"dot", stall, queue.Unknown, queue.ReasonNoAnswer, 0, 1, 1},
		{"dot", "hm", queue.Unknown, queue.ReasonNoAnswer, 0, 0, 1},
		{"dot", "354 go on", queue.Unknown, queue.ReasonNoAnswer, 0, 0, 1},
	}
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 1)
		for _, f := range faults {
			for _, offers := range [][]string{{"PIPELINING", "8BITMIME"}, nil} {
				name := fmt.Sprintf("%s answered by %s (%d extensions)", f.step, f.answer, len(offers))
				s.campaign = s.newCampaign()
				s.build()
				relay := newFakeRelay(t, func(step, _ string) string {
					if step == f.step {
						return f.answer
					}
					return ""
				})
				relay.offers = offers
				o := s.quick()
				o.CommandTimeout, o.DataTimeout = 10*time.Second, 10*time.Second
				if f.answer == stall {
					o.CommandTimeout, o.DataTimeout = 150*time.Millisecond, 150*time.Millisecond
				}
				_, stop := s.start(relay.relays(t, "?connections=1"), o)
				s.until(name, func() bool { return s.message(1).Status == f.status })
				stop()
				got := s.message(1)
				if got.Reason != f.reason || got.Code != f.code || got.Attempts != f.attempts {
					t.Errorf("%s is stored as %+v", name, got)
				}
				if n := relay.count(address(1)); n != f.taken {
					t.Errorf("%s: the relay took it %d times", name, n)
				}
				if deferred := got.NextAt == schema.At(s.clock.now().Add(hour)); deferred != (f.status == queue.Deferred) {
					t.Errorf("%s: next at %s", name, got.NextAt)
				}
				if held := got.Lease != ""; held != (f.status == queue.Unknown) {
					t.Errorf("%s: lease %q", name, got.Lease)
				}
				s.exec(`UPDATE campaigns SET status = 'cancelled'`)
			}
		}
	})
}

func TestAConnectionLostInsideTheMessageIsTriedAgain(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 1)
	s.size = 8 << 20 // more than the sockets hold, so that the loss is noticed before the dot
	s.build()
	var times atomic.Int32
	relay := newFakeRelay(t, func(step, _ string) string {
		if step == "body" && times.Add(1) == 1 {
			return drop
		}
		return ""
	})
	s.start(relay.relays(t, ""), s.quick())
	s.until("deferral", func() bool { return s.message(1).Status == queue.Deferred })
	s.clock.advance(2 * time.Hour)
	s.untilFinished()
	if got := s.message(1); got.Status != queue.Sent || got.Attempts != 2 || relay.count(address(1)) != 1 {
		t.Fatalf("stored as %+v, taken %d times", got, relay.count(address(1)))
	}
}

func TestARelayThatCannotBeUsedCostsNoAttempt(t *testing.T) {
	cert, roots := queue.Certificate(t, "localhost")
	for _, c := range []struct{ name, step, answer, told string }{
		{"refuses at the banner", "banner", "554 5.3.2 no service", "554"},
		{"is busy at the banner", "banner", "421 4.3.2 later", "421"},
		{"closes at the banner", "banner", drop, "closes the connection"},
		{"is silent at the banner", "banner", stall, "does not answer in time"},
		{"talks nonsense at the banner", "banner", "hello", "cannot be used"},
		{"refuses EHLO and HELO", "ehlo", "502 5.5.1 no", "502"},
		{"closes at EHLO", "ehlo", drop, "closes the connection"},
		{"is silent at EHLO", "ehlo", stall, "does not answer in time"},
		{"refuses STARTTLS", "starttls", "454 4.7.0 no TLS today", "454"},
		{"closes at STARTTLS", "starttls", drop, "closes the connection"},
		{"is silent at STARTTLS", "starttls", stall, "does not answer in time"},
		{"says yes to STARTTLS in the wrong words", "starttls", "250 ok", "250"},
		{"says yes to STARTTLS and speaks no TLS", "starttls", "", "TLS handshake"},
		{"refuses the password", "auth", "535 5.7.8 who are you", "user name or password"},
		{"cannot look the password up", "auth", "454 4.7.0 later", "454"},
		{"closes at AUTH", "auth", drop, "closes the connection"},
		{"is silent at AUTH", "auth", stall, "does not answer in time"},
		{"says yes to AUTH in the wrong words", "auth", "250 ok", "250"},
		{"never has enough of AUTH", "auth", "334 bW9yZQ==", "cannot be used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, servertest.SQLite(t), 3)
			s.build()
			var mended atomic.Bool
			relay := newFakeRelay(t, func(step, _ string) string {
				if step == c.step && !mended.Load() {
					return c.answer
				}
				return ""
			})
			relay.offers = append(relay.offers, "AUTH PLAIN", "STARTTLS")
			_, port, _ := net.SplitHostPort(relay.listener.Addr().String())
			name, mode := "localhost:"+port, "none"
			if c.step == "starttls" {
				mode = "starttls"
				if c.answer != "" {
					relay.certificate = &cert
				}
			}
			relays, err := queue.ParseRelays("smtp://ann:s3cret@" + name + "?tls=" + mode)
			if err != nil {
				t.Fatal(err)
			}
			relays[0].Trust(roots)
			o := s.quick()
			o.DialTimeout = 60 * time.Millisecond
			s.start(relays, o)
			s.until("a note about the relay", func() bool { return s.note() != "" })
			if note := s.note(); !strings.HasPrefix(note, "relay "+name+" ") || !strings.Contains(note, c.told) || strings.Contains(note, "s3cret") {
				t.Errorf("the note is %q", note)
			}
			for i := 1; i <= 3; i++ {
				if got := s.message(i); got.Status != queue.Queued || got.Attempts != 0 {
					t.Errorf("message %d: %+v", i, got)
				}
			}
			if c.step == "starttls" && c.answer == "" {
				return // it never learns TLS
			}
			mended.Store(true)
			s.untilFinished()
			if n := s.counts(); n.Messages[queue.Sent] != 3 || relay.total() != 3 || s.note() != "" {
				t.Errorf("afterwards %+v, taken %d, note %q", n, relay.total(), s.note())
			}
		})
	}
}

// After a refusal comes RSET, on whose answer the next message depends.
func TestWhateverComesOfAResetTheNextMessageIsSentOnce(t *testing.T) {
	for _, answer := range []string{"", drop, stall, "421 4.3.2 closing", "250-", "354 go on", "500 5.5.1 what", "nonsense"} {
		for _, offers := range [][]string{{"PIPELINING", "8BITMIME"}, nil} {
			t.Run(fmt.Sprintf("%q, %d extensions", answer, len(offers)), func(t *testing.T) {
				s := newStage(t, servertest.SQLite(t), 4)
				s.build()
				relay := newFakeRelay(t, func(step, recipient string) string {
					switch {
					case step == "rcpt" && recipient == address(2):
						return "550 5.1.1 no such user"
					case step == "rset":
						return answer
					}
					return ""
				})
				relay.offers = offers
				o := s.quick()
				o.CommandTimeout = 150 * time.Millisecond
				s.start(relay.relays(t, "?connections=1"), o)
				s.untilFinished()
				for i := 1; i <= 4; i++ {
					want, taken := queue.Sent, 1
					if i == 2 {
						want, taken = queue.Failed, 0
					}
					if got := s.message(i); got.Status != want || got.Attempts != 1 || relay.count(address(i)) != taken {
						t.Errorf("message %d: %+v, taken %d times", i, got, relay.count(address(i)))
					}
				}
			})
		}
	}
}

// A reply about the session, such as that of a relay that was told to reset and did not, or that has
// forgotten who logged in, says nothing about a recipient.
func TestRepliesAboutTheSessionAreNoRefusals(t *testing.T) {
	for _, answer := range []string{"503 5.5.1 nested MAIL command", "530 5.7.0 authentication required"} {
		t.Run(answer, func(t *testing.T) {
			s := newStage(t, servertest.SQLite(t), 6)
			s.build()
			var mails atomic.Int32
			relay := newFakeRelay(t, func(step, recipient string) string {
				switch {
				case step == "mail" && mails.Add(1) == 3:
					return answer
				case step == "rcpt" && recipient == address(2):
					return "550 5.1.1 no such user"
				}
				return ""
			})
			relay.offers = nil
			b := &bouncer{}
			o := s.quick()
			o.Bouncer = b
			s.start(relay.relays(t, "?connections=1"), o)
			s.untilFinished()
			if n := s.counts(); n.Messages[queue.Sent] != 5 || n.Messages[queue.Failed] != 1 || relay.total() != 5 || !slices.Equal(b.told, []id.Contact{2}) {
				t.Errorf("afterwards %+v, taken %d, suppressed %v", n, relay.total(), b.told)
			}
		})
	}
}

func TestAnUnreachableRelayLosesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 20)
		s.build()
		relay := newFakeRelay(t, nil)
		relays := relay.relays(t, "")
		relay.close()
		_, stop := s.start(relays, s.quick())
		s.until("a note about the relay", func() bool { return strings.Contains(s.note(), "cannot be reached") })
		stop()
		if n := s.counts(); n.Messages[queue.Queued] != 20 {
			t.Errorf("messages: %+v", n)
		}
		if got := s.message(1); got.Lease != "" {
			t.Errorf("the stopped sender still holds %+v", got)
		}
	})
}

func TestAConnectionThatTheRelayClosedMeanwhileIsReplaced(t *testing.T) {
	for _, answer := range []string{drop, "421 4.4.2 idle for too long"} {
		s := newStage(t, servertest.SQLite(t), 9)
		s.build()
		var n atomic.Int32
		relay := newFakeRelay(t, func(step, _ string) string {
			if step == "mail" && n.Add(1)%3 == 0 { // each third, on a connection that was used before
				return answer
			}
			return ""
		})
		_, stop := s.start(relay.relays(t, "?connections=1"), s.quick())
		s.untilFinished()
		stop()
		for i := 1; i <= 9; i++ {
			if got := s.message(i); got.Status != queue.Sent || got.Attempts != 1 || relay.count(address(i)) != 1 {
				t.Errorf("%s: message %d: %+v, taken %d times", answer, i, got, relay.count(address(i)))
			}
		}
	}
}

func TestANoHoldsFromTheNextMessageOn(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 5)
		s.build()
		var once sync.Once
		relay := newFakeRelay(t, func(step, _ string) string {
			if step == "dot" { // all five are leased by now
				once.Do(func() {
					s.exec(`UPDATE contacts SET job_title = 'withdrawn' WHERE id = 4`)
					s.exec(`UPDATE messages SET contact = NULL WHERE contact = 5`)
				})
			}
			return ""
		})
		s.start(relay.relays(t, "?connections=1"), s.quick())
		s.untilFinished()
		n := s.counts()
		if n.Messages[queue.Sent] != 3 || n.SkippedReasons["withdrawn"] != 1 || n.SkippedReasons[queue.ReasonErased] != 1 {
			t.Errorf("messages: %+v", n)
		}
		if relay.count(address(4))+relay.count(address(5)) != 0 {
			t.Error("the relay took a mail to somebody who said no")
		}
		if got := s.message(4); got.Status != queue.Skipped || got.Attempts != 0 || got.Mode != "" || got.Lease != "" {
			t.Errorf("stored as %+v", got)
		}
	})
}

func TestDeferredMessagesAreTriedAgainUntilTheyFail(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 2)
	s.build()
	relay := newFakeRelay(t, func(step, recipient string) string {
		if step == "rcpt" && recipient == address(1) {
			return "450 4.2.0 greylisted"
		}
		return ""
	})
	o := s.quick()
	o.MaxAttempts = 3
	sender, _ := s.start(relay.relays(t, ""), o)
	for attempt := 1; attempt <= 2; attempt++ {
		s.until("deferral", func() bool { m := s.message(1); return m.Status == queue.Deferred && m.Attempts == attempt })
		if s.status() != "sending" {
			t.Fatalf("the campaign is %s while a message waits", s.status())
		}
		s.clock.advance(61 * time.Minute)
		sender.Wake()
	}
	s.untilFinished()
	if got := s.message(1); got.Status != queue.Failed || got.Reason != queue.ReasonTimes || got.Attempts != 3 || got.Code != 450 {
		t.Errorf("stored as %+v", got)
	}
}

type bouncer struct {
	mu   sync.Mutex
	told []id.Contact
	err  error
}

func (b *bouncer) Bounced(_ context.Context, _ *schema.Tx, who id.Contact) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, who)
	return b.err
}

func TestOnlyUnknownRecipientsAreSuppressed(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 4)
	s.build()
	answers := map[string]string{address(1): "550 5.1.1 no such user", address(2): "550 5.7.1 blocked", address(3): "552 5.2.2 full"}
	relay := newFakeRelay(t, func(step, recipient string) string {
		if step == "rcpt" {
			return answers[recipient]
		}
		return ""
	})
	o, b := s.quick(), &bouncer{err: errors.New("the ledger is away")}
	o.Bouncer = b
	s.start(relay.relays(t, ""), o)
	s.untilFinished()
	if len(b.told) != 1 || b.told[0] != 1 {
		t.Errorf("suppressed: %v", b.told)
	}
	if n := s.counts(); n.Messages[queue.Failed] != 3 || n.FailedReasons[queue.ReasonRefused] != 3 {
		t.Errorf("messages: %+v", n)
	}
}

func TestARunOfPolicyRefusalsPausesTheCampaign(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 40)
		s.build()
		var mended atomic.Bool
		relay := newFakeRelay(t, func(step, recipient string) string {
			if step == "dot" && !mended.Load() && recipient != address(3) { // the third is let through: the run begins anew
				return "550 5.7.1 blocked, see https://relay.example"
			}
			return ""
		})
		b := &bouncer{}
		o := s.quick()
		o.Bouncer = b
		s.start(relay.relays(t, "?connections=1"), o)
		s.until("the pause", func() bool { return s.status() == "paused" })
		n := s.counts()
		if n.Messages[queue.Failed] != 7 || n.Messages[queue.Sent] != 1 || len(b.told) != 0 {
			t.Errorf("messages: %+v, suppressed %v", n, b.told)
		}
		if note := s.note(); !strings.Contains(note, "550 5.7.1 blocked") || !strings.Contains(note, "resume") {
			t.Errorf("the note is %q", note)
		}
		mended.Store(true)
		s.exec(`UPDATE campaigns SET status = 'sending', status_note = '' WHERE id = ?`, s.campaign)
		s.untilFinished()
		if n := s.counts(); n.Messages[queue.Sent] != 33 || n.Messages[queue.Failed] != 7 {
			t.Errorf("after the resumption: %+v", n)
		}
	})
}

func TestAddressesInOtherScriptsNeedSMTPUTF8(t *testing.T) {
	for _, offered := range []bool{false, true} {
		s := newStage(t, servertest.SQLite(t), 2)
		s.exec(`UPDATE contacts SET email = 'jörg@example.org' WHERE id = 1`)
		s.build()
		relay := newFakeRelay(t, nil)
		if offered {
			relay.offers = append(relay.offers, "SMTPUTF8")
		}
		_, stop := s.start(relay.relays(t, ""), s.quick())
		s.untilFinished()
		stop()
		got := s.message(1)
		if offered {
			if got.Status != queue.Sent || relay.count("jörg@example.org") != 1 {
				t.Errorf("offered, and stored as %+v", got)
			}
		} else if got.Status != queue.Failed || got.Reason != queue.ReasonSMTPUTF8 {
			t.Errorf("not offered, and stored as %+v", got)
		}
		utf8 := 0
		for _, line := range relay.lines {
			if strings.Contains(line, "SMTPUTF8") {
				utf8++
			}
		}
		if s.message(2).Status != queue.Sent || offered && utf8 != 1 || !offered && utf8 != 0 {
			t.Errorf("SMTPUTF8 was asked for %d times", utf8)
		}
	}
}

func TestALetterThatCannotBeWrittenFailsAlone(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 3)
	s.broken = map[id.Contact]bool{2: true}
	s.build()
	relay := newFakeRelay(t, nil)
	s.start(relay.relays(t, "?connections=1"), s.quick())
	s.untilFinished()
	if got := s.message(2); got.Status != queue.Failed || got.Reason != queue.ReasonTemplate || relay.total() != 2 {
		t.Errorf("stored as %+v; %d taken", got, relay.total())
	}
}
