package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Dialect names the SQL spoken by the database.
type Dialect string

// The two dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// ErrDSN is wrapped when a database address is not understood.
var ErrDSN = errors.New("database address not understood")

// Querier is what DB and Tx share. Parameters are written ? on both dialects.
type Querier interface {
	Dialect() Dialect
	// Get reads one row into dest; sql.ErrNoRows if there is none.
	Get(ctx context.Context, dest any, query string, args ...any) error
	// Select reads all rows into the slice dest points to.
	Select(ctx context.Context, dest any, query string, args ...any) error
	// Query reads rows one by one; the caller closes them.
	Query(ctx context.Context, query string, args ...any) (*sqlx.Rows, error)
	// Exec runs a statement and returns how many rows it touched.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	write   *sqlx.DB
	read    *sqlx.DB
	dsn     string       // as given to Open; it may hold a password
	lock    *flock.Flock // SQLite: shared by who has the file open, so that nobody restores under them
	scrub   *scrubber
	kept    *statements // nil: the driver keeps them
}

// Open opens sqlite:PATH or postgres://… . It reaches the server once, so that a wrong address is
// told here and not at the first statement; it does not migrate.
func Open(ctx context.Context, dsn string) (*DB, error) {
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		return openSQLite(ctx, strings.TrimPrefix(dsn, "sqlite:"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return openPostgres(ctx, dsn)
	}
	return nil, fmt.Errorf("schema: %w: want sqlite:PATH or postgres://user@host/name", ErrDSN)
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	if path == "" {
		return nil, fmt.Errorf("schema: %w: sqlite: needs a file, as in sqlite:/var/lib/beckon/beckon.db", ErrDSN)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("schema: folder of the database file: %w", err)
	}
	v := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)", "recursive_triggers(ON)", "cache_size(-16384)", "temp_store(MEMORY)", "wal_autocheckpoint(16000)"},
	}
	lock, err := lockFile(ctx, path, false)
	if err != nil {
		return nil, err
	}
	write, err := sqlx.Open("sqlite", sqliteURI(path, v))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("schema: open sqlite: %w", err)
	}
	write.SetMaxOpenConns(1)
	if err := write.PingContext(ctx); err != nil {
		write.Close()
		lock.Close()
		return nil, fmt.Errorf("schema: open sqlite file: %w", err)
	}
	v["_pragma"] = append(v["_pragma"], "query_only(ON)", "cache_size(-8192)")
	v.Set("_txlock", "deferred")
	read, err := sqlx.Open("sqlite", sqliteURI(path, v))
	if err != nil {
		write.Close()
		lock.Close()
		return nil, fmt.Errorf("schema: open sqlite: %w", err)
	}
	n := max(4, runtime.NumCPU())
	read.SetMaxOpenConns(n)
	read.SetMaxIdleConns(n)
	scrub, err := sqlx.Open("sqlite", sqliteURI(path, url.Values{"_pragma": {"busy_timeout(20)"}}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("schema: open sqlite: %w", err), write.Close(), read.Close(), lock.Close())
	}
	scrub.SetMaxOpenConns(1)
	scrub.SetMaxIdleConns(0)
	db := &DB{SQLite, write, read, "sqlite:" + path, lock, &scrubber{conn: scrub}, newStatements(write)}
	db.scrub.soon(scrubAfter) // of what a process that was killed left behind
	return db, nil
}

// sqliteURI names a file with the settings of a connection to it.
func sqliteURI(path string, v url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String() + "?" + v.Encode()
}

func openPostgres(ctx context.Context, dsn string) (*DB, error) {
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx redacts the password itself, but not in every malformed address.
		return nil, fmt.Errorf("schema: %w: not a valid postgres:// address", ErrDSN)
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = 5 * time.Second
	}
	for name, value := range map[string]string{
		"timezone":         "UTC",
		"jit":              "off", // compiling the gate's statements takes longer than running them
		"application_name": "beckon",
	} {
		if _, set := conf.RuntimeParams[name]; !set {
			conf.RuntimeParams[name] = value
		}
	}
	db := sqlx.NewDb(stdlib.OpenDB(*conf), "pgx")
	db.SetMaxOpenConns(24)
	db.SetMaxIdleConns(24)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("schema: reach postgres at %s:%d: %w", conf.Host, conf.Port, err)
	}
	return &DB{Postgres, db, db, dsn, nil, &scrubber{}, nil}, nil
}

// Close closes every connection.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.scrub.close(), db.read.Close(), db.write.Close(), db.lock.Close())
}

// Dialect says which SQL the database speaks.
func (db *DB) Dialect() Dialect { return db.dialect }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.read.PingContext(ctx); err != nil {
		return fmt.Errorf("schema: ping: %w", err)
	}
	var one int
	return db.Get(ctx, &one, `SELECT 1`)
}

func (db *DB) Get(ctx context.Context, dest any, query string, args ...any) error {
	return db.read.GetContext(ctx, dest, db.rebind(query), args...)
}

