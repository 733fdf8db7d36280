// Package token signs and opens every public link of Beckon: beacons, tracked links, unsubscribe,
// preferences, confirmation and manage links. It needs no database and no network.
//
// A token is base64url without padding (RFC 4648 §5) over
//
//	version · key id · kind and test flag · fields of the kind as minimal varints · URL · tag
//
// where the tag is HMAC-SHA-256 (RFC 2104) over everything before it, cut to 128 bits, under a
// subkey that HKDF (RFC 5869) derives per key and kind.
//
// What a caller may rely on:
//
//   - Open returns what was signed, bit for bit, or an error; nothing of a refused token is returned.
//   - There is exactly one text for one token: what Open accepts is what AppendSign would have written
//     with that key, so a token can be compared and counted by its text.
//   - A token of one kind is refused under every other kind.
//   - Equal tokens are signed to equal texts. A token without a message is therefore the same for
//     everybody it is sent to.
//   - The first key signs, every key opens: a link in a mail sent years ago keeps working for as long
//     as its key is listed.
package token
