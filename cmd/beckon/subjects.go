package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"beckon/mailer"
	"beckon/mailer/bounce"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/event"
)

// newDesk answers people who ask for their data, or that it be erased. Everybody who holds something of
// a person is here, in the words that the person reads.
func (a *app) newDesk() *rights.Desk {
	d := rights.NewDesk(a.db, []rights.Subject{contactSubject{a.contacts, a.ledger}, consentSubject{a.ledger}, mailSubject{}, hitSubject{}}, a.audit, a.now)
	d.Holds = a.holds
	d.Company = a.companies.NameIn
	d.Restrict = func(ctx context.Context, tx *schema.Tx, who id.Contact, actor string) error {
		_, err := a.ledger.Record(ctx, tx, consent.Entry{Contact: who, Action: consent.Restrict, How: consent.ByAPI, Actor: actor})
		return err
	}
	return d
}

// leaves says under which block an erased address is kept out, by keyed hash.
var leaves = map[rights.Reason]consent.Block{rights.OnRequest: consent.BlockErased, rights.UnderAge: consent.BlockUnderAge, rights.OnRetention: 0}

// contactSubject is the contact itself. It is erased last, and takes what the ledger holds with it.
type contactSubject struct {
	contacts *segments.Contacts
	ledger   *consent.Ledger
}

func (s contactSubject) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	c, err := s.contacts.GetIn(ctx, q, who)
	if errors.Is(err, segments.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", rights.ErrNoContact, err)
	}
	if err != nil {
		return nil, err
	}
	origins, err := s.contacts.Provenance(ctx, q, who)
	if err != nil {
		return nil, err
	}
	basis := rights.Consent
	if c.OwnAt == 0 {
		basis = rights.LegitimateInterests
	}
	details := rights.Part{Name: "Contact details", Purpose: "writing to you", Basis: basis,
		Columns: []string{"Number", "Email address", "Name", "Employer", "Country", "Phone", "Job title", "Kind of subscriber", "Interests", "Given by yourself", "Held since", "Last changed"},
		Rows:    [][]any{{c.ID.String(), c.Email, c.Name, c.Company, c.Country, c.Phone, c.JobTitle, c.SubscriberKind, c.Topics, c.OwnAt, c.CreatedAt, c.UpdatedAt}}}
	more := rights.Part{Name: "Further details", Purpose: "writing what concerns you, to those it concerns", Basis: basis, Columns: []string{"Name", "Value"}}
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		more.Rows = append(more.Rows, []any{name, c.Attributes[name]})
	}
	from := rights.Part{Name: "Where your data came from", Purpose: "naming the provider in every mail, and keeping to what it permits", Basis: rights.LegalObligation,
		Columns: []string{"Provider", "Short name", "Privacy policy", "Transparency policy", "Its lawful basis", "Permitted uses", "Import", "Acquired", "Licence ends", "Recalled"}}
	for _, o := range origins {
		from.Rows = append(from.Rows, []any{o.Name, o.Source, o.PrivacyURL, o.TransparencyURL, o.LawfulBasis, o.PermittedUses, named(o.Import), o.AcquiredAt, o.LicenceEnd, o.RecalledAt})
	}
	return []rights.Part{details, more, from}, nil
}

func (s contactSubject) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why rights.Reason) ([]rights.Kept, error) {
	c, err := s.contacts.GetIn(ctx, tx, who)
	if err != nil {
		return nil, err
	}
	if err := s.contacts.EraseIn(ctx, tx, who, leaves[why]); err != nil {
		return nil, err
	}
	out, err := s.ledger.Suppressed(ctx, tx, []string{c.Email})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return []rights.Kept{{What: "Keyed hash of your address", Why: "without it an import or a form could bring you back; only your own confirmed sign-up lifts it. The address cannot be read from it"}}, nil
}

// consentSubject is what the ledger holds. It goes with the contact.
type consentSubject struct{ ledger *consent.Ledger }

