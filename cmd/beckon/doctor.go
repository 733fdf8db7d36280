package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"beckon/mailer/doctor"
	"beckon/mailer/queue"
	"beckon/segments"

	"github.com/spf13/cobra"
	"golang.org/x/net/idna"
)

func doctorCommand() *cobra.Command {
	return doctorCommandOf(&examination{resolver: net.DefaultResolver})
}

// doctorCommandOf takes the world that is asked.
func doctorCommandOf(x *examination) *cobra.Command {
	conf := &Config{}
	var asJSON bool
	var senders []string
	cmd := &cobra.Command{Use: "doctor", Short: "Check the installation: configuration, storage, relays, DNS of the sender domains, public address", Args: cobra.NoArgs}
	conf.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.Flags().StringArrayVar(&senders, "sender-domain", nil, "check this sender domain too, beside the companies' (can be given several times)")
	cmd.Flags().DurationVar(&x.limit, "limit", 20*time.Second, "how long one check may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		x.conf, x.now = conf, time.Now
		for _, d := range senders {
			name, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSuffix(strings.TrimSpace(d), ".")))
			if err != nil || name == "" || strings.ContainsAny(name, "@/: ") {
				return fmt.Errorf("--sender-domain: %q is not a domain; write for example news.example.org", d)
			}
			x.senders = append(x.senders, name)
		}
		if x.limit <= 0 {
			return fmt.Errorf("--limit: want a duration such as 20s")
		}
		found := x.run(cmd.Context())
		var err error
		if asJSON {
			err = printFindingsJSON(cmd.OutOrStdout(), found)
		} else {
			err = printFindings(cmd.OutOrStdout(), found)
		}
		if err == nil && doctor.Worst(found) == doctor.Problem {
			return errTold
		}
		return err
	}
	return cmd
}

// examination looks at an installation, and changes nothing in it.
type examination struct {
	conf     *Config
	resolver doctor.Resolver
	senders  []string // domains asked for
	limit    time.Duration
	now      func() time.Time
}

// run checks the configuration, which the rest needs, and the database, which knows the sender domains; then
// everything else side by side.
func (x *examination) run(ctx context.Context) []doctor.Finding {
	understood := make(chan reading, 1)
	found := doctor.Examine(ctx, x.limit, []doctor.Check{{Area: "configuration", Subject: "settings", Run: func(_ context.Context, tell func(doctor.Finding)) { understood <- x.configuration(tell) }}})
	var read reading
	select {
	case read = <-understood:
	default:
	}
	stored := make(chan []segments.Company, 1)
	found = append(found, doctor.Examine(ctx, x.limit, []doctor.Check{{Area: "storage", Subject: "database", Run: func(ctx context.Context, tell func(doctor.Finding)) { stored <- x.database(ctx, tell) }}})...)
	domains := slices.Clone(x.senders)
	sites := []string{x.conf.URL}
	select {
	case companies := <-stored:
		for _, c := range companies {
			if c.FromDomain != "" {
				domains = append(domains, strings.ToLower(c.FromDomain))
			}
			if c.PublicURL != "" {
				sites = append(sites, strings.TrimSuffix(c.PublicURL, "/"))
			}
		}
	default: // could not be read; the findings say why
	}
	slices.Sort(domains)
	domains = slices.Compact(domains)
	checks := x.storage()
	if len(read.relays) == 0 {
		checks = append(checks, doctor.Check{Area: "relay", Subject: "BECKON_SMTP", Run: func(_ context.Context, tell func(doctor.Finding)) {
			tell(doctor.Finding{Check: "configured", Level: doctor.Warning, Message: "no relay is configured: nothing can be launched", Remedy: "set BECKON_SMTP, such as smtp://user:password@relay.example.com:587"})
		}})
	}
	if len(domains) == 0 {
		checks = append(checks, doctor.Check{Area: "domain", Subject: "senders", Run: func(_ context.Context, tell func(doctor.Finding)) {
			tell(doctor.Finding{Check: "known", Level: doctor.Warning, Message: "no sender domain is known, so no DNS was checked", Remedy: "give the companies a from_domain, or name one with --sender-domain"})
		}})
	}
	in := &doctor.Installation{Resolver: x.resolver, Relays: read.relays, DKIM: read.dkim, Bounces: x.conf.Bounces, Loopback: x.onLoopback(), Now: x.now, Question: x.limit / 4}
	if x.conf.Intake != "" {
		in.Here = addressesHere(ctx, x.resolver, x.conf.URL)
	}
	checks = append(checks, in.Checks(domains)...)
	slices.Sort(sites)
	for _, address := range slices.Compact(sites) {
		if address == "" {
			continue
		}
		site := &doctor.Site{URL: address, Insecure: x.conf.Insecure, Now: x.now}
		checks = append(checks, site.Check())
	}
	checks = append(checks, doctor.Check{Area: "web", Subject: "proxies", Run: x.proxies}, doctor.Check{Area: "lists", Subject: "regions", Run: x.regions}, doctor.Check{Area: "lists", Subject: "networks", Run: x.networks})
	return append(found, doctor.Examine(ctx, x.limit, checks)...)
}

func (x *examination) onLoopback() bool {
	u, err := url.Parse(x.conf.URL)
	return err == nil && loopback(u.Hostname())
}

// addressesHere are those of this machine and of its public host.
func addressesHere(ctx context.Context, r doctor.Resolver, public string) (all []netip.Addr) {
	local, _ := net.InterfaceAddrs()
	for _, l := range local {
		if p, err := netip.ParsePrefix(l.String()); err == nil && !p.Addr().IsLoopback() {
			all = append(all, p.Addr().Unmap())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if u, err := url.Parse(public); err == nil && !loopback(u.Hostname()) {
		found, _ := r.LookupNetIP(ctx, "ip", u.Hostname())
		for _, a := range found {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// reading is what the configuration names.
type reading struct {
	relays []*queue.Relay
	dkim   []*queue.DKIM
}

func printFindings(out io.Writer, all []doctor.Finding) error {
	marks := map[doctor.Level]string{doctor.OK: "ok     ", doctor.Warning: "WARNING", doctor.Problem: "PROBLEM"}
	var b strings.Builder
	head := ""
	count := map[doctor.Level]int{}
	for _, f := range all {
		if h := f.Area + " " + f.Subject; h != head {
			head = h
			fmt.Fprintf(&b, "%s\n", h)
		}
		count[f.Level]++
		fmt.Fprintf(&b, "  %s %s: %s\n", marks[f.Level], f.Check, f.Message)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "          → %s\n", f.Remedy)
		}
		if f.Record != "" {
			fmt.Fprintf(&b, "            %s\n", f.Record)
		}
	}
	fmt.Fprintf(&b, "%d findings: %d ok, %d warnings, %d problems\n", len(all), count[doctor.OK], count[doctor.Warning], count[doctor.Problem])
	_, err := io.WriteString(out, b.String())
	return err
}

func printFindingsJSON(out io.Writer, all []doctor.Finding) error {
	var told struct {
		OK       bool             `json:"ok"`
		Problems int              `json:"problems"`
		Warnings int              `json:"warnings"`
		Findings []doctor.Finding `json:"findings"`
	}
	told.Findings = all
	for _, f := range all {
		switch f.Level {
		case doctor.Problem:
			told.Problems++
		case doctor.Warning:
			told.Warnings++
		}
	}
	told.OK = told.Problems == 0
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(told)
}
