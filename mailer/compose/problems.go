package compose

import (
	"fmt"
	"strings"
)

// Problem is one thing the author of a campaign has to change.
type Problem struct {
	Field   string `json:"field"`          // of the campaign: html, text, subject, from, …
	Line    int    `json:"line,omitempty"` // in that field, from 1; zero: the field as a whole
	Message string `json:"message"`        // what is wrong and what to do
}

func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s line %d: %s", p.Field, p.Line, p.Message)
	}
	return p.Field + ": " + p.Message
}

// Problems is the error of Compile that the author can act on: everything found, in order.
type Problems struct{ List []Problem }

func (p *Problems) Error() string {
	var lines []string
	for _, one := range p.List {
		lines = append(lines, one.String())
	}
	return "compose: " + strings.Join(lines, "; ")
}
