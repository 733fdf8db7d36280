package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/mailer/queue"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/event"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// person is somebody on the way through the pages.
type person struct {
	*tab
	site     *site
	imprint  imprint
	address  string
	name     string
	views    []view // the last is the window that the person uses
	keys     bool   // no mouse
	who      id.Contact
	mails    int
	letter   *demo.Caught // the newsletter
	campaign id.Campaign  // that it belongs to
	segment  string       // that it was sent to
}

// next waits for the person's next mail.
func (p *person) next() *demo.Caught {
	p.t.Helper()
	m := p.site.mail(p.t, p.address, p.mails)
	p.mails++
	return m
}

// want ends the way of a person who is not where they should be.
func (p *person) want(status, got int) {
	p.t.Helper()
	if got != status {
		p.t.Fatalf("%s is answered with %d, want %d", look[string](p.tab, "document.title"), got, status)
	}
}

// check looks at the page shown.
func (p *person) check(name string) {
	p.t.Helper()
	if p.in.name == "" {
		p.use(p.views[len(p.views)-1])
	}
	if got := look[string](p.tab, "document.documentElement.lang"); got != p.imprint.language {
		p.t.Errorf("%s is in %q", name, got)
	}
	p.inspect(name, p.views...)
	for _, fault := range p.site.told() {
		p.t.Errorf("%s: %s", name, fault)
	}
}

// choose ticks, or unticks, a box as the person does it.
func (p *person) choose(selector string) {
	p.t.Helper()
	if !p.keys {
		p.tick(selector)
		return
	}
	p.reach(selector)
	p.do(chromedp.KeyEvent(" "))
}

// fill writes into a field as the person does it.
func (p *person) fill(selector, text string) {
	p.t.Helper()
	if !p.keys {
		p.write(selector, text)
		return
	}
	p.reach(selector)
	p.do(chromedp.KeyEvent(text))
}

// submit presses a button as the person does it.
func (p *person) submit(selector string) int {
	p.t.Helper()
	if !p.keys {
		return p.press(selector)
	}
	p.reach(selector)
	return p.follow(chromedp.KeyEvent(kb.Enter))
}

// TestL9L3L16S19B4InABrowser goes the whole way in a real browser, three times: with a finger on a phone,
// with the keyboard alone, and with scripts turned off, each in another language. Every page on it
// is held against the law of accessibility and against our own promises: no request to anybody
// else, no script, no cookie, no token in a Referer.
func TestL9L3L16S19B4InABrowser(t *testing.T) {
	axe, browser, s := accessibility(t), chromium(t), openSite(t)
	s.found(t)
	for i, p := range []person{
		{name: "Ada Lovelace-Whitcombe", address: "ada@people.example", views: []view{desktopDark, phone}},
		{name: "Jörg Weißenböck", address: "joerg@people.example", views: []view{desktop}, keys: true},
		{name: "Zoé Lefèvre", address: "zoe@people.example", views: []view{phoneDark}},
	} {
		p.imprint = imprints[i]
		t.Run(p.imprint.language, func(t *testing.T) {
			t.Parallel()
			p.tab, p.site = s.open(browser, t, axe), s
			if p.imprint.language == "fr" {
				p.silent = true
				p.silence(true)
			}
			p.use(p.views[len(p.views)-1])
			p.subscribe()
			p.confirm()
			p.receive()
			p.withdraw()
			p.agreeAgain()
			p.unsubscribe()
			p.complain()
			p.download()
			p.erase()
		})
	}
}

