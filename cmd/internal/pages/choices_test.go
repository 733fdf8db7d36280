package pages

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
)

// A no of the page is what the gate says of the very next message.
func TestB5ANoIsInForceBeforeTheNextMessage(t *testing.T) {
	each(t, func(w *world) {
		types := []string{"newsletter", "company-updates"}
		for i, c := range []struct {
			page string
			post func(target string) answer
			left []string
		}{
			{"/u/", func(u string) answer { return w.do("POST", u, "", strings.NewReader(oneClick)) }, []string{"company-updates"}},
			{"/u/", func(u string) answer { return w.multipart(u, map[string]string{"List-Unsubscribe": "One-Click"}) }, []string{"company-updates"}},
			{"/u/", func(u string) answer { return w.post(u, url.Values{"choice": {"company"}}) }, nil},
			{"/u/", func(u string) answer { return w.post(u, url.Values{"choice": {"everything"}}) }, nil},
			{"/p/", func(p string) answer {
				return w.post(p, url.Values{"do": {"save"}, "shown": {"type/acme/email/newsletter"}})
			}, []string{"company-updates"}},
			{"/p/", func(p string) answer { return w.post(p, url.Values{"do": {"object"}}) }, nil},
			{"/p/", func(p string) answer { return w.post(p, url.Values{"do": {"restrict"}}) }, nil},
		} {
			who := w.person(fmt.Sprintf("a%d@example.org", i), types...)
			u, p := w.mail(who, 0)
			for _, typ := range types {
				if !w.may(who, typ) {
					w.t.Fatalf("%d: %s may not be sent beforehand", i, typ)
				}
			}
			w.status(c.post(map[string]string{"/u/": "/u/" + u, "/p/": "/p/" + p}[c.page]), 200)
			for _, typ := range types {
				if w.may(who, typ) != slices.Contains(c.left, typ) {
					w.t.Errorf("%d: %s may be sent: %v", i, typ, w.may(who, typ))
				}
			}
		}
	})
}

// Nothing but the person's own later confirmed act lifts an objection.
func TestL7AnObjectionIsAbsolute(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		who := w.person("ada@example.org", "newsletter")
		w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.globex.ID, Channel: consent.Phone, Types: []string{"newsletter"}})
		u, p := w.mail(who, 0)
		w.says(w.status(w.post("/p/"+p, url.Values{"do": {"object"}}), 200), "Your objection is stored.", "You have objected: we do not write to you.")
		w.says(w.status(w.get("/u/"+u), 200), "No more from anybody in the group")

		objected := func(when string) {
			w.t.Helper()
			for _, company := range []id.Company{w.acme.ID, w.globex.ID} {
				for _, channel := range []consent.Channel{consent.Email, consent.Phone, consent.Post} {
					for _, audience := range []consent.Audience{consent.SegmentAudience(), consent.SourceAudience(w.source.ID)} {
						d, err := w.gate.Ask(ctx, who, consent.Use{Company: company, Channel: channel, Type: "newsletter", Purpose: consent.Mail, Audience: audience})
						if err != nil || d.Allowed {
							w.t.Errorf("%s company %d may reach the person by %s: %v", when, company, channel, err)
						}
					}
				}
			}
			if w.blocks(who)&consent.BlockObjected == 0 {
				w.t.Errorf("%s the objection is gone", when)
			}
		}
		objected("at once")
		w.clock.pass(time.Hour)
		_, _, err := w.contacts.Create(ctx, segments.NewContact{Email: "ada@example.org", Source: "listco", Country: "GB", SubscriberKind: "corporate"})
		w.must(err)
		objected("after a provider gave the address again")
		w.must(w.db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := w.ledger.Record(ctx, tx, consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "acme-form-1", How: consent.ByImport, Actor: "import"})
			return err
		}))
		objected("after an import of a yes")
		if err := w.db.Tx(ctx, func(tx *schema.Tx) error {
			_, err := w.ledger.Record(ctx, tx, consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "acme-form-1", How: consent.ByAPI, Actor: "crm"})
			return err
		}); !errors.Is(err, consent.ErrNotOwnAct) {
			w.t.Errorf("a yes of the API: %v", err)
		}
		w.status(w.post(form, filled("ada@example.org")), 200)
		w.status(w.post("/p/"+p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "type": {"newsletter"}, "channel": {"email"}}), 200)
		for _, m := range w.mails.sent {
			w.status(w.get(strings.TrimPrefix(m.Link, w.pages.URL)), 200)
		}
		objected("while forms wait to be confirmed")
		w.status(w.post(w.confirmLink(), confirming), 200)
		if w.blocks(who) != 0 || !w.may(who, "newsletter") {
			w.t.Errorf("the person's own yes is not heard: blocked by %v", w.blocks(who).Reasons())
		}
	})
}

