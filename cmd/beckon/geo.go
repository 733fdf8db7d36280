package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"beckon/geo"

	"github.com/spf13/cobra"
)

// The account at MaxMind is named in the environment alone: flags can be seen by everybody on the machine.
const (
	maxMindAccount = "BECKON_MAXMIND_ACCOUNT"
	maxMindKey     = "BECKON_MAXMIND_KEY"
)

func geoCommand() *cobra.Command {
	group := &cobra.Command{Use: "geo", Short: "The region database"}
	var path, provider string
	var force bool
	cmd := &cobra.Command{Use: "update", Short: "Fetch a newer region database; a running `serve` takes it up within a minute", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&path, "geo", os.Getenv("BECKON_GEO"), "MMDB file to replace or make [BECKON_GEO]")
	cmd.Flags().StringVar(&provider, "provider", "", "geolite2 ("+maxMindAccount+" and "+maxMindKey+" hold the account id and licence key) or dbip (no account)")
	cmd.Flags().BoolVar(&force, "force", false, "also replace a newer file, or one of another provider")
	_ = cmd.MarkFlagRequired("provider") // it exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if path == "" {
			return errors.New("BECKON_GEO: is empty; name the file with --geo or BECKON_GEO")
		}
		var from geo.Provider
		switch provider {
		case "geolite2":
			from = geo.GeoLite2{AccountID: os.Getenv(maxMindAccount), LicenseKey: os.Getenv(maxMindKey)}
		case "dbip":
			from = geo.DBIP{}
		default:
			return fmt.Errorf("--provider: %q is neither geolite2 nor dbip", provider)
		}
		r, err := (&geo.Updater{Force: force}).Update(cmd.Context(), path, from)
		if err != nil {
			return err
		}
		if !r.Changed {
			fmt.Fprintln(cmd.OutOrStdout(), "There is nothing newer.")
			return nil
		}
		checked := "checked against the published checksum"
		if !r.Verified {
			checked = "its maker publishes no checksum; it was opened and tried"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s, built %s, %d bytes, is at %s; %s.\n", r.Kind, r.Built.Format(time.DateOnly), r.Bytes, r.Path, checked)
		return nil
	}
	group.AddCommand(cmd)
	return group
}
