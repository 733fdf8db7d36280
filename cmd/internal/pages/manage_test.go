package pages

import (
	"encoding/csv"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/token"
)

// sent is the link of the newest mail, as a path.
func (w *world) link(do, preferences string) string {
	w.t.Helper()
	n := len(w.mails.sent)
	w.says(w.status(w.post("/p/"+preferences, url.Values{"do": {do}}), 200), "If this address is yours, you will find a mail with a link in a few minutes.")
	if len(w.mails.sent) != n+1 {
		w.t.Fatalf("%d mails went out", len(w.mails.sent)-n)
	}
	return w.confirmLink()
}

var pressing = map[string]url.Values{"csv": {"do": {"csv"}}, "json": {"do": {"json"}}, "erase": {"do": {"erase"}}}

func TestL16ACopyComesByAMailedLinkOnce(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		_, p := w.mail(who, 0)
		for _, format := range []string{"csv", "json"} {
			link := w.link("copy", p)
			if m := w.mails.sent[len(w.mails.sent)-1]; m.To != "ada@example.org" || !strings.HasPrefix(link, "/m/") || strings.Contains(m.Link, "ada") {
				w.t.Fatalf("mailed %+v", m)
			}
			before := w.dump()
			w.says(w.status(w.get(link), 200), "Download everything we hold about you?", "a•••@e•••.org", "The link works once, until 4 April 2026, 09:30 (UTC).", "Acme Ltd 1 Long Lane")
			w.status(w.do("HEAD", link, "", nil), 200)
			for _, f := range []url.Values{{}, {"do": {"erase"}}, {"do": {"csv", "json"}}, {"do": {"csv"}, "who": {"x"}}, {"List-Unsubscribe": {"One-Click"}}} {
				w.status(w.post(link, f), 400)
			}
			w.unchanged(before, "what is not a download")

			a := w.status(w.post(link, pressing[format]), 200)
			if got, want := a.Header.Get("Content-Disposition"), `attachment; filename="my-data-2026-04-03.`+format+`"`; got != want || a.Header.Get("Cache-Control") != "no-store" {
				w.t.Errorf("%s: %q, headers %v", format, got, a.Header)
			}
			switch format {
			case "csv":
				rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
				if err != nil || !slices.ContainsFunc(rows, func(r []string) bool { return slices.Equal(r, []string{"You", "1", "Address", "ada@example.org"}) }) {
					w.t.Errorf("the table is %v, %v", rows, err)
				}
			default:
				var all struct{ Parts []struct{ Name string } }
				if err := json.Unmarshal([]byte(a.body), &all); err != nil || len(all.Parts) < 2 || !strings.Contains(a.body, "ada@example.org") {
					w.t.Errorf("%v in %s", err, a.body)
				}
			}
			before = w.dump()
			for range 2 {
				w.says(w.status(w.post(link, pressing[format]), 410), "This link has been used already", "For another one, open “Preferences” in any mail of ours")
				w.says(w.status(w.get(link), 410), "This link has been used already")
			}
			w.unchanged(before, "a used link")
		}
		records, err := rights.NewAudit(w.db, w.clock.now).List(t.Context(), rights.ListOptions{Action: "contact.export", Object: who.String()})
		w.must(err)
		if len(records) != 2 || records[0].Actor != "recipient" || records[0].Ground != rights.LegalObligation {
			w.t.Errorf("the audit log holds %+v", records)
		}
	})
}

func TestL16ErasureComesByAMailedLinkOnce(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		first, copied, link := w.link("erase", p), w.link("copy", p), ""
		w.clock.pass(7 * time.Hour)
		link = w.link("erase", p)
		before := w.dump()
		w.says(w.status(w.get(link), 200), "Erase everything about you?", "It cannot be undone.", "A code made from your address stays")
		for _, f := range []url.Values{{}, {"do": {"json"}}, {"do": {"erase"}, "really": {"no"}}} {
			w.status(w.post(link, f), 400)
		}
		w.unchanged(before, "looking at it")
		if !w.may(who, "newsletter") {
			w.t.Error("the wish alone ended the consent")
		}

		a := w.status(w.post(link, pressing["erase"]), 200)
		w.says(a, "Erased Done on 3 April 2026, 16:30 (UTC).", "What was removed You", "What is kept, and why A keyed hash of the address So that it stays out. Until 3 April 2027.", "Security and audit log",
			"This page is your receipt.")
		for _, table := range []string{"contacts", "consent_subjects", "consent_evidence", "rights_links"} {
			if rows := w.dump()[table]; strings.Contains(rows, "ada@") || table == "contacts" && rows != "" {
				w.t.Errorf("%s holds %s", table, rows)
			}
		}
		w.messages[1] = Message{Company: w.acme.ID, Campaign: 7, Type: "newsletter"} // as the queue keeps it then
		before = w.dump()
		for _, target := range []string{link, first, copied} {
			for _, f := range pressing {
				w.says(w.status(w.post(target, f), 404), "We hold no address for this link", "has been erased, or was lost")
			}
			w.says(w.status(w.get(target), 404), "We hold no address for this link")
		}
		for _, do := range []string{"copy", "erase", "complain", "object"} {
			w.says(w.status(w.post("/p/"+p, url.Values{"do": {do}}), 200), "We hold no address for this link")
		}
		w.says(w.status(w.get("/u/"+u), 200), "We hold no address for this link")
		w.unchanged(before, "the links of somebody erased")

		blocks, err := w.ledger.Suppressed(t.Context(), w.db, []string{"ada@example.org"})
		w.must(err)
		if blocks["ada@example.org"] != consent.BlockErased {
			w.t.Errorf("the address is kept out by %v", blocks)
		}
	})
}

