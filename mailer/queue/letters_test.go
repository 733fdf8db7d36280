package queue_test

import (
	"errors"
	"testing"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
)

func TestAnErasedContactsMessagesLeadToNobody(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		ctx := t.Context()
		for _, q := range []string{
			`INSERT INTO companies (id, slug, name, created_at) VALUES (1, 'acme', 'ACME', 1)`,
			`INSERT INTO contacts (id, email, created_at, updated_at) VALUES (5, 'a@x.example', 1, 1)`,
			`INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at) VALUES
				(7, 'c', 1, 'newsletter', 's', 'a@acme.example', 'h', '{}', 'consented', 'sending', 1), (8, 'd', 1, 'newsletter', 's', 'a@acme.example', 'h', '{}', 'consented', 'sending', 1)`,
			`INSERT INTO messages (id, campaign, contact, mode, epoch, status, sent_at) VALUES (1, 7, 5, 'identified', 3, 'sent', 9), (2, 8, 5, '', 0, 'queued', 0)`,
		} {
			if _, err := db.Exec(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		if letters, err := queue.Letters(ctx, db, 5); err != nil || len(letters) != 2 {
			t.Fatalf("%+v, %v", letters, err)
		}
		if err := db.Tx(ctx, func(tx *schema.Tx) error { return queue.Forget(ctx, tx, 5) }); err != nil {
			t.Fatal(err)
		}
		if letters, err := queue.Letters(ctx, db, 5); err != nil || len(letters) != 0 {
			t.Fatalf("%+v, %v", letters, err)
		}
		sent, err := queue.Lookup(ctx, db, 1)
		if err != nil || sent.Contact != 0 || sent.Status != queue.Sent {
			t.Errorf("%+v, %v", sent, err)
		}
		waiting, err := queue.Lookup(ctx, db, 2)
		if err != nil || waiting.Status != queue.Skipped || waiting.Reason != queue.ReasonErased {
			t.Errorf("%+v, %v", waiting, err)
		}
		if _, err := queue.Lookup(ctx, db, 3); !errors.Is(err, queue.ErrNoMessage) {
			t.Errorf("got %v", err)
		}
	})
}
