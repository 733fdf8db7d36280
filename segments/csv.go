package segments

import (
	"bytes"
	"errors"
	"io"
)

// maxRecord bounds a row, so that a quote that is never closed costs its own line and not the file.
const maxRecord = 256 << 10

// csvRow is one row of a file. Its cells are valid until the next call of next.
type csvRow struct {
	line  int64 // where it starts; the header is line 1
	lines int64 // how many lines it takes
	cells [][]byte
	bad   string // why it cannot be read; a reason of rejects
	cut   bool   // the file ends in this row, without a line end
}

// csvScanner reads rows after RFC 4180. A row it cannot read costs the line on which it starts and
// nothing more: reading goes on at the next line.
//
// It differs from encoding/csv in that: a quote opened by accident does not take the following
// rows with it, and the line numbers stay right after it.
type csvScanner struct {
	r     io.Reader
	comma byte

	buf        []byte
	start, end int // unread part of buf
	eof        bool
	line       int64 // of buf[start]

	row   csvRow
	first int // length of the first line of row, with its end
	taken int // length of row
	text  []byte

	overlong bool // the rest of a rejected line is still to be passed over
}

func newCSVScanner(r io.Reader, comma byte) *csvScanner {
	return &csvScanner{r: r, comma: comma, buf: make([]byte, 64<<10), line: 1}
}

var errNeedMore = errors.New("segments: row goes on")

// next returns the next row that is not blank, or io.EOF.
func (s *csvScanner) next() (*csvRow, error) {
	s.start += s.taken
	s.line += s.row.lines
	s.row.lines, s.taken = 0, 0
	for {
		if s.overlong {
			if n := bytes.IndexByte(s.buf[s.start:s.end], '\n'); n >= 0 {
				s.start += n + 1
				s.overlong = false
			} else {
				s.start = s.end
			}
		}
		if s.start == s.end {
			if s.eof {
				return nil, io.EOF
			}
			if err := s.fill(); err != nil {
				return nil, err
			}
			continue
		}
		err := s.parse(s.buf[s.start:s.end])
		if err == nil {
			if len(s.row.cells) == 1 && len(bytes.TrimSpace(s.row.cells[0])) == 0 && s.row.bad == "" {
				s.start += s.taken
				s.line += s.row.lines
				s.row.lines, s.taken = 0, 0
				continue
			}
			return &s.row, nil
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// unmerge gives back all lines of the last row but its first: they are read again as rows.
func (s *csvScanner) unmerge() {
	s.taken, s.row.lines = s.first, 1
}

func (s *csvScanner) fill() error {
	if s.start > 0 {
		copy(s.buf, s.buf[s.start:s.end])
		s.end -= s.start
		s.start = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		switch {
		case err == io.EOF:
			s.eof = true
			return nil
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
}

// parse reads one row from the start of b, or answers errNeedMore.
func (s *csvScanner) parse(b []byte) error {
	row := &s.row
	*row = csvRow{line: s.line, cells: row.cells[:0]}
	s.text = s.text[:0]
	s.first = 0
	pos, lineEnd := 0, -1
	for {
		start := pos
		for pos < len(b) && (b[pos] == ' ' || b[pos] == '\t' && s.comma != '\t') {
			pos++
		}
		if pos < len(b) && b[pos] == '"' {
			cell, after, bad, ok := s.quoted(b, pos+1)
			switch {
			case !ok:
				return s.unfinished(b, "quote-not-closed")
			case bad:
				return s.reject(b, "lone-quote")
			}
			row.cells = append(row.cells, cell)
			pos = after
		} else {
			if lineEnd < start {
				if lineEnd = bytes.IndexByte(b[start:], '\n'); lineEnd < 0 {
					lineEnd = len(b)
				} else {
					lineEnd += start
				}
			}
			stop := lineEnd
			if i := bytes.IndexByte(b[start:stop], s.comma); i >= 0 {
				stop = start + i
			} else if stop == len(b) && !s.eof {
				return s.unfinished(b, "row-too-long")
			}
			cell := b[start:stop]
			if bytes.IndexByte(cell, '"') >= 0 {
				return s.reject(b, "lone-quote")
			}
			if stop == len(b) || b[stop] == '\n' {
				cell = bytes.TrimSuffix(cell, []byte{'\r'})
			}
			row.cells = append(row.cells, cell)
			pos = stop
		}
		if pos < len(b) && b[pos] == s.comma {
			pos++
			continue
		}
		return s.finish(b, pos)
	}
}

// finish ends the row at pos, which is a line end or the end of the file.
func (s *csvScanner) finish(b []byte, pos int) error {
	s.row.cut = pos == len(b)
	if !s.row.cut {
		pos++
	}
	if pos > maxRecord {
		return s.reject(b, "row-too-long")
	}
	s.row.lines = int64(bytes.Count(b[:pos], []byte{'\n'}))
	if s.row.cut {
		s.row.lines++
	}
	s.taken = pos
	s.first = pos
	if s.row.lines > 1 {
		s.first = bytes.IndexByte(b, '\n') + 1
	}
	return nil
}

// quoted reads a cell from behind its opening quote to the comma, line end or file end behind its
// closing one. ok is false if b ends too early.
func (s *csvScanner) quoted(b []byte, pos int) (cell []byte, after int, bad, ok bool) {
	start, mark := pos, len(s.text)
	for {
		i := bytes.IndexByte(b[pos:], '"')
		if i < 0 {
			return nil, 0, false, false
		}
		pos += i + 1
		if pos == len(b) && !s.eof {
			return nil, 0, false, false
		}
		if pos < len(b) && b[pos] == '"' {
			s.text = append(s.text, b[start:pos]...)
			pos++
			start = pos
			continue
		}
		cell = b[start : pos-1]
		if len(s.text) > mark {
			s.text = append(s.text, cell...)
			cell = s.text[mark:len(s.text):len(s.text)]
		}
		for pos < len(b) && (b[pos] == ' ' || b[pos] == '\r' || b[pos] == '\t' && s.comma != '\t') {
			pos++
		}
		if pos == len(b) {
			return cell, pos, false, s.eof
		}
		return cell, pos, b[pos] != s.comma && b[pos] != '\n', true
	}
}

// unfinished asks for more of the file, unless there is none or the row has had its share.
func (s *csvScanner) unfinished(b []byte, why string) error {
	if !s.eof && len(b) <= maxRecord {
		return errNeedMore
	}
	return s.reject(b, why)
}

// reject makes the first line of b a bad row.
func (s *csvScanner) reject(b []byte, why string) error {
	n := bytes.IndexByte(b, '\n')
	if n < 0 && !s.eof && len(b) <= maxRecord {
		return errNeedMore
	}
	s.row.bad, s.row.cells, s.row.lines = why, s.row.cells[:0], 1
	s.taken = n + 1
	if n < 0 {
		s.taken = len(b)
		s.overlong = !s.eof
	}
	s.first = s.taken
	return nil
}
