package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Errors of a backup or restore that callers tell apart.
var (
	// ErrExists: there is a file of that name; a backup overwrites nothing.
	ErrExists = errors.New("the file exists")
	// ErrNotBackup: the file is damaged, or is no backup of this dialect and program.
	ErrNotBackup = errors.New("not a whole backup")
	// ErrNewer: the backup was made by a newer version of the program.
	ErrNewer = errors.New("the backup is of a newer version of the database than this program knows")
	// ErrNotEmpty: the database to restore into holds something.
	ErrNotEmpty = errors.New("the database is not empty")
	// ErrInUse: another process has the database open, or is restoring it.
	ErrInUse = errors.New("the database is in use by another process")
	// ErrProgram: pg_dump or pg_restore is missing, too old, or failed.
	ErrProgram = errors.New("a program of PostgreSQL is needed")
)

// Backup writes everything in the database, as it is at one instant, to a new file: an SQLite
// database, or an archive of pg_dump. It waits for no transaction and none waits for it. The file is
// whole and on disk as soon as it has its name, is readable by its owner alone, and replaces none.
// It is a copy of all personal data: what is erased later is still in it.
func (db *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("schema: backup: %w: %s", ErrExists, path)
	}
	if v, err := db.Version(ctx); err != nil {
		return err
	} else if v == 0 {
		return errors.New("schema: backup: the database has no tables yet")
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*.part")
	if err != nil {
		return fmt.Errorf("schema: backup: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	dump := db.dumpSQLite
	if db.dialect == Postgres {
		dump = db.dumpPostgres
	}
	if err := dump(ctx, f.Name()); err != nil {
		return fmt.Errorf("schema: backup: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("schema: backup: %w", err)
	}
	return Publish(f.Name(), path)
}

// Restore puts the file of a Backup in the place of the database that dsn names, as a whole or not at
// all. Without replace that must be empty or not exist yet; with it, what it holds is gone afterwards.
// No other process may have the database open. The restored tables are of the version they were
// backed up in: Migrate comes next. Each first runs on what was restored, in one transaction, before
// anybody else can see it.
//
// On SQLite nothing that is not a sound database of this program takes the place of the old one. On
// PostgreSQL all is done in one transaction; of the schema that dsn leads to, tables that are not
// Beckon's are left alone, and are a reason not to begin.
func Restore(ctx context.Context, dsn, path string, replace bool, first ...func(ctx context.Context, tx *Tx) error) error {
	restore := restorePostgres
	if name, lite := strings.CutPrefix(dsn, "sqlite:"); lite {
		restore, dsn = restoreSQLite, name
	}
	if err := restore(ctx, dsn, path, replace, first); err != nil {
		return fmt.Errorf("schema: restore: %w", err)
	}
	return nil
}

// Unused fails with ErrInUse while another process has the database open.
func Unused(ctx context.Context, dsn string) error {
	if path, lite := strings.CutPrefix(dsn, "sqlite:"); lite {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("schema: folder of the database file: %w", err)
		}
		lock, err := lockFile(ctx, path, true)
		if err != nil {
			return err
		}
		return lock.Close()
	}
	db, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.write.SetMaxOpenConns(1)
	if err := db.alone(ctx); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

// Version returns the number of the newest migration that the database has had, zero for none.
func (db *DB) Version(ctx context.Context) (int64, error) {
	var has bool
	list := `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version')`
	if db.dialect == Postgres {
		list = `SELECT to_regclass('goose_db_version') IS NOT NULL`
	}
	if err := db.Get(ctx, &has, list); err != nil {
		return 0, fmt.Errorf("schema: read the version: %w", err)
	}
	var v int64
	if !has {
		return 0, nil
	}
	if err := db.Get(ctx, &v, versionQuery); err != nil {
		return 0, fmt.Errorf("schema: read the version: %w", err)
	}
	return v, nil
}

const versionQuery = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`

// Latest returns the number of the newest migration that this program knows.
func Latest(d Dialect) int64 { return made(d, 1<<62).version }

// making is what migrations make.
type making struct {
	version   int64
	tables    []string
	functions []string
}

var (
	makesTable    = regexp.MustCompile(`(?mi)^CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)`)
	dropsTable    = regexp.MustCompile(`(?mi)^DROP TABLE (?:IF EXISTS )?([a-z_]+)`)
	makesFunction = regexp.MustCompile(`(?mi)^CREATE (?:OR REPLACE )?FUNCTION ([a-z_]+)`)
)

// made returns what the migrations up to a version make, as their files say; goose's own table
// is among the tables.
func made(d Dialect, upTo int64) making {
	m := making{tables: []string{"goose_db_version"}}
	dir := "migrations/" + string(d)
	files, _ := fs.ReadDir(migrations, dir) // embedded, in order
	for _, f := range files {
		digits, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > upTo {
			continue
		}
		m.version = max(m.version, n)
		b, _ := migrations.ReadFile(dir + "/" + f.Name())
		up, _, _ := strings.Cut(string(b), "-- +goose Down")
		for _, t := range makesTable.FindAllStringSubmatch(up, -1) {
			m.tables = append(m.tables, t[1])
		}
		for _, t := range dropsTable.FindAllStringSubmatch(up, -1) {
			m.tables = slices.DeleteFunc(m.tables, func(s string) bool { return s == t[1] })
		}
		for _, t := range makesFunction.FindAllStringSubmatch(up, -1) {
			m.functions = append(m.functions, t[1])
		}
	}
	return m
}

// checkRestored says whether the tables of a restored database are those of a version that this
// program knows.
func checkRestored(d Dialect, version int64, tables []string) error {
	if version > Latest(d) {
		return fmt.Errorf("%w: %d, known up to %d: restore it with the program that made it", ErrNewer, version, Latest(d))
	}
	if version == 0 {
		return fmt.Errorf("%w: it says of no migration", ErrNotBackup)
	}
	for _, t := range made(d, version).tables {
		if !slices.Contains(tables, t) {
			return fmt.Errorf("%w: the table %s is not in it", ErrNotBackup, t)
		}
	}
	return nil
}

// Publish gives a finished file its name, unless a file of that name is there, and returns when the
// name is on disk.
func Publish(temp, path string) error {
	err := os.Link(temp, path)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("schema: %w: %s", ErrExists, path)
	default: // a file system without hard links
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("schema: %w: %s", ErrExists, path)
		}
		if err := os.Rename(temp, path); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
