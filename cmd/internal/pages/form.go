package pages

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
)

const (
	maxForm   = 64 << 10
	maxFields = 200
)

// form reads the body of a POST, urlencoded or multipart, and never the query of its address. A
// body without a type is taken for an urlencoded one: some mail programs send none.
func (v *visit) form() (url.Values, error) {
	r := v.Request()
	body := http.MaxBytesReader(v.Response(), r.Body, maxForm)
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/form-data" {
		return multipartForm(multipart.NewReader(body, params["boundary"]))
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, badForm
	}
	form, err := url.ParseQuery(string(b))
	if err != nil || len(form) > maxFields {
		return nil, badForm
	}
	for k, vs := range form {
		if !readable(k) || slices.ContainsFunc(vs, func(s string) bool { return !readable(s) }) {
			return nil, badForm
		}
	}
	return form, nil
}

// multipartForm reads fields; a file is no part of any form here.
func multipartForm(r *multipart.Reader) (url.Values, error) {
	form := url.Values{}
	for n := 0; ; n++ {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil || n >= maxFields || part.FileName() != "" {
			return nil, badForm
		}
		b, err := io.ReadAll(part)
		if err != nil || !readable(string(b)) {
			return nil, badForm
		}
		form.Add(part.FormName(), string(b))
	}
}

// only refuses a form with a field that the page did not ask for, or with two answers where one
// was asked for.
func only(form url.Values, single, several []string) error {
	for k, vs := range form {
		switch {
		case slices.Contains(several, k):
		case slices.Contains(single, k) && len(vs) == 1:
		default:
			return badForm
		}
	}
	return nil
}
