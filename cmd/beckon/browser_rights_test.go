package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"beckon/segments"
)

// complain writes a complaint on the preferences page of the newsletter.
func (p *person) complain() {
	p.preferences()
	p.choose("main section:has(#complaint) > details > summary")
	p.fill("#complaint", "You wrote to me on a Sunday.")
	p.want(200, p.submit("button[value=complain]"))
	p.check("complained")
}

// preferences opens the page with the link of the newsletter.
func (p *person) preferences() {
	p.t.Helper()
	p.want(200, p.visit(p.site.show(p.letter)))
	p.want(200, p.press(`#footer a[href*="/p/"]`))
}

// mailed presses a button of the preferences page that has a link mailed to the address, and opens it.
func (p *person) mailed(button, name string) (link string) {
	p.t.Helper()
	p.preferences()
	p.want(200, p.submit("button[value="+button+"]"))
	p.check(name + "-asked")
	p.visit(p.site.show(p.next()))
	p.checkMail(name+"-mail", "html")
	p.want(200, p.press("a"))
	p.check(name)
	return look[string](p.tab, "location.href")
}

// download saves a copy of what is held with a link that works once.
func (p *person) download() {
	link := p.mailed("copy", "copy")
	name, path := p.save("button[value=json]")
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	var held any
	if err := json.Unmarshal(b, &held); err != nil || !strings.HasSuffix(name, ".json") {
		p.t.Errorf("%s is no JSON: %v", name, err)
	}
	for _, part := range []string{p.address, p.name, "transport", p.imprint.slug} {
		if !strings.Contains(string(b), part) {
			p.t.Errorf("the copy does not hold %q", part)
		}
	}
	p.want(410, p.visit(link))
	p.check("copy-used")
}

// erase removes everything with another such link, by its button alone.
func (p *person) erase() {
	p.site.clock.Forward(6*time.Hour + time.Minute) // three mails in six hours are the most that an address gets
	link := p.mailed("erase", "erase")
	if _, err := p.site.app.contacts.ByEmail(p.t.Context(), p.address); err != nil {
		p.t.Errorf("looking at the page has erased: %v", err)
	}
	p.want(200, p.submit("button[value=erase]"))
	p.check("erased")
	if _, err := p.site.app.contacts.ByEmail(p.t.Context(), p.address); !errors.Is(err, segments.ErrNotFound) {
		p.t.Errorf("erased, and still held: %v", err)
	}
	p.visit(link)
	p.check("erase-used")
	p.preferences()
	p.check("preferences-erased")
}
