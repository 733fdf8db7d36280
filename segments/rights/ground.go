package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ground says on what footing personal data is handed out.
type Ground string

// The grounds on which personal data may be shared; there are no others.
const (
	Consent             Ground = "consent"
	Contract            Ground = "contract"
	LegalObligation     Ground = "legal-obligation" // law enforcement among them
	VitalInterests      Ground = "vital-interests"
	PublicFunction      Ground = "public-function"
	LegitimateInterests Ground = "legitimate-interests"
)

// Grounds are all grounds, in the order in which the policies name them.
var Grounds = []Ground{Consent, Contract, LegalObligation, VitalInterests, PublicFunction, LegitimateInterests}

// ErrGround is wrapped when a disclosure has no ground, or one that is not in Grounds.
var ErrGround = errors.New("no recorded ground")

// ParseGround reads a ground; the error names those there are.
func ParseGround(s string) (Ground, error) {
	g := Ground(s)
	if slices.Contains(Grounds, g) {
		return g, nil
	}
	names := make([]string, len(Grounds))
	for i, g := range Grounds {
		names[i] = string(g)
	}
	return "", fmt.Errorf("rights: %w: personal data is handed out on one of these grounds only: %s", ErrGround, strings.Join(names, ", "))
}
