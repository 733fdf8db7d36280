package event

import (
	"reflect"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
)

// TestS23EveryHitOfSomebodyIsGivenOut: with where it led, the oldest first, and nobody else's.
func TestS23EveryHitOfSomebodyIsGivenOut(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 2, 2)
		execute(t, db, `INSERT INTO events (id, campaign, message, contact, kind, link, at, verdict, reason, region, client, os, device, node, seq) VALUES
			(1, 1, 1001, 1, 'click', 2, 20, 'person', 'click', 'GB-ENG', 'Firefox', 'Linux', 'desktop', 'n', 1), (2, 1, 1001, 1, 'open', 0, 10, 'unverifiable', 'apple-privacy', '', '', '', '', 'n', 2),
			(3, 9, 9001, 1, 'click', 1, 30, 'machine', 'burst', '', '', '', '', 'n', 3), (4, 1, 1002, 2, 'open', 0, 5, 'person', 'open', '', '', '', '', 'n', 4)`)
		execute(t, db, `INSERT INTO message_links (message, link, first_at) VALUES (2001, 1, 40), (1001, 2, 20), (1002, 1, 5)`)
		hits, firsts, err := HeldOf(t.Context(), db, 1)
		if err != nil {
			t.Fatal(err)
		}
		if want := []Held{
			{Event{2, 10, Open, 1, 1001, 0, Unverifiable, "apple-privacy", "", "", "", ""}, ""},
			{Event{1, 20, Click, 1, 1001, 2, Person, "click", "GB-ENG", "Firefox", "Linux", "desktop"}, "https://example.org/2"},
			{Event{3, 30, Click, 9, 9001, 1, Machine, "burst", "", "", "", ""}, ""}, // of a campaign that is gone
		}; !reflect.DeepEqual(hits, want) {
			t.Errorf("hits:\n%+v, want\n%+v", hits, want)
		}
		if want := []First{{1001, 2, "https://example.org/2", 20}, {2001, 1, "https://example.org/1", 40}}; !reflect.DeepEqual(firsts, want) {
			t.Errorf("first clicks: %+v, want %+v", firsts, want)
		}
	})
}
