package mailer_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/tracker/token"

	"github.com/emersion/go-smtp"
)

var (
	beaconForm = regexp.MustCompile(`http://127\.0\.0\.1:8080/o/[A-Za-z0-9_-]+\.gif`)
	oneClick   = regexp.MustCompile(`^<http://127\.0\.0\.1:8080/u/[A-Za-z0-9_-]+>(,\s*<mailto:[^<>]+>)?$`) // one address of the web, first
	clickForm  = regexp.MustCompile(`http://127\.0\.0\.1:8080/c/[A-Za-z0-9_-]+`)
)

// tracked are the tracked addresses of a letter, of both parts.
func (l letter) tracked() []string {
	found := append(beaconForm.FindAllString(l.html, -1), clickForm.FindAllString(l.html+l.text, -1)...)
	return found
}

func TestS9S19B1B17TheMainJob(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		for _, n := range []string{"ann", "bob"} { // opted in, not to be followed
			w.optIn(w.person(n+"@example.org", "", ""), false)
		}
		cat, dan := w.person("cat@example.org", "", ""), w.person("dan@example.org", "broker", "corporate")
		w.optIn(cat, true)
		w.optIn(dan, false) // of a source, and opted in
		w.person("eve@example.org", "broker", "corporate")
		w.person("fay@example.org", "broker", "")           // kind unknown
		w.person("gus@example.org", "broker", "individual") // no consent
		w.person("hal@example.org", "", "")                 // own, without evidence: on no list at all
		m := mailer.New(w.options)
		all := mailer.Audience{Any: []mailer.Audience{{Source: "broker"}, w.everybody()}}
		c := w.create(m, w.draft(all))

		check, err := m.Check(t.Context(), c.ID)
		w.ok(err)
		if len(check.Problems) > 0 || check.Send != 5 || check.Cited != 2 || check.Identified != 1 || check.Anonymous != 4 {
			t.Fatalf("check: %+v", check)
		}
		if check.LeftOut["subscriber-kind-unknown"] != 1 || check.LeftOut["individual-without-consent"] != 1 || len(check.LeftOut) != 2 {
			t.Errorf("left out: %v", check.LeftOut)
		}
		w.run(m)
		_, err = m.Launch(t.Context(), c.ID)
		w.ok(err)
		s := w.untilFinished(m, c.ID)
		if s.Messages[queue.Sent] != 5 || w.relay.total() != 5 || s.LeftOut["subscriber-kind-unknown"] != 1 || s.Plain {
			t.Errorf("status: %+v", s)
		}

		// The same beacon and links for all who did not agree to be followed, others for her who did.
		ann, catMail := w.relay.to("ann@example.org")[0], w.relay.to("cat@example.org")[0]
		if got := ann.tracked(); len(got) < 5 {
			t.Fatalf("tracked addresses: %v in %s", got, ann.html)
		}
		for _, n := range []string{"bob", "dan", "eve"} {
			if got := w.relay.to(n + "@example.org")[0].tracked(); !slices.Equal(got, ann.tracked()) {
				t.Errorf("%s can be told from ann: %v", n, got)
			}
		}
		for i, address := range catMail.tracked() {
			if slices.Contains(ann.tracked(), address) {
				t.Errorf("cat's tracked address %d is the shared one", i)
			}
			k, err := w.keys.Open(kindOf(address), tokenOf(address))
			if err != nil || k.Message == 0 || k.Campaign != c.ID {
				t.Errorf("cat's tracked address %d opens to %+v, %v", i, k, err)
			}
		}
		for _, address := range ann.tracked() {
			if k, err := w.keys.Open(kindOf(address), tokenOf(address)); err != nil || k.Message != 0 || k.Campaign != c.ID || k.Test {
				t.Errorf("a shared address opens to %+v, %v", k, err)
			}
		}

		// Every sourced recipient's mail names the source in both parts; nobody else's names any.
		for _, n := range []string{"ann", "bob", "cat", "dan", "eve"} {
			l := w.relay.to(n + "@example.org")[0]
			for _, part := range []string{l.html, l.text} {
				for _, want := range []string{"BROKER Data Ltd", "https://broker.example/privacy", "https://broker.example/transparency"} {
					if cited := strings.Contains(part, want); cited != (n == "dan" || n == "eve") {
						t.Errorf("%s's mail and %q: %v\n%s", n, want, cited, part)
					}
				}
				for _, want := range []string{"Unsubscribe", "Preferences", "1 High Street"} {
					if !strings.Contains(part, want) {
						t.Errorf("%s's mail lacks %q", n, want)
					}
				}
			}
			if lists := l.head["List-Unsubscribe"]; len(lists) != 1 || !oneClick.MatchString(lists[0]) {
				t.Errorf("%s's mail has the header %q", n, lists)
			}
			if l.head.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || !strings.Contains(l.head.Get("From"), "news@acme.example") || l.from != "news@acme.example" {
				t.Errorf("%s's mail has the headers %v, from %s", n, l.head, l.from)
			}
		}
		if text := w.relay.to("eve@example.org")[0].text; !strings.Contains(text, "BROKER Data Ltd passed on your business address to ACME") {
			t.Errorf("eve is told: %s", text)
		}
		if text := w.relay.to("dan@example.org")[0].text; !strings.Contains(text, "opted in to Newsletter of ACME") {
			t.Errorf("dan is told: %s", text)
		}

		var stored []struct {
			Email string       `db:"email"`
			Via   int          `db:"via"`
			Mode  consent.Mode `db:"mode"`
			Cited string       `db:"cited"`
		}
		w.ok(w.Select(t.Context(), &stored, `SELECT c.email, m.via, m.mode, m.cited FROM messages m JOIN contacts c ON c.id = m.contact ORDER BY c.email`))
		if got := fmt.Sprint(stored); got != "[{ann@example.org 0 anonymous } {bob@example.org 0 anonymous } {cat@example.org 0 identified } {dan@example.org 0 anonymous |1|} {eve@example.org 1 anonymous |1|}]" {
			t.Errorf("stored: %s", got)
		}
		var links []string
		w.ok(w.Select(t.Context(), &links, `SELECT url FROM links WHERE campaign = ? ORDER BY position`, c.ID))
		if !slices.Equal(links, []string{"https://acme.example/offer?a=1&b=2", "https://acme.example/two"}) {
			t.Errorf("links: %q", links)
		}
	})
}

