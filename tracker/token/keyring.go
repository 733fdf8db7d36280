package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MinKey is the least length of a key in bytes.
const MinKey = 32

var encoding = base64.RawURLEncoding.Strict()

// Keyring signs with its first key and opens with all of them. It is safe for concurrent use.
type Keyring struct {
	// Now is the clock that expiry is measured with. It is set before the first use.
	Now func() time.Time

	keys  []key
	byID  [256]*key
	spare sync.Pool // *scratch
}

// key is one signing key with the ready-made state of each kind's subkey.
type key struct {
	id     byte
	secret []byte
	pools  [Manage + 1]*sync.Pool // of *state
}

// state is an HMAC that has been keyed once; Reset returns it to there without hashing the key again.
type state struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

// scratch holds one token in binary while it is written or read.
type scratch struct{ raw [maxRaw]byte }

// ParseKeys reads "id:base64,id:base64,…": ids from 0 to 255, keys of at least 32 bytes in either
// base64 alphabet, padded or not. The first key signs.
func ParseKeys(s string) (*Keyring, error) {
	if strings.TrimSpace(s) == "" {
		return nil, errors.New("token: no signing key: give one as id:base64")
	}
	var keys []key
	for i, item := range strings.Split(s, ",") {
		k, err := parseKey(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("token: signing key %d: %w", i+1, err)
		}
		for _, other := range keys {
			if other.id == k.id {
				return nil, fmt.Errorf("token: signing key %d: id %d is used twice", i+1, k.id)
			}
		}
		keys = append(keys, k)
	}
	return newKeyring(keys)
}

func parseKey(item string) (key, error) {
	name, text, found := strings.Cut(item, ":")
	if !found {
		return key{}, errors.New("want id:base64")
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil || strconv.FormatUint(n, 10) != name {
		return key{}, errors.New("the id must be a number from 0 to 255")
	}
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	secret, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return key{}, errors.New("the key is not base64") // the cause would quote the key
	}
	if len(secret) < MinKey {
		return key{}, fmt.Errorf("the key has %d bytes, it needs at least %d", len(secret), MinKey)
	}
	return key{id: byte(n), secret: secret}, nil
}

// Generate makes a random key in the form that ParseKeys reads.
func Generate(id byte) string {
	b := make([]byte, MinKey)
	rand.Read(b)
	return strconv.Itoa(int(id)) + ":" + base64.StdEncoding.EncodeToString(b)
}

func newKeyring(keys []key) (*Keyring, error) {
	r := &Keyring{Now: time.Now, keys: keys}
	r.spare.New = func() any { return new(scratch) }
	for i := range r.keys {
		k := &r.keys[i]
		for kind := Beacon; kind <= Manage; kind++ {
			sub, err := hkdf.Key(sha256.New, k.secret, nil, "beckon token 1 "+kind.String(), sha256.Size)
			if err != nil {
				return nil, fmt.Errorf("token: %w", err)
			}
			k.pools[kind] = &sync.Pool{New: func() any {
				return &state{mac: hmac.New(sha256.New, sub)}
			}}
		}
		r.byID[k.id] = k
	}
	return r, nil
}

// Fingerprints names every key without giving it away, signing key first: two nodes agree on their
// keys exactly when these agree.
func (r *Keyring) Fingerprints() []string {
	var out []string
	for _, k := range r.keys {
		sum, _ := hkdf.Key(sha256.New, k.secret, nil, "beckon token fingerprint", 8)
		out = append(out, fmt.Sprintf("%d:%s", k.id, hex.EncodeToString(sum)))
	}
	return out
}

// Derive makes a 32-byte subkey for another purpose from the oldest key, the one listed last, so
// that it outlives rotation. It is not related to any key of a token.
func (r *Keyring) Derive(purpose string) []byte {
	b, err := hkdf.Key(sha256.New, r.keys[len(r.keys)-1].secret, nil, "beckon derive "+purpose, sha256.Size)
	if err != nil {
		panic("token: hkdf: " + err.Error()) // only for absurd lengths
	}
	return b
}

// Sign writes t as the text of a link.
func (r *Keyring) Sign(t Token) (string, error) {
	b, err := r.AppendSign(nil, t)
	return string(b), err
}

// AppendSign appends the text of t to dst. It fails for a token that would not read back: an unknown
// kind, a field that the kind does not carry, a target that is too long or not on the web. A
// fraction of a second in Expires is cut off.
func (r *Keyring) AppendSign(dst []byte, t Token) ([]byte, error) {
	k := &r.keys[0]
	buf := r.spare.Get().(*scratch)
	defer r.spare.Put(buf)
	raw, err := t.appendBody(buf.raw[:0], k.id)
	if err != nil {
		return dst, err
	}
	raw = k.appendTag(raw, t.Kind, raw)
	return encoding.AppendEncode(dst, raw), nil
}

// Open reads the text of a link of the given kind. The error is ErrInvalid, or ErrExpired together
// with the token.
func (r *Keyring) Open(kind Kind, s string) (Token, error) {
	if kind < Beacon || kind > Manage || len(s) > MaxText || encoding.DecodedLen(len(s)) < header+tagSize {
		return Token{}, ErrInvalid
	}
	// The decoder skips line breaks, which would give a token many texts.
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return Token{}, ErrInvalid
	}
	buf := r.spare.Get().(*scratch)
	defer r.spare.Put(buf)
	raw, err := encoding.AppendDecode(buf.raw[:0], []byte(s))
	if err != nil {
		return Token{}, ErrInvalid
	}
	body, tag := raw[:len(raw)-tagSize], raw[len(raw)-tagSize:]
	k := r.byID[body[1]]
	if body[0] != version || k == nil || Kind(body[2]&^testFlag) != kind || !k.verify(kind, body, tag) {
		return Token{}, ErrInvalid
	}
	t, ok := parseBody(body)
	if !ok {
		return Token{}, ErrInvalid
	}
	if kind.expires() && !r.Now().Before(t.Expires) {
		return t, ErrExpired
	}
	return t, nil
}

func (k *key) appendTag(dst []byte, kind Kind, body []byte) []byte {
	s := k.pools[kind].Get().(*state)
	s.mac.Reset()
	s.mac.Write(body)
	dst = append(dst, s.mac.Sum(s.sum[:0])[:tagSize]...)
	k.pools[kind].Put(s)
	return dst
}

func (k *key) verify(kind Kind, body, tag []byte) bool {
	s := k.pools[kind].Get().(*state)
	s.mac.Reset()
	s.mac.Write(body)
	ok := subtle.ConstantTimeCompare(s.mac.Sum(s.sum[:0])[:tagSize], tag) == 1
	k.pools[kind].Put(s)
	return ok
}
