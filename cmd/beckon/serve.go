package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"beckon/cmd/internal/api"
	"beckon/cmd/internal/hooks"
	"beckon/cmd/internal/pages"
	"beckon/mailer"
	"beckon/segments"
	"beckon/segments/rights"
	"beckon/tracker"
	"beckon/tracker/bot"
	"beckon/tracker/event"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func serveCommand() *cobra.Command {
	conf := &Config{}
	cmd := &cobra.Command{Use: "serve", Short: "Serve links, beacons, pages and the API, and send campaigns", Args: cobra.NoArgs}
	conf.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := conf.finish(); err != nil {
			return err
		}
		ctx := cmd.Context()
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		l, err := net.Listen("tcp", conf.Listen)
		if err != nil {
			return fmt.Errorf("BECKON_LISTEN: %w", err)
		}
		a, err := open(ctx, conf, log, time.Now, true)
		if err != nil {
			return err
		}
		defer a.close()
		faces, err := a.faces()
		if err != nil {
			return err
		}
		log.Info("serving", "listen", l.Addr().String(), "url", conf.URL, "database", string(a.db.Dialect()), "relays", len(a.relays))
		return a.serve(ctx, l, faces)
	}
	return cmd
}

// running are the parts of the service that work in the background.
type running struct {
	spool    *event.Spool
	drain    *event.Drain
	importer *api.ImportWorker
	courier  *courier
	refusals *refusals
	networks *bot.Lists
	returns  *returns

	checkpoint  *checkpoint
	corrections *mailer.Corrections
}

// faces opens the spool and builds everything that is served over HTTP.
func (a *app) faces() (*echo.Echo, error) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	proxies, err := a.conf.proxies()
	if err != nil {
		return nil, err
	}
	if e.IPExtractor, err = tracker.TrustedIPExtractor(proxies); err != nil {
		return nil, fmt.Errorf("BECKON_TRUSTED_PROXIES: %w", err)
	}
	e.IPExtractor = a.clients.Watch(e.IPExtractor)
	if err := a.openRunning(); err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.running.measure(metrics)
	a.measureNetworks(metrics)
	a.measureClients(metrics)
	(&tracker.Handler{Keys: a.secrets.ring, Spool: a.running.spool, Judge: a.running.networks.Judge, Geo: a.geo, Overrides: a.running.corrections, Metrics: tracker.NewMetrics(metrics), Log: a.log, Now: a.now}).Register(e)
	if a.recipients, err = pages.New(pages.Options{
		URL: a.conf.URL, DB: a.db, Keys: a.secrets.ring, Catalogue: a.catalogue, Notices: a.notices, Ledger: a.ledger, Companies: a.companies, Sources: a.sources,
		Contacts: a.contacts, Addresses: a.contacts, Messages: a, Records: a, Mailer: a.running.courier, Journal: a.running.refusals,
		Desk: a.desk, Audit: a.audit, Inbox: rights.NewRequests(a.db, a.audit, a.now), Embed: fields(a.conf.Embed), Now: a.now, Log: a.log,
	}); err != nil {
		return nil, err
	}
	a.recipients.Register(e)
	if a.running.returns, err = a.openReturns(metrics); err != nil {
		return nil, err
	}
	(&hooks.Hooks{Providers: a.hooks, Intake: a.running.returns.intake, Log: a.log}).Register(e)
	dir, err := a.dir("uploads")
	if err != nil {
		return nil, err
	}
	uploads, err := api.OpenUploads(dir)
	if err != nil {
		return nil, err
	}
	importer := &segments.Importer{DB: a.db, Ledger: a.ledger, Gate: a.gate, Catalogue: a.catalogue, Now: a.now}
	a.running.importer = api.NewImportWorker(importer, a.imports, uploads, a.running.spool.Node())
	retention, err := a.newRetention()
	if err != nil {
		return nil, err
	}
	service, err := api.New(api.Deps{
		DB: a.db, Tokens: api.NewTokens(a.db, a.now), Audit: a.audit, Catalogue: a.catalogue, Notices: a.notices, Ledger: a.ledger,
		Companies: a.companies, Sources: a.sources, Contacts: a.contacts, Segments: a.segments, Mailer: a.mailer, Reports: a.report, DoubleOptIn: a.recipients,
		Imports: a.imports, ImportRunner: a.running.importer, Uploads: uploads, Node: a.running.spool.Node(),
		Desk: a.desk, Requests: rights.NewRequests(a.db, a.audit, a.now), Retention: retention, Holds: a.holds, Extensions: rights.NewExtensions(a.db, a.now),
		Groups: rights.NewGroups(a.db, a.now), Activities: a.register, Traces: a.traces(), Checks: a.readiness(), Metrics: metrics, Log: a.log, Now: a.now,
	})
	if err != nil {
		return nil, err
	}
	service.Register(e)
	return e, nil
}

