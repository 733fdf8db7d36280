package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/token"

	"github.com/emersion/go-smtp"
)

// segment is a stored segment, with what of its rule the oracle can judge.
type segment struct {
	id               string
	num              id.Segment
	company, channel string
	whole            bool // everybody who opted in; else fewer of them
	condition        consent.Fragment
}

func (w *world) segment(s segment, rule string) *segment {
	var made struct{ ID id.Segment }
	w.must("POST", "/segments", jsonObject{"name": "s", "company": s.company, "channel": s.channel, "rule": rawJSON(rule)}, &made)
	s.num, s.id = made.ID, made.ID.String()
	w.segments = append(w.segments, &s)
	return &s
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// The rules of segments that narrow. What they exclude, deny or ask of behaviour lets nobody in who is not eligible.
var narrowing = []string{
	`{"combinator":"and","not":true,"rules":[{"field":"country","operator":"=","value":"DE"}]}`,
	`{"combinator":"or","rules":[{"field":"types","operator":"=","value":"newsletter"},{"field":"source","operator":"=","value":"broker"}]}`,
	`{"combinator":"or","rules":[{"field":"opened","operator":"=","value":{}},{"field":"clicked","operator":"!=","value":{}}]}`,
	`{"combinator":"and","not":true,"rules":[{"field":"received","operator":"=","value":{}},{"field":"subscriber_kind","operator":"=","value":"corporate"}]}`,
}

// doSegment makes a segment in place of the oldest that was made so.
func (w *world) doSegment() {
	if len(w.segments) > 4 {
		w.segments = slices.Delete(w.segments, 3, 4)
	}
	w.segment(segment{company: pick(w, "company", houses...), channel: pick(w, "channel", "email", "email", "phone")}, pick(w, "rule", narrowing...))
	w.did("segment")
}

// campaign is a mail that was launched.
type campaign struct {
	id            string
	num           id.Campaign
	company, kind string
	tracking      string
	via           map[string]string // who has a message, and by whose list; empty: a segment
	draft         struct{ ID id.Campaign }
	got, skipped  map[string]bool
	running, lost bool    // lost: a restored database does not know it
	few           bool    // too few are anonymous for links that they share
	shared        *string // what every anonymous recipient's beacon and links are
}

// delivered is a mail that the relay took.
type delivered struct {
	*arrival
	campaign *campaign
	via      string
	life     int  // of the recipient
	stretch  int  // in which they were followed when it was sent; zero: it is anonymous
	lost     bool // a restored database does not know that it was sent
}

const mailHTML = `<p>Hello {{ name }} <a href="https://acme.example/one?a=1&amp;b=2">one</a> <a href="https://acme.example/two">two</a></p>`

// doLaunch drafts and launches a campaign. Nothing is sent yet.
func (w *world) doLaunch() {
	if slices.ContainsFunc(w.campaigns, func(c *campaign) bool { return c.running }) && w.n("another", 3) > 0 {
		return
	}
	c := &campaign{company: pick(w, "company", "acme", "acme", "bolt"), kind: pick(w, "type", kinds...), tracking: pick(w, "tracking", "consented", "consented", "consented", "strict", "off"),
		via: map[string]string{}, got: map[string]bool{}, skipped: map[string]bool{}, running: true}
	var grounds []jsonObject
	var seg *segment
	if w.n("segment", 3) > 0 {
		of := slices.DeleteFunc(slices.Clone(w.segments), func(s *segment) bool { return s.company != c.company || s.channel != "email" })
		seg = of[w.n("which", len(of))]
		grounds = append(grounds, jsonObject{"segment": seg.id})
	}
	var lists []string
	if seg == nil || w.n("and a list", 2) > 0 {
		lists = some(w, "list", 1, 2, "broker", "fair", "mute")
		for _, s := range lists {
			grounds = append(grounds, jsonObject{"source": s})
		}
	}
	audience := jsonObject{"any": grounds}
	if len(grounds) == 1 {
		audience = grounds[0]
	}
	expected := 0 // of whom the oracle is sure
	for _, p := range w.truth.people {
		if seg != nil && w.truth.mailable(p, c.company, c.kind, "", w.now()) {
			c.via[p.email] = ""
		}
		for _, s := range lists {
			if _, in := c.via[p.email]; !in && w.truth.mailable(p, c.company, c.kind, s, w.now()) {
				c.via[p.email] = s
			}
		}
	}
	if seg == nil || seg.whole {
		expected = len(c.via)
	}
	w.must("POST", "/campaigns", jsonObject{"name": "c", "company": c.company, "type": c.kind, "subject": "Hello", "from": "News <news@" + c.company + ".example>",
		"html": mailHTML, "tracking": c.tracking, "audience": audience}, &c.draft)
	c.id = c.draft.ID.String()
	c.num = c.draft.ID
	status := w.call("POST", "/campaigns/"+c.id+"/launch", nil, nil)
	usable := !slices.ContainsFunc(lists, func(s string) bool {
		src := w.truth.sources[s]
		return src.recalled || !src.until.IsZero() && !w.now().Before(src.until)
	})
	switch {
	case status >= 300 && (expected == 0 || !usable):
		w.did("launch refused")
		return
	case status >= 300:
		w.Fatalf("launch of %s answers %d; %d may be mailed", c.id, status, expected)
	case !usable || len(c.via) == 0:
		w.Fatalf("%s is launched; its sources may be used: %v; %d may be mailed", c.id, usable, len(c.via))
	}
	w.until("the audience is built", func() bool {
		var built bool
		w.ok(w.app.db.Get(w.ctx, &built, `SELECT built FROM campaigns WHERE id = ?`, c.num))
		return built
	})
	var rows []struct {
		Email string    `db:"email"`
		Via   id.Source `db:"via"`
	}
	w.ok(w.app.db.Select(w.ctx, &rows, `SELECT c.email, m.via FROM messages m JOIN contacts c ON c.id = m.contact WHERE m.campaign = ?`, c.num))
	planned, anonymous := c.via, 0
	c.via = map[string]string{}
	for _, r := range rows {
		if c.tracking == "off" || !w.truth.people[r.Email].tracks[c.company].open {
			anonymous++
		}
		via, may := planned[r.Email]
		if !may {
			w.Fatalf("%s has a message for %s, who may not be mailed", c.id, r.Email)
		}
		if seg != nil && !seg.whole && via == "" && r.Via != 0 { // not in the segment, but on a list
			for _, s := range lists {
				if w.sources[s] == r.Via {
					via = s
				}
			}
		}
		if w.sources[via] != r.Via {
			w.Fatalf("%s has a message for %s by source %v, not %q", c.id, r.Email, r.Via, via)
		}
		c.via[r.Email] = via
	}
	if (seg == nil || seg.whole) && len(c.via) < len(planned) {
		w.Fatalf("%s has %d messages, %d may be mailed", c.id, len(c.via), len(planned))
	}
	c.few = anonymous < 5
	w.campaigns = append(w.campaigns, c)
	w.did("launch")
}

// until waits for what the program does in the background.
func (w *world) until(what string, done func() bool) {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case c := <-w.relay.calls:
			w.Fatalf("the relay is offered %s at a time when nothing may be sent", c.to)
		case <-deadline:
			w.Fatalf("waited in vain until %s", what)
		}
	}
}

