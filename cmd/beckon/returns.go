package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"beckon/mailer/bounce"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// returnPath is the envelope sender of a message; nil leaves it to the address in From.
func (a *app) returnPath() func(m id.Message, from string) string {
	if a.paths.Domain() == "" {
		return nil
	}
	return func(m id.Message, _ string) string { return a.paths.Make(m) }
}

// stamp puts the fields before a letter by which providers tell messages apart; nil: there are none.
func (a *app) stamp() func(dst []byte, m id.Message) []byte {
	if len(a.hooks) == 0 {
		return nil
	}
	return func(dst []byte, m id.Message) []byte {
		local := a.paths.Local(m)
		for _, h := range a.hooks {
			dst = h.Stamp(dst, local)
		}
		return dst
	}
}

// returns are the ways in which mail comes back, and what takes it.
type returns struct {
	intake  *bounce.Intake
	listen  string          // where SMTP is taken; empty: nowhere
	mailbox *bounce.Mailbox // nil: none
}

func (a *app) openReturns(metrics prometheus.Registerer) (*returns, error) {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "beckon_returns_total", Help: "Reports about mail that came back, by what they are and how they came."}, []string{"class", "way"})
	metrics.MustRegister(counted)
	r := &returns{listen: a.conf.Intake, intake: bounce.NewIntake(bounce.Options{
		DB: a.db, Paths: a.paths, Keys: a.secrets.ring, Ledger: a.ledger, Inbox: optOuts{rights.NewRequests(a.db, a.audit, a.now)}, Now: a.now, Log: a.log,
		Count: func(c bounce.Class, way bounce.Way) { counted.WithLabelValues(string(c), string(way)).Inc() },
	})}
	var err error
	if a.conf.Mailbox != "" {
		if r.mailbox, err = bounce.OpenMailbox(a.conf.Mailbox, r.intake); err != nil {
			return nil, fmt.Errorf("BECKON_MAILBOX: %w", err)
		}
	}
	return r, nil
}

// run takes what comes by SMTP and lies in the mailbox until ctx ends. The error says why it cannot
// listen.
func (r *returns) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if r.listen != "" {
		l, err := net.Listen("tcp", r.listen)
		if err != nil {
			return fmt.Errorf("BECKON_INTAKE: %w", err)
		}
		g.Go(func() error { return r.intake.ServeSMTP(ctx, l) })
	}
	if r.mailbox != nil {
		g.Go(func() error { return r.mailbox.Run(ctx) })
	}
	return g.Wait()
}

// optOuts puts letters of people who want no more mail into the inbox of requests, where they are
// answered within two working days.
type optOuts struct{ requests *rights.Requests }

func (o optOuts) OptOut(ctx context.Context, tx *schema.Tx, who id.Contact, company id.Company, words string) error {
	_, err := o.requests.Open(ctx, tx, rights.NewRequest{Kind: rights.Withdrawal, Channel: rights.ByEmail, Company: company, Contact: who, Detail: words, Actor: "mail intake"})
	return err
}

// checkReturns says what is wrong with the settings of mail that comes back.
func (c *Config) checkReturns() error {
	var wrong []error
	if d := c.Bounces; d != "" && (strings.ContainsAny(d, "@/: ") || !strings.Contains(d, ".") && d != "localhost" || len(d) > 180) {
		wrong = append(wrong, fmt.Errorf("BECKON_BOUNCES: %q is not a domain; write for example bounces.example.org", d))
	}
	if _, _, err := net.SplitHostPort(c.Intake); c.Intake != "" && err != nil {
		wrong = append(wrong, fmt.Errorf("BECKON_INTAKE: %q is not host:port; write for example 0.0.0.0:25", c.Intake))
	}
	if c.Intake != "" && c.Bounces == "" {
		wrong = append(wrong, errors.New("BECKON_INTAKE: takes mail for return paths alone, and BECKON_BOUNCES names no domain for them"))
	}
	if _, err := bounce.ParseHooks(c.Hooks, nil); err != nil {
		wrong = append(wrong, fmt.Errorf("BECKON_HOOKS: %w", err))
	}
	if c.Mailbox != "" {
		if u, err := url.Parse(c.Mailbox); err != nil || bounce.CheckMailbox(u) != nil {
			wrong = append(wrong, errors.New("BECKON_MAILBOX: want imaps://USER:PASSWORD@HOST:PORT/FOLDER, with what is special in user and password escaped (@ as %40); imap:// on loopback alone")) // the cause would quote the password
		}
	}
	return errors.Join(wrong...)
}
