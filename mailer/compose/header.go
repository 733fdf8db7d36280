package compose

import (
	"errors"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHeaderLine is the longest header line written where there is a choice (RFC 5322 §2.1.1).
const maxHeaderLine = 76

// appendUnstructured appends the value of a header field whose name and colon take col characters:
// as it is if it is short ASCII, folded at its spaces if it is longer, else in encoded words
// (RFC 2047).
func appendUnstructured(dst []byte, s string, col int) []byte {
	plain := !strings.Contains(s, "=?") && !strings.HasPrefix(s, " ") && !strings.HasSuffix(s, " ") && !strings.Contains(s, "  ")
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] <= '~'
	}
	if !plain {
		return appendEncoded(dst, s, col)
	}
	for _, word := range strings.Split(s, " ") {
		if len(word) > maxHeaderLine-10 {
			return appendEncoded(dst, s, col)
		}
	}
	for i, word := range strings.Split(s, " ") {
		if i > 0 {
			if col+1+len(word) > maxHeaderLine {
				dst = append(dst, '\r', '\n')
				col = 0
			}
			dst = append(dst, ' ')
			col++
		}
		dst = append(dst, word...)
		col += len(word)
	}
	return dst
}

// appendEncoded appends s in encoded words of at most 75 characters, in the Q encoding, on lines of
// at most 76. No character is split between two words.
func appendEncoded(dst []byte, s string, col int) []byte {
	const open, closing = "=?utf-8?q?", "?="
	if col+len(open)+len(closing)+12 > maxHeaderLine {
		dst = append(dst, "\r\n "...)
		col = 1
	}
	dst = append(dst, open...)
	col += len(open)
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		width := 0
		for _, c := range []byte(s[i : i+n]) {
			width += 3
			if plainInWord(c) {
				width -= 2
			}
		}
		if col+width+len(closing) > maxHeaderLine-1 {
			dst = append(dst, closing+"\r\n "+open...)
			col = 1 + len(open)
		}
		for _, c := range []byte(s[i : i+n]) {
			switch {
			case c == ' ':
				dst = append(dst, '_')
			case plainInWord(c):
				dst = append(dst, c)
			default:
				dst = append(dst, '=', upperHex[c>>4], upperHex[c&15])
			}
		}
		col += width
		i += n
	}
	return append(dst, closing...)
}

// plainInWord says which bytes take one character in an encoded word within a phrase.
func plainInWord(c byte) bool {
	return c == ' ' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

// appendMailbox appends a display name and an address. The address stays as it is, even if it needs
// SMTPUTF8.
func appendMailbox(dst []byte, name, address string, col int) []byte {
	if name == "" {
		return append(append(append(dst, '<'), address...), '>')
	}
	start := len(dst)
	dst = appendPhrase(dst, name, col)
	if last := strings.LastIndexByte(string(dst[start:]), '\n'); last >= 0 {
		col = len(dst) - start - last - 1
	} else {
		col += len(dst) - start
	}
	if col+3+len(address) > maxHeaderLine {
		dst = append(dst, '\r', '\n')
	}
	return append(append(append(dst, " <"...), address...), '>')
}

// appendPhrase appends a display name: in quotes if it is short ASCII, else in encoded words.
func appendPhrase(dst []byte, name string, col int) []byte {
	quoted := len(name) <= 60 && !strings.Contains(name, "=?")
	for i := 0; i < len(name) && quoted; i++ {
		quoted = name[i] >= ' ' && name[i] <= '~'
	}
	if !quoted {
		return appendEncoded(dst, name, col)
	}
	dst = append(dst, '"')
	for i := 0; i < len(name); i++ {
		if name[i] == '"' || name[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, name[i])
	}
	return append(dst, '"')
}

var errAddress = errors.New("compose: to: not an email address")

// checkAddress refuses what cannot stand between < and > as one address. The domain must be ASCII.
func checkAddress(s string) error {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 320 || !utf8.ValidString(s) || !hostName.MatchString(s[at+1:]) || strings.Contains(s[at+1:], "..") {
		return errAddress
	}
	simple := true
	for i := 0; i < len(s) && simple; i++ {
		c := s[i]
		simple = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80 || i == at ||
			strings.IndexByte(".!#$%&'*+-/=?^_`{|}~", c) >= 0
	}
	if simple && !strings.Contains(s, "..") && s[0] != '.' && s[at-1] != '.' {
		for _, r := range s {
			if r >= 0x7f && r < 0xa0 {
				return errAddress
			}
		}
		return nil
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Name != "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) || strings.ContainsAny(s, "<>") {
		return errAddress
	}
	return nil
}

// quoted finds what may hold any character within a mailbox. Elsewhere a colon or semicolon makes it a
// group.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\([^()]*\)`)

// parseMailbox reads an RFC 5322 mailbox that an author wrote.
func parseMailbox(s string) (*mail.Address, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
		return nil, errors.New("it holds a line end or a control character")
	}
	a, err := mail.ParseAddress(s)
	if err == nil {
		at := strings.LastIndexByte(a.Address, '@')
		if ascii, err := idna.Lookup.ToASCII(a.Address[at+1:]); err == nil {
			a.Address = a.Address[:at+1] + ascii
		}
	}
	if err != nil || checkAddress(a.Address) != nil || strings.ContainsAny(quoted.ReplaceAllString(s, ""), ":;") {
		return nil, errors.New("it is not one mailbox, like Name <name@example.com>")
	}
	return a, nil
}
