package schema

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// dumpPostgres has pg_dump write the schema that our tables are in to a file.
func (db *DB) dumpPostgres(ctx context.Context, to string) error {
	var server int
	var schema string
	if err := db.Get(ctx, &server, `SELECT CAST(current_setting('server_version_num') AS INTEGER)`); err != nil {
		return err
	}
	if err := db.Get(ctx, &schema, `SELECT current_schema()`); err != nil {
		return err
	}
	program, err := postgresProgram(ctx, "pg_dump", server/10000)
	if err != nil {
		return err
	}
	env, err := postgresEnv(db.dsn)
	if err != nil {
		return err
	}
	return runDump(dumpCommand(ctx, program, env, schema, to))
}

// dumpCommand names the server and the password in the environment alone: arguments can be read by
// every user of the machine.
func dumpCommand(ctx context.Context, program string, env []string, schema, to string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, "--format=custom", "--no-password", "--no-owner", "--no-privileges", "--lock-wait-timeout=30s",
		"--schema="+pgx.Identifier{schema}.Sanitize(), "--file="+to)
	cmd.Env = env
	return cmd
}

func runDump(cmd *exec.Cmd) error {
	var told bytes.Buffer
	cmd.Stderr = &told
	if err := cmd.Run(); err != nil {
		return programFailed("pg_dump", err, told.String())
	}
	return nil
}

// programFailed keeps the lines of a program's complaint that say what failed, and leaves out the
// details, which may show what is stored.
func programFailed(name string, err error, told string) error {
	var why []string
	for line := range strings.Lines(told) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), ": error: "); ok {
			why = append(why, trimValues(text))
		}
	}
	if len(why) == 0 {
		return fmt.Errorf("%w: %s: %w", ErrProgram, name, err)
	}
	return fmt.Errorf("%w: %s: %w: %s", ErrProgram, name, err, strings.Join(why[:min(len(why), 3)], "; "))
}

// trimValues cuts a message of PostgreSQL where it would repeat what is stored, as in: invalid input
// syntax for type bigint: "…".
func trimValues(message string) string {
	message, _, _ = strings.Cut(message, `: "`)
	return message[:min(len(message), 300)]
}

var majorForm = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// postgresProgram finds a program of the given major version or a later one.
func postgresProgram(ctx context.Context, name string, major int) (string, error) {
	var paths []string
	if p, err := exec.LookPath(name); err == nil {
		paths = append(paths, p)
	}
	packaged, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	slices.Sort(packaged)
	slices.Reverse(packaged)
	newest := 0
	for _, p := range append(paths, packaged...) {
		out, err := exec.CommandContext(ctx, p, "--version").Output()
		m := majorForm.FindSubmatch(out)
		if err != nil || m == nil {
			continue
		}
		v, _ := strconv.Atoi(string(m[1]))
		if newest = max(newest, v); v >= major {
			return p, nil
		}
	}
	if newest > 0 {
		return "", fmt.Errorf("%w: %s of version %d or later; the newest here is %d: install postgresql-client-%[3]d", ErrProgram, name, major, newest)
	}
	return "", fmt.Errorf("%w: %s of version %d or later is not on this machine: install postgresql-client", ErrProgram, name, major)
}

// fromQuery are the parameters of an address that the programs of PostgreSQL must know too.
var fromQuery = map[string]string{
	"sslmode": "PGSSLMODE", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslrootcert": "PGSSLROOTCERT", "sslcrl": "PGSSLCRL", "sslsni": "PGSSLSNI",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "sslnegotiation": "PGSSLNEGOTIATION", "channel_binding": "PGCHANNELBINDING",
	"gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "connect_timeout": "PGCONNECT_TIMEOUT",
	"options": "PGOPTIONS", "passfile": "PGPASSFILE",
}

// postgresEnv is the environment in which PostgreSQL's programs reach the server of a dsn.
func postgresEnv(dsn string) ([]string, error) {
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, ErrDSN // see openPostgres
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, ErrDSN
	}
	hosts, ports := []string{conf.Host}, []string{strconv.Itoa(int(conf.Port))}
	for _, f := range conf.Fallbacks {
		port := strconv.Itoa(int(f.Port))
		if n := len(hosts) - 1; f.Host != hosts[n] || port != ports[n] { // else the same one without TLS
			hosts, ports = append(hosts, f.Host), append(ports, port)
		}
	}
	set := map[string]string{"PGHOST": strings.Join(hosts, ","), "PGPORT": strings.Join(ports, ","), "PGUSER": conf.User, "PGDATABASE": conf.Database,
		"PGAPPNAME": "beckon backup", "PGCLIENTENCODING": "UTF8"}
	if conf.Password != "" {
		set["PGPASSWORD"] = conf.Password
	}
	for name, variable := range fromQuery {
		if v := u.Query().Get(name); v != "" {
			set[variable] = v
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return set[name] != "" || name == "PGSERVICE" || name == "PGHOSTADDR"
	})
	for name, v := range set {
		if v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env, nil
}

