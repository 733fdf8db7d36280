package pages

import (
	"strings"

	"golang.org/x/net/idna"
)

// masked shortens an address so that its owner recognises it and a stranger learns nothing they
// could write to: the first letter of each half and the top-level domain.
func masked(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return "•••"
	}
	local, domain := email[:at], email[at+1:]
	if u, err := idna.Lookup.ToUnicode(domain); err == nil {
		domain = u
	}
	top := ""
	if dot := strings.LastIndexByte(domain, '.'); dot > 0 {
		top = domain[dot:]
	}
	return first(local) + "•••@" + first(domain) + "•••" + top
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