func kindOf(address string) token.Kind {
	if strings.Contains(address, "/o/") {
		return token.Beacon
	}
	return token.Click
}

func tokenOf(address string) string {
	return strings.TrimSuffix(address[strings.LastIndexByte(address, '/')+1:], ".gif")
}

func TestL15FewAnonymousRecipientsGetPlainLinks(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.optIn(w.person("ann@example.org", "", ""), false)
		w.optIn(w.person("cat@example.org", "", ""), true)
		m := mailer.New(w.options)
		w.run(m)
		c := w.launch(m, w.draft(w.everybody()))
		s := w.untilFinished(m, c)
		ann, cat := w.relay.to("ann@example.org")[0], w.relay.to("cat@example.org")[0]
		if !s.Plain || len(ann.tracked()) != 0 || !strings.Contains(ann.html, "https://acme.example/two") {
			t.Errorf("the only anonymous recipient got %v", ann.tracked())
		}
		if len(cat.tracked()) == 0 {
			t.Error("who agreed to be followed is not")
		}
	})
}

func TestL4StrictAndOff(t *testing.T) {
	for tracking, followed := range map[string]int{"strict": 1, "off": 0} {
		w := newWorld(t, servertest.SQLite(t))
		for _, n := range []string{"ann", "bob", "dee"} {
			w.optIn(w.person(n+"@example.org", "", ""), false)
		}
		w.optIn(w.person("cat@example.org", "", ""), true)
		m := mailer.New(w.options)
		w.run(m)
		d := w.draft(w.everybody())
		d.Tracking = tracking
		c := w.launch(m, d)
		w.untilFinished(m, c)
		n := 0
		for _, who := range []string{"ann", "bob", "dee", "cat"} {
			if len(w.relay.to(who + "@example.org")[0].tracked()) > 0 {
				n++
			}
		}
		if n != followed {
			t.Errorf("%s: %d letters hold tracked addresses, want %d", tracking, n, followed)
		}
	}
}

