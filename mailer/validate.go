package mailer

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"beckon/mailer/compose"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
)

const (
	maxLine = 500     // bytes of a one-line field
	maxBody = 1 << 20 // bytes of a template
	maxRate = 1_000_000
)

// faults gathers what is wrong with a draft.
type faults struct{ segments.Invalid }

func (f *faults) add(field, format string, args ...any) {
	f.Fields = append(f.Fields, segments.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) has(field string) bool {
	return slices.ContainsFunc(f.Fields, func(e segments.FieldError) bool { return e.Field == field })
}

// line checks a value that ends up in a header or a list.
func (f *faults) line(field, v string) {
	switch {
	case len(v) > maxLine:
		f.add(field, "is longer than %d bytes: shorten it", maxLine)
	case !utf8.ValidString(v):
		f.add(field, "is not valid UTF-8")
	case strings.ContainsFunc(v, unicode.IsControl):
		f.add(field, "holds a line break or another control character: remove it")
	}
}

func (f *faults) required(field, v, what string) {
	if strings.TrimSpace(v) == "" {
		f.add(field, "is missing: give %s", what)
	}
}

// check normalises a draft and says what is wrong with it.
func (m *Mailer) check(ctx context.Context, d *Draft) (segments.Company, error) {
	var f faults
	for _, s := range []*string{&d.Name, &d.Company, &d.Type, &d.Subject, &d.From, &d.ReplyTo, &d.Preheader, &d.Tracking} {
		*s = strings.TrimSpace(*s)
	}
	f.required("name", d.Name, "a name by which you know the campaign again")
	f.required("subject", d.Subject, "the subject of the mail")
	f.required("html", d.HTML, "the mail as HTML; the text part is made from it")
	for _, l := range []struct{ field, v string }{{"name", d.Name}, {"subject", d.Subject}, {"from", d.From}, {"reply_to", d.ReplyTo}, {"preheader", d.Preheader}} {
		f.line(l.field, l.v)
	}
	for _, l := range []struct{ field, v string }{{"html", d.HTML}, {"text", d.Text}} {
		if len(l.v) > maxBody {
			f.add(l.field, "is longer than %d bytes: mail programs cut such mails off", maxBody)
		} else if !utf8.ValidString(l.v) {
			f.add(l.field, "is not valid UTF-8: save it as UTF-8")
		}
	}
	if types := m.types(); d.Type == "" {
		f.add("type", "is missing: give the communication type, one of %s", strings.Join(types, ", "))
	} else if !slices.Contains(types, d.Type) {
		f.add("type", "is not a communication type: give one of %s", strings.Join(types, ", "))
	}
	company, err := m.checkCompany(ctx, &f, d)
	if err != nil {
		return company, err
	}
	if d.ReplyTo != "" && !f.has("reply_to") {
		if _, err := mailbox(d.ReplyTo); err != nil {
			f.add("reply_to", "must be an email address such as hello@example.com")
		}
	}
	switch d.Tracking {
	case "":
		d.Tracking = company.Tracking
	case "consented", "strict", "off":
	default:
		f.add("tracking", "must be consented, strict or off")
	}
	d.UTM.Each(func(name string, value *string) {
		*value = strings.TrimSpace(*value)
		if problem := compose.CheckUTM(*value); problem != "" {
			f.add("utm."+name, "%s", problem)
		}
	})
	honeypot := d.Tracking == compose.TrackConsented && (d.Honeypot == nil || *d.Honeypot)
	d.Honeypot = &honeypot
	if d.Rate != nil && !(*d.Rate > 0 && *d.Rate <= maxRate) {
		f.add("rate", "must be a number of messages per second above 0, at most %d; leave it out for as many as the relays take", maxRate)
	}
	if d.Window != nil {
		d.Window.check(&f)
	}
	if err := m.checkAudience(ctx, &f, "audience", d.Audience, company.ID, true); err != nil {
		return company, err
	}
	if len(f.Fields) > 0 {
		return company, &f.Invalid
	}
	return company, nil
}

func (m *Mailer) checkCompany(ctx context.Context, f *faults, d *Draft) (segments.Company, error) {
	var company segments.Company
	if d.Company == "" {
		f.add("company", "is missing: give the slug of the company that sends")
	} else {
		var err error
		company, err = m.o.Companies.BySlug(ctx, d.Company)
		if errors.Is(err, segments.ErrNotFound) {
			f.add("company", "is not known: create it first")
		} else if err != nil {
			return company, err
		}
	}
	if d.From == "" {
		f.add("from", "is missing: give the sender, such as ACME News <news@example.com>")
	} else if !f.has("from") {
		if problem := fromProblem(d.From, company); problem != "" {
			f.add("from", "%s", problem)
		}
	}
	return company, nil
}

// fromProblem says why the company cannot send as from.
func fromProblem(from string, company segments.Company) string {
	a, err := mailbox(from)
	switch {
	case err != nil:
		return "must be one mailbox such as ACME News <news@example.com>"
	case company.FromDomain != "" && domainOf(a) != company.FromDomain:
		return fmt.Sprintf("must be an address at %s, the from_domain of %s", company.FromDomain, company.Slug)
	}
	return ""
}

// mailbox returns the address of an RFC 5322 mailbox, as it is used in an envelope.
func mailbox(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return "", err
	}
	return consent.NormaliseEmail(a.Address)
}

