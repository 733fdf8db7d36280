package compose

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"

	"beckon/tracker/token"
)

// webLink is an href that leads to the web.
type webLink struct {
	token, attr int
	start, end  int    // of the value in the source
	original    string // the value as the author wrote it, constants put in
	plain       string // the same with the campaign's UTM parameters
	authored    string // where the author's value leads
	target      string // where it leads with the UTM parameters
	label       string
	position    int // from 1; 0: left alone
}

// maxLabel is how much of a link's text is kept, in characters.
const maxLabel = 120

// findLinks finds the links to the web, adds the UTM parameters to each that the author does not keep
// from it, and gives a position to each that is to be tracked.
func (d *document) findLinks(track bool, utm UTM, consts *env, e *engine, report func(Problem)) {
	position := 0
	for t := range d.tokens {
		tok := &d.tokens[t]
		if tok.kind != tokStart || !isLinkTag(tok.name) {
			continue
		}
		// Browsers take the first href; with control flow between the attributes any may be the first.
		several := d.hasControl(tok.start, tok.end)
		seen := false
		for i := range tok.attrs {
			a := &tok.attrs[i]
			if a.name != "href" || seen && !several {
				continue
			}
			seen = true
			l := webLink{token: t, attr: i, start: a.valueStart, end: a.valueEnd}
			var ok bool
			if l.original, ok = d.constants(a.valueStart, a.valueEnd, inAttr, consts, e); !ok {
				continue
			}
			l.authored = browserTrim(decodeAttr(l.original))
			if !isWeb(l.authored) {
				continue
			}
			l.plain, l.target = l.original, l.authored
			free := !d.saysNo(tok, "data-track")
			if free && !d.saysNo(tok, "data-utm") {
				l.plain, l.target = utm.addToHref(l.original, l.authored), utm.Add(l.authored)
			}
			if track && free {
				if problem := checkLink(l.authored, l.target, `, or add data-utm="no"`); problem != "" {
					report(d.problem(a.valueStart, "%s", problem))
					continue
				}
				position++
				l.position = position
				l.label = d.label(t)
				if l.label == "" {
					l.label = shorten(l.authored)
				}
			}
			d.byToken[t] = append(d.byToken[t], len(d.links))
			d.links = append(d.links, l)
		}
	}
}

// saysNo reports whether the author asked for something not to be done to a link.
func (d *document) saysNo(tok *htmlToken, attr string) bool {
	a := tok.attr(attr)
	return a != nil && strings.EqualFold(strings.TrimSpace(decodeAttr(d.text[a.valueStart:a.valueEnd])), "no")
}

// browserTrim takes from an address what a browser takes from it before it follows it.
func browserTrim(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	return strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(s)
}

// isWeb reports whether an address leads to the web, and anywhere at all.
func isWeb(s string) bool {
	for _, scheme := range []string{"http://", "https://"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}

// CheckTarget says what stands in the way of a tracked link that leads to url, or nothing.
func CheckTarget(url string) string {
	switch {
	case !isWeb(url):
		return "must be an http or https URL"
	case strings.Contains(url, "{{") || strings.Contains(url, "{%"):
		return "must be the same for everybody: it cannot hold a template"
	}
	return checkTarget(url)
}

func checkTarget(url string) string {
	if len(url) > token.MaxURL {
		return fmt.Sprintf("the link has %d bytes, more than the %d that a tracked link can have: shorten it, or add data-track=\"no\"", len(url), token.MaxURL)
	}
	if strings.ContainsFunc(url, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "the link holds a control character"
	}
	return ""
}

// checkLink is checkTarget for a link that may have got UTM parameters; remedy says how the author
// does without them.
func checkLink(authored, target, remedy string) string {
	if problem := checkTarget(authored); problem != "" {
		return problem
	}
	if len(target) > token.MaxURL {
		return fmt.Sprintf("the link has %d bytes with the UTM parameters, more than the %d that a tracked link can have: shorten it or them%s", len(target), token.MaxURL, remedy)
	}
	return ""
}

// label is what the author calls the link that begins with a token in data-label, else what the
// reader sees of it: its text, or the words that stand in for its pictures.
func (d *document) label(t int) string {
	open := &d.tokens[t]
	var text, alts strings.Builder
	if open.name != "area" {
		for _, tok := range d.tokens[t+1 : min(t+500, len(d.tokens))] {
			if tok.cond != open.cond && open.cond > 0 || (tok.kind == tokEnd || tok.kind == tokStart) && tok.name == open.name || text.Len() > 4*maxLabel {
				break
			}
			switch {
			case tok.kind == tokText && tok.cond == open.cond:
				text.WriteString(html.UnescapeString(d.text[tok.start:tok.end]))
			case tok.kind == tokStart || tok.kind == tokEnd:
				text.WriteByte(' ')
				alts.WriteString(d.attrText(&tok, "alt"))
			}
		}
	}
	for _, s := range []string{d.attrText(open, "data-label"), text.String(), alts.String(), d.attrText(open, "alt"), d.attrText(open, "title"), d.attrText(open, "aria-label")} {
		if s = shorten(s); s != "" {
			return s
		}
	}
	return ""
}

func (d *document) attrText(tok *htmlToken, name string) string {
	if a := tok.attr(name); a != nil && tok.kind == tokStart {
		return decodeAttr(d.text[a.valueStart:a.valueEnd]) + " "
	}
	return ""
}

// shorten makes one line of at most maxLabel characters.
func shorten(s string) string {
	s = strings.Join(words(s), " ")
	if r := []rune(s); len(r) > maxLabel {
		return strings.TrimSpace(string(r[:maxLabel-1])) + "…"
	}
	return s
}

// words splits text at what shows as a gap. The characters without width that mails are padded with
// are no words.
func words(s string) []string {
	list := strings.FieldsFunc(s, isBlank)
	return slices.DeleteFunc(list, func(w string) bool {
		return strings.Trim(w, "\u200b\u200c\u200d\u034f\u00ad\ufeff\u2060") == ""
	})
}

func isBlank(r rune) bool {
	return unicode.IsSpace(r)
}