// restorePostgres lets pg_restore turn the archive into SQL and runs that, in one transaction with
// dropping what was there: pg_restore itself, when it writes to a database, drops no more than what the
// archive names, and leaves a moment in which the restored tables can be seen as they are.
func restorePostgres(ctx context.Context, dsn, path string, replace bool, first []func(context.Context, *Tx) error) error {
	program, err := postgresProgram(ctx, "pg_restore", 0)
	if err != nil {
		return err
	}
	db, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	defer db.Close() // the connection is not what it was: the SQL of pg_restore changes its settings
	db.write.SetMaxOpenConns(1)
	if err := db.alone(ctx); err != nil {
		return err
	}
	conn, err := db.write.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	tx := &Tx{tx: t, dialect: Postgres}
	schema, err := clearSchema(ctx, tx, replace)
	if err != nil {
		return err
	}
	var path0 string
	if err := tx.Get(ctx, &path0, `SELECT current_setting('search_path')`); err != nil {
		return err
	}
	err = conn.Raw(func(driver any) error {
		return runArchive(ctx, driver.(*stdlib.Conn).Conn().PgConn(), program, schema, path)
	})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT set_config('search_path', ?, true), set_config('row_security', 'on', true)`, path0); err != nil {
		return err
	}
	tables, err := tablesOf(ctx, tx)
	if err != nil {
		return err
	}
	if !slices.Contains(tables, "goose_db_version") {
		return fmt.Errorf("%w: nothing of the schema %s is in it", ErrNotBackup, schema)
	}
	var version int64
	if err := tx.Get(ctx, &version, versionQuery); err != nil {
		return err
	}
	if err := checkRestored(Postgres, version, tables); err != nil {
		return err
	}
	for _, f := range first {
		if err := f(ctx, tx); err != nil {
			return err
		}
	}
	return t.Commit()
}

// alone waits a little for other sessions of Beckon to end, and fails if one stays. A node that
// sends would go on sending from the restored tables.
func (db *DB) alone(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var others int
		if err := db.Get(ctx, &others, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend' AND application_name = current_setting('application_name')`); err != nil {
			return err
		}
		if others == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-short.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %d connections are open: stop every node first", ErrInUse, others)
		}
	}
}

// clearSchema drops Beckon's tables if replace is set, and fails if anything is left.
func clearSchema(ctx context.Context, tx *Tx, replace bool) (schema string, err error) {
	var current sql.NullString
	if err := tx.Get(ctx, &current, `SELECT current_schema()`); err != nil {
		return "", err
	}
	if !current.Valid {
		return "", errors.New("the schema that the address leads to does not exist: create it")
	}
	tables, err := tablesOf(ctx, tx)
	if err != nil {
		return "", err
	}
	ours := made(Postgres, Latest(Postgres))
	left := slices.DeleteFunc(slices.Clone(tables), func(t string) bool { return slices.Contains(ours.tables, t) })
	switch {
	case len(left) > 0:
		return "", fmt.Errorf("%w: %s: not tables of this version of the program: restore into a database that has none", ErrNotEmpty, strings.Join(left[:min(len(left), 5)], ", "))
	case len(tables) > 0 && !replace:
		return "", ErrNotEmpty
	}
	if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '10s', true)`); err != nil {
		return "", err
	}
	for _, t := range tables {
		if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+pgx.Identifier{t}.Sanitize()+` CASCADE`); err != nil {
			return "", err
		}
	}
	for _, f := range ours.functions {
		if _, err := tx.Exec(ctx, `DROP FUNCTION IF EXISTS `+pgx.Identifier{f}.Sanitize()+` CASCADE`); err != nil {
			return "", err
		}
	}
	return current.String, nil
}

// tablesOf lists tables and views of the current schema that are not part of an extension.
func tablesOf(ctx context.Context, tx *Tx) ([]string, error) {
	var tables []string
	err := tx.Select(ctx, &tables, `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
		AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname`)
	return tables, err
}

// runArchive runs what an archive of pg_dump holds of a schema.
func runArchive(ctx context.Context, c *pgconn.PgConn, program, schema, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--file=-", "--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-comments",
		"--no-publications", "--no-subscriptions", "--no-security-labels", "--schema="+schema, path)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: pg_restore: %w", ErrProgram, err)
	}
	failed := runScript(ctx, c, bufio.NewReaderSize(out, 64<<10))
	if failed != nil {
		cancel() // it may wait for us to read on
	}
	err = cmd.Wait()
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotBackup, programFailed("pg_restore", err, told.String()))
	}
	return nil
}
