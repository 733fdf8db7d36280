package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
	"github.com/spf13/cobra"
)

// benchOptions are how hard `bench tracker` tries.
type benchOptions struct {
	storage     demoStorage
	connections int
	recipients  int
	rounds      int
	each        time.Duration
}

// benchResult is what `bench tracker` prints; the figures are medians over its rounds.
type benchResult struct {
	Storage     string  `json:"storage"`
	Connections int     `json:"connections"`
	Recipients  int     `json:"recipients"`
	Bare        load    `json:"bare_echo"`
	Beckon      load    `json:"beckon"`
	Ratio       float64 `json:"ratio"`     // hits per second, Beckon to bare Echo, round by round
	RatioP99    float64 `json:"ratio_p99"` // the same of the 99th percentile
	Answered    int64   `json:"answered"`  // by Beckon, over all rounds
	Counted     int64   `json:"counted"`   // in the durable totals
	Events      int64   `json:"events"`    // in the log
	Lost        int64   `json:"lost"`      // answered and not kept
	Agree       bool    `json:"agree"`     // events, totals and Redis
	Drained     float64 `json:"drained_after_s"`
	CPU         float64 `json:"cpu_s"`       // of this process, load generator included, while Beckon was driven
	Memory      int64   `json:"peak_memory"` // bytes, load generator included
}

func benchCommand() *cobra.Command {
	group := &cobra.Command{Use: "bench", Short: "Measure this machine and this program"}
	var o benchOptions
	var asJSON bool
	cmd := &cobra.Command{Use: "tracker", Short: "Hits per second beside a bare Echo server that returns a GIF, in one run", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&o.storage.database, "database", "", "postgres://… of an empty database (default: embedded)")
	cmd.Flags().StringVar(&o.storage.redis, "redis", "", "redis://… (default: embedded)")
	cmd.Flags().IntVar(&o.connections, "connections", 256, "kept-open connections")
	cmd.Flags().IntVar(&o.recipients, "recipients", 10000, "distinct recipients")
	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "rounds; each drives both servers, and medians are told")
	cmd.Flags().DurationVar(&o.each, "time", 5*time.Second, "how long each server is driven in a round")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := benchTracker(cmd.Context(), o, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}
		return r.print(cmd.OutOrStdout())
	}
	group.AddCommand(cmd, benchMailerCommand(),
		benchPeopleCommand("import", "How long an import of contacts with consents takes", benchImport),
		benchPeopleCommand("segments", "How long counting and exporting segments takes", benchSegments))
	return group
}

