package schema_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"

	_ "modernc.org/sqlite"
)

// dsns runs a test on an address of each dialect; nothing is there yet. fresh gives another one.
func dsns(t *testing.T, test func(t *testing.T, fresh func() string)) {
	t.Run("sqlite", func(t *testing.T) {
		n := 0
		test(t, func() string {
			n++
			return fmt.Sprintf("sqlite:%s/beckon %d.db", t.TempDir(), n)
		})
	})
	t.Run("postgres", func(t *testing.T) { test(t, func() string { return servertest.PostgresDSN(t) }) })
}

func open(t *testing.T, dsn string) *schema.DB {
	t.Helper()
	db, err := schema.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func migrated(t *testing.T, dsn string) *schema.DB {
	t.Helper()
	db := open(t, dsn)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func closed(t *testing.T, db *schema.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// odd is a text that a dump has to take care of.
const odd = "a\tb\\c\n\\.\nCOPY x FROM stdin;\r'\"é\u2028 \\N ?"

func set(t *testing.T, db *schema.DB, name, value string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), `INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value); err != nil {
		t.Fatal(err)
	}
}

func setting(t *testing.T, db *schema.DB, name string) string {
	t.Helper()
	var v string
	if err := db.Get(t.Context(), &v, `SELECT value FROM settings WHERE name = ?`, name); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return v
}

// contact adds one and returns its id.
func contact(t *testing.T, db *schema.DB, email string) int64 {
	t.Helper()
	var c int64
	err := db.Tx(t.Context(), func(tx *schema.Tx) error {
		return tx.Get(t.Context(), &c, `INSERT INTO contacts (email, created_at, updated_at) VALUES (?, 1, 1) RETURNING id`, email)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func backup(t *testing.T, db *schema.DB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestS26ABackupIsRestoredAsItWas(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		db := migrated(t, fresh())
		set(t, db, "odd", odd)
		set(t, db, "big", strings.Repeat("ü", 200_000))
		first := contact(t, db, "a@example.org")
		if _, err := db.Exec(t.Context(), `INSERT INTO suppressions (hash, blocks, at) VALUES (?, 1, 1)`, []byte{0, 1, '\\', '\n', 255}); err != nil {
			t.Fatal(err)
		}
		file := backup(t, db)
		set(t, db, "odd", "later")
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup has mode %v, %v", info.Mode(), err)
		}
		if rest, _ := filepath.Glob(file + "-*"); len(rest) > 0 {
			t.Errorf("left over: %v", rest)
		}

		to := fresh()
		if err := schema.Restore(t.Context(), to, file, false); err != nil {
			t.Fatal(err)
		}
		again := migrated(t, to)
		if got := setting(t, again, "odd"); got != odd {
			t.Errorf("restored %q", got)
		}
		if got := setting(t, again, "big"); len(got) != 400_000 {
			t.Errorf("restored %d bytes", len(got))
		}
		var hash []byte
		if err := again.Get(t.Context(), &hash, `SELECT hash FROM suppressions`); err != nil || !bytes.Equal(hash, []byte{0, 1, '\\', '\n', 255}) {
			t.Errorf("restored %x, %v", hash, err)
		}
		if next := contact(t, again, "b@example.org"); next <= first {
			t.Errorf("the next id is %d after %d", next, first)
		}
		// what the database itself refuses is refused again
		if _, err := again.Exec(t.Context(), `INSERT INTO consent_evidence (subject, seq, salt, body) VALUES (1, 1, '', ''), (1, 1, '', '')`); !schema.IsUnique(err) {
			t.Errorf("two rows of one key: got %v", err)
		}
		if _, err := again.Exec(t.Context(), `INSERT INTO audit_log (at, actor, action) VALUES (9000000000000000, 'a', 'b')`); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Exec(t.Context(), `DELETE FROM audit_log`); err == nil {
			t.Error("the audit log is no longer append-only")
		}
	})
}

func TestABackupWaitsForNoWriterAndHoldsNoneUp(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		db := migrated(t, fresh())
		set(t, db, "a", "before")
		var file string
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			if _, err := tx.Exec(t.Context(), `UPDATE settings SET value = 'after' WHERE name = 'a'`); err != nil {
				return err
			}
			file = backup(t, db)
			_, err := tx.Exec(t.Context(), `UPDATE settings SET value = 'afterwards' WHERE name = 'a'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		to := fresh()
		if err := schema.Restore(t.Context(), to, file, false); err != nil {
			t.Fatal(err)
		}
		if got := setting(t, open(t, to), "a"); got != "before" {
			t.Errorf("the backup holds %q", got)
		}
	})
}

