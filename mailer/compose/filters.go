package compose

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osteele/liquid/values"
)

var errTooLong = errors.New("a filter makes too much text")

// addFilters replaces the standard filters that could explode, that panic, or that would be escaped
// twice.
func addFilters(set filterSet, now func() time.Time) {
	set.AddFilter("append", func(s, suffix string) (string, error) { return short(s + suffix) })
	set.AddFilter("prepend", func(s, prefix string) (string, error) { return short(prefix + s) })
	set.AddFilter("replace", func(s, old, with string) (string, error) { return replace(s, old, with, -1) })
	set.AddFilter("replace_first", func(s, old, with string) (string, error) { return replace(s, old, with, 1) })
	set.AddFilter("capitalize", func(s string) string {
		if s == "" {
			return ""
		}
		r, n := utf8.DecodeRuneInString(s)
		return strings.ToUpper(string(r)) + s[n:]
	})
	set.AddFilter("join", func(a []any, sep func(string) string) (string, error) {
		var b strings.Builder
		by := sep(" ")
		for i, v := range a {
			if i > 0 {
				b.WriteString(by)
			}
			b.WriteString(valueText(v))
			if b.Len() > maxValue {
				return "", errTooLong
			}
		}
		return b.String(), nil
	})
	set.AddFilter("concat", func(a, b []any) ([]any, error) {
		if len(a)+len(b) > maxItems {
			return nil, errTooLong
		}
		return append(append(make([]any, 0, len(a)+len(b)), a...), b...), nil
	})
	set.AddFilter("split", func(s, sep string) (any, error) {
		if len(s) > maxValue {
			return nil, errTooLong
		}
		parts := strings.Split(s, sep)
		if sep == " " {
			parts = strings.Fields(s)
		}
		for len(parts) > 0 && parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1]
		}
		if len(parts) > maxItems {
			return nil, errTooLong
		}
		return parts, nil
	})
	set.AddFilter("truncate", func(s string, length func(int) int, ellipsis func(string) string) string {
		n, dots := length(50), ellipsis("...")
		r := []rune(s)
		if len(r) <= n {
			return s
		}
		return string(r[:max(0, min(len(r), n-utf8.RuneCountInString(dots)))]) + dots
	})
	set.AddFilter("truncatewords", func(s string, length func(int) int, ellipsis func(string) string) string {
		words := strings.Fields(s)
		if n := max(1, length(15)); len(words) > n {
			return strings.Join(words[:n], " ") + ellipsis("...")
		}
		return s
	})
	set.AddFilter("slice", func(s string, start int, length func(int) int) string {
		r := []rune(s)
		if start < 0 {
			start += len(r)
		}
		if start < 0 || start >= len(r) {
			return ""
		}
		return string(r[start : start+max(0, min(length(1), len(r)-start))])
	})
	// Text that is escaped already must not be escaped again on its way out.
	set.AddFilter("escape", func(s string) (any, error) { return shortSafe(html.EscapeString(s)) })
	set.AddFilter("escape_once", func(s string) (any, error) {
		return shortSafe(html.EscapeString(html.UnescapeString(s)))
	})
	set.AddFilter("newline_to_br", func(v any) (any, error) {
		return shortSafe(strings.ReplaceAll(inHTML.render(v), "\n", "<br />\n"))
	})
	set.AddFilter("strip_html", func(s string) string { return markup.ReplaceAllString(s, "") })
	set.AddFilter("url_encode", func(s string) (string, error) { return short(url.QueryEscape(s)) })
	set.AddFilter("url_decode", func(s string) (string, error) {
		out, err := url.QueryUnescape(s)
		return stripControls(out), err
	})
	strftime := set.std["date"].(func(time.Time, func(string) string) (string, error))
	set.AddFilter("date", func(v any, format func(string) string) (string, error) {
		return formatDate(v, format, now, strftime)
	})
}

var (
	markup   = regexp.MustCompile(`(?s)<.*?>`)
	wideDate = regexp.MustCompile(`%[^a-zA-Z%]*\d{3}`) // a width that would fill the memory
)

func formatDate(v any, format func(string) string, now func() time.Time, strftime func(time.Time, func(string) string) (string, error)) (string, error) {
	if f := format(""); len(f) > 200 || wideDate.MatchString(f) {
		return "", errors.New("the date format is too long")
	}
	var at time.Time
	switch v := v.(type) {
	case nil:
		return "", nil
	case time.Time:
		at = v
	case int:
		at = time.Unix(int64(v), 0).UTC()
	case int64:
		at = time.Unix(v, 0).UTC()
	case float64:
		at = time.Unix(int64(v), 0).UTC()
	default:
		s := strings.TrimSpace(fmt.Sprint(v))
		switch s {
		case "":
			return "", nil
		case "now", "today":
			at = now()
		default:
			var err error
			if at, err = values.ParseDate(s); err != nil {
				return s, nil // as Liquid does with what is no date
			}
		}
	}
	return strftime(at, format)
}

func short(s string) (string, error) {
	if len(s) > maxValue {
		return "", errTooLong
	}
	return s, nil
}

func shortSafe(s string) (any, error) {
	if len(s) > maxValue {
		return nil, errTooLong
	}
	return safe{s}, nil
}

func replace(s, old, with string, n int) (string, error) {
	count := strings.Count(s, old)
	if n > 0 {
		count = min(count, n)
	}
	if count*len(with) > maxValue {
		return "", errTooLong
	}
	return short(strings.Replace(s, old, with, n))
}
