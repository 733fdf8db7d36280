package pages

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/segments"
	"beckon/segments/consent"
)

var ticked = regexp.MustCompile(`name="(?:keep)" value="([^"]+)" checked`)

// shown are the boxes of a preferences page, all of them ticked.
func shown(page string) []string {
	var all []string
	for _, m := range ticked.FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestS21PreferencesTellEverything(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@lovelace.example", "newsletter", "company-updates")
		w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.globex.ID, Channel: consent.Post, Types: []string{"exhibition-event"}})
		_, p := w.mail(who, 0)
		a := w.status(w.get("/p/"+p), 200)
		w.says(a, "a•••@l•••.example", "By email", "Newsletter", "Company Updates", "Agreed on 3 April 2026", "Wording acme-form-1",
			"Globex GmbH", "By post", "Exhibition and Event", "Acme Ltd may record which of its emails you open", "Compliance", "Transport",
			"Nothing about what you opened or clicked.", "No mail sent to you so far.", "name and country", "You gave it to us yourself, on 3 April 2026.",
			"Object to everything", "Restrict the use of my data",
			"2 entries in our record of what you agreed to or refused", "Send me a copy of my data", "Erase everything about me", "Write a complaint")
		for _, secret := range []string{"ada@lovelace", "lovelace", "Ada Example"} {
			if strings.Contains(a.body, secret) {
				w.t.Errorf("a forwarded mail would give away %q", secret)
			}
		}
		if want := []string{"type/acme/email/company-updates", "type/acme/email/newsletter", "type/globex/post/exhibition-event", "tracking/acme", "topic/compliance", "topic/transport"}; !slices.Equal(slices.Sorted(slices.Values(shown(a.body))), slices.Sorted(slices.Values(want))) {
			w.t.Errorf("ticked are %v", shown(a.body))
		}

		w.records = Recorded{Mails: 3, Opens: 1, Clicks: 2, Region: true}
		_, p = w.mail(w.sourced("buyer@works.example"), w.source.ID)
		a = w.status(w.get("/p/"+p), 200)
		w.says(a, "You have not agreed to receive anything from us.", "1 open of a mail", "2 clicks on links", "3 mails sent to you", "country and approximate region",
			"From ListCo Data, a data provider, on 3 April 2026.", "Privacy policy of ListCo Data", "Transparency policy of ListCo Data", "Nobody records what you open or click")
		for _, link := range []string{"https://listco.example/privacy", "https://listco.example/transparency", "https://acme.example/complain", "https://acme.example/privacy"} {
			if !strings.Contains(a.body, `href="`+link+`"`) {
				w.t.Errorf("no link to %s", link)
			}
		}
		if strings.Contains(a.body, " checked>") {
			w.t.Error("something is ticked that was never agreed to")
		}
	})
}

func TestUntickingTakesBack(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter", "company-updates", "promotional-offer")
		w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Phone, Types: []string{"newsletter"}, Topics: []string{"sexual-health"}})
		_, p := w.mail(who, 0)
		all := shown(w.get("/p/" + p).body)
		save := func(without ...string) answer {
			keep := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(without, s) })
			return w.status(w.post("/p/"+p, url.Values{"do": {"save"}, "shown": all, "keep": keep}), 200)
		}
		before := w.dump()
		w.says(save(), "Nothing was changed")
		w.unchanged(before, "saving without a change")

		w.says(save("type/acme/email/newsletter", "type/acme/email/company-updates", "topic/transport", "topic/sexual-health"), "Saved")
		if types, tracked := w.granted(who); !slices.Equal(types, []string{"promotional-offer"}) || !tracked {
			w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
		}
		c, err := w.contacts.Get(t.Context(), who)
		w.must(err)
		if !slices.Equal(c.Topics, []string{"compliance"}) {
			w.t.Errorf("interests are %v", c.Topics)
		}
		state, err := w.ledger.State(t.Context(), w.db, who)
		w.must(err)
		for _, s := range state {
			if slices.Contains(s.Explicit, "sexual-health") {
				w.t.Error("the explicit consent stands")
			}
			if s.Company == w.acme.ID && s.Channel == consent.Phone && !slices.Equal(s.Granted, []string{"newsletter"}) {
				w.t.Errorf("by phone %v is agreed to", s.Granted)
			}
		}

		w.says(save("tracking/acme"), "Nobody records what you open or click")
		if types, tracked := w.granted(who); len(types) != 1 || tracked {
			w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
		}
		if b := w.blocks(who); b != 0 {
			w.t.Errorf("blocked by %v", b.Reasons())
		}
		history, err := w.ledger.History(t.Context(), w.db, who)
		w.must(err)
		for _, r := range history[2:] {
			if r.How != consent.ByPage || r.Actor != "recipient" || r.Evidence["page"] != "preferences" {
				w.t.Errorf("recorded %+v", r)
			}
		}
	})
}

