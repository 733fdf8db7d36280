package segments

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// The Due… functions tell which contacts are held for nothing any more: those whose clock, which each
// of them names, started before an instant. They look at the contacts after one identifier and up to
// another (zero: all the rest), and return up to limit, by identifier. A contact may be due by more
// than one clock, and one that was de-identified is due by none.

// DueConsented returns contacts with a consent that stands and no sign of life since: it was given,
// and the contact taken in, earlier; so were all mails sent and everything that the person changed,
// opened or clicked. Openings of old mail count for as long as they are on record.
func (s *Contacts) DueConsented(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	return due(ctx, q, after, last, limit, where("c.created_at < ?", before), consent.Consents("c.id"),
		where("c.own_at < ?", before), earlier(consent.ConsentedAt("c.id"), before), earlier(consent.ChangedAt("c.id"), before),
		where(`NOT EXISTS (SELECT 1 FROM messages m WHERE m.contact = c.id AND (m.sent_at >= ? OR m.opened_at >= ?))`, before, before),
		where(`NOT EXISTS (SELECT 1 FROM messages m JOIN message_links k ON k.message = m.id WHERE m.contact = c.id AND k.first_at >= ?)`, before),
		where(`NOT EXISTS (SELECT 1 FROM events e WHERE e.contact = c.id AND e.kind IN ('open', 'click') AND e.at >= ? AND e.verdict = 'person')`, before))
}

// DueOptedOut returns contacts without any consent who refused: the clock starts with the newest no.
func (s *Contacts) DueOptedOut(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	return due(ctx, q, after, last, limit, not(consent.Consents("c.id")), refused, earlier(consent.RefusedAt("c.id"), before))
}

// DueUnconfirmed returns addresses that were entered in a form and never confirmed to be the
// person's: the clock starts with the newest request.
func (s *Contacts) DueUnconfirmed(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	return due(ctx, q, after, last, limit, where("c.own_at = 0 AND c.created_at < ?", before), where("NOT "+fromProvider),
		not(consent.Consents("c.id")), earlier(consent.RequestedAt("c.id"), before))
}

// DueOwn returns contacts who gave us their address, of whom neither consent nor refusal is on
// record: the clock starts when they were taken in, or with the last that the ledger has of them,
// such as a one-off request that was served.
func (s *Contacts) DueOwn(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	return due(ctx, q, after, last, limit, where("c.own_at > 0 AND c.created_at < ?", before), not(consent.Consents("c.id")), not(refused),
		earlier(consent.ChangedAt("c.id"), before))
}

// DueSourced returns contacts that providers alone gave us, without consent, of whom some provider's
// licence runs: the clock starts when the newest such origin was acquired.
func (s *Contacts) DueSourced(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	running := s.runningOrigin()
	newer := consent.Fragment{SQL: running.SQL + " AND o.acquired_at >= ?)", Args: append(running.Args, before)}
	running.SQL += ")"
	return due(ctx, q, after, last, limit, where("c.own_at = 0"), running, not(newer), not(consent.Consents("c.id")))
}

// DueSourcedEnded returns contacts that providers alone gave us, without consent, whose origins have
// all ended: the clock starts with the last end, of a licence or by a recall.
func (s *Contacts) DueSourcedEnded(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error) {
	var ended consent.Fragment
	for i, end := range []string{"o.recalled_at", "s.recalled_at", "o.licence_end", "s.licensed_until"} {
		if i > 0 {
			ended.SQL += " OR "
		}
		ended.SQL += fmt.Sprintf("(%s > 0 AND %s < ?)", end, end)
		ended.Args = append(ended.Args, before)
	}
	return due(ctx, q, after, last, limit, where("c.own_at = 0 AND "+fromProvider), not(consent.Fragment{SQL: origin + " AND NOT (" + ended.SQL + "))", Args: ended.Args}),
		not(consent.Consents("c.id")))
}

// Carried returns which of the contacts are held for campaigns all the same, whatever else they were
// held for is over: those with a consent that stands, and those of whom a provider's licence runs.
func (s *Contacts) Carried(ctx context.Context, q schema.Querier, contacts []id.Contact) ([]id.Contact, error) {
	running := s.runningOrigin()
	running.SQL += ")"
	return among(ctx, q, contacts, either(consent.Consents("c.id"), running))
}

