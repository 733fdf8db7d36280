package queue_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

func sql(text string, args ...any) consent.Fragment { return consent.Fragment{SQL: text, Args: args} }

func TestBuildTakesEachContactOnceOnTheFirstGroundThatHolds(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 12)
		s.exec(`UPDATE contacts SET job_title = 'withdrawn' WHERE id = 5`)
		spec := queue.BuildSpec{
			Campaign: s.campaign, Chunk: 3,
			Parts: []queue.Part{
				{Via: 0, Member: sql(`c.id <= ?`, 6), Allowed: sql(`c.id <> ? AND c.job_title = ''`, 2)},
				{Via: 9, Member: sql(`c.id BETWEEN ? AND ?`, 2, 8), Allowed: sql(`c.id <> ? AND c.job_title = ''`, 8)},
			},
			Except: []consent.Fragment{sql(`c.id = ?`, 6), sql(`c.id = ?`, 100)},
		}
		for range 2 { // the second changes nothing
			if err := queue.Build(t.Context(), s.DB, func() (queue.BuildSpec, error) { return spec, nil }); err != nil {
				t.Fatal(err)
			}
			s.exec(`UPDATE campaigns SET build_after = 0`) // as if the cursor had been lost
		}
		var got []struct {
			Contact int `db:"contact"`
			Via     int `db:"via"`
		}
		if err := s.Select(t.Context(), &got, `SELECT contact, via FROM messages WHERE campaign = ? ORDER BY contact`, s.campaign); err != nil {
			t.Fatal(err)
		}
		want := [][2]int{{1, 0}, {2, 9}, {3, 0}, {4, 0}, {7, 9}}
		if len(got) != len(want) {
			t.Fatalf("built %v, want %v", got, want)
		}
		for i, w := range want {
			if got[i].Contact != w[0] || got[i].Via != w[1] {
				t.Errorf("built %v, want %v", got, want)
				break
			}
		}
	})
}

func TestABuildCutShortGoesOnWhereItStopped(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 100)
		ctx, cancel := context.WithCancel(t.Context())
		chunks := 0
		spec := func() (queue.BuildSpec, error) {
			if chunks++; chunks == 4 {
				cancel()
			}
			return queue.BuildSpec{Campaign: s.campaign, Chunk: 10, Parts: []queue.Part{everybody(0)}}, nil
		}
		if err := queue.Build(ctx, s.DB, spec); err == nil {
			t.Fatal("the cancelled build ended well")
		}
		if n := s.counts(); n.Messages[queue.Queued] != 30 {
			t.Fatalf("three chunks made %+v", n)
		}
		s.exec(`UPDATE campaigns SET status = 'paused'`)
		if err := queue.Build(t.Context(), s.DB, spec); err != nil || s.counts().Messages[queue.Queued] != 30 {
			t.Fatalf("built for a paused campaign: %v", err)
		}
		s.exec(`UPDATE campaigns SET status = 'sending'`)
		if err := queue.Build(t.Context(), s.DB, spec); err != nil || s.counts().Messages[queue.Queued] != 100 {
			t.Fatalf("%v, and %+v", err, s.counts())
		}
		if chunks > 14 {
			t.Errorf("took %d chunks", chunks)
		}
	})
}

func TestPauseStopsBeforeTheNextMessageAndResumeGoesOn(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 30)
		s.build()
		var once sync.Once
		relay := newFakeRelay(t, func(step, _ string) string {
			if step == "dot" {
				once.Do(func() { s.exec(`UPDATE campaigns SET status = 'paused'`) })
			}
			return ""
		})
		sender, _ := s.start(relay.relays(t, "?connections=1"), s.quick())
		s.until("the first message", func() bool { return s.counts().Messages[queue.Sent] == 1 })
		sender.Wake()
		if n := s.counts(); n.Messages[queue.Sent] != 1 || n.Messages[queue.Queued] != 29 {
			t.Errorf("paused with %+v", n)
		}
		s.exec(`UPDATE campaigns SET status = 'sending'`)
		s.untilFinished()
		s.accounts(relay, 30)
	})
}

func TestCancelSkipsWhoWasNotReached(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 700)
		s.build()
		s.exec(`UPDATE messages SET status = 'sent' WHERE contact = 1`)
		s.exec(`UPDATE messages SET status = 'deferred' WHERE contact = 2`)
		s.exec(`UPDATE messages SET status = 'sending' WHERE contact = 3`)
		if err := queue.Cancel(t.Context(), s.DB, s.campaign); err != nil {
			t.Fatal(err)
		}
		n := s.counts()
		if n.Messages[queue.Sent] != 1 || n.Messages[queue.Sending] != 1 || n.SkippedReasons[queue.ReasonCancelled] != 698 {
			t.Errorf("messages: %+v", n)
		}
	})
}

