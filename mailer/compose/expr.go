package compose

import "strings"

// exprInfo is what can be said about a Liquid expression without evaluating it.
type exprInfo struct {
	roots   []string // variables, first names only
	filters []string
	ranges  bool // it contains a (1..9)
}

// readExpr takes an expression apart in the way the Liquid scanner does.
func readExpr(s string) exprInfo {
	var info exprInfo
	afterPipe := false
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\'':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				return info
			}
			i += end + 2
			afterPipe = false
		case c == '|':
			afterPipe = true
			i++
		case c == '.':
			i++
			if i < len(s) && s[i] == '.' {
				info.ranges = true
				i++
			} else if i < len(s) && isNameStart(s[i]) {
				i += nameLen(s[i:])
			}
		case isNameStart(c):
			n := nameLen(s[i:])
			name := s[i : i+n]
			i += n
			if afterPipe {
				info.filters = append(info.filters, name)
				afterPipe = false
			} else if !isKeyword(name) && !(i < len(s) && s[i] == ':') {
				info.roots = append(info.roots, name)
			}
		case c == ' ' || c == '\t' || c == '\n':
			i++
		default:
			afterPipe = false
			i++
		}
	}
	return info
}

func isNameStart(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func nameLen(s string) int {
	n := 1
	for n < len(s) && (isNameStart(s[n]) || s[n] == '-' || '0' <= s[n] && s[n] <= '9') {
		n++
	}
	if n < len(s) && s[n] == '?' {
		n++
	}
	return n
}

func isKeyword(s string) bool {
	switch s {
	case "true", "false", "nil", "and", "or", "contains", "in":
		return true
	}
	return false
}

// readPath recognises a bare variable such as name or attributes.city, with or without a default in
// quotes: the two that nearly all templates are made of, and that need no Liquid to evaluate.
func readPath(s string) (path []string, fallback string, ok bool) {
	head, tail, piped := strings.Cut(s, "|")
	if piped {
		arg, isDefault := strings.CutPrefix(strings.TrimSpace(tail), "default:")
		arg = strings.TrimSpace(arg)
		if !isDefault || len(arg) < 2 || arg[0] != '"' && arg[0] != '\'' || strings.IndexByte(arg[1:], arg[0]) != len(arg)-2 {
			return nil, "", false
		}
		fallback = arg[1 : len(arg)-1]
	}
	path = strings.Split(strings.TrimSpace(head), ".")
	for i, name := range path {
		if name == "" || !isNameStart(name[0]) || nameLen(name) != len(name) || strings.ContainsAny(name, "?-") {
			return nil, "", false
		}
		switch {
		case i == 0 && isKeyword(name), i > 0 && (name == "size" || name == "first" || name == "last"):
			return nil, "", false
		}
	}
	return path, fallback, true
}
