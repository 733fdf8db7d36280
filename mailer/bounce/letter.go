package bounce

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
)

const (
	maxDepth  = 12
	maxParts  = 256
	maxFields = 1000
	maxText   = 256 << 10 // of a part's decoded text
)

// letter is a message taken apart. The parser is our own, since a strict one gives up where returned
// mail starts to be interesting: parts without an end, fields without a colon, wrong transfer
// encodings.
type letter struct {
	head       fields
	text       string              // all plain text, else what HTML says
	html       string              // tags removed
	status     []map[string]string // recipient blocks of delivery-status parts
	feedback   map[string]string   // fields of a feedback report
	returned   fields              // header of the returned message
	envelopeID string
	parts      int
}

type field struct{ name, value string }

// fields is a header in its order. Values are unfolded and not decoded.
type fields []field

func (h fields) get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

func (h fields) all(name string) []string {
	var vs []string
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			vs = append(vs, f.value)
		}
	}
	return vs
}

// decoded is the field with its encoded words (RFC 2047) read.
func (h fields) decoded(name string) string {
	d := mime.WordDecoder{CharsetReader: charset.Reader}
	v := h.get(name)
	if s, err := d.DecodeHeader(v); err == nil {
		return strings.ToValidUTF8(s, "�")
	}
	return strings.ToValidUTF8(v, "�")
}

func parse(raw []byte) *letter {
	l := &letter{}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	if bytes.HasPrefix(raw, []byte("From ")) { // mbox
		if _, rest, ok := bytes.Cut(raw, []byte("\n")); ok {
			raw = rest
		}
	}
	var body []byte
	l.head, body = header(raw)
	l.walk(l.head, body, 0)
	if strings.TrimSpace(l.text) == "" {
		l.text = l.html
	}
	return l
}

// header splits off the fields at the top of b. Lines that are no field are passed over.
func header(b []byte) (fields, []byte) {
	var h fields
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 {
			return h, rest
		}
		b = rest
		if line[0] == ' ' || line[0] == '\t' {
			if n := len(h); n > 0 && len(h[n-1].value) < 16<<10 {
				h[n-1].value += " " + string(bytes.TrimSpace(line))
			}
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(name) > 0 && len(name) < 80 && len(h) < maxFields && !bytes.ContainsAny(name, " \t<>@") {
			h = append(h, field{string(name), string(bytes.TrimSpace(value))})
		}
	}
	return h, nil
}

func (l *letter) walk(h fields, body []byte, depth int) {
	if l.parts++; l.parts > maxParts || depth > maxDepth {
		return
	}
	kind, params := contentType(h.get("Content-Type"))
	switch {
	case strings.HasPrefix(kind, "multipart/") && params["boundary"] != "":
		for _, p := range split(body, params["boundary"]) {
			if l.parts > maxParts {
				return
			}
			ph, pb := header(p)
			l.walk(ph, pb, depth+1)
		}
	case strings.HasSuffix(kind, "/rfc822"), kind == "message/global", kind == "text/rfc822-headers",
		kind == "message/rfc822-headers", kind == "message/global-headers":
		if len(l.returned) == 0 {
			b := transfer(h, body)
			l.returned, _ = header(bytes.TrimLeft(b, "\n"))
		}
	case kind == "message/delivery-status", kind == "message/global-delivery-status":
		s := plain(transfer(h, body), params["charset"])
		l.status = append(l.status, statusBlocks(s)...)
		if top, _ := header([]byte(s)); l.envelopeID == "" {
			l.envelopeID = top.get("Original-Envelope-Id")
		}
	case kind == "message/feedback-report":
		l.feedback = map[string]string{}
		hs, _ := header(bytes.TrimLeft(transfer(h, body), "\n"))
		for _, f := range hs {
			if k := strings.ToLower(f.name); l.feedback[k] == "" {
				l.feedback[k] = f.value
			}
		}
	case kind == "text/html":
		l.html += untag(plain(transfer(h, body), params["charset"])) + "\n\n"
	case kind == "", strings.HasPrefix(kind, "text/"), strings.HasPrefix(kind, "multipart/"):
		if len(l.text) < 2*maxText {
			l.text += plain(transfer(h, body), params["charset"]) + "\n\n"
		}
	}
}

// contentType reads the field as far as it can be read: real mail forgets semicolons and quotes.
func contentType(v string) (string, map[string]string) {
	kind, params, err := mime.ParseMediaType(v)
	if err == nil {
		return kind, params
	}
	if f := strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == ' ' || r == '\t' }); len(f) > 0 {
		kind = strings.ToLower(f[0])
	}
	params = map[string]string{}
	for _, name := range []string{"boundary", "charset"} {
		i := strings.Index(strings.ToLower(v), name+"=")
		if i < 0 || i+len(name)+1 > len(v) {
			continue
		}
		s := v[i+len(name)+1:]
		if strings.HasPrefix(s, `"`) {
			s, _, _ = strings.Cut(s[1:], `"`)
		} else if j := strings.IndexAny(s, "; \t"); j >= 0 {
			s = s[:j]
		}
		params[name] = s
	}
	return kind, params
}

// split cuts a body at its boundary lines. The last part need not be closed; a body without any
// boundary line is one part.
func split(body []byte, boundary string) [][]byte {
	mark := []byte("--" + boundary)
	var parts [][]byte
	start, begun := 0, false
	for at := 0; at < len(body) && len(parts) < maxParts; {
		end := bytes.IndexByte(body[at:], '\n')
		next := len(body)
		if end >= 0 {
			next = at + end + 1
		}
		if rest, ok := bytes.CutPrefix(body[at:next], mark); ok {
			rest = bytes.TrimSpace(rest)
			if len(rest) == 0 || string(rest) == "--" {
				if begun {
					parts = append(parts, body[start:at])
				}
				start, begun = next, len(rest) == 0
				if !begun {
					return parts
				}
			}
		}
		at = next
	}
	if begun {
		return append(parts, body[start:])
	}
	if len(parts) == 0 {
		return [][]byte{append([]byte("\n"), body...)}
	}
	return parts
}

// transfer undoes the transfer encoding as far as it can be undone, and no more than is looked at.
func transfer(h fields, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(h.get("Content-Transfer-Encoding"))) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	default:
		return body[:min(len(body), maxText)]
	}
	out, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil && len(out) == 0 {
		return body[:min(len(body), maxText)]
	}
	return out
}

// plain turns bytes into UTF-8. A label that contradicts the bytes is not believed.
func plain(b []byte, label string) string {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	seven := !bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
	if seven && bytes.Contains(b, []byte("\x1b$")) {
		label = "iso-2022-jp"
	} else if seven || label == "" || utf8.Valid(b) {
		return strings.ToValidUTF8(string(b), "�")
	}
	if r, err := charset.Reader(label, bytes.NewReader(b)); err == nil {
		if out, err := io.ReadAll(io.LimitReader(r, 4*maxText)); err == nil {
			return strings.ToValidUTF8(string(out), "�")
		}
	}
	return strings.ToValidUTF8(string(b), "�")
}
