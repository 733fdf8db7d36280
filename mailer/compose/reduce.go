package compose

import (
	"html"
	"strings"
)

// reducer makes a text part from HTML: what a reader would see, with the address after each link. The
// Liquid of the template goes with the text around it. Tags of Liquid are kept wherever they stand,
// so that blocks stay whole; values only where they would show.
type reducer struct {
	c   *compiler
	d   *document
	ops []op

	lines   int  // line ends due before the next text
	space   bool // a space is due
	ends    int  // line ends that the text ends with already, whichever way its blocks go
	started bool // there is text already
	pre     int  // open <pre>

	skip      string // the element whose content is left out
	skipDepth int

	link   *openLink
	mask   int // the next construct
	depth  int // Liquid blocks open
	blocks []branches
}

// branches is what is known of the line ends around an open Liquid block.
type branches struct{ start, least int }

// openLink is the link whose text is being written.
type openLink struct {
	url   []op   // empty: only its text shows
	plain string // the author's address as text, if it is known
	ops   int    // where its text began
	depth int
}

// reduce makes the ops of the text part. hide leaves out what the author hid; it is false for a second
// try, when an element is hidden and never ends.
func (c *compiler) reduce(d *document, track bool) []op {
	for _, hide := range []bool{true, false} {
		r := &reducer{c: c, d: d}
		for i := range d.tokens {
			r.token(i, hide, track)
		}
		r.closeLink()
		if r.skip == "" || !hide {
			return append(r.ops, c.plainTail(d.source)...)
		}
	}
	return nil
}

func (r *reducer) token(i int, hide, track bool) {
	tok := &r.d.tokens[i]
	if tok.cond > 0 || r.skip != "" || tok.kind == tokRaw || tok.kind == tokComment || tok.kind == tokDoctype || tok.kind == tokBroken {
		r.leave(tok)
		if r.skip != "" && tok.cond == 0 {
			r.skipping(tok)
		}
		return
	}
	switch tok.kind {
	case tokText:
		r.text(tok.start, tok.end)
	case tokEnd:
		r.leave(tok)
		if tok.name == "a" {
			r.closeLink()
		}
		if tok.name == "pre" {
			r.pre = max(0, r.pre-1)
		}
		r.gap(tok.name)
	case tokStart:
		r.start(i, hide, track)
	}
}

// skipping ends what is left out.
func (r *reducer) skipping(tok *htmlToken) {
	switch {
	case r.skip == "head" && tok.kind == tokStart && tok.name == "body":
		r.skip = ""
	case tok.name != r.skip:
	case tok.kind == tokStart:
		r.skipDepth++
	case tok.kind == tokEnd:
		if r.skipDepth--; r.skipDepth == 0 {
			r.skip = ""
		}
	}
}

func (r *reducer) start(i int, hide, track bool) {
	tok := &r.d.tokens[i]
	if hide && (tok.name == "head" || r.hidden(tok)) {
		if !isVoid(tok.name) {
			r.skip, r.skipDepth = tok.name, 1
		}
		r.leave(tok)
		return
	}
	r.gap(tok.name)
	switch tok.name {
	case "a", "area":
		r.closeLink()
		r.openLink(i, track)
	case "li":
		r.say("* ")
		r.space = false
	case "hr":
		r.say("----------")
		r.lines = 2
	case "pre":
		r.pre++
	}
	if alt := tok.attr("alt"); alt != nil && alt.valueEnd > alt.valueStart && (tok.name == "img" || tok.name == "area") {
		r.leaveTo(alt.valueStart)
		r.space = true
		r.text(alt.valueStart, alt.valueEnd)
		r.space = true
	}
	r.leave(tok)
	if tok.name == "area" {
		r.closeLink()
	}
}

// hidden reports whether a tag says that its content does not show.
func (r *reducer) hidden(tok *htmlToken) bool {
	if tok.attr("hidden") != nil {
		return true
	}
	a := tok.attr("style")
	if a == nil {
		return false
	}
	style := strings.Join(strings.Fields(lowerASCII(decodeAttr(r.d.masked[a.valueStart:a.valueEnd]))), "")
	return strings.Contains(style, "display:none")
}

func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr":
		return true
	}
	return false
}

// gap notes the line ends that an element brings with it.
func (r *reducer) gap(name string) {
	switch name {
	case "br":
		if r.lines < 2 {
			r.lines++
		}
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "hr", "dl", "form", "section", "article", "header", "footer":
		r.lines = 2
	case "div", "tr", "li", "dt", "dd", "center", "body", "html", "title", "address", "fieldset", "option", "caption", "tbody", "thead":
		r.lines = max(r.lines, 1)
	case "td", "th", "area":
		r.space = true
	}
}

// openLink begins a link, if the tag leads anywhere that can be shown.
func (r *reducer) openLink(i int, track bool) {
	tok := &r.d.tokens[i]
	a := tok.attr("href")
	if a == nil {
		return
	}
	l := &openLink{ops: len(r.ops), depth: r.depth}
	if found := r.d.byToken[i]; len(found) > 0 {
		w := r.d.links[found[0]]
		l.plain = w.authored
		if w.position > 0 && track {
			l.url = []op{{kind: opLink, n: w.position, s: w.target}}
		} else {
			l.url = []op{textOp(w.target)}
		}
	} else if s, ok := r.d.constants(a.valueStart, a.valueEnd, inAttr, r.c.consts, r.c.engine); ok {
		address := browserTrim(decodeAttr(s))
		if mail, isMail := strings.CutPrefix(address, "mailto:"); isMail && mail != "" {
			l.plain, _, _ = strings.Cut(mail, "?")
			l.url = []op{textOp(l.plain)}
		}
	} else {
		for _, m := range r.d.within(a.valueStart, a.valueEnd) {
			switch m.blockName() {
			case "unsubscribe_url":
				l.url = []op{{kind: opUnsubscribe}}
			case "preferences_url":
				l.url = []op{{kind: opPreferences}}
			}
		}
	}
	if len(l.url) > 0 {
		r.link = l
	}
}

