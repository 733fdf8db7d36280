package api

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	pageSize    = 100
	maxPageSize = 1000
)

// page is one page of a list.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"` // the cursor of the next page; null on the last
}

// paging is what a client asked for.
type paging struct {
	after string // the key of the last item of the page before
	limit int
}

// askedPage reads cursor and limit.
func askedPage(c echo.Context) (paging, error) {
	p := paging{limit: pageSize}
	if s := c.QueryParam("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPageSize {
			return paging{}, invalid.problem("A page cannot have this size.", FieldError{"limit", fmt.Sprintf("must be a whole number from 1 to %d", maxPageSize)})
		}
		p.limit = n
	}
	if s := c.QueryParam("cursor"); s != "" {
		b, err := base64.RawURLEncoding.DecodeString(s)
		after, ok := strings.CutPrefix(string(b), "after:")
		if err != nil || !ok || after == "" {
			return paging{}, badCursor()
		}
		p.after = after
	}
	return p, nil
}

func badCursor() *Problem {
	return invalid.problem("The cursor is not one that this list gave out.", FieldError{"cursor", "must be the next of a page of this list"})
}

// afterID is the identifier that a page begins after, for lists in the order of one; zero is the
// beginning.
func afterID[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](p paging) (T, error) {
	var v T
	if p.after != "" {
		if err := P(&v).UnmarshalText([]byte(p.after)); err != nil {
			return v, badCursor()
		}
	}
	return v, nil
}

// answer makes a page of items that were read with a limit of one more than was asked for, so that
// the last page is known to be the last.
func answer[T any](items []T, p paging, key func(T) string) page[T] {
	out := page[T]{Items: items}
	if out.Items == nil {
		out.Items = []T{}
	}
	if len(items) > p.limit {
		out.Items = items[:p.limit]
		next := base64.RawURLEncoding.EncodeToString([]byte("after:" + key(out.Items[p.limit-1])))
		out.Next = &next
	}
	return out
}

// cut makes a page of a whole list that is in the order of key.
func cut[T any](all []T, p paging, key func(T) string) page[T] {
	if p.after != "" {
		i := slices.IndexFunc(all, func(v T) bool { return key(v) > p.after })
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	return answer(all, p, key)
}

// sortBy puts a whole list into the order of key, for cut.
func sortBy[T any](all []T, key func(T) string) {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
}

// newestFirst is a key for cut that puts later identifiers before earlier ones.
func newestFirst(n int64) string { return fmt.Sprintf("%019d", math.MaxInt64-n) }
