package bounce

import "strings"

// stillTried is the reason of a report that the message is late: it may arrive yet.
const stillTried = "delayed, still being tried"

// statusBlocks reads the fields of RFC 3464, one block for each recipient. It is used on
// delivery-status parts and on plain text, where some servers put the same fields.
func statusBlocks(s string) []map[string]string {
	var blocks []map[string]string
	cur := map[string]string{}
	flush := func() {
		if states(cur) {
			blocks = append(blocks, cur)
		}
		cur = map[string]string{}
	}
	last := ""
	for line := range strings.Lines(s) {
		if len(blocks) >= 64 {
			break
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			// Some servers part the fields of one recipient by blank lines.
			if cur["action"] != "" && (cur["status"] != "" || cur["diagnostic-code"] != "") {
				flush()
			}
			last = ""
			continue
		}
		if (line[0] == ' ' || line[0] == '\t') && last != "" {
			if len(cur[last]) < 4000 {
				cur[last] += "\n" + trimmed
			}
			continue
		}
		last = ""
		name, value, ok := strings.Cut(trimmed, ":")
		key := strings.ToLower(strings.TrimSpace(name))
		switch {
		case !ok:
		case key == "final-recipient", key == "original-recipient", key == "x-actual-recipient", key == "action",
			key == "status", key == "diagnostic-code", key == "reporting-mta":
			if cur[key] != "" {
				flush()
			}
			cur[key], last = strings.TrimSpace(value), key
		}
	}
	flush()
	return blocks
}

// actions are those of RFC 3464, and what servers write in their place.
var actions = map[string]bool{"failed": true, "delayed": true, "delivered": true, "relayed": true, "expanded": true, "expired": true, "deliverable": true}

// states reports whether fields are a statement about a recipient: a person, too, may write a line
// that begins with "Action:".
func states(b map[string]string) bool {
	n := 0
	for _, k := range []string{"final-recipient", "action", "status", "diagnostic-code"} {
		if b[k] != "" {
			n++
		}
	}
	return n >= 2 && (actions[action(b)] || statusIn(b["status"]) != "")
}

func action(b map[string]string) string {
	if f := strings.Fields(strings.ToLower(b["action"])); len(f) > 0 {
		return f[0]
	}
	return ""
}

// fromStatus reads the machine's part of a report. Where that names no cause, the prose beside it
// often does.
func (l *letter) fromStatus(blocks []map[string]string) (Report, bool) {
	if len(blocks) == 0 {
		return Report{}, false
	}
	var vs []verdict
	delivered, unclear, waiting := 0, false, false
	for _, b := range blocks {
		_, said, typed := strings.Cut(b["diagnostic-code"], ";")
		if !typed {
			said = b["diagnostic-code"]
		}
		v := judge(b["status"], said)
		v.recipient = recipientOf(b)
		switch action(b) {
		case "delivered", "relayed", "expanded", "deliverable":
			delivered++
			continue
		case "delayed":
			waiting = true
			v.class, v.reason = Soft, stillTried
		case "expired":
			if v.class == "" {
				v.class, v.reason = Soft, "expired"
			}
		}
		if v.class == "" || said == "" && generic(v.status) {
			unclear = true
		}
		vs = append(vs, v)
	}
	if len(vs) == 0 {
		return Report{Class: Other, Recipient: recipientOf(blocks[0]), Status: statusIn(blocks[0]["status"]), Reason: "reports success"}, delivered > 0
	}
	best, ok := mildest(vs)
	if !ok {
		best = vs[0]
	}
	if unclear && !waiting {
		text, _ := cut(l.text)
		if t := l.fromText(text); t.Class != "" && (!ok || mild[t.Class] < mild[best.class] || generic(best.status)) {
			if best.recipient != "" {
				t.Recipient = best.recipient
			}
			if t.Status == "" {
				t.Status = best.status
			}
			return t, true
		}
	}
	if best.class == "" {
		best.class, best.reason = Soft, unread
	}
	if best.recipient == "" {
		best.recipient = l.recipient("")
	}
	return best.report(), true
}

// recipientOf prefers the address that was written to over the one it was forwarded to.
func recipientOf(b map[string]string) string {
	for _, k := range []string{"original-recipient", "final-recipient", "x-actual-recipient"} {
		if a := first(b[k]); a != "" {
			return a
		}
	}
	return ""
}
