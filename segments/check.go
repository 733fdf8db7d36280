package segments

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	slugForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	domainForm   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
)

const maxText = 500 // bytes of a one-line field

func (e *Invalid) slug(field, v string) {
	switch {
	case v == "":
		e.add(field, "is missing: give a short name of lower-case letters, digits and hyphens, such as acme-events")
	case !slugForm.MatchString(v):
		e.add(field, "must be 1 to 63 lower-case letters, digits and hyphens, and start with a letter or digit")
	}
}

func (e *Invalid) required(field, v, what string) {
	if strings.TrimSpace(v) == "" {
		e.add(field, "is missing: give "+what)
	}
}

// line checks a value that may end up in a mail header: one line of readable text.
func (e *Invalid) line(field, v string) {
	if m := lineProblem(v); m != "" {
		e.add(field, m)
	}
}

func lineProblem(v string) string {
	switch {
	case len(v) > maxText:
		return fmt.Sprintf("is longer than %d bytes: shorten it", maxText)
	case !utf8.ValidString(v):
		return "is not valid UTF-8: save the text as UTF-8"
	}
	for i := 0; i < len(v); i++ {
		if c := v[i]; c < 0x20 || c == 0x7f {
			return "holds a line break or another control character: remove it"
		}
		if v[i] >= utf8.RuneSelf {
			if strings.ContainsFunc(v[i:], unicode.IsControl) {
				return "holds a line break or another control character: remove it"
			}
			break
		}
	}
	return ""
}

func (e *Invalid) webURL(field, v string) {
	if v == "" {
		return
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || lineProblem(v) != "" || strings.ContainsRune(v, ' ') {
		e.add(field, "must be an absolute web address such as https://example.com/privacy")
	}
}

func (e *Invalid) mailbox(field, v string) {
	if v == "" {
		return
	}
	if _, err := mail.ParseAddress(v); err != nil || lineProblem(v) != "" {
		e.add(field, "must be an email address such as privacy@example.com")
	}
}

func (e *Invalid) oneOf(field, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			return
		}
	}
	e.add(field, "must be one of "+strings.Join(allowed, ", "))
}
