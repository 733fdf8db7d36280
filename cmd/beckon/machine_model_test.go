package main

import (
	"maps"
	"slices"
	"time"
)

// This file is the oracle of the state machine: what may be done to whom, worked out from the
// design's table (§5) and from what the test itself did, in memory. It calls nothing of the program.

// What the small world of the test consents to.
var (
	houses = []string{"acme", "bolt"}
	ways   = []string{"email", "phone"}
	kinds  = []string{"newsletter", "promotional-offer", "company-updates"}
)

// plot is the smallest thing that can be agreed to or refused.
type plot struct{ company, channel, kind string }

func plots() (all []plot) {
	for _, c := range houses {
		for _, ch := range ways {
			for _, k := range kinds {
				all = append(all, plot{c, ch, k})
			}
		}
	}
	return all
}

// word is what holds of what was said about one thing: a yes, a no, or nothing yet.
type word struct {
	yes, no bool
	at      time.Time // of the newest that was said
	own     time.Time // of a yes: when the person confirmed it themselves; zero: others vouch for it
	by      vouchers  // of a yes
}

// vouchers is a set of who brought a yes: one bit for each source, and one for everybody else.
type vouchers uint8

const elsewhere vouchers = 1

// track is the word about being followed by one company. Each stretch of time in which it is open
// without a break has a number of its own.
type track struct {
	word
	open    bool
	stretch int
}

// What shuts a person out of everything, beside a restriction: their own later act lifts each of them.
var outs = []string{"withdrawn", "objected", "complained", "erased", "bounced"}

const restricted = "restricted"

// subject is the owner of an address, whether we hold it or not.
type subject struct {
	email         string
	held          bool
	life          int // which of the contacts that had the address: an erased one comes back as another
	kind, country string
	gave          time.Time // when the person gave us the address; zero: never
	origins       map[string]provenance
	words         map[plot]word
	tracks        map[string]track
	shut          map[string]time.Time
}

// provenance is how a source came by a person, and until when it may be used.
type provenance struct{ acquired, end time.Time }

// provider is a data source.
type provider struct {
	slug, name, policy string
	uses               []string
	until              time.Time // end of the licence; zero: none
	recalled           bool
	bit                vouchers
}

// model is everybody and every source.
type model struct {
	people  map[string]*subject
	sources map[string]*provider
	note    func(string, ...any) // tells what happens, to whoever reads of a failure
	noes    []func(*model)       // every no that was ever said, in order: whatever else is lost, these are not
}

func newSubject(email string) *subject {
	return &subject{email: email, origins: map[string]provenance{}, words: map[plot]word{}, tracks: map[string]track{}, shut: map[string]time.Time{}}
}

func (m *model) clone() *model {
	c := &model{people: map[string]*subject{}, sources: map[string]*provider{}, note: m.note, noes: slices.Clone(m.noes)}
	for e, p := range m.people {
		q := *p
		q.origins, q.words, q.tracks, q.shut = maps.Clone(p.origins), maps.Clone(p.words), maps.Clone(p.tracks), maps.Clone(p.shut)
		c.people[e] = &q
	}
	for s, p := range m.sources {
		q := *p
		c.sources[s] = &q
	}
	return c
}

// refuse applies a no and remembers it for good.
func (m *model) refuse(no func(*model)) {
	no(m)
	m.noes = append(m.noes, no)
}

// restored is the world after an older state was put back: the noes said since hold again, the
// yeses are gone.
func (m *model) restored(old *model) *model {
	back := old.clone()
	for _, no := range m.noes[len(old.noes):] {
		back.refuse(no)
	}
	return back
}

// consents is a yes, or a no to being followed that comes with it.
type consents struct {
	company, channel string
	kinds            []string
	tracking         string // yes, no or nothing said
	at               time.Time
	own              bool // the person's own confirmed act
	by               vouchers
}

