package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// view is a window that a page is looked at in.
type view struct {
	name          string
	width, height int64
	phone, dark   bool
}

var (
	phone       = view{"phone", 390, 844, true, false}
	phoneDark   = view{"phone-dark", 390, 844, true, true}
	desktop     = view{"desktop", 1440, 900, false, false}
	desktopDark = view{"desktop-dark", 1440, 900, false, true}
	narrow      = view{"narrow", 320, 640, true, false} // WCAG 1.4.10: no scrolling in two directions at 320 pixels
)

// use makes the tab's window that one.
func (b *tab) use(v view) {
	b.t.Helper()
	if b.in == v {
		return
	}
	var options []chromedp.EmulateViewportOption
	if v.phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	b.do(chromedp.EmulateViewport(v.width, v.height, options...))
	scheme := map[bool]string{false: "light", true: "dark"}[v.dark]
	send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.in = v
}

// The accessibility rules that are law: WCAG 2.0, 2.1 and 2.2, levels A and AA. The size of targets is
// left out of them unless it is asked for. A page has to keep to good practice too, and leave no rule
// undecided; a mail is no page of its own.
const (
	lawful  = `"wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"`
	forPage = `{runOnly: {type: "tag", values: [` + lawful + `, "best-practice"]}, rules: {"target-size": {enabled: true}}, resultTypes: ["violations", "incomplete"], preload: false}`
	forMail = `{runOnly: {type: "tag", values: [` + lawful + `]}, rules: {"target-size": {enabled: true}}, resultTypes: ["violations"], preload: false}`
)

// violation is one rule that a page breaks.
type violation struct {
	ID, Impact string
	Nodes      []string
}

func (v violation) String() string {
	return v.ID + " (" + v.Impact + "): " + strings.Join(v.Nodes, " | ")
}

// violations runs accessibility rules over what a selector names.
func (b *tab) violations(of, rules string) []violation {
	b.t.Helper()
	if !look[bool](b, `typeof axe === "object"`) {
		look[bool](b, b.axe+";true")
	}
	return look[[]violation](b, fmt.Sprintf(`(rules => axe.run(%q, rules).then(r => [...r.violations, ...rules.resultTypes.includes("incomplete") ? r.incomplete : []].map(v => ({id: v.id, impact: v.impact || "", nodes: v.nodes.map(n => n.html.slice(0, 160) + " " + n.failureSummary)}))))(%s)`, of, rules))
}

// layout returns what is too wide for the window and, within what the selector names, too small for a
// finger: a target is at least 24 by 24 pixels, unless it is a link within a sentence (WCAG 2.5.8).
func (b *tab) layout(of string) []string {
	b.t.Helper()
	return look[[]string](b, fmt.Sprintf(`((width, of) => {
		const wrong = [], all = [...document.querySelectorAll("body *")].filter(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}));
		const name = e => e.outerHTML.slice(0, 120);
		if (document.documentElement.scrollWidth > width) {
			const wide = all.sort((a, b) => b.getBoundingClientRect().right - a.getBoundingClientRect().right);
			wrong.push("scrolls sideways: " + document.documentElement.scrollWidth + " wide because of " + wide.slice(0, 9).map(e => e.tagName + " " + e.innerText).pop());
		}
		for (const e of all.filter(e => e.closest(of) && e.matches("a[href], button, input:not([type=hidden]), select, textarea, summary"))) {
			const label = e.labels && e.labels[0] && e.labels[0].contains(e) ? e.labels[0] : e, r = label.getBoundingClientRect();
			const sentence = e.matches("a") && getComputedStyle(e).display === "inline" && [...e.parentNode.childNodes].some(n => n.nodeType === 3 && /[\p{L}]/u.test(n.data));
			if (r.right > 0 && !sentence && Math.min(r.width, r.height) < 24) wrong.push("too small to touch, " + Math.round(r.width) + "×" + Math.round(r.height) + ": " + name(e));
		}
		return wrong;
	})(%d, %q)`, b.in.width, of))
}

// policy returns what is wrong with the headers of the answer.
func (b *tab) policy() (wrong []string) {
	head := http.Header{}
	for k, v := range b.answer.Headers {
		head.Set(k, fmt.Sprint(v))
	}
	csp := head.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors "} {
		if !strings.Contains(csp, want) {
			wrong = append(wrong, fmt.Sprintf("the policy lacks %s: %q", want, csp))
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
		wrong = append(wrong, "the policy lets scripts in: "+csp)
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := head.Get(name); got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q", name, got))
		}
	}
	return wrong
}

// nowhere is an origin that no page has any business with.
const nowhere = "http://127.0.0.2"

