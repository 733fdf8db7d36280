package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// answered is how many hits the visitors made that ought to be counted.
func (p *Play) answered() int64 { return p.visitors.Opens.Load() + p.visitors.Clicks.Load() }

// counted is how many hits the durable totals hold, or -1 if they cannot be read.
func (p *Play) counted(ctx context.Context) int64 {
	var n int64
	if err := p.DB.Get(ctx, &n, `SELECT COALESCE(SUM(n), 0) FROM counts`); err != nil {
		return -1
	}
	return n
}

// contacts maps addresses to contacts.
func (p *Play) contacts(ctx context.Context) (map[string]id.Contact, error) {
	var rows []struct {
		ID    id.Contact
		Email string
	}
	if err := p.DB.Select(ctx, &rows, `SELECT id, email FROM contacts`); err != nil {
		return nil, fmt.Errorf("demo: read contacts: %w", err)
	}
	ids := make(map[string]id.Contact, len(rows))
	for _, r := range rows {
		ids[r.Email] = r.ID
	}
	return ids, nil
}

func (p *Play) countContacts(ctx context.Context) error {
	c := &p.result.Contacts
	if err := p.DB.Get(ctx, &c.Sourced, `SELECT COUNT(DISTINCT contact) FROM contact_sources`); err != nil {
		return fmt.Errorf("demo: count sourced contacts: %w", err)
	}
	ids, err := p.contacts(ctx)
	if err != nil {
		return err
	}
	c.Total = len(ids)
	for _, who := range ids {
		rows, err := p.Ledger(ctx, who)
		if err != nil {
			return err
		}
		if len(optedIn(rows)) > 0 {
			c.OptedIn++
		}
	}
	return nil
}

// optedIn reads a ledger on its own, without the gate: which types of email the demo's company has
// a confirmed yes to, with no later no.
func optedIn(rows []LedgerRow) []string {
	var types []string
	for _, r := range rows {
		if !r.Applied || (r.Company != "" && r.Company != company) || (r.Channel != "" && r.Channel != "email") {
			continue
		}
		switch r.Action {
		case "grant":
			for _, t := range r.Types {
				types = add(types, t)
			}
		case "withdraw", "object", "restrict":
			types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return len(r.Types) == 0 || slices.Contains(r.Types, t) })
		}
	}
	return types
}

// trackingAt reads a ledger on its own: had the person agreed to tracking at the time?
func trackingAt(rows []LedgerRow, at schema.Time) bool {
	open := false
	for _, r := range rows {
		if !r.Applied || (r.Company != "" && r.Company != company) || schema.At(r.At) > at {
			continue
		}
		switch r.Action {
		case "grant":
			open = r.Tracking == "yes" || (open && r.Tracking == "")
		case "withdraw", "object", "restrict":
			open = open && r.Tracking == "" && len(r.Types) > 0
		}
	}
	return open
}

// cites lists the providers whose policy a mail links to in its text part.
func cites(m *Caught) []string {
	var cited []string
	for _, host := range []string{"fairlist.example", "northdata.example"} {
		if strings.Contains(m.Text, "https://"+host+"/") {
			cited = append(cited, host)
		}
	}
	return cited
}
