// Command beckon sends email campaigns that follow only people who have said yes.
//
// README.md describes its commands and configuration. It exits with 0 when it did what it was asked
// to, with 1 when it did not, and says why on standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errTold ends a command with exit status 1 when what there is to say has been printed already.
var errTold = errors.New("told")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{Use: "beckon", Short: "Email campaigns that follow only people who have said yes", SilenceUsage: true, SilenceErrors: true}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(serveCommand(), migrateCommand(), tokenCommand(), importCommand(), countersCommand(), consentCommand(), contactCommand(), demoCommand(), benchCommand(), geoCommand(), networksCommand(), backupCommand(), restoreCommand(), retentionCommand(), registerCommand(), doctorCommand())
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return 0
	case errors.Is(err, errTold):
		return 1
	default:
		fmt.Fprintln(stderr, "beckon:", err)
		return 1
	}
}

// withApp makes a command that works on an installation.
func withApp(cmd *cobra.Command, work func(ctx context.Context, a *app, cmd *cobra.Command, args []string) error) *cobra.Command {
	conf := &Config{}
	conf.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := conf.finish(); err != nil {
			return err
		}
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		a, err := open(cmd.Context(), conf, log, time.Now, false)
		if err != nil {
			return err
		}
		defer a.close()
		return work(cmd.Context(), a, cmd, args)
	}
	return cmd
}
