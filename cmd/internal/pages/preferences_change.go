package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// kept is one box of what was agreed to: a type or a single item by a channel of a company, its
// tracking, or a topic.
type kept struct {
	Company, Channel, Type string
	Item                   string
	Tracking               bool
	Topic                  string
}

func (k kept) String() string {
	switch {
	case k.Topic != "":
		return "topic/" + k.Topic
	case k.Tracking:
		return "tracking/" + k.Company
	case k.Item != "":
		return "item/" + k.Company + "/" + k.Channel + "/" + k.Item
	}
	return "type/" + k.Company + "/" + k.Channel + "/" + k.Type
}

// parseKept reads what String writes.
func parseKept(s string) (kept, bool) {
	parts := strings.Split(s, "/")
	if slices.Contains(parts, "") {
		return kept{}, false
	}
	switch {
	case len(parts) == 2 && parts[0] == "topic":
		return kept{Topic: parts[1]}, true
	case len(parts) == 2 && parts[0] == "tracking":
		return kept{Company: parts[1], Tracking: true}, true
	case len(parts) == 4 && parts[0] == "item":
		return kept{Company: parts[1], Channel: parts[2], Item: parts[3]}, true
	case len(parts) == 4 && parts[0] == "type":
		return kept{Company: parts[1], Channel: parts[2], Type: parts[3]}, true
	}
	return kept{}, false
}

// changePreferences does what one of the buttons of the page says. Whatever the form holds, it only
// takes back: a yes is asked for with a mail to the address.
func (p *Pages) changePreferences(ctx context.Context, v *visit) error {
	who, err := v.person(ctx)
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if err := only(form, append([]string{"do", "complaint"}, wishSingle...), append([]string{"keep", "shown"}, wishSeveral...)); err != nil {
		return err
	}
	var b preferencesBody
	switch form.Get("do") {
	case "save":
		b.Said, err = p.lower(ctx, v, who, form)
	case "object":
		b.Said, err = v.T("preferences.saved.objected"), p.block(ctx, who, consent.Object, consent.BlockObjected)
	case "restrict":
		b.Said, err = v.T("preferences.saved.restricted"), p.block(ctx, who, consent.Restrict, consent.BlockRestricted)
	case "more":
		return p.raise(ctx, v, who, form)
	case "copy":
		b.Said, err = p.sendLink(ctx, v, who, rights.ForDownload)
	case "erase":
		b.Said, err = p.sendLink(ctx, v, who, rights.ForErasure)
	case "complain":
		return p.complain(ctx, v, who, form)
	default:
		return badForm
	}
	if err != nil {
		return err
	}
	if who, err = v.person(ctx); err != nil {
		return err
	}
	return v.showPreferences(ctx, http.StatusOK, who, b, wish{}, nil)
}

// block stores a no to everything, once.
func (p *Pages) block(ctx context.Context, who person, a consent.Action, stands consent.Block) error {
	if who.blocks&stands != 0 {
		return nil
	}
	return p.record(ctx, who, consent.Entry{Action: a})
}

// record stores noes, all of them or none.
func (p *Pages) record(ctx context.Context, who person, entries ...consent.Entry) error {
	err := p.DB.Tx(ctx, func(tx *schema.Tx) error {
		for _, e := range entries {
			e.Contact, e.How, e.Actor, e.Own = who.Contact, consent.ByPage, actor, true
			e.Evidence = map[string]string{"page": "preferences", "message": who.ref.String()}
			if _, err := p.Ledger.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("pages: change preferences: %w", err)
	}
	return nil
}

// lower takes back what was shown ticked and came back unticked, and is still agreed to.
func (p *Pages) lower(ctx context.Context, v *visit, who person, form url.Values) (said string, err error) {
	var entries []consent.Entry
	var topics []string
	for _, s := range slices.Compact(slices.Sorted(slices.Values(form["shown"]))) {
		k, ok := parseKept(s)
		if !ok {
			return "", badForm
		}
		if slices.Contains(form["keep"], s) {
			continue
		}
		if k.Topic != "" {
			topics = append(topics, k.Topic)
			continue
		}
		for _, i := range who.items {
			if i.Slug == k.Company && string(i.Channel) == k.Channel && i.Item == k.Item {
				entries = append(entries, consent.Entry{Action: consent.Withdraw, Company: i.Company, Channel: i.Channel, Item: i.Item})
			}
		}
		for _, pl := range who.standing {
			if who.companies[pl.Company].Slug != k.Company {
				continue
			}
			switch {
			case k.Tracking && pl.Tracking.Open && pl.Channel == consent.Email:
				entries = append(entries, consent.Untrack(who.Contact, pl.Company, consent.ByPage))
			case string(pl.Channel) == k.Channel && slices.Contains(pl.Granted, k.Type):
				entries = append(entries, consent.Entry{Action: consent.Withdraw, Company: pl.Company, Channel: pl.Channel, Types: []string{k.Type}})
			}
		}
	}
	explicit := slices.DeleteFunc(slices.Clone(topics), func(t string) bool {
		return !slices.ContainsFunc(who.standing, func(pl consent.Standing) bool { return slices.Contains(pl.Explicit, t) })
	})
	if len(explicit) > 0 {
		entries = append(entries, consent.Entry{Action: consent.Withdraw, Topics: explicit})
	}
	entries = merged(entries)
	left := slices.DeleteFunc(slices.Clone(who.contact.Topics), func(t string) bool { return slices.Contains(topics, t) })
	if len(entries) == 0 && len(left) == len(who.contact.Topics) {
		return v.T("preferences.saved.nothing"), nil
	}
	if len(entries) > 0 {
		if err := p.record(ctx, who, entries...); err != nil {
			return "", err
		}
	}
	if len(left) < len(who.contact.Topics) {
		if _, err := p.Contacts.Patch(ctx, who.Contact, segments.ContactPatch{Topics: &left}); err != nil {
			return "", fmt.Errorf("pages: change interests: %w", err)
		}
	}
	return v.T("preferences.saved"), nil
}

// merged makes one entry of withdrawals that differ in their types alone.
func merged(entries []consent.Entry) []consent.Entry {
	var all []consent.Entry
	for _, e := range entries {
		i := slices.IndexFunc(all, func(o consent.Entry) bool {
			return o.Action == consent.Withdraw && e.Action == o.Action && o.Company == e.Company && o.Channel == e.Channel && len(o.Types) > 0 && len(e.Types) > 0
		})
		if i < 0 {
			all = append(all, e)
		} else {
			all[i].Types = append(all[i].Types, e.Types...)
		}
	}
	return all
}
