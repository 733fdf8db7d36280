package pages

import (
	"context"
	"net/url"
	"strings"
)

// own takes a form from our own pages alone. It is no more than a second lock: whoever can make a
// browser send the form knows the token, and can send it themselves. What it refuses is a POST of
// which the browser itself says that another site's page sent it. A mail program says nothing, and
// neither does an older browser: there a page like ours, which sends no Referer, has Origin: null.
func own(h handler) handler {
	return func(ctx context.Context, v *visit) error {
		if v.fromElsewhere() {
			return foreignOne
		}
		return h(ctx, v)
	}
}

func (v *visit) fromElsewhere() bool {
	r := v.Request()
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return false
	}
	from, err := url.Parse(origin)
	if err != nil {
		return true
	}
	if strings.EqualFold(from.Host, r.Host) {
		return false
	}
	ours, err := url.Parse(v.pages.URL)
	return err != nil || !strings.EqualFold(from.Host, ours.Host)
}
