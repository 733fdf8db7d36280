package bounce

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Errors of a hook that callers branch on. Nothing was taken from a notification that got one.
var (
	// ErrForged: not signed by the provider, or not for us.
	ErrForged = errors.New("bounce: the notification is not signed by the provider")
	// ErrStale: signed too long ago, or seen before.
	ErrStale = errors.New("bounce: the notification is too old, or was taken before")
	// ErrUnreadable: signed, and yet no notification of the provider.
	ErrUnreadable = errors.New("bounce: the notification cannot be read")
	// ErrUnavailable: what is needed to verify it could not be had. Try again.
	ErrUnavailable = errors.New("bounce: the notification cannot be verified now")
)

// MaxNotification is how large a notification may be.
const MaxNotification = 1 << 20

// maxAge is how long ago a notification with a signed time may have been signed, and how far in the
// future.
const maxAge = 15 * time.Minute

// stampName is under which name a message carries the local part of its return path for a provider.
const stampName = "beckon"

// Hook reads the notifications of one provider.
type Hook interface {
	Way() Way
	// Read verifies a notification and returns what it says about messages. settled is called once all
	// of it has been taken.
	Read(ctx context.Context, head http.Header, body []byte) (all []Notice, settled func(), err error)
	// Stamp appends the header field, with its CRLF, by which the provider tells messages apart in its
	// notifications; nothing where the return path does.
	Stamp(dst []byte, local string) []byte
}

// ParseHooks reads which providers may notify us, by name:
//
//	ses:TOPIC-ARN  sendgrid:BASE64-PUBLIC-KEY  mailgun:SIGNING-KEY  postmark:USER:PASSWORD
//
// separated by commas. A provider named twice adds a topic or a key. The error quotes no key.
func ParseHooks(s string, now func() time.Time) ([]Hook, error) {
	var all []Hook
	for _, item := range strings.Split(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, ":")
		if value == "" {
			return nil, fmt.Errorf("%q lacks what its notifications are verified with: write ses:TOPIC-ARN, sendgrid:BASE64-KEY, mailgun:KEY or postmark:USER:PASSWORD", name)
		}
		var err error
		switch Way(name) {
		case BySES:
			all, err = addTopic(all, value)
		case BySendGrid:
			all, err = addSendGridKey(all, value, now)
		case ByMailgun:
			all = addMailgunKey(all, value, now)
		case ByPostmark:
			all, err = addPostmarkUser(all, value)
		default:
			return nil, fmt.Errorf("%q is no provider that is known here: ses, sendgrid, mailgun and postmark are", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// hookOf finds the hook of a kind that is there already, or adds one.
func hookOf[T any, P interface {
	*T
	Hook
}](all []Hook, fresh P) (P, []Hook) {
	for _, h := range all {
		if there, ok := h.(P); ok {
			return there, all
		}
	}
	return fresh, append(all, fresh)
}

// fresh reports whether a time of signing is near enough to now.
func fresh(signed, now time.Time) bool {
	age := now.Sub(signed)
	return age <= maxAge && age >= -maxAge
}

// same compares secrets without telling how far they agree, nor how long they are.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// provided makes a report of what a provider says: the server's own words decide, and hard is never
// more than the provider says itself. Words without a known cause are soft.
func provided(status, words string, permanent bool, reason string) Report {
	v := judge(status, words)
	if v.class == "" || v.class == Hard && !permanent {
		v.class, v.reason = Soft, reason
	}
	r := v.report()
	r.Diagnostic = redact(r.Diagnostic, r.Recipient)
	return r
}

// complained is a person's no that came through a provider; kind as in RFC 5965.
func complained(kind, reason string) Report {
	return Report{Class: Complaint, FeedbackType: kind, Reason: reason}
}

func nothing() {}

// text is a value of a notification that should be a text; whatever else it is counts as none.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// stamped holds what Stamp set, among whatever else an account sets; of another form it is empty.
type stamped struct{ Local string }

func (s *stamped) UnmarshalJSON(b []byte) error {
	var v struct {
		Local text `json:"beckon"`
	}
	if json.Unmarshal(b, &v) == nil {
		s.Local = string(v.Local)
	}
	return nil
}
