package tracker

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/labstack/echo/v4"
)

// enoughHits is how many requests say that it is no accident.
const enoughHits = 20

// OneClient notices when every client looks like one proxy: requests that a proxy has handed on, with
// X-Forwarded-For, all seem to come from one and the same private address. It holds that address in memory
// alone, and nothing once another has been seen.
type OneClient struct {
	first   atomic.Pointer[netip.Addr]
	seen    atomic.Int64
	several atomic.Bool
}

// Watch looks at the addresses that an extractor returns.
func (o *OneClient) Watch(next echo.IPExtractor) echo.IPExtractor {
	return func(r *http.Request) string {
		text := next(r)
		if !o.several.Load() && r.Header.Get(echo.HeaderXForwardedFor) != "" {
			o.note(text)
		}
		return text
	}
}

func (o *OneClient) note(text string) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return
	}
	addr = addr.Unmap()
	first := o.first.Load()
	if first == nil {
		o.first.CompareAndSwap(nil, &addr)
		first = o.first.Load()
	}
	if first == nil || *first != addr || !addr.IsPrivate() && !addr.IsLoopback() {
		o.several.Store(true)
		o.first.Store(nil)
		return
	}
	o.seen.Add(1)
}

// Suspected reports whether every client looks like one proxy, so that BECKON_TRUSTED_PROXIES should name it.
func (o *OneClient) Suspected() bool { return !o.several.Load() && o.seen.Load() >= enoughHits }

// OneClientWarning is what to tell whoever runs Beckon when it is suspected.
const OneClientWarning = "Every client looks like one proxy: requests come with X-Forwarded-For from a single private address that is not trusted, so regions and scanners are not recognised. Set BECKON_TRUSTED_PROXIES to the proxy's network."
