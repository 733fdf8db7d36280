package tracker_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"

	"beckon/tracker"

	"github.com/labstack/echo/v4"
)

func TestOneProxyThatLooksLikeEverybodyIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name    string
		trusted []string
		from    func(i int) (remote, forwarded string)
		want    bool
	}{
		{"a proxy that is not trusted", nil, func(i int) (string, string) { return "10.0.0.2", fmt.Sprintf("203.0.113.%d", i) }, true},
		{"one on this machine", nil, func(i int) (string, string) { return "::1", fmt.Sprintf("203.0.113.%d", i) }, true},
		{"one that is trusted", []string{"10.0.0.0/8"}, func(i int) (string, string) { return "10.0.0.2", fmt.Sprintf("203.0.113.%d", i) }, false},
		{"another one is trusted", []string{"10.9.0.0/16"}, func(i int) (string, string) { return "10.0.0.2", fmt.Sprintf("203.0.113.%d", i) }, true},
		{"no proxy", nil, func(int) (string, string) { return "10.0.0.2", "" }, false},
		{"two proxies", nil, func(i int) (string, string) { return fmt.Sprintf("10.0.0.%d", i%2), "203.0.113.1" }, false},
		{"a client of the world that pretends", nil, func(int) (string, string) { return "203.0.113.9", "10.0.0.2" }, false},
		{"too few to tell", nil, func(i int) (string, string) {
			if i > 5 {
				return "10.0.0.2", ""
			}
			return "10.0.0.2", "203.0.113.1"
		}, false},
	} {
		extract, err := tracker.TrustedIPExtractor(c.trusted)
		if err != nil {
			t.Fatal(err)
		}
		var one tracker.OneClient
		watched := one.Watch(extract)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				remote, forwarded := c.from(i)
				r := httptest.NewRequest("GET", "/o/x", nil)
				r.RemoteAddr = "[" + remote + "]:4711"
				if forwarded != "" {
					r.Header.Set(echo.HeaderXForwardedFor, forwarded)
				}
				if got, want := watched(r), extract(r); got != want {
					t.Errorf("%s: %q, want %q", c.name, got, want)
				}
			})
		}
		wg.Wait()
		if one.Suspected() != c.want {
			t.Errorf("%s: suspected is %v", c.name, one.Suspected())
		}
	}
}
