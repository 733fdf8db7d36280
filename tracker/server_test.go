package tracker_test

import (
	"net/http"
	"testing"

	"beckon/tracker"

	"github.com/labstack/echo/v4"
)

func TestAnAddressIsTakenFromTrustedProxiesOnly(t *testing.T) {
	for _, c := range []struct {
		about   string
		trusted []string
		remote  string
		xff     []string
		want    string
	}{
		{"nobody is trusted: the header is ignored", nil, "203.0.113.9:4711", []string{"192.0.2.1"}, "203.0.113.9"},
		{"nobody is trusted, not even the machine itself", nil, "127.0.0.1:4711", []string{"192.0.2.1"}, "127.0.0.1"},
		{"a private network is not trusted by itself", []string{"203.0.113.0/24"}, "10.0.0.1:4711", []string{"192.0.2.1"}, "10.0.0.1"},
		{"a trusted proxy tells the address", []string{"10.0.0.0/8"}, "10.0.0.1:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"a single trusted address", []string{" 10.0.0.1 "}, "10.0.0.1:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"its neighbour is not", []string{"10.0.0.1"}, "10.0.0.2:4711", []string{"192.0.2.1"}, "10.0.0.2"},
		{"what the client wrote before the proxy did is ignored", []string{"10.0.0.0/8"}, "10.0.0.1:4711", []string{"198.51.100.1, 192.0.2.1"}, "192.0.2.1"},
		{"two headers are one list", []string{"10.0.0.0/8"}, "10.0.0.1:4711", []string{"198.51.100.1", "192.0.2.1, 10.0.0.7"}, "192.0.2.1"},
		{"a list that is not one is not believed", []string{"10.0.0.0/8"}, "10.0.0.1:4711", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"no header", []string{"10.0.0.0/8"}, "10.0.0.1:4711", nil, "10.0.0.1"},
		{"IPv6", []string{"2001:db8:ffff::/48"}, "[2001:db8:ffff::1]:4711", []string{"2001:db8:1::5"}, "2001:db8:1::5"},
	} {
		extract, err := tracker.TrustedIPExtractor(c.trusted)
		if err != nil {
			t.Fatalf("%s: %v", c.about, err)
		}
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.xff, "X-Real-Ip": {"198.51.100.200"}, "Forwarded": {"for=198.51.100.201"}}}
		if c.xff == nil {
			r.Header.Del("X-Forwarded-For")
		}
		if got := extract(r); got != c.want {
			t.Errorf("%s: got %s, want %s", c.about, got, c.want)
		}
	}
	for _, bad := range []string{"", "everybody", "10.0.0.0/33", "10.0.0.0-10.0.0.255"} {
		if _, err := tracker.TrustedIPExtractor([]string{bad}); err == nil {
			t.Errorf("%q was taken for a network", bad)
		}
	}
}

// The same over a real connection: without trusted proxies a reader cannot choose a region.
func TestNobodyChoosesTheirRegion(t *testing.T) {
	for _, c := range []struct {
		about string
		setup func(*tracker.Handler, *echo.Echo)
		xff   string
		want  string
	}{
		{"no extractor was set", func(h *tracker.Handler, _ *echo.Echo) { h.Geo = regions(t) }, "192.0.2.1", ""},
		{"behind a trusted proxy", atHome(t), "192.0.2.1", "GB-ENG"},
		{"behind a trusted proxy, with an address made up before it", atHome(t), "203.0.113.1, 198.51.100.65", "DE-BY"},
		{"behind a trusted proxy, from an unknown place", atHome(t), "8.8.8.8", ""},
		{"behind a trusted proxy, from a private network", atHome(t), "10.0.0.9", ""},
		{"where only the country is known", atHome(t), "198.51.100.200", "NL"},
	} {
		s := serve(t, c.setup)
		s.do(t, "GET", s.link(t, 42, 1, "https://example.com/"), "X-Forwarded-For", c.xff, "X-Real-IP", "192.0.2.1")
		if hits := s.spool.take(); len(hits) != 1 || hits[0].Region != c.want {
			t.Errorf("%s: %+v, want the region %q", c.about, hits, c.want)
		}
	}
}
