package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"beckon/schema"
	"beckon/segments/consent"
)

// never is the block that no act on these pages can lift.
const never = consent.BlockUnderAge

// more is the form that asks for a new yes to the company of the mail; nil if there is nothing to ask.
func (v *visit) more(ctx context.Context, who person, w wish, wrong map[string]string) (*more, error) {
	if who.blocks&never != 0 {
		return nil, nil
	}
	notice, err := v.pages.current(ctx, v.Company, v.Lang.Tag)
	if w.Notice != "" {
		notice, err = v.pages.notice(ctx, w.Notice)
	}
	if errors.Is(err, closed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &more{Hours: int(v.pages.ConfirmTTL.Hours()), Mistakes: v.mistakes(wrong), Open: len(wrong) > 0,
		Asked: v.offer(w, wrong), Notice: v.wording(notice, "subscribe.notice")}
	m.Asked.Always = append(m.Asked.Always, v.offerTracking(w))
	return m, nil
}

// raise mails a link to the address, with which its holder can agree to what was ticked.
func (p *Pages) raise(ctx context.Context, v *visit, who person, form url.Values) error {
	w, err := p.wishOf(form)
	if err != nil {
		return err
	}
	if _, err := p.notice(ctx, w.Notice); err != nil || who.blocks&never != 0 {
		return badForm
	}
	for _, s := range who.standing {
		w.Mailed = w.Mailed || who.blocks == 0 && s.Company == who.Company && s.Channel == consent.Email && len(s.Granted) > 0
	}
	if wrong := w.check(v); len(wrong) > 0 {
		return v.showPreferences(ctx, http.StatusUnprocessableEntity, who, preferencesBody{}, w, wrong)
	}
	b := preferencesBody{Said: v.mailed("preferences.saved.mail")}
	switch p.limiter.address(who.contact.Email, p.Now()) {
	case full:
		return busy
	case granted:
		if err := p.askAgain(ctx, v, who, w); err != nil {
			return err
		}
	}
	return v.showPreferences(ctx, http.StatusOK, who, b, wish{}, nil)
}

func (p *Pages) askAgain(ctx context.Context, v *visit, who person, w wish) error {
	evidence := v.shown("preferences", w)
	evidence["message"] = who.ref.String()
	var tokens string
	err := p.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		tokens, err = p.request(ctx, tx, who.Contact, v.Company, w, consent.ByPage, evidence)
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: ask for more: %w", err)
	}
	return p.mail(ctx, v, tokens, who.contact.Email, w)
}
