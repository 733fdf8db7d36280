package bounce

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// sendGrid reads the Event Webhook of SendGrid, signed (ECDSA over time and body). A message is told
// by the unique argument that its X-SMTPAPI field sets.
type sendGrid struct {
	keys []*ecdsa.PublicKey
	now  func() time.Time
}

func addSendGridKey(all []Hook, value string, now func() time.Time) ([]Hook, error) {
	der, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("sendgrid: want the verification key as the event webhook's settings show it, in base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	ec, ok := key.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("sendgrid: the verification key is no ECDSA public key")
	}
	h, all := hookOf(all, &sendGrid{now: now})
	h.keys = append(h.keys, ec)
	return all, nil
}

func (h *sendGrid) Way() Way { return BySendGrid }

func (h *sendGrid) Stamp(dst []byte, local string) []byte {
	return append(dst, `X-SMTPAPI: {"unique_args":{"`+stampName+`":"`+local+`"}}`+"\r\n"...)
}

func (h *sendGrid) Read(_ context.Context, head http.Header, body []byte) ([]Notice, func(), error) {
	signed := head.Get("X-Twilio-Email-Event-Webhook-Timestamp")
	signature, err := base64.StdEncoding.DecodeString(head.Get("X-Twilio-Email-Event-Webhook-Signature"))
	sum := sha256.Sum256(append([]byte(signed), body...))
	valid := false
	for _, k := range h.keys {
		valid = valid || err == nil && ecdsa.VerifyASN1(k, sum[:], signature)
	}
	if !valid {
		return nil, nil, ErrForged
	}
	at, err := strconv.ParseInt(signed, 10, 64)
	if err != nil || !fresh(time.Unix(at, 0), h.now()) {
		return nil, nil, ErrStale
	}
	var events []sendGridEvent
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, nil, ErrUnreadable
	}
	var all []Notice
	for _, e := range events {
		if rep, ok := e.report(); ok {
			rep.Recipient, rep.MessageID = string(e.Email), string(e.ID)
			rep.Diagnostic = redact(rep.Diagnostic, rep.Recipient)
			all = append(all, Notice{Report: rep, Local: string(e.Local)})
		}
	}
	return all, nothing, nil
}

type sendGridEvent struct {
	Event  text `json:"event"`
	Type   text `json:"type"`
	Status text `json:"status"`
	Reason text `json:"reason"`
	Email  text `json:"email"`
	ID     text `json:"sg_event_id"`
	Local  text `json:"beckon"`
}

// report says what an event comes to, and false for one that is not about failure or a no.
func (e *sendGridEvent) report() (Report, bool) {
	const why = "SendGrid event "
	switch e.Event {
	case "bounce":
		return provided(string(e.Status), string(e.Reason), e.Type != "blocked", why+"bounce"), true
	case "dropped": // not sent, for what SendGrid has on its lists
		switch e.Reason {
		case "Bounced Address", "Invalid":
			return Report{Class: Hard, Diagnostic: string(e.Reason), Reason: why + "dropped"}, true
		case "Spam Reporting Address":
			return complained("abuse", why+"dropped"), true
		case "Unsubscribed Address":
			return complained("opt-out", why+"dropped"), true
		}
		return Report{Class: Sender, Diagnostic: string(e.Reason), Reason: why + "dropped"}, true
	case "spamreport":
		return complained("abuse", why+"spamreport"), true
	case "unsubscribe", "group_unsubscribe":
		return complained("opt-out", why+string(e.Event)), true
	}
	return Report{}, false
}
