package mailer

import (
	"context"
	"errors"
	"fmt"

	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
)

// maxTest is to how many addresses one test goes.
const maxTest = 20

// Test sends the campaign's mail to the addresses, with a sample recipient's data and links that
// record nothing. Nobody's consent is asked: the addresses are the operator's own. The error is a
// *Refused if the mail cannot be composed, a *segments.Invalid for an address that is none, or says
// what the relay answered.
func (m *Mailer) Test(ctx context.Context, c id.Campaign, addresses []string) error {
	var f faults
	to := make([]string, len(addresses))
	if len(addresses) == 0 || len(addresses) > maxTest {
		f.add("to", "must be a list of 1 to %d addresses", maxTest)
	}
	for i, a := range addresses {
		var err error
		if to[i], err = consent.NormaliseEmail(a); err != nil {
			f.add(fmt.Sprintf("to[%d]", i), "is not an email address")
		}
	}
	if len(f.Fields) > 0 {
		return &f.Invalid
	}
	if len(m.o.Relays) == 0 {
		return &Refused{[]segments.FieldError{{Field: "relay", Message: "no relay is configured: start Beckon with BECKON_SMTP"}}}
	}
	l, err := m.sample(ctx, c)
	if err != nil {
		return err
	}
	for _, address := range to {
		msg, err := l.template.Fill(nil, l.example(ctx, address))
		if err == nil && l.sign != nil {
			msg, err = l.sign(msg)
		}
		if err != nil {
			return boundary("compose a test", err)
		}
		if err := queue.Deliver(ctx, m.o.Relays, m.o.Sender, l.from, address, msg); err != nil {
			return boundary("send a test", err)
		}
	}
	return nil
}

// Preview returns the two bodies as a sample recipient would get them. The error is a *Refused if the
// mail cannot be composed.
func (m *Mailer) Preview(ctx context.Context, c id.Campaign) (html, text string, err error) {
	l, err := m.sample(ctx, c)
	if err != nil {
		return "", "", err
	}
	html, text, err = l.template.Parts(l.example(ctx, "sample@example.com"))
	return html, text, boundary("preview campaign", err)
}

// sample prepares the mail as a test.
func (m *Mailer) sample(ctx context.Context, c id.Campaign) (*letters, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return nil, err
	}
	company, err := m.o.Companies.ByID(ctx, r.CompanyID)
	if err != nil {
		return nil, boundary("read company", err)
	}
	r.Subject = "[Test] " + r.Subject
	l := &letters{m: m, row: r, company: company}
	var problems *compose.Problems
	switch err := l.prepare(true); {
	case errors.As(err, &problems):
		return nil, &Refused{told(problems)}
	case err != nil:
		return nil, boundary("compose a test", err)
	}
	return l, nil
}

// example is an invented recipient; it shows the citation if the campaign goes to a source's list.
func (l *letters) example(ctx context.Context, address string) compose.Recipient {
	p := &person{Email: address, Name: "Alex Sample", Company: "Sample Ltd", Country: "GB", JobTitle: "Head of Samples", OptedIn: true}
	var from []source
	if parts, _, err := l.m.parts(ctx, l.row); err == nil {
		for _, part := range parts {
			if part.source.ID != 0 {
				s := part.source
				from, p.OptedIn = append(from, source{s.ID, s.Name, s.PrivacyURL, s.TransparencyURL}), false
			}
		}
	}
	return l.recipient(p, from, &queue.Claimed{Mode: consent.Anonymous})
}
