package mailer

import (
	"context"

	"beckon/mailer/compose"
	"beckon/mailer/lint"
)

// contactFields are the variables that a recipient can have; see letters.recipient.
var contactFields = []string{"email", "name", "company", "country", "phone", "job_title", "topics", "attributes"}

// warnings says what readers of the campaign will not like. Without a template, which is nil as long as
// the mail cannot be composed, they are those of the source.
func (m *Mailer) warnings(ctx context.Context, r row, template *compose.Template) ([]lint.Warning, error) {
	look := lint.Mail{Subject: r.Subject, Preheader: r.Preheader, HTML: r.HTML, Text: r.Text, Tracking: r.Tracking, Known: contactFields}
	if template != nil {
		company, err := m.o.Companies.ByID(ctx, r.CompanyID)
		if err != nil {
			return nil, err
		}
		l := &letters{m: m, row: r, company: company, template: template}
		look.Template, look.Sample = template, l.example(ctx)
	}
	return lint.Check(look), nil
}
