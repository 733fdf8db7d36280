package pages

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

type preferencesBody struct {
	Address  string
	Said     string // what the last press did
	Blocked  []string
	Sections []section
	Agreed   bool // to anything at all
	Tracked  bool
	Recorded []string
	Origins  []origin
	More     *more

	Manages   bool // the person can have a copy, and erase, with a mailed link
	Hours     int  // for which that is valid
	Ways      []link
	Mistakes  mistakes // of the complaint
	Complaint *complaint
	Authority *link
}

// section is what was agreed to with one company; it is named where there are several.
type section struct {
	Company string
	Groups  []grants
}

// grants are boxes for what was agreed to, all of them ticked: unticking one takes it back.
type grants struct {
	Legend, Hint string
	Kept         []choice
	Wording      *link
}

type origin struct {
	Text  string
	Links []link
}

// more is the form that asks for a new yes.
type more struct {
	Hours    int
	Mistakes mistakes
	Open     bool
	Asked    asked
	Notice   wording
}

// person is what the preferences page is about.
type person struct {
	opened
	contact   segments.Contact
	standing  []consent.Standing
	items     []consent.Item
	companies map[id.Company]segments.Company
	blocks    consent.Block
}

func (v *visit) person(ctx context.Context) (person, error) {
	o, err := v.open(ctx, token.Preferences)
	if err != nil {
		return person{}, err
	}
	p := person{opened: o, companies: map[id.Company]segments.Company{}}
	if p.contact, err = v.pages.Contacts.Get(ctx, o.Contact); err != nil {
		return p, err
	}
	if p.standing, err = v.pages.Ledger.State(ctx, v.pages.DB, o.Contact); err != nil {
		return p, err
	}
	if p.items, err = v.pages.Ledger.Items(ctx, v.pages.DB, o.Contact); err != nil {
		return p, err
	}
	if p.blocks, err = v.pages.Ledger.Blocks(ctx, v.pages.DB, o.Contact); err != nil {
		return p, err
	}
	all, err := v.pages.Companies.List(ctx)
	for _, c := range all {
		p.companies[c.ID] = c
	}
	return p, err
}

func (p *Pages) showPreferences(ctx context.Context, v *visit) error {
	who, err := v.person(ctx)
	if err != nil {
		return err
	}
	return v.showPreferences(ctx, http.StatusOK, who, preferencesBody{}, wish{}, nil)
}

// showPreferences fills in b, which holds what the last press did.
func (v *visit) showPreferences(ctx context.Context, status int, who person, b preferencesBody, w wish, wrong map[string]string) error {
	v.Title = v.T("preferences.title")
	b.Address = masked(who.contact.Email)
	for _, r := range who.blocks.Reasons() {
		key := "preferences.blocked." + string(r)
		if !v.Lang.has(key) {
			key = "preferences.blocked.other"
		}
		if text := v.T(key); !slices.Contains(b.Blocked, text) {
			b.Blocked = append(b.Blocked, text)
		}
	}
	b.Sections, b.Agreed, b.Tracked = v.sections(who)
	var err error
	if b.Recorded, err = v.recorded(ctx, who); err != nil {
		return err
	}
	if b.Origins, err = v.origins(ctx, who); err != nil {
		return err
	}
	if b.More, err = v.more(ctx, who, w, wrong); err != nil {
		return err
	}
	v.rights(&b)
	return v.show(status, "preferences", b)
}

// rights fills in what the person may ask for, and how.
func (v *visit) rights(b *preferencesBody) {
	b.Manages, b.Hours = v.pages.Desk != nil, int(v.pages.LinkTTL.Hours())
	if e := v.Company.PrivacyEmail; e != "" {
		b.Ways = append(b.Ways, link{Href: "mailto:" + e, Label: v.T("preferences.rights.write", "email", e)})
	}
	if n := v.Company.Phone; n != "" {
		b.Ways = append(b.Ways, link{Label: v.T("preferences.rights.call", "phone", n)})
	}
	if v.pages.Inbox != nil && b.Complaint == nil {
		b.Complaint = &complaint{}
	}
	if b.Complaint != nil {
		if b.Complaint.Wrong != "" {
			b.Mistakes = v.mistakes(map[string]string{"complaint": b.Complaint.Wrong})
			v.Title = v.T("error") + " " + v.Title
		}
		b.Complaint.Max, b.Complaint.Mark = maxComplaint, v.T("error")
	}
	if u := web(v.Company.ComplaintURL); u != "" {
		b.Authority = &link{Href: u, Label: v.T("preferences.rights.complain")}
	}
}

