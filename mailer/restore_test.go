package mailer_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"

	"github.com/emersion/go-smtp"
)

// restored backs the world's database up, lets since happen, and moves the world to the database as
// it was.
func (w *world) restored(since func()) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "backup")
	w.ok(w.Backup(w.t.Context(), file))
	since()
	dsn := "sqlite:" + filepath.Join(w.t.TempDir(), "restored.db")
	if w.Dialect() == schema.Postgres {
		dsn = servertest.PostgresDSN(w.t)
	}
	w.ok(schema.Restore(w.t.Context(), dsn, file, false))
	db, err := schema.Open(w.t.Context(), dsn)
	w.ok(err)
	w.t.Cleanup(func() { db.Close() })
	w.ok(db.SkipIDs(w.t.Context(), 1_000_000))
	w.DB = db
	w.ledger = consent.NewLedger(db, consent.LedgerOptions{HashKey: []byte("a hash key that is used in tests"), Now: w.now})
	w.gate = consent.NewGate(db, w.cat, consent.GateOptions{Now: w.now})
	w.companies = segments.NewCompanies(db, w.now)
	w.sources = segments.NewSources(db, w.ledger, w.cat, w.now)
	w.contacts = segments.NewContacts(db, w.ledger, w.cat, w.now)
	w.segments = segments.NewSegments(db, w.gate, w.cat, w.now)
	o := &w.options
	o.DB, o.Gate, o.Ledger, o.Companies, o.Sources, o.Segments = db, w.gate, w.ledger, w.companies, w.sources, w.segments
}

func (w *world) afterRestore() mailer.Doubt {
	w.t.Helper()
	d, err := mailer.AfterRestore(w.t.Context(), w.DB, schema.At(w.now()))
	w.ok(err)
	return d
}

func (w *world) people(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		w.optIn(w.person(fmt.Sprintf("p%d@example.org", i), "", ""), false)
	}
}

// twice lists who got more than one mail.
func (w *world) twice() (who []string) {
	w.relay.mu.Lock()
	defer w.relay.mu.Unlock()
	for to, list := range w.relay.mails {
		if len(list) > 1 {
			who = append(who, to)
		}
	}
	return who
}

// TestR3R4ACampaignHalfSentAtTheBackup: the rest was sent after it. In the restored database nobody of
// them is mailed again, and all of them are listed.
func TestR3R4ACampaignHalfSentAtTheBackup(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.people(0, 8)
		m := mailer.New(w.options)
		stop := w.run(m)
		c := w.create(m, w.draft(w.everybody())).ID
		w.relay.onMail = func(string) error {
			if w.relay.total() >= 2 {
				return &smtp.SMTPError{Code: 451, Message: "enough for now"}
			}
			return nil
		}
		_, err := m.Launch(t.Context(), c)
		w.ok(err)
		w.until(m, c, "half is sent", func(s mailer.Status) bool { return s.Messages[queue.Deferred]+s.Messages[queue.Sent] == 8 })
		stop()
		sent := w.status(m, c).Messages[queue.Sent]
		w.restored(func() {
			w.relay.onMail = nil
			w.advance(time.Hour) // what was deferred is due
			again := mailer.New(w.options)
			defer w.run(again)()
			w.untilFinished(again, c)
		})
		if w.relay.total() != 8 || len(w.twice()) > 0 {
			t.Fatalf("%d mails, twice: %v", w.relay.total(), w.twice())
		}

		d := w.afterRestore()
		if d.Messages != 8-sent || len(d.Campaigns) != 1 || d.Campaigns[0] != (mailer.Doubtful{ID: c, Name: "May", Was: mailer.Sending, Now: mailer.Paused, Messages: 8 - sent}) {
			t.Errorf("%d were sent before the backup: %+v", sent, d)
		}
		if again := w.afterRestore(); again.Messages != 0 || len(again.Campaigns) != 0 || again.Drafts != 0 {
			t.Errorf("a second time: %+v", again)
		}
		m = mailer.New(w.options)
		w.run(m)
		s := w.status(m, c)
		if s.Campaign.Status != mailer.Paused || !strings.Contains(s.StatusNote, "restore") || s.Messages[queue.Unknown] != 8-sent || s.Messages[queue.Sent] != sent {
			t.Errorf("after the restore: %s %q %v", s.Campaign.Status, s.StatusNote, s.Messages)
		}
		_, err = m.Resume(t.Context(), c)
		w.ok(err)
		s = w.untilFinished(m, c)
		if w.relay.total() != 8 || s.Messages[queue.Unknown] != 8-sent {
			t.Errorf("resumed: %d mails, twice to %v, %v", w.relay.total(), w.twice(), s.Messages)
		}

		// On the marketer's word, who is at once heard, they are sent again.
		r, err := m.ResolveUnknown(t.Context(), c, "resend")
		if err != nil || r.Changed != 8-sent || r.Early != 0 {
			t.Errorf("resend: %+v, %v", r, err)
		}
		s = w.untilFinished(m, c)
		if s.Messages[queue.Sent] != 8 || w.relay.total() != 8+int(8-sent) {
			t.Errorf("resent: %v, %d mails", s.Messages, w.relay.total())
		}
	})
}

