package token

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// Subkey is a key for another purpose than links, made from one of the ring's keys and named by its
// id.
type Subkey struct {
	ID     byte
	Secret []byte // 32 bytes
}

// Subkeys makes a subkey of every key of the ring for another purpose, the signing key's first, so
// that what is authenticated with them rotates as links do: the first makes, all verify. None is
// related to a key of a token.
func (r *Keyring) Subkeys(purpose string) []Subkey {
	all := make([]Subkey, len(r.keys))
	for i, k := range r.keys {
		b, err := hkdf.Key(sha256.New, k.secret, nil, "beckon subkey "+purpose, sha256.Size)
		if err != nil {
			panic("token: hkdf: " + err.Error()) // only for absurd lengths
		}
		all[i] = Subkey{k.id, b}
	}
	return all
}
