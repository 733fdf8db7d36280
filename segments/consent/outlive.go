package consent

import (
	"context"

	"beckon/schema"
	"beckon/schema/id"
)

// Outlive calls forget, which forgets the contact because its time is over, and then keeps what the
// contact refused waiting for its address: whoever creates a contact of it again finds every no that
// stood, to a type, a company or tracking as to everything. They are told to the journal as said once
// more after the erasure, so that a restored database, which is told of both, ends up the same.
func (l *Ledger) Outlive(ctx context.Context, tx *schema.Tx, who id.Contact, forget func(ctx context.Context, tx *schema.Tx, who id.Contact) error) error {
	noes, err := l.standing(ctx, tx, who)
	if err != nil {
		return boundary("what a contact refused", err)
	}
	_, at, err := l.addressOf(ctx, tx, who, nil)
	if err != nil {
		return boundary("what a contact refused", err)
	}
	if err := forget(ctx, tx, who); err != nil || len(noes) == 0 {
		return err
	}
	at = max(at, schema.At(l.now())) + 1 // Forget tells the journal of an erasure at that time
	for i := range noes {
		noes[i].At = at
	}
	if err := l.keep(ctx, noes); err != nil {
		return boundary("what a contact refused", err)
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
	var subjects []struct {
		Hash   []byte `db:"hash"`
		Blocks Block  `db:"blocks"`
	}
	if err := q.Select(ctx, &subjects, `SELECT hash, blocks FROM consent_subjects WHERE contact = ?`, who); err != nil || len(subjects) == 0 {
		return nil, err
	}
	hash := subjects[0].Hash
	if subjects[0].Blocks&noes != 0 {
		return nil, nil // the address is suppressed, and stays so
	}
	var places []struct {
		Company id.Company `db:"company"`
		Channel Channel    `db:"channel"`
		Types   int64      `db:"refused"`
		Topics  int64      `db:"refused_topics"`
	}
	err = q.Select(ctx, &places, `SELECT gate_state.company, gate_state.channel, gate_state.refused, gate_state.refused_topics
		FROM consent_state gate_state WHERE gate_state.contact = ? AND (`+anyRefusal+`) ORDER BY gate_state.company, gate_state.channel`, who)
	if err != nil {
		return nil, err
	}
	var list []No
	for _, p := range places {
		n := No{Hash: hash, Action: Withdraw, Company: words.slugs[p.Company], Channel: p.Channel, How: bySuppression}
		if p.Types != all {
			n.Types = words.catalogue.Slugs(KindType, p.Types)
			n.Topics = words.catalogue.Slugs(KindTopic, p.Topics)
			if len(n.Types)+len(n.Topics) == 0 {
				continue // of what is in no catalogue any more
			}
		}
		list = append(list, n)
	}
	var tracks []id.Company
	if err := q.Select(ctx, &tracks, `SELECT company FROM consent_tracking WHERE contact = ? AND company <> 0 AND refused ORDER BY company`, who); err != nil {
		return nil, err
	}
	for _, company := range tracks {
		list = append(list, No{Hash: hash, Action: Grant, Company: words.slugs[company], Channel: Email, Tracking: true, How: bySuppression})
	}
	return list, nil
}
