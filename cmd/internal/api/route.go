package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// route is one call: where it is, who may make it and with what.
type route struct {
	method string
	path   string // below Prefix, or whole if public; parameters as :name
	roles  []Role
	query  []string // the query parameters it takes
	handle func(*API, echo.Context, Token) error
	public bool // needs no token
	stream bool // may take as long as its body does
}

// address returns the whole path.
func (r route) address() string {
	if r.public {
		return r.path
	}
	return Prefix + r.path
}

// matches reports whether the segments of a request path are at this route, whatever the method.
func (r route) matches(path []string) bool {
	want := strings.Split(r.address(), "/")
	return slices.EqualFunc(want, path, func(w, p string) bool {
		return w == p || strings.HasPrefix(w, ":") && p != ""
	})
}

// checkQuery refuses parameters that the call does not take, for a misspelt one would otherwise
// silently change what is answered.
func (r route) checkQuery(c echo.Context) error {
	for name, values := range c.QueryParams() {
		if !slices.Contains(r.query, name) {
			known := "none"
			if len(r.query) > 0 {
				known = strings.Join(r.query, ", ")
			}
			return unknownField.problem(fmt.Sprintf("Query parameter %s is not known here; this call takes: %s.", name, known), FieldError{name, "is not known here"})
		}
		if len(values) > 1 {
			return invalid.problem("A query parameter is there twice.", FieldError{name, "is named twice; name it once"})
		}
	}
	return nil
}
