package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browserTime is how long a test with a browser may take on a machine that is busy with others.
const browserTime = 3 * time.Minute

// agent is how the browser calls itself: a headless one would be counted as a machine.
const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"

// needed ends a test that lacks a program: a bare machine may lack it, CI may not.
func needed(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("in CI no browser test may be skipped: %v", err)
	}
	t.Skip(err)
}

// accessibility returns the source of axe-core.
func accessibility(t testing.TB) string {
	t.Helper()
	path := os.Getenv("BECKON_TEST_AXE")
	if path == "" {
		needed(t, errors.New("needs axe-core: set BECKON_TEST_AXE to its axe.min.js"))
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("BECKON_TEST_AXE: %v", err)
	}
	return string(source)
}

// chromium starts a browser with an empty profile. It reaches loopback addresses alone, and ends
// with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	if program == "" {
		needed(t, errors.New("needs a browser: install chromium"))
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserAgent(agent),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")}
	for _, on := range []string{"headless", "disable-gpu", "disable-quic", "no-first-run", "no-default-browser-check", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions", "disable-breakpad", "disable-dev-shm-usage", "hide-scrollbars"} {
		options = append(options, chromedp.Flag(on, true))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	alive := context.WithoutCancel(t.Context()) // until the clean-up has closed it
	allocator, free := chromedp.NewExecAllocator(alive, options...)
	quiet := func(string, ...any) {}
	ctx, _ := chromedp.NewContext(allocator, chromedp.WithLogf(quiet), chromedp.WithErrorf(quiet))
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_ = chromedp.Cancel(end)
		free()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return ctx
}

// tab is one person's browser: nothing is shared with other tabs.
type tab struct {
	t    *testing.T
	ctx  context.Context
	home string // origin of the service
	axe  string
	shot func(name string, png []byte) // nil: no screenshots are wanted

	silent bool // the person has turned scripts off
	in     view // the window it is used in
	shots  int  // how many pages were looked at
	answer *network.Response

	mu     sync.Mutex
	faults []string // of the page shown, as the browser reported them
}

// open opens a tab of the browser on the service.
func (s *site) open(browser context.Context, t *testing.T, axe string) *tab {
	t.Helper()
	b := &tab{t: t, home: s.url, axe: axe, shot: screenshots(t)}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	limited, end := context.WithTimeout(ctx, browserTime)
	t.Cleanup(end)
	b.ctx = limited
	send(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return b
}

// listen writes down what a page of the service must not do.
func (b *tab) listen(ev any) {
	say := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		if origin(ev.DocumentURL) == b.home && origin(ev.Request.URL) != b.home && ev.Type != network.ResourceTypeDocument {
			say("a request to %s for %s", origin(ev.Request.URL), ev.Type)
		}
	case *log.EventEntryAdded:
		failed := ev.Entry.Source == log.EntrySourceNetwork && ev.Entry.URL != "" && strings.Contains(ev.Entry.Text, "the server responded with a status of 4")
		if !failed && (ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning) { // a page that says no is an answer
			say("the browser logs: %s", ev.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		say("the console is written to: %s", ev.Type)
	case *runtime.EventExceptionThrown:
		say("a script failed: %s", ev.ExceptionDetails.Text)
	}
}

// reported takes what listen wrote down.
func (b *tab) reported() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.faults
	b.faults = nil
	return all
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Scheme + "://" + u.Host
}

// send gives the tab a command.
func send[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return r
}

// silence turns the page's scripts off or on again.
func (b *tab) silence(off bool) {
	b.t.Helper()
	send(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// visit opens an address that the person has got, and returns the status of the answer.
func (b *tab) visit(address string) int {
	b.t.Helper()
	return b.follow(chromedp.Navigate(address))
}

// follow does something that opens a page.
func (b *tab) follow(step chromedp.Action[chromedp.Void]) int {
	b.t.Helper()
	var err error
	if b.answer, err = chromedp.RunResponse(b.ctx, step); err != nil {
		b.t.Fatal(err)
	}
	if b.answer == nil {
		b.t.Fatal("the page came from nowhere")
	}
	return int(b.answer.Status)
}

// press presses what the selector names with the mouse, or a finger, and waits for the page it opens.
func (b *tab) press(selector string) int {
	b.t.Helper()
	x, y := b.find(selector)
	return b.follow(chromedp.MouseClickXY(x, y))
}

// tick presses something that opens no page.
func (b *tab) tick(selector string) {
	b.t.Helper()
	x, y := b.find(selector)
	b.do(chromedp.MouseClickXY(x, y))
}

// find brings what the selector names into sight and returns its middle. It must be what a press
// there would reach.
func (b *tab) find(selector string) (x, y float64) {
	b.t.Helper()
	place := look[struct {
		X, Y  float64
		Fault string
	}](b, fmt.Sprintf(`(selector => {
		const e = document.querySelector(selector);
		if (!e) return {fault: "is not on the page: " + document.title};
		e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getClientRects()[0];
		if (!r) return {fault: "is not to be seen"};
		const x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
		return {x, y, fault: top && (e.contains(top) || top.contains(e)) ? "" : "is covered by " + (top && top.outerHTML)};
	})(%q)`, selector))
	if place.Fault != "" {
		b.t.Fatalf("%s %s", selector, place.Fault)
	}
	return place.X, place.Y
}

// write types into a field.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.tick(selector)
	send(b, input.InsertText, input.InsertTextParams{Text: text})
}

// reach moves through the page with the Tab key until what the selector names has the focus, which
// must be visible all the way.
func (b *tab) reach(selector string) {
	b.t.Helper()
	for range 150 {
		b.do(chromedp.KeyEvent(kb.Tab))
		at := look[struct {
			There, Marked bool
			What          string
		}](b, fmt.Sprintf(`(selector => {
			const e = document.activeElement, marked = [e, e.closest("label")].some(x => x && parseFloat(getComputedStyle(x).outlineWidth) > 0 && getComputedStyle(x).outlineStyle !== "none");
			return {there: e.matches(selector), marked: marked || e === document.body, what: e.outerHTML.slice(0, 200)};
		})(%q)`, selector))
		if !at.Marked {
			b.t.Errorf("the focus is not to be seen on %s", at.What)
		}
		if at.There {
			return
		}
	}
	b.t.Fatalf("the keyboard does not reach %s", selector)
}

// look asks the page something.
func look[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%v: in %.120s", err, script)
	}
	return v
}