// closeLink writes the address of the open link, unless its text is the address.
func (r *reducer) closeLink() {
	l := r.link
	if l == nil {
		return
	}
	r.link = nil
	said := ""
	known := true
	for _, o := range r.ops[l.ops:] {
		said += o.s
		known = known && o.kind == opText
	}
	said = strings.TrimSpace(said)
	if known && said != "" && l.plain != "" && bareAddress(said) == bareAddress(l.plain) {
		// The white space before the text is in its first piece.
		first := r.ops[l.ops].s
		r.ops = addText(r.ops[:l.ops], first[:len(first)-len(strings.TrimLeft(first, " \n"))])
		r.ops = append(r.ops, l.url...)
		return
	}
	lines, space := r.lines, r.space
	if said != "" || !known {
		r.space = lines == 0
		r.lines = min(lines, 1)
	}
	r.say("<")
	r.ops = append(append(r.ops, l.url...), textOp(">"))
	r.lines, r.space = lines, space
}

// bareAddress is an address as people write it.
func bareAddress(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://"), "/")
}

// text writes a stretch of the source as the reader sees it.
func (r *reducer) text(start, end int) {
	at := start
	for ; r.mask < len(r.d.masks) && r.d.masks[r.mask].start < end; r.mask++ {
		m := &r.d.masks[r.mask]
		r.run(r.d.text[at:m.start])
		at = m.end
		r.liquid(r.mask, true)
	}
	r.run(r.d.text[at:end])
}

// leave passes over a token, or the rest of it, keeping the Liquid tags.
func (r *reducer) leave(tok *htmlToken) { r.leaveTo(tok.end) }

func (r *reducer) leaveTo(end int) {
	for ; r.mask < len(r.d.masks) && r.d.masks[r.mask].start < end; r.mask++ {
		r.liquid(r.mask, false)
	}
}

func (r *reducer) liquid(i int, shows bool) {
	m := &r.d.masks[i]
	if m.kind == maskOutput {
		switch m.blockName() {
		case "citation":
			r.ops = append(r.ops, op{kind: opCitation, s: "\n\n"})
			r.lines = 2
			return
		case "ask_tracking":
			r.ops = append(r.ops, op{kind: opAsk, s: "\n\n"})
			r.lines = 2
			return
		case "footer":
			r.lines = 2
			r.say("")
			r.ops = append(r.ops, r.c.blocks.footer(false)...)
			r.lines, r.ends = 2, 0
			return
		}
		if !shows {
			return
		}
		r.say("")
		r.ends = 0
	}
	if m.kind == maskTag {
		if r.link != nil && m.block >= 0 && m.block != i && r.d.masks[m.block].depth < r.link.depth {
			r.closeLink()
		}
		r.depth = m.depth
		if m.block == i {
			r.depth++
		}
		loop := m.name == "for" || m.name == "tablerow"
		if loop { // the other line end comes with what is repeated
			r.lines = min(r.lines, 1)
		}
		if r.started && m.block >= 0 && (r.lines > 0 || r.space) {
			r.say("")
		}
		r.branch(m, m.block == i, loop)
	}
	r.ops = append(r.ops, r.c.liquid(r.d.source, i, false, inPlainText)...)
}

// branch keeps count of the line ends before and after a block.
func (r *reducer) branch(m *mask, opens, loop bool) {
	switch {
	case m.block < 0 || m.name == "break" || m.name == "continue":
	case opens:
		if loop || m.name == "capture" {
			r.ends = 0
		}
		r.blocks = append(r.blocks, branches{start: r.ends, least: r.ends})
	case len(r.blocks) == 0: // the block is broken, which has been reported
	default:
		b := &r.blocks[len(r.blocks)-1]
		b.least = min(b.least, r.ends)
		r.ends = b.start
		if strings.HasPrefix(m.name, "end") {
			r.ends = b.least
			r.blocks = r.blocks[:len(r.blocks)-1]
		}
	}
}

func inPlainText(int) place { return inText }

// run writes text without Liquid.
func (r *reducer) run(s string) {
	s = html.UnescapeString(s)
	if r.pre > 0 {
		if s != "" {
			r.say(strings.Trim(s, "\n"))
		}
		return
	}
	if s == "" {
		return
	}
	list := words(s)
	if blankStart(s) {
		r.space = true
	}
	if len(list) == 0 {
		return
	}
	r.say(strings.Join(list, " "))
	r.space = blankEnd(s)
}

func blankStart(s string) bool { return strings.TrimLeftFunc(s, isBlank) != s }
func blankEnd(s string) bool   { return strings.TrimRightFunc(s, isBlank) != s }

// say writes s after the white space that is due.
func (r *reducer) say(s string) {
	before := ""
	switch {
	case !r.started:
	case r.lines > r.ends:
		before = strings.Repeat("\n", r.lines-r.ends)
	case r.space && r.ends == 0 && r.lines == 0:
		before = " "
	}
	if r.lines > r.ends {
		r.ends = r.lines
	}
	if s != "" {
		r.ends = 0
	}
	r.lines, r.space, r.started = 0, false, true
	r.ops = addText(r.ops, before+s)
}
