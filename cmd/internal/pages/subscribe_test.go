package pages

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"
)

const form = "/subscribe?company=acme"

// filled is a form without mistakes.
func filled(email string) url.Values {
	return url.Values{"notice": {"acme-form-1"}, "email": {email}, "name": {"Grace Hopper"}, "company": {"Navy"}, "country": {"US"}, "phone": {"+1 202 555 0100"},
		"type": {"newsletter", "promotional-offer"}, "channel": {"email", "phone"}, "topic": {"transport", "sexual-health"}, "tracking": {"yes"},
		"age": {""}, "website": {""}}
}

func with(v url.Values, field string, values ...string) url.Values {
	v = maps.Clone(v)
	v[field] = values
	if len(values) == 0 {
		delete(v, field)
	}
	return v
}

func (w *world) confirmLink() string {
	w.t.Helper()
	if len(w.mails.sent) == 0 {
		w.t.Fatal("no mail went out")
	}
	return strings.TrimPrefix(w.mails.sent[len(w.mails.sent)-1].Link, w.pages.URL)
}

var confirming = url.Values{"do": {"confirm"}}

func TestL9FromTheFormToConsent(t *testing.T) {
	each(t, func(w *world) {
		w.says(w.status(w.post(form, filled("Grace@Example.ORG ")), 200), "Please look in your inbox", "24 hours")
		c, err := w.contacts.ByEmail(t.Context(), "grace@example.org")
		w.must(err)
		if types, tracked := w.granted(c.ID); len(types) > 0 || tracked || c.OwnAt != 0 || c.Name != "" || c.Phone != "" {
			w.t.Fatalf("before the confirmation: %v, tracking %v, %+v", types, tracked, c)
		}
		if m := w.mails.sent[0]; m.To != "grace@example.org" || m.Company.Slug != "acme" {
			w.t.Errorf("mailed %s for %s", m.To, m.Company.Slug)
		}

		w.clock.pass(20 * time.Hour)
		w.says(w.status(w.get(w.confirmLink()), 200), "g•••@e•••.org", "Newsletter", "Promotional Offer", "Email", "Phone", "Transport", "explicit consent", "Sexual Health",
			"may record which of its emails", "Grace Hopper", "Navy", "United States", "+1 202 555 0100", "I agree that Acme Ltd sends me", "Yes, I agree")
		w.says(w.status(w.post(w.confirmLink(), confirming), 200), "Agreed. Thank you")

		c, err = w.contacts.Get(t.Context(), c.ID)
		w.must(err)
		if c.Name != "Grace Hopper" || c.Company != "Navy" || c.Country != "US" || c.Phone != "+1 202 555 0100" || c.OwnAt != schema.At(w.clock.now()) ||
			!slices.Equal(c.Topics, []string{"sexual-health", "transport"}) {
			w.t.Errorf("held is %+v", c)
		}
		state, err := w.ledger.State(t.Context(), w.db, c.ID)
		w.must(err)
		if len(state) != 2 {
			w.t.Fatalf("the state is %+v", state)
		}
		for _, s := range state {
			if !slices.Equal(s.Granted, []string{"newsletter", "promotional-offer"}) || !slices.Contains(s.Explicit, "sexual-health") || !s.Tracking.Open || s.Notice != "acme-form-1" {
				w.t.Errorf("by %s: %+v", s.Channel, s)
			}
		}
		history, err := w.ledger.History(t.Context(), w.db, c.ID)
		w.must(err)
		if r := history[0]; r.Action != consent.Request || r.How != consent.ByForm || r.Evidence["network"] != "192.0.2.0/24" || r.Evidence["language"] != "en" {
			w.t.Errorf("requested %+v", r)
		}
		if g := history[len(history)-1]; g.Action != consent.Grant || g.Confirmed != schema.At(w.clock.now()) || g.Requested != schema.At(start) || g.Notice == "" || g.NoticeHash == "" {
			w.t.Errorf("granted %+v", g)
		}
	})
}