func TestUnknownMessagesAreSentAgainOnWordAloneAndNotTooEarly(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := newStage(t, db, 600)
		s.build()
		now := schema.At(s.clock.now())
		s.exec(`UPDATE messages SET status = 'unknown', reason = 'no-answer', lease = 'x', lease_end = ?`, now.Add(-2*time.Minute))
		s.exec(`UPDATE messages SET lease_end = ? WHERE contact > 598`, now.Add(-time.Second))
		listed, err := queue.ByStatus(t.Context(), s.DB, s.campaign, queue.Unknown, 0, 10)
		if err != nil || len(listed) != 10 || listed[9].Contact != 10 {
			t.Fatalf("listed: %+v, %v", listed, err)
		}
		if listed, err = queue.ByStatus(t.Context(), s.DB, s.campaign, queue.Unknown, listed[9].Message, 1000); err != nil || len(listed) != 590 {
			t.Fatalf("listed %d more, %v", len(listed), err)
		}
		r, err := queue.Resend(t.Context(), s.DB, s.campaign, s.clock.now(), time.Minute)
		if err != nil || r != (queue.Resolution{Changed: 598, Early: 2}) {
			t.Fatalf("resend: %+v, %v", r, err)
		}
		if n := s.counts(); n.Messages[queue.Queued] != 598 || n.Messages[queue.Unknown] != 2 {
			t.Errorf("messages: %+v", n)
		}
		r, err = queue.Leave(t.Context(), s.DB, s.campaign)
		if err != nil || r != (queue.Resolution{Changed: 2}) {
			t.Fatalf("leave: %+v, %v", r, err)
		}
		s.clock.advance(time.Hour)
		if r, err = queue.Resend(t.Context(), s.DB, s.campaign, s.clock.now(), time.Minute); err != nil || r.Changed != 0 {
			t.Errorf("what was left is sent again: %+v, %v", r, err)
		}
		if got := s.message(600); got.Status != queue.Unknown || got.Reason != queue.ReasonLeft {
			t.Errorf("stored as %+v", got)
		}
	})
}

func TestCitedSourcesAreStored(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 3)
	s.build()
	s.exec(`UPDATE messages SET via = contact WHERE contact > 1`)
	relay := newFakeRelay(t, nil)
	s.start(relay.relays(t, ""), s.quick())
	s.untilFinished()
	for i, want := range []string{"", "|2|77|", "|3|77|"} {
		if got := s.message(i + 1); got.Cited != want || got.Status != queue.Sent {
			t.Errorf("message %d cites %q, want %q: %+v", i+1, got.Cited, want, got)
		}
	}
}

func TestRatesAreKept(t *testing.T) {
	for _, c := range []struct {
		name, parameters string
		campaign         float64
	}{{"of the relay", "?rate=40", 0}, {"of the campaign", "", 40}} {
		s := newStage(t, servertest.SQLite(t), 9)
		s.rate = c.campaign
		s.build()
		relay := newFakeRelay(t, nil)
		start := time.Now()
		s.start(relay.relays(t, c.parameters), s.quick())
		s.untilFinished()
		if took := time.Since(start); took < 150*time.Millisecond { // 7 after a burst of 2, at 40 per second
			t.Errorf("%s: nine messages at 40 per second took %s", c.name, took)
		}
	}
}

func TestSeveralCampaignsShareTheConnections(t *testing.T) {
	s := newStage(t, servertest.SQLite(t), 50)
	first := s.campaign
	s.build()
	s.campaign = s.newCampaign()
	s.build()
	relay := newFakeRelay(t, nil)
	s.start(relay.relays(t, "?connections=2"), s.quick())
	s.untilFinished()
	var left int
	if err := s.Get(t.Context(), &left, `SELECT count(*) FROM messages WHERE campaign = ? AND status <> 'sent'`, first); err != nil {
		t.Fatal(err)
	}
	if left > 10 {
		t.Errorf("%d of the first campaign wait behind the second", left)
	}
	s.campaign = first
	s.untilFinished()
}

func TestDeliverTakesOneMessageToTheFirstRelayThatWorks(t *testing.T) {
	relay := newFakeRelay(t, nil)
	gone := newFakeRelay(t, nil)
	relays := append(gone.relays(t, ""), relay.relays(t, "")...)
	gone.close()
	if err := queue.Deliver(t.Context(), relays, queue.Options{}, "a@acme.example", address(1), []byte("Subject: test\r\n\r\nhello\r\n")); err != nil || relay.count(address(1)) != 1 {
		t.Errorf("taken %d times, %v", relay.count(address(1)), err)
	}
	if err := queue.Deliver(t.Context(), nil, queue.Options{}, "a@acme.example", address(1), nil); err == nil {
		t.Error("no relay took it")
	}
}
