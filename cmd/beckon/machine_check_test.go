package main

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/counter"
	"beckon/tracker/event"
	"beckon/tracker/token"
)

// check holds everybody against the oracle, in one statement; it is done after each step.
func (w *world) check() {
	// A restored database may be older than what the spool has kept: that is told, and rightly.
	if said := w.shouts.take(); said != "" && !(w.restored && strings.Contains(said, "are not in the database and cannot be read from the spool")) {
		w.Fatalf("the program complains: %s", said)
	}
	var parts []string
	var args []any
	ask := func(sql string, more ...any) { parts, args = append(parts, sql), append(args, more...) }
	asked := plots()
	if w.tally.steps%4 > 0 { // the phone is asked about less often than mail, as nothing here uses it
		asked = slices.DeleteFunc(asked, func(at plot) bool { return at.channel != "email" })
	}
	for _, at := range asked {
		f, err := w.app.gate.Allowed(consent.Use{Company: w.companies[at.company], Channel: consent.Channel(at.channel), Type: at.kind, Purpose: consent.Segment}, "c.id", "")
		w.ok(err)
		ask(f.SQL, f.Args...)
	}
	for _, company := range houses {
		f := w.app.gate.Epoch("c.id", fmt.Sprint(int64(w.companies[company])))
		ask("("+f.SQL+") > 0", f.Args...)
	}
	var lists []string
	if w.tally.steps%6 == 5 { // the routes of the sources' lists are long, and used when a campaign is launched and sent anyway
		lists = slices.Sorted(maps.Keys(w.truth.sources))
	}
	for _, s := range lists {
		f, err := w.app.gate.Allowed(consent.Use{Company: w.companies["acme"], Channel: consent.Email, Type: kinds[0], Purpose: consent.Mail, Audience: consent.SourceAudience(w.sources[s])}, "c.id", "")
		w.ok(err)
		ask(f.SQL, f.Args...)
	}
	for i, s := range w.segments {
		if s.condition.SQL == "" || w.tally.steps%8 == i { // none of the rules here knows what time it is
			w.condition(s)
		}
		ask(s.condition.SQL, s.condition.Args...)
	}
	rows, err := w.app.db.Query(w.ctx, `SELECT c.id, c.email, `+strings.Join(parts, ", ")+` FROM contacts c`, args...)
	w.ok(err)
	defer rows.Close()
	w.ids = map[string]id.Contact{}
	size := make([]int, len(w.segments))
	got := make([]bool, len(parts))
	for rows.Next() {
		var who id.Contact
		var email string
		into := []any{&who, &email}
		for i := range got {
			into = append(into, &got[i])
		}
		w.ok(rows.Scan(into...))
		p := w.truth.people[email]
		if p == nil || !p.held {
			w.Fatalf("%s is held, who should not be", email)
		}
		w.ids[email] = who
		w.judge(p, asked, lists, got, size)
	}
	w.ok(rows.Err())
	for _, p := range w.truth.people {
		if _, is := w.ids[p.email]; p.held && !is {
			w.Fatalf("%s is not held any more", p.email)
		}
	}
	if i := w.tally.steps % (3 * len(w.segments)); i < len(w.segments) { // the count is made from another query than the condition
		counted, err := w.app.segments.Count(w.ctx, w.segments[i].num)
		w.ok(err)
		if int(counted) != size[i] {
			w.Fatalf("segment %s counts %d, and has %d members", w.segments[i].id, counted, size[i])
		}
	}
}