func TestANoBetweenBuildAndSendingHolds(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		w.source("lender")
		for i := range 4 {
			w.optIn(w.person(fmt.Sprintf("own%d@example.org", i), "", ""), false)
		}
		w.person("eve@example.org", "broker", "corporate")
		w.person("fay@example.org", "lender", "corporate")
		w.person("gus@example.org", "broker", "corporate")
		w.options.Relays[0].Connections = 1
		m := mailer.New(w.options)
		var once sync.Once
		w.relay.onMail = func(string) error { // everybody is queued by now
			once.Do(func() {
				own, err := w.contacts.ByEmail(t.Context(), "own3@example.org")
				w.ok(err)
				w.record(consent.Entry{Contact: own.ID, Action: consent.Withdraw, Types: []string{"newsletter"}, Own: true, How: consent.ByPage})
				gus, err := w.contacts.ByEmail(t.Context(), "gus@example.org")
				w.ok(err)
				w.record(consent.Entry{Contact: gus.ID, Action: consent.Object, Own: true, How: consent.ByPage})
				_, _, err = w.sources.Recall(t.Context(), "lender")
				w.ok(err)
				w.exec(`UPDATE sources SET licensed_until = ? WHERE slug = 'broker'`, schema.At(w.now()).Add(-time.Hour))
			})
			return nil
		}
		w.run(m)
		c := w.launch(m, w.draft(mailer.Audience{Any: []mailer.Audience{w.everybody(), {Source: "broker"}, {Source: "lender"}}}))
		s := w.untilFinished(m, c)
		want := map[string]int64{"withdrawn": 1, "objected": 1, "recalled": 1, "licence-ended": 1}
		if s.Messages[queue.Sent] != 3 || w.relay.total() != 3 {
			t.Errorf("sent %d, the relay has %d", s.Messages[queue.Sent], w.relay.total())
		}
		for reason, n := range want {
			if s.SkippedReasons[reason] != n {
				t.Errorf("skipped: %v, want %v", s.SkippedReasons, want)
			}
		}
	})
}

func TestARestartGoesOn(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		const recipients = 60
		for i := range recipients {
			w.optIn(w.person(fmt.Sprintf("p%02d@example.org", i), "", ""), i%2 == 0)
		}
		halfway, told := make(chan struct{}), make(chan struct{})
		w.stopping = sync.OnceFunc(func() { close(told) })
		n := 0
		w.relay.onMail = func(string) error {
			w.relay.mu.Lock()
			n++
			taken := n
			w.relay.mu.Unlock()
			if taken == recipients/2 {
				close(halfway)
			}
			if taken >= recipients/2 {
				<-told
			}
			return nil
		}
		first := mailer.New(w.options)
		stop := w.run(first)
		c := w.launch(first, w.draft(w.everybody()))
		<-halfway
		stop()
		s := w.status(first, c)
		if s.Campaign.Status != mailer.Sending || s.Messages[queue.Sending] != 0 || s.Messages[queue.Unknown] != 0 {
			t.Errorf("stopped: %s, %+v", s.Campaign.Status, s.Messages)
		}
		second := mailer.New(w.options)
		w.run(second)
		s = w.untilFinished(second, c)
		if s.Messages[queue.Sent] != recipients || w.relay.total() != recipients {
			t.Errorf("sent %d, the relay has %d", s.Messages[queue.Sent], w.relay.total())
		}
		for i := range recipients {
			if got := len(w.relay.to(fmt.Sprintf("p%02d@example.org", i))); got != 1 {
				t.Errorf("recipient %d has %d mails", i, got)
			}
		}
	})
}