// subscribe fills the form, wrongly at first.
func (p *person) subscribe() {
	form := p.site.url + "/subscribe?company=" + p.imprint.slug
	if p.keys { // finds the form in another language
		p.want(200, p.visit(form+"&lang=en"))
		p.want(200, p.submit(`nav a[hreflang="`+p.imprint.language+`"]`))
	} else {
		p.want(200, p.visit(form))
	}
	p.check("subscribe")
	p.want(422, p.submit("form .button"))
	p.check("subscribe-mistakes")
	p.choose(`input[name=type][value=product-updates]`)
	p.choose(`input[name=type][value=newsletter]`)
	p.choose(`input[name=channel][value=email]`)
	p.choose("details summary")
	p.choose(`input[name=topic][value=transport]`)
	p.fill("#email", p.address)
	p.fill("#name", p.name)
	p.fill("#company", "Pumps & Valves")
	p.fill("#phone", "+44 20 7946 0000")
	p.choose(`input[name=tracking]`)
	p.want(200, p.submit("form .button"))
	p.check("sent")
	if n := len(p.standing().Granted); n > 0 {
		p.t.Errorf("%d types are granted by the form alone", n)
	}
}

// standing is what the person agreed to.
func (p *person) standing() consent.Standing {
	p.t.Helper()
	if p.who == 0 {
		c, err := p.site.app.contacts.ByEmail(p.t.Context(), p.address)
		if err != nil {
			p.t.Fatal(err)
		}
		p.who = c.ID
	}
	return p.site.standing(p.t, p.who)
}

// confirm opens the link of the confirmation mail; only the button there grants.
func (p *person) confirm() {
	p.visit(p.site.show(p.next()))
	p.checkMail("confirmation", "html")
	p.want(200, p.press("a"))
	confirm := look[string](p.tab, "location.href")
	p.check("confirm")
	p.want(200, p.visit(look[string](p.tab, `document.querySelector('a[href*="/notice/"]').href`)))
	p.check("notice")
	p.want(200, p.visit(confirm))
	if n := len(p.standing().Granted); n > 0 {
		p.t.Errorf("%d types are granted by opening the link", n)
	}
	p.want(200, p.submit("button[value=confirm]"))
	p.check("confirmed")
	if st := p.standing(); !slices.Contains(st.Granted, "newsletter") || !st.Tracking.Open {
		p.t.Fatalf("confirmed, and the ledger says %+v", st)
	}
	p.want(410, p.visit(confirm))
	p.check("used")
}

// receive gets a newsletter, opens it and follows a link.
func (p *person) receive() {
	p.segment = p.site.post(p.t, "/segments", map[string]any{"name": "all of " + p.imprint.slug, "company": p.imprint.slug, "rule": map[string]any{"combinator": "and", "rules": []any{}}})
	p.site.launch(p.t, p.imprint, map[string]any{"segment": p.segment})
	p.letter = p.next()
	var letters []queue.Letter
	p.site.client(p.t).until("the letter is written down as sent", func() bool {
		var err error
		if letters, err = queue.Letters(p.t.Context(), p.site.app.db, p.who); err != nil {
			p.t.Fatal(err)
		}
		return len(letters) == 1 && letters[0].Status == queue.Sent
	})
	if letters[0].Mode != consent.Identified {
		p.t.Fatalf("agreed to, and the letter is %s", letters[0].Mode)
	}
	p.site.clock.Forward(time.Minute) // nobody reads within two seconds
	p.campaign = letters[0].Campaign
	p.read()
	p.checkMail("newsletter", "#footer")
	var got []string
	events, n := p.hits()
	for _, e := range events {
		got = append(got, string(e.Kind)+" by a "+string(e.Verdict))
	}
	if !slices.Equal(got, []string{"open by a person", "click by a person", "open by a person"}) || n != 3 {
		p.t.Errorf("opened, a link followed, opened again: %d counted, %q", n, got)
	}
}

// hits returns what is tied to the person, and how much is counted in the campaign.
func (p *person) hits() ([]event.Event, int) {
	p.t.Helper()
	return p.site.counted(p.t, p.who, p.campaign)
}

// read opens the newsletter, follows a link in it and comes back.
func (p *person) read() {
	p.t.Helper()
	p.want(200, p.visit(p.site.show(p.letter)))
	if !look[bool](p.tab, `[...document.images].every(i => i.complete && i.naturalWidth === 1)`) {
		p.t.Error("the beacon's image does not show")
	}
	p.site.clock.Forward(time.Minute) // an open and a click at once are a machine's
	p.want(200, p.press(`a[href*="/c/"]:not([style*="14px 28px"])`))
	if !p.site.visited("/grants") {
		p.t.Error("the link led nowhere")
	}
	p.want(200, p.visit(p.site.show(p.letter)))
}

