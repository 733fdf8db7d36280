package segments

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed freemail.txt
var freemailText string

var freemailDomains = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(freemailText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			m[line] = true
		}
	}
	return m
})

// freemail reports whether a normalised address lies at a domain where anybody gets a mailbox.
func freemail(email string) bool {
	return freemailDomains()[email[strings.LastIndexByte(email, '@')+1:]]
}

// sourcedKind is the subscriber kind that a provider's row is believed to have: what the row
// states, else what the provider warrants. Nobody at a free-mail domain is believed to be corporate.
func sourcedKind(email, stated string, w *Warranty) string {
	if stated == "" && w != nil {
		stated = w.Kind
	}
	if stated == "corporate" && freemail(email) {
		return ""
	}
	return stated
}
