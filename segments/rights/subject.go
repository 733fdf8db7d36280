package rights

import (
	"context"
	"errors"

	"beckon/schema"
	"beckon/schema/id"
)

// ErrNoContact is wrapped where nothing is held under the contact's identifier, or not any more.
var ErrNoContact = errors.New("no such contact")

// Subject is a package that holds something of a person.
type Subject interface {
	// Export returns all that is held, in an order that does not change. A part without rows says
	// that nothing of its kind is held. Whoever holds the contact itself answers ErrNoContact for one
	// that there is not.
	Export(ctx context.Context, q schema.Querier, who id.Contact) ([]Part, error)
	// Erase removes it, and returns what had to stay and why.
	Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why Reason) ([]Kept, error)
}

// Reason says why somebody is erased.
type Reason string

// The reasons.
const (
	OnRequest   Reason = "request"   // the person asked; their address stays out, by keyed hash
	UnderAge    Reason = "under-13"  // a child: the database keeps no hash either
	OnRetention Reason = "retention" // the time is over for which the data may be held; no refusal follows from it
)

var reasons = []Reason{OnRequest, UnderAge, OnRetention}
