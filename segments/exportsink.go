package segments

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"

	"github.com/xuri/excelize/v2"
)

type csvSink struct {
	w      *csvWriter
	hidden string
}

func (s *csvSink) header(names []string, k int64) error {
	s.hidden = Figure{}.Text(k)
	s.w.row(names...)
	return nil
}

func (s *csvSink) row(cells []exportCell) error {
	for i := range cells {
		if cells[i].hidden {
			s.w.cell(s.hidden)
			continue
		}
		s.w.cell(cells[i].key())
	}
	s.w.end()
	return nil
}

func (s *csvSink) close() error { return s.w.flush() }

type jsonSink struct {
	w     *bufio.Writer
	names []string
}

func (s *jsonSink) header(names []string, _ int64) error {
	s.names = make([]string, len(names))
	for i, n := range names {
		s.names[i] = cmp.Or(map[bool]string{true: "{"}[i == 0], ",") + `"` + n + `":`
	}
	return nil
}

func (s *jsonSink) row(cells []exportCell) error {
	for i := range cells {
		_, _ = s.w.WriteString(s.names[i])
		var v any = cells[i].text
		switch c := &cells[i]; {
		case c.hidden:
			v = nil
		case c.isJSON:
			v = json.RawMessage(c.text)
		case c.isList && c.list == nil:
			v = []string{}
		case c.isList:
			v = c.list
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, _ = s.w.Write(b)
	}
	_, err := s.w.WriteString("}\n")
	return err
}

func (s *jsonSink) close() error { return s.w.Flush() }

type xlsxSink struct {
	w      io.Writer
	file   *excelize.File
	stream *excelize.StreamWriter
	hidden string
	n      int
	values []any
}

func (s *xlsxSink) header(names []string, k int64) (err error) {
	s.hidden = Figure{}.Text(k)
	s.file = excelize.NewFile()
	if s.stream, err = s.file.NewStreamWriter("Sheet1"); err != nil {
		return err
	}
	s.values = make([]any, len(names))
	for i, n := range names {
		s.values[i] = n
	}
	return s.write()
}

func (s *xlsxSink) write() error {
	s.n++
	if s.n > excelize.TotalRows {
		return invalid("segment", "holds more contacts than a workbook has rows: export it as CSV")
	}
	cell, err := excelize.CoordinatesToCellName(1, s.n)
	if err != nil {
		return err
	}
	return s.stream.SetRow(cell, s.values)
}

func (s *xlsxSink) row(cells []exportCell) error {
	for i := range cells {
		s.values[i] = cells[i].key() // a text cell: a workbook does not run it
		if cells[i].hidden {
			s.values[i] = s.hidden
		}
	}
	return s.write()
}

// discard removes the workbook's temporary files.
func (s *xlsxSink) discard() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

func (s *xlsxSink) close() error {
	if err := s.stream.Flush(); err != nil {
		return err
	}
	return s.file.Write(s.w)
}
