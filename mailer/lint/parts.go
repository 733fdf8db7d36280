package lint

import (
	"bytes"
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"beckon/mailer/compose"
)

// replies are the prefixes that mail programs give answers and forwarded mail, in the languages that
// a sender is likely to imitate.
var replies = regexp.MustCompile(`^(?i)\s*(re|fwd?|aw|wg|tr|sv|antw|rif|odp)\s*(\[\d+\])?\s*:`)

func (r *report) subject(m Mail) {
	if len(m.Subject) > maxText { // is refused anyway
		return
	}
	if prefix := replies.FindString(m.Subject); prefix != "" {
		r.add(SubjectReply, "subject", 0, "begins with “%s”, as if it were an answer to the reader: begin with what the mail is about", strings.TrimSpace(prefix))
	}
	upper, lower := 0, 0
	for _, c := range mask(m.Subject) {
		switch {
		case unicode.IsUpper(c):
			upper++
		case unicode.IsLower(c):
			lower++
		}
	}
	if upper >= 8 && lower == 0 {
		r.add(SubjectCaps, "subject", 0, "is all capitals, which reads as shouting and raises spam scores: write it as a sentence")
	}
	text, _, ok := m.fill(m.Sample)
	if !ok {
		return
	}
	if n := utf8.RuneCountInString(text); n > longSubject {
		r.add(SubjectLong, "subject", 0, "has %d characters when it is filled in for a sample recipient; lists cut it off, most before %d: shorten it", n, longSubject)
	}
	blank := m.Sample
	blank.Fields, blank.Name = nil, ""
	if text == "" {
		r.add(SubjectEmpty, "subject", 0, "is empty when it is filled in for a sample recipient: give it words of its own")
	} else if text, _, ok := m.fill(blank); ok && text == "" {
		r.add(SubjectEmpty, "subject", 0, "is empty for a recipient of whom only the address is known: give it words of its own, or a value with | default")
	}
}

// fill makes one message and returns its subject as a reader sees it.
func (m *Mail) fill(to compose.Recipient) (subject string, message []byte, ok bool) {
	if m.Template == nil {
		return "", nil, false
	}
	to.Message = max(to.Message, 1)
	message, err := m.Template.Fill(nil, to)
	if err != nil {
		return "", nil, false
	}
	head, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return "", nil, false
	}
	raw := head.Header.Get("Subject")
	subject, err = (&mime.WordDecoder{}).DecodeHeader(raw)
	if err != nil {
		subject = raw
	}
	return strings.TrimSpace(subject), message, true
}

func (r *report) preheader(m Mail, doc *page) {
	if strings.TrimSpace(m.Preheader) == "" && !doc.hidden {
		r.add(NoPreheader, "preheader", 0, "is missing: lists show the first words of the mail beside the subject, such as “View in browser”; give the sentence that is to stand there")
	}
}

func (r *report) sizes(m Mail) {
	_, message, ok := m.fill(m.Sample)
	if !ok {
		return
	}
	if len(message) >= largeAt {
		r.add(Large, "html", 0, "makes a message of %s: gateways delay or refuse such mail. Shorten it, and fetch pictures instead of putting them in", kilobytes(len(message)))
	}
	sample := m.Sample
	sample.Message = max(sample.Message, 1)
	body, _, err := m.Template.Parts(sample)
	if err != nil || len(body) < clipNear {
		return
	}
	sizes := fmt.Sprintf("%s, %s as it is sent", kilobytes(len(body)), kilobytes(htmlOnTheWire(message)))
	if len(body) >= clipAt {
		r.add(Clipped, "html", 0, "is %s, links and footer included: Gmail hides what comes after about %s, Unsubscribe and Preferences with it. Shorten it", sizes, kilobytes(clipAt))
	} else {
		r.add(Clipped, "html", 0, "is %s, links and footer included: Gmail hides what comes after about %s. Add nothing more", sizes, kilobytes(clipAt))
	}
}

func kilobytes(n int) string { return fmt.Sprintf("%d kB", (n+512)>>10) }

// htmlOnTheWire is the size of the HTML part as it is encoded: the last part of the message.
func htmlOnTheWire(message []byte) int {
	at := bytes.LastIndex(message, []byte("text/html"))
	if at < 0 {
		return len(message)
	}
	if _, body, found := bytes.Cut(message[at:], []byte("\r\n\r\n")); found {
		return len(body)
	}
	return len(message) - at
}

func (r *report) pictures(m Mail, doc *page) {
	if doc.letters < fewLetters*min(doc.pictures, fewPictures) {
		r.add(AllPictures, "html", 0, "has about %d letters of text beside its pictures (%d): while pictures are not shown there is little to read, and filters take it for spam. Write what matters as text", doc.letters, doc.pictures)
	}
	if strings.TrimSpace(m.Text) == "" && doc.words < noLetters {
		r.add(NoText, "text", 0, "is made from the HTML, which has hardly any words: write a text part, or give the pictures alt texts")
	}
	r.many(NoAlt, "html", "picture", doc.noAlt, `without alt: give what it shows in words, or alt="" if it only decorates`)
}

func (r *report) dropped(doc *page) {
	for _, what := range doc.order {
		s := doc.gone[what]
		name := string(what)
		if !strings.Contains(name, " ") {
			name = "<" + name + ">"
		}
		times := ""
		if s.n > 1 {
			times = fmt.Sprintf(" (%d times)", s.n)
		}
		r.add(Dropped, "html", s.line, "%s%s does nothing in many mail programs, which take it out: %s", name, times, droppedTags[string(what)])
	}
}

// names tells of variables that no recipient has.
func (r *report) names(m Mail) {
	if m.Template == nil || m.Known == nil {
		return
	}
	for _, name := range m.Template.Fields() {
		if slices.Contains(m.Known, name) {
			continue
		}
		field, line := "html", 0
		for _, f := range []struct{ field, text string }{{"subject", m.Subject}, {"preheader", m.Preheader}, {"html", m.HTML}, {"text", m.Text}} {
			if l := lineOf(f.text, name); l > 0 {
				if field = f.field; field == "html" || field == "text" {
					line = l
				}
				break
			}
		}
		r.add(UnknownName, field, line, "%s is no field of a contact and shows as nothing: write one of %s, or attributes.%[1]s if it is a column of an import", name, strings.Join(m.Known, ", "))
	}
}

// lineOf is the line of the first Liquid construct that names a variable; zero if there is none.
func lineOf(text, name string) int {
	word, err := regexp.Compile(`\b` + regexp.QuoteMeta(name) + `\b`)
	if err != nil {
		return 0
	}
	first := -1
	each(text, func(start, end int) {
		if first < 0 && word.MatchString(text[start:end]) {
			first = start
		}
	})
	if first < 0 {
		return 0
	}
	return 1 + strings.Count(text[:first], "\n")
}

// hasOutput reports whether a block of Beckon's is placed.
func hasOutput(text, name string) bool { return lineOf(text, name) > 0 }
