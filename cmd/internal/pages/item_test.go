package pages

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

const itemForm = form + "&item=grants-guide-2026"

// alone is a form that asks for the item and nothing else.
func alone(email string) url.Values {
	return url.Values{"notice": {"acme-form-1"}, "email": {email}, "name": {"Grace Hopper"}}
}

func TestS2OneThingIsAskedForAlone(t *testing.T) {
	each(t, func(w *world) {
		a := w.status(w.get(itemForm), 200)
		w.says(a, "“Grants guide 2026” from Acme Ltd", "The piece you asked for", "Sent once, by email. It is no subscription.", "Would you like to receive more, regularly? (optional)", noticeText[:20])
		if strings.Contains(a.body, " checked>") || !strings.Contains(a.body, `action="?company=acme&amp;item=grants-guide-2026&amp;lang=en"`) {
			w.t.Errorf("something is ticked, or the form forgets the item:\n%s", a.body)
		}
		w.says(w.status(w.post(itemForm, alone("grace@example.org")), 200), "and we send you what you asked for. Until then nothing is agreed.")
		who, err := w.contacts.ByEmail(t.Context(), "grace@example.org")
		w.must(err)
		items, err := w.ledger.Items(t.Context(), w.db, who.ID)
		w.must(err)
		if len(items) > 0 {
			w.t.Fatalf("before the confirmation there is %+v", items)
		}

		// The mail does not say the words of whoever made the link.
		for _, part := range []string{w.mails.sent[0].Text, w.mails.sent[0].HTML, w.mails.sent[0].Subject} {
			if strings.Contains(strings.ToLower(part), "grants") {
				w.t.Errorf("the mail names the item:\n%s", part)
			}
		}
		w.says(w.status(w.get(w.confirmLink()), 200), "You asked for Grants guide 2026 Sent once; your consent to it ends with that.", "By Email", "Grace Hopper")
		w.status(w.post(w.confirmLink(), confirming), 200)

		items, err = w.ledger.Items(t.Context(), w.db, who.ID)
		w.must(err)
		if len(items) != 1 || items[0].Item != "grants-guide-2026" || items[0].Slug != "acme" || items[0].Channel != consent.Email || items[0].Notice != "acme-form-1" {
			w.t.Fatalf("asked for is %+v", items)
		}
		if types, tracked := w.granted(who.ID); len(types) > 0 || tracked {
			w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
		}
		use := consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: "whitepaper-intelligence", Purpose: consent.Mail, Audience: consent.SegmentAudience()}
		allowed := func(item string) bool {
			use.Item = item
			d, err := w.gate.Ask(t.Context(), who.ID, use)
			w.must(err)
			return d.Allowed
		}
		if !allowed("grants-guide-2026") || allowed("another-guide") || allowed("") {
			w.t.Error("the consent is not to that one thing")
		}

		// It is shown, and can be taken back.
		_, p := w.mail(who.ID, 0)
		a = w.status(w.get("/p/"+p), 200)
		w.says(a, "Asked for once", "Grants guide 2026 Agreed on 3 April 2026")
		if got := shown(a.body); !slices.Equal(got, []string{"item/acme/email/grants-guide-2026"}) {
			w.t.Errorf("ticked are %v", got)
		}
		w.says(w.status(w.post("/p/"+p, url.Values{"do": {"save"}, "shown": {"item/acme/email/grants-guide-2026"}}), 200), "Saved", "You have not agreed to receive anything")
		if allowed("grants-guide-2026") {
			w.t.Error("taken back, and still allowed")
		}
	})
}

func TestS2OneThingAndMore(t *testing.T) {
	each(t, func(w *world) {
		w.says(w.status(w.post(itemForm, filled("grace@example.org")), 200), "and you are subscribed")
		w.says(w.status(w.get(w.confirmLink()), 200), "You asked for Grants guide 2026", "Newsletter", "By Email Phone", "may record which of its emails")
		w.status(w.post(w.confirmLink(), confirming), 200)
		who, err := w.contacts.ByEmail(t.Context(), "grace@example.org")
		w.must(err)
		types, tracked := w.granted(who.ID)
		if !slices.Equal(types, []string{"newsletter", "promotional-offer"}) || !tracked {
			w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
		}
		w.must(w.db.Tx(t.Context(), func(tx *schema.Tx) error {
			return w.ledger.Served(t.Context(), tx, who.ID, w.acme.ID, consent.Email, "grants-guide-2026", "mailer")
		}))
		if after, _ := w.granted(who.ID); !slices.Equal(types, after) {
			w.t.Errorf("once it is served, %v is agreed to", after)
		}
		_, p := w.mail(who.ID, 0)
		if strings.Contains(w.get("/p/"+p).body, "Grants guide") {
			w.t.Error("what was served is still shown")
		}
	})
}

func TestAnItemIsNamedByASlug(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	before := w.dump()
	for _, item := range []string{"", "Grants", "grants guide", "a_b", "<b>", "ü", "a/b", strings.Repeat("x", 101), "a&item=b", "%00"} {
		target := form + "&item=" + item
		if item != "a&item=b" && item != "%00" {
			target = form + "&item=" + url.QueryEscape(item)
		}
		w.status(w.get(target), 404)
		w.status(w.post(target, alone("grace@example.org")), 404)
		w.clock.pass(start.Sub(start.AddDate(0, 0, -1)))
	}
	for _, f := range []url.Values{with(alone("a@example.org"), "tracking", "yes"), with(alone("a@example.org"), "channel", "email"), with(alone("a@example.org"), "topic", "transport")} {
		w.says(w.status(w.post(itemForm, f), 422), "Tick something you would like to receive regularly, or untick the other boxes")
	}
	w.status(w.post(itemForm, with(alone("a@example.org"), "type", "newsletter")), 422)
	w.status(w.post(itemForm, with(alone("a@example.org"), "item", "other")), 400)
	w.unchanged(before, "an item that is none")
	for slug, want := range map[string]string{"grants-guide-2026": "Grants guide 2026", "a": "A", "-": "-", "--x--y-": "X y", "2026": "2026"} {
		if got := titled(slug); got != want {
			t.Errorf("%s is called %q", slug, got)
		}
	}
}

// Who asks for somebody else, such as a caller of the API, can ask for an item, too.
func TestS2AnItemThatSomebodyElseAsksFor(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org")
		_, err := w.pages.Start(t.Context(), consent.Entry{Contact: who, Company: w.acme.ID, Channel: consent.Post, Item: "grants-guide-2026", Notice: "acme-form-1", How: consent.ByAPI, Actor: "crm"})
		w.must(err)
		w.says(w.status(w.get(w.confirmLink()), 200), "You asked for Grants guide 2026", "By Direct Mail")
		w.status(w.post(w.confirmLink(), confirming), 200)
		items, err := w.ledger.Items(t.Context(), w.db, who)
		w.must(err)
		if len(items) != 1 || items[0].Channel != consent.Post {
			w.t.Errorf("asked for is %+v", items)
		}
	})
}
