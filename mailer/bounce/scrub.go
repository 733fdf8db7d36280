package bounce

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxDiagnostic = 300 // bytes

var (
	addressForm = regexp.MustCompile(`[^\s<>()\[\]:;,"'|]+(?:@|%40)[^\s<>()\[\]:;,"'|]+`)
	urlForm     = regexp.MustCompile(`(?i)\bhttps?://\S+`)
	blockForm   = regexp.MustCompile(`(?i)<(?:br|/?p|/?div|/?tr|/?li|/?h\d|/?pre)\b[^>]*>`)
	hiddenForm  = regexp.MustCompile(`(?is)<(?:style|script|head)\b.*?</(?:style|script|head)\s*>`)
	tagForm     = regexp.MustCompile(`<[^>]*>`)
)

// redact makes what a server said fit to be stored: no address, nor the recipient's local part on
// its own, one line.
func redact(s, recipient string) string {
	s = strings.ToValidUTF8(s, "�")
	s = addressForm.ReplaceAllString(s, "…")
	if local, _, ok := strings.Cut(recipient, "@"); ok && len(local) > 2 {
		name := regexp.QuoteMeta(strings.ToValidUTF8(local, "�"))
		s = regexp.MustCompile(`(?i)(^|[^\pL\pN])`+name+`($|[^\pL\pN])`).ReplaceAllString(s, "${1}…${2}")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return limit(strings.Join(strings.Fields(s), " "), maxDiagnostic)
}

// limit cuts s at n bytes, at the border of a character.
func limit(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// addresses finds up to n addresses in s.
func addresses(s string, n int) []string {
	var out []string
	for _, a := range addressForm.FindAllString(s, n) {
		a = strings.Trim(a, ".!?*`“”„«»{}")
		local, domain, ok := strings.Cut(a, "@")
		if ok && local != "" && domain != "" && len(a) <= 254 {
			out = append(out, strings.ToValidUTF8(a, "�"))
		}
	}
	return out
}

// first is the first address in s, or "".
func first(s string) string {
	if a := addresses(s, 1); len(a) > 0 {
		return a[0]
	}
	return ""
}

func messageID(s string) string {
	s = strings.TrimSpace(s)
	if _, rest, ok := strings.Cut(s, "<"); ok {
		s, _, _ = strings.Cut(rest, ">")
	}
	if strings.ContainsAny(s, " \t") {
		return ""
	}
	return limit(s, 500)
}

// untag gives what a reader of the HTML would see, roughly.
func untag(s string) string {
	s = hiddenForm.ReplaceAllString(s, " ")
	s = blockForm.ReplaceAllString(s, "\n\n")
	return html.UnescapeString(tagForm.ReplaceAllString(s, " "))
}

// words brings text into the form phrases are written in: lower case, letters and digits only,
// single spaces, one at each end. Addresses and URLs are left out first, since their words are
// names and say nothing.
func words(s string) string {
	s = urlForm.ReplaceAllString(addressForm.ReplaceAllString(s, " "), " ")
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte(' ')
	space := true
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			b.WriteRune(unicode.ToLower(r))
			space = false
		} else if !space {
			b.WriteByte(' ')
			space = true
		}
	}
	if !space {
		b.WriteByte(' ')
	}
	return b.String()
}
