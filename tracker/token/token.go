package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"beckon/schema/id"
)

// Kind says what a token is good for.
type Kind byte

const (
	Beacon      Kind = 1 // the image that reports an open
	Click       Kind = 2 // a tracked link, with its target
	Unsubscribe Kind = 3
	Preferences Kind = 4
	Confirm     Kind = 5 // ends a double opt-in; expires
	Manage      Kind = 6 // the single-use link to download, erase or say yes; expires
)

func (k Kind) String() string {
	switch k {
	case Beacon:
		return "beacon"
	case Click:
		return "click"
	case Unsubscribe:
		return "unsubscribe"
	case Preferences:
		return "preferences"
	case Confirm:
		return "confirm"
	case Manage:
		return "manage"
	}
	return "unknown"
}

// expires reports whether tokens of the kind carry a request and an expiry instead of a campaign.
func (k Kind) expires() bool { return k == Confirm || k == Manage }

const (
	// MaxURL is the longest target of a tracked link in bytes.
	MaxURL = 1500
	// MaxText is the longest text of a token; anything longer is refused unread.
	MaxText = (maxRaw*8 + 5) / 6

	version  = 1
	testFlag = 0x80
	tagSize  = 16
	header   = 3
	maxRaw   = header + 3*binary.MaxVarintLen64 + MaxURL + tagSize
)

var (
	// ErrInvalid is returned for everything that this keyring did not sign for the kind asked for.
	ErrInvalid = errors.New("token: not a valid link")
	// ErrExpired is returned together with the token by Open: it was valid and is too old.
	ErrExpired = errors.New("token: the link has expired")
)

// Token is what a public link says. Which fields count depends on the kind; the others must be zero.
type Token struct {
	Kind     Kind
	Key      byte        // the key it was signed with; set by Open, ignored by Sign
	Campaign id.Campaign // Beacon, Click, Unsubscribe, Preferences
	Link     int         // Click: the position of the link, from 1; zero: the one that no person sees
	Message  id.Message  // Beacon, Click, Unsubscribe, Preferences; zero: the same for every recipient
	Request  id.Request  // Confirm, Manage
	Expires  time.Time   // Confirm, Manage: not valid at or after this instant; whole seconds, UTC
	URL      string      // Click: where it leads, the author's bytes
	Test     bool        // from a test or preview mail: nothing is recorded
}

// appendBody writes everything of t that is signed.
func (t *Token) appendBody(dst []byte, key byte) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	kind := byte(t.Kind)
	if t.Test {
		kind |= testFlag
	}
	dst = append(dst, version, key, kind)
	if t.Kind.expires() {
		dst = binary.AppendUvarint(dst, uint64(t.Request))
		return binary.AppendUvarint(dst, uint64(t.Expires.Unix())), nil
	}
	dst = binary.AppendUvarint(dst, uint64(t.Campaign))
	if t.Kind == Click {
		dst = binary.AppendUvarint(dst, uint64(t.Link))
	}
	dst = binary.AppendUvarint(dst, uint64(t.Message))
	return append(dst, t.URL...), nil
}

// check refuses what would not read back as it is.
func (t *Token) check() error {
	fail := func(what string) error { return fmt.Errorf("token: cannot sign a %s link: %s", t.Kind, what) }
	if t.Kind < Beacon || t.Kind > Manage {
		return fail("no such kind")
	}
	if t.Kind.expires() {
		switch {
		case t.Request <= 0:
			return fail("it needs a request")
		case t.Expires.Unix() <= 0:
			return fail("it needs an expiry")
		case t.Campaign != 0 || t.Message != 0 || t.Link != 0 || t.URL != "":
			return fail("it carries a request and an expiry only")
		}
		return nil
	}
	switch {
	case t.Campaign <= 0:
		return fail("it needs a campaign")
	case t.Message < 0:
		return fail("the message is negative")
	case t.Request != 0 || !t.Expires.IsZero():
		return fail("it carries no request and no expiry")
	}
	if t.Kind != Click {
		if t.Link != 0 || t.URL != "" {
			return fail("it carries no target")
		}
		return nil
	}
	switch {
	case t.Link < 0 || t.Link > math.MaxInt32:
		return fail("the position is negative or too large")
	case len(t.URL) > MaxURL:
		return fail(fmt.Sprintf("the target is longer than %d bytes", MaxURL))
	case strings.ContainsAny(t.URL, "\r\n\x00"):
		return fail("the target holds a line break")
	case !isWeb(t.URL):
		return fail("the target is not an http or https URL")
	}
	return nil
}

// parseBody reads what appendBody wrote; ok is false for any other bytes. The version and the key
// have been looked at already.
func parseBody(b []byte) (t Token, ok bool) {
	t.Key = b[1]
	t.Kind = Kind(b[2] &^ testFlag)
	t.Test = b[2]&testFlag != 0
	b = b[header:]
	if t.Kind.expires() {
		var request, expires int64
		if request, b, ok = number(b); !ok {
			return Token{}, false
		}
		if expires, b, ok = number(b); !ok || len(b) != 0 {
			return Token{}, false
		}
		t.Request, t.Expires = id.Request(request), time.Unix(expires, 0).UTC()
		return t, t.check() == nil
	}
	var campaign, link, message int64
	if campaign, b, ok = number(b); !ok {
		return Token{}, false
	}
	if t.Kind == Click {
		if link, b, ok = number(b); !ok || link > math.MaxInt32 {
			return Token{}, false
		}
	}
	if message, b, ok = number(b); !ok {
		return Token{}, false
	}
	t.Campaign, t.Link, t.Message = id.Campaign(campaign), int(link), id.Message(message)
	t.URL = string(b)
	return t, t.check() == nil
}

// number reads one varint, refusing all but the shortest way to write it.
func number(b []byte) (n int64, rest []byte, ok bool) {
	v, size := binary.Uvarint(b)
	if size <= 0 || v > math.MaxInt64 || (size > 1 && b[size-1] == 0) {
		return 0, nil, false
	}
	return int64(v), b[size:], true
}

// isWeb is the last guard against a redirect to anything but the web.
func isWeb(u string) bool {
	const a, b = "http://", "https://"
	return len(u) > len(a) && strings.EqualFold(u[:len(a)], a) || len(u) > len(b) && strings.EqualFold(u[:len(b)], b)
}