func TestS4EveryCompanyIsShownAndCanBeLowered(t *testing.T) {
	each(t, func(w *world) {
		yes := true
		who := w.person("ada@example.org", "newsletter")
		for _, channel := range []consent.Channel{consent.Email, consent.Phone, consent.Post} {
			e := consent.Entry{Contact: who, Action: consent.Grant, Company: w.globex.ID, Channel: channel, Types: []string{"exhibition-event"}}
			if channel == consent.Email {
				e.Tracking = &yes
			}
			w.record(e)
		}
		_, p := w.mail(who, 0) // of Acme
		a := w.status(w.get("/p/"+p), 200)
		w.says(a, "Acme Ltd By email", "Globex GmbH By email", "By phone", "By post", "Acme Ltd may record which of its emails", "Globex GmbH may record which of its emails")
		all := shown(a.body)
		for _, box := range []string{"type/globex/phone/exhibition-event", "type/globex/post/exhibition-event", "tracking/globex", "type/globex/email/exhibition-event", "tracking/acme", "type/acme/email/newsletter"} {
			if !slices.Contains(all, box) {
				w.t.Fatalf("%s is not in %v", box, all)
			}
			a = w.status(w.post("/p/"+p, url.Values{"do": {"save"}, "shown": all, "keep": slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == box })}), 200)
			left := shown(a.body)
			if slices.Contains(left, box) {
				w.t.Errorf("%s is still agreed to", box)
			}
			for _, s := range all {
				last := strings.HasPrefix(s, "tracking/") && strings.HasPrefix(box, "type/") // the last consent to mail ends tracking, too
				if s != box && !last && !slices.Contains(left, s) {
					w.t.Errorf("with %s went %s", box, s)
				}
			}
			all = left
		}
		w.says(a, "You have not agreed to receive anything from us.")
	})
}

func TestS7ADeclaredChildLeavesNothing(t *testing.T) {
	each(t, func(w *world) {
		before := w.dump()
		for _, age := range []string{"0", "1", "12", " 12 ", "012", "+12", "-0"} {
			for _, target := range []string{form, itemForm, form + "&embed=1"} {
				a := w.status(w.post(target, with(filled("child@example.org"), "age", age)), 422)
				w.says(a, "you are too young for this", "We have not kept anything of what you entered.")
				w.clock.pass(time.Minute)
			}
		}
		w.unchanged(before, "a child's form")
		if len(w.mails.sent) > 0 {
			w.t.Error("a child was mailed")
		}
		w.status(w.post(form, with(filled("thirteen@example.org"), "age", "13")), 200)
		if len(w.mails.sent) != 1 {
			w.t.Error("thirteen is too young")
		}
		for table, rows := range w.dump() {
			if strings.Contains(rows, `"age"`) {
				w.t.Errorf("%s holds an age: %s", table, rows)
			}
		}
	})
}

