package rights

import (
	"errors"

	"beckon/schema"
	"beckon/schema/id"
)

// Result says what became of an erasure.
type Result string

// The results.
const (
	Erased Result = "erased"
	Held   Result = "held" // a legal hold stands (GDPR Art. 17(3)): the data is restricted instead, stored and not used
)

// Receipt says what an erasure came to. What and Why of what is kept, and what was removed, are
// phrases that do not change, so that a page can show them in another language.
type Receipt struct {
	Contact  id.Contact  `json:"contact"`
	ErasedAt schema.Time `json:"erased_at"` // null: held
	Reason   Reason      `json:"reason"`
	Result   Result      `json:"result"`
	Removed  []string    `json:"removed"` // the parts of a copy that held something
	Kept     []Kept      `json:"kept"`
}

// Kept is something that had to stay.
type Kept struct {
	What  string      `json:"what"`
	Why   string      `json:"why"`
	Until schema.Time `json:"until"` // null: no date is set, and Why says what ends it, if anything does
}

// ErrHeld is wrapped when the time of some data is over and a legal hold keeps it.
var ErrHeld = errors.New("a legal hold stands")