// judge compares what may be done with one person with what the oracle says: every company, channel
// and type, whether they are followed, by which lists they may be mailed, and which segments they are in.
func (w *world) judge(p *subject, asked []plot, lists []string, got []bool, size []int) {
	for _, at := range asked {
		if want := p.eligible(at.company, at.channel, at.kind); got[0] != want {
			w.Fatalf("%v of %s: the gate says %v, the oracle %v; %s", at, p.email, got[0], want, w.tell(p))
		}
		got = got[1:]
	}
	for _, company := range houses {
		if want := p.tracks[company].open; got[0] != want {
			w.Fatalf("following %s for %s: the gate says %v, the oracle %v; %s", p.email, company, got[0], want, w.tell(p))
		}
		got = got[1:]
	}
	for _, s := range lists {
		if want := w.truth.mailable(p, "acme", kinds[0], s, w.now()); got[0] != want {
			w.Fatalf("mailing %s by the list of %s: the gate says %v, the oracle %v; %s", p.email, s, got[0], want, w.tell(p))
		}
		got = got[1:]
	}
	for i, s := range w.segments {
		eligible := p.eligible(s.company, s.channel, "")
		if got[i] && !eligible || !got[i] && eligible && s.whole {
			w.Fatalf("%s is in a segment of %s by %s: %v; eligible: %v; %s", p.email, s.company, s.channel, got[i], eligible, w.tell(p))
		}
		if got[i] {
			size[i]++
		}
	}
}

func (w *world) condition(s *segment) {
	f, company, channel, err := w.app.segments.Fragment(w.ctx, s.num)
	w.ok(err)
	if company != w.companies[s.company] || string(channel) != s.channel {
		w.Fatalf("segment %s is of company %v by %s", s.id, company, channel)
	}
	s.condition = f
}