func TestHardBouncesAreSuppressed(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		ann := w.person("ann@example.org", "", "")
		w.optIn(ann, true)
		w.optIn(w.person("bob@example.org", "", ""), false)
		w.relay.onMail = func(to string) error {
			if to == "ann@example.org" {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			}
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "blocked"}
		}
		m := mailer.New(w.options)
		w.run(m)
		c := w.launch(m, w.draft(w.everybody()))
		s := w.untilFinished(m, c)
		if s.Messages[queue.Failed] != 2 {
			t.Errorf("messages: %v", s.Messages)
		}
		blocked, err := w.ledger.Suppressed(t.Context(), db, []string{"ann@example.org", "bob@example.org"})
		w.ok(err)
		if blocked["ann@example.org"] != consent.BlockBounced || blocked["bob@example.org"] != 0 {
			t.Errorf("suppressed: %v", blocked)
		}
	})
}

func TestScheduledCampaignsStartAtTheirTime(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.optIn(w.person("ann@example.org", "", ""), false)
		m := mailer.New(w.options)
		w.run(m)
		d := w.draft(w.everybody())
		d.SendAt = schema.At(w.now().Add(time.Hour))
		c := w.launch(m, d)
		if s := w.status(m, c); s.Campaign.Status != mailer.Scheduled {
			t.Fatalf("launched, and is %s", s.Campaign.Status)
		}
		paused, err := m.Pause(t.Context(), c)
		w.ok(err)
		resumed, err := m.Resume(t.Context(), c)
		w.ok(err)
		if paused.Status != mailer.Paused || resumed.Status != mailer.Scheduled {
			t.Errorf("paused %s, resumed %s", paused.Status, resumed.Status)
		}
		w.optIn(w.person("bob@example.org", "", ""), false) // in time
		w.advance(time.Hour)
		if s := w.untilFinished(m, c); s.Messages[queue.Sent] != 2 {
			t.Errorf("messages: %v", s.Messages)
		}
	})
}

func TestWhatIsUnknownIsResolvedByAPerson(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.optIn(w.person("ann@example.org", "", ""), false)
	m := mailer.New(w.options)
	stop := w.run(m)
	c := w.launch(m, w.draft(w.everybody()))
	w.untilFinished(m, c)
	stop()
	w.exec(`UPDATE messages SET status = 'unknown', lease_end = ?`, schema.At(w.now()))
	if r, err := m.ResolveUnknown(t.Context(), c, "resend"); err != nil || r != (queue.Resolution{Early: 1}) {
		t.Errorf("too early: %+v, %v", r, err)
	}
	w.advance(time.Hour)
	if r, err := m.ResolveUnknown(t.Context(), c, "resend"); err != nil || r.Changed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	m = mailer.New(w.options)
	w.run(m)
	if s := w.untilFinished(m, c); s.Messages[queue.Sent] != 1 || w.relay.total() != 2 {
		t.Errorf("sent %d, the relay has %d", s.Messages[queue.Sent], w.relay.total())
	}
	if _, err := m.ResolveUnknown(t.Context(), c, "forget"); err == nil {
		t.Error("an unknown action was taken")
	}
}

func TestAMailThatNoLongerComposesPausesTheCampaign(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.optIn(w.person("ann@example.org", "", ""), false)
	m := mailer.New(w.options)
	c := w.launch(m, w.draft(w.everybody()))
	w.exec(`UPDATE campaigns SET html = '<a href="https://x.example/{{ email }}">x</a>'`)
	w.run(m)
	s := w.until(m, c, "the pause", func(s mailer.Status) bool { return s.Campaign.Status == mailer.Paused })
	if !strings.Contains(s.StatusNote, "cannot be composed") || w.relay.total() != 0 {
		t.Errorf("the note is %q", s.StatusNote)
	}
	var status *mailer.StatusError
	if _, err := m.Launch(t.Context(), c); !errors.As(err, &status) || status.Status != mailer.Paused {
		t.Errorf("launched twice: %v", err)
	}
}