// A mail's two links need neither cookie nor log-in, and both pages hold buttons that work by themselves.
func TestS19TheLinksOfAMailNeedNoLogIn(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		for _, lang := range tags {
			for _, target := range []string{"/u/" + u, "/p/" + p} {
				a := w.status(w.get(target+"?lang="+lang), 200) // which finds no cookie
				if strings.Contains(a.body, `type="password"`) || !strings.Contains(a.body, `<form method="post" action="?lang=`+lang+`">`) {
					w.t.Errorf("%s in %s asks for more than a press", target, lang)
				}
			}
		}
		w.status(w.post("/u/"+u, url.Values{"choice": {"type"}}), 200)
		if w.may(who, "newsletter") {
			w.t.Error("still allowed")
		}
		old, err := w.keys.Sign(w.preferencesOf(1))
		w.must(err)
		w.clock.pass(10 * 365 * 24 * time.Hour)
		w.status(w.post("/p/"+old, url.Values{"do": {"object"}}), 200) // the links of a mail do not expire
	})
}

func TestS20TheOtherWaysToSayNoAreNamed(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	u, p := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.says(w.get("/p/"+p), "a no by email or phone is in force within two working days", "Write to privacy@acme.example", "Call +44 20 7946 0000")
	w.says(w.get("/u/"+u), "Write to privacy@acme.example", "+44 20 7946 0000")
	for lang, want := range map[string]string{"de": "binnen zwei Werktagen", "fr": "sous deux jours ouvrés"} {
		w.says(w.get("/p/"+p+"?lang="+lang), want)
	}
}

// Tracking is a box of its own, apart from what it is asked beside, and either goes without the other.
func TestL2TrackingIsAskedForApart(t *testing.T) {
	each(t, func(w *world) {
		a := w.get(form)
		card := a.body[strings.Index(a.body, `id="tracking-group-hint"`):]
		card = card[:strings.Index(card, "</fieldset>")]
		if n := strings.Count(card, `type="checkbox"`); n != 1 || strings.Contains(card, "checked") {
			w.t.Errorf("%d boxes stand with tracking", n)
		}
		for i, tracking := range []bool{false, true} {
			f := with(filled(fmt.Sprintf("a%d@example.org", i)), "tracking")
			if tracking {
				f = with(f, "tracking", "yes")
			}
			w.status(w.post(form, f), 200)
			w.status(w.post(w.confirmLink(), confirming), 200)
			who, err := w.contacts.ByEmail(t.Context(), f.Get("email"))
			w.must(err)
			if types, tracked := w.granted(who.ID); len(types) != 2 || tracked != tracking {
				w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
			}
			history, err := w.ledger.History(t.Context(), w.db, who.ID)
			w.must(err)
			asked := history[0].Evidence["asked_tracking"]
			if strings.HasPrefix(asked, "Acme Ltd may record which of its emails I open and which links I click – Optional") != tracking {
				w.t.Errorf("the evidence of what was asked is %q", asked)
			}
			if !strings.Contains(history[0].Evidence["asked_special"], "explicitly agree that Acme Ltd") {
				w.t.Errorf("the evidence of explicit consent is %v", history[0].Evidence)
			}
			_, p := w.mail(who.ID, 0)
			if boxes := shown(w.get("/p/" + p).body); slices.Contains(boxes, "tracking/acme") != tracking {
				w.t.Errorf("boxes are %v", boxes)
			}
			w.status(w.post("/p/"+p, url.Values{"do": {"save"}, "shown": {"tracking/acme"}}), 200)
			if types, tracked := w.granted(who.ID); len(types) != 2 || tracked {
				w.t.Errorf("after taking tracking back %v is agreed to, tracking %v", types, tracked)
			}
		}
	})
}

