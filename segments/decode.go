package segments

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// textForm says how the bytes of a cell become text.
type textForm int

const (
	asUTF8    textForm = iota // what is not valid is an error
	asCP1252                  // Windows-1252, which every byte sequence is
	asEither                  // nothing but ASCII was seen yet: UTF-8, else Windows-1252
	sniffSize = 1 << 20
)

// textFile is a file of rows whose encoding, line ends and delimiter have been found out.
type textFile struct {
	rows *csvScanner
	form textForm
}

// openText finds out how the file is written. Files that are no rows of text are an *Invalid that
// says what to do.
func openText(r io.Reader) (*textFile, error) {
	in := bufio.NewReaderSize(r, sniffSize)
	head, err := in.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	form := asEither
	switch {
	case len(bytes.TrimSpace(head)) == 0:
		return nil, invalid("file", "is empty: export it again with a header row and at least one contact")
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		form = asUTF8
		_, _ = in.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return nil, invalid("file", "is UTF-32: save it as CSV in UTF-8")
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		form = asUTF8
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()
		in = bufio.NewReaderSize(transform.NewReader(in, utf16), sniffSize)
	default:
		if what := binaryKind(head); what != "" {
			return nil, invalid("file", what)
		}
		if form = sniffForm(head); form == asUTF8 && !validText(head) {
			form = asCP1252
		}
	}
	if head, err = in.Peek(sniffSize); err != nil && err != io.EOF {
		return nil, err
	}
	if len(bytes.TrimSpace(head)) == 0 {
		return nil, invalid("file", "is empty: export it again with a header row and at least one contact")
	}
	var rows io.Reader = in
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		rows = lineFeeds{in} // as old Macintosh programs end lines
		head = bytes.ReplaceAll(head, []byte("\r"), []byte("\n"))
	}
	comma, hint := sniffDelimiter(head)
	s := newCSVScanner(rows, comma)
	if hint {
		if _, err := s.next(); err != nil {
			return nil, err
		}
	}
	return &textFile{s, form}, nil
}

// text is the cell in UTF-8 without blanks around it; ok is false for bytes that are no text.
func (f *textFile) text(cell []byte) (s string, ok bool) {
	cell = bytes.TrimSpace(cell)
	if f.form == asCP1252 || f.form == asEither && !utf8.Valid(cell) {
		b, err := charmap.Windows1252.NewDecoder().Bytes(cell)
		return strings.TrimSpace(string(b)), err == nil
	}
	return string(cell), utf8.Valid(cell)
}

func sniffForm(head []byte) textForm {
	for _, c := range head {
		if c >= utf8.RuneSelf {
			return asUTF8
		}
	}
	return asEither
}

// validText is utf8.Valid for a sample that may end within a character.
func validText(head []byte) bool {
	for cut := 0; cut < utf8.UTFMax && cut <= len(head); cut++ {
		if utf8.Valid(head[:len(head)-cut]) {
			return true
		}
	}
	return false
}

func binaryKind(head []byte) string {
	for _, kind := range []struct{ magic, message string }{
		{"PK\x03\x04", "is a workbook or a zip archive, not CSV: open it, save the sheet as CSV (UTF-8) and send that"},
		{"\xd0\xcf\x11\xe0", "is a workbook, not CSV: open it, save the sheet as CSV (UTF-8) and send that"},
		{"\x1f\x8b", "is compressed: unpack it and send the CSV inside"},
		{"%PDF", "is a PDF, not CSV: export the contacts as CSV"},
	} {
		if bytes.HasPrefix(head, []byte(kind.magic)) {
			return kind.message
		}
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return "is not text: save it as CSV in UTF-8 and send that"
	}
	return ""
}

// sniffDelimiter looks at the header line. hint is true if the first line is not the header but a
// spreadsheet's "sep=;".
func sniffDelimiter(head []byte) (comma byte, hint bool) {
	head = bytes.TrimLeft(head, "\r\n")
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if v, ok := bytes.CutPrefix(bytes.ToLower(bytes.Trim(line, " \r\"")), []byte("sep=")); ok && len(v) == 1 && strings.ContainsRune(",;\t|", rune(v[0])) {
		return v[0], true
	}
	n := map[byte]int{}
	quoted := false
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			n[c]++
		}
	}
	comma = ','
	for _, c := range []byte{';', '\t'} {
		if n[c] > n[comma] {
			comma = c
		}
	}
	return comma, false
}

type lineFeeds struct{ r io.Reader }

func (l lineFeeds) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}