func TestAContactErasedMeanwhileIsTold(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org")
		_, p := w.mail(who, 0)
		link := w.link("copy", p)
		w.must(w.db.Tx(t.Context(), func(tx *schema.Tx) error { return w.contacts.EraseIn(t.Context(), tx, who, consent.BlockErased) })) // and its links stay
		before := w.dump()
		w.says(w.status(w.get(link), 200), "We hold no address for this link")
		w.says(w.status(w.post(link, pressing["csv"]), 200), "We hold no address for this link")
		w.unchanged(before, "the link of somebody erased")
	})
}

func TestALinkToYourDataEndsInTime(t *testing.T) {
	each(t, func(w *world) {
		_, p := w.mail(w.person("ada@example.org"), 0)
		link := w.link("erase", p)
		w.clock.pass(24*time.Hour - time.Second)
		w.status(w.get(link), 200)
		w.clock.pass(time.Second)
		before := w.dump()
		w.says(w.status(w.get(link), 410), "This link has expired", "For another one, open “Preferences”")
		w.says(w.status(w.post(link, pressing["erase"]), 410), "This link has expired")
		w.unchanged(before, "an expired link")
	})
}

func TestOfTwoPressesOneDownloads(t *testing.T) {
	each(t, func(w *world) {
		_, p := w.mail(w.person("ada@example.org"), 0)
		link := w.link("copy", p)
		var wait sync.WaitGroup
		answers := make([]answer, 8)
		for i := range answers {
			wait.Go(func() { answers[i] = w.post(link, pressing["json"]) })
		}
		wait.Wait()
		files := 0
		for _, a := range answers {
			switch a.StatusCode {
			case 200:
				files++
			case 410:
			default:
				w.t.Errorf("answered %d:\n%s", a.StatusCode, text(a.body))
			}
		}
		if files != 1 {
			w.t.Errorf("%d files were handed out", files)
		}
	})
}

// held is a legal hold on everybody.
type everyone struct{}

func TestAHeldErasureIsSaid(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db, nil)
		desk := w.pages.Desk.(*rights.Desk)
		desk.Holds, desk.Restrict = everyone{}, w.restrict
		who := w.person("ada@example.org", "newsletter")
		_, p := w.mail(who, 0)
		w.says(w.status(w.post(w.link("erase", p), pressing["erase"]), 200), "Not erased, but no longer used", "Asked on 3 April 2026, 09:30 (UTC). A legal hold stands", "Everything")
		if w.blocks(who) != consent.BlockRestricted || w.may(who, "newsletter") {
			w.t.Errorf("blocked by %v", w.blocks(who).Reasons())
		}
	})
}

func TestAReceiptIsInTheLanguageOfThePage(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	_, p := w.mail(w.person("ada@example.org", "newsletter"), 0)
	w.status(w.post("/p/"+p+"?lang=de", url.Values{"do": {"erase"}}), 200)
	a := w.status(w.post(w.confirmLink(), pressing["erase"]), 200)
	w.says(a, "Gelöscht", "Links, die wir Ihnen geschickt haben", "Sicherheits- und Prüfprotokoll Es hält fest, wann Daten gelesen", "verwendet. Bis 3. April 2029.")
	if !strings.Contains(a.body, `<span lang="en">A keyed hash of the address</span>`) || !strings.Contains(a.body, `<span lang="de">Sicherheits- und`) {
		t.Errorf("the languages are not marked:\n%s", a.body)
	}
}

