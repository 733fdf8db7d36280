package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/rights"
	"beckon/tracker/token"
)

// sendLink mails a single-use link to the address, with which its holder can download or erase what
// is held. Nothing is done yet, and the answer does not tell what became of the mail.
func (p *Pages) sendLink(ctx context.Context, v *visit, who person, purpose rights.LinkPurpose) (said string, err error) {
	if p.Desk == nil {
		return "", badForm
	}
	switch p.limiter.address(who.contact.Email, p.Now()) {
	case full:
		return "", busy
	case over:
		return v.mailed("preferences.saved.link"), nil
	}
	err = p.DB.Tx(ctx, func(tx *schema.Tx) error {
		r, expires, err := p.Desk.Link(ctx, tx, who.Contact, purpose, p.LinkTTL)
		if err != nil {
			return err
		}
		t, err := p.Keys.Sign(token.Token{Kind: token.Manage, Request: r, Expires: expires})
		if err != nil {
			return err
		}
		q := url.Values{"company": {v.Company.Slug}, "lang": {v.Lang.Tag}}
		c, err := v.linkMail(who.contact.Email, p.URL+"/m/"+t+"?"+q.Encode(), expires, purpose)
		if err != nil {
			return err
		}
		return p.Mailer.Confirm(ctx, c) // last, since it cannot be taken back
	})
	if err != nil && !errors.Is(err, rights.ErrTooMany) {
		return "", fmt.Errorf("pages: mail a link to %s: %w", purpose, err)
	}
	return v.mailed("preferences.saved.link"), nil
}

// mailed is what is said of every mail that was asked for, whether the limit lets it go or not.
func (v *visit) mailed(key string) string {
	l := v.pages.limiter.limits
	return v.T(key) + " " + v.N("limit.mails", l.PerAddress, "hours", int(l.Window.Hours()))
}

// managed is a single-use link that was opened.
type managed struct {
	ref     id.Request
	purpose rights.LinkPurpose
	contact segments.Contact
	expires time.Time
}

// manage reads the link of the visit and uses it not. The problem it returns changes nothing.
func (v *visit) manage(ctx context.Context) (managed, error) {
	p := v.pages
	if err := v.branded(ctx); err != nil {
		return managed{}, err
	}
	t, err := p.Keys.Open(token.Manage, v.Param("token"))
	late := errors.Is(err, token.ErrExpired)
	if err != nil && !late || t.Test || t.Request == 0 || p.Desk == nil {
		return managed{}, badLink
	}
	l, err := p.Desk.Peek(ctx, p.DB, t.Request)
	if err == nil && late {
		err = rights.ErrExpired
	}
	if err != nil {
		return managed{}, fmt.Errorf("pages: whose link it is: %w", told(err))
	}
	m := managed{ref: t.Request, purpose: l.Purpose, expires: t.Expires}
	if m.contact, err = p.Contacts.Get(ctx, l.Contact); err != nil {
		return m, fmt.Errorf("pages: whose link it is: %w", told(err))
	}
	return m, nil
}

// told turns what the desk says of a link into the page for it.
func told(err error) error {
	switch {
	case errors.Is(err, rights.ErrNoLink):
		return noAddress
	case errors.Is(err, rights.ErrNoContact), errors.Is(err, segments.ErrNotFound):
		return erasedLink
	case errors.Is(err, rights.ErrUsed):
		return linkUsed
	case errors.Is(err, rights.ErrExpired):
		return linkLate
	}
	return err
}

// branded makes it the page of the company that the address names, where there is such a company.
func (v *visit) branded(ctx context.Context) error {
	c, err := v.pages.Companies.BySlug(ctx, v.QueryParam("company"))
	if errors.Is(err, segments.ErrNotFound) {
		return nil
	}
	if err == nil {
		v.of(c)
	}
	return err
}

type manageBody struct {
	Heading, Address, Text string
	Points                 []string
	Until                  string
	Buttons                []choice
}

func (p *Pages) showManage(ctx context.Context, v *visit) error {
	m, err := v.manage(ctx)
	if err != nil {
		return err
	}
	key := "manage." + string(m.purpose)
	v.Title = v.T(key + ".title")
	b := manageBody{Heading: v.T(key + ".heading"), Address: masked(m.contact.Email), Text: v.T(key + ".text"),
		Until: v.T("manage.until", "date", v.Lang.date(m.expires), "time", m.expires.UTC().Format("15:04"))}
	if m.purpose == rights.ForErasure {
		b.Points = []string{v.T("manage.erase.gone"), v.T("manage.erase.kept"), v.T("manage.erase.final")}
		b.Buttons = []choice{{Value: "erase", Label: v.T("manage.erase.button")}}
	} else {
		b.Buttons = []choice{{"csv", v.T("manage.download.csv"), v.T("manage.download.csv.note")}, {"json", v.T("manage.download.json"), v.T("manage.download.json.note")}}
		b.Points = []string{v.T("manage.download.once"), v.T("manage.download.care")}
	}
	return v.show(http.StatusOK, "manage", b)
}

