package mailer_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/segments/consent"

	"github.com/emersion/go-msgauth/dkim"
)

func fields(list []segments.FieldError) (all []string) {
	for _, e := range list {
		all = append(all, e.Field)
	}
	return all
}

func TestDraftsAreRefusedFieldByField(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, err := w.companies.Create(t.Context(), segments.Company{Slug: "bolt", Name: "Bolt"})
	w.ok(err)
	foreign, err := w.segments.Create(t.Context(), segments.NewSegment{Name: "s", Company: "bolt", Rule: []byte(`{"combinator":"and","rules":[]}`)})
	w.ok(err)
	phone, err := w.segments.Create(t.Context(), segments.NewSegment{Name: "p", Company: "acme", Channel: consent.Phone, Rule: []byte(`{"combinator":"and","rules":[]}`)})
	w.ok(err)
	m, all := mailer.New(w.options), w.everybody()
	for _, c := range []struct {
		name   string
		change func(*mailer.Draft)
		want   string
	}{
		{"a complete draft", func(*mailer.Draft) {}, ""},
		{"nothing at all", func(d *mailer.Draft) { *d = mailer.Draft{} }, "name subject html type company from audience"},
		{"an unknown company", func(d *mailer.Draft) { d.Company = "none" }, "company"},
		{"an unknown type", func(d *mailer.Draft) { d.Type = "spam" }, "type"},
		{"a sender at another domain", func(d *mailer.Draft) { d.From = "news@bolt.example" }, "from"},
		{"a sender at a domain below", func(d *mailer.Draft) { d.From = "news@mail.acme.example" }, "from"},
		{"a sender that is no mailbox", func(d *mailer.Draft) { d.From = "ACME" }, "from"},
		{"two senders", func(d *mailer.Draft) { d.From = "a@acme.example, b@acme.example" }, "from"},
		{"a line break in the subject", func(d *mailer.Draft) { d.Subject = "Hello\r\nBcc: eve@example.org" }, "subject"},
		{"a line break in the sender", func(d *mailer.Draft) { d.From = "\"A\r\nBcc: x@example.org\" <news@acme.example>" }, "from"},
		{"a reply address that is none", func(d *mailer.Draft) { d.ReplyTo = "us" }, "reply_to"},
		{"an unknown tracking", func(d *mailer.Draft) { d.Tracking = "always" }, "tracking"},
		{"parameters of every kind", func(d *mailer.Draft) { d.UTM = compose.UTM{Source: " beckon ", Content: "ä b"} }, ""},
		{"a parameter that differs by person", func(d *mailer.Draft) { d.UTM.Term = "{{ email }}" }, "utm.term"},
		{"two parameters at fault", func(d *mailer.Draft) {
			d.UTM = compose.UTM{Medium: strings.Repeat("x", 101), Campaign: "a\nb", Source: "ok"}
		}, "utm.medium utm.campaign"},
		{"an endless mail", func(d *mailer.Draft) { d.HTML = strings.Repeat("x", 2<<20) }, "html"},
		{"another company's segment", func(d *mailer.Draft) { d.Audience = mailer.Audience{Segment: foreign.ID} }, "audience.segment"},
		{"a segment to be phoned", func(d *mailer.Draft) { d.Audience = mailer.Audience{Segment: phone.ID} }, "audience.segment"},
		{"an unknown segment", func(d *mailer.Draft) { d.Audience = mailer.Audience{Segment: 99} }, "audience.segment"},
		{"an unknown source", func(d *mailer.Draft) { d.Audience = mailer.Audience{Source: "none"} }, "audience.source"},
		{"two audiences at once", func(d *mailer.Draft) { d.Audience.Source = "none" }, "audience"},
		{"only an exception", func(d *mailer.Draft) { d.Audience = mailer.Audience{Except: []mailer.Audience{all}} }, "audience"},
		{"an unknown part", func(d *mailer.Draft) { d.Audience = mailer.Audience{Any: []mailer.Audience{all, {Source: "none"}}} }, "audience.any[1].source"},
		{"an empty exception", func(d *mailer.Draft) { d.Audience.Except = []mailer.Audience{{}} }, "audience.except[0]"},
		{"parts within parts", func(d *mailer.Draft) {
			d.Audience = mailer.Audience{Any: []mailer.Audience{{Any: []mailer.Audience{all}}}}
		}, "audience.any[0]"},
	} {
		d := w.draft(all)
		c.change(&d)
		_, err := m.Create(t.Context(), d)
		var invalid *segments.Invalid
		got := ""
		if errors.As(err, &invalid) {
			got = strings.Join(fields(invalid.Fields), " ")
		} else if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s is refused for %q, want %q", c.name, got, c.want)
		}
	}
}