// doSend lets the senders go until all that can be sent is sent. In the middle somebody may say no.
func (w *world) doSend() {
	running := slices.DeleteFunc(slices.Clone(w.campaigns), func(c *campaign) bool { return !c.running })
	if len(running) == 0 {
		return
	}
	guard := w.app.running.refusals.guard
	w.sending.Store(true)
	w.ok(guard.Check(w.ctx))
	defer func() {
		w.sending.Store(false)
		guard.Outage(errNotNow)
	}()
	w.nudge()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case c := <-w.relay.calls:
			switch {
			case c.mail == nil && w.n("trouble", 16) == 0:
				c.answer <- w.trouble(c.to)
			case c.mail == nil:
				c.answer <- nil
			default:
				w.arrive(c.mail)
				if w.n("meanwhile", 8) == 0 {
					w.leave(w.recent())
					w.did("a no while sending")
				}
				c.answer <- nil
			}
		case <-tick.C:
			if w.sent() {
				w.settled(running)
				w.did("send")
				return
			}
		case <-deadline:
			w.Fatalf("sending does not come to its end")
		}
	}
}

// trouble is a relay that does not take a recipient, for good or for now.
func (w *world) trouble(email string) error {
	if w.n("for good", 2) == 0 {
		w.did("deferred")
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "try again"}
	}
	now := w.now()
	w.truth.refuse(func(m *model) { m.bounce(email, now) })
	w.did("bounce")
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
}

// sent: nothing is left that can be sent now.
func (w *world) sent() bool {
	var open int
	w.ok(w.app.db.Get(w.ctx, &open, `SELECT (SELECT count(*) FROM messages m JOIN campaigns k ON k.id = m.campaign WHERE k.status = 'sending'
			AND (m.status IN ('queued', 'sending') OR m.status = 'deferred' AND m.next_at <= ?))
		+ (SELECT count(*) FROM campaigns k WHERE k.status = 'sending' AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.campaign = k.id AND m.status = 'deferred'))`, schema.At(w.now())))
	return open == 0
}

