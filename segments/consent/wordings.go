package consent

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Wording is what became of a notice: how often it was shown to ask for consent, what people
// answered, and what still rests on it.
type Wording struct {
	Version   string      `json:"version"`
	Language  string      `json:"language"`
	CreatedAt schema.Time `json:"created_at"`

	// Asked counts the double opt-ins that were started and the yeses given by form or page without
	// one; Confirmed those among them that became a consent. A yes that somebody else vouches for, by
	// import or API, was not asked with it. TrackingAsked and TrackingYes count among the confirmed.
	Asked         int64 `json:"asked"`
	Confirmed     int64 `json:"confirmed"`
	TrackingAsked int64 `json:"tracking_asked"`
	TrackingYes   int64 `json:"tracking_yes"`

	// What rests on it now, whoever asked: consents, one for each contact, company and channel, by the
	// newest yes to any type; tracking consents, one for each contact and company; one-off requests
	// that are not served.
	InForce  int64 `json:"in_force"`
	Tracking int64 `json:"tracking"`
	Items    int64 `json:"items"`

	// Newest is the newest notice of the language. Outdated says that it has another text, and that
	// something still rests on this one.
	Newest   string `json:"newest"`
	Outdated bool   `json:"outdated"`
}

// Wordings returns every notice with what became of it, the newest first. It reads the whole ledger
// once, so it is a report and not for each page.
func (l *Ledger) Wordings(ctx context.Context, q schema.Querier) ([]Wording, error) {
	list, err := wordings(ctx, q, 0)
	if err != nil {
		return nil, fmt.Errorf("consent: wordings: %w", err)
	}
	var asked []struct {
		Notice        string `db:"notice"`
		Asked         int64  `db:"asked"`
		Confirmed     int64  `db:"confirmed"`
		TrackingAsked int64  `db:"tracking_asked"`
		TrackingYes   int64  `db:"tracking_yes"`
	}
	// A confirmation says when it was requested; whether that was with us, the row before it shows.
	err = q.Select(ctx, &asked, `SELECT notice, count(*) FILTER (WHERE asked) AS asked, count(*) FILTER (WHERE yes) AS confirmed,
		count(*) FILTER (WHERE yes AND tracking <> '') AS tracking_asked, count(*) FILTER (WHERE yes AND tracking = 'yes') AS tracking_yes
		FROM (SELECT g.notice, g.tracking, g.action = 'request' OR g.requested_at = 0 AND g.how IN ('form', 'page') AS asked,
			g.action = 'grant' AND `+counted("g")+` AND (g.requested_at = 0 AND g.how IN ('form', 'page') OR g.requested_at <> 0 AND EXISTS (
				SELECT 1 FROM consent_ledger r WHERE r.subject = g.subject AND r.seq < g.seq AND r.action = 'request' AND r.notice = g.notice)) AS yes
			FROM consent_ledger g WHERE g.action IN ('request', 'grant') AND g.notice <> '') answers GROUP BY notice`)
	if err != nil {
		return nil, fmt.Errorf("consent: wordings: %w", err)
	}
	for _, a := range asked {
		for i := range list {
			if w := &list[i]; w.Version == a.Notice {
				w.Asked, w.Confirmed, w.TrackingAsked, w.TrackingYes = a.Asked, a.Confirmed, a.TrackingAsked, a.TrackingYes
			}
		}
	}
	return list, nil
}

// Outdated tells how many consented to a company under a wording that is not the newest of its
// language, and is not the same text either.
type Outdated struct {
	Notice   string `json:"notice"`
	Language string `json:"language"`
	Newest   string `json:"newest"`
	Contacts int64  `json:"contacts"` // with a consent to be reached, by any channel, the newest yes of which was given under it
	Tracking int64  `json:"tracking"` // with a tracking consent
	Items    int64  `json:"items"`    // one-off requests that are not served
}

