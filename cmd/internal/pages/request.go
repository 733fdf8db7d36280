package pages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

// request starts a double opt-in for the wish and returns the link that ends it. A wish for several
// channels is one request for each, and the link holds the token of each, joined by dots.
func (p *Pages) request(ctx context.Context, tx *schema.Tx, who id.Contact, company segments.Company, w wish, how consent.How, evidence map[string]string) (tokens string, err error) {
	now := p.Now()
	var all []string
	for _, e := range w.entries() {
		e.Contact, e.Action, e.Company = who, consent.Request, company.ID
		e.How, e.Actor, e.Requested, e.Evidence = how, actor, schema.At(now), evidence
		r, err := p.Ledger.Request(ctx, tx, e, p.ConfirmTTL)
		if err != nil {
			return "", err
		}
		t, err := p.Keys.Sign(token.Token{Kind: token.Confirm, Request: r, Expires: now.Add(p.ConfirmTTL)})
		if err != nil {
			return "", err
		}
		all = append(all, t)
	}
	return strings.Join(all, "."), nil
}

// Start begins a double opt-in that somebody else asks for in the name of a contact, such as a
// caller of the API: it records the request and mails the link, in the language of the company. An
// error means that nothing was recorded.
func (p *Pages) Start(ctx context.Context, e consent.Entry) (r id.Request, err error) {
	err = p.DB.Tx(ctx, func(tx *schema.Tx) error {
		now := p.Now()
		e.Action, e.Own, e.Requested = consent.Request, false, schema.At(now)
		if r, err = p.Ledger.Request(ctx, tx, e, p.ConfirmTTL); err != nil {
			return err
		}
		company, err := p.Companies.ByID(ctx, e.Company)
		if err != nil {
			return err
		}
		who, err := p.Contacts.GetIn(ctx, tx, e.Contact)
		if err != nil {
			return err
		}
		t, err := p.Keys.Sign(token.Token{Kind: token.Confirm, Request: r, Expires: now.Add(p.ConfirmTTL)})
		if err != nil {
			return err
		}
		v := &visit{pages: p, view: view{Lang: p.languages.choose(company.Language), Company: company}}
		return p.mail(ctx, v, t, who.Email, wish{Notice: e.Notice, Types: e.Types, Channels: []string{string(e.Channel)},
			Topics: e.Topics, Tracking: e.Tracking != nil && *e.Tracking, Item: e.Item}) // last, since it cannot be taken back
	})
	if err != nil {
		return 0, fmt.Errorf("pages: start a double opt-in: %w", err)
	}
	return r, nil
}

// shown is the evidence of a wish: the page, and what stood beside the boxes of which the wording in
// force says nothing by itself.
func (v *visit) shown(page string, w wish) map[string]string {
	e := map[string]string{"page": page, "language": v.Lang.Tag}
	if w.Tracking {
		e["asked_tracking"] = v.T("subscribe.tracking.label", "company", v.Company.Name) + " – " + v.T("subscribe.tracking.hint")
	}
	if slices.ContainsFunc(v.pages.Catalogue.Entries(consent.KindTopic), func(c consent.CatalogueEntry) bool { return c.Special && slices.Contains(w.Topics, c.Slug) }) {
		e["asked_special"] = v.T("subscribe.special.lead", "company", v.Company.Name)
	}
	return e
}

// hold returns the contact of an address that nobody has confirmed yet.
func (p *Pages) hold(ctx context.Context, tx *schema.Tx, address string) (id.Contact, error) {
	if p.Addresses != nil {
		return p.Addresses.HoldIn(ctx, tx, address)
	}
	c, err := p.Contacts.ByEmail(ctx, address)
	if errors.Is(err, segments.ErrNotFound) {
		c, _, err = p.Contacts.CreateIn(ctx, tx, segments.NewContact{Email: address})
	}
	return c.ID, err
}

// mail sends the link that ends a request.
func (p *Pages) mail(ctx context.Context, v *visit, tokens, address string, w wish) error {
	notice, err := p.Notices.Get(ctx, w.Notice)
	if err != nil {
		return err
	}
	c, err := v.confirmation(address, p.URL+"/confirm/"+tokens+"?lang="+v.Lang.Tag, p.Now().Add(p.ConfirmTTL), w, notice)
	if err != nil {
		return err
	}
	if err := p.Mailer.Confirm(ctx, c); err != nil {
		return fmt.Errorf("pages: hand over a confirmation mail: %w", err)
	}
	return nil
}

// requested is what a link from a confirmation mail stands for.
type requested struct {
	ids           []id.Request
	channels      []string
	item          string
	tracking      bool
	expires       time.Time
	done          bool              // a part of it is confirmed already
	typed         map[string]string // what was entered into the subscription form, if it was that
	consent.Entry                   // of one channel; the others differ in it alone
}

// requested reads the tokens of a link. ErrNoEntry stands for a link that we did not make as it is.
func (p *Pages) requested(ctx context.Context, q schema.Querier, tokens string) (requested, error) {
	var all requested
	for s := range strings.SplitSeq(tokens, ".") {
		t, err := p.Keys.Open(token.Confirm, s)
		if err != nil && !errors.Is(err, token.ErrExpired) || t.Test || slices.Contains(all.ids, t.Request) || len(all.ids) > 60 {
			return all, consent.ErrNoEntry
		}
		r, err := p.Ledger.Requested(ctx, q, t.Request)
		if err != nil {
			return all, err
		}
		e := r.Entry
		if len(all.ids) > 0 && (e.Contact != all.Contact || e.Company != all.Company || e.Notice != all.Notice || e.Requested != all.Requested) {
			return all, consent.ErrNoEntry
		}
		if len(all.ids) == 0 || len(e.Types) > 0 {
			all.Entry = e
		}
		all.ids = append(all.ids, t.Request)
		if !slices.Contains(all.channels, string(e.Channel)) {
			all.channels = append(all.channels, string(e.Channel))
		}
		if e.Item != "" {
			all.item = e.Item
		}
		all.tracking = all.tracking || e.Tracking != nil && *e.Tracking
		all.done = all.done || r.Confirmed != 0
		all.expires = t.Expires
		if r.Expires.T().Before(t.Expires) {
			all.expires = r.Expires.T()
		}
	}
	history, err := p.Ledger.History(ctx, q, all.Contact)
	if err != nil {
		return all, err
	}
	for _, row := range history {
		if row.Action == consent.Request && row.Requested == all.Requested && row.Channel == all.Channel && row.Evidence["page"] == "subscribe" {
			all.typed = row.Evidence
		}
	}
	return all, nil
}
