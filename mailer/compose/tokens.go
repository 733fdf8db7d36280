package compose

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// tokenKind is what a stretch of HTML is.
type tokenKind uint8

const (
	tokText      tokenKind = iota // text between tags
	tokRaw                        // the text of a style, script, title … element
	tokStart                      // a start tag, self-closing or not
	tokEnd                        // an end tag
	tokComment                    // a comment, or what browsers take for one
	tokCondOpen                   // <!--[if …]> of a conditional comment, whose content follows as tokens
	tokCondClose                  // its <![endif]-->
	tokDoctype
	tokBroken // a tag that never ends
)

// htmlToken is one token with its place in the source. The tokens of a document lie end to end: put
// together again they are the document.
type htmlToken struct {
	kind       tokenKind
	start, end int
	name       string // of a tag, lower case; of the element that a raw text belongs to
	attrs      []htmlAttr
	cond       int // the conditional comment it is in, from 1; 0: none
}

// htmlAttr is an attribute with its places. An attribute without a value has no bytes from
// valueStart to valueEnd and no quote.
type htmlAttr struct {
	name                 string // lower case
	nameStart            int
	valueStart, valueEnd int
	quote                byte // 0: not quoted
}

var (
	condHead = regexp.MustCompile(`(?is)^<!--\s*\[if[^\]]*\]>`)
	condTail = regexp.MustCompile(`(?i)<!\[endif\]`)
)

// tokenizer turns HTML into tokens.
type tokenizer struct {
	src    string
	tokens []htmlToken
	conds  int
}

func tokenize(src string) []htmlToken {
	t := &tokenizer{src: src}
	t.run(0, len(src), 0)
	return t.tokens
}

// run reads the bytes from start to end, which are a document or the inside of a conditional comment.
func (t *tokenizer) run(start, end, cond int) {
	z := html.NewTokenizer(strings.NewReader(t.src[start:end]))
	at, raw := start, ""
	for {
		kind := z.Next()
		size := len(z.Raw())
		tok := htmlToken{start: at, end: at + size, cond: cond}
		if kind == html.ErrorToken {
			if tok.end = end; tok.end > tok.start {
				tok.kind = tokBroken
				t.tokens = append(t.tokens, tok)
			}
			return
		}
		at = tok.end
		element := raw
		raw = ""
		switch kind {
		case html.TextToken:
			if tok.kind = tokText; element != "" {
				tok.kind, tok.name = tokRaw, element
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			tok.kind = tokStart
			tok.name, tok.attrs = t.tag(tok.start+1, tok.end-1)
			switch tok.name {
			case "noscript": // mail is read without scripts
				z.NextIsNotRawText()
			case "iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp":
				raw = tok.name
			}
		case html.EndTagToken:
			tok.kind = tokEnd
			tok.name, _ = t.tag(tok.start+2, tok.end-1)
		case html.DoctypeToken:
			tok.kind = tokDoctype
		case html.CommentToken:
			if cond == 0 && t.conditional(tok) {
				continue
			}
			tok.kind = tokComment
		}
		t.tokens = append(t.tokens, tok)
	}
}

// conditional takes a conditional comment apart, if the comment is one.
func (t *tokenizer) conditional(tok htmlToken) bool {
	comment := t.src[tok.start:tok.end]
	head := condHead.FindStringIndex(comment)
	if head == nil {
		return false
	}
	tail := len(comment) - len("-->")
	if ends := condTail.FindAllStringIndex(comment, -1); ends != nil {
		tail = ends[len(ends)-1][0]
	}
	if !strings.HasSuffix(comment, "-->") || tail < head[1] {
		return false
	}
	t.conds++
	cond := t.conds
	t.tokens = append(t.tokens, htmlToken{kind: tokCondOpen, start: tok.start, end: tok.start + head[1], cond: cond})
	t.run(tok.start+head[1], tok.start+tail, cond)
	t.tokens = append(t.tokens, htmlToken{kind: tokCondClose, start: tok.start + tail, end: tok.end, cond: cond})
	return true
}

// lowerASCII folds as HTML does: a letter outside ASCII stays another letter.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\f' || c == '\r' }

// tag reads a tag's name and attributes with their places, from after the < or </ to before the >.
// It follows the tokenizer of x/net/html, which has the attributes but not where they are.
func (t *tokenizer) tag(at, end int) (name string, attrs []htmlAttr) {
	s := t.src
	start := at
	for at < end && !isSpace(s[at]) && s[at] != '/' {
		at++
	}
	name = lowerASCII(s[start:at])
	for {
		for at < end && isSpace(s[at]) {
			at++
		}
		if at >= end {
			return name, attrs
		}
		a := htmlAttr{nameStart: at}
		for at < end && !isSpace(s[at]) && s[at] != '/' && (s[at] != '=' || at == a.nameStart) {
			at++
		}
		a.name = lowerASCII(s[a.nameStart:at])
		a.valueStart, a.valueEnd = at, at
		for at < end && isSpace(s[at]) {
			at++
		}
		if at < end && s[at] == '/' {
			at++
		} else if at < end && s[at] == '=' {
			at = t.value(&a, at+1, end)
		}
		if a.name != "" {
			attrs = append(attrs, a)
		}
	}
}

// value reads what follows the = of an attribute and returns where it ends.
func (t *tokenizer) value(a *htmlAttr, at, end int) int {
	s := t.src
	for at < end && isSpace(s[at]) {
		at++
	}
	if at >= end {
		a.valueStart, a.valueEnd = at, at
		return at
	}
	if q := s[at]; q == '"' || q == '\'' {
		a.quote, a.valueStart = q, at+1
		for at = at + 1; at < end && s[at] != q; at++ {
		}
		a.valueEnd = at
		return min(at+1, end)
	}
	a.valueStart = at
	for at < end && !isSpace(s[at]) {
		at++
	}
	a.valueEnd = at
	return at
}

// attr finds the first attribute of a name, the one that counts.
func (t *htmlToken) attr(name string) *htmlAttr {
	for i := range t.attrs {
		if t.attrs[i].name == name {
			return &t.attrs[i]
		}
	}
	return nil
}

// decodeAttr returns an attribute's value as a browser reads it.
func decodeAttr(raw string) string {
	if !strings.ContainsAny(raw, "&\r\x00") {
		return raw
	}
	z := html.NewTokenizer(strings.NewReader(`<a x="` + strings.ReplaceAll(raw, `"`, "&#34;") + `">`))
	z.Next()
	z.TagName()
	_, val, _ := z.TagAttr()
	return string(val)
}
