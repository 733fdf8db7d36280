package schema

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// lockWait is how long an opener waits for a restore, and the other way round: for a process that is
// just ending.
const lockWait = 3 * time.Second

// lockFile takes the lock beside a database file: shared by all who have the file open, or whole by
// who puts another file in its place. SQLite's own locks hold the file and not its name: who waited for
// them during a restore would go on with a file that is no longer there.
func lockFile(ctx context.Context, path string, whole bool) (*flock.Flock, error) {
	lock := flock.New(path+"-lock", flock.SetPermissions(0o600))
	try := lock.TryRLockContext
	if whole {
		try = lock.TryLockContext
	}
	short, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	switch _, err := try(short, 20*time.Millisecond); {
	case err == nil:
		return lock, nil
	case ctx.Err() == nil && short.Err() != nil:
		if whole {
			return nil, fmt.Errorf("schema: %w: stop it first", ErrInUse)
		}
		return nil, fmt.Errorf("schema: %w: it is being restored", ErrInUse)
	default:
		return nil, fmt.Errorf("schema: lock the database file: %w", err)
	}
}

// dumpSQLite writes the database to an empty file. VACUUM INTO reads one snapshot: on a WAL database
// the writer neither waits for it nor holds it up, and what was deleted is not in the copy.
func (db *DB) dumpSQLite(ctx context.Context, to string) error {
	c, err := sqlx.Open("sqlite", sqliteURI(sqlitePath(db.dsn), url.Values{"_pragma": {"busy_timeout(10000)", "temp_store(MEMORY)"}}))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}

func sqlitePath(dsn string) string { return dsn[len("sqlite:"):] }

// restoreSQLite copies the file beside the database, looks at the copy, and renames it.
func restoreSQLite(ctx context.Context, path, from string, replace bool, first []func(context.Context, *Tx) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock, err := lockFile(ctx, path, true)
	if err != nil {
		return err
	}
	defer lock.Close()
	temp, err := copyBeside(path, from)
	if err != nil {
		return err
	}
	defer func() {
		for _, end := range []string{"", "-journal", "-wal", "-shm"} {
			os.Remove(temp + end)
		}
	}()
	if err := prepareSQLite(ctx, temp, first); err != nil {
		return err
	}
	release, err := setAside(ctx, path, replace)
	if err != nil {
		return err
	}
	defer release()
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyBeside copies a backup into a file of its own in the folder of the database.
func copyBeside(path, from string) (temp string, err error) {
	for _, end := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(from + end); err == nil && info.Size() > 0 {
			return "", fmt.Errorf("%w: %s lies beside it, with a part of its content: it was copied while it was in use", ErrNotBackup, filepath.Base(from)+end)
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*.restored")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(out.Name())
		return "", err
	}
	return out.Name(), nil
}

// prepareSQLite looks at a copy that nobody else knows, runs first on it, and returns when it is on
// disk.
func prepareSQLite(ctx context.Context, path string, first []func(context.Context, *Tx) error) error {
	c, err := sqlx.Open("sqlite", sqliteURI(path, url.Values{"_pragma": {"journal_mode(DELETE)", "synchronous(FULL)", "foreign_keys(ON)"}}))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetMaxOpenConns(1)
	db := &DB{dialect: SQLite, write: c, read: c}
	var found string
	if err := c.GetContext(ctx, &found, `PRAGMA integrity_check(1)`); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrNotBackup, err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: its pages are damaged", ErrNotBackup) // found may name what lies in them
	}
	version, err := db.Version(ctx)
	if err != nil {
		return err
	}
	var tables []string
	if err := db.Select(ctx, &tables, `SELECT name FROM sqlite_master WHERE type = 'table'`); err != nil {
		return err
	}
	if err := checkRestored(SQLite, version, tables); err != nil {
		return err
	}
	for _, f := range first {
		if err := db.Tx(ctx, func(tx *Tx) error { return f(ctx, tx) }); err != nil {
			return err
		}
	}
	if err := c.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// setAside makes the old file, if there is one, ready to be replaced: nobody has it open, also no
// program of another kind, and no log of it is left that the new file would be read with.
func setAside(ctx context.Context, path string, replace bool) (release func(), err error) {
	release = func() {}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return release, dropLogs(path)
	}
	if err != nil {
		return release, err
	}
	c, err := sqlx.Open("sqlite", sqliteURI(path, url.Values{"_pragma": {"busy_timeout(2000)", "locking_mode(EXCLUSIVE)", "synchronous(FULL)"}}))
	if err != nil {
		return release, err
	}
	c.SetMaxOpenConns(1)
	release = func() { c.Close() }
	empty, err := takeOver(ctx, c)
	switch {
	case busy(err):
		release()
		return release, fmt.Errorf("%w: stop it first", ErrInUse)
	case ctx.Err() != nil:
		release()
		return release, ctx.Err()
	case err != nil && !damaged(err):
		release()
		return release, err
	case err != nil && !replace && info.Size() > 0:
		release()
		return release, fmt.Errorf("%w, and cannot be read: %w", ErrNotEmpty, err)
	case err == nil && !empty && !replace:
		release()
		return release, ErrNotEmpty
	}
	if err := dropLogs(path); err != nil {
		release()
		return release, err
	}
	return release, nil
}

// takeOver puts the content of the log into the file and keeps every other process out until c is
// closed. A process that has a WAL database open holds a shared lock on its file all the time, so the
// exclusive locking mode cannot be had while there is one.
func takeOver(ctx context.Context, c *sqlx.DB) (empty bool, err error) {
	var mode string
	if err := c.GetContext(ctx, &mode, `PRAGMA journal_mode = DELETE`); err != nil {
		return false, err
	}
	if mode != "delete" {
		return false, fmt.Errorf("the old database stays in %s mode", mode)
	}
	if _, err := c.ExecContext(ctx, `BEGIN EXCLUSIVE`); err != nil {
		return false, err
	}
	var tables int
	err = c.GetContext(ctx, &tables, `SELECT count(*) FROM sqlite_master WHERE type = 'table'`)
	return tables == 0, err
}

// dropLogs removes what belongs to a database file that is about to be replaced: it would be
// replayed onto the new one.
func dropLogs(path string) error {
	for _, end := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

func busy(err error) bool { return is(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) }

func damaged(err error) bool { return is(err, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) }

func is(err error, codes ...int) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && slices.Contains(codes, lite.Code()&0xff)
}
