package event

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// A batch goes to the database as a few statements over a table of its rows, which travels as one
// JSON parameter: an array of arrays.

// rows is such a table on its way.
type rows struct {
	b []byte
	n int
}

func (r *rows) start() *rows {
	if r.n == 0 {
		r.b = append(r.b[:0], '[')
	} else {
		r.b = append(r.b, ',')
	}
	r.n++
	r.b = append(r.b, '[')
	return r
}

func (r *rows) int(v int64) *rows {
	r.b = append(strconv.AppendInt(r.b, v, 10), ',')
	return r
}

func (r *rows) text(s string) *rows {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		r.b = append(r.b, '"')
		r.b = append(r.b, s...)
		r.b = append(r.b, '"', ',')
		return r
	}
	quoted, _ := json.Marshal(s)
	r.b = append(append(r.b, quoted...), ',')
	return r
}

func (r *rows) end() { r.b[len(r.b)-1] = ']' }

// json returns the table; it must have a row.
func (r *rows) json() string { return string(append(r.b, ']')) }

// table is the SQL that reads such a parameter, as alias h. Columns are separated by spaces; those
// of text end in a colon.
func table(d schema.Dialect, columns string) string {
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, c := range strings.Fields(columns) {
		if i > 0 {
			b.WriteString(", ")
		}
		name, text := strings.CutSuffix(c, ":")
		switch {
		case d == schema.SQLite:
			fmt.Fprintf(&b, "value ->> %d AS %s", i, name)
		case text:
			fmt.Fprintf(&b, "v ->> %d AS %s", i, name)
		default:
			fmt.Fprintf(&b, "CAST(v ->> %d AS BIGINT) AS %s", i, name)
		}
	}
	if d == schema.SQLite {
		b.WriteString(" FROM json_each(?)) AS h")
	} else {
		b.WriteString(" FROM jsonb_array_elements(CAST(? AS JSONB)) AS v) AS h")
	}
	return b.String()
}

// statements are those of a drain, in the dialect of its database.
type statements struct {
	gate consent.Fragment

	facts, lock, clicks                string
	insert, private                    string
	opened, firsts, regions            string
	retract, dropFirsts, findFirsts    string
	dropRegions, findRegions           string
	counts, linkCounts, heads, advance string
}

// identified has the conditions under which a hit of a message is stored or counted at all; the
// gate's follows.
const identified = ` JOIN messages m ON m.id = h.message AND m.campaign = h.campaign JOIN campaigns c ON c.id = m.campaign
	WHERE m.contact IS NOT NULL AND m.mode = 'identified' AND m.epoch > 0 AND `

