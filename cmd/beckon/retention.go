package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"

	"beckon/schema"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/event"

	"github.com/spf13/cobra"
)

// newRetention ends what is held for longer than its purpose allows, in every package that holds
// something.
func (a *app) newRetention() (*retention, error) {
	r, err := rights.NewRetention(rights.RetentionOptions{
		DB: a.db, Desk: a.desk, Holds: a.holds, Audit: a.audit, Now: a.now,
		Keepers: map[rights.Purpose]rights.Keeper{
			rights.PurposeConsented: a.contacts.DueConsented, rights.PurposeOptedOut: a.contacts.DueOptedOut, rights.PurposeUnconfirmed: a.contacts.DueUnconfirmed,
			rights.PurposeSourced: a.contacts.DueSourced, rights.PurposeSourcedEnded: a.contacts.DueSourcedEnded, rights.PurposeOwn: a.contacts.DueOwn,
		},
		Sweepers: map[rights.Purpose][]rights.Sweeper{
			rights.PurposeEvents:  {{Aged: event.Aged, Remove: event.Remove, Theirs: true}, {Aged: event.AgedRegions, Remove: event.RemoveRegions, Theirs: true}},
			rights.PurposeSupport: {{Aged: a.imports.Aged, Remove: a.imports.Clear}},
		},
		Carried: a.contacts.Carried, Restrained: a.contacts.Restrained, Deidentify: a.contacts.Deidentify, Outlive: a.ledger.Outlive,
	})
	return &retention{r, a.db}, err
}

// retention also remembers from when on the event log is whole, for `counters verify`.
type retention struct {
	*rights.Retention
	db *schema.DB
}

// Run applies every rule in force, or says what that would do.
func (r *retention) Run(ctx context.Context, dry bool) ([]rights.Outcome, error) {
	done, err := r.Retention.Run(ctx, dry)
	for _, o := range done {
		if dry || o.Purpose != rights.PurposeEvents || o.Done == 0 {
			continue
		}
		_, e := r.db.Exec(ctx, `INSERT INTO settings (name, value) VALUES ('events-from', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
			WHERE CAST(settings.value AS BIGINT) < CAST(excluded.value AS BIGINT)`, strconv.FormatInt(int64(o.Before), 10))
		err = errors.Join(err, e)
	}
	return done, err
}

// eventsFrom is the instant from which on the event log is whole; zero: all of it is.
func (a *app) eventsFrom(ctx context.Context) (schema.Time, error) {
	var text string
	switch err := a.db.Get(ctx, &text, `SELECT value FROM settings WHERE name = 'events-from'`); {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return schema.Time(n), err
}

func retentionCommand() *cobra.Command {
	group := &cobra.Command{Use: "retention", Short: "How long data is kept"}
	var dry bool
	run := withApp(&cobra.Command{Use: "run", Short: "Erase what has been held for long enough; run it daily", Args: cobra.NoArgs},
		func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
			r, err := a.newRetention()
			if err != nil {
				return err
			}
			done, err := r.Run(ctx, dry)
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			verb := "done"
			if dry {
				verb = "would be done"
			}
			fmt.Fprintf(w, "purpose\tkept for\tdue\theld\textended\t%s\tfailed\n", verb)
			for _, o := range done {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", o.Purpose, o.Keep, o.Due, o.Held, o.Extended, o.Done, o.Failed)
			}
			if flush := w.Flush(); err == nil {
				err = flush
			}
			return err
		})
	run.Flags().BoolVar(&dry, "dry-run", false, "change nothing, and count what a run would do")
	group.AddCommand(run)
	return group
}

// installation is what the register of processing is drawn up from.
func (a *app) installation(ctx context.Context) (in rights.Installation, err error) {
	companies, err := a.companies.List(ctx)
	if err != nil {
		return in, err
	}
	for _, c := range companies {
		in.Controllers = append(in.Controllers, rights.Controller{ID: c.ID, Slug: c.Slug, Name: c.Name, Address: c.PostalAddress, PrivacyEmail: c.PrivacyEmail,
			Phone: c.Phone, PrivacyURL: c.PrivacyURL, ComplaintURL: c.ComplaintURL, Tracking: c.Tracking})
	}
	sources, err := a.sources.List(ctx)
	for _, s := range sources {
		in.Providers = append(in.Providers, rights.Provider{ID: s.ID, Slug: s.Slug, Name: s.Name, PrivacyURL: s.PrivacyURL, TransparencyURL: s.TransparencyURL,
			LawfulBasis: s.LawfulBasis, PermittedUses: s.PermittedUses, LicensedUntil: s.LicensedUntil, RecalledAt: s.RecalledAt})
	}
	for _, e := range a.catalogue.Entries(consent.KindType) {
		in.Types = append(in.Types, e.Name)
	}
	for _, e := range a.catalogue.Entries(consent.KindTopic) {
		in.Topics = append(in.Topics, e.Name)
		if e.Special {
			in.Special = append(in.Special, e.Name)
		}
	}
	in.CorporateCountries, in.SQLite, in.Regions, in.SmallestGroup = a.gate.CorporateCountries(), a.db.Dialect() == schema.SQLite, a.geo != nil, smallestGroup
	database := a.conf.Database
	if in.SQLite {
		database = "a file of this service"
	}
	in.Systems = []rights.System{{Kind: rights.SystemDatabase, Name: database}, {Kind: rights.SystemJournal, Name: "refusals journal"}}
	if a.conf.Redis != "" {
		in.Systems = append(in.Systems, rights.System{Kind: rights.SystemCounts, Name: a.conf.Redis})
	}
	for _, r := range a.relays {
		in.Systems = append(in.Systems, rights.System{Kind: rights.SystemRelay, Name: r.String(), Protection: r.TLS})
	}
	return in, err
}

// register draws up the record of processing activities.
func (a *app) register(ctx context.Context) (rights.Register, error) {
	in, err := a.installation(ctx)
	if err != nil {
		return rights.Register{}, err
	}
	return rights.DrawUp(ctx, a.db, in, schema.At(a.now()))
}

// smallestGroup is k: groups smaller than it are not shown.
const smallestGroup = 5

func registerCommand() *cobra.Command {
	var asJSON bool
	cmd := withApp(&cobra.Command{Use: "register", Short: "Write the record of processing activities from the configuration in force (GDPR Art. 30)", Args: cobra.NoArgs},
		func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
			r, err := a.register(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return r.WriteJSON(cmd.OutOrStdout())
			}
			return r.WriteMarkdown(cmd.OutOrStdout())
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}
