package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"beckon/cmd/internal/pages"
	"beckon/geo"
	"beckon/mailer"
	"beckon/mailer/bounce"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker"
	"beckon/tracker/counter"
	"beckon/tracker/report"

	"github.com/redis/go-redis/v9"
)

// app is an installation with everything that its commands share: storage, keys and the domain.
type app struct {
	conf *Config
	log  *slog.Logger
	now  func() time.Time

	db        *schema.DB
	secrets   *secrets
	catalogue *consent.Catalogue
	notices   *consent.Notices
	ledger    *consent.Ledger
	gate      *consent.Gate
	audit     *rights.Audit
	journal   *rights.Journal
	desk      *rights.Desk
	holds     *rights.Holds
	companies *segments.Companies
	sources   *segments.Sources
	contacts  *segments.Contacts
	imports   *segments.Imports
	segments  *segments.Segments
	mailer    *mailer.Mailer
	relays    []*queue.Relay
	paths     *bounce.Paths
	hooks     []bounce.Hook
	geo       *geo.DB // nil: no regions
	clients   tracker.OneClient

	redis   redis.UniversalClient
	counter *counter.Counter
	report  *report.Reporter

	running    *running // of `serve` and `demo` alone, like the recipients' pages
	recipients *pages.Pages
	closers    []func()
}

// open connects to the storage, brings it to the current version and builds the domain. Nothing
// runs yet. With embedded true a missing BECKON_REDIS starts a Redis in this process; otherwise the
// one of a running `serve` is used, or none.
func open(ctx context.Context, conf *Config, log *slog.Logger, now func() time.Time, embedded bool) (_ *app, err error) {
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return nil, fmt.Errorf("BECKON_DATA: %w", err)
	}
	a := &app{conf: conf, log: log, now: now}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.db, err = schema.Open(ctx, conf.Database); err != nil {
		return nil, fmt.Errorf("BECKON_DATABASE: %w", err)
	}
	a.closers = append(a.closers, func() { a.db.Close() })
	if err := a.db.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := consent.Seed(ctx, a.db); err != nil {
		return nil, err
	}
	if a.secrets, err = loadSecrets(ctx, conf, a.db); err != nil {
		return nil, err
	}
	a.secrets.ring.Now = now
	if a.catalogue, err = consent.LoadCatalogue(ctx, a.db); err != nil {
		return nil, err
	}
	a.notices = consent.NewNotices(a.db, now)
	if err := a.openJournal(); err != nil {
		return nil, err
	}
	a.ledger = consent.NewLedger(a.db, consent.LedgerOptions{HashKey: a.secrets.hash, Journal: noes{a.journal}, Now: now})
	a.gate = consent.NewGate(a.db, a.catalogue, consent.GateOptions{Now: now})
	a.audit = rights.NewAudit(a.db, now)
	a.companies = segments.NewCompanies(a.db, now)
	a.sources = segments.NewSources(a.db, a.ledger, a.catalogue, now)
	a.contacts = segments.NewContacts(a.db, a.ledger, a.catalogue, now)
	a.holds = rights.NewHolds(a.db, rights.Reach{OfSource: a.contacts.OfSource, OfCompany: a.contacts.OfCompany}, now)
	a.desk = a.newDesk()
	a.imports = segments.NewImports(a.db, now)
	a.segments = segments.NewSegments(a.db, a.gate, a.catalogue, now)
	if conf.Geo != "" {
		if a.geo, err = geo.Open(conf.Geo); err != nil {
			return nil, fmt.Errorf("BECKON_GEO: %w", err)
		}
	}
	if a.relays, err = queue.ParseRelays(conf.SMTP); err != nil {
		return nil, fmt.Errorf("BECKON_SMTP: %w", err)
	}
	dkim, err := queue.LoadDKIM(conf.DKIM)
	if err != nil {
		return nil, fmt.Errorf("BECKON_DKIM: %w", err)
	}
	a.paths = bounce.NewPaths(conf.Bounces, a.secrets.ring)
	if a.hooks, err = bounce.ParseHooks(conf.Hooks, now); err != nil {
		return nil, fmt.Errorf("BECKON_HOOKS: %w", err)
	}
	domains, warmups, err := conf.limits()
	if err != nil {
		return nil, err
	}
	a.mailer = mailer.New(mailer.Options{
		DB: a.db, Gate: a.gate, Catalogue: a.catalogue, Ledger: a.ledger, Companies: a.companies, Sources: a.sources, Segments: a.segments,
		Keys: a.secrets.ring, BaseURL: conf.URL, Relays: a.relays, DKIM: dkim, Insecure: conf.Insecure,
		ReturnPath: a.returnPath(), Stamp: a.stamp(),
		Sender: queue.Options{Connections: conf.SenderConns, Alone: a.db.Dialect() == schema.SQLite, Ready: a.maySend, Domains: domains, Warmups: warmups}, Now: now, Log: log,
	})
	if err := a.openCounts(embedded); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *app) openCounts(embedded bool) (err error) {
	address := a.conf.Redis
	switch {
	case address != "":
	case embedded:
		var stop func()
		if address, stop, err = startRedis(a.conf); err != nil {
			return err
		}
		a.closers = append(a.closers, stop)
	default:
		if address, err = runningRedis(a.conf); err != nil {
			return fmt.Errorf("BECKON_REDIS: %w", err)
		}
	}
	if address == "" {
		return nil
	}
	if a.redis, err = dialRedis(address); err != nil {
		return err
	}
	a.closers = append(a.closers, func() { a.redis.Close() })
	a.counter = counter.New(a.redis, a.db, counter.Options{Now: a.now, Report: func(err error) { a.log.Warn("counts", "err", err.Error()) }})
	a.report = report.New(a.db, a.counter, a.now)
	return nil
}

// maySend says whether every refusal that was answered is in the database, and the database is not an
// older one that was put back.
func (a *app) maySend() error {
	if a.running == nil {
		return errors.New("no refusals journal is open")
	}
	return errors.Join(a.running.refusals.guard.Ready(), a.running.checkpoint.ready())
}

// close undoes open, in reverse order.
func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	a.closers = nil
}

// dir returns a directory below the data directory, made if need be.
func (a *app) dir(name string) (string, error) {
	path := filepath.Join(a.conf.Data, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("BECKON_DATA: %w", err)
	}
	return path, nil
}

var errNoCounts = errors.New("there is no Redis to look at: `serve` is not running, and BECKON_REDIS is not set")