func (a *app) openRunning() error {
	networks, err := a.openNetworks()
	if err != nil {
		return err
	}
	thresholds, err := a.conf.thresholds()
	if err != nil {
		return err
	}
	dir, err := a.dir("spool")
	if err != nil {
		return err
	}
	shout := func(err error) { a.log.Error("hits", "err", err.Error()) }
	spool, err := event.OpenSpool(dir, event.Options{Now: a.now, Report: shout})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, func() {
		if err := spool.Close(); err != nil {
			shout(err)
		}
	})
	a.running = &running{
		refusals: a.newRefusals(),
		networks: networks,
		spool:    spool,
		drain:    &event.Drain{DB: a.db, Gate: a.gate, Spool: spool, Sink: a.counter, Now: a.now, Thresholds: thresholds, Report: func(err error) { a.log.Warn("hits wait in the spool", "err", err.Error()) }},
		courier:  newCourier(a.relays, a.log, a.now),

		checkpoint:  newCheckpoint(a.ledger, a.headsPath(), a.log),
		corrections: &mailer.Corrections{DB: a.db, Report: func(err error) { a.log.Warn("links", "err", err.Error()) }},
	}
	return nil
}

func (r *running) measure(metrics prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	metrics.MustRegister(
		gauge("beckon_spool_backlog", "Answered hits that the database does not have yet.", func() float64 { return float64(r.spool.Backlog()) }),
		gauge("beckon_spool_oldest_seconds", "Age of the oldest of them.", func() float64 { return r.spool.OldestAge().Seconds() }),
		gauge("beckon_spool_bytes", "Size of the spool on disk.", func() float64 { return float64(r.spool.Bytes()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "beckon_spool_lost_total", Help: "Hits that were answered and could not be kept."},
			func() float64 { return float64(r.spool.Lost()) }),
	)
}

func (a *app) readiness() []api.Check {
	return []api.Check{
		{Name: "database", Ask: a.db.Ping},
		{Name: "redis", Ask: func(ctx context.Context) error { return reachRedis(ctx, a.redis) }},
		{Name: "journal", Ask: func(context.Context) error { return a.running.refusals.guard.Ready() }},
		{Name: "ledger", Ask: func(context.Context) error { return a.running.checkpoint.ready() }},
		{Name: "spool", Ask: (&spoolCheck{spool: a.running.spool, now: a.now}).ready},
	}
}

// shutdownGrace is how long requests under way may take when the service ends.
const shutdownGrace = 10 * time.Second

// serve answers requests and works in the background until ctx ends; then it lets requests finish,
// puts what was answered into the database and stops sending between two messages.
func (a *app) serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)} // it would log addresses
	tracker.LimitServer(server)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return a.running.drain.Run(work) })
	g.Go(func() error { return a.counter.Run(work) })
	g.Go(func() error { return a.running.refusals.guard.Run(work) })
	g.Go(func() error { return a.running.checkpoint.run(work) })
	g.Go(func() error { return a.running.corrections.Run(work) })
	g.Go(func() error { return a.mailer.Run(work) })
	g.Go(func() error { return a.running.returns.run(work) })
	g.Go(func() error { return a.running.importer.Run(work) })
	g.Go(func() error { return a.running.courier.Run(work) })
	g.Go(func() error { return a.refreshRegions(work) })
	g.Go(func() error { return a.refreshNetworks(work) })
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	select {
	case <-ctx.Done():
	case <-work.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	stop()
	err := g.Wait()
	if flush := a.running.drain.Flush(grace); flush != nil {
		a.log.Warn("hits stay in the spool until the next start", "err", flush.Error())
	}
	return err
}

// refreshRegions takes up a region database that was put in the place of the one in use.
func (a *app) refreshRegions(ctx context.Context) error {
	if a.geo == nil {
		return nil
	}
	if text, stale := a.geo.Stale(a.now()); stale {
		a.log.Warn("regions", "warning", text)
	}
	return eachMinute(ctx, func() {
		switch changed, err := a.geo.Refresh(); {
		case err != nil:
			a.log.Warn("the region database stays as it was", "err", err.Error())
		case changed:
			a.log.Info("new region database", "built", a.geo.BuildTime().Format(time.DateOnly))
		}
	})
}

// eachMinute calls do until ctx ends.
func eachMinute(ctx context.Context, do func()) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}