// Outdated returns the outdated wordings that consents in force rest on, the newest first; never nil.
func (l *Ledger) Outdated(ctx context.Context, q schema.Querier, company id.Company) ([]Outdated, error) {
	if company <= 0 {
		return nil, fmt.Errorf("consent: outdated: %w", ErrUnknownCompany)
	}
	list, err := wordings(ctx, q, company)
	if err != nil {
		return nil, fmt.Errorf("consent: outdated: %w", err)
	}
	old := []Outdated{}
	for _, w := range list {
		if w.Outdated {
			old = append(old, Outdated{w.Version, w.Language, w.Newest, w.InForce, w.Tracking, w.Items})
		}
	}
	return old, nil
}

// counted holds for a row of the ledger that the state follows.
func counted(row string) string {
	return row + `.outcome IN ('` + Applied + `', '` + appliedOwn + `', '` + Partly + `')`
}

// tracked holds for a row of the ledger that is a yes to tracking which counted.
func tracked(row string) string {
	return row + `.action = 'grant' AND ` + row + `.tracking = 'yes' AND ` + counted(row)
}

// wordings returns the notices with what rests on them now: of all companies, or of one, and then
// InForce counts contacts.
func wordings(ctx context.Context, q schema.Querier, company id.Company) ([]Wording, error) {
	var notices []Notice
	if err := q.Select(ctx, &notices, `SELECT version, language, '' AS text, hash, created_at FROM notices ORDER BY created_at DESC, version DESC`); err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	newest := map[string]Notice{}
	list := make([]Wording, len(notices))
	at := map[string]int{}
	stale := false
	for i, n := range notices {
		if _, ok := newest[n.Language]; !ok {
			newest[n.Language] = n
		}
		stale = stale || n.Hash != newest[n.Language].Hash
		list[i], at[n.Version] = Wording{Version: n.Version, Language: n.Language, CreatedAt: n.CreatedAt, Newest: newest[n.Language].Version}, i
	}
	if company != 0 && !stale {
		return list, nil // nothing can be outdated
	}
	whose, count, args := "", "count(*)", []any(nil)
	if company != 0 {
		whose, count, args = " AND t.company = ?", "count(DISTINCT t.contact)", []any{int64(company)}
	}
	for _, c := range []struct {
		query string
		into  func(w *Wording) *int64
	}{
		{`SELECT t.notice, ` + count + ` AS n FROM consent_state t WHERE t.live <> 0` + whose + ` GROUP BY t.notice`,
			func(w *Wording) *int64 { return &w.InForce }},
		{`SELECT t.notice, count(*) AS n FROM consent_items t JOIN consent_subjects s ON s.contact = t.contact WHERE s.blocks = 0` + whose + ` GROUP BY t.notice`,
			func(w *Wording) *int64 { return &w.Items }},
		{`SELECT g.notice, count(*) AS n FROM consent_ledger g JOIN consent_subjects s ON s.subject = g.subject JOIN companies co ON co.slug = g.company
			JOIN consent_tracking t ON t.contact = s.contact AND t.company = co.id AND t.open
			JOIN consent_state e ON e.contact = t.contact AND e.company = t.company AND e.channel = 'email' AND e.live <> 0
			WHERE ` + tracked("g") + whose + ` AND NOT EXISTS (SELECT 1 FROM consent_ledger later
				WHERE later.subject = g.subject AND later.seq > g.seq AND later.company = g.company AND ` + tracked("later") + `) GROUP BY g.notice`,
			func(w *Wording) *int64 { return &w.Tracking }},
	} {
		var rows []struct {
			Notice string `db:"notice"`
			N      int64  `db:"n"`
		}
		if err := q.Select(ctx, &rows, c.query, args...); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if i, ok := at[r.Notice]; ok {
				*c.into(&list[i]) = r.N
			}
		}
	}
	for i, n := range notices {
		w := &list[i]
		w.Outdated = n.Hash != newest[n.Language].Hash && w.InForce+w.Tracking+w.Items > 0
	}
	return list, nil
}
