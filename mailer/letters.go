package mailer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
)

// letters writes the letters of one campaign. It implements queue.Filler.
type letters struct {
	m        *Mailer
	row      row
	company  segments.Company
	template *compose.Template
	sign     queue.Signer
	from     string                            // address
	hours    func(time.Time) (bool, time.Time) // when it may be sent; nil: always
	item     string                            // what is sent, to who asked for it; empty: no one-off
}

func (m *Mailer) newLetters(ctx context.Context, c id.Campaign) (*letters, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return nil, err
	}
	company, err := m.o.Companies.ByID(ctx, r.CompanyID)
	if err != nil {
		return nil, err
	}
	l := &letters{m: m, row: r, company: company, item: r.campaign().Audience.Item}
	if w := r.window(); w != nil {
		l.hours = w.open
	}
	return l, l.prepare(false)
}

func (l *letters) prepare(test bool) (err error) {
	if l.template, err = l.m.compile(l.row, l.company, test); err != nil {
		return err
	}
	if l.from, err = mailbox(l.row.Sender); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if d := l.m.dkim(domainOf(l.from)); d != nil {
		l.sign = d.Sign
	}
	return nil
}

// person is a contact as a letter needs it.
type person struct {
	ID         id.Contact `db:"id"`
	Email      string     `db:"email"`
	Name       string     `db:"name"`
	Company    string     `db:"company"`
	Country    string     `db:"country"`
	Phone      string     `db:"phone"`
	JobTitle   string     `db:"job_title"`
	Topics     int64      `db:"topics"`
	Attributes string     `db:"attributes"`
	OptedIn    bool       `db:"opted_in"`
}

// source is a data source as a letter names it.
type source struct {
	ID              id.Source `db:"id"`
	Name            string    `db:"name"`
	PrivacyURL      string    `db:"privacy_url"`
	TransparencyURL string    `db:"transparency_url"`
}

func (s source) citable() bool {
	return s.Name != "" && (s.PrivacyURL != "" || s.TransparencyURL != "")
}

// Load reads recipients and the sources to be named. A source that is not there fails its letters:
// nothing leaves that should have named it.
func (l *letters) Load(ctx context.Context, tx *schema.Tx, ms []queue.Claimed) error {
	optedIn := consent.Fragment{SQL: "1 = 1"}
	contacts := make([]any, len(ms))
	var cited []any
	for i, m := range ms {
		contacts[i] = m.Contact
		for _, s := range m.Cited {
			if !slices.Contains(cited, any(s)) {
				cited = append(cited, s)
			}
		}
		if m.Via != 0 && len(optedIn.Args) == 0 {
			var err error
			if optedIn, err = l.m.o.Gate.Allowed(l.row.use(consent.SegmentAudience()), "c.id", ""); err != nil {
				return err
			}
		}
	}
	var people []person
	err := tx.Select(ctx, &people, `SELECT c.id, c.email, c.name, c.company, c.country, c.phone, c.job_title, c.topics, c.attributes, (`+optedIn.SQL+`) AS opted_in
		FROM contacts c WHERE c.id IN (`+schema.List(len(contacts))+`)`, append(optedIn.Args, contacts...)...)
	if err != nil {
		return fmt.Errorf("mailer: load recipients: %w", err)
	}
	var named []source
	if len(cited) > 0 {
		err := tx.Select(ctx, &named, `SELECT id, name, privacy_url, transparency_url FROM sources WHERE id IN (`+schema.List(len(cited))+`)`, cited...)
		if err != nil {
			return fmt.Errorf("mailer: load sources: %w", err)
		}
	}
	byID := make(map[id.Contact]*person, len(people))
	for i := range people {
		byID[people[i].ID] = &people[i]
	}
	for i := range ms {
		l.address(&ms[i], byID[ms[i].Contact], named)
	}
	return nil
}