// Whatever is posted with a mail's own link, no permission grows.
func TestL16AMailsLinkOnlyLowers(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		_, p := w.mail(who, 0)
		values := []string{"type/acme/email/newsletter", "type/acme/email/promotional-offer", "type/globex/email/newsletter", "type/acme/phone/newsletter",
			"tracking/acme", "tracking/globex", "topic/transport", "topic/sexual-health", "topic/none", "type/none/email/newsletter"}
		t := w.t
		measure := func() map[string]bool {
			yes := map[string]bool{}
			state, err := w.ledger.State(t.Context(), w.db, who)
			w.must(err)
			for _, s := range state {
				for _, g := range s.Granted {
					yes[s.Company.String()+string(s.Channel)+g] = true
				}
				for _, g := range s.Explicit {
					yes[s.Company.String()+string(s.Channel)+g] = true
				}
				if s.Tracking.Open {
					yes[s.Company.String()+"tracking"] = true
				}
			}
			c, err := w.contacts.Get(t.Context(), who)
			w.must(err)
			for _, g := range c.Topics {
				yes["topic"+g] = true
			}
			return yes
		}
		some := rapid.SliceOfDistinct(rapid.SampledFrom(values), rapid.ID)
		do := rapid.SampledFrom([]string{"save", "save", "save", "more", "restrict", "object", "x"})
		before := measure()
		for seed := range 25 {
			form := url.Values{"do": {do.Example(seed)}, "shown": some.Example(seed), "keep": some.Example(seed + 100), "notice": {"acme-form-1"},
				"tracking": {"yes"}, "type": {"newsletter", "promotional-offer"}, "channel": {"email", "phone"}, "topic": {"sexual-health"}}
			if a := w.post("/p/"+p, form); a.StatusCode >= 500 {
				t.Fatalf("answered %d", a.StatusCode)
			}
			after := measure()
			for k := range after {
				if !before[k] {
					t.Fatalf("%s is new after %v", k, form)
				}
			}
			before = after
		}
	})
}

func TestL7L13ObjectingAndRestricting(t *testing.T) {
	onSQLite(t, func(w *world) {
		for _, c := range []struct {
			do, says string
			block    consent.Block
		}{
			{"object", "You have objected: we do not write to you.", consent.BlockObjected},
			{"restrict", "The use of your data is restricted", consent.BlockRestricted},
		} {
			who := w.person(c.do+"@example.org", "newsletter")
			_, p := w.mail(who, 0)
			for range 2 {
				w.says(w.status(w.post("/p/"+p, url.Values{"do": {c.do}}), 200), c.says)
			}
			if w.blocks(who) != c.block {
				w.t.Errorf("%s: blocked by %v", c.do, w.blocks(who).Reasons())
			}
			if _, tracked := w.granted(who); tracked {
				w.t.Errorf("%s: still tracked", c.do)
			}
		}
	})
}

func TestAForeignPreferencesFormIsRefused(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		before := w.dump()
		for name, c := range map[string]struct {
			token string
			form  url.Values
			want  int
		}{
			"an unknown field":               {p, url.Values{"do": {"object"}, "extra": {"1"}}, 400},
			"two buttons":                    {p, url.Values{"do": {"object", "restrict"}}, 400},
			"no button":                      {p, url.Values{}, 400},
			"a box that no page has":         {p, url.Values{"do": {"save"}, "shown": {"../x"}}, 400},
			"a type that is not on offer":    {p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "type": {"none"}, "channel": {"email"}}, 400},
			"a wording that is not known":    {p, url.Values{"do": {"more"}, "notice": {"none"}, "type": {"newsletter"}, "channel": {"email"}}, 400},
			"a wish for nothing":             {p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}}, 422},
			"a type without a channel":       {p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "type": {"newsletter"}}, 422},
			"the token of the other link":    {u, url.Values{"do": {"object"}}, 404},
			"a tampered token":               {p[:len(p)-1] + "_", url.Values{"do": {"object"}}, 404},
			"a one-click for the other page": {p, url.Values{"List-Unsubscribe": {"One-Click"}}, 400},
		} {
			if a := w.post("/p/"+c.token, c.form); a.StatusCode != c.want {
				w.t.Errorf("%s: %d, want %d", name, a.StatusCode, c.want)
			}
		}
		w.unchanged(before, "a foreign form")
		if len(w.mails.sent) > 0 {
			w.t.Errorf("%d mails went out", len(w.mails.sent))
		}
	})
}

