package mailer

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Held is a message as it is held of the contact it is for, with what was in it.
type Held struct {
	Message   id.Message
	Campaign  string // its name
	Subject   string
	Company   string       // slug
	Type      string       // slug of the communication type
	Via       string       // slug of the source whose list it is sent to; empty: a segment
	Mode      consent.Mode // empty until sent
	Epoch     int64        // tracking epoch it was sent under; zero: none
	Cited     []string     // slugs of the sources it names
	Status    queue.Status
	Reason    string
	Attempts  int64
	NextAt    schema.Time // when it is tried again
	SMTPCode  int64
	SMTPReply string
	SentAt    schema.Time
	OpenedAt  schema.Time
}

// HeldOf returns every message of a contact, the oldest first. Which process has it under way is left
// out.
func HeldOf(ctx context.Context, q schema.Querier, who id.Contact) ([]Held, error) {
	var rows []struct {
		ID        id.Message   `db:"id"`
		Campaign  string       `db:"name"`
		Subject   string       `db:"subject"`
		Company   string       `db:"company"`
		Type      string       `db:"type"`
		Via       id.Source    `db:"via"`
		Mode      consent.Mode `db:"mode"`
		Epoch     int64        `db:"epoch"`
		Cited     string       `db:"cited"`
		Status    queue.Status `db:"status"`
		Reason    string       `db:"reason"`
		Attempts  int64        `db:"attempts"`
		NextAt    schema.Time  `db:"next_at"`
		SMTPCode  int64        `db:"smtp_code"`
		SMTPReply string       `db:"smtp_reply"`
		SentAt    schema.Time  `db:"sent_at"`
		OpenedAt  schema.Time  `db:"opened_at"`
	}
	if err := q.Select(ctx, &rows, `SELECT m.id, c.name, c.subject, co.slug AS company, c.type, m.via, m.mode, m.epoch, m.cited, m.status, m.reason, m.attempts, m.next_at,
		m.smtp_code, m.smtp_reply, m.sent_at, m.opened_at FROM messages m JOIN campaigns c ON c.id = m.campaign JOIN companies co ON co.id = c.company
		WHERE m.contact = ? ORDER BY m.id`, who); err != nil {
		return nil, fmt.Errorf("mailer: messages of a contact: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	slugs, err := sourceSlugs(ctx, q)
	if err != nil {
		return nil, err
	}
	all := make([]Held, len(rows))
	for i, r := range rows {
		all[i] = Held{r.ID, r.Campaign, r.Subject, r.Company, r.Type, slugs[r.Via], r.Mode, r.Epoch, []string{}, r.Status, r.Reason, r.Attempts, r.NextAt,
			r.SMTPCode, r.SMTPReply, r.SentAt, r.OpenedAt}
		for _, s := range strings.Split(strings.Trim(r.Cited, "|"), "|") {
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				all[i].Cited = append(all[i].Cited, slugs[id.Source(n)])
			}
		}
	}
	return all, nil
}

func sourceSlugs(ctx context.Context, q schema.Querier) (map[id.Source]string, error) {
	var list []struct {
		ID   id.Source `db:"id"`
		Slug string    `db:"slug"`
	}
	if err := q.Select(ctx, &list, `SELECT id, slug FROM sources`); err != nil {
		return nil, fmt.Errorf("mailer: read sources: %w", err)
	}
	slugs := make(map[id.Source]string, len(list))
	for _, s := range list {
		slugs[s.ID] = s.Slug
	}
	return slugs, nil
}
