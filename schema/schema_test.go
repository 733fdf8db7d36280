package schema_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
)

func TestMigrateTwiceChangesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailedTransactionLeavesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		boom := errors.New("boom")
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			if _, err := tx.Exec(t.Context(), `INSERT INTO settings (name, value) VALUES (?, ?)`, "a", "b"); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		var v string
		if err := db.Get(t.Context(), &v, `SELECT value FROM settings WHERE name = ?`, "a"); !errors.Is(err, sql.ErrNoRows) {
			t.Fatalf("the row is there: %q, %v", v, err)
		}
	})
}

func TestTheDatabaseRefusesToChangeAppendOnlyTables(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		ctx := t.Context()
		insert := map[string]string{
			"audit_log": fmt.Sprintf(`INSERT INTO audit_log (at, actor, action) VALUES (%d, 'a', 'b')`, schema.At(time.Now())),
			"consent_ledger": `INSERT INTO consent_ledger (subject, seq, action, company, channel, types, topics, tracking, notice, notice_hash, how,
				captured_at, requested_at, confirmed_at, recorded_at, actor, evidence, outcome, mac)
				VALUES (1, 1, 'grant', '', '', '', '', '', '', '', '', 1, 1, 1, 1, '', '', 'applied', '')`,
		}
		for table, statement := range insert {
			if _, err := db.Exec(ctx, statement); err != nil {
				t.Fatal(err)
			}
			for _, change := range []string{"UPDATE " + table + " SET actor = 'x'", "DELETE FROM " + table} {
				if _, err := db.Exec(ctx, change); err == nil || !strings.Contains(err.Error(), "append-only") {
					t.Errorf("%s: got %v", change, err)
				}
			}
		}
	})
}

func TestTheAuditLogHasAnEnd(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		year := 365 * 24 * time.Hour
		for age, may := range map[time.Duration]bool{year - time.Hour: false, year + time.Hour: true} {
			at := schema.At(time.Now().Add(-age))
			if _, err := db.Exec(t.Context(), `INSERT INTO audit_log (at, actor, action) VALUES (?, 'a', 'b')`, at); err != nil {
				t.Fatal(err)
			}
			n, err := db.Exec(t.Context(), `DELETE FROM audit_log WHERE at = ?`, at)
			if (err == nil && n == 1) != may {
				t.Errorf("an entry of %s ago: %d deleted, %v", age, n, err)
			}
		}
	})
}

func TestUniqueViolationsAreTold(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		const q = `INSERT INTO settings (name, value) VALUES ('a', 'b')`
		if _, err := db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), q); !schema.IsUnique(err) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestReadersDoNotWrite(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		err := db.View(t.Context(), func(tx *schema.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO settings (name, value) VALUES ('a', 'b')`)
			return err
		})
		if err == nil {
			t.Fatal("a snapshot took a write")
		}
	})
}

func TestSQLiteCommitsAreOnDisk(t *testing.T) {
	db := servertest.SQLite(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1"} {
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			var got string
			if err := tx.Get(t.Context(), &got, "PRAGMA "+pragma); err != nil {
				return err
			}
			if got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWrongAddressIsTold(t *testing.T) {
	for _, dsn := range []string{"", "mysql://x", "sqlite:", "postgres://%zz"} {
		if _, err := schema.Open(context.Background(), dsn); !errors.Is(err, schema.ErrDSN) {
			t.Errorf("%q: got %v", dsn, err)
		}
	}
	_, err := schema.Open(context.Background(), "postgres://user:hidden@127.0.0.1:1/x")
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}
