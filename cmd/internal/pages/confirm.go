package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
)

type confirmBody struct {
	Lines  []line
	Notice wording
}

// line is one thing that is agreed to.
type line struct {
	Label, Text string
	Items       []string
	Note        string
}

func (p *Pages) showConfirm(ctx context.Context, v *visit) error {
	w, err := v.requested(ctx, p.DB)
	if err != nil {
		return err
	}
	notice, err := p.Notices.Get(ctx, w.Notice)
	if err != nil {
		return err
	}
	who, err := p.Contacts.Get(ctx, w.Contact)
	if err != nil {
		return err
	}
	v.Title = v.T("confirm.title")
	tracking := v.T("confirm.tracking.no")
	if w.tracking {
		tracking = v.T("confirm.tracking.yes", "company", v.Company.Name)
	}
	special := p.slugs(consent.KindTopic, func(e consent.CatalogueEntry) bool { return e.Special && slices.Contains(w.Topics, e.Slug) })
	topics := p.slugs(consent.KindTopic, func(e consent.CatalogueEntry) bool { return !e.Special && slices.Contains(w.Topics, e.Slug) })
	var typed []string
	for _, d := range []string{"name", "company", "country", "phone"} {
		value := w.typed[d]
		if i := slices.IndexFunc(v.Lang.countries, func(c country) bool { return c.Code == value }); d == "country" && i >= 0 {
			value = v.Lang.countries[i].Name
		}
		if value != "" {
			typed = append(typed, value)
		}
	}
	b := confirmBody{Notice: v.wording(notice, "confirm.notice")}
	item := line{Label: v.T("confirm.item"), Note: v.T("confirm.item.note")}
	if w.item != "" {
		item.Text = titled(w.item)
	}
	if len(w.Types) == 0 && w.item != "" && !w.tracking {
		tracking = "" // nobody asked
	}
	for _, l := range []line{
		item,
		{Label: v.T("confirm.company"), Text: v.Company.Name},
		{Label: v.T("confirm.address"), Text: masked(who.Email)},
		{Label: v.T("confirm.types"), Items: v.names(consent.KindType, w.Types)},
		{Label: v.T("confirm.channels"), Items: v.names(consent.KindChannel, w.channels)},
		{Label: v.T("confirm.topics"), Items: v.names(consent.KindTopic, topics)},
		{Label: v.T("confirm.special"), Items: v.names(consent.KindTopic, special)},
		{Label: v.T("confirm.tracking"), Text: tracking},
		{Label: v.T("confirm.details"), Items: typed, Note: v.T("confirm.details.note")},
	} {
		if l.Text != "" || len(l.Items) > 0 {
			b.Lines = append(b.Lines, l)
		}
	}
	return v.show(http.StatusOK, "confirm", b)
}

// confirm records what the link stands for, wholly or not at all. That is the person's own act:
// the link was in a mail to the address.
func (p *Pages) confirm(ctx context.Context, v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	if only(form, []string{"do"}, nil) != nil || form.Get("do") != "confirm" {
		return badForm
	}
	var w requested
	var held segments.Contact
	err = p.DB.Tx(ctx, func(tx *schema.Tx) error {
		if w, err = v.requested(ctx, tx); err != nil {
			return err
		}
		for _, r := range w.ids {
			done, err := p.Ledger.Confirm(ctx, tx, r)
			switch {
			case errors.Is(err, consent.ErrExpired):
				return used
			case err != nil:
				return err
			case !done.Applied: // nothing else stands against a person's own act
				return tooYoung
			}
		}
		who, err := p.Contacts.GetIn(ctx, tx, w.Contact)
		if err != nil {
			return err
		}
		held, _, err = p.Contacts.CreateIn(ctx, tx, segments.NewContact{Email: who.Email,
			Name: w.typed["name"], Company: w.typed["company"], Country: w.typed["country"], Phone: w.typed["phone"]})
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: confirm: %w", err)
	}
	if len(w.Topics) > 0 {
		topics := append(held.Topics, w.Topics...)
		if _, err := p.Contacts.Patch(ctx, held.ID, segments.ContactPatch{Topics: &topics}); err != nil {
			p.Log.Error("the interests of a confirmed request are not stored", "err", err.Error())
		}
	}
	v.Title = v.T("confirmed.title")
	return v.show(http.StatusOK, "confirmed", nil)
}

// requested reads the link of the visit. The problem it returns changes nothing.
func (v *visit) requested(ctx context.Context, q schema.Querier) (requested, error) {
	w, err := v.pages.requested(ctx, q, v.Param("token"))
	if errors.Is(err, consent.ErrNoEntry) {
		return w, badLink
	}
	if err != nil {
		return w, err
	}
	company, err := v.pages.Companies.ByID(ctx, w.Company)
	if err != nil {
		return w, err
	}
	v.of(company)
	v.again = v.pages.again(company, w.item, v.Lang.Tag)
	switch {
	case w.done:
		return w, used
	case !v.pages.Now().Before(w.expires):
		return w, expired
	}
	return w, nil
}
