package compose

import (
	"slices"
	"strings"
)

// where says in what kind of stretch a construct stands.
type where uint8

const (
	whereData    where = iota // between tags
	whereRaw                  // in the text of a style, title, script … element
	whereComment              // in a comment
	whereGap                  // in a start tag, outside quoted values
	whereValue                // in an attribute's value
	whereOther                // in a tag's name, an end tag, a doctype, the head of a conditional comment
)

// spot is where one construct stands.
type spot struct {
	where where
	token int
	attr  int // of the token, for whereValue
	cond  int
}

// sameStretch reports whether what lies between two spots consists of whole tokens, or lies within
// one and the same stretch: only then is the HTML around a block the same whichever way it goes.
func (a spot) sameStretch(b spot) bool {
	if a.where == whereData {
		return b.where == whereData && a.cond == b.cond
	}
	return a == b
}

// document is a campaign's HTML, read and checked.
type document struct {
	*source
	tokens  []htmlToken
	spots   []spot // of the masks
	links   []webLink
	byToken map[int][]int // the links of a start tag
	body    int           // just after the body's start tag, or where the body begins without one
	bodyEnd int           // just before the last </body>, or the end
}

// readHTML tokenises the source and finds everything that is wrong with it. Without track no link gets
// a position.
func readHTML(s *source, track bool, utm UTM, consts *env, e *engine, tell func(Problem)) *document {
	d := &document{source: s, tokens: tokenize(s.masked), bodyEnd: -1, byToken: map[int][]int{}}
	report := func(p Problem) {
		s.broken = true
		tell(p)
	}
	d.locate()
	for i := range d.masks {
		d.checkPlace(i, report)
	}
	d.checkBlocks(report)
	d.checkTags(report)
	d.findLinks(track, utm, consts, e, report)
	begun := false
	for _, tok := range d.tokens {
		switch {
		case tok.cond != 0:
		case tok.kind == tokStart && tok.name == "body" && !begun:
			d.body, begun = tok.end, true
		case tok.kind == tokDoctype, tok.kind == tokStart && tok.name == "html", tok.kind == tokEnd && tok.name == "head":
			if !begun && d.depthAt(tok.start) == 0 {
				d.body = tok.end
			}
		case tok.kind == tokEnd && tok.name == "body" && d.depthAt(tok.start) == 0:
			d.bodyEnd = tok.start
		}
	}
	if d.bodyEnd < 0 {
		d.bodyEnd = len(s.text)
		d.checkEnd(report)
	}
	return d
}

// depthAt is the number of Liquid blocks open at an offset.
func (s *source) depthAt(at int) int {
	depth := 0
	for i, m := range s.masks {
		if m.start >= at {
			break
		}
		depth = m.depth
		if m.block == i {
			depth++
		}
	}
	return depth
}

// locate finds the spot of every mask. Masks hold no markup, so each lies within one token.
func (d *document) locate() {
	d.spots = make([]spot, len(d.masks))
	t := 0
	for i, m := range d.masks {
		for t < len(d.tokens)-1 && d.tokens[t].end <= m.start {
			t++
		}
		if t < len(d.tokens) {
			d.spots[i] = d.spotIn(t, m)
		}
	}
}

func (d *document) spotIn(t int, m mask) spot {
	tok := &d.tokens[t]
	sp := spot{token: t, attr: -1, cond: tok.cond}
	switch tok.kind {
	case tokText:
		sp.where = whereData
	case tokRaw:
		sp.where = whereRaw
	case tokComment:
		sp.where = whereComment
	case tokStart:
		sp.where = whereGap
		if m.start < tok.start+1+len(tok.name) {
			sp.where = whereOther
		}
		for i, a := range tok.attrs {
			if m.start < a.valueEnd && m.end > a.valueStart {
				sp.where, sp.attr = whereValue, i
			}
		}
	default:
		sp.where = whereOther
	}
	return sp
}

// checkBlocks sees to it that a block begins, divides and ends in the same stretch, so that the tags
// that were found are those of the finished mail whichever way the block goes.
func (d *document) checkBlocks(report func(Problem)) {
	for i, m := range d.masks {
		if m.block < 0 || m.block == i {
			continue
		}
		opener := d.masks[m.block]
		if !d.spots[i].sameStretch(d.spots[m.block]) {
			report(d.problem(m.start, "{%% %s %%} does not stand where its {%% %s %%} stands (line %d): both must be between tags, or both in the same tag, attribute or comment",
				m.name, opener.name, d.line(opener.start)))
		}
	}
}