func TestACampaignReadsBackAsWritten(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.exec(`UPDATE companies SET tracking = 'strict'`)
		w.source("broker")
		m := mailer.New(w.options)
		d := w.draft(mailer.Audience{Any: []mailer.Audience{w.everybody(), {Source: "broker"}}, Except: []mailer.Audience{{Source: "broker"}}})
		d.ReplyTo, d.Preheader, d.Text, d.SendAt = "hello@acme.example", "Look", "Hello", schema.At(w.now())
		d.UTM = compose.UTM{Source: "beckon", Term: `a "b" & ü`}
		made := w.create(m, d)
		got, err := m.Get(t.Context(), made.ID)
		w.ok(err)
		d.Tracking, d.Honeypot = "strict", new(bool)
		if !reflect.DeepEqual(got, made) || !reflect.DeepEqual(got.Draft, d) || got.Status != mailer.DraftStatus {
			t.Errorf("read back as %+v, want %+v", got, made)
		}
		second := w.create(m, d)
		list, err := m.List(t.Context(), 0, 1)
		w.ok(err)
		older, err := m.List(t.Context(), second.ID, 10)
		w.ok(err)
		if len(list) != 1 || list[0].ID != second.ID || len(older) != 1 || older[0].ID != made.ID {
			t.Errorf("listed %v, then %v", list, older)
		}
		for name, err := range map[string]error{
			"get":    func() error { _, err := m.Get(t.Context(), 99); return err }(),
			"check":  func() error { _, err := m.Check(t.Context(), 99); return err }(),
			"launch": func() error { _, err := m.Launch(t.Context(), 99); return err }(),
			"pause":  func() error { _, err := m.Pause(t.Context(), 99); return err }(),
			"status": func() error { _, err := m.Status(t.Context(), 99); return err }(),
			"test":   m.Test(t.Context(), 99, 0, []string{"a@example.org"}),
		} {
			if !errors.Is(err, segments.ErrNotFound) {
				t.Errorf("%s of a campaign that does not exist: %v", name, err)
			}
		}
	})
}

