package bounce

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mailgun reads the webhooks of Mailgun. It signs time and token, not the event: so a token is taken
// once, and a message is told by its return path alone, in a variable that X-Mailgun-Variables sets or
// as the envelope's sender.
type mailgun struct {
	keys []string
	now  func() time.Time

	mu   sync.Mutex
	seen map[string]time.Time // tokens that were taken, until their time is over
}

func addMailgunKey(all []Hook, value string, now func() time.Time) []Hook {
	h, all := hookOf(all, &mailgun{now: now, seen: map[string]time.Time{}})
	h.keys = append(h.keys, value)
	return all
}

func (h *mailgun) Way() Way { return ByMailgun }

func (h *mailgun) Stamp(dst []byte, local string) []byte {
	return append(dst, `X-Mailgun-Variables: {"`+stampName+`":"`+local+`"}`+"\r\n"...)
}

func (h *mailgun) Read(_ context.Context, _ http.Header, body []byte) ([]Notice, func(), error) {
	var n struct {
		Signature struct {
			Timestamp text `json:"timestamp"`
			Token     text `json:"token"`
			Signature text `json:"signature"`
		} `json:"signature"`
		Event json.RawMessage `json:"event-data"`
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, nil, ErrForged // nothing in it is signed
	}
	s := n.Signature
	signature, err := hex.DecodeString(string(s.Signature))
	valid := false
	for _, k := range h.keys {
		mac := hmac.New(sha256.New, []byte(k))
		mac.Write([]byte(s.Timestamp + s.Token))
		valid = valid || err == nil && hmac.Equal(mac.Sum(nil), signature)
	}
	if !valid || s.Token == "" {
		return nil, nil, ErrForged
	}
	at, err := strconv.ParseInt(string(s.Timestamp), 10, 64)
	if err != nil || !fresh(time.Unix(at, 0), h.now()) || h.known(string(s.Token)) {
		return nil, nil, ErrStale
	}
	settled := func() { h.remember(string(s.Token)) }
	var e mailgunEvent
	if err := json.Unmarshal(n.Event, &e); err != nil {
		return nil, nil, ErrUnreadable
	}
	rep, ok := e.report()
	if !ok {
		return nil, settled, nil
	}
	rep.Recipient, rep.MessageID = string(e.Recipient), string(e.ID)
	rep.Diagnostic = redact(rep.Diagnostic, rep.Recipient)
	return []Notice{{Report: rep, Local: e.Variables.Local, Path: string(e.Envelope.Sender)}}, settled, nil
}

func (h *mailgun) known(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.seen[token]
	return ok
}

func (h *mailgun) remember(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for t, until := range h.seen {
		if now.After(until) {
			delete(h.seen, t)
		}
	}
	h.seen[token] = now.Add(2 * maxAge)
}

type mailgunEvent struct {
	ID        text `json:"id"`
	Event     text `json:"event"`
	Severity  text `json:"severity"`
	Reason    text `json:"reason"`
	Recipient text `json:"recipient"`
	Status    struct {
		Code        int  `json:"code"`
		Enhanced    text `json:"enhanced-code"`
		Message     text `json:"message"`
		Description text `json:"description"`
	} `json:"delivery-status"`
	Envelope struct {
		Sender text `json:"sender"`
	} `json:"envelope"`
	Variables stamped `json:"user-variables"`
}

// report says what an event comes to, and false for one that is not about failure or a no. A
// temporary failure is tried again by Mailgun.
func (e *mailgunEvent) report() (Report, bool) {
	why := "Mailgun event " + string(e.Event)
	switch {
	case e.Event == "complained", e.Event == "failed" && e.Reason == "suppress-complaint":
		return complained("abuse", why), true
	case e.Event == "unsubscribed", e.Event == "failed" && e.Reason == "suppress-unsubscribe":
		return complained("opt-out", why), true
	case e.Event == "failed" && e.Reason == "suppress-bounce":
		return Report{Class: Hard, Diagnostic: string(e.Reason), Reason: why}, true
	case e.Event == "failed" && e.Severity == "permanent":
		words := strings.TrimSpace(string(e.Status.Message) + " " + string(e.Status.Description))
		if e.Status.Code >= 400 && e.Status.Code < 600 && replyForm.FindString(words) == "" {
			words = strconv.Itoa(e.Status.Code) + " " + words
		}
		return provided(string(e.Status.Enhanced), words, true, why), true
	}
	return Report{}, false
}
