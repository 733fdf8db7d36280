package schema

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// runScript runs the SQL that pg_restore writes: statements, and tables as COPY with their rows up to
// a line of \. alone. psql's own commands mean nothing here, which is as well: a file from elsewhere
// cannot make it run a program.
func runScript(ctx context.Context, c *pgconn.PgConn, r *bufio.Reader) error {
	var statements strings.Builder
	flush := func() error {
		_, err := c.Exec(ctx, statements.String()).ReadAll()
		statements.Reset()
		return scriptFailed(err)
	}
	for {
		line, err := r.ReadString('\n')
		switch {
		case strings.HasPrefix(line, "COPY ") && strings.HasSuffix(line, " FROM stdin;\n"):
			if err := flush(); err != nil {
				return err
			}
			rows := &copyRows{r: r, start: true}
			if _, err := c.CopyFrom(ctx, rows, strings.TrimSuffix(line, ";\n")); err != nil {
				return scriptFailed(err)
			}
		case strings.HasPrefix(line, `\restrict `), strings.HasPrefix(line, `\unrestrict `):
		case strings.HasPrefix(line, "SET transaction_timeout"): // of pg_restore 17, which older servers do not know
		default:
			statements.WriteString(line)
		}
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return err
		}
	}
}

// scriptFailed leaves out of an error of the server what it repeats of the rows.
func scriptFailed(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	table := ""
	if pg.TableName != "" {
		table = " in table " + pg.TableName
	}
	return fmt.Errorf("the server refuses%s: %s (SQLSTATE %s)", table, trimValues(pg.Message), pg.Code)
}

// copyRows reads the rows of a COPY from a script, and leaves it at the line after them.
type copyRows struct {
	r     *bufio.Reader
	start bool // of a line
	rest  []byte
	ended bool
}

func (c *copyRows) Read(p []byte) (int, error) {
	if len(c.rest) == 0 && !c.ended {
		part, err := c.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, fmt.Errorf("%w: it ends within a table", ErrNotBackup)
		}
		c.ended = c.start && string(part) == "\\.\n"
		c.start = err == nil
		if !c.ended {
			c.rest = part
		}
	}
	if c.ended {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
