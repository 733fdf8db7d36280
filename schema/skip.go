package schema

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
)

// ErrIDs: a table would run out of ids.
var ErrIDs = errors.New("too few ids are left")

// SkipIDs lets the ids of every table go on after the newest one plus gap. A database that was
// restored has forgotten which ids it handed out since it was backed up, and those are in the tokens
// of mails: none may come to mean somebody else. Calling it again skips again. It must not run beside
// a transaction that takes ids.
func (db *DB) SkipIDs(ctx context.Context, gap int64) error { return db.skip(ctx, 0, gap) }

// SkipIDsTo lets the ids of every table go on after least, or after the newest one if that is later.
func (db *DB) SkipIDsTo(ctx context.Context, least int64) error { return db.skip(ctx, least, 0) }

func (db *DB) skip(ctx context.Context, least, gap int64) error {
	skip := skipSQLite
	if db.dialect == Postgres {
		skip = skipPostgres
	}
	if err := db.Tx(ctx, func(tx *Tx) error { return skip(ctx, tx, least, gap) }); err != nil {
		return fmt.Errorf("schema: skip ids: %w", err)
	}
	return nil
}

// next is the id to go on after; the newest half of all numbers is never reached.
func next(newest, least, gap int64) (int64, error) {
	if gap < 0 || least < 0 || newest > math.MaxInt64/2-gap {
		return 0, ErrIDs
	}
	return max(newest+gap, least), nil
}

func skipSQLite(ctx context.Context, tx *Tx, least, gap int64) error {
	var tables []string
	err := tx.Select(ctx, &tables, `SELECT name FROM sqlite_master WHERE type = 'table' AND upper(sql) LIKE '%AUTOINCREMENT%' AND name NOT LIKE 'goose%'`)
	if err != nil {
		return err
	}
	for _, t := range tables {
		var newest int64
		if err := tx.Get(ctx, &newest, `SELECT max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = ?), 0), COALESCE((SELECT max(rowid) FROM "`+t+`"), 0))`, t); err != nil {
			return err
		}
		n, err := next(newest, least, gap)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM sqlite_sequence WHERE name = ?`, t); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)`, t, n); err != nil {
			return err
		}
	}
	return nil
}

func skipPostgres(ctx context.Context, tx *Tx, least, gap int64) error {
	var columns []struct {
		Table    string `db:"relname"`
		Column   string `db:"attname"`
		Sequence string `db:"sequence"`
	}
	err := tx.Select(ctx, &columns, `SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) AS sequence
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attidentity <> '' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND n.nspname = current_schema() AND c.relname NOT LIKE 'goose%' ORDER BY c.relname`)
	if err != nil {
		return err
	}
	for _, c := range columns {
		var newest int64
		table, column := pgx.Identifier{c.Table}.Sanitize(), pgx.Identifier{c.Column}.Sanitize()
		if err := tx.Get(ctx, &newest, `SELECT GREATEST((SELECT last_value FROM `+c.Sequence+`), (SELECT COALESCE(max(`+column+`), 0) FROM `+table+`))`); err != nil {
			return err
		}
		n, err := next(newest, least, gap)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Table, err)
		}
		if _, err := tx.Exec(ctx, `SELECT setval(CAST(? AS regclass), ?)`, c.Sequence, n); err != nil {
			return err
		}
	}
	return nil
}
