package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"beckon/geo"
	"beckon/mailer/doctor"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/segments"
	"beckon/tracker"
	"beckon/tracker/bot"
	"beckon/tracker/token"
)

// configuration reads everything that serve reads at start, without making anything.
func (x *examination) configuration(tell func(doctor.Finding)) (r reading) {
	clean := true
	wrong := func(env string, err error) {
		clean = false
		for _, e := range each(err) {
			text := e.Error()
			if env != "" && !strings.HasPrefix(text, env) {
				text = env + ": " + text
			}
			tell(doctor.Finding{Check: "settings", Level: doctor.Problem, Message: text, Remedy: "correct it; serve does not start with it"})
		}
	}
	if err := x.conf.finish(); err != nil {
		wrong("", err)
	}
	var err error
	if r.relays, err = queue.ParseRelays(x.conf.SMTP); err != nil {
		wrong("BECKON_SMTP", err)
	}
	if r.dkim, err = queue.LoadDKIM(x.conf.DKIM); err != nil {
		wrong("BECKON_DKIM", err)
	}
	if _, err := (&app{conf: x.conf, now: x.now}).openNetworks(); err != nil {
		wrong("", err)
	}
	keys := x.conf.Keys
	if keys == "" {
		b, _ := os.ReadFile(filepath.Join(x.conf.Data, "keys")) // made at first start
		keys = strings.TrimSpace(string(b))
	}
	if keys != "" {
		if _, err := token.ParseKeys(keys); err != nil {
			wrong("BECKON_KEYS", errors.New("cannot be read: want id:base64, several separated by commas")) // the cause might quote one
		}
	}
	if clean {
		tell(doctor.Finding{Check: "settings", Level: doctor.OK, Message: "everything that serve reads at start can be read"})
	}
	return r
}

// each are the errors that were joined into one.
func each(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, each(e)...)
		}
		return all
	}
	return []error{err}
}

