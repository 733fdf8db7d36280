package consent

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
)

// EndGrants ends what only the imports of the given actors brought: each type, and the consent to
// tracking, to which every yes that counts since it was last ended is such an import's. Whatever the
// person said, or another origin vouched for, stands, be it older or newer. It is no refusal: a type
// may be granted again by anybody, tracking by the person's own act. why is what the ledger names as
// the actor of the end. Doing it again changes nothing.
//
// The actors go together: what two imports brought ends only if both are named, so name those of every
// provider that vouches for nothing any more.
func (l *Ledger) EndGrants(ctx context.Context, tx *schema.Tx, contacts []id.Contact, actors []string, why string) error {
	if len(actors) == 0 {
		return nil
	}
	words, err := loadWords(ctx, tx)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(contacts, batch) {
		entries, err := l.brought(ctx, tx, chunk, actors, words)
		if err != nil {
			return fmt.Errorf("consent: end grants: %w", err)
		}
		for i := range entries {
			entries[i].How, entries[i].Actor = byRecall, why
		}
		if err := l.must(ctx, tx, entries); err != nil {
			return fmt.Errorf("consent: end grants: %w", err)
		}
	}
	return nil
}

// brought returns the entries that end what the actors' imports alone brought.
func (l *Ledger) brought(ctx context.Context, tx *schema.Tx, contacts []id.Contact, actors []string, words *words) ([]Entry, error) {
	ids := make([]int64, len(contacts))
	for i, c := range contacts {
		ids[i] = int64(c)
	}
	where, arg := among(tx.Dialect(), "s.contact", ids)
	args := []any{arg}
	for _, a := range actors {
		args = append(args, a)
	}
	var concerned []int64
	err := tx.Select(ctx, &concerned, `SELECT DISTINCT s.contact FROM consent_subjects s JOIN consent_ledger l ON l.subject = s.subject
		WHERE `+where+` AND l.action = 'grant' AND l.how = 'import' AND l.actor IN (`+schema.List(len(actors))+`) ORDER BY s.contact`, args...)
	if err != nil || len(concerned) == 0 {
		return nil, err
	}
	subjects, err := lockSubjects(ctx, tx, concerned)
	if err != nil {
		return nil, err
	}
	chains, err := chainsOf(ctx, tx, subjects)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, c := range concerned {
		s := subjects[id.Contact(c)]
		if s == nil {
			continue // forgotten in the meantime
		}
		list, err := onlyFrom(chains[s.id], actors, words)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			e.Contact = s.contact
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// chainsOf reads the whole ledger of the subjects.
func chainsOf(ctx context.Context, q schema.Querier, subjects map[id.Contact]*subject) (map[id.Subject][]row, error) {
	ids := make([]int64, 0, len(subjects))
	for _, s := range subjects {
		ids = append(ids, int64(s.id))
	}
	where, arg := among(q.Dialect(), "subject", ids)
	var rows []row
	if err := q.Select(ctx, &rows, `SELECT `+rowColumns+` FROM consent_ledger WHERE `+where+` ORDER BY subject, seq`, arg); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	chains := map[id.Subject][]row{}
	for _, r := range rows {
		chains[r.Subject] = append(chains[r.Subject], r)
	}
	return chains, nil
}

// onlyFrom finds, of one contact, the types and tracking that stand on nothing but grants of the
// actors' imports, and returns what ends them.
func onlyFrom(chain []row, actors []string, words *words) ([]Entry, error) {
	others := map[place]int64{}      // types with a yes from elsewhere
	tracked := map[id.Company]bool{} // tracking with a yes from elsewhere: once it ended, only the person's own opens it again
	last, err := follow(chain, words, func(r *row, a *act, m *model) {
		for p, w := range m.state {
			others[p] &= w.granted
		}
		if a.action != Grant || r.How == ByImport && slices.Contains(actors, r.Actor) {
			return
		}
		others[place{a.company, a.channel}] |= a.gave
		tracked[a.company] = tracked[a.company] || a.gives
	})
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for p, w := range last.state {
		if types := words.catalogue.Slugs(KindType, w.granted&^others[p]); len(types) > 0 {
			entries = append(entries, Entry{Action: Withdraw, Company: p.company, Channel: p.channel, Types: types})
		}
	}
	no := false
	for c, t := range last.tracks {
		mail := last.state[place{c, Email}]
		ended := mail != nil && mail.granted != 0 && mail.granted&^others[place{c, Email}] == mail.granted // tracking ends with the last type of mail
		if t.consents() && !tracked[c] && !ended {
			entries = append(entries, Entry{Action: Grant, Company: c, Channel: Email, Tracking: &no})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Company, b.Company), cmp.Compare(a.Channel, b.Channel))
	})
	return entries, nil
}
