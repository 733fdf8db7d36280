package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Resolver asks DNS. *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// names asks a resolver. Every answer is one of three: some, none (no error), or an error that says why it
// cannot be told.
type names struct {
	resolver Resolver
	limit    time.Duration // of one question
}

func (n names) ask(ctx context.Context, name string, lookup func(ctx context.Context, name string) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.limit)
	defer cancel()
	err := lookup(ctx, strings.TrimSuffix(name, ".")+".") // never with the search list of this machine
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &dns) && dns.IsNotFound:
		return nil
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("the name servers did not answer for %s in time", name)
	case errors.As(err, &dns):
		return fmt.Errorf("the name servers cannot answer for %s (%s)", name, dns.Err)
	}
	return fmt.Errorf("%s cannot be looked up", name)
}

func (n names) txt(ctx context.Context, name string) (records []string, err error) {
	err = n.ask(ctx, name, func(ctx context.Context, name string) (err error) {
		records, err = n.resolver.LookupTXT(ctx, name)
		return err
	})
	return records, err
}

// mx is in order of preference.
func (n names) mx(ctx context.Context, name string) (hosts []string, err error) {
	err = n.ask(ctx, name, func(ctx context.Context, name string) error {
		found, err := n.resolver.LookupMX(ctx, name)
		for _, m := range found {
			hosts = append(hosts, strings.ToLower(m.Host))
		}
		if len(hosts) > 0 { // some of several may be malformed
			return nil
		}
		return err
	})
	return hosts, err
}

func (n names) ip(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	err = n.ask(ctx, name, func(ctx context.Context, name string) (err error) {
		addrs, err = n.resolver.LookupNetIP(ctx, "ip", name)
		return err
	})
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), err
}

// public reports whether an address can be seen from the world.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrier.Contains(a)
}

var carrier = netip.MustParsePrefix("100.64.0.0/10")

func outside(addrs []netip.Addr) (list []netip.Addr) {
	for _, a := range addrs {
		if public(a) {
			list = append(list, a)
		}
	}
	return list
}

// organisation is the domain that was registered, as DMARC has it.
func organisation(domain string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain)); err == nil {
		return d
	}
	return strings.ToLower(domain)
}

// txtLine is a TXT record as a zone file has it, in strings of at most 255 bytes.
func txtLine(name, value string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. IN TXT", name)
	for len(value) > 255 {
		fmt.Fprintf(&b, ` "%s"`, value[:255])
		value = value[255:]
	}
	fmt.Fprintf(&b, ` "%s"`, value)
	return b.String()
}

func join(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}
