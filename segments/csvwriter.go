package segments

import (
	"bufio"
	"io"
	"strings"
)

// csvWriter writes CSV after RFC 4180. No cell of it is run as a formula by a spreadsheet: a cell
// that starts like one gets an apostrophe in front.
type csvWriter struct {
	w *bufio.Writer
	n int // cells in the row so far
}

func newCSVWriter(w io.Writer) *csvWriter { return &csvWriter{w: bufio.NewWriterSize(w, 64<<10)} }

func (c *csvWriter) row(cells ...string) {
	for _, v := range cells {
		c.cell(v)
	}
	c.end()
}

func (c *csvWriter) cell(v string) {
	if c.n > 0 {
		_ = c.w.WriteByte(',')
	}
	c.n++
	v = tame(v)
	if !strings.ContainsAny(v, ",\"\r\n") && (v == "" || v[0] != ' ') {
		_, _ = c.w.WriteString(v)
		return
	}
	_ = c.w.WriteByte('"')
	for {
		before, after, found := strings.Cut(v, `"`)
		_, _ = c.w.WriteString(before)
		if !found {
			break
		}
		_, _ = c.w.WriteString(`""`)
		v = after
	}
	_ = c.w.WriteByte('"')
}

func (c *csvWriter) end() {
	_, _ = c.w.WriteString("\r\n")
	c.n = 0
}

// flush writes what is left and reports the first error of any write.
func (c *csvWriter) flush() error { return c.w.Flush() }

// tame puts an apostrophe in front of what a spreadsheet would run.
func tame(v string) string {
	if v != "" && strings.IndexByte("=+-@\t\r", v[0]) >= 0 {
		return "'" + v
	}
	return v
}