// TestR3R4AnAudienceHalfBuiltAtTheBackup: those who were not yet in the queue may have been mailed too.
func TestR3R4AnAudienceHalfBuiltAtTheBackup(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.people(0, 6)
		m := mailer.New(w.options)
		c := w.launch(m, w.draft(w.everybody())) // nobody builds yet
		var third id.Contact
		w.ok(db.Get(t.Context(), &third, `SELECT id FROM contacts ORDER BY id LIMIT 1 OFFSET 2`))
		w.exec(`INSERT INTO messages (campaign, contact, status) SELECT ?, id, 'queued' FROM contacts WHERE id <= ?`, c, third)
		w.exec(`UPDATE campaigns SET build_after = ? WHERE id = ?`, third, c)
		w.restored(func() {
			again := mailer.New(w.options)
			defer w.run(again)()
			w.untilFinished(again, c)
		})
		if d := w.afterRestore(); d.Messages != 3 {
			t.Errorf("%+v", d)
		}
		w.people(6, 8) // who are added now may have been there before, under an id that is lost
		m = mailer.New(w.options)
		w.run(m)
		_, err := m.Resume(t.Context(), c)
		w.ok(err)
		s := w.untilFinished(m, c)
		if s.Messages[queue.Unknown] != 8 || s.Messages[queue.Sent] != 0 || w.relay.total() != 6 || len(w.twice()) > 0 {
			t.Errorf("%v, %d mails, twice to %v", s.Messages, w.relay.total(), w.twice())
		}
		// What is launched from now on is sent as ever.
		other := w.launch(m, w.draft(w.everybody()))
		if s := w.untilFinished(m, other); s.Messages[queue.Sent] != 8 {
			t.Errorf("a new campaign: %v", s.Messages)
		}
	})
}

func TestR3R4WhatARestoreDoesToCampaigns(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.people(0, 3)
		m := mailer.New(w.options)
		everybody := w.everybody()
		at := func(d time.Duration) mailer.Draft {
			k := w.draft(everybody)
			k.SendAt = schema.At(w.now().Add(d))
			return k
		}
		draft := w.create(m, w.draft(everybody)).ID
		soon, late := w.launch(m, at(time.Hour)), w.launch(m, at(48*time.Hour))
		paused, cancelled := w.launch(m, w.draft(everybody)), w.launch(m, w.draft(everybody))
		w.exec(`INSERT INTO messages (campaign, contact, status, lease, lease_end) SELECT ?, id, 'sending', 'somebody', ? FROM contacts`, paused, schema.At(w.now()))
		w.exec(`INSERT INTO messages (campaign, contact, status) SELECT ?, id, 'queued' FROM contacts`, cancelled)
		w.exec(`UPDATE campaigns SET built = ?, status = 'paused', status_note = 'too many complaints' WHERE id = ?`, true, paused)
		w.exec(`UPDATE campaigns SET built = ?, status = 'cancelled' WHERE id = ?`, true, cancelled)
		finished := w.launch(m, w.draft(everybody))
		w.exec(`INSERT INTO messages (campaign, contact, status, reason) SELECT ?, id, 'unknown', 'left' FROM contacts`, finished)
		w.exec(`UPDATE campaigns SET built = ?, status = 'finished' WHERE id = ?`, true, finished)

		w.advance(24 * time.Hour)
		d := w.afterRestore()
		if d.Messages != 3 || d.Drafts != 1 || len(d.Campaigns) != 3 {
			t.Errorf("%+v", d)
		}
		if again := w.afterRestore(); again.Messages+again.Drafts != 0 || len(again.Campaigns) != 0 {
			t.Errorf("a second time: %+v", again)
		}
		for _, want := range []struct {
			what   string
			c      id.Campaign
			status mailer.CampaignStatus
			note   string
		}{
			{"a draft", draft, mailer.DraftStatus, "may have been launched"},
			{"a scheduled one whose time has come", soon, mailer.DraftStatus, "may have been sent"},
			{"a scheduled one", late, mailer.DraftStatus, "may have been cancelled"},
			{"a paused one", paused, mailer.Paused, "paused before: too many complaints"},
			{"a cancelled one", cancelled, mailer.Cancelled, ""},
			{"a finished one", finished, mailer.Finished, ""},
		} {
			k, err := m.Get(t.Context(), want.c)
			if err != nil || k.Status != want.status || !strings.Contains(k.StatusNote, want.note) || want.note == "" && k.StatusNote != "" {
				t.Errorf("%s: %s %q, %v", want.what, k.Status, k.StatusNote, err)
			}
		}
		if r, err := m.ResolveUnknown(t.Context(), finished, "resend"); err != nil || r.Changed != 0 {
			t.Errorf("what the marketer had left: %+v, %v", r, err)
		}
		if r, err := m.ResolveUnknown(t.Context(), paused, "leave"); err != nil || r.Changed != 3 {
			t.Errorf("leave: %+v, %v", r, err)
		}

		w.run(m)
		w.until(m, cancelled, "the end of the cancelled one", func(s mailer.Status) bool { return s.Messages[queue.Skipped] == 3 })
		for c, sent := range map[id.Campaign]int64{draft: 3, soon: 0} {
			check, err := m.Check(t.Context(), c)
			if err != nil || len(check.Problems) > 0 {
				t.Errorf("check: %+v, %v", check, err)
			}
			if _, err := m.Launch(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			s := w.untilFinished(m, c)
			if s.Messages[queue.Sent] != sent || s.Messages[queue.Unknown] != 3-sent || s.StatusNote != "" {
				t.Errorf("launched again: %v %q", s.Messages, s.StatusNote)
			}
		}
		k, err := m.Launch(t.Context(), late)
		if err != nil || k.Status != mailer.Scheduled {
			t.Fatalf("%s, %v", k.Status, err)
		}
		w.advance(25 * time.Hour)
		if s := w.untilFinished(m, late); s.Messages[queue.Sent] != 3 {
			t.Errorf("scheduled again: %v", s.Messages)
		}
	})
}
