package event

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Event is the durable record of an identified hit.
type Event struct {
	ID       id.Event    `db:"id" json:"id"`
	At       schema.Time `db:"at" json:"at"`
	Kind     Kind        `db:"kind" json:"kind"`
	Campaign id.Campaign `db:"campaign" json:"campaign"`
	Message  id.Message  `db:"message" json:"message"`
	Link     int         `db:"link" json:"link,omitempty"`
	Verdict  Verdict     `db:"verdict" json:"verdict"`
	Reason   string      `db:"reason" json:"reason"`
	Region   string      `db:"region" json:"region,omitempty"`
	Client   string      `db:"client" json:"client,omitempty"`
	OS       string      `db:"os" json:"os,omitempty"`
	Device   string      `db:"device" json:"device,omitempty"`
}

// Of returns up to limit events of a contact, the latest first; those before the given one if it is
// not zero.
func Of(ctx context.Context, q schema.Querier, who id.Contact, before id.Event, limit int) ([]Event, error) {
	list := []Event{}
	err := q.Select(ctx, &list, `SELECT id, at, kind, campaign, message, link, verdict, reason, region, client, os, device FROM events
		WHERE contact = ? AND (CAST(? AS BIGINT) = 0 OR id < ?) ORDER BY id DESC LIMIT ?`, who, before, before, limit)
	if err != nil {
		return nil, fmt.Errorf("event: events of a contact: %w", err)
	}
	return list, nil
}

// RegionOf returns where the contact last clicked as a person, and when; empty if never.
func RegionOf(ctx context.Context, q schema.Querier, who id.Contact) (string, schema.Time, error) {
	var list []struct {
		Region string
		At     schema.Time
	}
	if err := q.Select(ctx, &list, `SELECT region, at FROM contact_regions WHERE contact = ?`, who); err != nil {
		return "", 0, fmt.Errorf("event: region of a contact: %w", err)
	}
	if len(list) == 0 {
		return "", 0, nil
	}
	return list[0].Region, list[0].At, nil
}
