package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"beckon/schema"
	"beckon/segments/rights"
)

// maxComplaint is how long a complaint may be, in characters.
const maxComplaint = 2000

// complaint is the form for one, as it was filled in.
type complaint struct {
	Text, Wrong, Mark string
	Max               int
	Open              bool
}

// complain takes what somebody wrote who holds a mail of ours. It shows nothing of the person that
// the mail was sent to, and changes nothing about them.
func (p *Pages) complain(ctx context.Context, v *visit, who person, form url.Values) error {
	if p.Inbox == nil {
		return badForm
	}
	text := plainText(form.Get("complaint"))
	b := preferencesBody{Complaint: &complaint{Text: text, Open: true}}
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		b.Complaint.Wrong = v.T("error.complaint.missing")
	case n > maxComplaint:
		b.Complaint.Wrong = v.N("error.complaint.long", n-maxComplaint, "max", maxComplaint)
	}
	if b.Complaint.Wrong != "" {
		return v.showPreferences(ctx, http.StatusUnprocessableEntity, who, b, wish{}, nil)
	}
	switch p.limiter.contact(who.Contact, p.Now()) {
	case over:
		return enough
	case full:
		return busy
	}
	var r rights.Request
	err := p.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		r, err = p.Inbox.Open(ctx, tx, rights.NewRequest{Kind: rights.Complaint, Channel: rights.ByPage, Company: who.Company, Contact: who.Contact,
			Detail: text, Actor: actor})
		if err == nil { // the page that answers tells of it
			r, err = p.Inbox.Acknowledge(ctx, tx, r.ID, actor)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: take a complaint: %w", err)
	}
	v.Title = v.T("complained.title")
	body := complainedBody{Text: v.T("complained.text", "date", v.Lang.date(r.DueAt.T())), Reference: v.T("complained.reference", "reference", r.ID)}
	if u := web(v.Company.ComplaintURL); u != "" {
		body.Authority = &link{Href: u, Label: v.T("complained.authority")}
	}
	return v.show(http.StatusOK, "complained", body)
}

type complainedBody struct {
	Text, Reference string
	Authority       *link
}

// plainText is what a person wrote, without what cannot be seen: control characters, and those that
// turn the direction of the text after them.
func plainText(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ").Replace(s)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && unseen(r) {
			return -1
		}
		return r
	}, s))
}

// unseen tells the characters that no name or sentence needs and that mislead whoever reads it.
func unseen(r rune) bool {
	return unicode.IsControl(r) || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}