func (s consentSubject) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	h, err := s.ledger.Held(ctx, q, who)
	if err != nil && !errors.Is(err, consent.ErrNoEntry) {
		return nil, err
	}
	const knowing, proof = "knowing what we may do and what not", "proving what you agreed to and refused, and what you were told"
	stops := rights.Part{Name: "Blocks on your record", Purpose: knowing, Basis: rights.LegalObligation, Columns: []string{"Reason", "Kept with", "Since"}}
	for _, r := range h.Blocks {
		stops.Rows = append(stops.Rows, []any{string(r), "your contact details", schema.Time(0)})
	}
	for _, r := range h.Suppressed {
		stops.Rows = append(stops.Rows, []any{string(r), "a keyed hash of your address", h.SuppressedAt})
	}
	choices := rights.Part{Name: "Your choices", Purpose: knowing, Basis: rights.Consent,
		Columns: []string{"Company", "Channel", "Agreed to", "Refused", "Sensitive topics agreed to", "Sensitive topics refused", "Newest yes", "Last changed", "Wording shown"}}
	for _, w := range h.Wishes {
		choices.Rows = append(choices.Rows, []any{every(w.Company), every(w.Channel), w.Granted, w.Refused, w.Explicit, w.RefusedTopics, w.GrantedAt, w.ChangedAt, w.Notice})
	}
	tracking := rights.Part{Name: "Your choice about measuring opens and clicks", Purpose: knowing, Basis: rights.Consent, Columns: []string{"Company", "Agreed", "Refused", "Period", "Last changed"}}
	for _, t := range h.Tracking {
		tracking.Rows = append(tracking.Rows, []any{every(t.Company), t.Open, t.Refused, t.Epoch, t.ChangedAt})
	}
	items := rights.Part{Name: "Things you asked for and have not got yet", Purpose: "sending them to you", Basis: rights.Consent, Columns: []string{"Company", "Channel", "What", "Asked", "Wording shown"}}
	for _, i := range h.Items {
		items.Rows = append(items.Rows, []any{i.Slug, string(i.Channel), i.Item, i.GrantedAt, i.Notice})
	}
	waiting := rights.Part{Name: "Sign-ups and their confirmation", Purpose: "making sure that it was you", Basis: rights.Consent, Columns: []string{"Request", "Company", "Channel", "Types", "Topics",
		"Measuring opens and clicks", "Item", "Wording shown", "How", "Captured", "Recorded by", "Asked", "Valid until", "Confirmed"}}
	for _, r := range h.Requests {
		e := r.Entry
		waiting.Rows = append(waiting.Rows, []any{r.ID.String(), r.Company, string(e.Channel), e.Types, e.Topics, yesNo(e.Tracking), e.Item, e.Notice, string(e.How), e.Captured, e.Actor,
			r.RequestedAt, r.Expires, r.Confirmed})
	}
	ledger := rights.Part{Name: "Record of your choices", Purpose: proof, Basis: rights.LegalObligation, Columns: []string{"Entry", "What", "Company", "Channel", "Types", "Topics", "Measuring opens and clicks", "Item",
		"Wording shown", "Fingerprint of the wording", "How", "Captured", "Asked", "Confirmed", "Recorded", "Recorded by", "What became of it", "Your own act", "Evidence"}}
	for _, r := range h.Ledger {
		evidence := make(map[string]any, len(r.Evidence))
		for name, v := range r.Evidence {
			evidence[name] = v
		}
		ledger.Rows = append(ledger.Rows, []any{r.Seq, string(r.Action), every(r.Company), every(r.Channel), r.Types, r.Topics, yesNo(r.Tracking), r.Item, r.Notice, r.NoticeHash, string(r.How),
			r.Captured, r.Requested, r.Confirmed, r.Recorded, r.Actor, r.Outcome, r.Own, evidence})
	}
	noes := rights.Part{Name: "Refusals from before we held your address", Purpose: knowing, Basis: rights.LegalObligation, Columns: []string{"What", "Company", "Channel", "Types", "Topics",
		"Measuring opens and clicks refused", "Item", "Reasons", "How", "When"}}
	for _, n := range h.Noes {
		var why []string
		for _, r := range n.Block.Reasons() {
			why = append(why, string(r))
		}
		noes.Rows = append(noes.Rows, []any{string(n.Action), every(n.Company), every(n.Channel), n.Types, n.Topics, n.Tracking, n.Item, why, string(n.How), n.At})
	}
	return []rights.Part{stops, choices, tracking, items, waiting, ledger, noes}, nil
}

func (s consentSubject) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, _ rights.Reason) ([]rights.Kept, error) {
	rows, err := s.ledger.History(ctx, tx, who)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return []rights.Kept{{What: "Entries of the consent ledger", Why: "they prove that nothing was changed or cut out; they stand under a random number that leads to nobody any more, and hold no evidence"}}, nil
}

// mailSubject are the mails. Their rows stay as part of their campaigns' figures.
type mailSubject struct{}

