package tracker

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// TrustedIPExtractor makes Echo take a client's address from X-Forwarded-For as far as the given
// networks (192.0.2.0/24) and addresses have written it. Without any, and for requests that come from
// elsewhere, it is the address of the connection. No network is trusted by itself, private ones neither.
func TrustedIPExtractor(cidrs []string) (echo.IPExtractor, error) {
	if len(cidrs) == 0 {
		return echo.ExtractIPDirect(), nil
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, s := range cidrs {
		p, err := network(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("tracker: trusted proxy %q: want a network such as 192.0.2.0/24, or an address", s)
		}
		trust = append(trust, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
	}
	return echo.ExtractIPFromXFFHeader(trust...), nil
}

func network(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone("").Prefix(addr.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// LimitServer bounds what a request may cost before a handler sees it: a public address is open to
// everybody. A header, the request line with it, ends at 16 KiB; the longest link is well under 3.
func LimitServer(s *http.Server) {
	s.MaxHeaderBytes = 16 << 10
	s.ReadHeaderTimeout = 5 * time.Second
	s.IdleTimeout = 75 * time.Second
}
