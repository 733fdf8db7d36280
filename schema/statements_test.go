package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
)

// What is compiled once and kept gives what compiling it anew would: with other values, beside many
// others, after the table changed, after it failed, and with many who write at the same time.
func TestStatementsThatAreKeptGiveTheSame(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		ctx := t.Context()
		do := func(fn func(tx *schema.Tx) error) {
			t.Helper()
			if err := db.Tx(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		look := func(tx *schema.Tx, from int) (names []string, err error) {
			return names, tx.Select(ctx, &names, `SELECT name FROM settings WHERE value >= ? AND name LIKE 'kept%' ORDER BY name`, fmt.Sprintf("%04d", from))
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 10 {
					err := db.Tx(ctx, func(tx *schema.Tx) error {
						_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`, fmt.Sprintf("kept %d %d", w, i), fmt.Sprintf("%04d", 10*w+i))
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for from := range 40 {
			do(func(tx *schema.Tx) error {
				names, err := look(tx, from)
				if err == nil && len(names) != 40-from {
					err = fmt.Errorf("from %d on there are %v", from, names)
				}
				return err
			})
		}
		for n := 1; n <= 600; n++ { // more than are kept
			do(func(tx *schema.Tx) error {
				for range 2 {
					var got int
					if err := tx.Get(ctx, &got, `SELECT count(*) FROM settings WHERE name IN (`+schema.List(n)+`)`, oneOf(n)...); err != nil || got != 1 {
						return fmt.Errorf("%d of a list of %d: %w", got, n, err)
					}
				}
				return nil
			})
		}
		var refused []error
		for range 4 {
			refused = append(refused, db.Tx(ctx, func(tx *schema.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`, "kept 0 0", "again")
				return err
			}))
		}
		for _, err := range refused {
			if !schema.IsUnique(err) {
				t.Errorf("the same name twice: %v", err)
			}
		}
		do(func(tx *schema.Tx) error {
			_, err := tx.Exec(ctx, `ALTER TABLE settings ADD COLUMN more TEXT NOT NULL DEFAULT ''`)
			return err
		})
		do(func(tx *schema.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?)`, "kept z", "0040"); err != nil {
				return err
			}
			names, err := look(tx, 39)
			if err == nil && strings.Join(names, ",") != "kept 3 9,kept z" {
				err = fmt.Errorf("after the change there are %v", names)
			}
			return err
		})
		if err := db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM settings WHERE name LIKE 'kept%'`)
			return errors.Join(err, errors.New("no"))
		}); err == nil || err.Error() != "no" {
			t.Error(err)
		}
		do(func(tx *schema.Tx) error {
			names, err := look(tx, 0)
			if err == nil && len(names) != 41 {
				err = fmt.Errorf("after what was undone there are %d", len(names))
			}
			return err
		})
	})
}

// oneOf is n names, of which one is there.
func oneOf(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = "nobody"
	}
	list[n-1] = "kept 2 5"
	return list
}