// OfSource returns which of the contacts came from the source.
func (s *Contacts) OfSource(ctx context.Context, q schema.Querier, source id.Source, contacts []id.Contact) ([]id.Contact, error) {
	return among(ctx, q, contacts, where(`EXISTS (SELECT 1 FROM contact_sources o WHERE o.contact = c.id AND o.source = ?)`, source))
}

// OfCompany returns which of the contacts the company has to do with: they agreed to or refused
// something of it by name, or are in the audience of one of its campaigns.
func (s *Contacts) OfCompany(ctx context.Context, q schema.Querier, company id.Company, contacts []id.Contact) ([]id.Contact, error) {
	return among(ctx, q, contacts, either(consent.KnownTo("c.id", fmt.Sprint(int64(company))),
		where(`EXISTS (SELECT 1 FROM messages m JOIN campaigns g ON g.id = m.campaign WHERE m.contact = c.id AND g.company = ?)`, company)))
}

// Restrained returns which of the contacts had the use of their data restricted.
func (s *Contacts) Restrained(ctx context.Context, q schema.Querier, contacts []id.Contact) ([]id.Contact, error) {
	return among(ctx, q, contacts, consent.Restrains("c.id"))
}

const (
	origin       = `EXISTS (SELECT 1 FROM contact_sources o JOIN sources s ON s.id = o.source WHERE o.contact = c.id`
	fromProvider = `EXISTS (SELECT 1 FROM contact_sources o WHERE o.contact = c.id)`
)

var refused = consent.Fragment{SQL: "(" + consent.RefusedAt("c.id").SQL + " > 0)"}

// runningOrigin opens an EXISTS over origins o that have not ended; the caller closes it.
func (s *Contacts) runningOrigin() consent.Fragment {
	now := schema.At(s.now())
	return consent.Fragment{SQL: origin + ` AND o.recalled_at = 0 AND s.recalled_at = 0 AND (o.licence_end = 0 OR o.licence_end > ?)
		AND (s.licensed_until = 0 OR s.licensed_until > ?)`, Args: []any{now, now}}
}

func where(sql string, args ...any) consent.Fragment { return consent.Fragment{SQL: sql, Args: args} }

func not(f consent.Fragment) consent.Fragment {
	return consent.Fragment{SQL: "NOT " + f.SQL, Args: f.Args}
}

func either(a, b consent.Fragment) consent.Fragment {
	return consent.Fragment{SQL: "(" + a.SQL + " OR " + b.SQL + ")", Args: append(append([]any{}, a.Args...), b.Args...)}
}

func earlier(at consent.Fragment, before schema.Time) consent.Fragment {
	return consent.Fragment{SQL: at.SQL + " < ?", Args: append(append([]any{}, at.Args...), before)}
}

// due returns the contacts of a range for whom all conditions hold.
func due(ctx context.Context, q schema.Querier, after, last id.Contact, limit int, conditions ...consent.Fragment) ([]id.Contact, error) {
	sql, args := `SELECT c.id FROM contacts c WHERE c.id > ?`, []any{after}
	if last != 0 {
		sql, args = sql+` AND c.id <= ?`, append(args, last)
	}
	for _, f := range append(conditions, personal) {
		sql, args = sql+" AND "+f.SQL, append(args, f.Args...)
	}
	var found []id.Contact
	if err := q.Select(ctx, &found, sql+` ORDER BY c.id LIMIT ?`, append(args, limit)...); err != nil {
		return nil, fmt.Errorf("segments: who is due: %w", err)
	}
	return found, nil
}

func among(ctx context.Context, q schema.Querier, contacts []id.Contact, condition consent.Fragment) ([]id.Contact, error) {
	if len(contacts) == 0 {
		return nil, nil
	}
	in, arg := amongIDs(q.Dialect(), "c.id", contacts)
	var found []id.Contact
	if err := q.Select(ctx, &found, `SELECT c.id FROM contacts c WHERE `+in+` AND `+condition.SQL+` ORDER BY c.id`, append([]any{arg}, condition.Args...)...); err != nil {
		return nil, fmt.Errorf("segments: whom it concerns: %w", err)
	}
	return found, nil
}
