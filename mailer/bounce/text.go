package bounce

import "strings"

// cutMarks open the copy of the returned message in home-made reports, in the form of words.
var cutMarks = []string{
	" original message follows ", " original message ", " message headers follow ", " below this line is a copy of the message ", " this is a copy of the message including all the headers ",
	" this is a copy of your message including all the headers ", " this is a copy of the message s headers ", " the body of the message is ", " the header of the original message is following ",
	" included is a copy of the message header ", " below is a copy of the original message ", " unsent message follows ", " returned message ", " original mail info ", " original mail as follows ", " original message headers ",
	" message header follows ", " original message header ", " received message follows ", " copy of the message follows ",
}

// headerStarts are fields that begin a returned header where no mark does.
var headerStarts = []string{"received:", "return-path:", "dkim-signature:", "x-originating-ip:", "x-google-dkim-signature:"}

// cut parts the report from the copy of the message that it returns.
func cut(s string) (report, returned string) {
	at := 0
	for line := range strings.Lines(s) {
		t := strings.ToLower(strings.TrimLeft(line, " \t>"))
		for _, h := range headerStarts {
			if strings.HasPrefix(t, h) {
				return s[:at], s[at:]
			}
		}
		if len(line) < 120 && (strings.Contains(t, "message") || strings.Contains(t, "mail")) {
			w := words(line)
			for _, m := range cutMarks {
				if w == m || strings.HasPrefix(strings.TrimSpace(line), "---") && strings.Contains(w, m) {
					return s[:at], s[at+len(line):]
				}
			}
		}
		at += len(line)
	}
	return s, ""
}

// quotedHeader reads a header that stands in text, after lines that are none, perhaps indented.
func quotedHeader(s string) fields {
	var b strings.Builder
	begun := false
	for line := range strings.Lines(limit(s, 64<<10)) {
		name, _, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		isField := ok && name != "" && !strings.ContainsAny(name, " \t<>@-") || ok && strings.Contains(name, "-") && !strings.ContainsAny(name, " \t<>@")
		if !begun {
			if !isField {
				continue
			}
			begun = true
		}
		if isField && !strings.HasPrefix(line, "\t") {
			line = strings.TrimLeft(line, " ")
		}
		b.WriteString(line)
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	h, _ := header([]byte(b.String()))
	return h
}

// fromText judges prose: each reply of a server and each paragraph is a statement, and the mildest
// of those that name a cause wins. The class is empty if none does.
func (l *letter) fromText(text string) Report {
	var vs []verdict
	for _, s := range statements(limit(text, maxText)) {
		if len(vs) >= 200 {
			break
		}
		v := judge("", s)
		if v.class == Soft && v.code == 0 && v.status == "" && len(vs) > 0 && strings.HasPrefix(v.reason, "says ") {
			// "I'm not going to try again; this message has been in the queue too long" follows the
			// refusal that it speaks of.
			if prev := vs[len(vs)-1]; prev.class != "" && prev.code != 0 {
				continue
			}
		}
		if v.class != "" {
			v.recipient = first(s)
		}
		vs = append(vs, v)
	}
	best, ok := mildest(vs)
	if !ok {
		if best = judgeSubject(l.head.decoded("Subject")); best.class == "" {
			return Report{}
		}
	}
	if r := l.recipient(text); r != "" {
		best.recipient = r
	}
	return best.report()
}

// statements cuts prose into what is judged on its own: replies with the lines that go on, and
// paragraphs without a reply.
func statements(s string) []string {
	var out []string
	var cur strings.Builder
	code := ""
	flush := func() {
		if t := strings.TrimSpace(cur.String()); t != "" {
			out = append(out, t)
		}
		cur.Reset()
		code = ""
	}
	for line := range strings.Lines(s) {
		t := strings.TrimLeft(strings.TrimSpace(line), "> ")
		if t == "" {
			flush()
			continue
		}
		if m := replyForm.FindStringSubmatch(t); m != nil {
			if code != "" && m[1] != code {
				flush()
			}
			code = m[1]
		} else if code != "" && strings.HasSuffix(t, ":") && first(t) != "" {
			flush() // the next recipient
		}
		cur.WriteString(t)
		cur.WriteByte('\n')
	}
	flush()
	return out
}

// judgeSubject reads the few subjects that name the cause. Others hold the subject of the returned
// message, which says nothing.
func judgeSubject(subject string) verdict {
	w := words(subject)
	for _, s := range []struct {
		prefix string
		class  Class
	}{
		{" returned mail user unknown ", Hard}, {" returned mail host unknown ", Hard}, {" warning ", Soft}, {" delivery status notification delay ", Soft},
		{" delivery status notification warning ", Soft}, {" delayed mail ", Soft}, {" delivery delayed ", Soft}, {" returned mail cannot send message for ", Soft},
		{" considered unsolicited bulk email ", Sender}, {" message you sent blocked by ", Sender}, {" returned mail deferred ", Soft},
	} {
		if strings.HasPrefix(w, s.prefix) {
			return verdict{class: s.class, reason: "the subject says so"}
		}
	}
	return verdict{}
}

// recipient finds the address that a home-made report is about.
func (l *letter) recipient(text string) string {
	if a := first(l.head.get("X-Failed-Recipients")); a != "" {
		return a
	}
	for _, a := range addresses(limit(text, maxText), 20) {
		local, _, _ := strings.Cut(strings.ToLower(a), "@")
		if !mailers[local] && !contains(l.sentTo(), a) {
			return a
		}
	}
	return first(l.returned.get("To"))
}