func (mailSubject) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	mails, err := mailer.HeldOf(ctx, q, who)
	p := rights.Part{Name: "Mails to you", Purpose: "sending each mail once, and knowing which arrived", Basis: rights.LegitimateInterests, Columns: []string{"Mail", "Campaign", "Subject", "Company", "Type", "Provider whose list it went to",
		"Opens and clicks measured", "Period of your agreement", "Providers named in it", "Status", "Reason", "Attempts", "Next attempt", "Reply code", "Reply", "Sent", "First opened"}}
	for _, m := range mails {
		p.Rows = append(p.Rows, []any{m.Message.String(), m.Campaign, m.Subject, m.Company, m.Type, m.Via, string(m.Mode), m.Epoch, m.Cited, string(m.Status), m.Reason, m.Attempts, m.NextAt,
			m.SMTPCode, m.SMTPReply, m.SentAt, m.OpenedAt})
	}
	if err != nil {
		return nil, err
	}
	returned, err := bounce.HeldOf(ctx, q, who)
	back := rights.Part{Name: "Mails that came back", Purpose: "not writing to an address that is dead, or to who complained", Basis: rights.LegitimateInterests,
		Columns: []string{"Mail", "Campaign", "What", "Status", "Reply code", "Reply", "How it came", "When"}}
	for _, r := range returned {
		back.Rows = append(back.Rows, []any{r.Message.String(), r.Campaign.String(), string(r.Class), r.Status, r.Code, r.Diagnostic, string(r.Way), r.At})
	}
	return []rights.Part{p, back}, err
}

func (mailSubject) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, _ rights.Reason) ([]rights.Kept, error) {
	letters, err := queue.Letters(ctx, tx, who)
	if err != nil || len(letters) == 0 {
		return nil, err
	}
	if err := bounce.Forget(ctx, tx, who); err != nil {
		return nil, err
	}
	return []rights.Kept{{What: "That your mails were sent, as part of their campaigns' figures", Why: "a campaign is accounted for as a whole; they are no longer tied to you or your address"}}, queue.Forget(ctx, tx, who)
}

// hitSubject is what somebody opened and clicked after agreeing to that. The totals stay.
type hitSubject struct{}

func (hitSubject) Export(ctx context.Context, q schema.Querier, who id.Contact) ([]rights.Part, error) {
	const purpose = "seeing what interests you"
	events, firsts, err := event.HeldOf(ctx, q, who)
	if err != nil {
		return nil, err
	}
	hits := rights.Part{Name: "Opens and clicks", Purpose: purpose, Basis: rights.Consent, Columns: []string{"Number", "When", "What", "Mail", "Campaign", "Link", "Address", "Taken for", "Because", "Region", "Program", "System", "Device"}}
	for _, e := range events {
		hits.Rows = append(hits.Rows, []any{e.ID.String(), e.At, string(e.Kind), e.Message.String(), e.Campaign.String(), int64(e.Link), e.URL, string(e.Verdict), e.Reason, e.Region, e.Client, e.OS, e.Device})
	}
	first := rights.Part{Name: "First clicks", Purpose: purpose, Basis: rights.Consent, Columns: []string{"Mail", "Link", "Address", "When"}}
	for _, f := range firsts {
		first.Rows = append(first.Rows, []any{f.Message.String(), int64(f.Link), f.URL, f.At})
	}
	place := rights.Part{Name: "Region", Purpose: "writing what concerns the region you last clicked from", Basis: rights.Consent, Columns: []string{"Region", "As of"}}
	region, at, err := event.RegionOf(ctx, q, who)
	if at != 0 {
		place.Rows = [][]any{{region, at}}
	}
	return []rights.Part{hits, first, place}, err
}

func (hitSubject) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, _ rights.Reason) ([]rights.Kept, error) {
	events, _, err := event.HeldOf(ctx, tx, who)
	if err != nil {
		return nil, err
	}
	if err := event.DeleteContact(ctx, tx, who); err != nil || len(events) == 0 {
		return nil, err
	}
	return []rights.Kept{{What: "Totals of opens and clicks", Why: "they are sums per campaign, hour and region, and name nobody"}}, nil
}

// every says all of them where nothing is named.
func every[T ~string](s T) string {
	if s == "" {
		return "all"
	}
	return string(s)
}

// yesNo is what somebody said to a question, or that they were not asked.
func yesNo(v *bool) string {
	switch {
	case v == nil:
		return "not asked"
	case *v:
		return "yes"
	}
	return "no"
}

func named(i id.Import) string {
	if i == 0 {
		return ""
	}
	return i.String()
}
