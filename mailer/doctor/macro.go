package doctor

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// expand fills in the macros of a domain (RFC 7208, 7). It fails for those that need an address while there
// is none, and for what is no macro.
func (w *spfWalk) expand(spec, domain string) (string, bool) {
	var b strings.Builder
	for spec != "" {
		at := strings.IndexByte(spec, '%')
		if at < 0 || at == len(spec)-1 {
			b.WriteString(spec)
			break
		}
		b.WriteString(spec[:at])
		kind := spec[at+1]
		spec = spec[at+2:]
		switch kind {
		case '%':
			b.WriteByte('%')
		case '_':
			b.WriteByte(' ')
		case '-':
			b.WriteString("%20")
		case '{':
			inner, rest, closed := strings.Cut(spec, "}")
			value, ok := w.macro(inner, domain)
			if !closed || !ok {
				return "", false
			}
			b.WriteString(value)
			spec = rest
		default:
			return "", false
		}
	}
	return b.String(), true
}

func (w *spfWalk) macro(inner, domain string) (string, bool) {
	if inner == "" {
		return "", false
	}
	var value string
	switch inner[0] | 0x20 {
	case 's':
		value = "postmaster@" + w.sender
	case 'l':
		value = "postmaster"
	case 'o':
		value = w.sender
	case 'd':
		value = domain
	case 'h':
		value = w.sender
	case 'p':
		value = "unknown"
	case 'i', 'v':
		if !w.ip.IsValid() {
			return "", false
		}
		value = dotted(w.ip)
		if inner[0]|0x20 == 'v' {
			value = map[bool]string{true: "in-addr", false: "ip6"}[w.ip.Is4()]
		}
	default:
		return "", false
	}
	rest := inner[1:]
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	keep, err := strconv.Atoi(rest[:digits])
	if digits > 0 && (err != nil || keep == 0) {
		return "", false
	}
	rest = rest[digits:]
	turned := rest != "" && rest[0]|0x20 == 'r'
	if turned {
		rest = rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return "", false
	}
	if digits == 0 && !turned && rest == "" {
		return value, true
	}
	if rest == "" {
		rest = "."
	}
	parts := strings.FieldsFunc(value, func(c rune) bool { return strings.ContainsRune(rest, c) })
	if turned {
		slices.Reverse(parts)
	}
	if digits > 0 && keep < len(parts) {
		parts = parts[len(parts)-keep:]
	}
	return strings.Join(parts, "."), true
}

// dotted is an address as the macro i writes it: IPv6 digit by digit.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	hex := strings.ReplaceAll(a.StringExpanded(), ":", "")
	return strings.Join(strings.Split(hex, ""), ".")
}
