package bounce

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"math"
	"strings"

	"beckon/schema/id"
	"beckon/tracker/token"
)

// Paths makes the return path of a message (VERP) and opens it again. What opens was made with one
// of its keys: whoever writes to such an address knows it from the mail itself.
//
// A local part is "b" and lower-case base32 over
//
//	version · key id · message as minimal varint · HMAC-SHA-256 of these, cut to 96 bits
//
// at most 38 octets. Servers change the case of local parts, so opening ignores it; apart from case
// there is one local part for a message and key. It is safe for concurrent use.
type Paths struct {
	domain string
	keys   []token.Subkey
}

const (
	pathPurpose = "return path"
	pathVersion = 1
	pathTag     = 12
	pathLetter  = "b"
	maxPath     = 64 // octets of a local part (RFC 5321, 4.5.3.1.1)
)

var pathEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewPaths returns the return paths at a domain. Without a domain there are local parts alone, by
// which providers name a message in their notifications.
func NewPaths(domain string, ring *token.Keyring) *Paths {
	return &Paths{strings.ToLower(domain), ring.Subkeys(pathPurpose)}
}

// Domain is what stands behind the @; empty: there are no addresses.
func (p *Paths) Domain() string { return p.domain }

// Make returns the return path of a message, empty without a domain.
func (p *Paths) Make(m id.Message) string {
	if p.domain == "" {
		return ""
	}
	return p.Local(m) + "@" + p.domain
}

// Local returns the local part of a message's return path.
func (p *Paths) Local(m id.Message) string { return local(p.keys[0], m) }

func local(k token.Subkey, m id.Message) string {
	raw := binary.AppendUvarint([]byte{pathVersion, k.ID}, uint64(m))
	return pathLetter + pathEncoding.EncodeToString(append(raw, pathMAC(k.Secret, raw)...))
}

func pathMAC(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)[:pathTag]
}

// Open returns the message whose return path an address is. Angle brackets do not matter; at another
// domain nothing opens.
func (p *Paths) Open(address string) (id.Message, bool) {
	name, domain, ok := strings.Cut(strings.Trim(address, "<> "), "@")
	if !ok || p.domain == "" || !strings.EqualFold(domain, p.domain) {
		return 0, false
	}
	return p.OpenLocal(name)
}

// OpenLocal returns the message that Local made a local part of.
func (p *Paths) OpenLocal(name string) (id.Message, bool) {
	if len(name) > maxPath {
		return 0, false
	}
	text, ok := strings.CutPrefix(strings.ToLower(name), pathLetter)
	if !ok {
		return 0, false
	}
	raw, err := pathEncoding.DecodeString(text)
	if err != nil || len(raw) < 3+pathTag || raw[0] != pathVersion || pathEncoding.EncodeToString(raw) != text {
		return 0, false
	}
	body, tag := raw[:len(raw)-pathTag], raw[len(raw)-pathTag:]
	n, size := binary.Uvarint(body[2:])
	if size != len(body)-2 || size > 1 && body[len(body)-1] == 0 || n == 0 || n > math.MaxInt64 {
		return 0, false
	}
	for _, k := range p.keys {
		if k.ID == body[1] && subtle.ConstantTimeCompare(pathMAC(k.Secret, body), tag) == 1 {
			return id.Message(n), true
		}
	}
	return 0, false
}
