package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Limits of RFC 7208, 4.6.4, and of what is asked for one record however long it is.
const (
	spfLookups   = 10
	spfVoids     = 2
	spfMX        = 10
	spfQuestions = 60
	spfDepth     = 15
)

// The results of SPF (RFC 7208, 2.6).
const (
	spfPass      = "pass"
	spfFail      = "fail"
	spfSoftFail  = "softfail"
	spfNeutral   = "neutral"
	spfNone      = "none"
	spfPermError = "permerror"
	spfTempError = "temperror"
)

// spfTerm is one mechanism of a record, or its redirect.
type spfTerm struct {
	result string // when it matches
	name   string
	domain string // empty: the one the record is for
	prefix netip.Prefix
	v4, v6 int
	text   string
}

// isSPF reports whether a TXT record is one of SPF (RFC 7208, 4.5).
func isSPF(record string) bool {
	r := strings.ToLower(record)
	return r == "v=spf1" || strings.HasPrefix(r, "v=spf1 ")
}

// parseSPF reads a record; redirect comes last. The error says which term is wrong.
func parseSPF(record string) ([]spfTerm, error) {
	var terms []spfTerm
	var redirect *spfTerm
	for _, text := range strings.Fields(record)[1:] {
		if name, value, ok := strings.Cut(text, "="); ok && !strings.ContainsAny(name, ":/") {
			if strings.EqualFold(name, "redirect") {
				if redirect != nil || value == "" {
					return nil, fmt.Errorf("%q is there twice, or names no domain", text)
				}
				redirect = &spfTerm{name: "redirect", domain: value, text: text}
			}
			continue // exp, and whatever else may come
		}
		t, err := parseMechanism(text)
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	if redirect != nil && !slices.ContainsFunc(terms, func(t spfTerm) bool { return t.name == "all" }) {
		terms = append(terms, *redirect)
	}
	return terms, nil
}

func parseMechanism(text string) (spfTerm, error) {
	t := spfTerm{result: spfPass, v4: 32, v6: 128, text: text}
	rest := text
	switch text[0] {
	case '+', '-', '~', '?':
		t.result = map[byte]string{'+': spfPass, '-': spfFail, '~': spfSoftFail, '?': spfNeutral}[text[0]]
		rest = text[1:]
	}
	wrong := func(why string) (spfTerm, error) { return t, fmt.Errorf("%q %s", text, why) }
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	t.name = strings.ToLower(rest[:end])
	value, given := strings.CutPrefix(rest[end:], ":")
	switch t.name {
	case "all":
		if value != "" || given {
			return wrong("has a value, and all takes none")
		}
	case "include", "exists":
		if t.domain = value; value == "" || !given {
			return wrong("names no domain")
		}
	case "ptr":
		t.domain = value
	case "ip4", "ip6":
		if !strings.Contains(value, "/") {
			value += map[string]string{"ip4": "/32", "ip6": "/128"}[t.name]
		}
		p, err := netip.ParsePrefix(value)
		if err != nil || p.Addr().Is4() != (t.name == "ip4") {
			return wrong("is not an address or network of its kind")
		}
		t.prefix = p.Masked()
	case "a", "mx":
		v6 := ""
		value, v6, _ = strings.Cut(value, "//")
		v4 := ""
		t.domain, v4, _ = strings.Cut(value, "/")
		for _, l := range []struct {
			text string
			bits *int
		}{{v4, &t.v4}, {v6, &t.v6}} {
			if l.text == "" {
				continue
			}
			n, err := strconv.Atoi(l.text)
			if err != nil || n < 0 || n > *l.bits {
				return wrong("has a network length that is none")
			}
			*l.bits = n
		}
	default:
		return wrong("is not a mechanism: known are all, include, a, mx, ip4, ip6, exists and ptr")
	}
	return t, nil
}

// spfWalk evaluates the record of a domain (RFC 7208, 4). Without an address it matches nothing and goes
// through everything that a receiver may have to look up.
type spfWalk struct {
	names
	ip        netip.Addr
	sender    string // domain of the return path
	lookups   int
	voids     int
	questions int
	path      []string
	faults    []string // why it is a permanent error, each once
	ptr       bool
	err       error // the first temporary one
}

func (w *spfWalk) fault(format string, args ...any) string {
	if s := fmt.Sprintf(format, args...); !slices.Contains(w.faults, s) {
		w.faults = append(w.faults, s)
	}
	return spfPermError
}

// check is the result for a domain.
func (w *spfWalk) check(ctx context.Context, domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if slices.Contains(w.path, domain) {
		return w.fault("goes round in a circle: %s → %s", strings.Join(w.path, " → "), domain)
	}
	if len(w.path) >= spfDepth {
		return w.fault("is nested more than %d deep", spfDepth)
	}
	w.path = append(w.path, domain)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	records, err := w.txt(ctx, domain)
	if err != nil {
		return w.temporary(err)
	}
	records = slices.DeleteFunc(records, func(r string) bool { return !isSPF(r) })
	switch len(records) {
	case 0:
		return spfNone
	case 1:
	default:
		return w.fault("has %d records that begin with v=spf1 at %s", len(records), domain)
	}
	terms, err := parseSPF(records[0])
	if err != nil {
		return w.fault("cannot be read at %s: %v", domain, err)
	}
	for _, t := range terms {
		if result, over := w.term(ctx, domain, t); over {
			return result
		}
		if w.questions > spfQuestions || ctx.Err() != nil {
			return spfTempError
		}
	}
	return spfNeutral
}

func (w *spfWalk) temporary(err error) string {
	if w.err == nil {
		w.err = err
	}
	return spfTempError
}

// term says whether the evaluation ends with a term, and how.
func (w *spfWalk) term(ctx context.Context, domain string, t spfTerm) (result string, over bool) {
	switch t.name {
	case "all":
		return t.result, true
	case "ip4", "ip6":
		return t.result, w.ip.IsValid() && t.prefix.Contains(w.ip)
	}
	w.questions++
	if w.lookups++; w.lookups > spfLookups {
		w.fault("needs more than %d lookups", spfLookups)
		if w.ip.IsValid() {
			return spfPermError, true
		}
	}
	target := domain
	if t.domain != "" {
		var ok bool
		if target, ok = w.expand(t.domain, domain); !ok {
			return "", false // a macro that needs an address, while there is none
		}
	}
	switch t.name {
	case "include", "redirect":
		result := w.check(ctx, target)
		if result == spfNone {
			w.void()
			return w.fault("refers to %s, which has no SPF record", target), w.ip.IsValid() || t.name == "redirect"
		}
		if t.name == "redirect" {
			return result, true
		}
		switch {
		case result == spfTempError || result == spfPermError:
			return result, w.ip.IsValid()
		}
		return t.result, w.ip.IsValid() && result == spfPass
	case "ptr":
		w.ptr = true
		return "", false
	case "exists":
		addrs, bad := w.addresses(ctx, target)
		if bad {
			return spfTempError, w.ip.IsValid()
		}
		return t.result, w.ip.IsValid() && len(addrs) > 0
	}
	hosts := []string{target}
	if t.name == "mx" {
		var err error
		if hosts, err = w.mx(ctx, target); err != nil {
			return w.temporary(err), w.ip.IsValid()
		}
		if len(hosts) == 0 {
			w.void()
		}
		if len(hosts) > spfMX {
			return w.fault("has mx:%s with more than %d hosts", target, spfMX), w.ip.IsValid()
		}
		if !w.ip.IsValid() {
			return "", false
		}
	}
	for _, h := range hosts {
		w.questions++
		addrs, bad := w.addresses(ctx, h)
		if bad {
			return spfTempError, w.ip.IsValid()
		}
		for _, a := range addrs {
			bits := t.v4
			if a.Is6() {
				bits = t.v6
			}
			if p, err := a.Prefix(bits); err == nil && w.ip.IsValid() && p.Contains(w.ip) {
				return t.result, true
			}
		}
	}
	return "", false
}

func (w *spfWalk) addresses(ctx context.Context, host string) (addrs []netip.Addr, bad bool) {
	addrs, err := w.names.ip(ctx, host)
	if err != nil {
		w.temporary(err)
		return nil, true
	}
	if len(addrs) == 0 {
		w.void()
	}
	return addrs, false
}

func (w *spfWalk) void() {
	if w.voids++; w.voids > spfVoids {
		w.fault("needs more than %d lookups that find nothing", spfVoids)
	}
}