// database reaches it and returns the companies. A file that is not there yet is not made.
func (x *examination) database(ctx context.Context, tell func(doctor.Finding)) []segments.Company {
	say := func(check string, level doctor.Level, remedy, format string, args ...any) {
		tell(doctor.Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if path, file := strings.CutPrefix(x.conf.Database, "sqlite:"); file {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			say("reachable", doctor.Warning, "start serve, or run beckon migrate", "the file %s is not there yet: the first start makes it", path)
			return nil
		}
	}
	db, err := schema.Open(ctx, x.conf.Database)
	if err != nil {
		say("reachable", doctor.Problem, "start the database, or correct BECKON_DATABASE", "%v", err)
		return nil
	}
	defer db.Close()
	version, err := db.Version(ctx)
	latest := schema.Latest(db.Dialect())
	switch {
	case err != nil:
		say("reachable", doctor.Problem, "see that the user of BECKON_DATABASE may read", "%v", err)
		return nil
	case version < latest:
		say("version", doctor.Warning, "start serve, or run beckon migrate", "%s is reachable, at version %d of %d", db.Dialect(), version, latest)
	case version > latest:
		say("version", doctor.Problem, "run the newer program on every node", "%s is at version %d, and this program knows %d", db.Dialect(), version, latest)
	default:
		say("version", doctor.OK, "", "%s is reachable, at the current version %d", db.Dialect(), version)
	}
	if db.Dialect() == schema.Postgres {
		x.postgres(ctx, db, say)
	}
	if version == 0 {
		return nil
	}
	companies, err := segments.NewCompanies(db, x.now).List(ctx)
	if err != nil {
		say("companies", doctor.Warning, "run beckon migrate, then doctor again", "the companies cannot be read, so their sender domains are not checked")
	}
	return companies
}

func (x *examination) postgres(ctx context.Context, db *schema.DB, say func(check string, level doctor.Level, remedy, format string, args ...any)) {
	var number string
	if err := db.Get(ctx, &number, `SHOW server_version_num`); err == nil {
		if n, err := strconv.Atoi(number); err == nil && n < 150000 {
			say("server", doctor.Problem, "move to PostgreSQL 15 or later", "the server is PostgreSQL %d", n/10000)
		} else if err == nil {
			say("server", doctor.OK, "", "the server is PostgreSQL %d", n/10000)
		}
	}
	var there float64
	if err := db.Get(ctx, &there, `SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8`); err != nil {
		return
	}
	if off := x.now().Sub(time.UnixMilli(int64(there * 1000))).Abs(); off > doctor.Skew {
		say("clock", doctor.Problem, "let both set their clocks by NTP", "the database's clock and this machine's differ by %s", off.Round(time.Second))
	} else {
		say("clock", doctor.OK, "", "the database's clock agrees with this machine's")
	}
}

// storage are the checks of directories and of Redis.
func (x *examination) storage() []doctor.Check {
	return []doctor.Check{
		{Area: "storage", Subject: x.conf.Data, Run: x.dataDirectory},
		{Area: "storage", Subject: x.conf.Journal, Run: x.journal},
		{Area: "storage", Subject: "redis", Run: x.redis},
	}
}

// Free space below which a warning, or a problem, is told.
const (
	littleSpace = 2 << 30
	noSpace     = 200 << 20
)

func (x *examination) dataDirectory(_ context.Context, tell func(doctor.Finding)) {
	say := func(check string, level doctor.Level, remedy, format string, args ...any) {
		tell(doctor.Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if _, err := os.Stat(x.conf.Data); errors.Is(err, os.ErrNotExist) {
		say("writable", doctor.Warning, "start serve, or make it yourself", "is not there yet: the first start makes it")
		return
	}
	f, err := os.CreateTemp(x.conf.Data, ".doctor-*")
	if err != nil {
		say("writable", doctor.Problem, "let the user that runs Beckon own it", "cannot be written to: %v", errors.Unwrap(err))
		return
	}
	err = errors.Join(f.Sync(), f.Close(), os.Remove(f.Name()))
	if err != nil {
		say("writable", doctor.Problem, "put BECKON_DATA on a file system that keeps what is written", "a file in it cannot be made durable: %v", err)
		return
	}
	say("writable", doctor.OK, "", "can be written to")
	d, ok := diskOf(x.conf.Data)
	if !ok {
		return
	}
	switch {
	case d.memory:
		say("persistent", doctor.Problem, "set BECKON_DATA to a directory on a disk", "is on %s, in memory: consents, keys and hits are lost with the next restart", d.kind)
	case d.layer:
		say("persistent", doctor.Warning, "mount a volume at BECKON_DATA", "is on %s, as in a container without a volume: it is lost with the container", d.kind)
	case d.remote && strings.HasPrefix(x.conf.Database, "sqlite:"):
		say("persistent", doctor.Warning, "put BECKON_DATA on a local disk", "is on %s: SQLite may be damaged by locks that a network does not keep", d.kind)
	default:
		say("persistent", doctor.OK, "", "is on a file system that lasts")
	}
	switch free := fmt.Sprintf("%.1f GB are free", float64(d.free)/(1<<30)); {
	case d.free < noSpace:
		say("space", doctor.Problem, "make room: a full disk keeps hits from being recorded", "%s", free)
	case d.free < littleSpace:
		say("space", doctor.Warning, "make room", "%s", free)
	default:
		say("space", doctor.OK, "", "%s", free)
	}
}

// journal says whether what was refused outlives the database.
func (x *examination) journal(_ context.Context, tell func(doctor.Finding)) {
	path, file := strings.CutPrefix(x.conf.Database, "sqlite:")
	if !file {
		u, err := url.Parse(x.conf.Database)
		if err != nil || u.Hostname() != "" && !loopback(u.Hostname()) {
			tell(doctor.Finding{Check: "apart", Level: doctor.OK, Message: "the database is on another machine"})
			return
		}
		tell(doctor.Finding{Check: "apart", Level: doctor.OK, Message: "whether PostgreSQL keeps its files on another disk cannot be told from here; see that it does"})
		return
	}
	same, known := sameDevice(x.conf.Journal, path)
	switch {
	case !known:
		tell(doctor.Finding{Check: "apart", Level: doctor.OK, Message: "whether it is on another disk than the database cannot be told yet"})
	case same:
		tell(doctor.Finding{Check: "apart", Level: doctor.Warning, Message: "the refusals journal is on the same disk as the database: one broken disk takes both, and with them every no since the last backup",
			Remedy: "set BECKON_JOURNAL to a directory on another disk"})
	default:
		tell(doctor.Finding{Check: "apart", Level: doctor.OK, Message: "is on another disk than the database"})
	}
}

func (x *examination) redis(ctx context.Context, tell func(doctor.Finding)) {
	address := x.conf.Redis
	if address == "" {
		running, err := runningRedis(x.conf)
		if running == "" || err != nil {
			tell(doctor.Finding{Check: "reachable", Level: doctor.OK, Message: "is embedded, and starts with serve"})
			return
		}
		address = running
	}
	c, err := dialRedis(address)
	if err == nil {
		defer c.Close()
		err = reachRedis(ctx, c)
	}
	if err != nil {
		tell(doctor.Finding{Check: "reachable", Level: doctor.Problem, Message: err.Error(), Remedy: "start it, or correct BECKON_REDIS; hits are kept meanwhile, and counted when it is back"})
		return
	}
	version := ""
	if info, err := c.Info(ctx, "server").Result(); err == nil {
		for line := range strings.Lines(info) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
				version = ", version " + v
			}
		}
	}
	tell(doctor.Finding{Check: "reachable", Level: doctor.OK, Message: "answers" + version})
}

func (x *examination) regions(_ context.Context, tell func(doctor.Finding)) {
	if x.conf.Geo == "" {
		tell(doctor.Finding{Check: "age", Level: doctor.Warning, Message: "there is no region database: every region is unknown", Remedy: "set BECKON_GEO and run beckon geo update"})
		return
	}
	db, err := geo.Open(x.conf.Geo)
	if err != nil {
		tell(doctor.Finding{Check: "age", Level: doctor.Problem, Message: fmt.Sprintf("BECKON_GEO: %v", err), Remedy: "serve does not start with it: run beckon geo update, or leave BECKON_GEO empty"})
		return
	}
	if text, stale := db.Stale(x.now()); stale {
		tell(doctor.Finding{Check: "age", Level: doctor.Warning, Message: text, Remedy: "run beckon geo update"})
		return
	}
	tell(doctor.Finding{Check: "age", Level: doctor.OK, Message: fmt.Sprintf("%s, built on %s", db.Kind(), db.BuildTime().Format(time.DateOnly))})
}

func (x *examination) networks(_ context.Context, tell func(doctor.Finding)) {
	path := (&app{conf: x.conf}).fetchedNetworks()
	age, fetched := bot.Age(path, x.now())
	if text, stale := bot.Stale(path, x.now()); stale {
		tell(doctor.Finding{Check: "age", Level: doctor.Warning, Message: text, Remedy: "run beckon networks update"})
		return
	}
	if !fetched {
		tell(doctor.Finding{Check: "age", Level: doctor.Warning, Message: "the lists of scanners' networks that Apple, Google and Microsoft publish were not fetched; those that ship with Beckon are used", Remedy: "run beckon networks update"})
		return
	}
	tell(doctor.Finding{Check: "age", Level: doctor.OK, Message: fmt.Sprintf("fetched %d days ago", int(age/(24*time.Hour)))})
}

// proxies asks a serve on this machine whether every client looks like one proxy.
func (x *examination) proxies(ctx context.Context, tell func(doctor.Finding)) {
	host, port, err := net.SplitHostPort(x.conf.Listen)
	if err != nil {
		return
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/metrics", nil)
	if err != nil {
		return
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		tell(doctor.Finding{Check: "clients", Level: doctor.OK, Message: "whether clients can be told apart is known to a running serve alone, and none answers at " + x.conf.Listen})
		return
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if lines.Text() == oneClientMetric+" 1" {
			tell(doctor.Finding{Check: "clients", Level: doctor.Problem, Message: tracker.OneClientWarning, Remedy: "set BECKON_TRUSTED_PROXIES to the network of the proxy, such as 10.0.0.0/8, and start serve again"})
			return
		}
	}
	tell(doctor.Finding{Check: "clients", Level: doctor.OK, Message: "clients do not all look like one proxy"})
}