// withdraw takes the tracking consent back with the mail's own link: the mail that is there already
// counts nothing more.
func (p *person) withdraw() {
	p.want(200, p.press(`#footer a[href*="/p/"]`))
	preferences := look[string](p.tab, "location.href")
	p.check("preferences")
	text := look[string](p.tab, "document.body.innerText")
	if strings.Contains(text, p.address) || strings.Contains(text, p.name) {
		p.t.Error("whoever the mail was forwarded to learns the person's address or name")
	}
	p.want(200, p.press(`a[href$="/privacy"]`)) // elsewhere is told of no token: see watched
	p.want(200, p.visit(preferences))
	events, counted := p.hits()
	tracking := `input[name=keep][value="tracking/` + p.imprint.slug + `"]`
	p.choose(tracking)
	p.want(200, p.submit("button[value=save]"))
	p.check("preferences-saved")
	if st := p.standing(); st.Tracking.Open || !slices.Contains(st.Granted, "newsletter") {
		p.t.Errorf("unticked, and the ledger says %+v", st)
	}
	if look[int](p.tab, fmt.Sprintf("document.querySelectorAll(%q).length", tracking)) > 0 {
		p.t.Error("the box is still there")
	}
	p.read()
	if after, n := p.hits(); len(after) != len(events) || n != counted {
		p.t.Errorf("after the no %d events and %d counted hits became %d and %d", len(events), counted, len(after), n)
	}
}

// agreeAgain asks for tracking on the preferences page, which takes a link by mail; the old mail
// stays without events: its epoch is over.
func (p *person) agreeAgain() {
	p.want(200, p.press(`#footer a[href*="/p/"]`))
	p.choose("main > section:has(button[value=more]) > details > summary")
	p.want(422, p.submit("button[value=more]"))
	p.check("preferences-mistakes")
	p.choose("#tracking")
	p.want(200, p.submit("button[value=more]"))
	p.check("preferences-mailed")
	if p.standing().Tracking.Open {
		p.t.Error("a mail's own link grants tracking")
	}
	p.visit(p.site.show(p.next()))
	p.want(200, p.press("a"))
	p.want(200, p.submit("button[value=confirm]"))
	if !p.standing().Tracking.Open {
		p.t.Error("confirmed, and not granted")
	}
	events, counted := p.hits()
	p.read()
	if after, n := p.hits(); len(after) != len(events) || n != counted {
		p.t.Errorf("an old mail after a new yes: %d events and %d counted hits became %d and %d", len(events), counted, len(after), n)
	}
}

// unsubscribe leaves with the mail's own link; looking at the page changes nothing.
func (p *person) unsubscribe() {
	p.want(200, p.press(`#footer a[href*="/u/"]`))
	p.check("unsubscribe")
	if st := p.standing(); !slices.Contains(st.Granted, "newsletter") {
		p.t.Errorf("left by looking at the page: %+v", st)
	}
	p.want(200, p.submit("button[value=type]"))
	p.check("unsubscribed")
	if st := p.standing(); slices.Contains(st.Granted, "newsletter") {
		p.t.Errorf("left, and the ledger says %+v", st)
	}
	var left struct{ Count int }
	if p.site.client(p.t).call("GET", "/segments/"+p.segment+"/count", "", nil, &left); left.Count != 1 { // product updates
		p.t.Errorf("left one type of two, and the segment has %d", left.Count)
	}
	p.want(200, p.submit("button[value=everything]"))
	p.check("unsubscribed-everything")
	p.want(200, p.press(`main a[href*="/p/"]`))
	p.check("preferences-after")
	if st := p.standing(); len(st.Granted) > 0 || st.Tracking.Open {
		p.t.Errorf("left everything, and the ledger says %+v", st)
	}
	if p.site.client(p.t).call("GET", "/segments/"+p.segment+"/count", "", nil, &left); left.Count != 0 {
		p.t.Errorf("left everything, and the segment has %d", left.Count)
	}
}
