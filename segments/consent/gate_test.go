package consent

import (
	"errors"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

const letter, promo = "newsletter", "promotional-offer"

// Two things that can be asked for.
const paper, guide = "grants-2026", "field-guide"

// The table of the design, section 5, row by row.
func TestTheGateFollowsTheTable(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		corporate := func() id.Contact {
			c := w.contact("corporate", "GB")
			w.from(c, w.broker)
			return c
		}
		block := func(b Block) func() id.Contact {
			return func() id.Contact {
				c := corporate()
				w.grant(c, w.acme, letter)
				w.tx(func(tx *schema.Tx) error {
					var email string
					w.ok(tx.Get(w.ctx, &email, `SELECT email FROM contacts WHERE id = ?`, c))
					return w.l.Suppress(w.ctx, tx, email, b)
				})
				return c
			}
		}
		source := func(set string) func() id.Contact {
			return func() id.Contact {
				c := corporate()
				w.exec(`UPDATE contact_sources SET `+set+` WHERE contact = ?`, c)
				return c
			}
		}
		no := func(e Entry) func() id.Contact {
			return func() id.Contact {
				c := corporate()
				e.Contact = c
				w.record(e)
				return c
			}
		}
		for _, c := range []struct {
			name                string
			contact             func() id.Contact
			segment, mail, list Reason
		}{
			{"a confirmed opt-in to this company, channel and type", func() id.Contact {
				c := corporate()
				w.grant(c, w.acme, letter)
				return c
			}, "", "", ""},
			{"opted in to another company only", func() id.Contact {
				c := corporate()
				w.grant(c, w.bolt, letter)
				return c
			}, OtherConsent, OtherConsent, OtherConsent},
			{"opted in to another channel only", func() id.Contact {
				c := corporate()
				w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Phone, Types: []string{letter}})
				return c
			}, OtherConsent, OtherConsent, OtherConsent},
			{"opted in to another type only", func() id.Contact {
				c := corporate()
				w.grant(c, w.acme, promo)
				return c
			}, OtherConsent, OtherConsent, OtherConsent},
			{"an own contact without consent evidence", func() id.Contact { return w.contact("corporate", "GB") }, NoEvidence, NoEvidence, NotFromSource},
			{"from a source, corporate, in a country with the corporate route", corporate, NoConsent, NoConsent, ""},
			{"from a source, subscriber kind unknown", func() id.Contact {
				c := w.contact("", "GB")
				w.from(c, w.broker)
				return c
			}, NoConsent, NoConsent, UnknownKind},
			{"from a source, an individual", func() id.Contact {
				c := w.contact("individual", "GB")
				w.from(c, w.broker)
				return c
			}, NoConsent, NoConsent, Individual},
			{"from a source, corporate, in another country", func() id.Contact {
				c := w.contact("corporate", "DE")
				w.from(c, w.broker)
				return c
			}, NoConsent, NoConsent, CountryRoute},
			{"from a source, corporate, country not known", func() id.Contact {
				c := w.contact("corporate", "")
				w.from(c, w.broker)
				return c
			}, NoConsent, NoConsent, CountryRoute},
			{"from another source", func() id.Contact {
				c := w.contact("corporate", "GB")
				w.from(c, w.fair)
				return c
			}, NoConsent, NoConsent, NotFromSource},
			{"the origin was recalled", source(`recalled_at = 1`), NoConsent, NoConsent, Recalled},
			{"the origin's licence ended", source(`licence_end = 1`), NoConsent, NoConsent, Licence},
			{"a request that was not confirmed", func() id.Contact {
				c := w.contact("corporate", "GB")
				w.record(Entry{Contact: c, Action: Request, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1"})
				return c
			}, NoEvidence, NoEvidence, NotFromSource},
			{"withdrew from this type", no(Entry{Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}}), Withdrawn, Withdrawn, Withdrawn},
			{"withdrew from another company", no(Entry{Action: Withdraw, Company: w.bolt, Channel: Email}), NoConsent, NoConsent, Withdrawn},
			{"withdrew from every company's mail", no(Entry{Action: Withdraw, Channel: Email}), Withdrawn, Withdrawn, Withdrawn},
			{"withdrew from everything", no(Entry{Action: Withdraw}), Withdrawn, Withdrawn, Withdrawn},
			{"objected", no(Entry{Action: Object}), Objected, Objected, Objected},
			{"objected to this company", no(Entry{Action: Object, Company: w.acme}), Withdrawn, Withdrawn, Withdrawn},
			{"restricted", no(Entry{Action: Restrict}), Restricted, Restricted, Restricted},
			{"bounced", block(BlockBounced), Bounced, Bounced, Bounced},
			{"complained", block(BlockComplained), Complained, Complained, Complained},
			{"under 13", block(BlockUnderAge), UnderAge, UnderAge, UnderAge},
			{"erased", block(BlockErased), Erased, Erased, Erased},
			{"suppressed as objecting", block(BlockObjected), Objected, Objected, Objected},
			{"suppressed as withdrawn", block(BlockWithdrawn), Withdrawn, Withdrawn, Withdrawn},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.t = t
				who := c.contact()
				w.want(who, segment(w.acme, letter), c.segment)
				w.want(who, Use{Company: w.acme, Channel: Email, Type: letter, Purpose: Export}, c.segment)
				w.want(who, mail(w.acme, letter), c.mail)
				w.want(who, listMail(w.acme, letter, w.broker), c.list)
			})
		}
		w.t = t
	})
}