// Whatever becomes of the mail, and however often it is asked for, a copy or erasure is answered
// alike, and nobody's mailbox is filled.
func TestTheAnswerTellsNothingOfTheMail(t *testing.T) {
	each(t, func(w *world) {
		known := w.person("known@example.org", "newsletter")
		gone := w.person("gone@example.org", "newsletter")
		w.must(w.db.Tx(t.Context(), func(tx *schema.Tx) error {
			return w.ledger.Suppress(t.Context(), tx, "gone@example.org", consent.BlockBounced)
		}))
		for _, do := range []string{"copy", "erase"} {
			answers := map[string]bool{}
			for _, who := range []string{"known", "known", "known", "known", "gone"} {
				_, p := w.mail(known, 0)
				if who == "gone" {
					_, p = w.mail(gone, 0)
				}
				a := w.status(w.post("/p/"+p, url.Values{"do": {do}}), 200)
				_, said, _ := strings.Cut(a.body, `role="status">`)
				said, _, _ = strings.Cut(said, "</p>")
				answers[said] = true
			}
			if len(answers) != 1 {
				w.t.Errorf("%s is answered in %d ways: %v", do, len(answers), answers)
			}
			w.clock.pass(7 * time.Hour)
		}
		n := map[string]int{}
		for _, m := range w.mails.sent {
			n[m.To]++
		}
		if n["known@example.org"] != 6 || n["gone@example.org"] != 2 {
			w.t.Errorf("mailed %v", n)
		}

		// The limit holds for all mails that hold a link together, and survives a restart for those that were not used.
		_, p := w.mail(w.person("both@example.org"), 0)
		for _, do := range []string{"copy", "copy", "erase", "erase", "erase"} {
			w.status(w.post("/p/"+p, url.Values{"do": {do}}), 200)
		}
		if len(w.mails.sent) != 11 {
			w.t.Errorf("%d mails", len(w.mails.sent))
		}
		_, p = w.mail(known, 0)
		w.pages.limiter = newLimiter(Limits{})
		w.status(w.post("/p/"+p, url.Values{"do": {"copy"}}), 200)
		if len(w.mails.sent) != 11 {
			w.t.Errorf("%d mails", len(w.mails.sent))
		}
		w.status(w.post(form, filled("known@example.org")), 200)
		w.status(w.post(form, filled("known@example.org")), 200)
		w.status(w.post(form, filled("known@example.org")), 200)
		if len(w.mails.sent) != 13 {
			w.t.Errorf("%d mails", len(w.mails.sent))
		}
	})
}

func TestALinkThatCannotBeMailedIsNotMade(t *testing.T) {
	each(t, func(w *world) {
		_, p := w.mail(w.person("ada@example.org"), 0)
		w.pages.Mailer = deaf{}
		before := w.dump()
		w.says(w.status(w.post("/p/"+p, url.Values{"do": {"erase"}}), 503), "We cannot do that right now")
		w.unchanged(before, "a link that was not mailed")
	})
}

func TestTheMailsWithALinkInEveryLanguage(t *testing.T) {
	for _, lang := range tags {
		w := newWorld(t, servertest.SQLite(t), nil)
		_, p := w.mail(w.person("ada@example.org"), 0)
		l := load(t).choose(lang)
		for do, purpose := range map[string]string{"copy": "download", "erase": "erase"} {
			w.status(w.post("/p/"+p+"?lang="+lang, url.Values{"do": {do}}), 200)
			c := w.mails.sent[len(w.mails.sent)-1]
			_, h, plain, html := w.message(c)
			if c.Language != lang || !strings.HasSuffix(c.Link, "lang="+lang) || h.Get("List-Unsubscribe") != "" || c.Subject != l.T("mail."+purpose+".subject", "company", "Acme Ltd") {
				t.Errorf("%s: %s to %s", lang, c.Subject, c.Link)
			}
			for _, part := range []string{plain, strings.ReplaceAll(html, "&amp;", "&")} {
				for _, want := range []string{c.Link, "Acme Ltd", "1 Long Lane", l.T("mail." + purpose + ".otherwise"), l.T("mail.greeting"), "09:30"} {
					if !strings.Contains(part, want) {
						t.Errorf("%s: no %q in\n%s", lang, want, part)
					}
				}
				for _, not := range []string{"<img", "src=", "/o/", "/c/", "Ada Example", "I agree", "  \n\n\n"} {
					if strings.Contains(part, not) {
						t.Errorf("%s: %q in\n%s", lang, not, part)
					}
				}
			}
			if a := w.status(w.get(w.confirmLink()), 200); !strings.Contains(a.body, `<html lang="`+lang+`">`) {
				t.Errorf("the link of a mail in %s leads to another language", lang)
			}
		}
	}
}

func TestWithoutADeskPeopleAreAskedToWrite(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Desk, o.Audit, o.Inbox = nil, nil, nil })
	_, p := w.mail(w.person("ada@example.org"), 0)
	a := w.status(w.get("/p/"+p), 200)
	w.says(a, "Write to privacy@acme.example", "Complain to the authority")
	for _, button := range []string{`value="copy"`, `value="erase"`, `value="complain"`} {
		if strings.Contains(a.body, button) {
			t.Errorf("there is %s", button)
		}
	}
	for _, do := range []string{"copy", "erase", "complain"} {
		w.status(w.post("/p/"+p, url.Values{"do": {do}, "complaint": {"x"}}), 400)
	}
	manage, err := w.keys.Sign(token.Token{Kind: token.Manage, Request: 1, Expires: start.Add(time.Hour)})
	w.must(err)
	w.status(w.get("/m/"+manage), 404)
	if _, err := New(Options{URL: "https://mail.example.org", Desk: (*rights.Desk)(nil)}); err == nil {
		t.Error("a desk without an audit log")
	}
}