// arrive judges a mail at the moment it is handed over: its claim was the last thing that happened.
func (w *world) arrive(m *arrival) {
	num, _ := strconv.ParseInt(m.campaign, 10, 64)
	i := slices.IndexFunc(w.campaigns, func(c *campaign) bool { return int64(c.num) == num })
	if i < 0 {
		w.Fatalf("a mail to %s belongs to no campaign: %q", m.to, m.campaign)
	}
	c, p := w.campaigns[i], w.truth.people[m.to]
	via, planned := c.via[m.to]
	switch {
	case p == nil || !planned:
		w.Fatalf("%s is sent to %s, who was not in its audience", c.id, m.to)
	case c.got[m.to]:
		w.Fatalf("%s is sent to %s twice", c.id, m.to)
	case !w.truth.mailable(p, c.company, c.kind, via, w.now()):
		w.Fatalf("%s (%s, %s, by list %q) is sent to %s, who may not be mailed: %s", c.id, c.company, c.kind, via, m.to, w.tell(p))
	}
	c.got[m.to] = true
	d := &delivered{arrival: m, campaign: c, via: via, life: p.life}
	if t := p.tracks[c.company]; t.open && c.tracking != "off" {
		d.stretch = t.stretch
	}
	w.delivered = append(w.delivered, d)
	w.judgeCitation(d, p)
	w.judgeLinks(d)
	if m.leave == "" || m.choose == "" || !strings.Contains(m.text, m.leave) || !strings.Contains(m.text, m.choose) {
		w.Fatalf("%s to %s lacks a choice in one of its parts", c.id, m.to)
	}
	w.did("mail")
}

// settled looks at what became of the campaigns that were being sent.
func (w *world) settled(running []*campaign) {
	for _, c := range running {
		var rows []struct {
			Email  string `db:"email"`
			Status string `db:"status"`
			Reason string `db:"reason"`
		}
		w.ok(w.app.db.Select(w.ctx, &rows, `SELECT COALESCE(c.email, '') AS email, m.status, m.reason FROM messages m LEFT JOIN contacts c ON c.id = m.contact WHERE m.campaign = ?`, c.num))
		for _, r := range rows {
			p := w.truth.people[r.Email]
			switch {
			case r.Status == "sent" && (p == nil || c.got[r.Email]), r.Status == "deferred", r.Status == "failed" && r.Reason == "refused":
			case r.Status == "skipped" && c.skipped[r.Email]:
			case r.Status == "skipped" && (p == nil || !w.truth.mailable(p, c.company, c.kind, c.via[r.Email], w.now())):
				c.skipped[r.Email] = p != nil
				w.did("skipped")
			default:
				w.Fatalf("the message of %s to %q is %s (%s)", c.id, r.Email, r.Status, r.Reason)
			}
		}
		var status string
		w.ok(w.app.db.Get(w.ctx, &status, `SELECT status FROM campaigns WHERE id = ?`, c.num))
		c.running = status == "sending"
	}
}

// recent is a mail that arrived, more often a new one than an old one.
func (w *world) recent() *delivered {
	n := len(w.delivered)
	if w.n("old", 3) > 0 {
		return w.delivered[n-1-w.n("mail", min(n, 8))]
	}
	return w.delivered[w.n("mail", n)]
}

// hit is a request that waits in the spool for the database.
type hit struct {
	*delivered
	kind    string
	link    int
	at      time.Time
	private bool
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"

// doHit fetches a beacon or follows a link, of a new mail or an old one.
func (w *world) doHit() {
	if len(w.delivered) == 0 {
		return
	}
	d := w.recent()
	for i := len(w.delivered) - 1; len(d.hits) == 0 && i >= 0; i-- {
		d = w.delivered[i]
	}
	if len(d.hits) == 0 {
		return
	}
	path := pick(w, "url", d.hits...)
	h := &hit{delivered: d, kind: "open", at: w.now()}
	if strings.HasPrefix(path, "/c/") {
		link, err := w.app.secrets.ring.Open(token.Click, path[3:])
		w.ok(err)
		h.kind, h.link = "click", link.Link
	}
	method, header := http.MethodGet, []string{"User-Agent", firefox}
	if w.n("head", 10) == 0 {
		method = http.MethodHead
	}
	if h.private = w.n("private", 8) == 0; h.private {
		header = append(header, "Sec-GPC", "1")
	}
	rec := w.ask(method, path, "", "", header...)
	if want := map[string]int{"open": http.StatusOK, "click": http.StatusFound}[h.kind]; rec.Code != want {
		w.Fatalf("%s answers %d", path, rec.Code)
	}
	if method == http.MethodGet {
		w.waiting = append(w.waiting, h)
	}
	w.did(fmt.Sprintf("hit, identified %v", d.stretch > 0))
}

// doDrain puts what waits in the spool into the database, and holds the events against it.
func (w *world) doDrain() {
	w.ok(w.app.running.drain.Flush(w.ctx))
	w.judgeEvents()
	w.did("drain")
}

// doRestart ends the service and starts it again.
func (w *world) doRestart() {
	w.halt()
	w.start()
	w.did("restart")
}

// doWait lets time pass: licences and confirmation links end.
func (w *world) doWait() {
	w.pass(pick(w, "hours", time.Hour, 7*time.Hour, 25*time.Hour, 25*time.Hour))
	w.did("wait")
}