// stands says whether a no stands against some of it, so that only the person's own act can bring it.
func (p *subject) stands(c consents) bool {
	for _, k := range c.kinds {
		if p.words[plot{c.company, c.channel, k}].no {
			return true
		}
	}
	return (len(c.kinds) > 0 || c.tracking == "yes") && p.isOut() || c.tracking == "yes" && p.tracks[c.company].no
}

// isOut: something other than a restriction shuts the person out of everything.
func (p *subject) isOut() bool {
	return slices.ContainsFunc(outs, func(why string) bool { _, is := p.shut[why]; return is })
}

// yes takes in a consent. The person's own confirmed act lifts every no that it names and whatever
// shuts them out, but a restriction; what others vouch for lifts nothing. A yes that is older than
// what was last said to the same company and channel is put on record and changes nothing.
func (m *model) yes(email string, c consents) (heard bool) {
	m.note("    %s says yes: %+v", email, c)
	p := m.people[email]
	if c.own && len(c.kinds) > 0 {
		for _, why := range outs {
			delete(p.shut, why)
		}
	}
	if fresh := !p.newest(c.company, c.channel).After(c.at); fresh && !p.isOut() {
		for _, k := range c.kinds {
			at := plot{c.company, c.channel, k}
			if w := p.words[at]; c.own || !w.no {
				p.words[at], heard = w.agreed(c), true
			}
		}
	}
	switch t := p.tracks[c.company]; {
	case c.tracking == "no":
		p.untrack(c.company, c.at, false)
		heard = true
	case c.tracking == "yes" && !p.isOut() && !t.at.After(c.at) && (c.own || !t.no):
		t.word, heard = t.agreed(c), true
		p.tracks[c.company] = t
	}
	p.settle()
	return heard
}

func (w word) agreed(c consents) word {
	own := w.own
	if c.own {
		own = c.at
	}
	return word{yes: true, at: c.at, own: own, by: w.by | c.by}
}

// newest is when something was last said to a company by a channel.
func (p *subject) newest(company, channel string) (at time.Time) {
	for k, w := range p.words {
		if k.company == company && k.channel == channel && w.at.After(at) {
			at = w.at
		}
	}
	return at
}

// refusal is a withdrawal or an objection; what it does not name it means all of.
type refusal struct {
	company, channel string
	kinds            []string
	at               time.Time // when it was said, which may be long before it reaches us
	why              string    // what it shuts out as, if it means everything
}

// no takes in a refusal. It loses only against the person's own yes to the same thing that was
// given after it.
func (m *model) no(email string, r refusal) {
	m.note("    %s says no: %+v", email, r)
	p, later := m.people[email], false
	for _, company := range houses {
		if r.company != "" && r.company != company {
			continue
		}
		mailed := p.agrees(company, "email")
		for _, at := range plots() {
			if at.company != company || r.channel != "" && r.channel != at.channel || len(r.kinds) > 0 && !slices.Contains(r.kinds, at.kind) {
				continue
			}
			if w := p.words[at]; w.yes && w.own.After(r.at) {
				later = true
			} else {
				p.words[at] = word{no: true, at: latest(w.at, r.at)}
			}
		}
		// Who is sent nothing by a company any more is not followed by it either, until they say so.
		if last := mailed && !p.agrees(company, "email"); last && p.tracks[company].yes || len(r.kinds) == 0 && r.channel != "phone" {
			p.untrack(company, r.at, last)
		}
	}
	if r.company == "" && r.channel == "" && len(r.kinds) == 0 && !later {
		p.shut[r.why] = r.at
	}
	p.settle()
}

func (p *subject) untrack(company string, at time.Time, regardless bool) {
	t := p.tracks[company]
	if !regardless && t.yes && t.own.After(at) {
		return
	}
	t.word = word{no: true, at: latest(t.at, at)}
	p.tracks[company] = t
	p.settle()
}

func (m *model) restrict(email string, at time.Time) {
	m.note("    %s is restricted", email)
	m.people[email].shut[restricted] = at
	m.people[email].settle()
}

func (m *model) lift(email string) {
	m.note("    %s is restricted no more", email)
	delete(m.people[email].shut, restricted)
	m.people[email].settle()
}