func TestS10ASourceIsUsedAsItPermits(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		end := schema.At(w.clock.Add(time.Hour))
		for _, c := range []struct {
			name, set string
			want      Reason
		}{
			{"all is in order", `slug = slug`, ""},
			{"it permits phone only", `permitted_uses = '|phone|'`, SourceUse},
			{"it permits nothing", `permitted_uses = ''`, SourceUse},
			{"it permits something that only looks like email", `permitted_uses = '|email-append|'`, SourceUse},
			{"no lawful basis is recorded", `lawful_basis = ''`, NoBasis},
			{"it was recalled", `recalled_at = 1`, Recalled},
			{"its licence ended", `licensed_until = 1`, Licence},
			{"it has no policy to link to", `privacy_url = '', transparency_url = ''`, Uncitable},
			{"it has no name", `name = ''`, Uncitable},
			{"it has a transparency policy only", `privacy_url = '', transparency_url = 'https://x.example/'`, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.t = t
				s := w.source(c.name, `privacy_url = 'https://x.example/', lawful_basis = 'legitimate interests', permitted_uses = '|email|'`)
				who := w.contact("corporate", "GB")
				w.from(who, s)
				w.exec(`UPDATE sources SET `+c.set+` WHERE id = ?`, s)
				w.want(who, listMail(w.acme, letter, s), c.want)
			})
		}
		w.t = t
		t.Run("S10 the licence ends to the microsecond", func(t *testing.T) {
			w.t = t
			who := w.contact("corporate", "GB")
			w.from(who, w.broker)
			w.exec(`UPDATE contact_sources SET licence_end = ? WHERE contact = ?`, end, who)
			w.clock = end.T().Add(-time.Microsecond)
			w.want(who, listMail(w.acme, letter, w.broker), "")
			w.clock = end.T()
			w.want(who, listMail(w.acme, letter, w.broker), Licence)
		})
		w.t = t
	})
}

func TestL19TheCorporateRouteIsAllowedPerCountry(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		uk, fr := w.contact("corporate", "GB"), w.contact("corporate", "FR")
		w.from(uk, w.broker)
		w.from(fr, w.broker)
		use := listMail(w.acme, letter, w.broker)
		for _, c := range []struct {
			countries []string
			uk, fr    Reason
		}{
			{nil, "", CountryRoute},
			{[]string{"GB", "FR"}, "", ""},
			{[]string{"FR"}, CountryRoute, ""},
			{[]string{}, CountryRoute, CountryRoute},
		} {
			w.g = NewGate(w.db, w.cat, GateOptions{CorporateCountries: c.countries, Now: func() time.Time { return w.clock }})
			w.want(uk, use, c.uk)
			w.want(fr, use, c.fr)
		}
	})
}

func TestL5AnUnknownKindFromASourceIsSkippedUnlessItOptedIn(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "GB")
		w.from(c, w.broker)
		w.want(c, listMail(w.acme, letter, w.broker), UnknownKind)
		w.record(Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByImport})
		w.want(c, listMail(w.acme, letter, w.broker), "")
		w.want(c, listMail(w.bolt, letter, w.broker), OtherConsent)
	})
}

func TestL20CitationAndRecall(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("corporate", "GB")
		w.from(c, w.broker)
		w.from(c, w.fair)
		w.grant(c, w.acme, letter)
		cites := func(u Use, want ...id.Source) {
			t.Helper()
			d := w.ask(c, u)
			aud, err := w.g.Cite(w.ctx, w.db, c, u.Audience)
			w.ok(err)
			if !d.Allowed || !equal(d.Cite, want) || !equal(aud, want) {
				t.Errorf("got %+v and %v, want to cite %v", d, aud, want)
			}
		}
		cites(mail(w.acme, letter), w.broker, w.fair)
		cites(listMail(w.acme, letter, w.fair), w.fair)
		w.exec(`UPDATE contact_sources SET recalled_at = 1 WHERE contact = ? AND source = ?`, c, w.fair)
		cites(mail(w.acme, letter), w.broker)
		w.want(c, listMail(w.acme, letter, w.fair), Recalled)
		w.want(c, listMail(w.acme, letter, w.broker), "")
		w.exec(`UPDATE contacts SET own_at = 5 WHERE id = ?`, c)
		cites(mail(w.acme, letter))
		cites(listMail(w.acme, letter, w.broker), w.broker)
	})
}

func TestS9AMailThatCannotCiteIsNotSent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		mute := w.source("mute", `permitted_uses = '|email|'`)
		c := w.contact("corporate", "GB")
		w.from(c, mute)
		w.grant(c, w.acme, letter)
		w.want(c, mail(w.acme, letter), Uncitable)
		w.want(c, segment(w.acme, letter), "") // nothing is sent by counting
		w.exec(`UPDATE contacts SET own_at = 5 WHERE id = ?`, c)
		w.want(c, mail(w.acme, letter), "")
	})
}

