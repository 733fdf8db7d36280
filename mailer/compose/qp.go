package compose

// Quoted-printable (RFC 2045 §6.7) in pieces. A line has at most maxLine characters before its soft
// break, so 76 with it. Every piece is encoded so that it is right whatever follows: white space at
// its end and a dot or "From " at the start of a line are written as =XX, which no mail server
// along the way strips, stuffs or quotes.
const maxLine = 75

const upperHex = "0123456789ABCDEF"

// literal says which bytes stand for themselves, white space and line ends apart.
var literal = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '='
	}
	return t
}()

// appendQP appends s, whose lines end in LF, to dst in quoted-printable. The line that dst ends with
// has col characters already; the new number is returned.
func appendQP(dst []byte, s string, col int) ([]byte, int) {
	for i := 0; i < len(s); {
		c := s[i]
		if c == '\n' {
			dst = append(dst, '\r', '\n')
			col = 0
			i++
			continue
		}
		if literal[c] && (col > 0 || c != '.' && (c != 'F' || !startsFrom(s[i:]))) {
			// The longest run of plain characters that fits the line.
			n := 1
			for room := maxLine - col; n < room && i+n < len(s) && literal[s[i+n]]; n++ {
			}
			if col+n > maxLine {
				dst = append(dst, "=\r\n"...)
				col = 0
				continue
			}
			dst = append(dst, s[i:i+n]...)
			col += n
			i += n
			continue
		}
		width := 3
		white := (c == ' ' || c == '\t') && i+1 < len(s) && s[i+1] != '\n'
		if white {
			width = 1
		}
		if col+width > maxLine {
			dst = append(dst, "=\r\n"...)
			col = 0
		}
		if white {
			dst = append(dst, c)
		} else {
			dst = append(dst, '=', upperHex[c>>4], upperHex[c&15])
		}
		col += width
		i++
	}
	return dst, col
}

// startsFrom reports whether a line that begins with s could be taken for the start of a message in a
// mailbox file.
func startsFrom(s string) bool { return len(s) >= 5 && s[:5] == "From " }

// appendBreak ends the line without ending it in the text, unless it is empty.
func appendBreak(dst []byte, col int) []byte {
	if col > 0 {
		dst = append(dst, "=\r\n"...)
	}
	return dst
}