// Everybody we have the address from is named with links to their policies, and what is recorded is
// said in words, nothing included.
func TestS21EveryOriginAndEveryRecordIsTold(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		_, err := w.pages.Sources.Create(ctx, segments.Source{Slug: "other", Name: "Other Lists", PrivacyURL: "https://other.example/privacy", TransparencyURL: "https://other.example/how", LawfulBasis: "consent", PermittedUses: []string{"email"}})
		w.must(err)
		who := w.sourced("buyer@works.example")
		w.clock.pass(48 * time.Hour)
		_, _, err = w.contacts.Create(ctx, segments.NewContact{Email: "buyer@works.example", Source: "other", Country: "GB"})
		w.must(err)
		w.clock.pass(24 * time.Hour)
		_, _, err = w.contacts.Create(ctx, segments.NewContact{Email: "buyer@works.example"})
		w.must(err)
		_, p := w.mail(who, 0)
		a := w.status(w.get("/p/"+p), 200)
		w.says(a, "You gave it to us yourself, on 6 April 2026.", "From ListCo Data, a data provider, on 3 April 2026.", "From Other Lists, a data provider, on 5 April 2026.")
		for _, link := range []string{"https://listco.example/privacy", "https://listco.example/transparency", "https://other.example/privacy", "https://other.example/how"} {
			if !strings.Contains(a.body, `href="`+link+`" rel="noreferrer noopener"`) {
				w.t.Errorf("no link to %s", link)
			}
		}
		for _, c := range []struct {
			r    Recorded
			says []string
		}{
			{Recorded{}, []string{"Nothing about what you opened or clicked.", "No mail sent to you so far.", "Nothing that you agreed to or refused.", "Beside your address we hold: country."}},
			{Recorded{Mails: 1, Opens: 2}, []string{"2 opens of mails", "No click on a link.", "1 mail sent to you"}},
			{Recorded{Mails: 1234, Clicks: 1, Region: true}, []string{"No open of a mail.", "1 click on a link", "1,234 mails sent to you", "country and approximate region"}},
		} {
			w.records = c.r
			w.says(w.get("/p/"+p), c.says...)
		}
		w.status(w.post("/p/"+p, url.Values{"do": {"object"}}), 200)
		w.says(w.get("/p/"+p), "1 entry in our record of what you agreed to or refused")
	})
}

// A no by the page is recorded once, however often the button is pressed.
func TestRepeatingANoDoesNotFillTheLedger(t *testing.T) {
	each(t, func(w *world) {
		for i, c := range []struct {
			form    url.Values
			page    string
			entries int
		}{
			{url.Values{"choice": {"type"}}, "/u/", 1}, {url.Values{"choice": {"company"}}, "/u/", 1}, {url.Values{"choice": {"everything"}}, "/u/", 1},
			{url.Values{"do": {"object"}}, "/p/", 1}, {url.Values{"do": {"restrict"}}, "/p/", 1},
		} {
			for _, sourced := range []bool{false, true} {
				email := fmt.Sprintf("a%d%v@example.org", i, sourced)
				who, via := w.sourced(email), w.source.ID
				if !sourced {
					who, via = w.person("x"+email, "newsletter", "company-updates"), 0
				}
				u, p := w.mail(who, via)
				target := map[string]string{"/u/": "/u/" + u, "/p/": "/p/" + p}[c.page]
				before, err := w.ledger.History(t.Context(), w.db, who)
				w.must(err)
				for range 5 {
					w.status(w.post(target, c.form), 200)
				}
				after, err := w.ledger.History(t.Context(), w.db, who)
				w.must(err)
				if len(after)-len(before) != c.entries {
					w.t.Errorf("%v, sourced %v: %d entries", c.form, sourced, len(after)-len(before))
				}
			}
		}
		// A wider no is still recorded after a narrower one.
		who := w.person("ada@example.org", "newsletter", "company-updates")
		u, _ := w.mail(who, 0)
		for _, choice := range []string{"type", "company", "everything"} {
			w.status(w.post("/u/"+u, url.Values{"choice": {choice}}), 200)
		}
		if w.blocks(who) != consent.BlockObjected {
			w.t.Errorf("blocked by %v", w.blocks(who).Reasons())
		}
	})
}
