package rights

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FieldError says what is wrong with one field and what to do about it.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Invalid is an input that was refused, with every field that is at fault. Nothing was stored.
type Invalid struct {
	Fields []FieldError `json:"errors"`
}

func (e *Invalid) Error() string {
	list := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		list[i] = f.Field + ": " + f.Message
	}
	return "rights: invalid " + strings.Join(list, "; ")
}

func invalid(field, message string) *Invalid { return &Invalid{[]FieldError{{field, message}}} }

func (e *Invalid) add(field, message string) { e.Fields = append(e.Fields, FieldError{field, message}) }

// err is nil when nothing was added.
func (e *Invalid) err() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

const (
	maxLine = 500      // bytes of a one-line field
	maxText = 10 << 10 // bytes of what a person wrote
)

// line tidies and checks one line of text; missing says what to give where it is required.
func (e *Invalid) line(field string, v *string, missing string) {
	*v = strings.TrimSpace(*v)
	switch {
	case *v == "" && missing != "":
		e.add(field, "is missing: give "+missing)
	case len(*v) > maxLine:
		e.add(field, fmt.Sprintf("is longer than %d bytes: shorten it", maxLine))
	case !utf8.ValidString(*v):
		e.add(field, "is not valid UTF-8: save the text as UTF-8")
	case strings.ContainsFunc(*v, unicode.IsControl):
		e.add(field, "holds a line break or another control character: remove it")
	}
}

// text tidies and checks text of several lines. Line ends become \n.
func (e *Invalid) text(field string, v *string) {
	*v = strings.TrimSpace(strings.ReplaceAll(*v, "\r\n", "\n"))
	switch {
	case len(*v) > maxText:
		e.add(field, fmt.Sprintf("is longer than %d bytes: shorten it", maxText))
	case !utf8.ValidString(*v):
		e.add(field, "is not valid UTF-8: save the text as UTF-8")
	case strings.ContainsFunc(*v, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }):
		e.add(field, "holds a control character: remove it")
	}
}

// unnamed refuses an address in a field that outlives the person's data.
func (e *Invalid) unnamed(field, v string) {
	if strings.Contains(v, "@") {
		e.add(field, "holds an address: it outlives the person's data, so leave out who they are")
	}
}

func oneOf[T ~string](e *Invalid, field string, v T, allowed []T) {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if v == a {
			return
		}
		names[i] = string(a)
	}
	e.add(field, "must be one of "+strings.Join(names, ", "))
}