func TestS3TheFormAsksForNothingByItself(t *testing.T) {
	onSQLite(t, func(w *world) {
		for _, lang := range tags {
			a := w.status(w.get(form+"&lang="+lang), 200)
			if strings.Contains(a.body, " checked>") || strings.Contains(a.body, " selected>") {
				w.t.Errorf("%s: something is ticked beforehand", lang)
			}
			boxes := regexp.MustCompile(`<input type="checkbox" name="(\w+)"`).FindAllStringSubmatch(a.body, -1)
			n := map[string]int{}
			for _, b := range boxes {
				n[b[1]]++
			}
			if n["type"] != 8 || n["channel"] != 3 || n["topic"] != 10 || n["tracking"] != 1 {
				w.t.Errorf("%s: boxes are %v", lang, n)
			}
		}
	})
}

func TestS1AFormThatIsNotRightStoresNothing(t *testing.T) {
	each(t, func(w *world) {
		before := w.dump()
		good := filled("grace@example.org")
		for _, c := range []struct {
			name string
			form url.Values
			want int
			says string
		}{
			{"an unknown field", with(good, "ssn", "1"), 400, "something this page did not ask for"},
			{"one field twice", with(good, "name", "A", "B"), 400, ""},
			{"a type that is not on offer", with(good, "type", "spam"), 400, ""},
			{"a channel that is not on offer", with(good, "channel", "fax"), 400, ""},
			{"a topic that is not on offer", with(good, "topic", "spam"), 400, ""},
			{"another yes to tracking", with(good, "tracking", "on"), 400, ""},
			{"no wording", with(good, "notice"), 400, ""},
			{"a wording that does not exist", with(good, "notice", "acme-form-9"), 400, ""},
			{"no type", with(good, "type"), 422, "Tick at least one thing you would like to receive; nothing was stored"},
			{"no channel", with(good, "channel"), 422, "Tick at least one way to reach you"},
			{"topics and tracking alone", with(with(good, "type"), "channel"), 422, "2 things need your attention"},
			{"no address", with(good, "email", " "), 422, "Enter your email address"},
			{"half an address", with(good, "email", "grace@"), 422, "Enter the email address in full"},
			{"a header in the address", with(good, "email", "grace@example.org\r\nBcc: x@example.org"), 422, "Enter the email address in full"},
			{"a header in the name", with(good, "name", "Grace\r\nBcc: x@example.org"), 422, "Leave line breaks and invisible characters out of the name"},
			{"a name that turns what follows around", with(good, "name", "Grace \u202egnp.exe"), 422, "Leave line breaks and invisible characters"},
			{"a separator of lines in the company", with(good, "company", "Navy\u2028x"), 422, "Leave line breaks and invisible characters out of the company"},
			{"a zero byte", with(good, "name", "a\x00b"), 400, ""},
			{"bytes that are no text", with(good, "name", "a\xff"), 400, ""},
			{"a long name", with(good, "name", strings.Repeat("x", 121)), 422, "Shorten the name to 120 characters"},
			{"a country that is none", with(good, "country", "XX"), 422, "Choose a country"},
			{"calls without a number", with(good, "phone", ""), 422, "Enter a phone number, or untick"},
			{"a number of letters", with(good, "phone", "call me"), 422, "Enter a phone number of digits"},
			{"an age of letters", with(good, "age", "twelve"), 422, "Enter your age as a number"},
			{"a filled trap", with(good, "website", "https://spam.example"), 200, "Please look in your inbox"},
		} {
			w.clock.pass(time.Minute)
			a := w.post(form, c.form)
			if a.StatusCode != c.want || c.says != "" && !strings.Contains(text(a.body), c.says) {
				w.t.Errorf("%s: answered %d\n%s", c.name, a.StatusCode, text(a.body))
			}
		}
		for _, target := range []string{"/subscribe", "/subscribe?company=none"} {
			w.status(w.post(target, good), 404)
		}
		w.unchanged(before, "a form that is not right")
		if len(w.mails.sent) > 0 {
			w.t.Errorf("%d mails went out", len(w.mails.sent))
		}
	})
}

