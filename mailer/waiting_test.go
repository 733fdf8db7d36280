package mailer_test

import (
	"strings"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

func (w *world) untilNote(m *mailer.Mailer, c mailer.Campaign, note string) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		s := w.status(m, c.ID)
		if s.StatusNote == note && s.Status == mailer.Sending {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("the campaign is %s and says %q, want %q", s.Status, s.StatusNote, note)
		}
	}
}

// A campaign waits for its hours and for its sender's allowance, says so, and takes a pause and a
// cancellation meanwhile.
func TestACampaignWaitsAndSaysUntilWhen(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		for _, email := range []string{"a@example.org", "b@example.org", "c@example.org"} {
			w.optIn(w.person(email, "", ""), false)
		}
		var err error
		w.options.Sender.Warmups, err = queue.ParseWarmups("acme.example=2026-05-04:2")
		w.ok(err)
		m := mailer.New(w.options)
		w.run(m)
		d := w.draft(w.everybody())
		rate := 500.0
		d.Rate = &rate
		d.Window = &mailer.Window{From: "11:00", To: "12:30", Zone: "Europe/London", Days: []string{"mon", "wed"}} // it is Monday, 10:00 there
		c := w.create(m, d)
		_, err = m.Launch(t.Context(), c.ID)
		w.ok(err)
		hours := "waits for its hours, and goes on at 4 May 2026 11:00 BST"
		w.untilNote(m, c, hours)
		if s := w.status(m, c.ID); s.Messages[queue.Queued] != 3 {
			t.Fatalf("messages: %+v", s.Messages)
		}
		all, err := m.Sending(t.Context())
		w.ok(err)
		if len(all) != 1 || all[0].Rate != 500 || all[0].Domain != "acme.example" {
			t.Errorf("to be sent: %+v", all)
		}
		_, err = m.Pause(t.Context(), c.ID)
		w.ok(err)
		w.advance(time.Hour)
		if s := w.status(m, c.ID); s.Status != mailer.Paused || s.StatusNote != "" || s.Messages[queue.Queued] != 3 {
			t.Errorf("paused: %+v", s)
		}
		_, err = m.Resume(t.Context(), c.ID)
		w.ok(err)
		w.untilNote(m, c, "waits for tomorrow: acme.example has sent the 2 mails that it may send on 4 May 2026. It goes on at 6 May 2026 11:00 BST")
		if s := w.status(m, c.ID); s.Messages[queue.Sent] != 2 || s.Messages[queue.Queued] != 1 {
			t.Errorf("messages: %+v", s.Messages)
		}
		_, err = m.Cancel(t.Context(), c.ID)
		w.ok(err)
		if s := w.status(m, c.ID); s.Status != mailer.Cancelled || s.Messages[queue.Skipped] != 1 || strings.Contains(s.StatusNote, "waits") {
			t.Errorf("cancelled: %+v", s)
		}
	})
}
