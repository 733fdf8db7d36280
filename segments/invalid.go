package segments

import (
	"database/sql"
	"errors"
	"strings"
)

// ErrNotFound is wrapped when what was asked for does not exist.
var ErrNotFound = errors.New("not found")

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
	var b strings.Builder
	b.WriteString("segments: invalid")
	for i, f := range e.Fields {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteByte(' ')
		if f.Field != "" {
			b.WriteString(f.Field)
			b.WriteString(": ")
		}
		b.WriteString(f.Message)
	}
	return b.String()
}

func invalid(field, message string) *Invalid {
	return &Invalid{[]FieldError{{field, message}}}
}

func (e *Invalid) add(field, message string) { e.Fields = append(e.Fields, FieldError{field, message}) }

// err is nil when nothing was added.
func (e *Invalid) err() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

func isNotFound(err error) bool {
	return errors.Is(err, sql.ErrNoRows) || errors.Is(err, ErrNotFound)
}
