package event

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Held is an event as it is held of a contact, with where its link leads. Which node counted it, and
// the event's place there, are left out.
type Held struct {
	Event
	URL string // of a click, the author's bytes; empty if the campaign is gone
}

// First is the first click on a link of a message by a person, or by something that may be one.
type First struct {
	Message id.Message  `db:"message"`
	Link    int         `db:"link"`
	URL     string      `db:"url"`
	At      schema.Time `db:"first_at"`
}

// HeldOf returns every event of a contact, the oldest first, and its first clicks.
func HeldOf(ctx context.Context, q schema.Querier, who id.Contact) ([]Held, []First, error) {
	var rows []struct {
		Event
		URL string `db:"url"`
	}
	if err := q.Select(ctx, &rows, `SELECT e.id, e.at, e.kind, e.campaign, e.message, e.link, e.verdict, e.reason, e.region, e.client, e.os, e.device, COALESCE(l.url, '') AS url
		FROM events e LEFT JOIN links l ON l.campaign = e.campaign AND l.position = e.link WHERE e.contact = ? ORDER BY e.at, e.id`, who); err != nil {
		return nil, nil, fmt.Errorf("event: events of a contact: %w", err)
	}
	all := make([]Held, len(rows))
	for i, r := range rows {
		all[i] = Held{r.Event, r.URL}
	}
	firsts := []First{}
	if err := q.Select(ctx, &firsts, `SELECT f.message, f.link, COALESCE(l.url, '') AS url, f.first_at FROM messages m JOIN message_links f ON f.message = m.id
		LEFT JOIN links l ON l.campaign = m.campaign AND l.position = f.link WHERE m.contact = ? ORDER BY f.message, f.link`, who); err != nil {
		return nil, nil, fmt.Errorf("event: first clicks of a contact: %w", err)
	}
	return all, firsts, nil
}
