package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"beckon/schema"
	"beckon/schema/id"
)

// Kind says what was fetched.
type Kind string

// The kinds.
const (
	Open  Kind = "open"  // the beacon
	Click Kind = "click" // a tracked link
)

// Verdict says who is believed to have made a hit. A Hit has one of the first three; the others are
// how counts tell the hits apart that belong to nobody.
type Verdict string

// The verdicts.
const (
	Person           Verdict = "person"
	Machine          Verdict = "machine"
	Unverifiable     Verdict = "unverifiable"
	Anonymous        Verdict = "anonymous"         // an anonymous token, not a machine
	AnonymousMachine Verdict = "anonymous-machine" // an anonymous token, a machine
	Private          Verdict = "private"           // DNT or GPC
)

// The reasons that this package gives for calling a hit a machine's.
const (
	TooSoon = "too-soon" // hit before, or right after, the message was sent
	Burst   = "burst"    // several links of one message at once, or one beside its honeypot link

	// Honeypot is the reason for a click on the link that people cannot see, at position 0. Nothing in
	// the headers of the request speaks against it.
	Honeypot = "honeypot"
)

// Hit is one recordable request at a beacon or a tracked link.
type Hit struct {
	At       schema.Time
	Kind     Kind
	Campaign id.Campaign
	Message  id.Message // zero: an anonymous token
	Link     int        // position of the link, from 1; zero for the honeypot link, and for an open
	Verdict  Verdict    // by the request's headers: Person, Machine or Unverifiable
	Reason   string     // of the verdict
	Region   string     // GB-ENG, GB, or empty for unknown
	Client   string     // family
	OS       string     // family
	Device   string     // class
	Private  bool       // the request asked not to be tracked (DNT or GPC)
}

// ErrHit is wrapped when a hit cannot be recorded because of what it holds.
var ErrHit = errors.New("not a recordable hit")

// maxText bounds the words of a hit. They come from short lists, so that a longer one is a mistake
// and is cut rather than refused.
const maxText = 64

// recordable returns the hit reduced to what may be kept of it. It is for hits as they come in: what it
// returns for a private click has no link any more, and is not told from the honeypot's.
func (h Hit) recordable() (Hit, error) {
	switch {
	case h.Kind != Open && h.Kind != Click:
		return h, fmt.Errorf("event: %w: kind", ErrHit)
	case h.Verdict != Person && h.Verdict != Machine && h.Verdict != Unverifiable:
		return h, fmt.Errorf("event: %w: verdict", ErrHit)
	case h.Campaign <= 0 || h.Message < 0 || h.Link < 0 || h.At <= 0:
		return h, fmt.Errorf("event: %w: campaign, message, link or time", ErrHit)
	}
	if h.Kind == Open {
		h.Link = 0
	}
	if h.Kind == Click && h.Link == 0 {
		h.Verdict, h.Reason, h.Region = Machine, Honeypot, "" // before a private hit loses its link
	}
	if h.Region == "unknown" {
		h.Region = ""
	}
	if h.Private {
		return Hit{At: h.At.Hour(), Kind: h.Kind, Campaign: h.Campaign, Message: h.Message, Verdict: h.Verdict, Private: true}, nil
	}
	if h.Message == 0 {
		return Hit{At: h.At.Hour(), Kind: h.Kind, Campaign: h.Campaign, Link: h.Link, Verdict: h.Verdict, Region: word(h.Region)}, nil
	}
	h.Reason, h.Region, h.Client, h.OS, h.Device = word(h.Reason), word(h.Region), word(h.Client), word(h.OS), word(h.Device)
	return h, nil
}

// word makes s fit for both databases.
func word(s string) string {
	plain := len(s) <= maxText
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < utf8.RuneSelf
	}
	if plain {
		return s
	}
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
