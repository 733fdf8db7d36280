package bounce

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Class is what a message that came back is.
type Class string

const (
	Hard      Class = "hard"       // the address cannot receive mail
	Soft      Class = "soft"       // not delivered this time, or for a cause that could not be read
	Sender    Class = "sender"     // refused for what we are or sent; never suppresses
	Complaint Class = "complaint"  // the recipient said no through their provider
	AutoReply Class = "auto-reply" // a machine answered; neither a bounce nor an opt-out
	Other     Class = "other"      // none of these: a letter from a person, a success report
)

// Report is what one message says. Every field is the claim of whoever wrote it (see the package
// comment).
type Report struct {
	Class        Class
	Recipient    string   // the address the report is about; may be empty
	Status       string   // RFC 3463, "5.1.1"; empty if none was given
	Code         int      // SMTP reply code, 0 if none was given
	Diagnostic   string   // what the server said, addresses removed, one line
	MessageID    string   // of the report itself, without brackets
	FeedbackType string   // RFC 5965, lower case
	To           []string // addresses the report was sent to: Delivered-To, X-Original-To, To
	Original     Original
	Reason       string // why this class, for logs and tests
}

// Original is what the report says about the message that it answers.
type Original struct {
	MessageID       string            // without brackets
	EnvelopeID      string            // RFC 3464 Original-Envelope-Id
	FeedbackID      string            // Feedback-ID
	ListUnsubscribe string            // unfolded, as it stood
	Headers         map[string]string // List-Id and X- fields, keys in lower case
}

// MaxSize is how much of a message is read.
const MaxSize = 10 << 20

// ErrEmpty is returned for a message without a single byte that is not a space.
var ErrEmpty = errors.New("bounce: empty message")

// Read classifies one message. It fails only if r fails or holds nothing; what was read up to then
// is classified all the same. A message that makes no sense is [Other].
func Read(r io.Reader) (Report, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxSize))
	if err != nil {
		err = fmt.Errorf("bounce: reading the message: %w", err)
	} else if strings.TrimSpace(string(raw)) == "" {
		err = ErrEmpty
	}
	l := parse(raw)
	rep := l.report()
	rep.MessageID = messageID(l.head.get("Message-ID"))
	rep.To = l.sentTo()
	rep.Original = l.original()
	rep.Diagnostic = redact(rep.Diagnostic, rep.Recipient)
	return rep, err
}

// report tries the formats from the one that is hardest to mistake to the one that is easiest.
func (l *letter) report() Report {
	if len(l.feedback) > 0 {
		return l.fromFeedback()
	}
	if rep, ok := l.fromStatus(l.status); ok {
		return rep
	}
	if rep, ok := l.fromNotice(); ok {
		return rep
	}
	if strings.HasPrefix(words(l.head.decoded("Subject")), " postfix smtp server errors from ") {
		return Report{Class: Other, Reason: "a server tells its postmaster about a session"}
	}
	text, _ := cut(l.text)
	if rep, ok := l.fromStatus(statusBlocks(text)); ok {
		return rep
	}
	auto, why := l.automatic()
	about := l.aboutDelivery()
	if auto && !about && !strings.HasPrefix(why, autoSubmitted) {
		return Report{Class: AutoReply, Recipient: first(l.head.get("From")), Reason: why}
	}
	if about || l.fromMailer() {
		if rep := l.fromText(text); rep.Class != "" {
			return rep
		}
		if about || !auto && opensAsBounce(text) {
			return Report{Class: Soft, Recipient: l.recipient(text), Reason: unread}
		}
	}
	if auto {
		return Report{Class: AutoReply, Recipient: first(l.head.get("From")), Reason: why}
	}
	if opensAsBounce(text) {
		if rep := l.fromText(text); rep.Class != "" {
			return rep
		}
		return Report{Class: Soft, Recipient: l.recipient(text), Reason: unread}
	}
	return Report{Class: Other, Reason: "neither a report nor an automatic reply"}
}

const unread = "not delivered, for a cause that could not be read"

// sentTo lists the addresses in the fields that name the mailbox a message was delivered to.
func (l *letter) sentTo() []string {
	var to []string
	for _, f := range []string{"Delivered-To", "X-Original-To", "Envelope-To", "To"} {
		for _, v := range l.head.all(f) {
			for _, a := range addresses(v, 8) {
				if len(to) < 16 && !contains(to, a) {
					to = append(to, a)
				}
			}
		}
	}
	return to
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}

// original gathers the fields by which a message of ours can be found again.
func (l *letter) original() Original {
	h := l.returned
	if len(h) == 0 {
		if _, rest := cut(l.text); rest != "" {
			h = quotedHeader(rest)
		}
	}
	o := Original{
		MessageID:       messageID(h.get("Message-ID")),
		EnvelopeID:      limit(l.envelopeID, 200),
		FeedbackID:      limit(h.get("Feedback-ID"), 500),
		ListUnsubscribe: limit(h.get("List-Unsubscribe"), 4000),
	}
	if o.MessageID == "" {
		o.MessageID = messageID(l.head.get("In-Reply-To"))
	}
	if o.MessageID == "" {
		refs := strings.Fields(l.head.get("References"))
		if len(refs) > 0 {
			o.MessageID = messageID(refs[len(refs)-1])
		}
	}
	for _, f := range h {
		key := strings.ToLower(f.name)
		if (key == "list-id" || strings.HasPrefix(key, "x-")) && len(o.Headers) < 64 {
			if o.Headers == nil {
				o.Headers = map[string]string{}
			}
			if _, ok := o.Headers[key]; !ok {
				o.Headers[limit(key, 100)] = limit(f.value, 1000)
			}
		}
	}
	return o
}
