package consent

import (
	"context"
	"fmt"
	"strings"

	"beckon/schema"
)

// table says how rows are inserted into a table.
type table struct {
	name    string
	columns []string
	tail    string // ON CONFLICT …
}

// insert writes a list with one statement for each 2*batch rows. In an import most columns hold the
// same value in every row: those are sent once, which is most of what makes it fast.
func insert[T any](ctx context.Context, tx *schema.Tx, t table, list []T, cellsOf func(T) []any) error {
	for len(list) > 0 {
		n := min(len(list), 2*batch)
		cells := make([][]any, n)
		for i := range n {
			cells[i] = cellsOf(list[i])
		}
		query, args := t.statement(tx.Dialect(), cells)
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return fmt.Errorf("write %s: %w", t.name, err)
		}
		list = list[n:]
	}
	return nil
}

func (t table) statement(d schema.Dialect, cells [][]any) (string, []any) {
	var b strings.Builder
	b.WriteString("INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ")")
	if len(cells) == 1 {
		b.WriteString(" VALUES " + schema.Rows(1, len(t.columns)) + t.tail)
		return b.String(), cells[0]
	}
	b.WriteString(" SELECT ")
	var args []any
	var varying []int
	for c := range t.columns {
		if c > 0 {
			b.WriteString(", ")
		}
		switch {
		case !same(cells, c):
			varying = append(varying, c)
			fmt.Fprintf(&b, "v.column%d", len(varying))
		case d == schema.Postgres:
			b.WriteString("CAST(? AS " + pgType(cells[0][c]) + ")")
			args = append(args, cells[0][c])
		default:
			b.WriteString("?")
			args = append(args, cells[0][c])
		}
	}
	if d == schema.Postgres {
		var names strings.Builder
		b.WriteString(" FROM unnest(")
		for i, c := range varying {
			if i > 0 {
				b.WriteString(", ")
				names.WriteString(", ")
			}
			b.WriteString("CAST(? AS " + pgType(cells[0][c]) + "[])")
			fmt.Fprintf(&names, "column%d", i+1)
			args = append(args, pgArray(cells, c))
		}
		b.WriteString(") AS v(" + names.String() + ") WHERE true" + t.tail)
		return b.String(), args
	}
	for _, row := range cells {
		for _, c := range varying {
			args = append(args, row[c])
		}
	}
	b.WriteString(" FROM (VALUES " + schema.Rows(len(cells), len(varying)) + ") v WHERE true" + t.tail)
	return b.String(), args
}

// same reports whether a column has one value in all rows.
func same(cells [][]any, c int) bool {
	first := cells[0][c]
	if b, ok := first.([]byte); ok {
		for _, row := range cells {
			if len(b) > 0 || len(row[c].([]byte)) > 0 {
				return false
			}
		}
		return true
	}
	for _, row := range cells[1:] {
		if row[c] != first {
			return false
		}
	}
	return true
}

func pgType(v any) string {
	switch v.(type) {
	case int64:
		return "bigint"
	case bool:
		return "boolean"
	case []byte:
		return "bytea"
	}
	return "text"
}

func pgArray(cells [][]any, c int) any {
	switch cells[0][c].(type) {
	case int64:
		return column[int64](cells, c)
	case bool:
		return column[bool](cells, c)
	case []byte:
		return column[[]byte](cells, c)
	}
	return column[string](cells, c)
}

func column[T any](cells [][]any, c int) []T {
	values := make([]T, len(cells))
	for i, row := range cells {
		values[i] = row[c].(T)
	}
	return values
}
