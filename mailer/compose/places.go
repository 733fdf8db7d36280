package compose

import (
	"regexp"
	"strings"
)

const (
	adviceURL   = "whatever a mail links to or fetches must not hold contact data: write the URL without it, or show the value as text"
	adviceQuote = "put the whole attribute value in quotes"
)

// webAddress finds what a mail program turns into a link by itself.
var webAddress = regexp.MustCompile(`(?i)(?:https?://|\bwww\.)[^\s<>"]+`)

// checkPlace refuses a construct that stands where it could change what is fetched, or which tags
// there are.
func (d *document) checkPlace(i int, report func(Problem)) {
	m, sp := &d.masks[i], d.spots[i]
	fail := func(format string, args ...any) { report(d.problem(m.start, format, args...)) }
	tok := &d.tokens[sp.token]
	block := m.blockName()
	switch block {
	case "citation", "footer", "ask_tracking":
		if sp.where != whereData || sp.cond != 0 || m.depth != 0 {
			fail("{{ %s }} must stand between tags, and outside of blocks such as {%% if %%} and of comments", block)
		}
		return
	}
	if m.name == "tablerow" && sp.where != whereData {
		fail("{%% tablerow %%} must stand between tags")
	}
	switch sp.where {
	case whereData:
		if d.before(i) == '<' || d.before(i) == '/' && strings.HasSuffix(strings.TrimSpace(d.text[:m.start]), "</") {
			fail("Liquid cannot follow a < directly; write &lt; for the sign")
		}
		d.checkAddress(i, tok.start, tok.end, report)
	case whereRaw:
		d.checkRaw(i, fail)
	case whereComment:
		if sp.cond > 0 {
			fail("Liquid cannot stand inside a comment within a conditional comment")
		}
		if strings.IndexByte("<!-/?", d.before(i)) >= 0 || strings.IndexByte(">-!", d.after(i)) >= 0 {
			fail("leave a space before and after Liquid inside a comment")
		}
	case whereGap:
		if m.kind == maskOutput || m.name == "cycle" {
			fail("a Liquid value cannot stand between attributes: %s", adviceQuote)
		}
	case whereValue:
		d.checkValue(i, fail)
	case whereOther:
		fail("Liquid cannot stand inside a tag's name, an end tag, a doctype or the condition of a comment")
	}
}

// checkRaw is checkPlace in an element whose content is no HTML.
func (d *document) checkRaw(i int, fail func(string, ...any)) {
	m, tok := &d.masks[i], &d.tokens[d.spots[i].token]
	switch tok.name {
	case "style", "title", "textarea":
	default:
		fail("Liquid cannot stand inside <%s>", tok.name)
		return
	}
	if strings.Contains(d.text[tok.start:tok.end], "<") {
		fail("a <%s> with Liquid in it cannot hold a <", tok.name)
	}
	if tok.name == "style" {
		d.checkCSS(m, tok.start, tok.end, fail)
	}
}

// checkValue is checkPlace in an attribute's value.
func (d *document) checkValue(i int, fail func(string, ...any)) {
	m, tok := &d.masks[i], &d.tokens[d.spots[i].token]
	a := &tok.attrs[d.spots[i].attr]
	page := m.blockName() != "" // of unsubscribe and preferences, the others are dealt with
	leads := isLinkTag(tok.name) && a.name == "href" || tok.name == "form" && a.name == "action"
	if a.quote == 0 && !(page && leads && m.start == a.valueStart && m.end == a.valueEnd) {
		fail("a Liquid value cannot stand outside quotes: %s", adviceQuote)
		return
	}
	switch {
	case isURLAttr(tok.name, a.name):
		switch {
		case m.kind == maskNothing || m.kind == maskOutput && d.constant(m):
		case page && leads && strings.TrimSpace(d.text[a.valueStart:m.start]) == "":
		case page:
			fail("{{ %s }} must be the beginning of a link's href", m.blockName())
		case m.kind == maskTag:
			fail("Liquid tags cannot stand inside %s: put the {%% %s %%} around the whole element", a.name, m.name)
		default:
			fail("a Liquid value stands inside %s: %s", a.name, adviceURL)
		}
	case strings.HasPrefix(a.name, "on"):
		fail("Liquid cannot stand inside %s", a.name)
	case isStyleAttr(a.name), strings.Contains(lowerASCII(d.text[a.valueStart:a.valueEnd]), "url("):
		d.checkCSS(m, a.valueStart, a.valueEnd, fail)
	}
}

// checkAddress refuses values inside an address that is written as text.
func (s *source) checkAddress(i, start, end int, report func(Problem)) {
	m := &s.masks[i]
	if m.kind != maskOutput || s.constant(m) {
		return
	}
	// An address holds no white space, so the surroundings are enough.
	from, to := max(start, m.start-maxAddress), min(end, m.end+1)
	for _, hit := range webAddress.FindAllStringIndex(s.masked[from:to], -1) {
		if m.start < from+hit[1] && m.end > from+hit[0] {
			report(s.problem(m.start, "a Liquid value stands inside a web address: %s", adviceURL))
		}
	}
}

// maxAddress is how far back a web address that a value belongs to is looked for.
const maxAddress = 4096

// checkCSS refuses values where CSS names something to fetch: in url() and any other parentheses, and
// in quotes. Elsewhere a value is reduced to characters that can do neither.
func (s *source) checkCSS(m *mask, start, end int, fail func(string, ...any)) {
	if m.kind == maskNothing || m.kind == maskOutput && s.constant(m) {
		return
	}
	if m.blockName() != "" {
		fail("{{ %s }} cannot stand in a style", m.blockName())
		return
	}
	css := strings.NewReplacer("&quot;", `"`, "&#34;", `"`, "&apos;", "'", "&#39;", "'").Replace(s.masked[start:m.start])
	if m.kind == maskOutput && strings.Contains(css, "&") {
		fail("a style with Liquid in it cannot hold an &")
		return
	}
	// With control flow around it, what looks like a comment may turn out to be none.
	if openInCSS(css, s.hasControl(start, end), m.kind == maskOutput) {
		fail("Liquid stands inside url(), other parentheses or quotes of a style: %s", adviceURL)
	}
}

// openInCSS reports whether a style ends within parentheses or, if asked, within quotes. Parentheses
// count wherever they stand.
func openInCSS(css string, commentsCount, quotes bool) bool {
	var quote byte
	depth := 0
	for i := 0; i < len(css); i++ {
		switch c := css[i]; c {
		case '(':
			depth++
		case ')':
			depth = max(0, depth-1)
		case '\\':
			i++
		case '"', '\'':
			if quote == 0 {
				quote = c
			} else if quote == c {
				quote = 0
			}
		case '/':
			if n := strings.Index(css[i:], "*/"); !commentsCount && quote == 0 && strings.HasPrefix(css[i:], "/*") && n > 1 {
				depth = max(0, depth+strings.Count(css[i:i+n], "(")-strings.Count(css[i:i+n], ")"))
				i += n + 1
			}
		}
	}
	return depth > 0 || quotes && quote != 0
}