// checkEnd refuses a document that something appended to would not show in: it ends inside a tag, a
// comment, or an element whose content is no HTML.
func (d *document) checkEnd(report func(Problem)) {
	const probe = "<beckon>"
	tokens := tokenize(d.masked + probe)
	if last := tokens[len(tokens)-1]; last.kind == tokStart && last.name == "beckon" && last.cond == 0 {
		return
	}
	at := 0
	for _, tok := range d.tokens {
		if tok.kind != tokText {
			at = tok.start
		}
	}
	report(d.problem(at, "the HTML ends inside a tag, comment or element that begins here and is never closed"))
}

// checkTags looks at the control flow between the attributes of each tag: whichever way it goes, two
// words must not grow together.
func (d *document) checkTags(report func(Problem)) {
	for i := 0; i < len(d.masks); {
		token, base, glue := d.spots[i].token, d.masks[i].depth, false
		for ; i < len(d.masks) && d.spots[i].token == token; i++ {
			if d.spots[i].where != whereGap {
				continue
			}
			before, after := d.before(i), d.after(i)
			if before != ' ' && before != '/' && before != '"' && before != '\'' {
				glue = true
			}
			if glue && after != ' ' && after != '/' && after != '>' {
				report(d.problem(d.masks[i].start, "leave a space before and after Liquid inside an HTML tag"))
			}
			if m := d.masks[i]; after == ' ' && m.depth == base && m.block != i {
				glue = false
			}
		}
	}
}

// before returns the character that a mask, and any others right before it, follow in the finished
// mail; white space is ' '.
func (d *document) before(i int) byte {
	at := d.masks[i].start
	for {
		for d.masks[i].trimL && at > 0 && isSpace(d.text[at-1]) {
			at--
		}
		if i == 0 || d.masks[i-1].end != at {
			break
		}
		i--
		at = d.masks[i].start
	}
	if at == 0 || isSpace(d.text[at-1]) {
		return ' '
	}
	return d.text[at-1]
}

// after is the like of before.
func (d *document) after(i int) byte {
	at := d.masks[i].end
	for {
		for d.masks[i].trimR && at < len(d.text) && isSpace(d.text[at]) {
			at++
		}
		if i == len(d.masks)-1 || d.masks[i+1].start != at {
			break
		}
		i++
		at = d.masks[i].end
	}
	if at == len(d.text) || isSpace(d.text[at]) {
		return ' '
	}
	return d.text[at]
}

// placeOf says how the value of an output is to be escaped.
func (d *document) placeOf(i int) place {
	sp := d.spots[i]
	tok := &d.tokens[sp.token]
	switch {
	case sp.where == whereRaw && tok.name == "style":
		return inCSS
	case sp.where == whereValue && isStyleAttr(tok.attrs[sp.attr].name):
		return inCSS
	case sp.cond > 0 || sp.where == whereComment:
		return inComment
	case sp.where == whereValue || sp.where == whereRaw:
		return inAttr
	}
	return inHTML
}

// isURLAttr reports whether an attribute's value is fetched or led to.
func isURLAttr(tag, name string) bool {
	switch name {
	case "href", "src", "srcset", "background", "action", "formaction", "poster", "data", "xlink:href", "lowsrc", "dynsrc",
		"longdesc", "cite", "codebase", "classid", "archive", "code", "manifest", "profile", "usemap", "ping", "icon", "imagesrcset", "srcdoc":
		return true
	case "content":
		return tag == "meta"
	case "value":
		return tag == "param"
	}
	return false
}

// isStyleAttr reports whether an attribute's value is CSS.
func isStyleAttr(name string) bool {
	switch name {
	case "style", "fill", "stroke", "filter", "mask", "clip-path", "cursor", "marker", "marker-start", "marker-mid", "marker-end":
		return true
	}
	return false
}

// isLinkTag reports whether a tag's href leads the reader somewhere: a, area and the shapes of VML.
func isLinkTag(name string) bool {
	return name == "a" || name == "area" || strings.HasPrefix(name, "v:")
}

// hasControl reports whether a stretch of the source holds Liquid tags.
func (s *source) hasControl(start, end int) bool {
	return slices.ContainsFunc(s.within(start, end), func(m mask) bool { return m.kind == maskTag })
}
