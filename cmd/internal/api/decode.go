package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// maxJSON is how large a JSON body may be: room for the two parts of the largest mail that a
// campaign takes.
const maxJSON = 4 << 20

// decode reads the JSON body into dst. Fields that dst does not have, fields named twice, text
// after the value and invalid UTF-8 are refused, each with its place.
func decode(c echo.Context, dst any) error {
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return malformed.problem("The body is empty; send a JSON object.")
	}
	return decodeJSON(body, dst)
}

// decodePatch is decode for a body whose fields are each either left as they are or changed. A null
// would look like a change and be none, so it is refused except within the fields named.
func decodePatch(c echo.Context, dst any, nullable ...string) error {
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if err := decodeJSON(body, dst); err != nil {
		return err
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(body, &fields); err != nil || len(fields) == 0 {
		return malformed.problem("The body must be a JSON object with at least one field to change.")
	}
	var nulls []FieldError
	for name, v := range fields {
		if v.Kind() == 'n' && !slices.Contains(nullable, name) {
			nulls = append(nulls, FieldError{name, `cannot be null: leave it out to keep it, or send an empty value to empty it`})
		}
	}
	if nulls != nil {
		slices.SortFunc(nulls, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
		return invalid.problem("Nothing was changed.", nulls...)
	}
	return nil
}

// decodeNothing accepts an empty body or an empty object, for calls that need no more.
func decodeNothing(c echo.Context) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	body, err := readBody(c)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	return decodeJSON(body, &struct{}{})
}

func readBody(c echo.Context) ([]byte, error) {
	r := c.Request()
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/json" && media != "application/merge-patch+json" && r.ContentLength != 0 {
		return nil, badMedia.problem("Send the body as application/json.").with("Accept", "application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxJSON))
	if err != nil {
		return nil, readProblem(err)
	}
	return body, nil
}

// readProblem tells what went wrong while a body was read.
func readProblem(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge.problem(fmt.Sprintf("The body is larger than %s (%d bytes), which is the limit of this call.", size(large.Limit), large.Limit))
	}
	return malformed.problem("The body ended before it was complete.")
}

func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB"} {
		if n < 1024 || n%1024 != 0 {
			return strconv.FormatInt(n, 10) + " " + unit
		}
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + " GiB"
}

func decodeJSON(body []byte, dst any) error {
	err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxProblem(body, e)
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return valueProblem(body, e)
	}
	return malformed.problem("The body is not the JSON this call takes.")
}

func syntaxProblem(body []byte, e *jsontext.SyntacticError) error {
	if errors.Is(e, jsontext.ErrDuplicateName) {
		field := fieldPath(e.JSONPointer)
		return invalid.problem("A field is there twice.", FieldError{field, "is named twice; name it once"})
	}
	line, column := position(body, e.ByteOffset)
	what := "not JSON here"
	if errors.Is(e, io.ErrUnexpectedEOF) {
		what = "it ends in the middle of a value"
	}
	return malformed.problem(fmt.Sprintf("The body is not valid JSON at line %d, column %d (byte %d): %s.", line, column, e.ByteOffset, what))
}

func valueProblem(body []byte, e *json.SemanticError) error {
	field := fieldPath(e.JSONPointer)
	if errors.Is(e, json.ErrUnknownName) {
		return unknownField.problem(fmt.Sprintf("Field %s is not known here; nothing was stored.", field), FieldError{field, "is not known here"})
	}
	line, column := position(body, e.ByteOffset)
	if field == "" {
		return malformed.problem(fmt.Sprintf("The body at line %d, column %d must be %s.", line, column, wanted(e.GoType)))
	}
	message := "must be " + wanted(e.GoType)
	if e.Err != nil && (e.JSONKind == '"' || e.JSONKind == 0) && e.GoType != nil && e.GoType.Kind() != reflect.String {
		message = strings.TrimSpace(last(e.Err))
	}
	return invalid.problem(fmt.Sprintf("Field %s at line %d, column %d cannot be read.", field, line, column), FieldError{field, message})
}

// last drops what an error says about packages and callers.
func last(err error) string {
	parts := strings.Split(err.Error(), ": ")
	return parts[len(parts)-1]
}

func wanted(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "of another type"
}

// fieldPath writes /rules/1/field as rules[1].field.
func fieldPath(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if n, err := strconv.ParseUint(token, 10, 32); err == nil {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return b.String()
}

func position(body []byte, offset int64) (line, column int) {
	before := body[:min(max(offset, 0), int64(len(body)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}
