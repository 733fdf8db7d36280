package mailer_test

import (
	"fmt"
	"reflect"
	"testing"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// TestS23EveryMailToSomebodyIsGivenOut: with what was in it, and nobody else's.
func TestS23EveryMailToSomebodyIsGivenOut(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		fairs, lists := w.source("fairs"), w.source("lists")
		who, other := w.person("jo@example.com", "", ""), w.person("other@example.com", "", "")
		w.exec(`INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at) VALUES
			(1, 'Spring', ?, 'newsletter', 'Spring is here', 'a@acme.example', '', '{}', 'consented', 'sending', 1), (2, 'Summer', ?, 'promotional-offer', 'Hot', 'a@acme.example', '', '{}', 'strict', 'sending', 1)`,
			w.acme.ID, w.acme.ID)
		w.exec(`INSERT INTO messages (id, campaign, contact, via, mode, epoch, cited, status, reason, attempts, next_at, lease, lease_end, smtp_code, smtp_reply, sent_at, opened_at) VALUES
			(5, 1, ?, ?, 'identified', 3, ?, 'sent', 'network', 2, 11, 'x', 12, 250, '2.0.0 ok', 13, 14)`, who, fairs.ID, fmt.Sprintf("|%d|%d|", int64(fairs.ID), int64(lists.ID)))
		w.exec(`INSERT INTO messages (id, campaign, contact, status) VALUES (6, 2, ?, 'queued'), (7, 1, ?, 'queued')`, who, other)
		got, err := mailer.HeldOf(t.Context(), db, who)
		w.ok(err)
		want := []mailer.Held{
			{5, "Spring", "Spring is here", "acme", "newsletter", "fairs", consent.Identified, 3, []string{"fairs", "lists"}, queue.Sent, "network", 2, 11, 250, "2.0.0 ok", 13, 14},
			{6, "Summer", "Hot", "acme", "promotional-offer", "", "", 0, []string{}, queue.Queued, "", 0, 0, 0, "", 0, 0},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if got, err := mailer.HeldOf(t.Context(), db, 99); err != nil || len(got) != 0 {
			t.Errorf("of somebody without mails: %+v, %v", got, err)
		}
	})
}
