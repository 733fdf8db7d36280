package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"beckon/cmd/internal/admin"
	"beckon/cmd/internal/api"
	"beckon/cmd/internal/demo"
	"beckon/geo/sample"
	"beckon/schema/id"
	"beckon/segments/consent"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var once, asJSON bool
	var listen, dir string
	cmd := &cobra.Command{Use: "demo", Short: "Play the whole job on this machine, with everything embedded", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&once, "once", false, "do the work, print the figures and exit; 1 if a promise is broken")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the figures as JSON")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address to serve on")
	cmd.Flags().StringVar(&dir, "dir", "", "directory for the demo's data, emptied of an earlier demo (default: a temporary one)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if once && !cmd.Flags().Changed("listen") {
			listen = "127.0.0.1:0"
		}
		d, err := startDemo(cmd.Context(), listen, dir, demo.Length, demoStorage{})
		if err != nil {
			return err
		}
		play, err := d.play(cmd.Context(), demoSize, progress(cmd.ErrOrStderr()))
		if err != nil {
			return d.stop(err)
		}
		result := play.Result()
		if asJSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		} else {
			printDemo(cmd.OutOrStdout(), result)
		}
		if err == nil && !once {
			fmt.Fprintf(cmd.ErrOrStderr(), "\nLook around at %s/ and press Ctrl-C to end.\n", d.url)
			<-cmd.Context().Done()
		}
		if err == nil && !result.OK() {
			err = errTold
		}
		return d.stop(err)
	}
	return cmd
}

// demoSize is how many people the demo knows.
var demoSize = demo.Size{Providers: 2000, Form: 3000}

const demoSeed = 2026

// theatre is a running service that a demo plays on.
type theatre struct {
	app     *app
	url     string
	clock   *demo.Clock
	catcher *demo.Catcher
	mu      sync.Mutex
	result  demo.Result
	ended   chan error
	cancel  context.CancelFunc
	clean   func() error
}

// writeKey makes a key to sign mail with.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make a DKIM key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a DKIM key: %w", err)
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// demoStorage lets a test play on other storage than the embedded one; empty fields are embedded.
type demoStorage struct{ database, redis string }