// breakIn tries what an attacker who got markup into the page would try, and returns what the policy
// let through. The page is as before afterwards.
func (b *tab) breakIn(patience time.Duration) []string {
	b.t.Helper()
	before := b.reported()
	wrong := look[[]string](b, fmt.Sprintf(`((elsewhere, patience) => new Promise(done => {
		const missing = new Set(["script-src-elem", "script-src-attr", "img-src", "connect-src", "style-src-attr", "frame-src"]), ran = [];
		const end = () => {
			if (window.ranHere) ran.push("an inline script ran");
			document.querySelectorAll("[data-attack]").forEach(e => e.remove());
			document.removeEventListener("securitypolicyviolation", seen);
			done([...ran, ...[...missing].map(d => "nothing was refused for " + d)]);
		};
		const seen = e => { missing.delete(e.effectiveDirective); if (!missing.size) end(); };
		document.addEventListener("securitypolicyviolation", seen);
		setTimeout(end, patience);
		const put = (tag, of) => { const e = document.createElement(tag); e.dataset.attack = ""; of(e); document.body.append(e); return e; };
		put("script", e => e.textContent = "window.ranHere = true");
		put("button", e => e.setAttribute("onclick", "window.ranHere = true")).click();
		put("div", e => e.setAttribute("style", "position:fixed"));
		put("img", e => e.src = elsewhere + "/attack");
		put("iframe", e => e.src = elsewhere + "/attack");
		fetch(elsewhere + "/attack").then(() => ran.push("a request went elsewhere"), () => {});
	}))(%q, %d)`, nowhere, patience.Milliseconds()))
	b.reported() // the refusals
	b.mu.Lock()
	b.faults = append(before, b.faults...)
	b.mu.Unlock()
	return wrong
}

// wrong looks at the page shown in one window and returns everything that is wrong with it.
func (b *tab) wrong(v view) []string {
	b.t.Helper()
	b.use(v)
	wrong := b.layout("body")
	for _, v := range b.violations("html", forPage) {
		wrong = append(wrong, v.String())
	}
	return wrong
}

// inspect looks at the page shown in every window given; the last is the one that it stays in.
// Whatever is folded away is unfolded meanwhile.
func (b *tab) inspect(name string, views ...view) {
	b.t.Helper()
	said := map[string]bool{}
	complain := func(where string, wrong []string) {
		for _, w := range wrong {
			if !said[w] {
				said[w] = true
				b.t.Errorf("%s, %s: %s", name, where, w)
			}
		}
	}
	complain("headers", b.policy())
	if b.silent {
		b.silence(false)
		defer b.silence(true)
	}
	if b.shot != nil {
		for _, v := range append(views[:len(views):len(views)], narrow) {
			b.use(v)
			b.shoot(name)
		}
	}
	folded := look[int](b, `(() => { const all = [...document.querySelectorAll("details:not([open])")]; all.forEach(e => { e.open = true; e.dataset.folded = "" }); return all.length })()`)
	b.use(narrow)
	complain(narrow.name, b.layout("body"))
	for _, v := range views {
		complain(v.name, b.wrong(v))
		if folded > 0 {
			b.shoot(name + "-unfolded")
		}
	}
	look[bool](b, `document.querySelectorAll("details[data-folded]").forEach(e => { e.open = false; delete e.dataset.folded }); true`)
	complain("policy", b.breakIn(10*time.Second))
	complain("browser", b.reported())
	for _, c := range send(b, storage.GetCookies, storage.GetCookiesParams{}).Cookies {
		complain("browser", []string{"a cookie is set: " + c.Name})
	}
	b.shots++
}

// shoot takes a picture of the whole page, if pictures are wanted.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if b.shot == nil {
		return
	}
	size := send(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	beyond := true
	b.shot(fmt.Sprintf("%02d-%s-%s", b.shots, name, b.in.name), send(b, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond,
		Clip: &page.Viewport{Width: float64(b.in.width), Height: size.Height, Scale: 1}}).Data)
}

// screenshots returns what keeps pictures in the directory that BECKON_SCREENSHOTS names, if any.
func screenshots(t *testing.T) func(name string, png []byte) {
	dir := os.Getenv("BECKON_SCREENSHOTS")
	if dir == "" {
		return nil
	}
	prefix := strings.NewReplacer("/", "-").Replace(t.Name())
	return func(name string, png []byte) {
		if err := os.WriteFile(filepath.Join(dir, prefix+"-"+name+".png"), png, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestTheInspectionSeesFaults: a page with every fault that the others are searched for.
func TestTheInspectionSeesFaults(t *testing.T) {
	axe, browser, s := accessibility(t), chromium(t), &site{}
	bad := httptest.NewServer(s.watched(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "7"})
		fmt.Fprintf(w, `<!doctype html><title>Bad</title><meta name=viewport content="width=device-width"><p style="color:#bbb">Pale.</p><p style="width:600px">Wide.</p>
			<button style="width:9px;height:9px;padding:0">x</button><input><img src="`+nowhere+`/pixel.gif" alt=""><a href="/next">Next</a><script>console.warn("x")</script>`)
	})))
	defer bad.Close()
	s.url = bad.URL
	b := s.open(browser, t, axe)
	b.use(phone)
	b.visit(bad.URL + "/")
	found := slices.Concat(b.policy(), b.wrong(phone), b.reported(), b.breakIn(100*time.Millisecond))
	b.press("a")
	found = append(found, s.told()...)
	all := strings.Join(found, "\n")
	for _, fault := range []string{"the policy lacks default-src 'none'", "Referrer-Policy is \"\"", "scrolls sideways", "too small to touch, 9×9", "html-has-lang", "color-contrast", "label (critical)",
		"a request to " + nowhere + " for Image", "the console is written to", "an inline script ran", "nothing was refused for img-src", "carries Set-Cookie", "carries Cookie", "carries Referer"} {
		if !strings.Contains(all, fault) {
			t.Errorf("%q was not found", fault)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
}
