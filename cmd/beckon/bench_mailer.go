package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema/id"

	"github.com/spf13/cobra"
)

// mailOptions are what `bench mailer` sends, and where to.
type mailOptions struct {
	storage     demoStorage
	sink        string // empty: Postfix's smtp-sink is started
	messages    int
	connections int
	rounds      int
	sign        bool
	compare     bool
}

// mailResult is what `bench mailer` prints; the rates are medians over its rounds.
type mailResult struct {
	Storage     string  `json:"storage"`
	Messages    int     `json:"messages"` // of each round
	Bytes       int     `json:"bytes"`    // of one
	Connections int     `json:"connections"`
	Signed      bool    `json:"signed"`
	PerSec      float64 `json:"messages_per_second"` // from the launch until the campaign is finished
	CPU         float64 `json:"cpu_s_per_100000"`    // of this process
	Memory      int64   `json:"peak_memory"`         // bytes, while sending
	Sent        int64   `json:"sent"`                // over all rounds
	Source      float64 `json:"smtp_source_per_second,omitempty"`
	Ratio       float64 `json:"ratio,omitempty"` // to smtp-source, round by round
	Signing     float64 `json:"signatures_per_second,omitempty"`
	RatioSign   float64 `json:"ratio_signing,omitempty"` // messages to bare signatures
}

func benchMailerCommand() *cobra.Command {
	var o mailOptions
	var asJSON bool
	cmd := &cobra.Command{Use: "mailer", Short: "Messages per second into a sink, from the launch of a campaign to its end", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&o.storage.database, "database", "", "postgres://… of an empty database (default: embedded)")
	cmd.Flags().StringVar(&o.storage.redis, "redis", "", "redis://… (default: embedded)")
	cmd.Flags().StringVar(&o.sink, "sink", "", "host:port of an SMTP server that throws mail away (default: Postfix's smtp-sink is started)")
	cmd.Flags().IntVar(&o.messages, "messages", 100000, "messages to send in a round")
	cmd.Flags().IntVar(&o.connections, "connections", 64, "kept-open connections")
	cmd.Flags().IntVar(&o.rounds, "rounds", 1, "rounds; medians are told")
	cmd.Flags().BoolVar(&o.sign, "sign", false, "sign with DKIM (RSA, 2048 bits), and compare with signing alone")
	cmd.Flags().BoolVar(&o.compare, "compare", false, "also drive the sink with Postfix's smtp-source")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.messages < 1 || o.connections < 1 || o.rounds < 1 {
			return errors.New("--messages, --connections and --rounds have to be 1 or more")
		}
		r, err := benchMailer(cmd.Context(), o, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}
		return r.print(cmd.OutOrStdout())
	}
	return cmd
}

func benchMailer(ctx context.Context, o mailOptions, progress io.Writer) (r mailResult, err error) {
	r = mailResult{Storage: "embedded", Messages: o.messages, Connections: o.connections, Signed: o.sign}
	if o.storage != (demoStorage{}) {
		r.Storage = "given"
	}
	if o.sink == "" {
		var stop func()
		if o.sink, stop, err = startSink(ctx); err != nil {
			return r, err
		}
		defer stop()
	}
	fmt.Fprintf(progress, "preparing %d recipients\n", o.messages)
	d, err := startDemo(ctx, "127.0.0.1:0", "", time.Hour, o.storage, func(c *Config) {
		c.SMTP, c.SenderConns = "smtp://"+o.sink+"?tls=none", o.connections
		if !o.sign {
			c.DKIM = ""
		}
	})
	if err != nil {
		return r, err
	}
	defer func() { err = d.stop(err) }()
	audience, err := d.benchAudience(ctx, o.messages)
	if err != nil {
		return r, err
	}
	var rates, sources, ratios, processor []float64
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, o.rounds)
		if o.compare {
			rate, err := smtpSource(ctx, o, max(r.Bytes, 22<<10))
			if err != nil {
				return r, err
			}
			sources = append(sources, rate)
		}
		debug.FreeOSMemory()
		forgetPeak()
		used, begun := cpu(), time.Now()
		c, err := d.benchCampaign(ctx, audience)
		if err != nil {
			return r, err
		}
		took := time.Since(begun).Seconds()
		processor = append(processor, (cpu()-used)*100000/float64(o.messages))
		r.Memory = max(r.Memory, peakMemory())
		rates = append(rates, float64(o.messages)/took)
		s, err := d.app.mailer.Status(ctx, c)
		if err != nil {
			return r, err
		}
		if s.Messages[queue.Sent] != int64(o.messages) {
			return r, fmt.Errorf("bench: %d of %d messages were sent: %v", s.Messages[queue.Sent], o.messages, s.Messages)
		}
		r.Sent += s.Messages[queue.Sent]
		if o.compare {
			ratios = append(ratios, rates[round]/sources[round])
		}
		if r.Bytes == 0 {
			p, err := d.app.mailer.Preview(ctx, c, 0)
			if err != nil {
				return r, err
			}
			r.Bytes = p.Size
		}
	}
	r.PerSec, r.CPU = median(rates), median(processor)
	if o.compare {
		r.Source, r.Ratio = median(sources), median(ratios)
	}
	if o.sign {
		if r.Signing, err = signingRate(d.app.conf.DKIM, r.Bytes); err != nil {
			return r, err
		}
		r.RatioSign = r.PerSec / r.Signing
	}
	return r, nil
}

