package lint

import (
	"fmt"
	"slices"
	"strings"

	"beckon/mailer/compose"
)

// Warning is one thing that an author may want to change.
type Warning struct {
	Kind    Kind   `json:"-"`
	Field   string `json:"field"`          // of the campaign: subject, preheader, html, text
	Line    int    `json:"line,omitempty"` // in that field, from 1; zero: the field as a whole
	Message string `json:"message"`        // what is the matter and what to do
}

// Kind tells warnings apart.
type Kind string

// The kinds of warnings.
const (
	Clipped       Kind = "clipped"          // Gmail will hide, or nearly hides, the end
	Large         Kind = "large"            // the whole message
	NoText        Kind = "no-text"          // the text part made from the HTML has hardly anything
	AllPictures   Kind = "all-pictures"     // hardly any text beside the pictures
	NoAlt         Kind = "no-alt"           // pictures without words
	OtherDomain   Kind = "other-domain"     // a link shows another domain than it leads to
	PlainHTTP     Kind = "plain-http"       // links and pictures without TLS
	Shortener     Kind = "shortener"        // links to a URL shortener
	BareIP        Kind = "bare-ip"          // links to an address instead of a name
	Dropped       Kind = "dropped"          // elements that mail programs take out
	SubjectEmpty  Kind = "subject-empty"    // for everybody, or for who has no data
	SubjectLong   Kind = "subject-long"     // cut off in most lists
	SubjectCaps   Kind = "subject-caps"     // shouted
	SubjectReply  Kind = "subject-reply"    // pretends to be an answer
	NoPreheader   Kind = "no-preheader"     // the list shows whatever comes first
	UnknownName   Kind = "unknown-variable" // shows as nothing
	NoAskTracking Kind = "no-ask-tracking"  // nobody is asked for the consent it would use
)

const (
	maxWarnings = 100
	maxSame     = 10 // of one kind, where each is told apart

	clipAt   = 102 << 10 // bytes of HTML that Gmail shows
	clipNear = 90 << 10
	largeAt  = 1 << 20 // bytes of a message

	longSubject = 78 // characters
	noLetters   = 20 // letters and digits that make no text part

	fewLetters  = 40 // letters and digits beside each picture of a mail that is not all pictures,
	fewPictures = 4  // of which no more than so many count
)

// Mail is what is looked at. Subject to Text are as the author wrote them.
type Mail struct {
	Subject, Preheader string
	HTML, Text         string
	Tracking           string   // compose.TrackConsented and so on
	Known              []string // the variables that a recipient can have; nil: they are not looked at

	Template *compose.Template // nil: it does not compile, so nothing can be measured
	Sample   compose.Recipient // who the template is filled for
}

// Check says what is worth changing: subject first, then the HTML and the text by line. The result is
// never nil.
func Check(m Mail) []Warning {
	r := &report{found: []Warning{}}
	doc := read(m.HTML)
	r.subject(m)
	r.preheader(m, doc)
	r.sizes(m)
	r.pictures(m, doc)
	r.links("html", doc.links)
	r.links("text", textLinks(m.Text))
	r.plain(doc.sources)
	r.dropped(doc)
	r.names(m)
	if m.Tracking == compose.TrackConsented && !hasOutput(m.HTML, "ask_tracking") && !hasOutput(m.Text, "ask_tracking") {
		r.add(NoAskTracking, "html", 0, "tracking is consented, and nothing in the mail asks for it: place {{ ask_tracking }} where readers may be invited to agree")
	}
	slices.SortStableFunc(r.found, func(a, b Warning) int {
		if a.Field != b.Field {
			return rank(a.Field) - rank(b.Field)
		}
		return a.Line - b.Line
	})
	return r.found
}

func rank(field string) int {
	return slices.Index([]string{"subject", "preheader", "html", "text"}, field)
}

type report struct{ found []Warning }

func (r *report) add(k Kind, field string, line int, format string, args ...any) {
	if len(r.found) < maxWarnings {
		r.found = append(r.found, Warning{k, field, line, fmt.Sprintf(format, args...)})
	}
}

// many tells of the same thing at several lines. The message is a format with the number in words, such
// as "2 links".
func (r *report) many(k Kind, field, one string, lines []int, format string, args ...any) {
	if len(lines) == 0 {
		return
	}
	count := "1 " + one
	if len(lines) > 1 {
		count = fmt.Sprintf("%d %ss", len(lines), one)
		var at []string
		for _, l := range lines[:min(len(lines), 5)] {
			if s := fmt.Sprint(l); !slices.Contains(at, s) {
				at = append(at, s)
			}
		}
		count += " (from line " + strings.Join(at, ", ") + " on)"
		if len(lines) <= 5 {
			count = fmt.Sprintf("%d %ss (line %s)", len(lines), one, strings.Join(at, ", "))
		}
	}
	r.add(k, field, lines[0], "%s %s", count, fmt.Sprintf(format, args...))
}