func (m *model) bounce(email string, at time.Time) {
	m.note("    %s bounces", email)
	m.people[email].shut["bounced"] = at
	m.people[email].settle()
}

// erase forgets a person, and keeps that nothing may be done with the address.
func (m *model) erase(email string, at time.Time) {
	m.note("    %s is erased", email)
	p, out := m.people[email], newSubject(email)
	out.life = p.life + 1
	for _, why := range outs {
		if t, is := p.shut[why]; is {
			out.shut[why] = t
		}
	}
	m.people[email] = out
	m.no(email, refusal{at: at, why: "erased"})
}

// forget leaves nothing of a child, not even that nothing may be done: who has the address later is
// somebody else.
func (m *model) forget(email string) {
	p := m.people[email]
	m.people[email] = newSubject(email)
	m.people[email].life = p.life
}

// recall ends a source, and what nobody vouches for any more: that is no refusal, but who is sent
// nothing any more is not followed either, until they say so.
func (m *model) recall(source string, now time.Time) {
	m.sources[source].recalled = true
	gone := vouchers(0)
	for _, s := range m.sources {
		if s.recalled {
			gone |= s.bit
		}
	}
	for _, p := range m.people {
		if _, from := p.origins[source]; !from {
			continue
		}
		for _, company := range houses {
			mailed := p.agrees(company, "email")
			for at, w := range p.words {
				if at.company == company && w.yes && w.by&^gone == 0 {
					p.words[at] = word{at: now}
				}
			}
			if t := p.tracks[company]; t.yes && (t.by&^gone == 0 || mailed && !p.agrees(company, "email")) {
				p.untrack(company, now, true)
			}
		}
		p.settle()
	}
}

// settle opens and closes the stretches in which a person may be followed: they agreed to it,
// nothing shuts them out, and they agreed to be sent something.
func (p *subject) settle() {
	for _, company := range houses {
		t := p.tracks[company]
		open := p.held && len(p.shut) == 0 && t.yes && p.agrees(company, "email")
		if open && !t.open {
			t.stretch++
		}
		t.open = open
		p.tracks[company] = t
	}
}

// agrees: to something by the channel, whether or not it can be used just now.
func (p *subject) agrees(company, channel string) bool {
	return slices.ContainsFunc(kinds, func(k string) bool { return p.words[plot{company, channel, k}].yes })
}

// eligible: the first row of the design's table. Without a kind, for any of them.
func (p *subject) eligible(company, channel, kind string) bool {
	if !p.held || len(p.shut) > 0 {
		return false
	}
	if kind == "" {
		return p.agrees(company, channel)
	}
	return p.words[plot{company, channel, kind}].yes
}

// mailable: the table's columns for mail, to a segment (no source) or to a source's list.
func (m *model) mailable(p *subject, company, kind, via string, now time.Time) bool {
	if via == "" {
		return p.eligible(company, "email", kind)
	}
	if !p.held || len(p.shut) > 0 || !m.live(p, via, now) || !slices.Contains(m.sources[via].uses, "email") {
		return false
	}
	if p.eligible(company, "email", kind) {
		return true
	}
	for _, w := range p.words { // opted in to something else only, or refused something
		if w.yes || w.no {
			return false
		}
	}
	return p.kind == "corporate" && p.country == "GB"
}

// live: the person came from the source, and it may still be used.
func (m *model) live(p *subject, source string, now time.Time) bool {
	o, is := p.origins[source]
	s := m.sources[source]
	return is && !s.recalled && (o.end.IsZero() || now.Before(o.end)) && (s.until.IsZero() || now.Before(s.until))
}

// cites: whom a mail has to name.
func (m *model) cites(p *subject, via string, now time.Time) (all []string) {
	first := !p.gave.IsZero()
	for _, o := range p.origins {
		first = first && !o.acquired.Before(p.gave)
	}
	for _, s := range slices.Sorted(maps.Keys(m.sources)) {
		if m.live(p, s, now) && (s == via || via == "" && !first) {
			all = append(all, s)
		}
	}
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
