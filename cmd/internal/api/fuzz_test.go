package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"unicode/utf8"

	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/id"

	"github.com/labstack/echo/v4"
)

// Whatever is sent, the answer is a value or a problem that can be shown; what was taken is JSON
// that the standard library takes too.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"x","audience":{"any":[{"segment":"seg_1"}]},"send_at":"2026-04-01T12:00:00Z"}`, `{"name":1}`, `{"a":1}`,
		`{"name":"x","name":"y"}`, "{\"name\":\"\xff\"}", `{"audience":{"any":[{"segment":"ct_1"}]}}`, `[`, ``, `{"send_at":"noon"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d mailer.Draft
		err := decodeJSON(body, &d)
		if err == nil {
			if !json.Valid(body) {
				t.Errorf("took what is not JSON")
			}
			return
		}
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status != http.StatusBadRequest || p.Detail == "" {
			t.Fatalf("got %v", err)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
		for _, e := range p.Errors {
			if e.Message == "" || !utf8.ValidString(e.Field) {
				t.Errorf("field %q: %q", e.Field, e.Message)
			}
		}
	})
}

// A cursor is one that a page gave out, or a problem.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "YWZ0ZXI6Y3RfMXo", "YWZ0ZXI6", "%%%", "YWZ0ZXI6Y3RfMXo="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		c := echo.New().NewContext(httptest.NewRequest("GET", "/?cursor="+url.QueryEscape(cursor), nil), httptest.NewRecorder())
		p, err := askedPage(c)
		if err == nil {
			_, err = afterID[id.Campaign](p)
		}
		if _, ok := errors.AsType[*Problem](err); err != nil && !ok {
			t.Errorf("got %v", err)
		}
	})
}

func TestPagesCoverAListOnce(t *testing.T) {
	all := []schema.Time{1, 2, 3, 4, 5}
	key := func(v schema.Time) string { return v.String() }
	for limit := 1; limit <= len(all)+1; limit++ {
		var got []schema.Time
		p := paging{limit: limit}
		for n := 0; ; n++ {
			page := cut(all, p, key)
			got = append(got, page.Items...)
			if page.Next == nil {
				if want := max(1, (len(all)+limit-1)/limit); n+1 != want {
					t.Errorf("%d pages of %d, want %d", n+1, limit, want)
				}
				break
			}
			c := echo.New().NewContext(httptest.NewRequest("GET", "/?cursor="+*page.Next, nil), httptest.NewRecorder())
			next, err := askedPage(c)
			if err != nil {
				t.Fatal(err)
			}
			p.after = next.after
		}
		if len(got) != len(all) {
			t.Errorf("pages of %d hold %v", limit, got)
		}
	}
}
