package pages

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/wneessen/go-mail"

	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// Confirmation is a mail with a link that asks the holder of an address whether they meant it: what
// was ticked in a form, a copy of their data, its erasure. It holds nothing that was typed into a
// form, so that nobody can make us send their words to a stranger; nothing promotional; no beacon,
// and no link that is not shown as what it is.
type Confirmation struct {
	Company  segments.Company
	To       string // normalised address
	Language string
	Link     string
	Subject  string
	Text     string
	HTML     string
}

// confirmation asks whether a form was the person's.
func (v *visit) confirmation(to, link string, expires time.Time, w wish, notice consent.Notice) (Confirmation, error) {
	company := v.Company.Name
	wording := v.wording(notice, "subscribe.notice")
	body := mailBody{Asked: v.T("mail.asked", "company", company), Button: v.T("mail.button"), Open: v.T("mail.link"), Otherwise: v.T("mail.otherwise"),
		Intro: v.T("mail.notice", "version", notice.Version), Notice: &wording, Footer: v.T("mail.footer", "company", company)}
	add := func(label string, words ...string) {
		if len(words) > 0 {
			body.Items = append(body.Items, mailItem{label, words})
		}
	}
	if w.Item != "" {
		add(v.T("mail.item"), v.T("mail.item.text"))
		if !slices.Contains(w.Channels, string(consent.Email)) && len(w.Types) == 0 {
			w.Channels = []string{string(consent.Email)}
		}
	}
	add(v.T("mail.types"), v.names(consent.KindType, w.Types)...)
	add(v.T("mail.channels"), v.names(consent.KindChannel, w.Channels)...)
	// The sensitive ones are left to the page: the address may be a stranger's.
	add(v.T("mail.topics"), v.names(consent.KindTopic, v.pages.slugs(consent.KindTopic, func(e consent.CatalogueEntry) bool { return !e.Special && slices.Contains(w.Topics, e.Slug) }))...)
	if w.Tracking {
		add(v.T("mail.tracking"), v.T("mail.tracking.yes"))
	}
	return v.compose(to, link, v.T("mail.subject", "company", company), expires, body)
}

// linkMail asks whether the person wants what the link is for.
func (v *visit) linkMail(to, link string, expires time.Time, purpose rights.LinkPurpose) (Confirmation, error) {
	key := "mail." + string(purpose)
	return v.compose(to, link, v.T(key+".subject", "company", v.Company.Name), expires, mailBody{
		Asked: v.T(key+".asked", "company", v.Company.Name), Button: v.T(key + ".button"), Open: v.T(key + ".link"),
		Otherwise: v.T(key + ".otherwise"), Footer: v.T("mail.manage.footer", "company", v.Company.Name)})
}

func (v *visit) compose(to, link, subject string, expires time.Time, body mailBody) (Confirmation, error) {
	c := Confirmation{Company: v.Company, To: to, Language: v.Lang.Tag, Link: link, Subject: subject}
	body.Link = link
	body.Valid = v.T("mail.valid", "date", v.Lang.date(expires), "time", expires.UTC().Format("15:04"))
	page := v.view
	page.Title, page.Body = c.Subject, body
	html, err := v.pages.looks.mail(&page)
	if err != nil {
		return c, err
	}
	var text bytes.Buffer
	if err := v.pages.looks.text.Execute(&text, &page); err != nil {
		return c, fmt.Errorf("pages: render a mail: %w", err)
	}
	c.HTML, c.Text = html, text.String()
	return c, nil
}

type mailBody struct {
	Link, Asked, Button, Open, Valid, Otherwise string
	Intro, Footer                               string
	Items                                       []mailItem
	Notice                                      *wording
}

type mailItem struct {
	Label string
	Words []string
}

// Message composes the mail. from is the mailbox it is sent from, which should not be the one that
// campaigns are sent from; replies go to the company's address for them.
func (c Confirmation) Message(from string, at time.Time) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent())
	if err := m.From(from); err != nil {
		return nil, fmt.Errorf("pages: sender of the mail: %w", err)
	}
	if err := m.To(c.To); err != nil {
		return nil, fmt.Errorf("pages: recipient of the mail is not an address")
	}
	if c.Company.ReplyTo != "" {
		if err := m.ReplyTo(c.Company.ReplyTo); err != nil {
			return nil, fmt.Errorf("pages: reply-to of the company: %w", err)
		}
	}
	m.Subject(oneLine(c.Subject))
	m.SetDateWithValue(at)
	m.SetMessageIDWithValue(rand.Text() + "@" + domain(m, c.Link))
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetGenHeader("Content-Language", c.Language)
	m.SetBodyString(mail.TypeTextPlain, c.Text)
	m.AddAlternativeString(mail.TypeTextHTML, c.HTML)
	return m, nil
}

// domain is that of the sender, else the host of the link.
func domain(m *mail.Msg, link string) string {
	if from := m.GetFrom(); len(from) > 0 {
		if _, d, ok := strings.Cut(from[0].Address, "@"); ok {
			return d
		}
	}
	if u, err := url.Parse(link); err == nil {
		return u.Hostname()
	}
	return "localhost"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// indent makes a quoted block of plain text.
func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")), "\n", "\n  ")
}

func loadMailText() (*template.Template, error) {
	return template.New("mail.txt").Funcs(template.FuncMap{"indent": indent, "join": strings.Join}).ParseFS(templateFiles, "templates/mail.txt")
}
