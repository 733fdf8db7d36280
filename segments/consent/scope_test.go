package consent

import (
	"testing"

	"beckon/schema"
)

func TestS2AConsentToATypeCanEndWhenItIsServed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const papers = "whitepaper-intelligence"
		c := w.contact("individual", "GB")
		w.grant(c, w.acme, papers)
		w.want(c, mail(w.acme, papers), "")
		w.tx(func(tx *schema.Tx) error {
			_, err := w.l.Lapse(w.ctx, tx, c, w.acme, Email, []string{papers}, "mailer")
			return err
		})
		w.want(c, mail(w.acme, papers), NoEvidence)
		// It was no refusal: an import may bring the next consent.
		if r := w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{papers}, How: ByImport}); r.Outcome != Applied {
			t.Errorf("got %+v", r)
		}
		w.want(c, mail(w.acme, papers), "")
	})
}

func TestS3APhoneOnlyContactGetsNoMail(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("individual", "GB")
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Phone, Types: []string{letter}})
		w.want(c, mail(w.acme, letter), OtherConsent)
		w.want(c, segment(w.acme, ""), OtherConsent)
		w.want(c, Use{Company: w.acme, Channel: Phone, Purpose: Segment}, "")
	})
}

func TestS3NothingIsGrantedThatNobodyTicked(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("individual", "GB")
		state, err := w.l.State(w.ctx, w.db, c)
		w.ok(err)
		if len(state) != 0 {
			t.Errorf("a new contact stands as %+v", state)
		}
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Own: true})
		for _, ch := range w.cat.Entries(KindChannel) {
			for _, typ := range w.cat.Slugs(KindType, all) {
				for _, topic := range []string{"", "sexual-health"} {
					u := Use{Company: w.acme, Channel: Channel(ch.Slug), Type: typ, Purpose: Mail}
					if topic != "" {
						u.Topics = []string{topic}
					}
					if d := w.ask(c, u); d.Allowed != (ch.Slug == "email" && typ == letter && topic == "") || d.Mode == Identified {
						t.Errorf("%s by %s, topic %q: %+v", typ, ch.Slug, topic, d)
					}
				}
			}
		}
	})
}

func TestS4AConsentToOneCompanyIsNoneToAnother(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("individual", "GB")
		w.grant(c, w.acme, letter, "group-communications")
		w.want(c, mail(w.acme, letter), "")
		w.want(c, mail(w.bolt, letter), OtherConsent)
		w.want(c, segment(w.bolt, ""), OtherConsent)
	})
}

func TestS6ASpecialTopicNeedsExplicitConsent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		ordinary, explicit := w.contact("individual", "GB"), w.contact("individual", "GB")
		w.grant(ordinary, w.acme, letter)
		w.record(Entry{Contact: explicit, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Topics: []string{"sexual-health", "transport"}, Own: true})
		for _, u := range []Use{mail(w.acme, letter), segment(w.acme, "")} {
			u.Topics = []string{"transport"}
			w.want(ordinary, u, "")
			u.Topics = []string{"transport", "sexual-health"}
			w.want(ordinary, u, NoExplicit)
			w.want(explicit, u, "")
		}
		special := mail(w.acme, letter)
		special.Topics = []string{"sexual-health"}
		t.Run("it can be withdrawn alone, and an import does not bring it back", func(t *testing.T) {
			w.t = t
			w.record(Entry{Contact: explicit, Action: Withdraw, Company: w.acme, Channel: Email, Topics: []string{"sexual-health"}})
			w.want(explicit, special, NoExplicit)
			w.want(explicit, mail(w.acme, letter), "")
			r := w.record(Entry{Contact: explicit, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Topics: []string{"sexual-health"}, How: ByImport})
			if r.Outcome != Partly {
				t.Errorf("got %+v", r)
			}
			w.want(explicit, special, NoExplicit)
		})
		w.t = t
		t.Run("the corporate route does not give it", func(t *testing.T) {
			w.t = t
			c := w.contact("corporate", "GB")
			w.from(c, w.broker)
			u := listMail(w.acme, letter, w.broker)
			u.Topics = []string{"sexual-health"}
			w.want(c, u, NoExplicit)
		})
		w.t = t
	})
}

func TestL2TrackingConsentIsSeparateFromMailingConsent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			mailing, tracking bool
			mail              Reason
			mode              Mode
		}{
			{false, false, NoEvidence, ""},
			{false, true, NoEvidence, ""},
			{true, false, "", Anonymous},
			{true, true, "", Identified},
		} {
			who := w.contact("individual", "GB")
			if c.mailing {
				w.grant(who, w.acme, letter)
			}
			w.track(who, w.acme, c.tracking)
			d := w.ask(who, mail(w.acme, letter))
			if d.Reason != c.mail || d.Mode != c.mode || (d.Epoch > 0) != (c.mode == Identified) {
				t.Errorf("mailing %v, tracking %v: got %+v", c.mailing, c.tracking, d)
			}
			tracked := w.ask(who, Use{Company: w.acme, Purpose: Track})
			if tracked.Allowed != (c.mailing && c.tracking) {
				t.Errorf("mailing %v, tracking %v: track %+v", c.mailing, c.tracking, tracked)
			}
			if d := w.ask(who, mail(w.bolt, letter)); d.Allowed {
				t.Errorf("another company: got %+v", d)
			}
		}
	})
}