// useLink does what the link is for, once.
func (p *Pages) useLink(ctx context.Context, v *visit) error {
	m, err := v.manage(ctx)
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if err := only(form, []string{"do"}, nil); err != nil {
		return err
	}
	switch do := form.Get("do"); {
	case m.purpose == rights.ForErasure && do == "erase":
		return p.erase(ctx, v, m)
	case m.purpose == rights.ForDownload && (do == "json" || do == "csv"):
		return p.download(ctx, v, m, do)
	}
	return badForm
}

// download answers with a file. The link is used up when the file is complete and before any of it
// leaves.
func (p *Pages) download(ctx context.Context, v *visit, m managed, format string) error {
	held, err := p.Desk.Copy(ctx, p.DB, m.contact.ID)
	if err != nil {
		return fmt.Errorf("pages: copy what is held: %w", told(err))
	}
	var b bytes.Buffer
	kind, write := "text/csv; charset=utf-8", held.WriteCSV
	if format == "json" {
		kind, write = "application/json", held.WriteJSON
	}
	if err := write(&b); err != nil {
		return fmt.Errorf("pages: write what is held: %w", err)
	}
	err = p.DB.Tx(ctx, func(tx *schema.Tx) error {
		if err := p.use(ctx, tx, m); err != nil {
			return err
		}
		return p.Audit.Write(ctx, tx, rights.Entry{Actor: actor, Action: "contact.export", Object: m.contact.ID.String(),
			Ground: rights.LegalObligation, Detail: "to the person, by a mailed link"})
	})
	if err != nil {
		return fmt.Errorf("pages: hand out a copy: %w", err)
	}
	name := "my-data-" + p.Now().UTC().Format(time.DateOnly) + "." + format
	v.Response().Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return v.Blob(http.StatusOK, kind, b.Bytes())
}

// use uses a link up that is still what it was when it was opened.
func (p *Pages) use(ctx context.Context, tx *schema.Tx, m managed) error {
	who, err := p.Desk.Use(ctx, tx, m.ref, m.purpose)
	if err == nil && who != m.contact.ID {
		err = rights.ErrNoLink
	}
	if err != nil {
		return fmt.Errorf("pages: use a link: %w", told(err))
	}
	return nil
}

type erasedBody struct {
	Heading, Text, Receipt string
	Removed                []phrase
	Kept                   []keptLine
}

type keptLine struct {
	What, Why phrase
	Until     string
}

// phrase is a text of the domain in the language of the page, or in English.
type phrase struct{ Text, Language string }

func (p *Pages) erase(ctx context.Context, v *visit, m managed) error {
	var r rights.Receipt
	err := p.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		if err := p.use(ctx, tx, m); err != nil {
			return err
		}
		r, err = p.Desk.Erase(ctx, tx, m.contact.ID, rights.OnRequest, actor)
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: erase: %w", told(err))
	}
	key, at := "erased.", r.ErasedAt.T()
	if r.Result == rights.Held {
		key, at = "held.", p.Now()
	}
	v.Title = v.T(key + "title")
	b := erasedBody{Heading: v.T(key + "heading"), Receipt: v.T(key + "receipt"), Text: v.T(key+"text", "date", v.Lang.date(at), "time", at.UTC().Format("15:04"))}
	for _, s := range r.Removed {
		b.Removed = append(b.Removed, v.phrase("removed.", s))
	}
	for _, k := range r.Kept {
		line := keptLine{What: v.phrase("kept.", k.What), Why: sentence(v.phrase("kept.", k.Why))}
		if k.Until != 0 {
			line.Until = v.T("kept.until", "date", v.Lang.date(k.Until.T()))
		}
		b.Kept = append(b.Kept, line)
	}
	return v.show(http.StatusOK, "erased", b)
}

// phrase is what people read for a phrase of the domain.
func (v *visit) phrase(family, english string) phrase {
	if v.Lang.has(family + english) {
		return phrase{v.Lang.T(family + english), v.Lang.Tag}
	}
	return phrase{english, "en"}
}

// sentence makes one of a phrase.
func sentence(p phrase) phrase {
	first, size := utf8.DecodeRuneInString(p.Text)
	p.Text = string(unicode.ToUpper(first)) + strings.TrimRight(p.Text[size:], ".") + "."
	return p
}
