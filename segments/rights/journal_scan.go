package rights

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// scan reads the lines of a journal file one by one.
type scan struct {
	r  *bufio.Reader
	at int64
}

// entry is a line that is not empty.
type entry struct {
	refusal Refusal
	sum     string
	place   int64 // where the line begins
	end     int64 // where the next one does
	err     error // wraps errDamage or errForeign
}

// newScan reads from a place where a line begins up to a size that the file had.
func newScan(f io.ReaderAt, from, size int64) *scan {
	return &scan{bufio.NewReaderSize(io.NewSectionReader(f, from, max(0, size-from)), lineMax), from}
}

// next returns the next entry, or io.EOF. Another error is one of the disk.
func (s *scan) next() (entry, error) {
	for {
		e := entry{place: s.at}
		line, err := s.r.ReadSlice('\n')
		s.at += int64(len(line))
		for errors.Is(err, bufio.ErrBufferFull) {
			e.err = errDamage // no refusal is that long
			line, err = s.r.ReadSlice('\n')
			s.at += int64(len(line))
		}
		switch e.end = s.at; {
		case err != nil && err != io.EOF:
			return entry{}, err
		case err == io.EOF && s.at == e.place:
			return entry{}, io.EOF
		case err == io.EOF:
			e.err = errTorn
			return e, nil
		case len(line) == 1 && e.err == nil: // a write begins with a line break
			continue
		case e.place == 0: // the file's head
			continue
		}
		if e.err == nil {
			e.refusal, e.sum, e.err = parseLine(line[:len(line)-1])
		}
		return e, nil
	}
}

// readHead reads the identity of a journal file and the node that writes it.
func readHead(f io.ReaderAt) (journal, node string, err error) {
	line, err := bufio.NewReader(io.NewSectionReader(f, 0, 256)).ReadSlice('\n')
	if err != nil {
		return "", "", fmt.Errorf("first line: %w", err)
	}
	journal, node, ok := parseHead(line)
	if !ok {
		return "", "", errors.New("its first line is not that of a refusals journal")
	}
	return journal, node, nil
}