// startDemo starts the service that a demo plays on, with its clock the given time ago. Without a
// directory it takes a temporary one. What it is configured with may be adjusted.
func startDemo(ctx context.Context, listen, dir string, ago time.Duration, on demoStorage, adjust ...func(*Config)) (_ *theatre, err error) {
	d := &theatre{clock: demo.NewClock(ago), ended: make(chan error, 1), clean: func() error { return nil }}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "beckon-demo-"); err != nil {
			return nil, err
		}
		d.clean = func() error { return os.RemoveAll(dir) }
	}
	// Only what a demo makes is removed: the directory may hold something of somebody's.
	data := filepath.Join(dir, "demo-data")
	if err := os.RemoveAll(data); err != nil {
		return nil, fmt.Errorf("empty the demo's directory: %w", err)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	regions := filepath.Join(data, "regions.mmdb")
	if err := sample.Write(regions); err != nil {
		return nil, err
	}
	dkim := filepath.Join(data, "dkim.pem")
	if err := writeKey(dkim); err != nil {
		return nil, err
	}
	if d.catcher, err = demo.ListenCatcher("127.0.0.1:0", d.clock.Now); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	conf := &Config{Listen: l.Addr().String(), Data: data, Database: on.database, Redis: on.redis, SMTP: "smtp://" + d.catcher.Addr() + "?tls=none",
		Geo: regions, DKIM: demo.Domain + ":demo:" + dkim, TrustedProxies: "127.0.0.0/8,::1/128", SenderConns: 8}
	for _, a := range adjust {
		a(conf)
	}
	if err := conf.finish(); err != nil {
		return nil, err
	}
	d.url = conf.URL
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if d.app, err = open(ctx, conf, log, d.clock.Now, true); err != nil {
		return nil, err
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives a Ctrl-C, so that the end is orderly
	d.cancel = cancel
	faces, err := d.app.faces()
	if err != nil {
		return nil, err
	}
	operator, err := admin.New(admin.Options{Campaigns: d.app.mailer, Stats: d.app.report, Segments: d.app.segments, Log: log,
		Lead: d.lead, Contacts: d.contacts, Checks: d.checks, Warnings: d.app.warnings, Mailbox: mailbox{d.catcher}})
	if err != nil {
		return nil, err
	}
	operator.Register(faces)
	go func() { d.ended <- d.app.serve(serving, l, faces) }()
	return d, nil
}

func (d *theatre) play(ctx context.Context, size demo.Size, show func(string, int, int)) (*demo.Play, error) {
	token, err := api.NewTokens(d.app.db, d.app.now).Create(ctx, "demo", api.Admin)
	if err != nil {
		return nil, err
	}
	play, err := demo.Run(ctx, demo.Stage{
		BaseURL: d.url, Token: token, Catcher: d.catcher, Clock: d.clock, DB: d.app.db, Seed: demoSeed, Size: size,
		Ledger: d.ledger, Verify: d.app.verifyCounts, From: address, Progress: show,
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result = play.Result()
	return play, nil
}

// stop ends the service in an orderly way and removes what the demo made, if nobody named a directory.
func (d *theatre) stop(err error) error {
	d.cancel()
	if end := <-d.ended; err == nil {
		err = end
	}
	d.app.close()
	d.catcher.Close()
	if clean := d.clean(); err == nil {
		err = clean
	}
	return err
}

func (d *theatre) ledger(ctx context.Context, who id.Contact) ([]demo.LedgerRow, error) {
	rows, err := d.app.ledger.History(ctx, d.app.db, who)
	if err != nil {
		return nil, err
	}
	all := make([]demo.LedgerRow, 0, len(rows))
	for _, r := range rows {
		row := demo.LedgerRow{Action: string(r.Action), Company: r.Company, Channel: string(r.Channel), Types: r.Types,
			Applied: r.Outcome == consent.Applied, At: r.Captured.T()}
		if r.Tracking != nil {
			row.Tracking = map[bool]string{true: "yes", false: "no"}[*r.Tracking]
		}
		all = append(all, row)
	}
	return all, nil
}

func (d *theatre) lead() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.result.Checks) == 0 {
		return "The demo is playing; come back in a minute."
	}
	return "Two providers' lists and a sign-up form, two campaigns, a day of simulated recipients. Everything here was computed from what the service stored."
}

func (d *theatre) contacts(context.Context) ([]admin.Figure, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.result.Contacts
	if c.Total == 0 {
		return nil, nil
	}
	of := func(n int) string {
		return fmt.Sprintf("%.0f %% of %d contacts", 100*float64(n)/float64(c.Total), c.Total)
	}
	return []admin.Figure{
		{Name: "Contacts", Value: fmt.Sprint(c.Total)},
		{Name: "Opted in to email", Value: fmt.Sprint(c.OptedIn), Note: of(c.OptedIn)},
		{Name: "From a data provider", Value: fmt.Sprint(c.Sourced), Note: of(c.Sourced)},
	}, nil
}

func (d *theatre) checks() []admin.Check {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []admin.Check
	for _, c := range d.result.Checks {
		all = append(all, admin.Check{Name: c.Name, OK: c.OK, Detail: c.Detail})
	}
	return all
}

// mailbox shows what the catcher caught.
type mailbox struct{ *demo.Catcher }

func (m mailbox) Len() int { return len(m.All()) }

func (m mailbox) Mail(n int) (admin.Mail, bool) {
	all := m.All()
	if n < 0 || n >= len(all) {
		return admin.Mail{}, false
	}
	c := all[n]
	return admin.Mail{N: n, At: c.At, To: c.To, Subject: c.Subject, Text: c.Text, HTML: c.HTML, Head: c.Head()}, true
}

// address returns an address in the country from the networks of the sample region database; people
// of a country without one share those of the first.
func address(country string, n int) string {
	var all []netip.Addr
	for _, net := range sample.Networks() {
		if net.Region[:2] == country && net.Prefix.Addr().Is4() {
			all = append(all, net.Prefix.Addr())
		}
	}
	if len(all) == 0 {
		return sample.Nowhere.String()
	}
	a := all[n%len(all)].As4()
	a[3] += byte(1 + n%60)
	return netip.AddrFrom4(a).String()
}

func progress(w io.Writer) func(step string, done, total int) {
	var bar *progressbar.ProgressBar
	var now string
	return func(step string, done, total int) {
		if step != now {
			if bar != nil {
				_ = bar.Finish()
				fmt.Fprintln(w)
			}
			now, bar = step, progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(fmt.Sprintf("%-48s", step)),
				progressbar.OptionSetWidth(24), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond))
		}
		bar.ChangeMax(max(total, 1))
		_ = bar.Set(min(done, max(total, 1)))
		if step == "figures, report and export" && done == total {
			_ = bar.Finish()
			fmt.Fprintln(w)
		}
	}
}

func printDemo(w io.Writer, r demo.Result) {
	fmt.Fprintf(w, "\n%d contacts, %d opted in to email, %d from a data provider\n", r.Contacts.Total, r.Contacts.OptedIn, r.Contacts.Sourced)
	for _, c := range r.Campaigns {
		fmt.Fprintf(w, "\n%s, to %s\n  messages: %d sent, %d skipped, %d failed, %d unknown; %d cite a data source\n", c.Name, c.Audience,
			c.Messages["sent"], c.Messages["skipped"], c.Messages["failed"], c.Messages["unknown"], c.Cited)
		for _, k := range []struct {
			name string
			h    demo.Hits
		}{{"opens", c.Opens}, {"clicks", c.Clicks}} {
			fmt.Fprintf(w, "  %-6s: %d = %d by people + %d machines' + %d unverifiable + %d anonymous; %d unique\n", k.name, k.h.Total, k.h.Person, k.h.Machine, k.h.Unverifiable, k.h.Anonymous, k.h.Unique)
		}
		fmt.Fprint(w, "  regions:")
		for _, g := range c.Regions {
			fmt.Fprintf(w, " %s %d/%d", g.Region, g.Opens, g.Clicks)
		}
		fmt.Fprintln(w, " (opens/clicks)")
	}
	fmt.Fprintf(w, "\nsegment %s: %d contacts, %d rows exported\n\n", r.Segment.Name, r.Segment.Count, r.Segment.ExportRows)
	for _, c := range r.Checks {
		mark := "holds "
		if !c.OK {
			mark = "BROKEN"
		}
		fmt.Fprintf(w, "%s  %s: %s\n", mark, c.Name, c.Detail)
	}
}