// benchCampaign sends the newsletter to the audience, and returns when all of it is sent.
func (d *theatre) benchCampaign(ctx context.Context, to mailer.Audience) (c id.Campaign, err error) {
	m := d.app.mailer
	made, err := m.Create(ctx, mailer.Draft{Name: "bench", Company: "bench", Type: "newsletter", Subject: "What is new this month", From: "news@" + demo.Domain,
		HTML: benchNewsletter(), Text: "What is new this month\n\nRead all of it on https://www.example.com/stories\n", Audience: to, Tracking: "consented"})
	if err != nil {
		return c, err
	}
	if _, err := m.Launch(ctx, made.ID); err != nil {
		return c, err
	}
	return made.ID, d.untilFinished(ctx, made.ID)
}

// benchNewsletter is a letter with ten links, 22 kB as it is sent.
func benchNewsletter() string {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><title>What is new</title></head><body style="margin:0;font-family:Arial,sans-serif"><table role="presentation" width="100%">`)
	b.WriteString("<tr><td><h1>What is new this month</h1><p>Dear {{ name | default: \"reader\" }},</p></td></tr>\n")
	for i := range 10 {
		fmt.Fprintf(&b, `<tr><td style="padding:16px 24px;font-size:16px;line-height:24px"><h2 style="font-size:20px">Story %d</h2>`+"\n", i+1)
		for range 11 {
			b.WriteString("<p>The council has published its plan for the coming year, with the dates of all tenders, what each of them asks for, and whom to turn to with questions.</p>\n")
		}
		fmt.Fprintf(&b, `<a href="https://www.example.com/stories/%d?from=letter&amp;issue=11">Read on</a></td></tr>`+"\n", i+1)
	}
	b.WriteString("</table>{{ footer }}</body></html>")
	return b.String()
}

// startSink starts Postfix's smtp-sink on a free port.
func startSink(ctx context.Context) (addr string, stop func(), err error) {
	program, err := findPostfix("smtp-sink")
	if err != nil {
		return "", nil, fmt.Errorf("%w; or name another sink with --sink", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	l.Close()
	args := []string{addr, "1000"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	c := exec.Command(program, args...)
	if err := c.Start(); err != nil {
		return "", nil, fmt.Errorf("start smtp-sink: %w", err)
	}
	stop = func() { _ = c.Process.Kill(); _ = c.Wait() }
	for range 100 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr, stop, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	stop()
	return "", nil, errors.New("smtp-sink was started and does not answer")
}

// smtpSource drives the sink with Postfix's own generator: as many messages of that size, over as many
// connections.
func smtpSource(ctx context.Context, o mailOptions, size int) (perSec float64, err error) {
	program, err := findPostfix("smtp-source")
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	out, err := exec.CommandContext(ctx, program, "-d", "-s", strconv.Itoa(o.connections), "-m", strconv.Itoa(o.messages), "-l", strconv.Itoa(size),
		"-f", "news@"+demo.Domain, "-t", "p@people.example", "inet:"+o.sink).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return float64(o.messages) / time.Since(begun).Seconds(), nil
}

func findPostfix(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s was not found: install Debian's package postfix", name)
}

// signingRate is how many messages of that size the library signs in a second on all cores, with
// nothing else to do.
func signingRate(key string, size int) (float64, error) {
	keys, err := queue.LoadDKIM(key)
	if err != nil {
		return 0, err
	}
	msg := []byte("From: news@" + demo.Domain + "\r\nTo: p@people.example\r\nSubject: x\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n" +
		strings.Repeat(strings.Repeat("a", 74)+"\r\n", size/76))
	var signed atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(begun) < 3*time.Second {
				if _, err := keys[0].Sign(msg); err != nil {
					failed.Store(&err)
					return
				}
				signed.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(signed.Load()) / time.Since(begun).Seconds(), nil
}

// forgetPeak makes peakMemory count from now on.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func (r *mailResult) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s, %d messages of %d bytes, %d connections\tmessages/s\tratio\t\n", r.Storage, r.Messages, r.Bytes, r.Connections)
	signed := ""
	if r.Signed {
		signed = ", signed"
	}
	fmt.Fprintf(t, "Beckon%s\t%.0f\t\t\n", signed, r.PerSec)
	if r.Source > 0 {
		fmt.Fprintf(t, "smtp-source\t%.0f\t%.2f\t\n", r.Source, r.Ratio)
	}
	if r.Signing > 0 {
		fmt.Fprintf(t, "signing alone\t%.0f\t%.2f\t\n", r.Signing, r.RatioSign)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d sent; %.1f CPU-s per 100,000 and at most %d MB while sending\n", r.Sent, r.CPU, r.Memory>>20)
	return err
}
