package compose

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osteele/liquid/values"
)

// place is where a value stands, which decides how it is written.
type place uint8

const (
	inHTML    place = iota // between tags
	inAttr                 // in a quoted attribute
	inComment              // either of them within a comment
	inCSS                  // a style element or attribute
	inText                 // the text part
	inHeader               // a header field
)

// escapeFilters are the filters that end every output of a template that is rendered whole.
var escapeFilters = map[string]place{
	"beckon_html": inHTML, "beckon_attr": inAttr, "beckon_comment": inComment, "beckon_css": inCSS,
	"beckon_text": inText, "beckon_header": inHeader,
}

func (p place) filter() string {
	for name, q := range escapeFilters {
		if p == q {
			return name
		}
	}
	panic("compose: no filter for a place")
}

// render writes a value as it may stand at the place. Whatever the value, it cannot end the text,
// attribute or comment that it stands in, nor make CSS fetch anything.
func (p place) render(v any) string {
	s := ""
	ready := false
	if html, ok := v.(safe); ok {
		s, ready = html.html, true
	} else {
		s = valueText(v)
	}
	switch p {
	case inHTML:
		if ready {
			return s
		}
		return escapeHTML(s, true, false)
	case inAttr:
		return escapeHTML(s, !ready, false)
	case inComment:
		return escapeHTML(s, !ready, true)
	case inCSS:
		return strings.Map(func(r rune) rune {
			if r < utf8.RuneSelf && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') && !strings.ContainsRune("#%.,-_ ", r) {
				return -1
			}
			return r
		}, s)
	case inHeader:
		return strings.Join(strings.Fields(s), " ")
	}
	return s
}

func needsEscape(s string) bool { return strings.ContainsAny(s, `&<>"'`) }

// escapeHTML escapes for text and quoted attributes; entities tells whether an & is text itself.
func escapeHTML(s string, entities, comment bool) string {
	if !needsEscape(s) && !(comment && strings.ContainsAny(s, "-!")) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '&' && entities:
			b.WriteString("&amp;")
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c == '"':
			b.WriteString("&#34;")
		case c == '\'':
			b.WriteString("&#39;")
		case comment && c == '-':
			b.WriteString("&#45;")
		case comment && c == '!':
			b.WriteString("&#33;")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// valueText is what a value reads like: nothing for none, numbers as people write them, the items of
// a list one after the other.
func valueText(v any) string {
	v = values.ToLiquid(v)
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case safe:
		return v.html
	case []byte:
		return string(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05 -0700")
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Slice, reflect.Array:
		var b strings.Builder
		for i := range rv.Len() {
			b.WriteString(valueText(rv.Index(i).Interface()))
		}
		return b.String()
	case reflect.Pointer:
		if rv.IsNil() {
			return ""
		}
		return valueText(rv.Elem().Interface())
	}
	return fmt.Sprint(v)
}

// stripControls takes out what has no place in a mail: control characters, and bytes that are not
// UTF-8. Line ends become LF.
func stripControls(s string) string {
	if clean(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, s)
}

func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return c > 0x7f && cleanRunes(s[i:])
		}
	}
	return true
}

func cleanRunes(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return true
}

// cleanFields returns fields with every text in it stripped of control characters, so that none can
// pass for one of ours in a template that is rendered whole.
func cleanFields(fields map[string]any, extra int) map[string]any {
	out := make(map[string]any, len(fields)+extra)
	for k, v := range fields {
		out[k] = cleanValue(v)
	}
	return out
}

func cleanValue(v any) any {
	switch v := v.(type) {
	case string:
		return stripControls(v)
	case nil, bool, int, int64, float64, time.Time:
		return v
	case map[string]any:
		return cleanFields(v, 0)
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Slice, reflect.Array:
		out := make([]any, rv.Len())
		for i := range out {
			out[i] = cleanValue(rv.Index(i).Interface())
		}
		return out
	case reflect.Map:
		out := make(map[string]any, rv.Len())
		for _, k := range rv.MapKeys() {
			out[stripControls(valueText(k.Interface()))] = cleanValue(rv.MapIndex(k).Interface())
		}
		return out
	}
	return stripControls(valueText(v))
}
