package bounce

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	statusForm = regexp.MustCompile(`(?:^|[^\d.])([245]\.\d{1,3}\.\d{1,3})(?:[^\d.]|\.(?:\D|$)|$)`)
	replyForm  = regexp.MustCompile(`(?:^|[\s:;("'\[<>#,])([45][0-7]\d)(?:[-\s:)]|$)`)
	prefixForm = regexp.MustCompile(`(?m)^\s*[45]\d\d-(?:[45]\.\d{1,3}\.\d{1,3})?`)
)

// verdict is what one statement of a server comes to. An empty class: it states no cause that is
// known here.
type verdict struct {
	class      Class
	status     string
	code       int
	diagnostic string
	recipient  string
	reason     string
}

// byStatus are the RFC 3463 and 5248 codes that decide where no phrase does. A code that is not
// here falls back to its subject (bySubject).
var byStatus = map[string]Class{
	"5.1.1": Hard, "5.1.2": Hard, "5.1.3": Hard, "5.1.4": Soft, "5.1.6": Hard, "5.1.9": Soft, "5.1.10": Hard,
	"5.1.0": Hard, "5.1.7": Sender, "5.1.8": Sender, "5.1.351": Hard,
	"5.2.1": Hard, "5.2.2": Soft, "5.2.3": Sender, "5.2.4": Soft,
	"5.3.4": Sender, "5.3.3": Sender,
	"5.4.0": Soft, "5.4.1": Soft, "5.4.4": Hard, "5.4.6": Soft, "5.4.7": Soft, "5.4.310": Hard,
}

// bySubject are the second digits of a permanent code: protocol, content and policy are the
// sender's matter whatever the detail.
var bySubject = map[string]Class{"5": Sender, "6": Sender, "7": Sender}

// hardInPolicy are the policy codes that some servers give for a dead recipient; a phrase has to
// say so too. Every other 5.7.x is the sender's fault even beside "user unknown".
var hardInPolicy = map[string]bool{"5.7.13": true, "5.7.27": true}

// judge decides one statement: the Status field of a report (may be empty) and the server's words.
// The words are nearer to the cause than the field, which relays fill with 5.0.0 or their own view.
func judge(field, said string) verdict {
	v := verdict{status: statusIn(field), diagnostic: said}
	code := replyForm.FindStringSubmatchIndex(said)
	if code != nil {
		v.code, _ = strconv.Atoi(said[code[2]:code[3]])
	}
	if s := statusIn(said); s != "" && (!generic(s) || v.status == "" || generic(v.status)) {
		v.status = s
	}
	if v.status == "" && v.code == 0 && strings.TrimSpace(said) == "" {
		return v
	}
	p, known := match(words(prefixForm.ReplaceAllString(said, " ")))
	temporary := v.code/100 == 4 || strings.HasPrefix(v.status, "4.") && (v.code == 0 || !generic(v.status) || p.class == Soft)
	switch {
	case known && p.class == Hard && p.domain && v.code/100 != 4 && generic(v.status):
		// Gmail gives up on a dead domain at once and calls it 4.0.0.
		v.class, v.reason = Hard, "says "+strconv.Quote(strings.TrimSpace(p.words))
	case temporary && (strings.HasPrefix(v.status, "4.7.") || known && p.class == Sender):
		v.class, v.reason = Sender, "temporary refusal for policy"
	case temporary:
		v.class, v.reason = Soft, "temporary: "+codeText(v)
	case strings.HasPrefix(v.status, "5.7.") && !(known && (p.class == Soft || p.class == Hard && hardInPolicy[v.status])):
		v.class, v.reason = Sender, "policy: "+v.status
	case known:
		v.class, v.reason = p.class, "says "+strconv.Quote(strings.TrimSpace(p.words))
	case byStatus[v.status] != "":
		v.class, v.reason = byStatus[v.status], "status "+v.status
	case !generic(v.status) && strings.HasPrefix(v.status, "5.") && bySubject[strings.Split(v.status, ".")[1]] != "":
		v.class, v.reason = bySubject[strings.Split(v.status, ".")[1]], "status "+v.status
	}
	return v
}

func codeText(v verdict) string {
	if v.status != "" {
		return v.status
	}
	return strconv.Itoa(v.code)
}

// statusIn finds the most telling status code in s: the first that is not x.0.0, else the first.
func statusIn(s string) string {
	found := ""
	for at := 0; at < len(s); {
		m := statusForm.FindStringSubmatchIndex(s[at:])
		if m == nil {
			break
		}
		c := s[at+m[2] : at+m[3]]
		if !generic(c) && !strings.HasPrefix(c, "2.") {
			return c
		}
		if found == "" {
			found = c
		}
		at += m[3]
	}
	return found
}

// generic reports whether a status code says no more than "failed".
func generic(s string) bool {
	return s == "" || strings.HasSuffix(s, ".0.0") || s == "5.3.0" || s == "5.2.0" || s == "5.5.0" || s == "5.1.0"
}

// mild orders the classes of failures by what they do to the address.
var mild = map[Class]int{Soft: 1, Sender: 2, Hard: 3}

// mildest picks the verdict that does least to the address; the first of equals.
func mildest(vs []verdict) (verdict, bool) {
	best := -1
	for i, v := range vs {
		if v.class != "" && (best < 0 || mild[v.class] < mild[vs[best].class]) {
			best = i
		}
	}
	if best < 0 {
		return verdict{}, false
	}
	return vs[best], true
}

func (v verdict) report() Report {
	return Report{Class: v.class, Recipient: v.recipient, Status: v.status, Code: v.code, Diagnostic: v.diagnostic, Reason: v.reason}
}
