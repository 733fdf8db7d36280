package main

import (
	"context"
	"errors"
	"fmt"

	"beckon/cmd/internal/api"
	"beckon/cmd/internal/pages"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"
	"beckon/tracker/event"

	"github.com/spf13/cobra"
)

// Lookup finds the mail that a public link belongs to.
func (a *app) Lookup(ctx context.Context, m id.Message) (pages.Message, error) {
	letter, err := queue.Lookup(ctx, a.db, m)
	if errors.Is(err, queue.ErrNoMessage) {
		return pages.Message{}, fmt.Errorf("%w: %w", pages.ErrNoMessage, err)
	}
	if err != nil {
		return pages.Message{}, err
	}
	c, err := a.mailer.Get(ctx, letter.Campaign)
	if err != nil {
		return pages.Message{}, err
	}
	company, err := a.companies.BySlug(ctx, c.Company)
	if err != nil {
		return pages.Message{}, err
	}
	return pages.Message{Contact: letter.Contact, Company: company.ID, Campaign: letter.Campaign, Type: c.Type, Via: letter.Via}, nil
}

// Recorded counts what is on record about a contact.
func (a *app) Recorded(ctx context.Context, who id.Contact) (pages.Recorded, error) {
	letters, err := queue.Letters(ctx, a.db, who)
	if err != nil {
		return pages.Recorded{}, err
	}
	events, err := event.Of(ctx, a.db, who, 0, allEvents)
	if err != nil {
		return pages.Recorded{}, err
	}
	region, _, err := event.RegionOf(ctx, a.db, who)
	r := pages.Recorded{Region: region != ""}
	for _, l := range letters {
		if l.Status == queue.Sent || l.Status == queue.Unknown {
			r.Mails++
		}
	}
	for _, e := range events {
		if e.Kind == event.Open {
			r.Opens++
		} else {
			r.Clicks++
		}
	}
	return r, err
}

// allEvents is more than a person makes in three years.
const allEvents = 100_000

// traces are what the packages beside the contact itself hold of somebody.
func (a *app) traces() []api.Trace {
	return []api.Trace{
		{Name: "messages", Of: func(ctx context.Context, q schema.Querier, who id.Contact) ([]api.Moment, error) {
			letters, err := queue.Letters(ctx, q, who)
			var all []api.Moment
			for _, l := range letters {
				all = append(all, api.Moment{At: l.SentAt, What: "mail." + string(l.Status), Detail: map[string]any{
					"message": l.Message, "campaign": l.Campaign, "mode": l.Mode, "reason": l.Reason, "opened_at": l.OpenedAt}})
			}
			return all, err
		}},
		{Name: "events", Of: func(ctx context.Context, q schema.Querier, who id.Contact) ([]api.Moment, error) {
			events, err := event.Of(ctx, q, who, 0, allEvents)
			var all []api.Moment
			for _, e := range events {
				all = append(all, api.Moment{At: e.At, What: "hit." + string(e.Kind), Detail: map[string]any{
					"message": e.Message, "campaign": e.Campaign, "link": e.Link, "verdict": e.Verdict, "reason": e.Reason, "region": e.Region,
					"client": e.Client, "os": e.OS, "device": e.Device}})
			}
			return all, err
		}},
	}
}

func contactCommand() *cobra.Command {
	group := &cobra.Command{Use: "contact", Short: "What is held of one person"}
	var asCSV bool
	export := withApp(&cobra.Command{Use: "export EMAIL", Short: "Write everything that is held of a person", Args: cobra.ExactArgs(1)},
		func(ctx context.Context, a *app, cmd *cobra.Command, args []string) error {
			c, err := a.contacts.ByEmail(ctx, args[0])
			if err != nil {
				return err
			}
			all, err := a.desk.Copy(ctx, a.db, c.ID)
			if err != nil {
				return err
			}
			if err := a.audit.Write(ctx, nil, rights.Entry{Actor: operator, Action: "contact.export", Object: c.ID.String(), Ground: rights.LegalObligation}); err != nil {
				return err
			}
			if asCSV {
				return all.WriteCSV(cmd.OutOrStdout())
			}
			return all.WriteJSON(cmd.OutOrStdout())
		})
	export.Flags().BoolVar(&asCSV, "csv", false, "write CSV: part, row, field and value")
	var why string
	erase := withApp(&cobra.Command{Use: "erase EMAIL", Short: "Erase a contact; a keyed hash of the address stays, so that it is never mailed again", Args: cobra.ExactArgs(1)},
		func(ctx context.Context, a *app, cmd *cobra.Command, args []string) error {
			if r := rights.Reason(why); r != rights.OnRequest && r != rights.UnderAge {
				return errors.New("--reason is request or under-13")
			}
			c, err := a.contacts.ByEmail(ctx, args[0])
			if err != nil {
				return err
			}
			var got rights.Receipt
			err = a.db.Tx(ctx, func(tx *schema.Tx) (err error) {
				got, err = a.desk.Erase(ctx, tx, c.ID, rights.Reason(why), operator)
				return err
			})
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s: %s\n", got.Contact, got.Result)
			for _, k := range got.Kept {
				fmt.Fprintf(out, "Kept: %s: %s\n", k.What, k.Why)
			}
			return nil
		})
	erase.Flags().StringVar(&why, "reason", string(rights.OnRequest), "request, or under-13, which leaves no hash of the address either")
	group.AddCommand(export, erase)
	return group
}

// operator is who stands in the audit log for what is done on the command line.
const operator = "command line"
