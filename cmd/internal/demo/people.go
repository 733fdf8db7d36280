package demo

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/html"
)

// Visitors fetch what a mail links to, over real HTTP, as different programs do. Each says where it
// comes from in X-Forwarded-For, which the demo's service believes because it trusts loopback.
type Visitors struct {
	Client *http.Client
	// From returns an address in a region of the country that stands for the recipient.
	From func(country string, n int) string

	Opens, Clicks atomic.Int64 // answered requests that ought to be counted
	Machine       atomic.Int64 // of these, a scanner's
	Failed        atomic.Int64 // requests that got neither their image nor their redirect
}

// agent is a program that fetches on behalf of somebody.
type agent struct {
	ua     string
	from   string // fixed address; empty: the recipient's own
	header map[string]string
}

var (
	browsers = []agent{
		{ua: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{ua: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"},
		{ua: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0"},
		{ua: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0"},
	}
	scanner    = agent{ua: "Mozilla/5.0 (compatible; BarracudaCentral/1.0)", from: "192.0.2.250"}
	appleProxy = agent{ua: "Mozilla/5.0", from: "203.0.113.250"}
	gmailProxy = agent{ua: "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", from: "203.0.113.251"}
)

// Visit plays one recipient's part for one mail.
func (v *Visitors) Visit(ctx context.Context, p Someone, m *Caught, r *rand.Rand) error {
	images, links, hidden := fetched(m.HTML)
	own := browsers[r.IntN(len(browsers))]
	own.from = v.From(p.Country, r.IntN(1000))
	look := func(a agent) error {
		for _, u := range images {
			if err := v.get(ctx, a, u, http.StatusOK, &v.Opens); err != nil {
				return err
			}
		}
		return nil
	}
	follow := func(a agent, urls ...string) error {
		for _, u := range urls {
			if err := v.get(ctx, a, u, http.StatusFound, &v.Clicks); err != nil {
				return err
			}
		}
		return nil
	}
	one := func() []string {
		if len(links) == 0 {
			return nil
		}
		i := r.IntN(len(links))
		return links[i : i+1]
	}
	switch p.Acts {
	case Opener:
		return look(own)
	case Clicker, Leaver:
		if err := look(own); err != nil {
			return err
		}
		return follow(own, one()...)
	case Scanner:
		if err := look(scanner); err != nil {
			return err
		}
		return follow(scanner, append(links, hidden...)...)
	case Apple:
		return look(appleProxy)
	case Gmail:
		if err := look(gmailProxy); err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			return follow(own, one()...)
		}
	case DNT:
		own.header = map[string]string{"DNT": "1", "Sec-GPC": "1"}
		if err := look(own); err != nil {
			return err
		}
		return follow(own, one()...)
	}
	return nil
}

// Unsubscribe posts the mail's one-click unsubscription, as a mail program does (RFC 8058).
func (v *Visitors) Unsubscribe(ctx context.Context, m *Caught) error {
	u, _, _ := strings.Cut(strings.TrimPrefix(m.Header.Get("List-Unsubscribe"), "<"), ">")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil {
		return fmt.Errorf("demo: unsubscribe: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := v.Client.Do(req)
	if err != nil {
		return fmt.Errorf("demo: unsubscribe: %w", err)
	}
	defer drop(resp)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("demo: one-click unsubscription answered %s", resp.Status)
	}
	return nil
}

func (v *Visitors) get(ctx context.Context, a agent, u string, want int, tally *atomic.Int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return fmt.Errorf("demo: a mail holds a URL that cannot be fetched: %w", err)
	}
	req.Header.Set("User-Agent", a.ua)
	req.Header.Set("X-Forwarded-For", a.from)
	for k, val := range a.header {
		req.Header.Set(k, val)
	}
	resp, err := v.Client.Do(req)
	if err != nil {
		return fmt.Errorf("demo: fetch: %w", err)
	}
	defer drop(resp)
	if resp.StatusCode != want {
		v.Failed.Add(1)
		return nil
	}
	tally.Add(1)
	if a.ua == scanner.ua {
		v.Machine.Add(1)
	}
	return nil
}

func drop(resp *http.Response) {
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// NewClient returns a client that keeps connections and does not follow redirects: where they lead
// is on nobody's network.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetched lists the beacon and the tracked links of an HTML mail, each once, in order. Hidden are those
// that no reader comes upon.
func fetched(body string) (beacons, links, hidden []string) {
	seen := map[string]bool{}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return beacons, links, hidden
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			for _, a := range t.Attr {
				switch {
				case seen[a.Val]:
				case t.Data == "img" && a.Key == "src" && strings.Contains(a.Val, "/o/"):
					beacons, seen[a.Val] = append(beacons, a.Val), true
				case t.Data == "a" && a.Key == "href" && strings.Contains(a.Val, "/c/"):
					into := &links
					if slices.Contains(t.Attr, html.Attribute{Key: "aria-hidden", Val: "true"}) {
						into = &hidden
					}
					*into, seen[a.Val] = append(*into, a.Val), true
				}
			}
		}
	}
}
