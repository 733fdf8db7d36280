package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Part is one part of an audience, as SQL over the row alias c of contacts.
type Part struct {
	Via     id.Source        // the source whose list it is; zero: a segment
	Member  consent.Fragment // boolean: is in the part
	Allowed consent.Fragment // boolean: the gate allows the mail on this ground
}

// BuildSpec says who is to receive a campaign.
type BuildSpec struct {
	Campaign id.Campaign
	Parts    []Part             // a contact in several is taken for the first that allows the mail
	Except   []consent.Fragment // boolean over c: is left out
	Chunk    int                // contacts looked at in one transaction; zero: as many as keep it short
}

// Build writes one queued message for each contact of the audience whom the gate allows. It works
// in short transactions that advance campaigns.build_after, so that a build that was cut short goes
// on where it stopped, and nodes that build the same campaign share the work. It returns nil when
// all contacts were looked at or the campaign is no longer being sent; it does not set campaigns.built.
// spec is called for each chunk, since the gate's answer holds the time.
//
// The messages of a campaign that was under way when an older database was put back are unknown from
// the start: the database that was lost may have built and sent them.
func Build(ctx context.Context, db *schema.DB, spec func() (BuildSpec, error)) error {
	// SQLite has one writer, whom nobody should wait for long; on PostgreSQL a statement costs more
	// than the contacts it looks at.
	chunk, least, most, long := 256, 32, 5000, 10*time.Millisecond
	if db.Dialect() == schema.Postgres {
		chunk, least, most, long = 2000, 1000, 10_000, 500*time.Millisecond
	}
	for {
		s, err := spec()
		if err != nil {
			return err
		}
		if s.Chunk > 0 {
			chunk = s.Chunk
		}
		start := time.Now()
		done, err := buildChunk(ctx, db, s, chunk)
		if err != nil {
			return fmt.Errorf("queue: build the audience of %s: %w", s.Campaign, err)
		}
		if done {
			return nil
		}
		switch took := time.Since(start); {
		case took > long:
			chunk = max(least, chunk/2)
		case took < long/2:
			chunk = min(most, chunk*2)
		}
	}
}

func buildChunk(ctx context.Context, db *schema.DB, s BuildSpec, chunk int) (done bool, err error) {
	err = db.Tx(ctx, func(tx *schema.Tx) error {
		lock := ""
		if tx.Dialect() == schema.Postgres {
			lock = ` FOR UPDATE`
			// Else the planner answers the gate's questions about a few contacts by hashing whole tables
			// of consents, for each chunk anew.
			if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64kB'`); err != nil {
				return err
			}
		}
		var at struct {
			Status   string      `db:"status"`
			Built    bool        `db:"built"`
			After    id.Contact  `db:"build_after"`
			Restored schema.Time `db:"restored_at"`
		}
		if err := tx.Get(ctx, &at, `SELECT status, built, build_after, restored_at FROM campaigns WHERE id = ?`+lock, s.Campaign); err != nil {
			return err
		}
		if done = at.Built || at.Status != "sending"; done {
			return nil
		}
		var upTo sql.NullInt64
		if err := tx.Get(ctx, &upTo, `SELECT max(id) FROM (SELECT id FROM contacts WHERE id > ? ORDER BY id LIMIT ?) t`, at.After, chunk); err != nil {
			return err
		}
		if done = !upTo.Valid; done {
			return nil
		}
		status, reason := Queued, ""
		if at.Restored > 0 {
			status, reason = Unknown, ReasonRestored
		}
		statement, args, err := insert(s, at.After, id.Contact(upTo.Int64), status, reason)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, statement, args...); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE campaigns SET build_after = ? WHERE id = ?`, upTo.Int64, s.Campaign)
		return err
	})
	return done, err
}

func insert(s BuildSpec, after, upTo id.Contact, status Status, reason string) (string, []any, error) {
	if len(s.Parts) == 0 {
		return "", nil, errors.New("an audience of no parts")
	}
	var b strings.Builder
	args := []any{s.Campaign, status, reason}
	b.WriteString(`INSERT INTO messages (campaign, contact, via, status, reason) SELECT CAST(? AS BIGINT), t.contact, t.via, CAST(? AS TEXT), CAST(? AS TEXT) FROM (SELECT c.id AS contact, CASE`)
	for _, p := range s.Parts {
		fmt.Fprintf(&b, ` WHEN (%s) AND (%s) THEN CAST(? AS BIGINT)`, p.Member.SQL, p.Allowed.SQL)
		args = append(append(append(args, p.Member.Args...), p.Allowed.Args...), p.Via)
	}
	b.WriteString(` ELSE -1 END AS via FROM contacts c WHERE c.id > ? AND c.id <= ?`)
	args = append(args, after, upTo)
	for _, e := range s.Except {
		fmt.Fprintf(&b, ` AND NOT (%s)`, e.SQL)
		args = append(args, e.Args...)
	}
	b.WriteString(`) t WHERE t.via >= 0 ON CONFLICT (campaign, contact) DO NOTHING`)
	return b.String(), args, nil
}