func TestAMistakeIsShownWhereItIs(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	a := w.status(w.post(form, with(with(filled("nobody"), "type"), "name", "<b>Ada</b>")), 422)
	for _, want := range []string{`<a href="#email">`, `<a href="#types">`, `id="types"`, `id="email" name="email" type="email" value="nobody"`, `aria-invalid="true" aria-describedby=" email-wrong"`,
		`id="email-wrong"`, `id="types-wrong"`, `value="&lt;b&gt;Ada&lt;/b&gt;"`, `value="phone" checked>`, `<title>Error: Subscribe`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
}

func TestAKnownAddressGetsTheSameAnswer(t *testing.T) {
	onSQLite(t, func(w *world) {
		w.person("known@example.org", "newsletter")
		w.sourced("listed@example.org")
		w.must(w.db.Tx(t.Context(), func(tx *schema.Tx) error {
			return w.ledger.Suppress(t.Context(), tx, "no@example.org", consent.BlockObjected)
		}))
		child := w.person("child@example.org")
		w.must(w.db.Tx(t.Context(), func(tx *schema.Tx) error {
			return w.ledger.Suppress(t.Context(), tx, "child@example.org", consent.BlockUnderAge)
		}))
		answers := map[string]bool{}
		for _, email := range []string{"known@example.org", "listed@example.org", "no@example.org", "child@example.org", "new@example.org"} {
			a := w.status(w.post(form, filled(email)), 200)
			answers[strings.ReplaceAll(a.body, email, "")] = true
		}
		if len(answers) != 1 {
			w.t.Errorf("%d different answers", len(answers))
		}
		if history, err := w.ledger.History(t.Context(), w.db, child); err != nil || slices.ContainsFunc(history, func(r consent.Row) bool { return r.Action == consent.Request }) {
			w.t.Errorf("something was asked of a child: %v %v", history, err)
		}
		if len(w.mails.sent) != 4 {
			w.t.Errorf("%d mails went out", len(w.mails.sent))
		}
	})
}

func TestAStrangersFormTouchesNobody(t *testing.T) {
	each(t, func(w *world) {
		who := w.sourced("buyer@works.example")
		before, err := w.contacts.Get(t.Context(), who)
		w.must(err)
		w.status(w.post(form, with(filled("buyer@works.example"), "name", "Somebody Else")), 200)
		after, err := w.contacts.Get(t.Context(), who)
		w.must(err)
		if after.Name != before.Name || after.OwnAt != 0 || after.UpdatedAt != before.UpdatedAt {
			w.t.Errorf("the contact became %+v", after)
		}
		w.status(w.post(w.confirmLink(), confirming), 200)
		after, err = w.contacts.Get(t.Context(), who)
		w.must(err)
		if after.Name != "Somebody Else" || after.Country != "GB" || after.OwnAt == 0 || len(after.Sources) != 1 {
			w.t.Errorf("after the confirmation: %+v", after)
		}
	})
}

func TestL17AConfirmationLiftsANo(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, _ := w.mail(who, 0)
		w.status(w.post("/u/"+u, url.Values{"choice": {"everything"}}), 200)
		w.status(w.post(form, with(filled("ada@example.org"), "tracking")), 200)
		if w.blocks(who) == 0 {
			w.t.Fatal("lifted by an unconfirmed form")
		}
		w.says(w.status(w.get(w.confirmLink()), 200), "not recorded")
		w.status(w.post(w.confirmLink(), confirming), 200)
		if types, tracked := w.granted(who); w.blocks(who) != 0 || len(types) != 2 || tracked {
			w.t.Errorf("%v is agreed to, tracking %v, blocked by %v", types, tracked, w.blocks(who).Reasons())
		}
	})
}

