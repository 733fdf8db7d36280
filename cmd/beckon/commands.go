package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"

	"beckon/cmd/internal/api"
	"beckon/segments"
	"beckon/tracker/event"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func migrateCommand() *cobra.Command {
	return withApp(&cobra.Command{Use: "migrate", Short: "Bring the database to the current version", Args: cobra.NoArgs},
		func(_ context.Context, _ *app, cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.ErrOrStderr(), "The database is at the current version.")
			return nil
		})
}

func tokenCommand() *cobra.Command {
	group := &cobra.Command{Use: "token", Short: "Tokens of the JSON API"}
	var role, name string
	create := withApp(&cobra.Command{Use: "create", Short: "Make a token and print it, this once", Args: cobra.NoArgs},
		func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
			token, err := api.NewTokens(a.db, a.now).Create(ctx, name, api.Role(role))
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		})
	create.Flags().StringVar(&role, "role", "", "admin, marketer, analyst or privacy")
	create.Flags().StringVar(&name, "name", "", "who or what will use it; shown in the audit log")
	_ = create.MarkFlagRequired("role") // both exist
	_ = create.MarkFlagRequired("name")
	group.AddCommand(create)
	return group
}

func importCommand() *cobra.Command {
	var source, as, mapping string
	cmd := withApp(&cobra.Command{Use: "import FILE.csv", Short: "Import contacts, or the noes of another program", Args: cobra.ExactArgs(1)},
		func(ctx context.Context, a *app, cmd *cobra.Command, args []string) error {
			n := segments.NewImport{As: as}
			if source != "" {
				s, err := a.sources.BySlug(ctx, source)
				if err != nil {
					return fmt.Errorf("--source %s: %w", source, err)
				}
				n.Source = s.ID
			}
			var err error
			if n.Mapping, err = segments.ParseMapping([]byte(mapping)); err != nil {
				return fmt.Errorf("--mapping: %w", err)
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			imp, err := a.imports.Create(ctx, n)
			if err != nil {
				return err
			}
			bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetDescription("rows"), progressbar.OptionClearOnFinish(), progressbar.OptionSetSpinnerChangeInterval(0))
			im := &segments.Importer{DB: a.db, Ledger: a.ledger, Gate: a.gate, Catalogue: a.catalogue, Now: a.now}
			done, err := im.Run(ctx, imp.ID, f, segments.Options{Source: n.Source, As: as, Mapping: n.Mapping, Progress: func(i segments.Import) { _ = bar.Set64(i.Rows) }})
			_ = bar.Finish()
			if err != nil {
				return err
			}
			return printImport(ctx, a, cmd, done)
		})
	cmd.Flags().StringVar(&source, "source", "", "slug of the provider the contacts come from (default: our own contacts)")
	cmd.Flags().StringVar(&as, "as", "", "record a no for each row: withdrawn, objected or bounced")
	cmd.Flags().StringVar(&mapping, "mapping", "", `JSON: {"email":"E-Mail"} renames a column, {"country":{"value":"GB"}} fixes a field`)
	return cmd
}

func printImport(ctx context.Context, a *app, cmd *cobra.Command, i segments.Import) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%d rows: %d created, %d updated, %d skipped, %d rejected\n", i.Rows, i.Created, i.Updated, i.Skipped, i.Rejected)
	fmt.Fprintf(out, "%d can be mailed\n", i.Mailable)
	reasons := make([]string, 0, len(i.Reasons))
	for r := range i.Reasons {
		reasons = append(reasons, r)
	}
	sort.Strings(reasons)
	for _, r := range reasons {
		fmt.Fprintf(out, "%d cannot: %s\n", i.Reasons[r], r)
	}
	if i.Rejected == 0 && i.Skipped == 0 {
		return nil
	}
	fmt.Fprintln(out, "Rows that were not taken:")
	return a.imports.WriteRejects(ctx, i.ID, out)
}

func countersCommand() *cobra.Command {
	group := &cobra.Command{Use: "counters", Short: "The counts in Redis"}
	group.AddCommand(
		withApp(&cobra.Command{Use: "rebuild", Short: "Set the counts in Redis from the durable totals", Args: cobra.NoArgs},
			func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
				if a.counter == nil {
					return errNoCounts
				}
				if err := a.counter.Rebuild(ctx); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "The counts in Redis are those of the durable totals.")
				return nil
			}),
		withApp(&cobra.Command{Use: "verify", Short: "Hold events, durable totals and Redis against each other", Args: cobra.NoArgs},
			func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
				if a.counter == nil {
					return errNoCounts
				}
				if err := a.verifyCounts(ctx); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "Events, durable totals and Redis agree.")
				return nil
			}))
	return group
}

// verifyCounts holds the event log, the durable totals and Redis against each other.
func (a *app) verifyCounts(ctx context.Context) error {
	from, err := a.eventsFrom(ctx)
	if err != nil {
		return err
	}
	return errors.Join(event.Verify(ctx, a.db, from), a.counter.Verify(ctx))
}

func consentCommand() *cobra.Command {
	group := &cobra.Command{Use: "consent", Short: "The consent ledger"}
	group.AddCommand(withApp(&cobra.Command{Use: "verify", Short: "Check every chain of the ledger", Args: cobra.NoArgs},
		func(ctx context.Context, a *app, cmd *cobra.Command, _ []string) error {
			found, err := a.ledger.Verify(ctx, a.headsPath())
			if err != nil {
				return err
			}
			for _, f := range found {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			if len(found) > 0 {
				return errTold
			}
			fmt.Fprintln(cmd.OutOrStdout(), "Every chain is whole.")
			return nil
		}))
	return group
}
