package queue

import (
	"slices"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func exec(t *testing.T, db *schema.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func statuses(t *testing.T, db *schema.DB) []string {
	t.Helper()
	var all []string
	if err := db.Select(t.Context(), &all, `SELECT status FROM messages ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	return all
}

// held is a campaign with messages in the given statuses, leased by the sender that is returned.
func held(t *testing.T, db *schema.DB, list ...string) *Sender {
	t.Helper()
	s := NewSender(db, nil, nil, Options{Now: func() time.Time { return time.Unix(1000, 0) }})
	exec(t, db, `INSERT INTO companies (id, slug, name, created_at) VALUES (1, 'acme', 'ACME', 1)`)
	exec(t, db, `INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, built, created_at) VALUES (1, 'c', 1, 't', 's', 'f', '', '{}', 'off', 'sending', ?, 1)`, true)
	for i, status := range list {
		exec(t, db, `INSERT INTO messages (id, campaign, contact, status, lease, lease_end, attempts) VALUES (?, 1, ?, ?, ?, 2000000000, 1)`, i+1, i+1, status, s.owner)
	}
	return s
}

func TestAClaimWhoseCommitGotLostIsUndone(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := held(t, db, "sending", "sending", "queued", "sent")
		exec(t, db, `INSERT INTO messages (id, campaign, contact, status, lease, lease_end) VALUES (9, 1, 9, 'sending', 'another', 2000000000)`)
		for range 2 {
			err := db.Tx(t.Context(), func(tx *schema.Tx) error { return s.unclaim(t.Context(), tx, []id.Message{2}) })
			if err != nil {
				t.Fatal(err)
			}
			if got := statuses(t, db); !slices.Equal(got, []string{"queued", "sending", "queued", "sent", "sending"}) {
				t.Fatalf("statuses: %v", got)
			}
		}
		if err := db.Tx(t.Context(), func(tx *schema.Tx) error { return s.unclaim(t.Context(), tx, nil) }); err != nil {
			t.Fatal(err)
		}
		if got := statuses(t, db); got[1] != "queued" || got[4] != "sending" {
			t.Errorf("statuses: %v", got)
		}
	})
}

func TestTheTruthWinsOverUnknownUnlessAPersonDecided(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := held(t, db, "unknown", "unknown", "unknown", "sending")
		exec(t, db, `UPDATE messages SET status = 'queued', lease = '' WHERE id = 2`) // sent again, on a marketer's word
		outs := []*outcome{
			{Claimed: Claimed{Message: 1}, verdict: verdict{status: Sent, code: 250}, at: 1},
			{Claimed: Claimed{Message: 2}, verdict: verdict{status: Sent, code: 250}, at: 1},
			{Claimed: Claimed{Message: 3}, verdict: verdict{status: Failed, code: 550}, at: 1},
			{Claimed: Claimed{Message: 4}, verdict: verdict{status: Queued}, at: 1},
		}
		for range 2 { // a transaction may run again
			if err := db.Tx(t.Context(), func(tx *schema.Tx) error { return s.record(t.Context(), tx, outs) }); err != nil {
				t.Fatal(err)
			}
		}
		if got := statuses(t, db); !slices.Equal(got, []string{"sent", "queued", "failed", "queued"}) {
			t.Errorf("statuses: %v", got)
		}
		var attempts int
		if err := db.Get(t.Context(), &attempts, `SELECT attempts FROM messages WHERE id = 4`); err != nil || attempts != 0 {
			t.Errorf("a message that was not tried counts %d attempts, %v", attempts, err)
		}
	})
}

func TestFinishWaitsForEverythingThatMayStillBeSent(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		s := held(t, db, "queued", "sent", "unknown", "failed", "skipped")
		for _, c := range []struct {
			status string
			ends   bool
		}{{"queued", false}, {"deferred", false}, {"sending", false}, {"unknown", true}} {
			exec(t, db, `UPDATE messages SET status = ? WHERE id = 1`, c.status)
			var ended bool
			err := db.Tx(t.Context(), func(tx *schema.Tx) (err error) {
				ended, err = s.finish(t.Context(), tx, 1)
				return err
			})
			if err != nil || ended != c.ends {
				t.Errorf("with a message that is %s: ended %v, %v", c.status, ended, err)
			}
		}
	})
}

func TestPausesGrow(t *testing.T) {
	last := time.Duration(0)
	for attempt := 1; attempt < 20; attempt++ {
		d := backoff(attempt)
		if d < 48*time.Second || d > 5*time.Hour || d < last/2 {
			t.Errorf("the pause after attempt %d is %s", attempt, d)
		}
		last = d
	}
}
