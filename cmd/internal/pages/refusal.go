package pages

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Scope says how far a refusal reaches.
type Scope string

// The scopes. The first two reach further for a mail that the person never agreed to: see doc.go.
const (
	ThisType    Scope = "type"       // the communication type of the mail, by email, from its company
	ThisCompany Scope = "company"    // every email of the company
	Everything  Scope = "everything" // every company, channel and type
)

// Refusal is a no that was given with the link of a mail.
type Refusal struct {
	Message id.Message  `json:"message"`
	Scope   Scope       `json:"scope"`
	At      schema.Time `json:"at"`
}

// Apply records a refusal in the ledger. A repeated one changes nothing more, and one for a contact
// that is erased meanwhile, or a message not held any more, has nothing left to do: the journal may
// be replayed at any time.
func (p *Pages) Apply(ctx context.Context, r Refusal) error {
	m, err := p.Messages.Lookup(ctx, r.Message)
	if errors.Is(err, ErrNoMessage) || err == nil && m.Contact == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pages: find the mail of a refusal: %w", err)
	}
	return p.refuse(ctx, m, r, r.At)
}

// refuse records a refusal said at an instant, or now if that is zero. The ledger keeps it in the
// journal once more, by the hash of the address: the message may be one that a restored database has
// never heard of.
func (p *Pages) refuse(ctx context.Context, m Message, r Refusal, said schema.Time) error {
	err := p.DB.Tx(ctx, func(tx *schema.Tx) error {
		e := consent.Entry{Contact: m.Contact, Action: consent.Withdraw, Company: m.Company, Channel: consent.Email,
			How: consent.ByPage, Captured: said, Actor: actor, Own: true,
			Evidence: map[string]string{"page": "unsubscribe", "message": r.Message.String(), "scope": string(r.Scope)}}
		if done, err := p.said(ctx, tx, m, r.Scope); err != nil || done {
			return err
		}
		agreed, err := p.agreed(ctx, tx, m)
		switch {
		case err != nil:
			return err
		case r.Scope == Everything:
			e.Action, e.Company, e.Channel = consent.Object, 0, ""
		case !agreed:
			e.Action = consent.Object
		case r.Scope == ThisType:
			e.Types = []string{m.Type}
		}
		_, err = p.Ledger.Record(ctx, tx, e)
		if gone := new(consent.ErrUnknownSlug); errors.As(err, &gone) {
			e.Types = nil // the type has left the catalogue; the no must not get lost for that
			_, err = p.Ledger.Record(ctx, tx, e)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: record a refusal: %w", err)
	}
	return nil
}

// said tells whether a refusal of that reach stands already, so that a link that is posted to over
// and over does not fill the ledger.
func (p *Pages) said(ctx context.Context, tx *schema.Tx, m Message, s Scope) (bool, error) {
	blocks, err := p.Ledger.Blocks(ctx, tx, m.Contact)
	if err != nil || blocks&consent.BlockObjected != 0 || s == Everything {
		return blocks&consent.BlockObjected != 0, err
	}
	stands, err := p.refusedMail(ctx, tx, m)
	return stands == ThisCompany || stands != "" && s == ThisType, err
}

// actor is who does what is done on these pages.
const actor = "recipient"

// refused tells how far the refusals reach that stand against such a mail; empty if it is welcome.
func (p *Pages) refused(ctx context.Context, m Message) (Scope, error) {
	blocks, err := p.Ledger.Blocks(ctx, p.DB, m.Contact)
	if err != nil {
		return "", err
	}
	if blocks&(consent.BlockObjected|consent.BlockWithdrawn|consent.BlockComplained|consent.BlockErased) != 0 {
		return Everything, nil
	}
	return p.refusedMail(ctx, p.DB, m)
}

// refusedMail is how far it reaches what was said to the company's email.
func (p *Pages) refusedMail(ctx context.Context, q schema.Querier, m Message) (Scope, error) {
	s, err := p.mails(ctx, q, m)
	switch {
	case err != nil || !slices.Contains(s.Refused, m.Type):
		return "", err
	case len(s.Refused) == len(p.Catalogue.Entries(consent.KindType)):
		return ThisCompany, nil
	}
	return ThisType, nil
}

// agreed tells whether a mail rests on what its recipient agreed to: it went to a segment, or the
// person has said a yes or no of their own to the company's email. Otherwise it came through a data
// source's list alone.
func (p *Pages) agreed(ctx context.Context, q schema.Querier, m Message) (bool, error) {
	if m.Via == 0 {
		return true, nil
	}
	s, err := p.mails(ctx, q, m)
	return len(s.Granted)+len(s.Refused) > 0, err
}

// mails is what the recipient of a mail has said to the company's email.
func (p *Pages) mails(ctx context.Context, q schema.Querier, m Message) (consent.Standing, error) {
	all, err := p.Ledger.State(ctx, q, m.Contact)
	for _, s := range all {
		if s.Company == m.Company && s.Channel == consent.Email {
			return s, err
		}
	}
	return consent.Standing{}, err
}
