package pages

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

type deaf struct{}

func (deaf) Confirm(context.Context, Confirmation) error { return errors.New("no relay") }

func TestL9ALinkConfirmsOnceAndInTime(t *testing.T) {
	each(t, func(w *world) {
		w.status(w.post(form, filled("grace@example.org")), 200)
		late := w.confirmLink()
		w.clock.pass(24*time.Hour - time.Minute)
		w.status(w.post(form, filled("grace@example.org")), 200)
		good := w.confirmLink()
		w.clock.pass(time.Minute)

		before := w.dump()
		w.says(w.status(w.get(late), 410), "This link has expired", "Fill in the form again")
		w.says(w.status(w.post(late, confirming), 410), "This link has expired")
		w.unchanged(before, "an expired link")

		w.status(w.post(good, confirming), 200)
		who, err := w.contacts.ByEmail(t.Context(), "grace@example.org")
		w.must(err)
		u, _ := w.mail(who.ID, 0)
		w.status(w.post("/u/"+u, url.Values{"choice": {"company"}}), 200)
		before = w.dump()
		w.says(w.status(w.get(good), 410), "This link has been used already")
		w.says(w.status(w.post(good, confirming), 410), "This link has been used already")
		w.unchanged(before, "a used link")
		if types, _ := w.granted(who.ID); len(types) > 0 {
			w.t.Errorf("a used link brought back %v", types)
		}
	})
}

func TestAForeignLinkConfirmsNothing(t *testing.T) {
	each(t, func(w *world) {
		link := func(email string) string {
			w.status(w.post(form, with(filled(email), "tracking")), 200)
			path, _, _ := strings.Cut(w.confirmLink(), "?")
			return strings.TrimPrefix(path, "/confirm/")
		}
		ada, grace := link("ada@example.org"), link("grace@example.org")
		first, second, _ := strings.Cut(ada, ".")
		unknown, err := w.keys.Sign(token.Token{Kind: token.Confirm, Request: 9999, Expires: start.Add(time.Hour)})
		w.must(err)
		manage, err := w.keys.Sign(token.Token{Kind: token.Manage, Request: 1, Expires: start.Add(time.Hour)})
		w.must(err)
		u, _ := w.mail(w.person("eve@example.org"), 0)
		before := w.dump()
		for name, t := range map[string]string{
			"of two people":          ada + "." + grace,
			"with one token twice":   first + "." + first,
			"with an empty token":    first + "..",
			"altered":                first[:len(first)-1] + "_." + second,
			"for an unknown request": unknown,
			"for managing":           manage,
			"for unsubscribing":      u,
			"of nothing but dots":    "...",
			"of very many tokens":    strings.Repeat(first+".", 500) + first,
			"that was never a link":  "x",
		} {
			if a := w.post("/confirm/"+t, confirming); a.StatusCode != 404 {
				w.t.Errorf("a link %s: %d", name, a.StatusCode)
			}
			if a := w.get("/confirm/" + t); a.StatusCode != 404 {
				w.t.Errorf("a link %s: %d", name, a.StatusCode)
			}
		}
		for _, f := range []url.Values{{}, {"do": {"x"}}, {"do": {"confirm"}, "extra": {"1"}}, {"List-Unsubscribe": {"One-Click"}}} {
			w.status(w.post("/confirm/"+ada, f), 400)
		}
		w.unchanged(before, "a foreign link")

		// A part of a link is less than the link, and its own.
		w.status(w.post("/confirm/"+second, confirming), 200)
		w.says(w.status(w.post("/confirm/"+ada, confirming), 410), "used already")
		who, err := w.contacts.ByEmail(w.t.Context(), "ada@example.org")
		w.must(err)
		if types, _ := w.granted(who.ID); len(types) > 0 {
			w.t.Errorf("by email %v is agreed to", types)
		}
	})
}

func TestADoubleOptInOfSomebodyElse(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org")
		r, err := w.pages.Start(t.Context(), consent.Entry{Contact: who, Action: consent.Request, Company: w.globex.ID, Channel: consent.Email, Types: []string{"newsletter"},
			Topics: []string{"social-care"}, Notice: "acme-form-1", How: consent.ByAPI, Actor: "crm", Own: true, Evidence: map[string]string{"company": "not theirs"}})
		w.must(err)
		if m := w.mails.sent[0]; r == 0 || m.Language != "de" || m.To != "ada@example.org" || !strings.Contains(m.Subject, "Globex GmbH") {
			w.t.Errorf("request %s mailed %+v", r, m)
		}
		w.says(w.status(w.get(w.confirmLink()), 200), "Globex GmbH", "Newsletter", "Möchten Sie das?")
		w.status(w.post(w.confirmLink(), confirming), 200)
		state, err := w.ledger.State(t.Context(), w.db, who)
		w.must(err)
		if len(state) != 1 || state[0].Company != w.globex.ID || !slices.Equal(state[0].Granted, []string{"newsletter"}) {
			w.t.Errorf("the state is %+v", state)
		}
		if c, err := w.contacts.Get(t.Context(), who); err != nil || c.Company != "" || !slices.Contains(c.Topics, "social-care") {
			w.t.Errorf("the contact is %+v, %v", c, err)
		}

		before := w.dump()
		w.pages.Mailer = deaf{}
		for _, e := range []consent.Entry{
			{Contact: who, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "acme-form-1", How: consent.ByAPI},
			{Contact: who, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "none", How: consent.ByAPI},
			{Contact: 999, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "acme-form-1", How: consent.ByAPI},
			{Contact: who, Company: id.Company(99), Channel: consent.Email, Types: []string{"newsletter"}, Notice: "acme-form-1", How: consent.ByAPI},
		} {
			if r, err := w.pages.Start(t.Context(), e); err == nil || r != 0 {
				w.t.Errorf("started %s for %+v", r, e)
			}
		}
		w.unchanged(before, "a request that failed")
	})
}
