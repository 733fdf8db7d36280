package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
)

// signup is the form as it was filled in.
type signup struct {
	wish
	Email, Name, Organisation, Country, Phone, Age string
}

// maxLine is how long a name may be, in characters.
const maxLine = 120

var signupSingle = append([]string{"email", "name", "company", "country", "phone", "age", "website"}, wishSingle...)

func (p *Pages) showSubscribe(ctx context.Context, v *visit) error {
	company, err := v.subscribes(ctx)
	if err != nil {
		return err
	}
	notice, err := p.current(ctx, company, v.Lang.Tag)
	if asked := v.QueryParam("notice"); asked != "" && (err == nil || errors.Is(err, closed)) {
		if notice, err = p.notice(ctx, asked); errors.Is(err, badForm) {
			return noPage
		}
	}
	if err != nil {
		return err
	}
	item, err := v.item()
	if err != nil {
		return err
	}
	return v.askSignup(http.StatusOK, notice, signup{wish: wish{Item: item}}, nil)
}

// subscribes finds the company that is asked for; where there is one alone, it need not be named.
func (v *visit) subscribes(ctx context.Context) (segments.Company, error) {
	slug := v.QueryParam("company")
	var company segments.Company
	var err error
	if slug == "" {
		var all []segments.Company
		if all, err = v.pages.Companies.List(ctx); err == nil && len(all) != 1 {
			return company, noPage
		} else if err == nil {
			company = all[0]
		}
	} else {
		company, err = v.pages.Companies.BySlug(ctx, slug)
	}
	if errors.Is(err, segments.ErrNotFound) {
		return company, noPage
	}
	if err == nil {
		v.of(company)
	}
	return company, err
}

