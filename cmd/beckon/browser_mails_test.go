package main

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

var (
	mailPhone = view{"mail-phone", 390, 844, true, false}
	mailPane  = view{"mail-pane", 600, 900, false, false}
)

// checkMail looks at the mail shown, in the window of a phone and in that of a mail program. What the
// selectors name is ours; the rest is its author's.
func (p *person) checkMail(name string, ours ...string) {
	p.t.Helper()
	used := p.in
	if p.silent {
		p.silence(false)
		defer p.silence(true)
	}
	for _, v := range []view{mailPhone, mailPane} {
		p.use(v)
		p.shoot(name)
		for _, of := range ours {
			wrong := p.layout(of)
			for _, broken := range p.violations(of, forMail) {
				wrong = append(wrong, broken.String())
			}
			for _, w := range wrong {
				p.t.Errorf("%s, %s, %s: %s", name, of, v.name, w)
			}
		}
	}
	p.use(used)
	p.reported() // of the author's
	p.shots++
}

// TestS9S19L6MailsOfAProvidersList looks at mails to people who never asked for them, in every language: the
// source is named, tracking is asked for, and the pages that the mail leads to say where the address
// comes from.
func TestS9S19L6MailsOfAProvidersList(t *testing.T) {
	axe, browser, s := accessibility(t), chromium(t), openSite(t)
	s.found(t)
	views := [][]view{{desktopDark, phone}, {phoneDark, desktop}, {desktop, phone}}
	for i, h := range imprints {
		t.Run(h.language, func(t *testing.T) {
			t.Parallel()
			p := &person{tab: s.open(browser, t, axe), site: s, imprint: h, address: "buyer@" + h.slug + "-works.example", views: views[i]}
			p.use(views[i][1])
			source := "fairlist-" + h.slug
			s.post(t, "/sources", map[string]any{"slug": source, "name": "Fairlist Business Data", "privacy_url": s.elsewhere.URL + "/provider", "transparency_url": s.elsewhere.URL + "/transparency",
				"lawful_basis": "legitimate interests", "permitted_uses": []string{"email"}, "licensed_until": s.clock.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)})
			s.post(t, "/contacts", map[string]any{"email": p.address, "name": "Terry Buyer", "country": "GB", "subscriber_kind": "corporate", "source": source})
			s.launch(t, h, map[string]any{"source": source})
			p.letter = p.next()
			p.visit(s.show(p.letter))
			p.checkMail("sourced", "#citation", "#footer", "#ask")
			for block, says := range map[string]string{"#citation": "Fairlist Business Data", "#footer": "Unsubscribe", "#ask": "Preferences"} {
				if text := look[string](p.tab, `document.querySelector("`+block+`").innerText`); !strings.Contains(text, says) {
					t.Errorf("%s says %q", block, text)
				}
			}
			p.want(200, p.press(`#ask a[href*="/p/"]`))
			p.check("preferences-sourced")
			p.want(200, p.press(`#origin ~ ul a[href$="/transparency"]`))
			p.want(200, p.visit(s.show(p.letter)))
			p.want(200, p.press(`#footer a[href*="/u/"]`))
			p.check("unsubscribe-sourced")
			p.want(200, p.submit("button[value=company]"))
			p.check("unsubscribed-sourced")
		})
	}
}

// TestA8AnAlteredLinkIsToldSo: what is answered to a link that is none is a page like all others.
func TestA8AnAlteredLinkIsToldSo(t *testing.T) {
	axe, browser, s := accessibility(t), chromium(t), openSite(t)
	s.found(t)
	b := s.open(browser, t, axe)
	windows := []view{phone, desktopDark, phoneDark, desktop}
	for i, path := range []string{"/u/x", "/p/x", "/confirm/x", "/notice/x", "/subscribe?company=x", "/m/x"} {
		p := &person{tab: b, site: s, imprint: imprints[i%len(imprints)], views: []view{windows[i%len(windows)]}}
		separator := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
		p.want(404, p.visit(s.url+path+separator+"lang="+p.imprint.language))
		p.check("nothing-at-" + strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '?' })[0])
	}
}

// save presses a button that leads to a file, and returns its name and where it is.
func (p *person) save(selector string) (name, path string) {
	p.t.Helper()
	dir, on := p.t.TempDir(), true
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: dir, EventsEnabled: &on}); err != nil {
		p.t.Fatal(err)
	}
	begun, progress := chromedp.BrowserEvents(p.ctx, browser.DownloadWillBegin), chromedp.BrowserEvents(p.ctx, browser.DownloadProgress)
	p.choose(selector)
	guid := ""
	for ev, err := range begun {
		if err != nil {
			p.t.Fatalf("no file came: %v", err)
		}
		if strings.HasPrefix(ev.URL, p.site.url) {
			guid, name = ev.GUID, ev.SuggestedFilename
			break
		}
	}
	for ev, err := range progress {
		if err != nil || ev.GUID == guid && ev.State == browser.DownloadProgressStateCanceled {
			p.t.Fatalf("the file did not come: %v", err)
		}
		if ev.GUID == guid && ev.State == browser.DownloadProgressStateCompleted {
			break
		}
	}
	return name, dir + "/" + guid
}
