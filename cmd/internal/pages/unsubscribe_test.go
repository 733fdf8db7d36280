package pages

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

const oneClick = "List-Unsubscribe=One-Click"

func TestB3OneClickEndsTheTypeOfTheMail(t *testing.T) {
	each(t, func(w *world) {
		for name, post := range map[string]func(target string) answer{
			"urlencoded":             func(u string) answer { return w.do("POST", u, echo.MIMEApplicationForm, strings.NewReader(oneClick)) },
			"multipart":              func(u string) answer { return w.multipart(u, map[string]string{"List-Unsubscribe": "One-Click"}) },
			"without a content type": func(u string) answer { return w.do("POST", u, "", strings.NewReader(oneClick)) },
			"with a charset": func(u string) answer {
				return w.do("POST", u, "application/x-www-form-urlencoded; charset=UTF-8", strings.NewReader(oneClick))
			},
			"in another case":      func(u string) answer { return w.do("POST", u, "", strings.NewReader("list-unsubscribe=one-click")) },
			"among other fields":   func(u string) answer { return w.do("POST", u, "", strings.NewReader(oneClick+"&source=mua")) },
			"by the page's button": func(u string) answer { return w.post(u, url.Values{"choice": {"type"}}) },
		} {
			who := w.person(strings.ReplaceAll(name, " ", "-")[:6]+"@example.org", "newsletter", "company-updates")
			u, _ := w.mail(who, 0)
			w.says(w.status(post("/u/"+u), http.StatusOK), "No more “Newsletter”")
			if types, tracked := w.granted(who); !slices.Equal(types, []string{"company-updates"}) || !tracked {
				t := types
				w.t.Errorf("%s: %v is agreed to, tracking %v", name, t, tracked)
			}
			before, _ := w.granted(who)
			w.status(post("/u/"+u), http.StatusOK)
			if after, _ := w.granted(who); !slices.Equal(before, after) {
				w.t.Errorf("%s: the second POST left %v", name, after)
			}
		}
	})
}

func TestB3WhatIsNotAnUnsubscribeChangesNothing(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		test, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 7, Test: true})
		w.must(err)
		unknown, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 7, Message: 999})
		w.must(err)
		foreign, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 8, Message: 1})
		w.must(err)
		before := w.dump()
		for _, c := range []struct {
			name, token, kind, body string
			want                    int
		}{
			{"garbage in the body", u, "", "\x00\xff%%%", 400},
			{"an empty body", u, "", "", 400},
			{"another value", u, "", "List-Unsubscribe=No", 400},
			{"the value twice", u, "", oneClick + "&" + oneClick, 400},
			{"a choice that was not offered", u, "", "choice=nothing", 400},
			{"broken multipart", u, "multipart/form-data; boundary=x", "--x\r\nbroken", 400},
			{"multipart without boundary", u, "multipart/form-data", oneClick, 400},
			{"a file", u, "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"; filename=\"a\"\r\n\r\nOne-Click\r\n--x--\r\n", 400},
			{"a body without end", u, "", "choice=" + strings.Repeat("x", maxForm), 400},
			{"the command in the address", u + "?" + oneClick, "", "", 400},
			{"a tampered token", u[:len(u)-1] + "_", "", oneClick, 404},
			{"a shortened token", u[:len(u)-2], "", oneClick, 404},
			{"a token of another kind", p, "", oneClick, 404},
			{"no token", "x", "", oneClick, 404},
			{"a message that is not held", unknown, "", oneClick, 404},
			{"a message of another campaign", foreign, "", oneClick, 404},
			{"a test mail", test, "", oneClick, 200},
		} {
			if a := w.do("POST", "/u/"+c.token, c.kind, strings.NewReader(c.body)); a.StatusCode != c.want {
				w.t.Errorf("%s: %d, want %d", c.name, a.StatusCode, c.want)
			}
		}
		for _, target := range []string{"/notice/none", "/notice/%00", "/notice/%ff", "/notice/%2F%00", "/subscribe?company=%00", "/subscribe?company=%ff", "/subscribe?company=acme&notice=%00", "/u/%00", "/confirm/%ff"} {
			w.status(w.get(target), 404)
		}
		w.unchanged(before, "a POST that says nothing")
	})
}

// scanners are the headers of programs that open every link of a mail before, or while, a person
// reads it.
var scanners = []http.Header{
	{},
	{"User-Agent": {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"none"}, "Sec-Fetch-User": {"?1"}},
	{"Purpose": {"prefetch"}, "Sec-Purpose": {"prefetch;prerender"}},
	{"X-Moz": {"prefetch"}, "X-Purpose": {"preview"}},
	{"User-Agent": {"BarracudaCentral"}, "X-Forwarded-For": {"203.0.113.9"}},
	{"User-Agent": {"Mozilla/5.0 (compatible; Googlebot/2.1)"}, "X-Http-Method-Override": {"POST"}, "X-Method-Override": {"POST"}, "List-Unsubscribe": {"One-Click"}},
	{"Content-Type": {"application/x-www-form-urlencoded"}, "Content-Length": {"26"}},
	{"Range": {"bytes=0-99"}, "If-None-Match": {"*"}, "Cookie": {"a=b"}, "Authorization": {"Bearer x"}},
}

