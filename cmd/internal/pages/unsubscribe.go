package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

type unsubscribeBody struct {
	Heading     string
	Address     string
	Text        string
	Choices     []choice
	Preferences string // address of the preferences page of the same mail
}

// choice is a button or box: what it sends, what it says, and what that means.
type choice struct{ Value, Label, Note string }

func (p *Pages) showUnsubscribe(ctx context.Context, v *visit) error {
	o, err := v.open(ctx, token.Unsubscribe)
	if err != nil {
		return err
	}
	said, err := p.refused(ctx, o.Message)
	if err != nil {
		return err
	}
	if said != "" {
		return v.showUnsubscribed(ctx, o, said)
	}
	agreed, err := p.agreed(ctx, p.DB, o.Message)
	if err != nil {
		return err
	}
	b, err := v.unsubscribeBody(ctx, o)
	if err != nil {
		return err
	}
	v.Title = v.T("unsubscribe.title")
	company, name := v.Company.Name, v.name(consent.KindType, o.Type)
	if agreed {
		b.Heading = v.T("unsubscribe.type", "type", name, "company", company)
		b.Text = v.T("unsubscribe.lead")
		b.Choices = []choice{{string(ThisType), v.T("unsubscribe.button.type", "type", name), v.T("unsubscribe.button.note")}, v.everyEmail()}
		return v.show(http.StatusOK, "unsubscribe", b)
	}
	b.Heading = v.T("unsubscribe.company", "company", company)
	b.Text = v.T("unsubscribe.source.unnamed", "company", company)
	if src, err := p.Sources.ByID(ctx, o.Via); err == nil {
		b.Text = v.T("unsubscribe.source", "sources", src.Name, "company", company)
	}
	b.Choices = []choice{{string(ThisCompany), v.T("unsubscribe.button.source", "company", company), v.T("unsubscribe.button.note")}, v.everything()}
	return v.show(http.StatusOK, "unsubscribe", b)
}

func (v *visit) everyEmail() choice {
	return choice{string(ThisCompany), v.T("unsubscribe.button.company", "company", v.Company.Name), ""}
}

func (v *visit) everything() choice {
	return choice{string(Everything), v.T("unsubscribe.button.everything"), v.T("unsubscribe.everything.note")}
}

// showUnsubscribed shows what stands, and what may yet be refused.
func (v *visit) showUnsubscribed(ctx context.Context, o opened, s Scope) error {
	b, err := v.unsubscribeBody(ctx, o)
	if err != nil {
		return err
	}
	v.Title = v.T("unsubscribed.title")
	company, name := v.Company.Name, v.name(consent.KindType, o.Type)
	switch s {
	case ThisType:
		b.Heading = v.T("unsubscribed.type", "type", name)
		b.Text = v.T("unsubscribed.type.text", "type", name, "company", company, "address", b.Address)
		b.Choices = []choice{v.everyEmail(), v.everything()}
	case ThisCompany:
		b.Heading = v.T("unsubscribed.company", "company", company)
		b.Text = v.T("unsubscribed.company.text", "company", company, "address", b.Address)
		b.Choices = []choice{v.everything()}
	default:
		b.Heading = v.T("unsubscribed.everything")
		b.Text = v.T("unsubscribed.everything.text")
	}
	return v.show(http.StatusOK, "unsubscribed", b)
}

func (v *visit) unsubscribeBody(ctx context.Context, o opened) (unsubscribeBody, error) {
	c, err := v.pages.Contacts.Get(ctx, o.Contact)
	if err != nil {
		return unsubscribeBody{}, err
	}
	t, err := v.pages.Keys.Sign(token.Token{Kind: token.Preferences, Campaign: o.Campaign, Message: o.ref})
	return unsubscribeBody{Address: masked(c.Email), Preferences: v.pages.URL + "/p/" + t + v.self(v.Lang.Tag)}, err
}

// unsubscribe takes the one-click POST of a mail program and the buttons of the page. What neither
// of them sends changes nothing.
func (p *Pages) unsubscribe(ctx context.Context, v *visit) error {
	t, err := p.Keys.Open(token.Unsubscribe, v.Param("token"))
	if err != nil {
		return badLink
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	scope, ok := scopeOf(form)
	if !ok {
		return badForm
	}
	r := Refusal{Message: t.Message, Scope: scope, At: schema.At(p.Now())}
	kept := false
	if p.Journal != nil && !t.Test && t.Message != 0 {
		if err := p.Journal.Refuse(ctx, r); err != nil {
			p.Log.Error("a refusal is not in the journal", "err", err.Error())
		} else {
			kept = true
		}
	}
	err = p.unsubscribeNow(ctx, v, r)
	var told *problem
	if err != nil && kept && !errors.As(err, &told) {
		p.Journal.Waits(err)
		p.Log.Error("a refusal waits in the journal", "err", err.Error())
		v.Title = v.T("unsubscribed.title")
		return v.show(http.StatusOK, "plain", plainBody{Text: v.T("unsubscribed.journal.text")})
	}
	return err
}

func (p *Pages) unsubscribeNow(ctx context.Context, v *visit, r Refusal) error {
	o, err := v.open(ctx, token.Unsubscribe)
	if err != nil {
		return err
	}
	if err := p.refuse(ctx, o.Message, r, 0); err != nil {
		return err
	}
	stands, err := p.refused(ctx, o.Message)
	if err != nil {
		return err
	}
	return v.showUnsubscribed(ctx, o, stands)
}

// scopeOf reads what the body of the POST asks for. Mail programs send List-Unsubscribe=One-Click
// (RFC 8058), some of them among other fields or in another case.
func scopeOf(form url.Values) (Scope, bool) {
	for k, vs := range form {
		if strings.EqualFold(k, "List-Unsubscribe") {
			return ThisType, len(vs) == 1 && strings.EqualFold(strings.TrimSpace(vs[0]), "One-Click")
		}
	}
	s := Scope(form.Get("choice"))
	return s, slices.Contains([]Scope{ThisType, ThisCompany, Everything}, s)
}
