package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Site is a public address of an installation.
type Site struct {
	URL      string // without a trailing slash
	Insecure bool   // http is accepted off loopback
	Roots    *x509.CertPool
	Now      func() time.Time
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: the usual one
}

// Skew is how far a clock may be off.
const Skew = 30 * time.Second

// Check asks the site from outside what recipients will ask it.
func (s *Site) Check() Check {
	return Check{"web", s.URL, func(ctx context.Context, tell func(Finding)) { s.look(ctx, tell) }}
}

func (s *Site) look(ctx context.Context, tell func(Finding)) {
	say := func(check string, level Level, remedy, format string, args ...any) {
		tell(Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" {
		say("url", Problem, "set BECKON_URL to an absolute URL such as https://mail.example.org", "is no address")
		return
	}
	switch {
	case u.Scheme == "https":
	case onLoopback(u.Hostname()):
		say("https", OK, "", "is http, on loopback")
	case s.Insecure:
		say("https", Warning, "put a proxy with a certificate before it and set BECKON_URL to https://"+u.Host, "is http: recipients' links and choices travel in the clear")
	default:
		say("https", Problem, "put a proxy with a certificate before it and set BECKON_URL to https://"+u.Host, "is http: recipients' links and choices travel in the clear")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, DialContext: s.Dial}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	health, body, err := fetch(ctx, client, s.URL+"/healthz")
	if err != nil {
		say("healthz", Problem, remedyOf(err), "GET %s/healthz: %s", s.URL, reason(err))
		return
	}
	if health.TLS != nil && len(health.TLS.PeerCertificates) > 0 {
		tell(lasting(health.TLS, s.Now()))
	}
	if to := health.Header.Get("Location"); health.StatusCode/100 == 3 {
		say("healthz", Problem, "set BECKON_URL to the address that it ends at, or let the proxy hand /healthz, /o/ and /c/ on as they are", "something before Beckon redirects /healthz to %s", shorten(to))
		return
	}
	var ours struct{ Status string }
	if health.StatusCode != http.StatusOK || json.Unmarshal(body, &ours) != nil || ours.Status != "ok" {
		say("healthz", Problem, "start serve, and let whatever answers at this address hand requests on to BECKON_LISTEN", "GET /healthz answers %d, and not as Beckon does", health.StatusCode)
		return
	}
	say("healthz", OK, "", "Beckon answers")
	s.clock(health, say)
	s.beacon(ctx, client, say)
}

// clock holds the Date of an answer against this machine's clock.
func (s *Site) clock(r *http.Response, say func(check string, level Level, remedy, format string, args ...any)) {
	there, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return
	}
	if off := s.Now().Sub(there).Abs(); off > Skew {
		say("clock", Problem, "let both set their clocks by NTP", "its clock and this machine's differ by %s", off.Round(time.Second))
	} else {
		say("clock", OK, "", "its clock agrees with this machine's")
	}
}

// beacon asks twice for an image that there is not. Beckon answers 404 and that nothing may keep it; a cache or a
// proxy that rewrites would swallow opens in the same way.
func (s *Site) beacon(ctx context.Context, client *http.Client, say func(check string, level Level, remedy, format string, args ...any)) {
	address := s.URL + "/o/" + rand.Text() + ".gif"
	const remedy = "let the proxy or CDN hand /o/ and /c/ on as they are, without a cache"
	for range 2 {
		r, body, err := fetch(ctx, client, address)
		switch {
		case err != nil:
			say("beacon", Problem, remedyOf(err), "GET /o/…: %s", reason(err))
			return
		case r.StatusCode/100 == 3:
			say("beacon", Problem, remedy, "something before Beckon redirects /o/ to %s", shorten(r.Header.Get("Location")))
			return
		case r.StatusCode != http.StatusNotFound:
			say("beacon", Problem, remedy, "an image that is not there is answered %d instead of 404", r.StatusCode)
			return
		case !strings.Contains(r.Header.Get("Cache-Control"), "no-store"):
			say("beacon", Problem, remedy, "something before Beckon takes Cache-Control: no-store out of its answers")
			return
		case r.Header.Get("Age") != "" && r.Header.Get("Age") != "0", strings.Contains(strings.ToUpper(r.Header.Get("X-Cache")), "HIT") && !strings.Contains(strings.ToUpper(r.Header.Get("X-Cache")), "MISS"),
			strings.EqualFold(r.Header.Get("CF-Cache-Status"), "HIT"):
			say("beacon", Problem, remedy, "answers under /o/ come out of a cache: opens are not counted")
			return
		case !strings.Contains(string(body), "not one of ours"):
			say("beacon", Warning, "let the proxy hand 404 answers on as they are", "something before Beckon writes its own page for 404")
			return
		}
	}
	say("beacon", OK, "", "beacons reach Beckon, uncached")
}

// fetch reads one answer, of which no more than 64 KiB.
func fetch(ctx context.Context, client *http.Client, address string) (*http.Response, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	q.Header.Set("User-Agent", "beckon doctor")
	r, err := client.Do(q)
	if err != nil {
		return nil, nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	return r, body, err
}

func reason(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name is not in DNS"
	case errors.As(err, &cert):
		return "the certificate is not good: " + cert.Err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

func remedyOf(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return "publish the address of the host, or correct BECKON_URL"
	case errors.As(err, &cert):
		return "get a certificate for this host name, with its intermediates, and renew it by itself"
	}
	return "start serve, and see that BECKON_URL leads to it; if this machine cannot reach its own public address, run doctor elsewhere"
}

func onLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
