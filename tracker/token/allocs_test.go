//go:build !race

package token_test

import (
	"testing"

	"beckon/tracker/token"
)

// Under the race detector a sync.Pool forgets at random.
func TestOpeningAllocatesTheTargetOnly(t *testing.T) {
	r := ring(t, keyA)
	s, _ := r.Sign(click)
	plain, _ := r.Sign(token.Token{Kind: token.Beacon, Campaign: 1, Message: 2})
	dst := make([]byte, 0, token.MaxText)
	for _, c := range []struct {
		name string
		most float64
		do   func()
	}{
		{"click", 1, func() { r.Open(token.Click, s) }},
		{"beacon", 0, func() { r.Open(token.Beacon, plain) }},
		{"sign", 0, func() { r.AppendSign(dst, click) }},
	} {
		if n := testing.AllocsPerRun(200, c.do); n > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.most)
		}
	}
}
