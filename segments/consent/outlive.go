package consent

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Outlive calls forget, which forgets the contact because its time is over, and then keeps what the
// contact refused waiting for its address: whoever creates a contact of it again finds every no that
// stood, to a type, a company or tracking as to everything. Where forget adds a block of its own, or
// the contact was not registered, nothing is left to keep.
func (l *Ledger) Outlive(ctx context.Context, tx *schema.Tx, who id.Contact, forget func(ctx context.Context, tx *schema.Tx, who id.Contact) error) error {
	noes, err := l.standing(ctx, tx, who)
	if err != nil {
		return fmt.Errorf("consent: what a contact refused: %w", err)
	}
	if err := forget(ctx, tx, who); err != nil {
		return err
	}
	for _, n := range noes {
		if err := l.Apply(ctx, tx, n); err != nil {
			return err
		}
	}
	return nil
}

// standing returns what a contact refuses as it is now.
func (l *Ledger) standing(ctx context.Context, q schema.Querier, who id.Contact) ([]No, error) {
	words, err := loadWords(ctx, q)
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	if err := q.Select(ctx, &hashes, `SELECT hash FROM consent_subjects WHERE contact = ?`, who); err != nil || len(hashes) == 0 {
		return nil, err
	}
	var places []struct {
		Company id.Company  `db:"company"`
		Channel Channel     `db:"channel"`
		Types   int64       `db:"refused"`
		Topics  int64       `db:"refused_topics"`
		At      schema.Time `db:"changed_at"`
	}
	err = q.Select(ctx, &places, `SELECT gate_state.company, gate_state.channel, gate_state.refused, gate_state.refused_topics, gate_state.changed_at
		FROM consent_state gate_state WHERE gate_state.contact = ? AND (`+anyRefusal+`) ORDER BY gate_state.company, gate_state.channel`, who)
	if err != nil {
		return nil, err
	}
	var noes []No
	for _, p := range places {
		n := No{Hash: hashes[0], Action: Withdraw, Company: words.slugs[p.Company], Channel: p.Channel, How: bySuppression, At: p.At}
		if p.Types != all {
			n.Types = words.catalogue.Slugs(KindType, p.Types)
			n.Topics = words.catalogue.Slugs(KindTopic, p.Topics)
			if len(n.Types)+len(n.Topics) == 0 {
				continue // of what is in no catalogue any more
			}
		}
		noes = append(noes, n)
	}
	var tracks []struct {
		Company id.Company  `db:"company"`
		At      schema.Time `db:"changed_at"`
	}
	if err := q.Select(ctx, &tracks, `SELECT company, changed_at FROM consent_tracking WHERE contact = ? AND company <> 0 AND refused ORDER BY company`, who); err != nil {
		return nil, err
	}
	for _, t := range tracks {
		noes = append(noes, No{Hash: hashes[0], Action: Grant, Company: words.slugs[t.Company], Channel: Email, Tracking: true, How: bySuppression, At: t.At})
	}
	return noes, nil
}