func TestTheGateFailsClosed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("corporate", "GB")
		w.from(c, w.broker)
		w.grant(c, w.acme, letter)
		good := mail(w.acme, letter)
		for name, change := range map[string]func(*Use){
			"unknown type":          func(u *Use) { u.Type = "spam" },
			"no type":               func(u *Use) { u.Type = "" },
			"unknown channel":       func(u *Use) { u.Channel = "fax" },
			"no channel":            func(u *Use) { u.Channel = "" },
			"unknown topic":         func(u *Use) { u.Topics = []string{"love"} },
			"no company":            func(u *Use) { u.Company = 0 },
			"no purpose":            func(u *Use) { u.Purpose = "" },
			"track by phone":        func(u *Use) { u.Purpose, u.Channel = Track, Phone },
			"an item's name":        func(u *Use) { u.Item = "no slug" },
			"an item for a segment": func(u *Use) { u.Item, u.Purpose = paper, Segment },
			"an item and tracking":  func(u *Use) { u.Item, u.Purpose = paper, Track },
			"an item for a list":    func(u *Use) { u.Item, u.Audience = paper, SourceAudience(w.broker) },
		} {
			u := good
			change(&u)
			d, err := w.g.Ask(w.ctx, c, u)
			if err == nil || d.Allowed || d.Reason != Unreadable {
				t.Errorf("%s: got %+v, %v", name, d, err)
			}
			a, aerr := w.g.Allowed(u, "c.id", "")
			r, rerr := w.g.Refusal(u, "c.id", "")
			if aerr == nil || rerr == nil {
				t.Errorf("%s: fragments say nothing", name)
			}
			var n int
			w.ok(w.db.Get(w.ctx, &n, `SELECT count(*) FROM contacts c WHERE `+a.SQL+` OR `+r.SQL+` <> 'unreadable'`))
			if n != 0 {
				t.Errorf("%s: the fragments let %d through", name, n)
			}
		}
		t.Run("without a catalogue", func(t *testing.T) {
			g := NewGate(w.db, nil, GateOptions{})
			if d, err := g.Ask(w.ctx, c, good); err == nil || d.Allowed {
				t.Errorf("got %+v, %v", d, err)
			}
			if f, err := g.HasType("c.id", "1", letter); err == nil || f.SQL != refuseAll.SQL {
				t.Errorf("got %+v, %v", f, err)
			}
		})
		t.Run("without a subject row", func(t *testing.T) {
			w.t = t
			w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, c, 0) })
			w.want(c, good, NotFound)
			w.want(c, segment(w.acme, letter), NotFound)
			w.want(c, listMail(w.acme, letter, w.broker), NotFound)
		})
		t.Run("when the database does not answer", func(t *testing.T) {
			w.db.Close()
			d, err := w.g.Ask(w.ctx, c, good)
			if err == nil || d.Allowed || d.Reason != Unreadable {
				t.Errorf("got %+v, %v", d, err)
			}
		})
	})
}

func TestFragmentsForRules(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("individual", "GB")
		at := schema.At(w.clock)
		w.grant(c, w.acme, letter)
		w.track(c, w.acme, true)
		holds := func(f Fragment) bool {
			t.Helper()
			var v bool
			w.ok(w.db.Get(w.ctx, &v, `SELECT `+f.SQL+` FROM contacts c JOIN companies co ON co.slug = 'acme' WHERE c.id = ?`, append(f.Args, c)...))
			return v
		}
		has := func(types ...string) bool {
			f, err := w.g.HasType("c.id", "co.id", types...)
			w.ok(err)
			return holds(f)
		}
		if !has(letter) || !has(promo, letter) || has(promo) || has() {
			t.Error("HasType")
		}
		var slug *ErrUnknownSlug
		if f, err := w.g.HasType("c.id", "co.id", letter, "spam"); !errors.As(err, &slug) || slug.Slug != "spam" || f.SQL != refuseAll.SQL {
			t.Errorf("got %v, %v", f, err)
		}
		var granted schema.Time
		f := w.g.GrantedAt("c.id", "co.id", Email)
		w.ok(w.db.Get(w.ctx, &granted, `SELECT `+f.SQL+` FROM contacts c JOIN companies co ON co.slug = 'acme' WHERE c.id = ?`, append(f.Args, c)...))
		if granted != at {
			t.Errorf("granted at %v, want %v", granted, at)
		}
		if !holds(w.g.TrackOpen("c.id", "co.id", "1")) || holds(w.g.TrackOpen("c.id", "co.id", "2")) || holds(w.g.TrackOpen("c.id", "co.id", "0")) {
			t.Error("TrackOpen")
		}
		w.record(Entry{Contact: c, Action: Restrict})
		if has(letter) || holds(w.g.TrackOpen("c.id", "co.id", "1")) {
			t.Error("a restricted contact passes")
		}
	})
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
