package bounce

import (
	"encoding/json"
	"strings"
)

// noes are the feedback types by which a person says no (see the package comment).
var noes = map[string]bool{"abuse": true, "fraud": true, "opt-out": true, "opt-out-list": true}

// fromFeedback reads an RFC 5965 report.
func (l *letter) fromFeedback() Report {
	f := strings.Fields(strings.ToLower(l.feedback["feedback-type"]))
	rep := Report{Class: Other, Recipient: first(l.feedback["original-rcpt-to"])}
	if len(f) > 0 {
		rep.FeedbackType = limit(f[0], 40)
	}
	if rep.Recipient == "" {
		rep.Recipient = first(l.feedback["removal-recipient"])
	}
	if rep.Recipient == "" {
		rep.Recipient = first(l.returned.get("To"))
	}
	if noes[rep.FeedbackType] {
		rep.Class = Complaint
	}
	rep.Reason = "feedback report of type " + rep.FeedbackType
	if rep.FeedbackType == "" {
		rep.Reason = "feedback report without a type"
	}
	return rep
}

// notice is what Amazon SES sends through SNS, as far as it matters here.
type notice struct {
	Kind   string `json:"notificationType"`
	Event  string `json:"eventType"`
	Bounce struct {
		Type       string `json:"bounceType"`
		Subtype    string `json:"bounceSubType"`
		Recipients []struct {
			Email          string `json:"emailAddress"`
			Status         string `json:"status"`
			DiagnosticCode string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Type       string `json:"complaintFeedbackType"`
		Recipients []struct {
			Email string `json:"emailAddress"`
		} `json:"complainedRecipients"`
	} `json:"complaint"`
}

// fromNotice reads the reports that are neither RFC 3464 nor RFC 5965 but have a fixed form.
func (l *letter) fromNotice() (Report, bool) {
	if from := strings.ToLower(l.head.get("From")); strings.Contains(from, "staff@hotmail.com") &&
		strings.HasPrefix(words(l.head.decoded("Subject")), " complaint about message from ") {
		r := first(l.returned.get("X-HmXmrOriginalRecipient"))
		return Report{Class: Complaint, Recipient: r, FeedbackType: "abuse", Reason: "Microsoft junk mail report"}, true
	}
	text := strings.TrimSpace(l.text)
	if !strings.HasPrefix(text, "{") {
		return Report{}, false
	}
	var n notice
	// The notice ends where the service's own footer begins, and may be folded like a header.
	if json.NewDecoder(strings.NewReader(text)).Decode(&n) != nil {
		n = notice{}
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\n ", ""), "\n", "")
		if json.NewDecoder(strings.NewReader(text)).Decode(&n) != nil {
			return Report{}, false
		}
	}
	return n.report()
}

// report says what a notice comes to, and false for one of no known type.
func (n *notice) report() (Report, bool) {
	switch n.Kind + n.Event {
	case "Complaint":
		rep := Report{Class: Complaint, FeedbackType: limit(strings.ToLower(n.Complaint.Type), 40), Reason: "Amazon SES complaint"}
		if r := n.Complaint.Recipients; len(r) > 0 {
			rep.Recipient = first(r[0].Email)
		}
		return rep, true
	case "Bounce":
		var vs []verdict
		for _, r := range n.Bounce.Recipients[:min(len(n.Bounce.Recipients), 64)] {
			v := judge(r.Status, r.DiagnosticCode)
			v.recipient = first(r.Email)
			if n.Bounce.Type == "Transient" || v.class == "" {
				v.class, v.reason = Soft, "Amazon SES bounce of type "+limit(n.Bounce.Type, 40)
			}
			vs = append(vs, v)
		}
		if v, ok := mildest(vs); ok {
			return v.report(), true
		}
		return Report{Class: Soft, Reason: "Amazon SES bounce without a recipient"}, true
	case "Delivery", "Send", "Open", "Click":
		return Report{Class: Other, Reason: "Amazon SES notice of type " + n.Kind + n.Event}, true
	}
	return Report{}, false
}
