package consent

import (
	"errors"
	"fmt"

	"beckon/schema/id"
)

// Channel is the slug of a way to reach a person.
type Channel string

// The channels that ship by default.
const (
	Email Channel = "email"
	Phone Channel = "phone"
	Post  Channel = "post"
)

// Purpose is what a use does to the contact.
type Purpose string

// The purposes. Mail names a communication type; Segment and Export may leave it empty, which means
// any type the contact opted in to; Track concerns the company alone.
const (
	Mail    Purpose = "mail"
	Segment Purpose = "segment"
	Track   Purpose = "track"
	Export  Purpose = "export"
)

// Mode says whether a mail may tell opens and clicks of the contact from those of others.
type Mode string

// The modes. A refused use has none.
const (
	Identified Mode = "identified"
	Anonymous  Mode = "anonymous"
)

// Reason says why a use is refused. It is empty for an allowed one, and a stable word otherwise.
type Reason string

// The reasons.
const (
	NoConsent     Reason = "no-consent"
	OtherConsent  Reason = "consent-for-something-else"
	NoEvidence    Reason = "no-consent-evidence"
	NoExplicit    Reason = "no-explicit-consent"
	UnknownKind   Reason = "subscriber-kind-unknown"
	Individual    Reason = "individual-without-consent"
	CountryRoute  Reason = "corporate-route-not-allowed"
	NotFromSource Reason = "not-from-this-source"
	SourceUse     Reason = "source-does-not-permit"
	Licence       Reason = "licence-ended"
	NoBasis       Reason = "no-lawful-basis"
	Recalled      Reason = "recalled"
	Uncitable     Reason = "source-cannot-be-cited"
	Withdrawn     Reason = "withdrawn"
	Objected      Reason = "objected"
	Restricted    Reason = "restricted"
	Bounced       Reason = "bounced"
	Complained    Reason = "complained"
	UnderAge      Reason = "under-13"
	Erased        Reason = "erased"
	NotFound      Reason = "not-found"
	Unreadable    Reason = "unreadable"
)

// Block is a mask of what forbids every use of a contact or address.
type Block int64

// The blocks. Their values are stored.
const (
	BlockObjected   Block = 1
	BlockRestricted Block = 2
	BlockBounced    Block = 4
	BlockComplained Block = 8
	BlockUnderAge   Block = 16
	BlockErased     Block = 32
	BlockWithdrawn  Block = 64 // from everything
)

// noes are the blocks that stand for the person's own no to everything; a bounce is none, and a
// restriction is lifted by whoever imposed it.
const noes = BlockObjected | BlockComplained | BlockErased | BlockWithdrawn

// blockReasons in the order in which they are told when several hold.
var blockReasons = []struct {
	block  Block
	reason Reason
}{
	{BlockUnderAge, UnderAge},
	{BlockErased, Erased},
	{BlockObjected, Objected},
	{BlockComplained, Complained},
	{BlockWithdrawn, Withdrawn},
	{BlockRestricted, Restricted},
	{BlockBounced, Bounced},
}

// Reason names the gravest block of the mask, or is empty for none.
func (b Block) Reason() Reason {
	for _, r := range blockReasons {
		if b&r.block != 0 {
			return r.reason
		}
	}
	if b != 0 {
		return Unreadable
	}
	return ""
}

// Reasons names every block of the mask, the gravest first.
func (b Block) Reasons() []Reason {
	var rs []Reason
	for _, r := range blockReasons {
		if b&r.block != 0 {
			rs = append(rs, r.reason)
		}
	}
	return rs
}

// Audience says on what ground a contact is mailed: the zero Audience is a segment, of opted-in
// contacts; the other kind is the list of a data source.
type Audience struct{ Source id.Source }

// SegmentAudience is the audience of opted-in contacts.
func SegmentAudience() Audience { return Audience{} }

// SourceAudience is the audience of the contacts that a data source gave us.
func SourceAudience(s id.Source) Audience { return Audience{s} }

// Use is what somebody wants to do to a contact.
type Use struct {
	Company  id.Company
	Channel  Channel
	Type     string   // slug; see Purpose for when it may be empty
	Topics   []string // slugs; a special one asks for explicit consent
	Purpose  Purpose
	Audience Audience // matters to Mail alone
	// Item makes a mail the answer to a one-off request: whoever asked for the item, and has not got
	// it yet, may be sent it, whatever else they agreed to. The type is the mail's own and allows
	// nothing. It does not go together with a source's list.
	Item string
}

// Decision is the gate's answer for one contact.
type Decision struct {
	Allowed bool
	Mode    Mode        // empty unless Allowed
	Epoch   int64       // tracking epoch of an identified use, else zero
	Cite    []id.Source // sources that a mail has to name, in the order of their ids
	Reason  Reason      // empty if Allowed
}

// Fragment is a piece of SQL with a ? for each of Args, in order.
type Fragment struct {
	SQL  string
	Args []any
}

// Errors that callers branch on.
var (
	// ErrNotOwnAct: a no stands, and only the person's own confirmed act may lift it. Start a request.
	ErrNotOwnAct = errors.New("a refusal stands that only the person's own confirmed act can lift")
	// ErrFuture: the entry says it was captured later than now.
	ErrFuture = errors.New("captured in the future")
	// ErrUnknownNotice: the entry names a notice that is not stored, or a grant names none.
	ErrUnknownNotice = errors.New("unknown notice")
	// ErrUnknownCompany: the entry or use names a company that is not stored.
	ErrUnknownCompany = errors.New("unknown company")
	// ErrEntry: the entry does not say what its action needs.
	ErrEntry = errors.New("incomplete entry")
	// ErrNoEntry: nothing of the kind is on record.
	ErrNoEntry = errors.New("no such entry")
	// ErrExpired: the request was not confirmed in time, or was confirmed already.
	ErrExpired = errors.New("request expired or used")
	// ErrExists: a notice of this version has another text.
	ErrExists = errors.New("exists with another text")
	// ErrAddress: not an address that mail can be sent to.
	ErrAddress = errors.New("not a mail address")
	// ErrUse: the use is not one that the gate can judge; it is refused.
	ErrUse = errors.New("use not understood")
)

// ErrUnknownSlug tells a slug that the catalogue does not hold.
type ErrUnknownSlug struct{ Kind, Slug string }

func (e *ErrUnknownSlug) Error() string {
	return fmt.Sprintf("consent: unknown %s %q", e.Kind, e.Slug)
}