func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

func (m *Mailer) types() []string {
	var all []string
	for _, e := range m.o.Catalogue.Entries(consent.KindType) {
		all = append(all, e.Slug)
	}
	return all
}

// checkAudience checks an audience; the parts of any and except are single segments and sources.
func (m *Mailer) checkAudience(ctx context.Context, f *faults, field string, a Audience, company id.Company, top bool) error {
	kinds := 0
	for _, given := range []bool{a.Segment != 0, a.Source != "", a.Item != "", len(a.Any) > 0} {
		if given {
			kinds++
		}
	}
	switch {
	case !top && (len(a.Any) > 0 || len(a.Except) > 0 || a.Item != ""):
		f.add(field, "must be {\"segment\": …} or {\"source\": …}")
		return nil
	case kinds == 0:
		f.add(field, "is missing: give {\"segment\": …}, {\"source\": …}, {\"item\": …} or {\"any\": […], \"except\": […]}")
		return nil
	case kinds > 1:
		f.add(field, "must be one of segment, source, item and any")
		return nil
	case len(a.Any)+len(a.Except) > 50:
		f.add(field, "has more than 50 parts: make a segment of them")
		return nil
	}
	switch {
	case a.Segment != 0:
		_, of, channel, err := m.o.Segments.Fragment(ctx, a.Segment)
		switch {
		case errors.Is(err, segments.ErrNotFound):
			f.add(field+".segment", "is not known")
		case err != nil:
			return err
		case company != 0 && of != company:
			f.add(field+".segment", "belongs to another company: consent is given to one company, so make a segment of this one")
		case channel != consent.Email:
			f.add(field+".segment", "is of the channel %s: a campaign needs one of the channel email", channel)
		}
	case a.Item != "":
		if !consent.IsItem(a.Item) {
			f.add(field+".item", "must be a slug of a-z, 0-9 and -, as it was asked for")
		}
	case a.Source != "":
		if _, err := m.o.Sources.BySlug(ctx, a.Source); errors.Is(err, segments.ErrNotFound) {
			f.add(field+".source", "is not known: create the data source first")
		} else if err != nil {
			return err
		}
	}
	for i, part := range a.Any {
		if err := m.checkAudience(ctx, f, fmt.Sprintf("%s.any[%d]", field, i), part, company, false); err != nil {
			return err
		}
	}
	for i, part := range a.Except {
		if err := m.checkAudience(ctx, f, fmt.Sprintf("%s.except[%d]", field, i), part, company, false); err != nil {
			return err
		}
	}
	return nil
}
