package mailer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"beckon/mailer/compose"
	"beckon/mailer/lint"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
)

// Check is what a launch would do.
type Check struct {
	Send       int64                 `json:"send"`
	Cited      int64                 `json:"cited"` // of send: mails that name a source
	Identified int64                 `json:"identified"`
	Anonymous  int64                 `json:"anonymous"`
	LeftOut    map[string]int64      `json:"left_out"` // why others of the audience get nothing, by reason
	Problems   []segments.FieldError `json:"problems"` // never nil; a launch needs none
	Warnings   []lint.Warning        `json:"warnings"` // never nil; a launch does not mind them
}

// Refused is a launch that was refused. Nothing has changed.
type Refused struct{ Problems []segments.FieldError }

func (e *Refused) Error() string {
	var b strings.Builder
	b.WriteString("mailer: cannot be launched")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(" " + p.Field + ": " + p.Message)
	}
	return b.String()
}

// Check says what a launch would do now, what forbids it, and what readers will not like.
func (m *Mailer) Check(ctx context.Context, c id.Campaign) (Check, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return Check{}, err
	}
	check, template, err := m.judge(ctx, r)
	if err != nil {
		return check, boundary("check campaign", err)
	}
	check.Warnings, err = m.warnings(ctx, r, template)
	return check, boundary("check campaign", err)
}

// judge also returns the compiled mail, if it has no problem. It leaves warnings to Check.
func (m *Mailer) judge(ctx context.Context, r row) (Check, *compose.Template, error) {
	check := Check{LeftOut: map[string]int64{}, Problems: []segments.FieldError{}}
	var f faults
	company, err := m.o.Companies.ByID(ctx, r.CompanyID)
	if err != nil {
		return check, nil, err
	}
	for _, p := range company.LaunchProblems() {
		f.add("company."+p.Field, "%s", p.Message)
	}
	if problem := fromProblem(r.Sender, company); problem != "" {
		f.add("from", "%s", problem)
	}
	grounds, except, err := m.parts(ctx, r)
	switch {
	case errors.Is(err, segments.ErrNotFound):
		f.add("audience", "names a segment or source that no longer exists")
	case err != nil:
		return check, nil, err
	default:
		if check, err = m.count(ctx, r, grounds, except); err != nil {
			return check, nil, err
		}
		for _, p := range grounds {
			if p.source.ID != 0 {
				f.source(p.source, schema.At(m.o.Now()))
			}
		}
		if check.Send == 0 && !f.has("audience") {
			f.add("audience", "holds nobody who may be mailed%s", reasons(check.LeftOut))
		}
	}
	m.installation(&f, r, company)
	template, err := m.compile(r, company, false)
	var problems *compose.Problems
	switch {
	case errors.As(err, &problems):
		lacking := len(company.LaunchProblems()) > 0
		f.Fields = append(f.Fields, slices.DeleteFunc(told(problems), func(e segments.FieldError) bool { return lacking && e.Field == "company" })...)
	case err != nil:
		return check, nil, err
	}
	check.Problems = append(check.Problems, f.Fields...)
	return check, template, nil
}

// told is what compose found, by field of the campaign.
func told(problems *compose.Problems) []segments.FieldError {
	var all []segments.FieldError
	for _, p := range problems.List {
		message := p.Message
		if p.Line > 0 {
			message = fmt.Sprintf("line %d: %s", p.Line, p.Message)
		}
		all = append(all, segments.FieldError{Field: p.Field, Message: message})
	}
	return all
}

func reasons(leftOut map[string]int64) string {
	var most string
	for reason, n := range leftOut {
		if most == "" || n > leftOut[most] || n == leftOut[most] && reason < most {
			most = reason
		}
	}
	if most == "" {
		return ": it is empty"
	}
	return fmt.Sprintf(": see left_out, mostly %s", most)
}

// source says why nobody can be mailed as a contact of the source.
func (f *faults) source(s segments.Source, now schema.Time) {
	name := fmt.Sprintf("source %s ", s.Slug)
	switch {
	case s.RecalledAt != 0:
		f.add("audience", "%swas recalled on %s: take it out", name, s.RecalledAt.T().Format("2 January 2006"))
	case s.LicensedUntil != 0 && s.LicensedUntil <= now:
		f.add("audience", "%swas licensed until %s: take it out, or record the new licence", name, s.LicensedUntil.T().Format("2 January 2006"))
	case s.Name == "" || s.PrivacyURL == "" && s.TransparencyURL == "":
		f.add("audience", "%scannot be cited: give it a name and a privacy_url or transparency_url", name)
	}
}

// installation says what this installation lacks for sending the campaign.
func (m *Mailer) installation(f *faults, r row, company segments.Company) {
	if len(m.o.Relays) == 0 {
		f.add("relay", "no relay is configured: start Beckon with BECKON_SMTP, such as smtp://user:password@relay.example.com:587")
	}
	base := m.base(company)
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "":
		f.add("public_url", "is missing: start Beckon with BECKON_URL, the public address of its links")
		return
	case m.o.Insecure || loopback(u.Hostname()):
		return
	case u.Scheme != "https":
		f.add("public_url", "%s is not https: recipients' choices must not travel in the clear. Set BECKON_URL, or the company's public_url, to an https address", base)
	}
	if from, err := mailbox(r.Sender); err == nil && m.dkim(domainOf(from)) == nil {
		f.add("from", "no DKIM key signs for %s: set BECKON_DKIM to %[1]s:SELECTOR:KEYFILE, or start with --insecure", domainOf(from))
	}
}

// base is the public base URL of the company's links.
func (m *Mailer) base(company segments.Company) string {
	if company.PublicURL != "" {
		return company.PublicURL
	}
	return strings.TrimSuffix(m.o.BaseURL, "/")
}

func (m *Mailer) dkim(domain string) *queue.DKIM {
	for _, d := range m.o.DKIM {
		if d.Covers(domain) {
			return d
		}
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// compile prepares the campaign's mail.
func (m *Mailer) compile(r row, company segments.Company, test bool) (*compose.Template, error) {
	domain := company.FromDomain
	if from, err := mailbox(r.Sender); err == nil && domain == "" {
		domain = domainOf(from)
	}
	reply := r.ReplyTo
	if reply == "" {
		reply = company.ReplyTo
	}
	honeypot := ""
	if r.Honeypot { // its tracking is consented
		honeypot = cmp.Or(company.PublicURL, company.PrivacyURL)
	}
	return compose.Compile(compose.Spec{
		Keys: m.o.Keys, BaseURL: m.base(company), Campaign: r.ID, Subject: r.Subject, From: r.Sender, ReplyTo: reply, Preheader: r.Preheader,
		HTML: r.HTML, Text: r.Text, TypeName: m.typeName(r.Type), TypeSlug: r.Type, Tracking: r.Tracking, UTM: r.utm(), Honeypot: honeypot, Test: test, Now: m.o.Now,
		Company: compose.Company{Name: company.Name, Slug: company.Slug, PostalAddress: strings.ReplaceAll(company.PostalAddress, "\r\n", "\n"), PrivacyURL: company.PrivacyURL,
			PrivacyEmail: company.PrivacyEmail, ComplaintURL: company.ComplaintURL, Language: company.Language, Domain: domain},
	})
}
