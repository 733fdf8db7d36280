package schema

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestThePasswordIsNoArgument(t *testing.T) {
	t.Setenv("PGPASSWORD", "of somebody else")
	t.Setenv("PGHOSTADDR", "192.0.2.1")
	env, err := postgresEnv("postgres://me:s3cret%2F@db.example:6543/mail?sslmode=require&pool_max_conns=3&connect_timeout=7")
	if err != nil {
		t.Fatal(err)
	}
	cmd := dumpCommand(t.Context(), "pg_dump", env, `odd"name`, "/tmp/to")
	if all := strings.Join(cmd.Args, " "); strings.Contains(all, "s3cret") || strings.Contains(all, "db.example") {
		t.Errorf("arguments: %s", all)
	}
	if !slices.Contains(cmd.Args, `--schema="odd""name"`) {
		t.Errorf("arguments: %q", cmd.Args)
	}
	for _, want := range []string{"PGPASSWORD=s3cret/", "PGHOST=db.example", "PGPORT=6543", "PGUSER=me", "PGDATABASE=mail", "PGSSLMODE=require", "PGCONNECT_TIMEOUT=7"} {
		if !slices.Contains(cmd.Env, want) {
			t.Errorf("%s is not in the environment", want)
		}
	}
	for _, kv := range cmd.Env {
		if strings.Contains(kv, "pool_max_conns") || kv == "PGPASSWORD=of somebody else" || strings.HasPrefix(kv, "PGHOSTADDR=") {
			t.Errorf("the environment has %s", kv)
		}
	}
	env, err = postgresEnv("postgres://me@one,two:5433/mail?sslmode=prefer")
	if err != nil || !slices.Contains(env, "PGHOST=one,two") || !slices.Contains(env, "PGPORT=5432,5433") {
		t.Errorf("several hosts: %v", err)
	}
}

// program writes a script that says it is a version of pg_dump, and makes it the only one in PATH.
func program(t *testing.T, version, rest string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'pg_dump (PostgreSQL) " + version + "'; exit; fi\n" + rest
	if err := os.WriteFile(filepath.Join(dir, "pg_dump"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestThePgDumpTakenIsNotOlderThanTheServer(t *testing.T) {
	program(t, "99.1 (Debian 99.1-1)", "")
	got, err := postgresProgram(t.Context(), "pg_dump", 99)
	if err != nil || got != filepath.Join(os.Getenv("PATH"), "pg_dump") {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := postgresProgram(t.Context(), "pg_dump", 100); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "99") || !strings.Contains(err.Error(), "postgresql-client-100") {
		t.Errorf("a server that is newer: got %v", err)
	}
	if _, err := postgresProgram(t.Context(), "pg_nothing", 15); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "install postgresql-client") {
		t.Errorf("none at all: got %v", err)
	}
}

func TestAFailureTellsWhyAndNoValues(t *testing.T) {
	program(t, "99", `echo 'pg_dump: error: query failed: ERROR:  invalid input for x: "jane@example.org"
pg_dump: detail: Query was: SELECT jane@example.org
jane@example.org' >&2; exit 1`)
	err := runDump(dumpCommand(t.Context(), filepath.Join(os.Getenv("PATH"), "pg_dump"), os.Environ(), "public", "/dev/null"))
	if !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "invalid input for x") || strings.Contains(err.Error(), "jane") {
		t.Errorf("got %v", err)
	}
}

func TestRowsEndAtTheirLine(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, rows := range []string{"", "1\ta\n", long + "\n", "\\.x\n\\\\.\n", strings.Repeat("y", 63) + "\\.\n" + long + "\\.\n"} {
		for _, size := range []int{16, 64, 1 << 16} {
			in := bufio.NewReaderSize(strings.NewReader(rows+"\\.\nafter\n"), size)
			got, err := io.ReadAll(iotest.OneByteReader(&copyRows{r: in, start: true}))
			if err != nil || string(got) != rows {
				t.Errorf("%.40q read with %d: got %.40q, %v", rows, size, got, err)
			}
			if rest, _ := io.ReadAll(in); string(rest) != "after\n" {
				t.Errorf("%.40q read with %d: left %.40q", rows, size, rest)
			}
		}
	}
	if _, err := io.ReadAll(&copyRows{r: bufio.NewReader(strings.NewReader("1\n2")), start: true}); !errors.Is(err, ErrNotBackup) {
		t.Errorf("cut: got %v", err)
	}
}

func TestWhatTheMigrationsMakeIsRead(t *testing.T) {
	for _, d := range []Dialect{SQLite, Postgres} {
		m := made(d, 1)
		if m.version != 1 || !slices.Equal(m.tables, []string{"goose_db_version", "settings", "api_tokens", "audit_log"}) {
			t.Errorf("%s: the first makes %+v", d, m)
		}
		if all := made(d, 1<<62); all.version != Latest(d) || len(all.tables) < 30 || (d == Postgres) != slices.Contains(all.functions, "refuse_change") {
			t.Errorf("%s: all make %+v", d, all)
		}
	}
}
