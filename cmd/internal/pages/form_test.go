package pages

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

// Whatever is posted, reading it gives readable fields or the problem that says it is no form.
func FuzzForm(f *testing.F) {
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data", "text/plain", ";;"} {
		for _, body := range []string{"", "List-Unsubscribe=One-Click", "a=%", "a=%ff", "a;b", "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n", "--x--", "--x\r\n\r\n"} {
			f.Add(kind, body)
		}
	}
	e := echo.New()
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		v := &visit{Context: e.NewContext(r, httptest.NewRecorder())}
		form, err := v.form()
		if err != nil {
			if !errors.Is(err, badForm) {
				t.Fatal(err)
			}
			return
		}
		for k, vs := range form {
			for _, s := range append(vs, k) {
				if !utf8.ValidString(s) {
					t.Fatalf("field %q is not readable", k)
				}
			}
		}
		_, _ = scopeOf(form)
		_ = only(form, signupSingle, wishSeveral)
	})
}

func TestScopeOf(t *testing.T) {
	for body, want := range map[string]Scope{
		"List-Unsubscribe=One-Click": ThisType, "list-unsubscribe=ONE-CLICK+": ThisType, "choice=company": ThisCompany, "choice=everything": Everything,
		"List-Unsubscribe=": "", "choice=": "", "": "", "choice=all": "", "List-Unsubscribe=no&choice=type": "",
	} {
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := scopeOf(form); ok != (want != "") || ok && got != want {
			t.Errorf("%q asks for %q, %v", body, got, ok)
		}
	}
}