func TestABackupReplacesNoFile(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		db := migrated(t, fresh())
		path := filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := db.Backup(t.Context(), path); !errors.Is(err, schema.ErrExists) {
			t.Errorf("got %v", err)
		}
		temp := path + ".new"
		if err := os.WriteFile(temp, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := schema.Publish(temp, path); !errors.Is(err, schema.ErrExists) {
			t.Errorf("a file that came meanwhile: got %v", err)
		}
		if b, err := os.ReadFile(path); string(b) != "precious" {
			t.Errorf("the file holds %q, %v", b, err)
		}
		if err := open(t, fresh()).Backup(t.Context(), filepath.Join(t.TempDir(), "b")); err == nil {
			t.Error("a database without tables was backed up")
		}
	})
}

func TestRestoreReplacesOnlyOnDemandAndThenAll(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		old := migrated(t, fresh())
		set(t, old, "a", "backed up")
		file := backup(t, old)
		to := fresh()
		db := migrated(t, to)
		set(t, db, "a", "there")
		set(t, db, "b", "there")
		closed(t, db)
		if err := schema.Restore(t.Context(), to, file, false); !errors.Is(err, schema.ErrNotEmpty) {
			t.Fatalf("got %v", err)
		}
		db = open(t, to)
		if got := setting(t, db, "a"); got != "there" {
			t.Fatalf("refused, and yet it holds %q", got)
		}
		closed(t, db)
		for range 2 {
			if err := schema.Restore(t.Context(), to, file, true); err != nil {
				t.Fatal(err)
			}
			db = migrated(t, to)
			if a, b := setting(t, db, "a"), setting(t, db, "b"); a != "backed up" || b != "" {
				t.Errorf("it holds %q and %q", a, b)
			}
			closed(t, db)
		}
	})
}

