package compose

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// UTM are the parameters that tell web analytics where a visitor comes from. They are plain text and
// the same for everybody. An empty one is not added.
type UTM struct {
	Source   string `json:"source,omitempty"`
	Medium   string `json:"medium,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Term     string `json:"term,omitempty"`
	Content  string `json:"content,omitempty"`
}

// MaxUTM is how long one of the parameters may be, in bytes.
const MaxUTM = 100

// Each calls f with the name and the value of every parameter, empty ones too, in the order in which
// they are added. The value may be changed.
func (u *UTM) Each(f func(name string, value *string)) {
	f("source", &u.Source)
	f("medium", &u.Medium)
	f("campaign", &u.Campaign)
	f("term", &u.Term)
	f("content", &u.Content)
}

// CheckUTM says what stands in the way of a parameter's value, or nothing.
func CheckUTM(value string) string {
	switch {
	case len(value) > MaxUTM:
		return fmt.Sprintf("is longer than %d bytes: shorten it", MaxUTM)
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "holds a line break or another control character: remove it"
	case strings.Contains(value, "{{") || strings.Contains(value, "}}") || strings.Contains(value, "{%") || strings.Contains(value, "%}"):
		return "must be plain text, the same for everybody: it cannot hold a template"
	}
	return ""
}

// Add returns address with those parameters of u that it does not have yet, at the end of its query.
// Every byte of address stays, in its order; it may be one that nothing has to be added to.
func (u UTM) Add(address string) string {
	at, added := u.missing(address)
	return address[:at] + added + address[at:]
}

// missing returns what Add puts in, and where: before the fragment.
func (u UTM) missing(address string) (at int, added string) {
	at = len(address)
	if i := strings.IndexByte(address, '#'); i >= 0 {
		at = i
	}
	_, query, asked := strings.Cut(address[:at], "?")
	has := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		has[name] = true
	}
	var b strings.Builder
	u.Each(func(name string, value *string) {
		if name = "utm_" + name; *value == "" || has[name] {
			return
		}
		switch {
		case b.Len() > 0 || query != "" && !strings.HasSuffix(query, "&"):
			b.WriteByte('&')
		case !asked:
			b.WriteByte('?')
		}
		b.WriteString(name + "=" + escapeUTM(*value))
	})
	return at, b.String()
}

// escapeUTM escapes a value for a query. No two hyphens are left together: the link may stand in a
// comment.
func escapeUTM(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "--", "-%2D")
}

// addToHref is Add for an attribute's value as the author wrote it, which leads to target.
func (u UTM) addToHref(raw, target string) string {
	_, added := u.missing(target)
	if added == "" {
		return raw
	}
	at := endOfQuery(raw)
	added = strings.ReplaceAll(added, "&", "&amp;")
	if strings.HasSuffix(raw[:at], "&amp") || strings.HasSuffix(raw[:at], "&AMP") {
		added = ";" + added // or the author's & would be one no more
	}
	return raw[:at] + added + raw[at:]
}

// endOfQuery is where in an attribute's value the query of an address ends, or would be: before the
// fragment, or before the blanks that a browser takes from the end.
func endOfQuery(raw string) int {
	end := 0
	for i := 0; i < len(raw); {
		n := max(1, referenceLen(raw[i:]))
		switch s := decodeAttr(raw[i : i+n]); {
		case s == "#":
			return i
		case strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) != "":
			end = i + n
		}
		i += n
	}
	return end
}

// referenceLen is the length of the character reference that s begins with, or zero.
func referenceLen(s string) int {
	if !strings.HasPrefix(s, "&") {
		return 0
	}
	n, digits := 1, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if strings.HasPrefix(s, "&#") {
		if n, digits = 2, digits[:10]; len(s) > 2 && (s[2] == 'x' || s[2] == 'X') {
			n, digits = 3, "0123456789abcdefABCDEF"
		}
	}
	rest := strings.TrimLeft(s[n:], digits)
	if len(rest) == len(s)-n {
		return 0
	}
	return len(s) - len(strings.TrimPrefix(rest, ";"))
}