func TestTheFormCannotBeUsedAsAMailCannon(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	for range 4 {
		w.status(w.post(form, filled("victim@example.org")), 200)
	}
	if len(w.mails.sent) != 3 {
		t.Errorf("%d mails to one address", len(w.mails.sent))
	}
	for range 8 {
		w.status(w.post(form, with(filled("x@example.org"), "type")), 422)
	}
	if a := w.status(w.post(form, filled("other@example.org")), 429); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.clock.pass(time.Minute)
	w.status(w.post(form, filled("other@example.org")), 200)
	w.clock.pass(6 * time.Hour)
	w.status(w.post(form, filled("victim@example.org")), 200)
	if len(w.mails.sent) != 5 {
		t.Errorf("%d mails went out in the end", len(w.mails.sent))
	}
}

func TestTheFormNeedsAWording(t *testing.T) {
	onSQLite(t, func(w *world) {
		w.says(w.status(w.get("/subscribe?company=globex"), 503), "Dieses Formular ist nicht geöffnet")
		_, err := w.pages.Notices.Add(t.Context(), consent.Notice{Version: "group-1", Language: "en", Text: "We of the group."})
		w.must(err)
		w.clock.pass(time.Second)
		_, err = w.pages.Notices.Add(t.Context(), consent.Notice{Version: "globex-1", Language: "de-AT", Text: "Wir von Globex."})
		w.must(err)
		w.says(w.status(w.get("/subscribe?company=globex"), 200), "Wir von Globex.")
		w.says(w.status(w.get("/subscribe?company=globex&lang=en"), 200), "We of the group.")
		w.says(w.status(w.get("/subscribe?company=globex&notice=acme-form-1"), 200), "I agree that Acme Ltd")
		w.status(w.get("/subscribe?company=globex&notice=none"), 404)
		w.says(w.status(w.get(form), 200), "I agree that Acme Ltd")
		for _, version := range []string{"a/b 1", "50%", "ü?#&=", `<"'>`} {
			_, err = w.pages.Notices.Add(t.Context(), consent.Notice{Version: version, Language: "en", Text: "Words of " + version})
			w.must(err)
			v := &visit{pages: w.pages, view: view{Lang: w.pages.languages.all[0]}}
			w.says(w.status(w.get(strings.TrimPrefix(v.noticeLink(version).Href, w.pages.URL)), 200), "Words of "+version)
		}
		w.says(w.status(w.get("/notice/globex-1?lang=de"), 200), "Wir von Globex.", "3. April 2026")
	})
}

func TestWithoutAddressesAFormStillWorks(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db, func(o *Options) { o.Addresses = nil })
		who := w.sourced("buyer@works.example")
		for _, email := range []string{"buyer@works.example", "new@example.org"} {
			w.status(w.post(form, filled(email)), 200)
		}
		if c, err := w.contacts.Get(t.Context(), who); err != nil || c.OwnAt != 0 {
			t.Errorf("an unconfirmed form changed a held contact: %+v %v", c, err)
		}
		w.status(w.post(w.confirmLink(), confirming), 200)
		if c, err := w.contacts.ByEmail(t.Context(), "new@example.org"); err != nil || c.Name != "Grace Hopper" {
			t.Errorf("%+v %v", c, err)
		}
	})
}

func TestAMailThatCannotBeTakenIsSaid(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(o *Options) { o.Mailer = deaf{} })
	w.says(w.status(w.post(form, filled("new@example.org")), 503), "We cannot do that right now")
	if _, err := w.contacts.ByEmail(t.Context(), "new@example.org"); err == nil {
		t.Log("the address is held, unconfirmed") // it expires like any unconfirmed one
	} else if !strings.Contains(err.Error(), segments.ErrNotFound.Error()) {
		t.Error(err)
	}
}