func TestB4LookingChangesNothing(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		us, ps := w.mail(w.sourced("buyer@works.example"), w.source.ID)
		w.status(w.post("/subscribe?company=acme&item=grants-guide-2026", url.Values{"notice": {"acme-form-1"}, "email": {"new@example.org"},
			"type": {"newsletter"}, "channel": {"email", "post"}}), 200)
		confirm, download, erase := w.confirmLink(), w.link("copy", p), w.link("erase", p)
		links := []string{"/u/" + u, "/p/" + p, "/u/" + us, "/p/" + ps, confirm, download, erase, "/subscribe?company=acme", "/subscribe?company=acme&embed=1&item=x", "/notice/acme-form-1"}
		targets := append([]string{"/u/" + u + "?" + oneClick, "/u/" + u + "?choice=everything&_method=POST", "/p/" + p + "?do=object", "/p/" + p + "?do=complain&complaint=x",
			confirm + "&do=confirm", erase + "&do=erase", download + "&do=csv"}, links...)
		mails, before := len(w.mails.sent), w.dump()
		look := func(i int, target string) {
			w.status(w.ask([]string{"GET", "HEAD"}[i%2], target, "192.0.2.77", scanners[i/2%len(scanners)], strings.NewReader(oneClick+"&do=erase")), 200)
		}
		for i := range 100 {
			for _, target := range links {
				look(i, target)
			}
		}
		for i := range 2 * len(scanners) {
			for _, target := range targets {
				look(i, target)
			}
		}
		w.unchanged(before, "looking")
		for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			for _, target := range targets {
				if code := w.echoed(method, target, url.Values{"do": {"erase"}}); code != 405 && code != 404 && code != 204 {
					w.t.Errorf("%s %s: %d", method, target, code)
				}
			}
		}
		w.unchanged(before, "another method")
		if len(w.mails.sent) != mails {
			w.t.Errorf("%d mails went out", len(w.mails.sent)-mails)
		}
		for link, f := range map[string]url.Values{confirm: confirming, download: pressing["csv"], erase: pressing["erase"]} {
			if link != erase {
				w.status(w.post(link, f), 200) // every link still works
			}
		}
		w.status(w.post(erase, pressing["erase"]), 200)
	})
}

func TestUnsubscribingFromMore(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter", "company-updates")
		yes := true
		w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.globex.ID, Channel: consent.Email, Types: []string{"newsletter"}, Tracking: &yes})
		w.record(consent.Entry{Contact: who, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Phone, Types: []string{"newsletter"}})
		u, _ := w.mail(who, 0)
		w.says(w.status(w.get("/u/"+u), 200), "Stop “Newsletter” from Acme Ltd?", "a•••@e•••.org", "Unsubscribe from all email of Acme Ltd")

		w.says(w.status(w.post("/u/"+u, url.Values{"choice": {"company"}}), 200), "No more email from Acme Ltd")
		state, err := w.ledger.State(t.Context(), w.db, who)
		w.must(err)
		for _, s := range state {
			acmesEmail := s.Company == w.acme.ID && s.Channel == consent.Email
			if s.Company != 0 && (len(s.Granted) == 0) != acmesEmail {
				w.t.Errorf("company %d by %s: %v", s.Company, s.Channel, s.Granted)
			}
			if s.Company != 0 && s.Channel == consent.Email && s.Tracking.Open == acmesEmail {
				w.t.Errorf("company %d: tracking open is %v", s.Company, s.Tracking.Open)
			}
		}
		w.says(w.get("/u/"+u), "No more email from Acme Ltd")

		w.says(w.status(w.post("/u/"+u, url.Values{"choice": {"everything"}}), 200), "No more from anybody in the group")
		if w.blocks(who)&consent.BlockObjected == 0 {
			w.t.Error("not objected")
		}
		w.says(w.get("/u/"+u), "No more from anybody in the group")
	})
}

func TestL7ANoToASourcesMailIsAnObjection(t *testing.T) {
	each(t, func(w *world) {
		who := w.sourced("buyer@works.example")
		u, _ := w.mail(who, w.source.ID)
		w.says(w.status(w.get("/u/"+u), 200), "Stop email from Acme Ltd?", "ListCo Data", "objection")
		w.says(w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200), "No more email from Acme Ltd")
		w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200)

		history, err := w.ledger.History(t.Context(), w.db, who)
		w.must(err)
		if first := history[0]; first.Action != consent.Object || first.Company != "acme" || first.Channel != consent.Email || len(first.Types) != 0 || first.How != consent.ByPage {
			w.t.Errorf("recorded %+v", first)
		}
		gate := consent.NewGate(w.db, w.pages.Catalogue, consent.GateOptions{Now: w.clock.now})
		for _, company := range []id.Company{w.acme.ID, w.globex.ID} {
			d, err := gate.Ask(t.Context(), who, consent.Use{Company: company, Channel: consent.Email, Type: "promotional-offer", Purpose: consent.Mail, Audience: consent.SourceAudience(w.source.ID)})
			w.must(err)
			if d.Allowed {
				w.t.Errorf("company %d may still write to the contact through the list", company)
			}
		}
	})
}

