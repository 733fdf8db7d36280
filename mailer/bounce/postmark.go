package bounce

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// postmark reads the webhooks of Postmark, which signs nothing: it is known by the user and password
// that it is told to send. A message is told by its metadata, which a field of its own sets.
type postmark struct{ users []string }

func addPostmarkUser(all []Hook, value string) ([]Hook, error) {
	if user, password, ok := strings.Cut(value, ":"); !ok || user == "" || len(password) < 12 {
		return nil, errors.New("postmark: want USER:PASSWORD with a password of at least 12 characters, as they are in the address that the webhook is given: https://USER:PASSWORD@…/hooks/postmark")
	}
	h, all := hookOf(all, &postmark{})
	h.users = append(h.users, value)
	return all, nil
}

func (h *postmark) Way() Way { return ByPostmark }

func (h *postmark) Stamp(dst []byte, local string) []byte {
	return append(dst, "X-PM-Metadata-"+stampName+": "+local+"\r\n"...)
}

func (h *postmark) Read(_ context.Context, head http.Header, body []byte) ([]Notice, func(), error) {
	coded, _ := strings.CutPrefix(head.Get("Authorization"), "Basic ")
	given, err := base64.StdEncoding.DecodeString(coded)
	valid := false
	for _, u := range h.users {
		valid = same(u, string(given)) && err == nil || valid
	}
	if !valid {
		return nil, nil, ErrForged
	}
	var n postmarkRecord
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, nil, ErrUnreadable
	}
	out := Notice{Local: n.Metadata.Local}
	rep, ok := n.report()
	if n.Record == "Bounce" && n.Type == "Unsubscribe" { // a person answered, and Postmark read it
		rep, ok, out.OptOut = Report{Class: Other, Reason: "Postmark Unsubscribe"}, true, "asked to be unsubscribed, as Postmark says"
	}
	if !ok {
		return nil, nothing, nil
	}
	rep.Recipient = string(n.Email)
	if n.ID != 0 {
		rep.MessageID = strconv.FormatInt(n.ID, 10)
	}
	rep.Diagnostic = redact(rep.Diagnostic, rep.Recipient)
	out.Report = rep
	return []Notice{out}, nothing, nil
}

type postmarkRecord struct {
	Record   text    `json:"RecordType"`
	ID       int64   `json:"ID"`
	Type     text    `json:"Type"`
	Email    text    `json:"Email"`
	Details  text    `json:"Details"`
	Suppress bool    `json:"SuppressSending"`
	Origin   text    `json:"Origin"`
	Metadata stamped `json:"Metadata"`
}

// report says what a record comes to, and false for one that is not about failure or a no. Transient
// is late and tried again.
func (n *postmarkRecord) report() (Report, bool) {
	why := "Postmark " + string(n.Record) + " " + string(n.Type)
	switch {
	case n.Record == "SpamComplaint", n.Record == "Bounce" && n.Type == "SpamComplaint":
		return complained("abuse", why), true
	case n.Record == "SubscriptionChange" && n.Suppress && n.Origin == "Recipient":
		return complained("opt-out", why), true
	case n.Record != "Bounce":
		return Report{}, false
	}
	switch n.Type {
	case "HardBounce", "BadEmailAddress":
		rep := provided("", string(n.Details), true, why)
		if rep.Class == Soft && rep.Code/100 != 4 { // what it does not explain is the provider's to judge
			rep.Class, rep.Reason = Hard, why
		}
		return rep, true
	case "SoftBounce", "DnsError", "Undeliverable", "Unknown":
		return provided("", string(n.Details), false, why), true
	case "SpamNotification", "VirusNotification", "Blocked", "DMARCPolicy", "ChallengeVerification":
		return Report{Class: Sender, Diagnostic: string(n.Details), Reason: why}, true
	}
	return Report{}, false
}
