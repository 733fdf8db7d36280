package compose

import (
	"regexp"
	"strings"
)

var textAddress = regexp.MustCompile(`(?i)https?://[^\s<>"]+`)

// textOps is a text part that the author wrote: its addresses on the web get the UTM parameters and
// become tracked links, with positions after those of the HTML. Anything else stays as it is.
func (c *compiler) textOps(s *source, links []webLink, track bool, utm UTM) ([]op, []webLink) {
	position := 0
	for _, l := range links {
		position = max(position, l.position)
	}
	for i := range s.masks {
		m := &s.masks[i]
		if b := m.blockName(); m.depth > 0 && (b == "citation" || b == "footer" || b == "ask_tracking") {
			c.report(s.problem(m.start, "{{ %s }} must stand outside of blocks such as {%% if %%}", b))
		}
		s.checkAddress(i, 0, len(s.text), c.report)
	}
	var edits []edit
	for _, hit := range textAddress.FindAllStringIndex(s.masked, -1) {
		if s.grows(hit[1]) {
			c.report(s.problem(hit[0], "leave a space or a line end between a web address and the Liquid after it"))
		}
		start, end := hit[0], hit[0]+addressLen(s.masked[hit[0]:hit[1]])
		url, ok := s.constants(start, end, inText, c.consts, c.engine)
		if !ok || !isWeb(url) {
			continue
		}
		target := utm.Add(url)
		if !track {
			if target != url {
				edits = append(edits, edit{start, end, []op{textOp(target)}})
			}
			continue
		}
		if problem := checkLink(url, target, ""); problem != "" {
			c.report(s.problem(start, "%s", problem))
			continue
		}
		position++
		links = append(links, webLink{position: position, authored: url, target: target, label: shorten(url)})
		edits = append(edits, edit{start, end, []op{{kind: opLink, n: position, s: target}}})
	}
	ops := c.assemble(s, false, edits, func(int) place { return inText })
	for len(ops) > 0 && ops[len(ops)-1].kind == opText {
		last := &ops[len(ops)-1]
		if last.s = strings.TrimRight(last.s, " \t\n"); last.s != "" {
			break
		}
		ops = ops[:len(ops)-1]
	}
	return append(ops, c.plainTail(s)...), links
}

// grows reports whether the Liquid that follows an address could write more of it.
func (s *source) grows(at int) bool {
	through := false
	for {
		next := at
		for next < len(s.text) && isSpace(s.text[next]) {
			next++
		}
		lo, _ := s.withinIndex(next, next+1)
		if lo == len(s.masks) || s.masks[lo].start != next || next > at && !s.masks[lo].trimL {
			return through && at < len(s.text) && !isSpace(s.text[at]) && strings.IndexByte(`<>"`, s.text[at]) < 0
		}
		if s.masks[lo].kind == maskOutput {
			return true
		}
		through = true
		for at = s.masks[lo].end; s.masks[lo].trimR && at < len(s.text) && isSpace(s.text[at]); at++ {
		}
	}
}

// addressLen is how much of a run of characters is the address, as mail programs see it: punctuation
// at its end belongs to the sentence, and so does a closing bracket without an opening one.
func addressLen(s string) int {
	for s != "" {
		switch c := s[len(s)-1]; c {
		case '.', ',', ';', ':', '!', '?', '\'', '*':
		case ')', ']', '}':
			open := map[byte]string{')': "(", ']': "[", '}': "{"}[c]
			if strings.Count(s, open) >= strings.Count(s, string(c)) {
				return len(s)
			}
		default:
			return len(s)
		}
		s = s[:len(s)-1]
	}
	return 0
}
