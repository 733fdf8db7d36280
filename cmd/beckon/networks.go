package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"beckon/tracker/bot"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// fetchedNetworks is where `networks update` puts the published lists, below the data directory.
const fetchedNetworks = "networks.txt"

func networksCommand() *cobra.Command { return networksCommandOf(bot.Updater{}) }

func networksCommandOf(u bot.Updater) *cobra.Command {
	group := &cobra.Command{Use: "networks", Short: "The networks of scanners, proxies and relays"}
	var data string
	cmd := &cobra.Command{Use: "update", Short: "Fetch the lists that Apple, Google and Microsoft publish; a running `serve` takes them up within a minute", Args: cobra.NoArgs}
	standard := "beckon-data"
	if v, ok := os.LookupEnv("BECKON_DATA"); ok {
		standard = v
	}
	cmd.Flags().StringVar(&data, "data", standard, "data directory of `serve` on this machine, in which "+fetchedNetworks+" is replaced or made [BECKON_DATA]")
	cmd.Flags().BoolVar(&u.Force, "force", false, "also take lists that hold far less than those in place")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if data == "" {
			return fmt.Errorf("BECKON_DATA: is empty; name the data directory of serve with --data or BECKON_DATA")
		}
		path := filepath.Join(data, fetchedNetworks)
		r, err := u.Update(cmd.Context(), path)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d published networks are at %s, joined to %d; there were %d before.\n", r.Published, path, r.Written, r.Replaced)
		return nil
	}
	group.AddCommand(cmd)
	return group
}

// openNetworks reads the lists of networks that hits are judged by.
func (a *app) openNetworks() (*bot.Lists, error) {
	lists := []bot.List{{Path: a.fetchedNetworks(), Missing: true, Remedy: "fetch it again with “beckon networks update”, or remove it"}}
	if a.conf.Networks != "" {
		lists = append(lists, bot.List{Path: a.conf.Networks, Remedy: "BECKON_NETWORKS names it: correct it (a line each, such as 192.0.2.0/24 scanner Example), or leave that empty"})
	}
	return bot.OpenLists(lists...)
}

func (a *app) fetchedNetworks() string { return filepath.Join(a.conf.Data, fetchedNetworks) }

// refreshNetworks takes up lists of networks that were put in the place of those in use.
func (a *app) refreshNetworks(ctx context.Context) error {
	if text, stale := bot.Stale(a.fetchedNetworks(), a.now()); stale {
		a.log.Warn("networks", "warning", text)
	}
	return eachMinute(ctx, func() {
		changed, err := a.running.networks.Refresh()
		if err != nil {
			a.log.Warn("a list of networks stays as it was", "err", err.Error())
		}
		if changed {
			a.log.Info("new list of networks", "networks", a.running.networks.Networks())
		}
	})
}

func (a *app) measureNetworks(metrics prometheus.Registerer) {
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "beckon_networks_age_seconds", Help: "Age of the fetched list of networks; 0 if none was fetched."},
		func() float64 {
			age, _ := bot.Age(a.fetchedNetworks(), a.now())
			return age.Seconds()
		}))
}