func TestProblemsKeepACampaignFromBeingLaunched(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	broker := w.source("broker")
	w.optIn(w.person("ann@example.org", "", ""), true)
	w.person("eve@example.org", "broker", "corporate")
	options, all, signer := w.options, w.everybody(), key(t)
	either := mailer.Audience{Any: []mailer.Audience{all, {Source: "broker"}}}
	for _, c := range []struct {
		name  string
		draft func(*mailer.Draft) // before it is created
		spoil func()              // afterwards
		field string
		says  string
		send  int64
	}{
		{"none", nil, nil, "", "", 2},
		{"no postal address", nil, func() { w.exec(`UPDATE companies SET postal_address = ''`) }, "company.postal_address", "postal address", 2},
		{"no privacy policy", nil, func() { w.exec(`UPDATE companies SET privacy_url = ''`) }, "company.privacy_url", "privacy policy", 2},
		{"another domain meanwhile", nil, func() { w.exec(`UPDATE companies SET from_domain = 'acme.test'`) }, "from", "acme.test", 2},
		{"a recalled source", nil, func() { w.exec(`UPDATE sources SET recalled_at = 5`) }, "audience", "recalled", 1},
		{"an expired source", nil, func() { w.exec(`UPDATE sources SET licensed_until = 5`) }, "audience", "licensed until", 1},
		{"a source that cannot be cited", nil, func() { w.exec(`UPDATE sources SET privacy_url = '', transparency_url = ''`) }, "audience", "cited", 1},
		{"a template with an address in a link", func(d *mailer.Draft) { d.HTML += "\n<a href=\"https://x.example/?e={{ email }}\">x</a>" }, nil, "html", "line 3", 2},
		{"no relay", nil, func() { w.options.Relays = nil }, "relay", "BECKON_SMTP", 2},
		{"no https", nil, func() { w.options.BaseURL, w.options.DKIM = "http://mail.acme.example", []*queue.DKIM{signer} }, "public_url", "https", 2},
		{"no key for the domain", nil, func() { w.options.BaseURL = "https://mail.acme.example" }, "from", "BECKON_DKIM", 2},
		{"neither, and the operator knows", nil, func() { w.options.BaseURL, w.options.Insecure = "http://mail.acme.example", true }, "", "", 2},
		{"the company's own public address", nil, func() {
			w.exec(`UPDATE companies SET public_url = 'http://acme.example'`)
			w.options.DKIM = []*queue.DKIM{signer}
		}, "public_url", "http://acme.example", 2},
		{"nobody to send to", func(d *mailer.Draft) { d.Type, d.Audience = "promotional-offer", all }, nil, "audience", "consent-for-something-else", 0},
	} {
		w.options = options
		w.exec(`UPDATE companies SET postal_address = 'London', privacy_url = 'https://acme.example/privacy', from_domain = 'acme.example', public_url = ''`)
		w.exec(`UPDATE sources SET recalled_at = 0, licensed_until = 0, privacy_url = ?`, broker.PrivacyURL)
		d := w.draft(either)
		if c.draft != nil {
			c.draft(&d)
		}
		made := w.create(mailer.New(options), d)
		if c.spoil != nil {
			c.spoil()
		}
		m := mailer.New(w.options)
		check, err := m.Check(t.Context(), made.ID)
		w.ok(err)
		if check.Send != c.send {
			t.Errorf("%s: would send %d, want %d: %+v", c.name, check.Send, c.send, check)
		}
		if c.field == "" {
			if len(check.Problems) > 0 {
				t.Errorf("%s: problems %+v", c.name, check.Problems)
			}
			continue
		}
		if len(check.Problems) != 1 || check.Problems[0].Field != c.field || !strings.Contains(check.Problems[0].Message, c.says) {
			t.Errorf("%s: problems %+v", c.name, check.Problems)
		}
		var refused *mailer.Refused
		if _, err := m.Launch(t.Context(), made.ID); !errors.As(err, &refused) || !slices.Equal(refused.Problems, check.Problems) {
			t.Errorf("%s: launched with %v", c.name, err)
		}
		after, err := m.Get(t.Context(), made.ID)
		w.ok(err)
		var links int
		w.ok(w.Get(t.Context(), &links, `SELECT count(*) FROM links`))
		if after.Status != mailer.DraftStatus || after.LaunchedAt != 0 || links != 0 {
			t.Errorf("%s: the refused launch left %+v and %d links", c.name, after, links)
		}
	}
}

func key(t *testing.T) *queue.DKIM {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d, err := queue.NewDKIM("acme.example", "s1", k)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSignedLettersVerifyAtTheRelay(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.optIn(w.person("ann@example.org", "", ""), true)
	d := key(t)
	w.options.DKIM = []*queue.DKIM{d}
	m := mailer.New(w.options)
	w.run(m)
	w.untilFinished(m, w.launch(m, w.draft(w.everybody())))
	w.ok(m.Test(t.Context(), 1, 0, []string{"me@acme.example"}))
	for _, to := range []string{"ann@example.org", "me@acme.example"} {
		found, err := dkim.VerifyWithOptions(bytes.NewReader(w.relay.to(to)[0].raw), &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) { return []string{d.Record()}, nil }})
		if err != nil || len(found) != 1 || found[0].Err != nil {
			t.Errorf("signatures of the mail to %s: %+v, %v", to, found, err)
			continue
		}
		for _, field := range []string{"List-Unsubscribe", "List-Unsubscribe-Post"} {
			if !slices.ContainsFunc(found[0].HeaderKeys, func(k string) bool { return strings.EqualFold(k, field) }) {
				t.Errorf("%s is not signed", field)
			}
		}
	}
}

