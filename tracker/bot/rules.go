package bot

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// Rules are the compiled data. They do not change and are safe for concurrent use.
type Rules struct {
	agents   *agents
	networks *networkSet
}

// Options adjust the rules.
type Options struct {
	Networks     []Network // beside the ones that come with the package; of two the narrower one holds
	OnlyNetworks bool      // take Networks alone
}

// New compiles the rules. It takes some milliseconds; make them once.
func New(o Options) (*Rules, error) {
	a, err := loadAgents()
	if err != nil {
		return nil, err
	}
	networks := o.Networks
	if !o.OnlyNetworks {
		known, err := ParseNetworks(strings.NewReader(networksFile))
		if err != nil {
			return nil, err
		}
		networks = append(known, networks...)
	}
	return &Rules{a, newNetworkSet(networks)}, nil
}

// with returns these rules with other networks.
func (r *Rules) with(networks []Network) *Rules { return &Rules{r.agents, newNetworkSet(networks)} }

// Default returns the rules as they come with the package.
var Default = sync.OnceValue(func() *Rules {
	r, err := New(Options{})
	if err != nil {
		panic(fmt.Sprintf("bot: the package's own data: %v", err)) // every test of the package would fail first
	}
	return r
})

// Judge judges by the default rules.
func Judge(kind, method string, h http.Header, addr netip.Addr) Judgement {
	return Default().Judge(kind, method, h, addr)
}

// bareAgent is all that Mail Privacy Protection says of itself.
const bareAgent = "Mozilla/5.0"

// maxAgent is how much of a user agent is read. Real ones are shorter by far.
const maxAgent = 1024

// Judge judges one request for a beacon (Open) or a link (Click).
func (r *Rules) Judge(kind, method string, h http.Header, addr netip.Addr) Judgement {
	ua := strings.TrimSpace(first(h, "User-Agent"))
	if len(ua) > maxAgent {
		ua = ua[:maxAgent]
	}
	seen := r.agents.scan(kind, ua)
	network := r.networks.find(addr)

	j := Judgement{Private: first(h, "Dnt") == "1" || first(h, "Sec-Gpc") == "1"}
	client := seen.client(kind)
	j.Verdict, j.Reason = verdict(kind, method, h, ua, &seen, client, network)
	switch {
	case j.Verdict == Machine: // what it calls itself is a disguise or nothing
	case seen.proxy != nil:
		j.Client = seen.proxy.name
	case ua == bareAgent:
		j.Client = appleMail
	case client == macMail:
		j.Client, j.Device = client, Desktop
	default:
		j.Client, j.OS, j.Device = client, seen.os(), seen.device()
	}
	j.NoRegion = j.Private || seen.proxy != nil || network != nil || j.Reason == reasonApple
	return j
}

// The reasons that are whole in themselves; the others name what was recognised.
const (
	reasonMethod   = "not a GET request"
	reasonPrefetch = "prefetch"
	reasonNoAgent  = "no user agent"
	reasonFrom     = "robot: sends From"
	reasonBare     = "bare user agent"
	reasonApple    = "Apple Mail Privacy Protection"
	reasonUnknown  = "unknown client"
	reasonMail     = "mail client"
	reasonApp      = "app"
	reasonBrowser  = "browser"
	reasonRelayed  = "browser behind iCloud Private Relay"
)

func verdict(kind, method string, h http.Header, ua string, seen *sighting, client string, network *owner) (verdict, reason string) {
	click := kind == Click
	switch {
	case method != http.MethodGet:
		return Machine, reasonMethod
	case prefetched(h):
		return Machine, reasonPrefetch
	case ua == "":
		return Machine, reasonNoAgent
	case seen.proxy != nil && click:
		return Machine, seen.proxy.clicked
	case seen.proxy != nil:
		return Person, seen.proxy.opened
	case ua == bareAgent && click: // no browser is that terse, and Mail Privacy Protection fetches images only
		return Machine, reasonBare
	case ua == bareAgent:
		return Unverifiable, reasonApple
	case seen.robot != nil:
		return Machine, seen.robot.reason
	case first(h, "From") != "": // RFC 9110, 10.1.2: robots should send it, and nobody else does
		return Machine, reasonFrom
	case click && network != nil && network.class == Scanner:
		return Machine, network.scanned
	case !click && network != nil && network.class == Relay && !seen.browser():
		return Unverifiable, reasonApple
	case !click && network != nil && network.class == Proxy:
		return Person, network.proxied
	case client == "":
		return Unverifiable, reasonUnknown
	case network != nil && network.class == Relay:
		return Person, reasonRelayed
	}
	return Person, seen.reading(kind)
}

// first returns a header by the name that net/http gives it, or nothing.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// prefetched says whether the browser itself tells that nobody asked for this yet.
func prefetched(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := first(h, name)
		if v == "" {
			continue
		}
		for _, word := range [...]string{"prefetch", "prerender", "preview", "instant"} {
			if len(v) >= len(word) && strings.EqualFold(v[:len(word)], word) {
				return true
			}
		}
	}
	return false
}