func TestL16MoreIsAskedForByMail(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org")
		_, p := w.mail(who, 0)
		w.status(w.post("/p/"+p, url.Values{"do": {"object"}}), 200)
		w.says(w.status(w.post("/p/"+p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "type": {"newsletter", "company-updates"},
			"channel": {"email", "phone"}, "tracking": {"yes"}, "topic": {"transport"}}), 200), "you will find a mail with a link")
		if types, tracked := w.granted(who); len(types) > 0 || tracked || w.blocks(who) == 0 {
			w.t.Fatalf("granted before it was confirmed: %v %v", types, tracked)
		}
		m := w.mails.sent[0]
		if m.To != "ada@example.org" || len(w.mails.sent) != 1 {
			w.t.Fatalf("%d mails, to %s", len(w.mails.sent), m.To)
		}
		confirm := strings.TrimPrefix(m.Link, w.pages.URL)
		w.says(w.status(w.get(confirm), 200), "Newsletter", "Company Updates", "Email", "Phone", "Transport", "may record", noticeText[:20])
		w.clock.pass(time.Hour)
		w.says(w.status(w.post(confirm, url.Values{"do": {"confirm"}}), 200), "Agreed. Thank you")
		if types, tracked := w.granted(who); !slices.Equal(types, []string{"newsletter", "company-updates"}) || !tracked || w.blocks(who) != 0 {
			w.t.Errorf("%v is agreed to, tracking %v, blocked by %v", types, tracked, w.blocks(who).Reasons())
		}

		// Who receives email already can agree to tracking or an interest alone.
		w.status(w.post("/p/"+p, url.Values{"do": {"save"}, "shown": {"tracking/acme"}}), 200)
		w.status(w.post("/p/"+p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "tracking": {"yes"}, "topic": {"social-care"}}), 200)
		if _, tracked := w.granted(who); tracked {
			w.t.Fatal("tracked before it was confirmed")
		}
		w.status(w.post(strings.TrimPrefix(w.mails.sent[1].Link, w.pages.URL), url.Values{"do": {"confirm"}}), 200)
		c, err := w.contacts.Get(t.Context(), who)
		w.must(err)
		if types, tracked := w.granted(who); len(types) != 2 || !tracked || !slices.Contains(c.Topics, "social-care") || !slices.Contains(c.Topics, "transport") {
			w.t.Errorf("%v is agreed to, tracking %v, interests %v", types, tracked, c.Topics)
		}

		// Not even the person's own link makes more mail than the limit.
		for range 5 {
			w.status(w.post("/p/"+p, url.Values{"do": {"more"}, "notice": {"acme-form-1"}, "tracking": {"yes"}}), 200)
		}
		if len(w.mails.sent) != 3 {
			w.t.Errorf("%d mails went out", len(w.mails.sent))
		}
	})
}

func TestARecalledSourceIsSaidToHaveEnded(t *testing.T) {
	onSQLite(t, func(w *world) {
		_, p := w.mail(w.sourced("buyer@works.example"), w.source.ID)
		_, _, err := w.pages.Sources.Recall(t.Context(), "listco")
		w.must(err)
		w.says(w.get("/p/"+p), "ListCo Data", "We no longer use it from there.")
	})
}

func TestWhatAStrangerWroteStaysText(t *testing.T) {
	onSQLite(t, func(w *world) {
		evil := `"><script>alert(1)</script>`
		name := "Acme " + evil
		_, err := w.pages.Companies.Patch(t.Context(), "acme", segments.CompanyPatch{Name: &name})
		w.must(err)
		_, err = w.pages.Notices.Add(t.Context(), consent.Notice{Version: "acme-" + evil, Language: "en", Text: "<b>bold</b>" + evil})
		w.must(err)
		u, p := w.mail(w.person("a@example.org", "newsletter"), 0)
		for _, target := range []string{"/u/" + u, "/p/" + p, "/subscribe?company=acme", "/notice/" + urlPath("acme-"+evil), "/subscribe?company=" + urlPath(evil), "/u/" + urlPath(evil)} {
			if a := w.get(target + "?lang=" + urlPath(evil)); strings.Contains(a.body, "<script") || strings.Contains(a.body, "<b>") {
				w.t.Errorf("%s shows what was written as HTML", target)
			}
		}
	})
}

func urlPath(s string) string { return url.PathEscape(s) }

func TestOnlyWebAddressesBecomeLinks(t *testing.T) {
	for in, want := range map[string]string{"https://a.example/x?y=1": "https://a.example/x?y=1", "http://a.example": "http://a.example",
		"javascript:alert(1)": "", "data:text/html,x": "", "//a.example": "", "mailto:a@b.example": "", "": "", "https://": ""} {
		if got := web(in); got != want {
			t.Errorf("web(%q) = %q", in, got)
		}
	}
}

func TestKeptReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slug := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,20}`)
		k := rapid.SampledFrom([]kept{
			{Topic: slug.Draw(t, "topic")}, {Company: slug.Draw(t, "company"), Tracking: true},
			{Company: slug.Draw(t, "company"), Channel: slug.Draw(t, "channel"), Type: slug.Draw(t, "type")},
		}).Draw(t, "kept")
		if got, ok := parseKept(k.String()); !ok || got != k {
			t.Fatalf("%q read back as %+v", k.String(), got)
		}
	})
}