// TestRestoreIsWholeOrNothing breaks a restore at each place where it can break.
func TestRestoreIsWholeOrNothing(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		old := migrated(t, fresh())
		set(t, old, "a", "backed up")
		for i := range 300 {
			contact(t, old, fmt.Sprintf("c%d@example.org", i))
		}
		whole, err := os.ReadFile(backup(t, old))
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) string {
			path := filepath.Join(t.TempDir(), "broken")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		// What a restored database is asked for before it takes its place.
		changed := func(statements ...string) string {
			to := fresh()
			db := migrated(t, to)
			for _, s := range statements {
				if _, err := db.Exec(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			return backup(t, db)
		}
		boom := errors.New("boom")
		for name, c := range map[string]struct {
			file  string
			first func(context.Context, *schema.Tx) error
			want  error
		}{
			"nothing in it":         {file: write(nil), want: schema.ErrNotBackup},
			"something else":        {file: write([]byte(strings.Repeat("something else\n", 1000))), want: schema.ErrNotBackup},
			"cut":                   {file: write(whole[:len(whole)*2/3]), want: schema.ErrNotBackup},
			"a table is missing":    {file: changed(`DROP TABLE events`), want: schema.ErrNotBackup},
			"of a newer version":    {file: changed(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`), want: schema.ErrNewer},
			"the last step failed":  {file: write(whole), first: func(context.Context, *schema.Tx) error { return boom }, want: boom},
			"there is no such file": {file: filepath.Join(t.TempDir(), "none"), want: nil},
		} {
			t.Run(name, func(t *testing.T) {
				to := fresh()
				db := migrated(t, to)
				set(t, db, "a", "there")
				closed(t, db)
				first := c.first
				if first == nil {
					first = func(context.Context, *schema.Tx) error { return nil }
				}
				err := schema.Restore(t.Context(), to, c.file, true, first)
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("got %v", err)
				}
				db = migrated(t, to)
				if got := setting(t, db, "a"); got != "there" {
					t.Errorf("it holds %q", got)
				}
				if rest, _ := filepath.Glob(strings.TrimPrefix(to, "sqlite:") + "-*.restored*"); len(rest) > 0 {
					t.Errorf("left over: %v", rest)
				}
			})
		}
	})
}

func TestRestoreRunsTheFirstStepBeforeAnybodySees(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		file, to := backup(t, migrated(t, fresh())), fresh()
		err := schema.Restore(t.Context(), to, file, false, func(ctx context.Context, tx *schema.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`, "mark", "set")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := setting(t, open(t, to), "mark"); got != "set" {
			t.Errorf("it holds %q", got)
		}
	})
}

func TestNothingIsRestoredUnderARunningProcess(t *testing.T) {
	dsns(t, func(t *testing.T, fresh func() string) {
		file, to := backup(t, migrated(t, fresh())), fresh()
		db := migrated(t, to)
		set(t, db, "a", "there")
		if err := schema.Unused(t.Context(), to); !errors.Is(err, schema.ErrInUse) {
			t.Errorf("in use: got %v", err)
		}
		if err := schema.Restore(t.Context(), to, file, true); !errors.Is(err, schema.ErrInUse) {
			t.Fatalf("got %v", err)
		}
		if got := setting(t, db, "a"); got != "there" {
			t.Fatalf("it holds %q", got)
		}
		closed(t, db)
		if err := schema.Unused(t.Context(), to); err != nil {
			t.Errorf("not in use: got %v", err)
		}
		if err := schema.Restore(t.Context(), to, file, true); err != nil {
			t.Fatal(err)
		}
		if got := setting(t, open(t, to), "a"); got != "" {
			t.Errorf("it holds %q", got)
		}
	})
}

// TestAProgramOfAnotherKindKeepsTheFile: it knows nothing of our lock, but SQLite's own tell.
func TestAProgramOfAnotherKindKeepsTheFile(t *testing.T) {
	file := backup(t, servertest.SQLite(t))
	path := filepath.Join(t.TempDir(), "b.db")
	db := migrated(t, "sqlite:"+path)
	set(t, db, "a", "there")
	closed(t, db)
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var n int
	if err := other.QueryRow(`SELECT count(*) FROM settings`).Scan(&n); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if err := schema.Restore(t.Context(), "sqlite:"+path, file, true); !errors.Is(err, schema.ErrInUse) {
		t.Errorf("got %v", err)
	}
	if _, err := other.Exec(`UPDATE settings SET value = 'still there'`); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := schema.Restore(t.Context(), "sqlite:"+path, file, true); err != nil {
		t.Error(err)
	}
}

// TestTheLogOfTheOldFileIsNotReadWithTheNewOne: after a crash the log holds what the file does not
// yet have.
func TestTheLogOfTheOldFileIsNotReadWithTheNewOne(t *testing.T) {
	old := servertest.SQLite(t)
	set(t, old, "a", "backed up")
	file := backup(t, old)
	for _, damage := range []string{"", "not a database at all"} {
		live, dead := filepath.Join(t.TempDir(), "live.db"), filepath.Join(t.TempDir(), "dead.db")
		db := migrated(t, "sqlite:"+live)
		set(t, db, "a", "there")
		for _, end := range []string{"", "-wal", "-shm"} { // as a killed process leaves them
			b, err := os.ReadFile(live + end)
			if err != nil {
				t.Fatal(err)
			}
			if end == "" && damage != "" {
				b = []byte(damage)
			}
			if err := os.WriteFile(dead+end, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := schema.Restore(t.Context(), "sqlite:"+dead, file, false); !errors.Is(err, schema.ErrNotEmpty) {
			t.Errorf("got %v", err)
		}
		if damage == "" {
			db := open(t, "sqlite:"+dead)
			if got := setting(t, db, "a"); got != "there" {
				t.Errorf("refused, and yet what the log held is %q", got)
			}
			closed(t, db)
		}
		if err := schema.Restore(t.Context(), "sqlite:"+dead, file, true); err != nil {
			t.Fatal(err)
		}
		if got := setting(t, migrated(t, "sqlite:"+dead), "a"); got != "backed up" {
			t.Errorf("it holds %q", got)
		}
	}
}

func TestAFileCopiedWhileInUseIsNoBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	db := migrated(t, "sqlite:"+path)
	set(t, db, "a", "in the log alone")
	if err := schema.Restore(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "c.db"), path, false); !errors.Is(err, schema.ErrNotBackup) {
		t.Errorf("got %v", err)
	}
}

func TestTablesOfOthersAreLeftAlone(t *testing.T) {
	file := backup(t, servertest.Postgres(t))
	to := servertest.PostgresDSN(t)
	db := migrated(t, to)
	if _, err := db.Exec(t.Context(), `CREATE TABLE theirs (id BIGINT)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `CREATE SCHEMA apart`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `CREATE TABLE apart.settings (id BIGINT)`); err != nil {
		t.Fatal(err)
	}
	closed(t, db)
	if err := schema.Restore(t.Context(), to, file, true); !errors.Is(err, schema.ErrNotEmpty) || !strings.Contains(err.Error(), "theirs") {
		t.Errorf("got %v", err)
	}
	db = open(t, to)
	if _, err := db.Exec(t.Context(), `DROP TABLE theirs`); err != nil {
		t.Fatal(err)
	}
	closed(t, db)
	if err := schema.Restore(t.Context(), to, file, true); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := open(t, to).Get(t.Context(), &n, `SELECT count(*) FROM apart.settings`); err != nil {
		t.Errorf("the other schema: %v", err)
	}
}

func TestSkippedIDsAreNeverHandedOut(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const gap = 1_000_000_000
		last := contact(t, db, "a@example.org")
		if _, err := db.Exec(t.Context(), `DELETE FROM contacts`); err != nil { // it was handed out all the same
			t.Fatal(err)
		}
		if err := db.SkipIDs(t.Context(), gap); err != nil {
			t.Fatal(err)
		}
		if got := contact(t, db, "b@example.org"); got != last+gap+1 {
			t.Errorf("after %d comes %d", last, got)
		}
		if err := db.SkipIDs(t.Context(), gap); err != nil {
			t.Fatal(err)
		}
		if got := contact(t, db, "c@example.org"); got != last+2*gap+2 {
			t.Errorf("after a second skip comes %d", got)
		}
		if err := db.SkipIDsTo(t.Context(), 5*gap); err != nil {
			t.Fatal(err)
		}
		if got := contact(t, db, "d@example.org"); got != 5*gap+1 {
			t.Errorf("after a skip to %d comes %d", int64(5*gap), got)
		}
		if err := db.SkipIDsTo(t.Context(), gap); err != nil {
			t.Fatal(err)
		}
		if got := contact(t, db, "e@example.org"); got != 5*gap+2 {
			t.Errorf("after a skip to what is behind comes %d", got)
		}
		if err := db.SkipIDs(t.Context(), 1<<62); !errors.Is(err, schema.ErrIDs) {
			t.Errorf("got %v", err)
		}
	})
}

// TestEveryTableWithIDsSkips: all of them, also those that nothing was ever put into.
func TestEveryTableWithIDsSkips(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const least = 7_000_000_000
		if err := db.SkipIDsTo(t.Context(), least); err != nil {
			t.Fatal(err)
		}
		tables := map[string]string{
			"companies": `INSERT INTO companies (slug, name, created_at) VALUES ('acme', 'ACME', 1) RETURNING id`,
			"contacts":  `INSERT INTO contacts (email, created_at, updated_at) VALUES ('a@example.org', 1, 1) RETURNING id`,
			"imports":   `INSERT INTO imports (status, created_at) VALUES ('failed', 1) RETURNING id`,
			"sources":   `INSERT INTO sources (slug, name, created_at) VALUES ('s', 'S', 1) RETURNING id`,
			"segments":  `INSERT INTO segments (name, company, rule, created_at) SELECT 's', id, '{}', 1 FROM companies RETURNING id`,
			"campaigns": `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
				SELECT 'c', id, 'newsletter', 's', 'a', '', '{}', 'off', 'draft', 1 FROM companies RETURNING id`,
			"messages":             `INSERT INTO messages (campaign, status) SELECT id, 'queued' FROM campaigns RETURNING id`,
			"consent_requests":     `INSERT INTO consent_requests (contact, entry, requested_at, expires_at) SELECT id, '{}', 1, 1 FROM contacts RETURNING id`,
			"rights_requests":      `INSERT INTO rights_requests (kind, channel, received_at, due_at, status) VALUES ('access', 'post', 1, 1, 'open') RETURNING id`,
			"rights_links":         `INSERT INTO rights_links (contact, purpose, created_at, expires_at) VALUES (1, 'erase', 1, 1) RETURNING id`,
			"api_tokens":           `INSERT INTO api_tokens (name, role, hash, created_at) VALUES ('t', 'admin', '', 1) RETURNING id`,
			"audit_log":            `INSERT INTO audit_log (at, actor, action) VALUES (1, 'a', 'b') RETURNING id`,
			"holds":                `INSERT INTO holds (scope, reference, reason, actor, created_at) VALUES ('all', 'r', 'r', 'a', 1) RETURNING id`,
			"retention_extensions": `INSERT INTO retention_extensions (purpose, until, reference, actor, created_at) VALUES ('p', 1, 'r', 'a', 1) RETURNING id`,
			"events":               `INSERT INTO events (campaign, message, contact, kind, at, verdict, reason, node, seq) VALUES (1, 1, 1, 'open', 1, 'person', '', 'n', 1) RETURNING id`,
			"returns":              `INSERT INTO returns (class, way, at, key) VALUES ('hard', 'smtp', 1, 'k') RETURNING id`,
		}
		for _, table := range []string{"companies", "contacts", "imports", "sources", "segments", "campaigns", "messages", "consent_requests", "rights_requests",
			"rights_links", "api_tokens", "audit_log", "holds", "retention_extensions", "events", "returns"} {
			var got int64
			err := db.Tx(t.Context(), func(tx *schema.Tx) error { return tx.Get(t.Context(), &got, tables[table]) })
			if err != nil || got != least+1 {
				t.Errorf("%s: the first id is %d, %v", table, got, err)
			}
		}
		count := `SELECT count(*) FROM sqlite_sequence WHERE name NOT LIKE 'goose%'`
		if db.Dialect() == schema.Postgres {
			count = `SELECT count(*) FROM information_schema.columns WHERE is_identity = 'YES' AND table_schema = current_schema() AND table_name NOT LIKE 'goose%'`
		}
		var n int
		if err := db.Get(t.Context(), &n, count); err != nil || n != len(tables) {
			t.Errorf("%d tables have ids of their own, %d are tried here: %v", n, len(tables), err)
		}
	})
}
