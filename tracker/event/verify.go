package event

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// ErrMismatch is wrapped when the events and the counts do not agree.
var ErrMismatch = errors.New("events and counts differ")

// Mismatch is a cell in which they differ.
type Mismatch struct {
	Cell
	Events  int64 `db:"events"`
	Counted int64 `db:"counted"`
}

// MismatchError lists the cells that differ, in order. It wraps ErrMismatch.
type MismatchError struct{ Cells []Mismatch }

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %v in %d cells", ErrMismatch, len(e.Cells))
	for i, c := range e.Cells {
		if i == 5 {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; campaign %s, %s of link %d, %s, region %q, hour %s, node %s: %d events, %d counted",
			c.Campaign, c.Kind, c.Link, c.Verdict, c.Region, c.Hour, c.Node, c.Events, c.Counted)
	}
	return b.String()
}

func (e *MismatchError) Unwrap() error { return ErrMismatch }

// Verify holds the events against the counts of identified hits, cell by cell, on one snapshot. It
// returns a *MismatchError if they differ.
//
// The counts outlive the events, so fewer events than counted are in order where events have been
// removed: before the first whole hour after kept, up to which retention may have removed them
// (zero: it has removed nothing), and in campaigns that hold the message of an erased contact.
// More events than counted are never in order.
func Verify(ctx context.Context, db *schema.DB, kept schema.Time) error {
	hour := schema.Time(time.Hour.Microseconds())
	if kept%hour != 0 {
		kept = kept.Hour() + hour
	}
	var found []Mismatch
	erased := map[id.Campaign]bool{}
	err := db.View(ctx, func(tx *schema.Tx) error {
		err := tx.Select(ctx, &found, `SELECT campaign, hour, kind, link, verdict, region, node, CAST(SUM(event) AS BIGINT) AS events, CAST(SUM(n) AS BIGINT) AS counted FROM (
				SELECT campaign, at - at % CAST(? AS BIGINT) AS hour, kind, link, verdict, region, node, 1 AS event, 0 AS n FROM events WHERE at >= ?
				UNION ALL
				SELECT campaign, hour, kind, link, verdict, region, node, 0 AS event, n FROM counts WHERE verdict IN ('person', 'machine', 'unverifiable') AND hour >= ?
			) AS both_sides GROUP BY campaign, hour, kind, link, verdict, region, node HAVING SUM(event) <> SUM(n)
			ORDER BY campaign, hour, kind, link, verdict, region, node`, hour, kept, kept)
		if err != nil || len(found) == 0 {
			return err
		}
		var list []id.Campaign
		if err := tx.Select(ctx, &list, `SELECT DISTINCT campaign FROM messages WHERE contact IS NULL`); err != nil {
			return err
		}
		for _, c := range list {
			erased[c] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("event: verify: %w", err)
	}
	var bad []Mismatch
	for _, m := range found {
		if m.Events > m.Counted || !erased[m.Campaign] {
			bad = append(bad, m)
		}
	}
	if len(bad) > 0 {
		return &MismatchError{bad}
	}
	return nil
}
