package queue

import (
	"errors"
	"net/textproto"
	"regexp"
	"strings"
	"unicode/utf8"
)

// stage is how far a transaction came.
type stage int

const (
	atMail stage = iota
	atRcpt
	atData
	atDot // the dot that ends the message may have left
)

// verdict is what became of one try.
type verdict struct {
	status  Status // Sent, Deferred, Failed, Unknown; Queued: nothing was tried
	reason  string
	code    int
	reply   string // addresses removed
	bounced bool   // the recipient does not exist
	policy  bool   // the sender is at fault, not the recipient
	hasty   bool   // the recipient's domain asks for patience
}

const maxReply = 300 // bytes kept of a reply

var (
	enhancedForm = regexp.MustCompile(`^([245])\.(\d{1,3})\.(\d{1,3})\b`)
	addressForm  = regexp.MustCompile(`[^\s<>()\[\]:;,"']+@[^\s<>()\[\]:;,"']+`)
)

// unknownRecipient are the status codes (RFC 3463) that say that no such mailbox exists.
var unknownRecipient = map[string]bool{"5.1.1": true, "5.1.2": true, "5.1.3": true, "5.1.6": true, "5.1.10": true}

// ofSession are replies about the conversation and not about the message: the order of commands
// (RFC 5321, 4.2.3), and who is logged in (RFC 4954, 6).
var ofSession = map[int]bool{503: true, 530: true, 534: true, 535: true, 538: true}

// judge turns what went wrong at a stage into a verdict. A network error is no statement about the
// recipient; a reply is the relay's word.
func judge(at stage, err error, hide ...string) verdict {
	var e *textproto.Error
	if !errors.As(err, &e) || e.Code < 400 || e.Code > 599 {
		if at == atDot {
			return verdict{status: Unknown, reason: ReasonNoAnswer, reply: scrub(err.Error(), hide...)}
		}
		return verdict{status: Deferred, reason: ReasonNetwork, reply: scrub(err.Error(), hide...)}
	}
	v := verdict{code: e.Code, reply: scrub(e.Msg, hide...)}
	enhanced := enhancedForm.FindString(e.Msg)
	if e.Code < 500 || at != atDot && ofSession[e.Code] {
		v.status, v.reason = Deferred, ReasonTemporary
		v.hasty = at != atMail && (strings.HasPrefix(enhanced, "4.7.") || e.Code == 421 && !strings.HasPrefix(enhanced, "4.3."))
		return v
	}
	v.status, v.reason = Failed, ReasonRefused
	v.policy = at == atMail || strings.HasPrefix(enhanced, "5.7.")
	v.bounced = !v.policy && unknownRecipient[enhanced]
	return v
}

// scrub makes a reply fit to be stored: no address, nothing of ours that the relay repeats, one line.
func scrub(reply string, hide ...string) string {
	reply = strings.ToValidUTF8(reply, "�")
	for _, h := range hide {
		if len(h) > 2 {
			reply = strings.ReplaceAll(reply, h, "…")
			if local, _, ok := strings.Cut(h, "@"); ok && len(local) > 2 {
				reply = strings.ReplaceAll(reply, local, "…")
			}
		}
	}
	reply = addressForm.ReplaceAllString(reply, "…")
	reply = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, reply)
	if reply = strings.TrimSpace(reply); len(reply) > maxReply {
		end := maxReply
		for !utf8.RuneStart(reply[end]) {
			end--
		}
		reply = reply[:end] + "…"
	}
	return reply
}