// subscribe takes the form. Whatever address it names, and whether we know it or not, a form
// without mistakes gets the same answer.
func (p *Pages) subscribe(ctx context.Context, v *visit) error {
	company, err := v.subscribes(ctx)
	if err != nil {
		return err
	}
	now := p.Now()
	client, _ := netip.ParseAddr(v.RealIP())
	if !p.limiter.network(client, now) {
		return busy
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if err := only(form, signupSingle, wishSeveral); err != nil {
		return err
	}
	var s signup
	if s.wish, err = p.wishOf(form); err != nil {
		return err
	}
	if s.Item, err = v.item(); err != nil {
		return err
	}
	get := func(field string) string { return strings.TrimSpace(form.Get(field)) }
	s.Email, s.Name, s.Organisation = get("email"), get("name"), get("company")
	s.Country, s.Phone, s.Age = get("country"), get("phone"), get("age")
	if age, err := strconv.Atoi(s.Age); err == nil && age >= 0 && age < 13 {
		return tooYoung
	}
	notice, err := p.notice(ctx, s.Notice)
	if err != nil {
		return err
	}
	address, wrong := s.check(v)
	if len(wrong) > 0 {
		return v.askSignup(http.StatusUnprocessableEntity, notice, s, wrong)
	}
	if form.Get("website") == "" {
		if err := p.signUp(ctx, v, company, address, s, truncated(client), now); err != nil {
			return err
		}
	}
	v.Title = v.T("sent.title")
	text := "sent.text"
	if s.Item != "" && len(s.Types) == 0 {
		text = "sent.item.text"
	}
	return v.show(http.StatusOK, "sent", sentBody{v.T(text, "email", s.Email, "hours", int(p.ConfirmTTL.Hours())), v.mailed("sent.hint")})
}

type sentBody struct{ Text, Hint string }

// signUp asks the address for its yes, unless it has been asked often enough of late.
func (p *Pages) signUp(ctx context.Context, v *visit, company segments.Company, address string, s signup, network netip.Prefix, now time.Time) error {
	switch p.limiter.address(address, now) {
	case over:
		return nil
	case full:
		return busy
	}
	evidence := v.shown("subscribe", s.wish)
	for name, value := range map[string]string{"name": s.Name, "company": s.Organisation, "country": s.Country, "phone": s.Phone} {
		if value != "" {
			evidence[name] = value
		}
	}
	if network.IsValid() {
		evidence["network"] = network.String()
	}
	var tokens string
	err := p.DB.Tx(ctx, func(tx *schema.Tx) error {
		who, err := p.hold(ctx, tx, address)
		if err != nil {
			return err
		}
		blocks, err := p.Ledger.Blocks(ctx, tx, who)
		if err != nil || blocks&never != 0 {
			return err
		}
		tokens, err = p.request(ctx, tx, who, company, s.wish, consent.ByForm, evidence)
		return err
	})
	if err != nil {
		return fmt.Errorf("pages: subscribe: %w", err)
	}
	if tokens == "" {
		return nil
	}
	return p.mail(ctx, v, tokens, address, s.wish)
}

// check returns the address as it is compared, and what is wrong by field.
func (s *signup) check(v *visit) (address string, wrong map[string]string) {
	wrong = s.wish.check(v)
	var err error
	if address, err = consent.NormaliseEmail(s.Email); err != nil {
		wrong["email"] = v.T("error.email.wrong")
		if s.Email == "" {
			wrong["email"] = v.T("error.email.missing")
		}
	}
	for field, value := range map[string]string{"name": s.Name, "company": s.Organisation} {
		if utf8.RuneCountInString(value) > maxLine {
			wrong[field] = v.T("error."+field+".long", "n", maxLine)
		} else if strings.ContainsFunc(value, unseen) {
			wrong[field] = v.T("error." + field + ".wrong")
		}
	}
	if s.Country != "" && !slices.ContainsFunc(v.Lang.countries, func(c country) bool { return c.Code == s.Country }) {
		wrong["country"] = v.T("error.country.wrong")
	}
	switch {
	case s.Phone == "" && slices.Contains(s.Channels, string(consent.Phone)):
		wrong["phone"] = v.T("error.phone.missing")
	case s.Phone != "" && !isPhone(s.Phone):
		wrong["phone"] = v.T("error.phone.wrong")
	}
	if age, err := strconv.Atoi(s.Age); s.Age != "" && (err != nil || age < 0 || age > 130) {
		wrong["age"] = v.T("error.age.wrong")
	}
	return address, wrong
}

func isPhone(s string) bool {
	digits := 0
	for _, r := range s {
		switch {
		case '0' <= r && r <= '9':
			digits++
		case !strings.ContainsRune("+-./() ", r):
			return false
		}
	}
	return digits >= 5 && len(s) <= 40
}

type signupBody struct {
	Heading, Lead       string
	Item                string
	Mistakes            mistakes
	Notice              wording
	Asked               asked
	Tracking            ticks
	Email, Name         field
	Organisation, Phone field
	Age                 field
	Country             string
	CountryWrong        string
	Countries           []country
}

type field struct {
	Name, Label, Type, Value       string
	Hint, Optional, Wrong, Mark    string
	Autocomplete, Inputmode, Class string
	Required                       bool
	Max                            int
}

// askSignup shows the form, with what was filled in and what is wrong with it.
func (v *visit) askSignup(status int, notice consent.Notice, s signup, wrong map[string]string) error {
	v.Title = v.T("subscribe.title")
	if len(wrong) > 0 {
		v.Title = v.T("error") + " " + v.Title
	}
	b := signupBody{Heading: v.T("subscribe.heading", "company", v.Company.Name), Lead: v.T("subscribe.lead"), Notice: v.wording(notice, "subscribe.notice"),
		Country: s.Country, CountryWrong: wrong["country"], Countries: v.Lang.countries}
	if s.Item != "" {
		b.Item, b.Lead = titled(s.Item), v.T("subscribe.item.lead")
		b.Heading = v.T("subscribe.item.heading", "item", b.Item, "company", v.Company.Name)
	}
	b.Asked, b.Tracking, b.Mistakes = v.offer(s.wish, wrong), v.offerTracking(s.wish), v.mistakes(wrong)
	make := func(name, label, kind, value, autocomplete string) field {
		return field{Name: name, Label: v.T(label), Type: kind, Value: value, Autocomplete: autocomplete,
			Wrong: wrong[name], Mark: v.T("error"), Optional: v.T("subscribe.optional"), Max: maxLine}
	}
	b.Email = make("email", "subscribe.email", "email", s.Email, "email")
	b.Email.Optional, b.Email.Required, b.Email.Max = "", true, 254
	b.Name = make("name", "subscribe.name", "text", s.Name, "name")
	b.Organisation = make("company", "subscribe.company", "text", s.Organisation, "organization")
	b.Phone = make("phone", "subscribe.phone", "tel", s.Phone, "tel")
	b.Phone.Hint, b.Phone.Max = v.T("subscribe.phone.hint"), 40
	b.Age = make("age", "subscribe.age", "text", s.Age, "")
	b.Age.Hint, b.Age.Inputmode, b.Age.Class, b.Age.Max = v.T("subscribe.age.hint"), "numeric", "short", 3
	return v.show(status, "subscribe", b)
}

// again is the address of the form with which to ask once more for what did not come about.
func (p *Pages) again(company segments.Company, item, lang string) string {
	q := url.Values{"company": {company.Slug}, "lang": {lang}}
	if item != "" {
		q.Set("item", item)
	}
	return p.URL + "/subscribe?" + q.Encode()
}