func TestASourcesMailToWhoAgreedEndsTheTypeAlone(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter", "company-updates")
		u, _ := w.mail(who, w.source.ID)
		for range 3 {
			w.says(w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200), "No more “Newsletter”")
		}
		if types, _ := w.granted(who); !slices.Equal(types, []string{"company-updates"}) {
			w.t.Errorf("%v is agreed to", types)
		}
	})
}

func TestANoIsNotLostWithItsType(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter", "company-updates")
		u, _ := w.mail(who, 0)
		m := w.messages[1]
		m.Type = "left-the-catalogue"
		w.messages[1] = m
		w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200)
		if types, tracked := w.granted(who); len(types) > 0 || tracked {
			w.t.Errorf("%v is still agreed to, tracking %v", types, tracked)
		}
	})
}

func TestL3TheLastWithdrawalEndsTracking(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, _ := w.mail(who, 0)
		w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200)
		if types, tracked := w.granted(who); len(types) > 0 || tracked {
			w.t.Errorf("%v is agreed to, tracking %v", types, tracked)
		}
	})
}

func TestAnErasedContactIsTold(t *testing.T) {
	onSQLite(t, func(w *world) {
		u, p := w.mail(0, 0)
		before := w.dump()
		w.says(w.status(w.get("/u/"+u), 200), "We hold no address for this link")
		w.says(w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200), "We hold no address for this link")
		w.says(w.status(w.get("/p/"+p), 200), "We hold no address for this link")
		w.unchanged(before, "the link of an erased contact")
	})
}

func TestNothingOfTheVisitorIsStored(t *testing.T) {
	onSQLite(t, func(w *world) {
		who := w.person("ada@example.org", "newsletter")
		u, p := w.mail(who, 0)
		w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200)
		w.status(w.post("/p/"+p, url.Values{"do": {"restrict"}}), 200)
		for table, rows := range w.dump() {
			if strings.Contains(rows, "192.0.2") || strings.Contains(rows, u) || strings.Contains(rows, p) {
				w.t.Errorf("table %s knows the visitor or the link:\n%s", table, rows)
			}
		}
	})
}

type journal struct {
	kept    []Refusal
	err     error
	waiting int
}

func (j *journal) Waits(error) { j.waiting++ }

func (j *journal) Refuse(_ context.Context, r Refusal) error {
	if j.err == nil {
		j.kept = append(j.kept, r)
	}
	return j.err
}

type broken struct{}

func (broken) Lookup(context.Context, id.Message) (Message, error) {
	return Message{}, errors.New("the database is gone")
}

func TestANoHoldsWhileTheDatabaseIsDown(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		j := &journal{}
		var log bytes.Buffer
		w := newWorld(t, db, func(o *Options) { o.Journal, o.Log = j, slog.New(slog.NewTextHandler(&log, nil)) })
		who := w.person("ada@example.org", "newsletter", "company-updates")
		u, _ := w.mail(who, 0)
		w.pages.Messages = broken{}
		w.says(w.status(w.get("/u/"+u), 503), "We cannot do that right now")
		w.says(w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200), "Your no is safely stored")
		j.err = errors.New("the disk is full")
		if a := w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 503); a.Header.Get("Retry-After") == "" {
			w.t.Error("no Retry-After")
		}

		if s := log.String(); !strings.Contains(s, "the disk is full") || !strings.Contains(s, "route=/u/:token") || strings.Contains(s, u) || strings.Contains(s, "192.0.2") {
			w.t.Errorf("logged:\n%s", s)
		}
		w.pages.Messages = w.messages
		if j.waiting != 1 || len(j.kept) != 1 || j.kept[0].Scope != ThisType || j.kept[0].Message != 1 {
			w.t.Fatalf("the journal holds %+v", j.kept)
		}
		for range 2 {
			w.must(w.pages.Apply(t.Context(), j.kept[0]))
		}
		if types, _ := w.granted(who); !slices.Equal(types, []string{"company-updates"}) {
			w.t.Errorf("%v is agreed to after the replay", types)
		}
		w.must(w.pages.Apply(t.Context(), Refusal{Message: 999, Scope: Everything, At: schema.At(start)}))
		w.status(w.do("POST", "/u/"+u, "", strings.NewReader(oneClick)), 200)
	})
}