// judgeCitation: a mail names every source that it must, with its policy, in both parts, and no other.
func (w *world) judgeCitation(d *delivered, p *subject) {
	must := w.truth.cites(p, d.via, w.now())
	for _, s := range w.truth.sources {
		named := 0
		for _, part := range []string{html.UnescapeString(d.html), d.text} {
			if strings.Contains(part, s.name) && strings.Contains(part, s.policy) {
				named++
			}
		}
		if want := 2 * count(slices.Contains(must, s.slug)); named != want {
			w.Fatalf("%s to %s (by list %q) names %s in %d parts, want %d; %s", d.campaign.id, d.to, d.via, s.slug, named, want, w.tell(p))
		}
	}
	if len(must) > 0 {
		w.did("cited")
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// judgeLinks: who is not followed has the same beacon and links as all others who are not.
func (w *world) judgeLinks(d *delivered) {
	c, urls := d.campaign, strings.Join(d.hits, " ")
	for _, path := range d.hits {
		kind := map[string]token.Kind{"/o/": token.Beacon, "/c/": token.Click}[path[:3]]
		t, err := w.app.secrets.ring.Open(kind, strings.TrimSuffix(path[3:], ".gif"))
		w.ok(err)
		if own := t.Message != 0; own != (d.stretch > 0) {
			w.Fatalf("%s to %s: a link of their own: %v; followed: %v; %s", c.id, d.to, own, d.stretch > 0, w.tell(w.truth.people[d.to]))
		}
	}
	switch {
	case d.stretch > 0:
		if len(d.hits) != 3+count(c.tracking == "consented") { // beacon, two links, and perhaps the one that no person sees
			w.Fatalf("%s to %s has the links %s", c.id, d.to, urls)
		}
		w.did("identified mail")
	case (c.tracking != "consented" || c.few) != (urls == ""):
		w.Fatalf("%s to %s has the links %q; tracking is %s, few are anonymous: %v", c.id, d.to, urls, c.tracking, c.few)
	case c.shared == nil:
		c.shared = &urls
	case *c.shared != urls:
		w.Fatalf("%s to %s has the links %s, and to another anonymous recipient %s", c.id, d.to, urls, *c.shared)
	case urls != "":
		w.did("shared links")
	}
}

// judgeEvents: an event is tied to somebody only if they were followed, without a break, from the
// sending of the mail until now; and then it is. Everything else leaves at most one unit in a total.
func (w *world) judgeEvents() {
	var rows []struct {
		ID       id.Event    `db:"id"`
		Campaign id.Campaign `db:"campaign"`
		Contact  id.Contact  `db:"contact"`
		Kind     string      `db:"kind"`
		Link     int         `db:"link"`
		At       schema.Time `db:"at"`
	}
	w.ok(w.app.db.Select(w.ctx, &rows, `SELECT id, campaign, contact, kind, link, at FROM events WHERE id > ? ORDER BY id`, w.events))
	type fact struct {
		campaign id.Campaign
		contact  id.Contact
		kind     string
		link     int
		at       schema.Time
	}
	got, want := map[fact]int{}, map[fact]int{}
	for _, r := range rows {
		got[fact{r.Campaign, r.Contact, r.Kind, r.Link, r.At}]++
		w.events = int64(r.ID)
	}
	for _, h := range w.waiting {
		followed := w.followed(h.delivered)
		switch {
		case h.stretch > 0 && !followed:
			w.did("a hit that counts for nothing")
			continue
		case h.stretch > 0 && !h.private:
			want[fact{h.campaign.num, w.ids[h.to], h.kind, h.link, schema.At(h.at)}]++
			w.did("event")
		}
		w.counted++
	}
	w.waiting = nil
	if !maps.Equal(got, want) {
		w.Fatalf("events %+v, want %+v", got, want)
	}
	var total int64
	w.ok(w.app.db.Get(w.ctx, &total, `SELECT COALESCE(CAST(SUM(n) AS BIGINT), 0) FROM counts`))
	if total != w.counted {
		w.Fatalf("the totals hold %d units, want %d", total, w.counted)
	}
	var traces int
	w.ok(w.app.db.Get(w.ctx, &traces, `SELECT (SELECT count(*) FROM messages m WHERE m.contact IS NOT NULL AND m.opened_at > 0 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.message = m.id))
		+ (SELECT count(*) FROM message_links l WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.message = l.message AND e.link = l.link))
		+ (SELECT count(*) FROM contact_regions)`))
	if traces > 0 {
		w.Fatalf("%d traces of hits that are nobody's", traces)
	}
}

// followed: the recipient of a mail has been followed without a break since it was sent.
func (w *world) followed(d *delivered) bool {
	p := w.truth.people[d.to]
	t := p.tracks[d.campaign.company]
	return d.stretch > 0 && !d.lost && p.life == d.life && t.open && t.stretch == d.stretch
}

// finish holds everything that is kept against everything else.
func (w *world) finish() {
	w.doDrain()
	err := w.app.verifyCounts(w.ctx)
	for deadline := time.After(30 * time.Second); errors.Is(err, counter.ErrDown); err = w.app.verifyCounts(w.ctx) {
		select { // a Redis that was slow once is left alone for a moment
		case <-deadline:
			w.Fatalf("the Redis of this process does not answer: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	w.ok(err)
	w.ok(event.Verify(w.ctx, w.app.db, 0))
	found, err := w.app.ledger.Verify(w.ctx, "")
	w.ok(err)
	if len(found) > 0 {
		w.Fatalf("the ledger: %v", found)
	}
}

// tell says what the oracle knows of a person.
func (w *world) tell(p *subject) string {
	var b strings.Builder
	fmt.Fprintf(&b, "it is %s; %s held %v (life %d, %s in %s, gave %s)", w.now(), p.email, p.held, p.life, p.kind, p.country, p.gave)
	for why, at := range p.shut {
		fmt.Fprintf(&b, "; %s %s", why, at)
	}
	for s, o := range p.origins {
		fmt.Fprintf(&b, "; from %s %s until %s", s, o.acquired, o.end)
	}
	for _, at := range plots() {
		if s := p.words[at]; s.yes || s.no {
			fmt.Fprintf(&b, "; %v %s", at, s)
		}
	}
	for _, c := range houses {
		if t := p.tracks[c]; t.yes || t.no {
			fmt.Fprintf(&b, "; followed by %s %s, open %v, stretch %d", c, t.word, t.open, t.stretch)
		}
	}
	return b.String()
}

func (w word) String() string {
	s := map[bool]string{true: "yes", false: "no"}[w.yes] + " " + w.at.Format("2 15:04:05")
	if !w.own.IsZero() {
		s += " own " + w.own.Format("2 15:04:05")
	}
	return s
}
