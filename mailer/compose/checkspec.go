package compose

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Limits of what an author may write, in bytes.
const (
	maxSource  = 1 << 20
	maxSubject = 900
)

const notText = "it holds a control character, or bytes that are not UTF-8"

var (
	baseURL  = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$`)
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$`)
	slugName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// checkSpec looks at everything that is not a template.
func checkSpec(spec *Spec, report func(Problem)) (from, replyTo *mail.Address) {
	fail := func(field, format string, args ...any) {
		report(Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	var err error
	if from, err = parseMailbox(spec.From); err != nil {
		fail("from", "%v", err)
	}
	if spec.ReplyTo != "" {
		if replyTo, err = parseMailbox(spec.ReplyTo); err != nil {
			fail("reply_to", "%v", err)
		}
	}
	if u, err := url.Parse(spec.BaseURL); err != nil || !baseURL.MatchString(spec.BaseURL) || u.Host == "" {
		fail("base_url", "the public address must be an http or https URL without a query")
	}
	switch spec.Tracking {
	case TrackConsented, TrackStrict, TrackOff:
	default:
		fail("tracking", "it must be consented, strict or off")
	}
	spec.UTM.Each(func(name string, value *string) {
		if problem := CheckUTM(*value); problem != "" {
			fail("utm", "%s %s", name, problem)
		}
	})
	if spec.Honeypot != "" && (!isPlainURL(spec.Honeypot) || checkTarget(spec.Honeypot) != "") {
		fail("company", "the page that the hidden link leads to is not a short http or https URL")
	}
	c := &spec.Company
	c.Name, c.PostalAddress = oneLine(c.Name), strings.TrimSpace(stripControls(c.PostalAddress))
	spec.TypeName = oneLine(spec.TypeName)
	if c.Name == "" {
		fail("company", "the company's name is needed")
	}
	if c.PostalAddress == "" {
		fail("company", "the company's postal address is needed: every mail shows it")
	}
	if !hostName.MatchString(c.Domain) {
		fail("company", "the company's mail domain is needed")
	}
	if c.Slug != "" && !slugName.MatchString(c.Slug) {
		fail("company", "the company's slug may hold a-z, 0-9 and -")
	}
	if c.PrivacyEmail != "" && (checkAddress(c.PrivacyEmail) != nil || strings.ContainsAny(c.PrivacyEmail, `"`)) {
		fail("company", "the company's privacy mail is not an email address")
	}
	for _, u := range []struct{ name, url string }{{"privacy URL", c.PrivacyURL}, {"complaint URL", c.ComplaintURL}} {
		if u.url != "" && !isPlainURL(u.url) {
			fail("company", "the company's %s is not an http or https URL", u.name)
		}
	}
	if spec.TypeName == "" || !slugName.MatchString(spec.TypeSlug) {
		fail("type", "a communication type with a name and a slug is needed")
	}
	for _, f := range []struct {
		name string
		text *string
		max  int
	}{{"subject", &spec.Subject, maxSubject}, {"preheader", &spec.Preheader, maxSubject}, {"html", &spec.HTML, maxSource}, {"text", &spec.Text, maxSource}} {
		checkText(f.name, f.text, f.max, report)
	}
	if strings.TrimSpace(spec.Subject) == "" {
		fail("subject", "a subject is needed")
	}
	if strings.TrimSpace(spec.HTML) == "" {
		fail("html", "the mail is empty")
	}
	return from, replyTo
}

// checkText brings line ends to LF and refuses what cannot be in a mail.
func checkText(field string, text *string, most int, report func(Problem)) {
	if len(*text) > most {
		report(Problem{Field: field, Message: fmt.Sprintf("it is longer than %d bytes", most)})
		*text = ""
		return
	}
	oneline := field == "subject" || field == "preheader"
	if !oneline {
		*text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(*text)
	}
	line := 1
	for i, r := range *text {
		switch {
		case r == utf8.RuneError && !utf8.ValidString((*text)[i:min(i+3, len(*text))]), r < ' ' && (oneline || r != '\n' && r != '\t' && r != '\f'), r == 0x7f:
			if oneline {
				line = 0
			}
			report(Problem{Field: field, Line: line, Message: notText})
			return
		case r == '\n':
			line++
		}
	}
}