func TestTestsGoToTheGivenAddressesAndRecordNothing(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.source("broker")
	w.person("eve@example.org", "broker", "corporate")
	m := mailer.New(w.options)
	c := w.create(m, w.draft(mailer.Audience{Source: "broker"}))
	w.ok(m.Test(t.Context(), c.ID, 0, []string{" Me@acme.example ", "you@acme.example"}))
	if w.relay.total() != 2 || len(w.relay.to("eve@example.org")) != 0 {
		t.Fatalf("the relay has %d", w.relay.total())
	}
	l := w.relay.to("me@acme.example")[0]
	if !strings.HasPrefix(l.head.Get("Subject"), "[Test] News for Alex Sample") || !strings.Contains(l.html, "BROKER Data Ltd") || !strings.Contains(l.text, "https://broker.example/privacy") {
		t.Errorf("the test has the subject %q and says %s", l.head.Get("Subject"), l.text)
	}
	for _, address := range l.tracked() {
		if k, err := w.keys.Open(kindOf(address), tokenOf(address)); err != nil || !k.Test || k.Message != 0 {
			t.Errorf("an address of the test opens to %+v, %v", k, err)
		}
	}
	p, err := m.Preview(t.Context(), c.ID, 0)
	if err != nil || p.Subject != "[Test] News for Alex Sample" || !strings.Contains(p.HTML, "Hello Alex Sample") || !strings.Contains(p.Text, "BROKER Data Ltd") {
		t.Errorf("preview: %v\n%+v", err, p)
	}
	var invalid *segments.Invalid
	if err := m.Test(t.Context(), c.ID, 0, []string{"ok@acme.example", "nonsense"}); !errors.As(err, &invalid) || invalid.Fields[0].Field != "to[1]" {
		t.Errorf("an address that is none: %v", err)
	}
	if s := w.status(m, c.ID); s.Campaign.Status != mailer.DraftStatus || s.Messages[queue.Sent] != 0 {
		t.Errorf("after the test: %+v", s)
	}
	w.exec(`UPDATE campaigns SET html = '{{ nonsense'`)
	var refused *mailer.Refused
	if err := m.Test(t.Context(), c.ID, 0, []string{"me@acme.example"}); !errors.As(err, &refused) || refused.Problems[0].Field != "html" {
		t.Errorf("a broken template: %v", err)
	}
}

func TestATestWithAContactsDataAsksTheGate(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		eve := w.person("eve@example.org", "broker", "corporate")
		ada := w.person("ada@example.org", "", "")
		w.optIn(ada, true)
		other := w.person("other@example.org", "", "")
		left := w.person("left@example.org", "broker", "corporate")
		m := mailer.New(w.options)
		d := w.draft(mailer.Audience{Any: []mailer.Audience{w.everybody(), {Source: "broker"}}})
		d.HTML = strings.Replace(d.HTML, "{{ name }}", "{{ email }}", 1)
		c := w.create(m, d)
		for who, want := range map[id.Contact]struct{ has, hasNot string }{
			eve: {"BROKER Data Ltd", "ada@example.org"}, ada: {"Hello ada@example.org", "BROKER Data Ltd"},
		} {
			p, err := m.Preview(t.Context(), c.ID, who)
			if err != nil || !strings.Contains(p.HTML, want.has) || strings.Contains(p.HTML+p.Text, want.hasNot) {
				t.Errorf("preview for %s: %v\n%s", who, err, p.HTML)
			}
		}
		w.ok(m.Test(t.Context(), c.ID, ada, []string{"me@acme.example"}))
		l := w.relay.to("me@acme.example")[0]
		if !strings.Contains(l.html, "Hello ada@example.org") || w.relay.total() != 1 {
			t.Errorf("the test says %s", l.html)
		}
		links := l.tracked()
		for _, address := range links {
			if k, err := w.keys.Open(kindOf(address), tokenOf(address)); err != nil || !k.Test || k.Message != 0 {
				t.Errorf("an address of the test opens to %+v, %v", k, err)
			}
		}
		if len(links) == 0 {
			t.Error("the test has no links of its own")
		}
		refused := func(who id.Contact, why string) {
			t.Helper()
			var invalid *segments.Invalid
			_, err := m.Preview(t.Context(), c.ID, who)
			if !errors.As(err, &invalid) || invalid.Fields[0].Field != "contact" || !strings.Contains(invalid.Fields[0].Message, why) {
				t.Errorf("%s: %v", who, err)
			}
			if err := m.Test(t.Context(), c.ID, who, []string{"me@acme.example"}); !errors.As(err, &invalid) || w.relay.total() != 1 {
				t.Errorf("a test as %s: %v; the relay has %d", who, err, w.relay.total())
			}
		}
		refused(other, "is not in the audience")
		refused(left+1000, "names no contact")
		w.record(consent.Entry{Contact: left, Action: consent.Object})
		refused(left, "may not be mailed: objected")
		w.record(consent.Entry{Contact: ada, Action: consent.Withdraw})
		refused(ada, "is not in the audience") // the segment's own gate leaves her out
	})
}