func newStatements(d schema.Dialect, g Gate) *statements {
	st := &statements{gate: g.TrackOpen("m.contact", "c.company", "m.epoch")}
	gate := "(" + st.gate.SQL + ")"
	st.facts = `SELECT m.id, COALESCE(m.contact, 0), m.status, m.sent_at, m.opened_at FROM ` + table(d, "message campaign") +
		` JOIN messages m ON m.id = h.message AND m.campaign = h.campaign`
	// Earlier clicks of a message are found by its contact: the index that serves segments serves here too.
	const recent = `events x WHERE x.contact = h.contact AND x.kind = 'click' AND x.at >= h.lo AND x.at <= h.hi ORDER BY x.at DESC LIMIT 512`
	const click = `SELECT e.id, e.message, e.link, e.at, e.verdict, e.region, e.node FROM `
	if d == schema.Postgres {
		// clicks of one message are judged one after the other, whichever node they came to
		st.lock = st.facts + ` ORDER BY m.id FOR NO KEY UPDATE OF m`
		st.clicks = click + table(d, "contact message lo hi") + ` CROSS JOIN LATERAL (SELECT x.* FROM ` + recent + `) AS e WHERE e.message = h.message`
	} else {
		st.clicks = click + table(d, "contact message lo hi") + ` JOIN events e ON e.id IN (SELECT x.id FROM ` + recent + `) WHERE +e.message = h.message` // + so that all events of a message are never read
	}
	st.insert = `INSERT INTO events (campaign, message, contact, kind, link, at, verdict, reason, region, client, os, device, node, seq)
		SELECT m.campaign, m.id, m.contact, h.kind, h.link, h.at, h.verdict, h.reason, h.region, h.client, h.os, h.device, CAST(? AS TEXT), h.seq
		FROM ` + table(d, "seq campaign message kind: link at verdict: reason: region: client: os: device:") + identified + gate + ` RETURNING seq`
	st.private = `SELECT h.seq FROM ` + table(d, "seq campaign message") + identified + gate
	st.opened = `UPDATE messages SET opened_at = h.at FROM ` + table(d, "message at") +
		` WHERE messages.id = h.message AND (messages.opened_at = 0 OR messages.opened_at > h.at)`
	st.firsts = `INSERT INTO message_links (message, link, first_at) SELECT h.message, h.link, h.at FROM ` + table(d, "message link at") + ` WHERE TRUE
		ON CONFLICT (message, link) DO UPDATE SET first_at = excluded.first_at WHERE excluded.first_at < message_links.first_at`
	st.regions = `INSERT INTO contact_regions (contact, region, at) SELECT h.contact, h.region, h.at FROM ` + table(d, "contact region: at") + ` WHERE TRUE
		ON CONFLICT (contact) DO UPDATE SET region = excluded.region, at = excluded.at WHERE excluded.at > contact_regions.at`
	st.retract = `UPDATE events SET verdict = 'machine', reason = '` + Burst + `' WHERE id IN (SELECT h.id FROM ` + table(d, "id") + `)`
	// What a retracted click was the first or latest of is found again among the clicks that are left.
	const first = "contact message link at"
	st.dropFirsts = `DELETE FROM message_links WHERE (message, link, first_at) IN (SELECT h.message, h.link, h.at FROM ` + table(d, first) + `)`
	st.findFirsts = `INSERT INTO message_links (message, link, first_at) SELECT h.message, h.link, MIN(e.at) FROM ` + table(d, first) +
		` JOIN events e ON e.contact = h.contact AND e.kind = 'click' WHERE e.message = h.message AND e.link = h.link AND e.verdict <> 'machine'
		GROUP BY h.message, h.link ON CONFLICT (message, link) DO NOTHING`
	st.dropRegions = `DELETE FROM contact_regions WHERE (contact, at) IN (SELECT h.contact, h.at FROM ` + table(d, "contact at") + `)`
	st.findRegions = `INSERT INTO contact_regions (contact, region, at) SELECT DISTINCT e.contact, e.region, e.at FROM ` + table(d, "contact at") +
		` JOIN events e ON e.contact = h.contact WHERE e.kind = 'click' AND e.verdict = 'person' AND e.region <> '' AND e.at = (
			SELECT MAX(x.at) FROM events x WHERE x.contact = h.contact AND x.kind = 'click' AND x.verdict = 'person' AND x.region <> '')
		ON CONFLICT (contact) DO NOTHING`
	st.counts = `INSERT INTO counts (campaign, hour, kind, link, verdict, region, node, n)
		SELECT h.campaign, h.hour, h.kind, h.link, h.verdict, h.region, h.node, h.n FROM ` +
		table(d, "campaign hour kind: link verdict: region: node: n") + ` WHERE TRUE
		ON CONFLICT (campaign, hour, kind, link, verdict, region, node) DO UPDATE SET n = counts.n + excluded.n`
	st.linkCounts = `SELECT l.campaign, COUNT(*) FROM ` + table(d, "campaign") + ` JOIN links l ON l.campaign = h.campaign GROUP BY l.campaign`
	st.heads = `SELECT k.campaign, k.seq FROM ` + table(d, "campaign") + ` JOIN count_heads k ON k.campaign = h.campaign AND k.node = ?`
	st.advance = `INSERT INTO count_heads (campaign, node, seq) SELECT h.campaign, CAST(? AS TEXT), h.seq FROM ` + table(d, "campaign seq") + ` WHERE TRUE
		ON CONFLICT (campaign, node) DO UPDATE SET seq = excluded.seq`
	return st
}

// each runs a query and lets scan read each row.
func each(ctx context.Context, q schema.Querier, scan func(into func(...any) error) error, query string, args ...any) error {
	rs, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		if err := scan(rs.Scan); err != nil {
			return err
		}
	}
	return rs.Err()
}

// countHeads returns the heads of this node's chains.
func (st *statements) countHeads(ctx context.Context, q schema.Querier, node string, campaigns map[id.Campaign]bool) (map[id.Campaign]int64, error) {
	heads := map[id.Campaign]int64{}
	if len(campaigns) == 0 {
		return heads, nil
	}
	var r rows
	for c := range campaigns {
		r.start().int(int64(c)).end()
	}
	err := each(ctx, q, func(into func(...any) error) error {
		var c id.Campaign
		var seq int64
		err := into(&c, &seq)
		heads[c] = seq
		return err
	}, st.heads, r.json(), node)
	if err != nil {
		return nil, fmt.Errorf("event: read the heads of the counts: %w", err)
	}
	return heads, nil
}