func (l *letters) address(c *queue.Claimed, p *person, named []source) {
	if p == nil {
		c.Problem = string(consent.NotFound)
		return
	}
	c.To, c.ReturnPath = p.Email, l.from
	if path := l.m.o.ReturnPath; path != nil {
		c.ReturnPath = path(c.Message, l.from)
	}
	var from []source
	for _, s := range c.Cited {
		for _, n := range named {
			if n.ID == s && n.citable() {
				from = append(from, n)
			}
		}
	}
	if len(from) < len(c.Cited) || c.Via != 0 && len(from) == 0 {
		c.Problem = string(consent.Uncitable)
		return
	}
	c.Data = l.recipient(p, from, c)
}

// recipient is what the template is filled with.
func (l *letters) recipient(p *person, from []source, c *queue.Claimed) compose.Recipient {
	fields := make(map[string]any, 8)
	for _, name := range l.template.Fields() {
		switch name {
		case "email":
			fields[name] = p.Email
		case "name":
			fields[name] = p.Name
		case "company":
			fields[name] = p.Company
		case "country":
			fields[name] = p.Country
		case "phone":
			fields[name] = p.Phone
		case "job_title":
			fields[name] = p.JobTitle
		case "attributes":
			attributes := map[string]any{}
			if p.Attributes != "" && p.Attributes != "{}" {
				_ = json.Unmarshal([]byte(p.Attributes), &attributes) // what is not an object shows as nothing
			}
			fields[name] = attributes
		case "topics": // what they chose, once they opted in; never what a provider says about them
			if p.OptedIn {
				fields[name] = l.m.o.Catalogue.Slugs(consent.KindTopic, p.Topics)
			}
		}
	}
	r := compose.Recipient{
		Email: p.Email, Name: p.Name, Fields: fields, Message: c.Message, Mode: string(c.Mode), Date: l.m.o.Now(),
		Plain: l.row.Plain && c.Mode != consent.Identified,
		Why:   l.why(p.OptedIn, from),
	}
	for _, s := range from {
		r.Cite = append(r.Cite, compose.Citation{Name: s.Name, PrivacyURL: s.PrivacyURL, TransparencyURL: s.TransparencyURL})
	}
	return r
}

// Fill writes one letter.
func (l *letters) Fill(_ context.Context, dst []byte, c queue.Claimed) ([]byte, error) {
	r, ok := c.Data.(compose.Recipient)
	if !ok {
		return dst, fmt.Errorf("mailer: message %s was not loaded", c.Message)
	}
	if stamp := l.m.o.Stamp; stamp != nil {
		dst = stamp(dst, c.Message)
	}
	return l.template.Fill(dst, r)
}

// why says to the recipient on what ground they get the mail.
func (l *letters) why(optedIn bool, from []source) string {
	w, ok := whys[strings.ToLower(l.company.Language[:min(2, len(l.company.Language))])]
	if !ok {
		w = whys["en"]
	}
	text := w.optedIn
	var names []string
	if !optedIn {
		text = w.sourced
		for _, s := range from {
			names = append(names, s.Name)
		}
	}
	return strings.NewReplacer("{type}", l.m.typeName(l.row.Type), "{company}", l.company.Name, "{source}", strings.Join(names, ", ")).Replace(text)
}

var whys = map[string]struct{ optedIn, sourced string }{
	"en": {"You receive this because you opted in to {type} of {company}.",
		"You receive this because {source} passed on your business address to {company}, which writes to companies about {type}. You can object at any time."},
	"de": {"Sie erhalten dies, weil Sie {type} von {company} angefordert haben.",
		"Sie erhalten dies, weil {source} Ihre geschäftliche Adresse an {company} weitergegeben hat, das Unternehmen zu {type} anschreibt. Sie können jederzeit widersprechen."},
	"fr": {"Vous recevez ce message parce que vous avez accepté de recevoir {type} de {company}.",
		"Vous recevez ce message parce que {source} a transmis votre adresse professionnelle à {company}, qui écrit aux entreprises à propos de {type}. Vous pouvez vous y opposer à tout moment."},
}

func (m *Mailer) typeName(slug string) string {
	for _, e := range m.o.Catalogue.Entries(consent.KindType) {
		if e.Slug == slug {
			return e.Name
		}
	}
	return slug
}