func benchTracker(ctx context.Context, o benchOptions, progress io.Writer) (r benchResult, err error) {
	r = benchResult{Storage: "embedded", Connections: o.connections, Recipients: o.recipients}
	if o.storage != (demoStorage{}) {
		r.Storage = "given"
	}
	fmt.Fprintf(progress, "preparing %d recipients\n", o.recipients)
	d, err := startDemo(ctx, "127.0.0.1:0", "", time.Hour, o.storage)
	if err != nil {
		return r, err
	}
	defer func() { err = d.stop(err) }()
	requests, err := d.prepareBench(ctx, o.recipients)
	if err != nil {
		return r, err
	}
	d.clock.Forward(time.Hour) // past the time in which a hit is too soon for a person
	bare, stop, err := bareEcho()
	if err != nil {
		return r, err
	}
	defer stop()
	var bares, ours []load
	var ratios, slower []float64
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, o.rounds)
		b, err := drive(ctx, bare, requests, o.connections, o.each)
		if err != nil {
			return r, err
		}
		before := cpu()
		l, err := drive(ctx, strings.TrimPrefix(d.url, "http://"), requests, o.connections, o.each)
		if err != nil {
			return r, err
		}
		r.CPU += cpu() - before
		r.Answered += int64(l.Hits)
		bares, ours = append(bares, b), append(ours, l)
		ratios, slower = append(ratios, l.PerSec/b.PerSec), append(slower, float64(l.P99)/float64(b.P99))
	}
	r.Bare, r.Beckon, r.Ratio, r.RatioP99 = medianLoad(bares), medianLoad(ours), median(ratios), median(slower)
	fmt.Fprintln(progress, "waiting for the drain")
	begun := time.Now()
	r.Lost = d.app.running.spool.Lost()
	for {
		if err := d.app.db.Get(ctx, &r.Counted, `SELECT COALESCE(SUM(n), 0) FROM counts`); err != nil {
			return r, err
		}
		if d.app.running.spool.Backlog() == 0 || time.Since(begun) > 10*time.Minute {
			break
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	r.Drained = time.Since(begun).Seconds()
	if err := d.app.db.Get(ctx, &r.Counted, `SELECT COALESCE(SUM(n), 0) FROM counts`); err != nil {
		return r, err
	}
	if err := d.app.db.Get(ctx, &r.Events, `SELECT COUNT(*) FROM events`); err != nil {
		return r, err
	}
	if err := d.app.counter.Heal(ctx); err != nil {
		return r, err
	}
	r.Agree = d.app.verifyCounts(ctx) == nil
	r.Memory = peakMemory()
	return r, nil
}

// benchAudience imports people who agreed to tracking, and returns a segment of them.
func (d *theatre) benchAudience(ctx context.Context, recipients int) (to mailer.Audience, err error) {
	a := d.app
	if _, err := a.companies.Create(ctx, segments.Company{Slug: "bench", Name: "Bench", FromDomain: demo.Domain, PrivacyEmail: "privacy@" + demo.Domain,
		PostalAddress: "1 High St", PrivacyURL: "https://" + demo.Domain + "/privacy"}); err != nil {
		return to, err
	}
	if _, err := a.notices.Add(ctx, consent.Notice{Version: "bench", Language: "en", Text: "Bench may write to me and note what I open."}); err != nil {
		return to, err
	}
	rows, file := io.Pipe()
	defer rows.Close()
	go func() {
		_, err := io.WriteString(file, "email,country,plan,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n")
		for i := 0; i < recipients && err == nil; i++ {
			_, err = fmt.Fprintf(file, "p%d@people.example,%s,gold,bench,email,newsletter,yes,bench,form,2026-01-02T03:04:05Z\n", i, [...]string{"GB", "IE", "DE", "FR", "US"}[i%5])
		}
		file.CloseWithError(err)
	}()
	imp, err := a.imports.Create(ctx, segments.NewImport{})
	if err != nil {
		return to, err
	}
	importer := &segments.Importer{DB: a.db, Ledger: a.ledger, Gate: a.gate, Catalogue: a.catalogue, Now: a.now}
	if _, err := importer.Run(ctx, imp.ID, rows, segments.Options{}); err != nil {
		return to, err
	}
	seg, err := a.segments.Create(ctx, segments.NewSegment{Name: "bench", Company: "bench", Rule: json.RawMessage(`{"combinator":"and","rules":[]}`)})
	return mailer.Audience{Segment: seg.ID}, err
}

// prepareBench sends a campaign to people who agreed to tracking, and returns requests for their
// beacons and links.
func (d *theatre) prepareBench(ctx context.Context, recipients int) ([][]byte, error) {
	a := d.app
	to, err := d.benchAudience(ctx, recipients)
	if err != nil {
		return nil, err
	}
	const target = "https://www.example.com/bench?a=1&b=2"
	c, err := a.mailer.Create(ctx, mailer.Draft{Name: "bench", Company: "bench", Type: "newsletter", Subject: "Bench", From: "news@" + demo.Domain,
		HTML: `<p>Hello</p><a href="` + strings.ReplaceAll(target, "&", "&amp;") + `">one</a> <a href="https://www.example.com/two">two</a>`, Audience: to, Tracking: "consented"})
	if err != nil {
		return nil, err
	}
	if _, err := a.mailer.Launch(ctx, c.ID); err != nil {
		return nil, err
	}
	if err := d.untilFinished(ctx, c.ID); err != nil {
		return nil, err
	}
	return benchRequests(ctx, a.db, a.secrets.ring, c.ID, target)
}

// untilFinished waits until all of a campaign is sent.
func (d *theatre) untilFinished(ctx context.Context, c id.Campaign) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := d.app.mailer.Get(ctx, c)
		if err != nil {
			return err
		}
		switch s.Status {
		case mailer.Finished:
			return nil
		case mailer.Paused:
			return fmt.Errorf("bench: the campaign is %s", s.StatusNote)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func benchRequests(ctx context.Context, db *schema.DB, keys *token.Keyring, c id.Campaign, target string) ([][]byte, error) {
	var messages []id.Message
	if err := db.Select(ctx, &messages, `SELECT id FROM messages WHERE campaign = ? AND status = 'sent' AND mode = 'identified' ORDER BY id`, c); err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("bench: nobody was sent an identified message")
	}
	var requests [][]byte
	for i, m := range messages {
		beacon, err := keys.Sign(token.Token{Kind: token.Beacon, Campaign: c, Message: m})
		if err != nil {
			return nil, err
		}
		link, err := keys.Sign(token.Token{Kind: token.Click, Campaign: c, Message: m, Link: 1, URL: target})
		if err != nil {
			return nil, err
		}
		for _, path := range []string{"/o/" + beacon + ".gif", "/c/" + link} {
			requests = append(requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nX-Forwarded-For: 192.0.2.%d\r\nAccept: */*\r\n\r\n", path, 1+i%60))
		}
	}
	return requests, nil
}

// bareEcho is what Beckon is measured against: the same answers, with nothing behind them.
func bareEcho() (addr string, stop func(), err error) {
	e := echo.New()
	gif := []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")
	e.GET("/o/:token", func(c echo.Context) error { return c.Blob(http.StatusOK, "image/gif", gif) })
	e.GET("/c/:token", func(c echo.Context) error { return c.Redirect(http.StatusFound, "https://www.example.com/bench") })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: e, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { server.Close() }, nil
}

func (r *benchResult) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s, %d connections, %d recipients\thits/s\tp50\tp99\t\n", r.Storage, r.Connections, r.Recipients)
	for _, row := range []struct {
		name string
		l    load
	}{{"bare Echo", r.Bare}, {"Beckon", r.Beckon}} {
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t\n", row.name, row.l.PerSec, row.l.P50.Round(10*time.Microsecond), row.l.P99.Round(10*time.Microsecond))
	}
	fmt.Fprintf(t, "ratio\t%.2f\t\t%.2f\t\n", r.Ratio, r.RatioP99)
	if err := t.Flush(); err != nil {
		return err
	}
	agree := "agree"
	if !r.Agree {
		agree = "DO NOT AGREE"
	}
	_, err := fmt.Fprintf(w, "%d answered, %d counted, %d events, %d lost; log, totals and Redis %s; drained %.1f s after the last hit\n%.1f CPU-s and at most %d MB, load generator included\n",
		r.Answered, r.Counted, r.Events, r.Lost, agree, r.Drained, r.CPU, r.Memory>>20)
	return err
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// medianLoad is the run with the median rate.
func medianLoad(all []load) load {
	s := slices.SortedFunc(slices.Values(all), func(a, b load) int { return int(a.PerSec - b.PerSec) })
	return s[len(s)/2]
}

// cpu is the processor time of this process so far, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// peakMemory is the most memory that this process has held, in bytes.
func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