func TestPauseResumeAndCancel(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		for i := range 30 {
			w.optIn(w.person(fmt.Sprintf("p%02d@example.org", i), "", ""), false)
		}
		w.options.Relays[0].Connections = 1
		m := mailer.New(w.options)
		var c id.Campaign
		do := make(chan func(), 1)
		w.relay.onMail = func(string) error {
			select {
			case f := <-do:
				f()
			default:
			}
			return nil
		}
		made := w.create(m, w.draft(w.everybody()))
		c = made.ID
		if _, err := m.Pause(t.Context(), c); err == nil {
			t.Error("a draft was paused")
		}
		w.run(m)
		do <- func() { _, err := m.Pause(t.Context(), c); w.ok(err) }
		_, err := m.Launch(t.Context(), c)
		w.ok(err)
		s := w.until(m, c, "the pause", func(s mailer.Status) bool {
			return s.Campaign.Status == mailer.Paused && s.Messages[queue.Sending] == 0
		})
		if s.Messages[queue.Sent] != 1 || s.Messages[queue.Queued] != 29 {
			t.Errorf("paused with %v", s.Messages)
		}
		do <- func() { _, err := m.Cancel(t.Context(), c); w.ok(err) }
		_, err = m.Resume(t.Context(), c)
		w.ok(err)
		s = w.until(m, c, "the cancellation", func(s mailer.Status) bool {
			return s.Campaign.Status == mailer.Cancelled && s.Messages[queue.Sent] == 2
		})
		s = w.until(m, c, "the skipping of the rest", func(s mailer.Status) bool { return s.SkippedReasons[queue.ReasonCancelled] == 28 })
		if w.relay.total() != 2 || s.FinishedAt == 0 {
			t.Errorf("the relay has %d; %+v", w.relay.total(), s)
		}
		if _, err := m.Resume(t.Context(), c); err == nil {
			t.Error("a cancelled campaign was resumed")
		}
	})
}

func TestExceptLeavesPeopleOut(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		w.optIn(w.person("ann@example.org", "", ""), false)
		w.optIn(w.person("dan@example.org", "broker", "corporate"), false)
		m := mailer.New(w.options)
		a := w.everybody()
		a.Except = []mailer.Audience{{Source: "broker"}}
		c := w.create(m, w.draft(a))
		check, err := m.Check(t.Context(), c.ID)
		w.ok(err)
		if check.Send != 1 || len(check.LeftOut) != 0 {
			t.Errorf("check: %+v", check)
		}
		w.run(m)
		_, err = m.Launch(t.Context(), c.ID)
		w.ok(err)
		w.untilFinished(m, c.ID)
		if w.relay.total() != 1 || len(w.relay.to("ann@example.org")) != 1 {
			t.Errorf("the relay has %d", w.relay.total())
		}
	})
}

func TestEverySourceIsCitedUnlessThePersonCameFirst(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		w.source("lender")
		w.source("seller")
		both := w.person("both@example.org", "broker", "corporate")
		first := w.person("first@example.org", "", "")
		w.advance(time.Hour)
		w.person("both@example.org", "lender", "")
		w.person("both@example.org", "seller", "")
		w.person("first@example.org", "lender", "")
		w.exec(`UPDATE contact_sources SET recalled_at = 5 WHERE source = 3`) // that origin only
		w.optIn(both, false)
		w.optIn(first, false)
		m := mailer.New(w.options)
		w.run(m)
		c := w.launch(m, w.draft(w.everybody()))
		if s := w.untilFinished(m, c); s.Messages[queue.Sent] != 2 {
			t.Fatalf("messages: %v %v", s.Messages, s.SkippedReasons)
		}
		for address, want := range map[string][]string{"both@example.org": {"BROKER", "LENDER"}, "first@example.org": nil} {
			l := w.relay.to(address)[0]
			for _, part := range []string{l.html, l.text} {
				for _, name := range []string{"BROKER", "LENDER", "SELLER"} {
					if strings.Contains(part, name) != slices.Contains(want, name) {
						t.Errorf("the mail to %s and %s: %s", address, name, part)
					}
				}
			}
		}
	})
}
