package compose

import (
	"slices"
	"strings"
)

// edit puts ops in the place of a stretch of a source; an empty stretch is an insertion.
type edit struct {
	start, end int
	ops        []op
}

// compiler turns sources into ops.
type compiler struct {
	engine *engine
	consts *env
	blocks *blocks
	report func(Problem)
}

// assemble cuts a source into ops: its text, its Liquid, and the edits in order of their start.
// Liquid within an edit is part of it.
func (c *compiler) assemble(s *source, asHTML bool, edits []edit, at func(mask int) place) []op {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	var ops []op
	pos, m := 0, 0
	upTo := func(end int) {
		for ; m < len(s.masks) && s.masks[m].start < end; m++ {
			if s.masks[m].start < pos {
				continue
			}
			ops = addText(ops, s.text[pos:s.masks[m].start])
			ops = append(ops, c.liquid(s, m, asHTML, at)...)
			pos = s.masks[m].end
		}
		if pos < end {
			ops = addText(ops, s.text[pos:end])
			pos = end
		}
	}
	for _, e := range edits {
		upTo(e.start)
		ops = append(ops, e.ops...)
		pos = max(pos, e.end)
	}
	upTo(len(s.text))
	return ops
}

func addText(ops []op, s string) []op {
	if s == "" {
		return ops
	}
	return append(ops, textOp(s))
}

// liquid is what becomes of one construct.
func (c *compiler) liquid(s *source, i int, asHTML bool, at func(mask int) place) []op {
	m := &s.masks[i]
	trimmed := op{kind: opTag, trimL: m.trimL, trimR: m.trimR}
	switch {
	case m.kind == maskNothing:
		if m.trimL || m.trimR {
			trimmed.s = stepTag
			return []op{trimmed}
		}
		return nil
	case m.kind == maskTag:
		trimmed.s = strings.TrimSpace(m.name + " " + m.args)
		return []op{trimmed}
	}
	switch m.blockName() {
	case "citation":
		return []op{{kind: opCitation}}
	case "footer":
		return c.blocks.footer(asHTML)
	case "ask_tracking":
		return []op{{kind: opAsk}}
	case "unsubscribe_url":
		return []op{{kind: opUnsubscribe}}
	case "preferences_url":
		return []op{{kind: opPreferences}}
	}
	out, err := c.engine.output(m.args, at(i))
	if err != nil {
		return nil // reported when the source was scanned
	}
	if s.constant(m) && !m.trimL && !m.trimR {
		if v, err := out.text(c.consts); err == nil {
			return addText(nil, v)
		}
		c.report(s.problem(m.start, "{{ %s }} cannot be worked out", m.args))
	}
	return []op{{kind: opValue, out: out, trimL: m.trimL, trimR: m.trimR}}
}

// constants returns a stretch of the source with its constant outputs worked out and escaped; ok is
// false if it holds any other Liquid.
func (s *source) constants(start, end int, at place, consts *env, e *engine) (text string, ok bool) {
	masks := s.within(start, end)
	if len(masks) == 0 {
		return s.text[start:end], true
	}
	var b strings.Builder
	pos := start
	for i := range masks {
		m := &masks[i]
		b.WriteString(s.text[pos:m.start])
		pos = m.end
		if m.kind == maskNothing {
			continue
		}
		if !s.constant(m) {
			return "", false
		}
		o, err := e.output(m.args, at)
		if err != nil {
			return "", false
		}
		v, err := o.text(consts)
		if err != nil {
			return "", false
		}
		b.WriteString(v)
	}
	b.WriteString(s.text[pos:end])
	return b.String(), true
}

// htmlOps is the HTML part: the links of the document become tracked ones, and what Beckon adds goes
// where it belongs.
func (c *compiler) htmlOps(d *document, preheader []op, honeypot bool) []op {
	var edits []edit
	for _, l := range d.links {
		switch {
		case l.position > 0:
			edits = append(edits, edit{l.start, l.end, []op{{kind: opLink, n: l.position, s: l.plain}}})
		case l.plain != l.original:
			edits = append(edits, edit{l.start, l.end, []op{textOp(l.plain)}})
		}
	}
	if len(preheader) > 0 {
		ops := append([]op{textOp(`<div style="` + preStyle + `">`)}, preheader...)
		edits = append(edits, edit{d.body, d.body, append(ops, textOp(`</div>`))})
	}
	var tail []op
	if !d.places("citation") {
		tail = append(tail, op{kind: opCitation})
	}
	if honeypot {
		tail = append(tail, op{kind: opHoneypot})
	}
	if !d.places("footer") {
		tail = append(tail, c.blocks.footer(true)...)
	}
	edits = append(edits, edit{d.bodyEnd, d.bodyEnd, append(tail, op{kind: opBeacon})})
	return c.assemble(d.source, true, edits, d.placeOf)
}

// places reports whether the author placed a block.
func (s *source) places(block string) bool {
	return slices.ContainsFunc(s.masks, func(m mask) bool { return m.blockName() == block })
}

// plainTail is what Beckon adds at the end of a text part.
func (c *compiler) plainTail(s *source) []op {
	var tail []op
	if !s.places("citation") {
		tail = append(tail, op{kind: opCitation, s: "\n\n"})
	}
	if !s.places("footer") {
		tail = append(append(tail, textOp("\n\n")), c.blocks.footer(false)...)
	}
	return append(tail, textOp("\n"))
}