func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return db.read.SelectContext(ctx, dest, db.rebind(query), args...)
}

func (db *DB) Query(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	return db.read.QueryxContext(ctx, db.rebind(query), args...)
}

// Exec runs one statement on the writing side, committed when it returns.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(db.write.ExecContext(ctx, db.rebind(query), args...))
}

// Prepare checks a statement against the database without running it.
func (db *DB) Prepare(ctx context.Context, query string) error {
	st, err := db.write.PrepareContext(ctx, db.rebind(query))
	if err != nil {
		return err
	}
	return st.Close()
}

// Tx runs fn in a writing transaction and commits it if fn returns nil. A transaction that
// PostgreSQL gave up for another's sake (deadlock, serialization) is run again, up to five times,
// so fn must have no effect outside the transaction that may not be repeated.
func (db *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	for try := 1; ; try++ {
		err := db.tx(ctx, db.write, nil, fn)
		if err == nil || !retryable(err) || try == 5 || ctx.Err() != nil {
			return err
		}
	}
}

// Analyze tells PostgreSQL's planner at once what the tables hold, as autovacuum does some time after much
// has changed: until then it may read a whole table for each statement about a few rows. SQLite's does
// without.
func (db *DB) Analyze(ctx context.Context, tables ...string) error {
	if db.dialect != Postgres {
		return nil
	}
	err := db.Tx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '5s'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ANALYZE `+strings.Join(tables, ", "))
		return err
	})
	if err != nil {
		return fmt.Errorf("schema: analyze: %w", err)
	}
	return nil
}

// View runs fn on one consistent snapshot of the database; writing in it fails.
func (db *DB) View(ctx context.Context, fn func(tx *Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if db.dialect == Postgres {
		opts.Isolation = sql.LevelRepeatableRead
	} else {
		opts = nil // the reading connections are query_only, and a deferred SQLite transaction is a snapshot
	}
	return db.tx(ctx, db.read, opts, fn)
}

func (db *DB) tx(ctx context.Context, pool *sqlx.DB, opts *sql.TxOptions, fn func(tx *Tx) error) (err error) {
	t, err := pool.BeginTxx(ctx, opts)
	if err != nil {
		return fmt.Errorf("schema: begin: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			_ = t.Rollback()
			panic(p)
		}
	}()
	tx := &Tx{tx: t, dialect: db.dialect}
	if pool == db.write {
		tx.kept = db.kept
	}
	if err := fn(tx); err != nil {
		_ = t.Rollback()
		return err
	}
	tx.kept.shrink()
	if err := t.Commit(); err != nil {
		return fmt.Errorf("schema: commit: %w", err)
	}
	tx.kept.compile(ctx)
	if tx.erasing {
		db.scrub.soon(scrubAfter)
	}
	return nil
}

func (db *DB) rebind(q string) string { return rebind(db.dialect, q) }

// Tx is a transaction. It must not outlive the function it was given to, nor be used by two
// goroutines at once.
type Tx struct {
	tx      *sqlx.Tx
	dialect Dialect
	erasing bool
	kept    *statements
}

// Dialect says which SQL the database speaks.
func (tx *Tx) Dialect() Dialect { return tx.dialect }

func (tx *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	if st := tx.kept.find(query); st != nil {
		return tx.tx.StmtxContext(ctx, st).GetContext(ctx, dest, args...)
	}
	return tx.tx.GetContext(ctx, dest, rebind(tx.dialect, query), args...)
}

func (tx *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	if st := tx.kept.find(query); st != nil {
		return tx.tx.StmtxContext(ctx, st).SelectContext(ctx, dest, args...)
	}
	return tx.tx.SelectContext(ctx, dest, rebind(tx.dialect, query), args...)
}

func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	return tx.tx.QueryxContext(ctx, rebind(tx.dialect, query), args...)
}

func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if st := tx.kept.find(query); st != nil {
		return affected(tx.tx.StmtxContext(ctx, st).ExecContext(ctx, args...))
	}
	return affected(tx.tx.ExecContext(ctx, rebind(tx.dialect, query), args...))
}

// Rows returns "(?,?),(?,?)…": n rows of m parameters each, for a many-row INSERT. SQLite takes
// 32,766 parameters in a statement, PostgreSQL 65,535.
func Rows(n, m int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", m), ",") + ")"
	return strings.TrimSuffix(strings.Repeat(row+",", n), ",")
}

// List returns "?,?,…": n parameters for an IN (…). It panics for n < 1, which no database accepts.
func List(n int) string {
	if n < 1 {
		panic("schema: IN () of nothing")
	}
	return strings.TrimSuffix(strings.Repeat("?,", n), ",")
}

// IsUnique reports whether err says that a UNIQUE or PRIMARY KEY constraint was violated.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

func rebind(d Dialect, q string) string {
	if d == Postgres {
		return sqlx.Rebind(sqlx.DOLLAR, q)
	}
	return q
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
