package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// opKind is what a piece of a part becomes in a recipient's copy.
type opKind uint8

const (
	opText        opKind = iota // s as it is
	opValue                     // an output of the template
	opTag                       // a Liquid tag; only in parts that are rendered whole
	opLink                      // a tracked link; s is the original
	opUnsubscribe               // the address of the page
	opPreferences
	opWhy
	opCitation // s goes before it when it shows
	opAsk      // likewise
	opBeacon
	opHoneypot
	opFooter // shows nothing; the footer begins here
)

// op is one piece of a part, in order.
type op struct {
	kind         opKind
	s            string
	n            int     // opLink: the position
	out          *output // opValue
	trimL, trimR bool    // opValue, opTag
}

// linkMode is what becomes of tracked links and the beacon.
type linkMode uint8

const (
	linksOwn    linkMode = iota // the recipient's own
	linksShared                 // the same for everybody
	linksPlain                  // the author's, and no beacon
	linkModes
)

// segment is a fixed stretch of a part, or an op that is worked out per recipient. Fixed stretches are
// encoded ahead; each begins a line and, unless it is the last, ends with a soft line break.
type segment struct {
	op    op
	fixed bool
	plain string
	qp    []byte
}

// part is one body of the mail, or its subject.
type part struct {
	html     bool
	tidy     bool // blanks that blocks leave behind are taken away
	ops      []op
	segments [linkModes][]segment
	whole    *liquidTemplate // nil: the segments are all there is to it
	texts    []segment       // whole: the long fixed ops, by their place in ops
}

// newPart prepares ops for filling. static works out what is known of an op in a mode.
func newPart(html, tidy, whole bool, ops []op, e *engine, static func(op, linkMode) (string, bool)) (*part, error) {
	p := &part{html: html, tidy: tidy, ops: ops}
	if whole {
		p.texts = make([]segment, len(ops))
		if !tidy {
			p.texts = longTexts(ops)
		}
		var err error
		p.whole, err = e.parse(wholeSource(ops, p.texts))
		return p, err
	}
	for mode := range linkModes {
		p.segments[mode] = cut(ops, func(o op) (string, bool) { return static(o, mode) })
	}
	return p, nil
}

// cut joins everything that is known into fixed stretches.
func cut(ops []op, static func(op) (string, bool)) []segment {
	var segs []segment
	var fixed strings.Builder
	flush := func(last bool) {
		if fixed.Len() == 0 {
			return
		}
		s := fixed.String()
		qp, col := appendQP(nil, s, 0)
		if !last {
			qp = appendBreak(qp, col)
		}
		segs = append(segs, segment{fixed: true, plain: s, qp: qp})
		fixed.Reset()
	}
	for _, o := range ops {
		if s, ok := static(o); ok {
			fixed.WriteString(s)
			continue
		}
		flush(false)
		segs = append(segs, segment{op: o})
	}
	flush(true)
	return segs
}

// In a template that is rendered whole, an op that is not Liquid is a number between two control
// characters, and every { of the text is a third, so that nothing of the text can be taken for
// Liquid. No source and no value holds control characters.
const (
	opMark    = '\x01'
	opMarkEnd = '\x02'
	braceMark = "\x03"
)

// longTexts encodes ahead those texts that Liquid need not see: long ones outside of captures, in a
// template that trims no white space.
func longTexts(ops []op) []segment {
	texts := make([]segment, len(ops))
	if slices.ContainsFunc(ops, func(o op) bool { return o.trimL || o.trimR }) {
		return texts
	}
	captures := 0
	for i, o := range ops {
		switch {
		case o.kind == opTag && strings.HasPrefix(o.s, "capture"):
			captures++
		case o.kind == opTag && o.s == "endcapture":
			captures--
		case o.kind == opText && captures == 0 && len(o.s) > 80:
			qp, col := appendQP(nil, o.s, 0)
			texts[i] = segment{fixed: true, plain: o.s, qp: appendBreak(qp, col)}
		}
	}
	return texts
}

// wholeSource writes ops as a Liquid template.
func wholeSource(ops []op, texts []segment) string {
	var b strings.Builder
	mark := func(i int) {
		b.WriteByte(opMark)
		b.WriteString(strconv.Itoa(i))
		b.WriteByte(opMarkEnd)
	}
	for i, o := range ops {
		switch o.kind {
		case opText:
			if texts[i].fixed {
				mark(i)
				continue
			}
			b.WriteString(strings.ReplaceAll(o.s, "{", braceMark))
		case opValue:
			b.WriteString("{{" + dash(o.trimL) + " (" + o.out.source + ") | " + o.out.place.filter() + " " + dash(o.trimR) + "}}")
		case opTag:
			name, args, _ := strings.Cut(o.s, " ")
			switch name {
			case "assign":
				b.WriteString("{% " + stepTag + " %}")
			case "capture":
				b.WriteString("{% " + stepTag + " %}")
				name = captureTag
			case "endcapture":
				name = "end" + captureTag
			}
			b.WriteString("{%" + dash(o.trimL) + " " + name + " " + args + " " + dash(o.trimR) + "%}")
			if name == "for" || name == "tablerow" {
				b.WriteString("{% " + stepTag + " %}")
			}
		default:
			mark(i)
		}
	}
	return b.String()
}

func dash(trim bool) string {
	if trim {
		return "-"
	}
	return ""
}

// write appends the part to w for the recipient of f.
func (p *part) write(w *sink, f *filling) error {
	if p.whole != nil {
		return p.writeWhole(w, f)
	}
	for i := range p.segments[f.mode] {
		seg := &p.segments[f.mode][i]
		if seg.fixed {
			w.fixed(seg)
			continue
		}
		if err := f.op(w, &seg.op, p.html); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) writeWhole(w *sink, f *filling) error {
	s, err := p.whole.render(f.vars())
	if err != nil {
		return err
	}
	if p.tidy {
		s = tidy(s)
	}
	most := len(w.dst) + maxOutput
	if w.qp {
		most += 3 * maxOutput // what encoding adds
	}
	for {
		if len(w.dst) > most {
			return fmt.Errorf("compose: %w", errTooMuch)
		}
		i := strings.IndexAny(s, "\x01\x02\x03")
		if i < 0 {
			w.write(s)
			return nil
		}
		w.write(s[:i])
		mark := s[i]
		s = s[i+1:]
		switch mark {
		case braceMark[0]:
			w.write("{")
		case opMark:
			n, digits := 0, 0
			for digits < len(s) && digits < 9 && '0' <= s[digits] && s[digits] <= '9' {
				n = n*10 + int(s[digits]-'0')
				digits++
			}
			if digits == 0 || digits == len(s) || s[digits] != opMarkEnd || n >= len(p.ops) {
				continue // cut short by a filter on captured text
			}
			s = s[digits+1:]
			if p.texts[n].fixed {
				w.fixed(&p.texts[n])
				continue
			}
			if err := f.op(w, &p.ops[n], p.html); err != nil {
				return err
			}
		}
	}
}
