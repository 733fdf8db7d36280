package consent

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Lengths of RFC 5321, section 4.5.3.1, and RFC 1035.
const (
	maxAddress = 254
	maxLocal   = 64
	maxDomain  = 253
	maxLabel   = 63
)

// NormaliseEmail returns the form in which an address is stored, compared and hashed: trimmed, NFC,
// lower case, the domain as A-labels; normalising it again changes nothing. A local part outside
// ASCII is kept (RFC 6531). Quoted local parts, address literals, domains of a single label and
// anything that is not an address are ErrAddress; the error does not hold the address.
func NormaliseEmail(s string) (string, error) {
	s = strings.TrimSpace(s)
	if n, ok := plainEmail(s); ok {
		return n, nil
	}
	if len(s) > 4*maxAddress || !utf8.ValidString(s) {
		return "", badAddress("too long or not UTF-8")
	}
	s = norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
	local, domain, ok := strings.Cut(s, "@")
	if !ok {
		return "", badAddress("no @")
	}
	if err := checkLocal(local); err != nil {
		return "", err
	}
	domain, err := normaliseDomain(domain)
	if err != nil {
		return "", err
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", badAddress("too long")
	}
	return local + "@" + domain, nil
}

// plainEmail handles the addresses that need neither Unicode nor IDN, which are nearly all of them.
func plainEmail(s string) (string, bool) {
	if len(s) > maxAddress {
		return "", false
	}
	at, upper := -1, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			return "", false
		case c == '@':
			if at >= 0 {
				return "", false
			}
			at = i
		case 'A' <= c && c <= 'Z':
			upper = true
		}
	}
	if at < 0 {
		return "", false
	}
	if upper {
		s = strings.ToLower(s)
	}
	domain := s[at+1:]
	if strings.Contains(domain, "xn--") || checkLocal(s[:at]) != nil || checkDomain(domain) != nil {
		return "", false
	}
	return s, true
}

func badAddress(why string) error { return fmt.Errorf("consent: %w: %s", ErrAddress, why) }

func checkLocal(s string) error {
	if s == "" || len(s) > maxLocal {
		return badAddress("part before the @ is empty or too long")
	}
	dot := true
	for i, r := range s {
		switch {
		case r == '.':
			if dot || i == len(s)-1 {
				return badAddress("dots at the edge or in a row")
			}
			dot = true
			continue
		case r < utf8.RuneSelf:
			if !atext[r] {
				return badAddress("character not allowed before the @")
			}
		case !unicode.IsGraphic(r) || unicode.IsSpace(r):
			return badAddress("character not allowed before the @")
		}
		dot = false
	}
	return nil
}

var atext = func() (t [utf8.RuneSelf]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~" {
		t[c] = true
	}
	return t
}()

func normaliseDomain(s string) (string, error) {
	a, err := idna.Lookup.ToASCII(s)
	if err != nil {
		return "", badAddress("domain is not one")
	}
	a = strings.ToLower(a)
	return a, checkDomain(a)
}

func checkDomain(s string) error {
	if len(s) > maxDomain {
		return badAddress("domain too long")
	}
	label, labels, digits := 0, 0, true
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > maxLabel || s[i-1] == '-' {
				return badAddress("domain is not one")
			}
			labels++
			if i < len(s) {
				label, digits = 0, true
			}
			continue
		}
		c := s[i]
		letter := 'a' <= c && c <= 'z'
		if !letter && !('0' <= c && c <= '9') && (c != '-' || label == 0) {
			return badAddress("domain is not one")
		}
		digits = digits && !letter && c != '-'
		label++
	}
	if labels < 2 || digits {
		return badAddress("domain is not one")
	}
	return nil
}

// Hash returns the keyed hash under which an address that was normalised by NormaliseEmail is
// suppressed: HMAC-SHA-256 cut to 128 bits, under a subkey of key.
func Hash(key []byte, normalisedEmail string) []byte {
	return newMAC(key, hashInfo).sum16([]byte(normalisedEmail))
}

const (
	hashInfo  = "beckon consent address hash 1"
	chainInfo = "beckon consent chain 1"
	headsInfo = "beckon consent checkpoint 1"
)

// mac computes HMACs under one subkey, for any number of goroutines.
type mac struct{ pool sync.Pool }

func newMAC(secret []byte, info string) *mac {
	sub, err := hkdf.Key(sha256.New, secret, nil, info, sha256.Size)
	if err != nil {
		panic("consent: " + err.Error()) // only for a length that HKDF cannot give
	}
	return &mac{sync.Pool{New: func() any { return hmac.New(sha256.New, sub) }}}
}

func (m *mac) sum(parts ...[]byte) []byte {
	h := m.pool.Get().(hash.Hash)
	defer m.pool.Put(h)
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(make([]byte, 0, sha256.Size))
}

// start returns an HMAC for whoever has more to write than fits into memory.
func (m *mac) start() hash.Hash {
	h := m.pool.New().(hash.Hash)
	h.Reset()
	return h
}

func (m *mac) sum16(b []byte) []byte { return m.sum(b)[:16:16] }