// sections are the boxes of every company, then the interests.
func (v *visit) sections(who person) (all []section, agreed, tracked bool) {
	for _, company := range slices.SortedFunc(maps.Values(who.companies), func(a, b segments.Company) int { return strings.Compare(a.Name, b.Name) }) {
		sec := section{}
		if len(who.companies) > 1 {
			sec.Company = company.Name
		}
		var tracking []grants
		for _, s := range who.standing {
			if s.Company != company.ID {
				continue
			}
			if len(s.Granted) > 0 {
				agreed = true
				sec.Groups = append(sec.Groups, v.grants(company, s))
			}
			if s.Tracking.Open && s.Channel == consent.Email {
				tracked = true
				tracking = []grants{{Legend: v.T("preferences.tracking"), Kept: []choice{{
					Value: kept{Company: company.Slug, Tracking: true}.String(), Label: v.T("preferences.tracking.on", "company", company.Name)}}}}
			}
		}
		items := v.items(company, who.items)
		agreed = agreed || len(items) > 0
		if sec.Groups = slices.Concat(items, sec.Groups, tracking); len(sec.Groups) > 0 {
			all = append(all, sec)
		}
	}
	topics := slices.Clone(who.contact.Topics)
	for _, s := range who.standing {
		topics = append(topics, s.Explicit...)
	}
	g := grants{Legend: v.T("preferences.topics"), Hint: v.T("preferences.topics.lead")}
	for _, t := range v.pages.slugs(consent.KindTopic, func(e consent.CatalogueEntry) bool { return slices.Contains(topics, e.Slug) }) {
		g.Kept = append(g.Kept, choice{Value: kept{Topic: t}.String(), Label: v.name(consent.KindTopic, t)})
	}
	if len(g.Kept) > 0 {
		all = append(all, section{Groups: []grants{g}})
	}
	return all, agreed, tracked
}

// grants are the boxes of one company and channel.
func (v *visit) grants(company segments.Company, s consent.Standing) grants {
	by := v.T("preferences.channel", "channel", v.name(consent.KindChannel, string(s.Channel)))
	if key := "preferences.channel." + string(s.Channel); v.Lang.has(key) {
		by = v.T(key)
	}
	g := grants{Legend: by, Hint: v.T("preferences.granted.since", "date", v.Lang.date(s.GrantedAt.T()))}
	for _, t := range s.Granted {
		g.Kept = append(g.Kept, choice{Value: kept{Company: company.Slug, Channel: string(s.Channel), Type: t}.String(), Label: v.name(consent.KindType, t)})
	}
	if s.Notice != "" {
		l := v.noticeLink(s.Notice)
		g.Wording = &l
	}
	return g
}

func (v *visit) recorded(ctx context.Context, who person) ([]string, error) {
	r, err := v.pages.Records.Recorded(ctx, who.Contact)
	if err != nil {
		return nil, fmt.Errorf("pages: count what is recorded: %w", err)
	}
	var lines []string
	number := func(key string, n int) {
		if n == 0 {
			lines = append(lines, v.T(key+".none"))
		} else {
			lines = append(lines, v.N(key, n))
		}
	}
	if r.Opens+r.Clicks == 0 {
		lines = append(lines, v.T("preferences.recorded.nothing"))
	} else {
		number("preferences.recorded.opens", r.Opens)
		number("preferences.recorded.clicks", r.Clicks)
	}
	number("preferences.recorded.mails", r.Mails)
	proof, err := v.pages.Ledger.History(ctx, v.pages.DB, who.Contact)
	if err != nil {
		return nil, err
	}
	number("preferences.recorded.proof", len(proof))
	var details []string
	c := who.contact
	for _, d := range []struct {
		key  string
		held bool
	}{{"name", c.Name != ""}, {"company", c.Company != ""}, {"country", c.Country != ""}, {"phone", c.Phone != ""},
		{"job_title", c.JobTitle != ""}, {"region", r.Region}, {"other", len(c.Attributes) > 0}} {
		if d.held {
			details = append(details, v.T("detail."+d.key))
		}
	}
	if len(details) == 0 {
		return append(lines, v.T("preferences.recorded.details.none")), nil
	}
	return append(lines, v.T("preferences.recorded.details", "details", v.Lang.list(details))), nil
}

func (v *visit) origins(ctx context.Context, who person) ([]origin, error) {
	var all []origin
	if at := who.contact.OwnAt; at != 0 {
		all = append(all, origin{Text: v.T("preferences.origin.own", "date", v.Lang.date(at.T()))})
	}
	for _, o := range who.contact.Sources {
		s, err := v.pages.Sources.BySlug(ctx, o.Source)
		if err != nil {
			return nil, err
		}
		from := origin{Text: v.T("preferences.origin.source", "source", s.Name, "date", v.Lang.date(o.AcquiredAt.T()))}
		if o.RecalledAt != 0 || o.LicenceEnd != 0 && !v.pages.Now().Before(o.LicenceEnd.T()) {
			from.Text += " " + v.T("preferences.origin.ended")
		}
		if u := web(s.PrivacyURL); u != "" {
			from.Links = append(from.Links, link{Href: u, Label: v.T("preferences.origin.privacy", "source", s.Name)})
		}
		if u := web(s.TransparencyURL); u != "" {
			from.Links = append(from.Links, link{Href: u, Label: v.T("preferences.origin.transparency", "source", s.Name)})
		}
		all = append(all, from)
	}
	if len(all) == 0 {
		all = append(all, origin{Text: v.T("preferences.origin.ours")})
	}
	return all, nil
}
