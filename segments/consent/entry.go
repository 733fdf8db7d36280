package consent

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"beckon/schema"
	"beckon/schema/id"
)

// Action is what an entry does.
type Action string

// The actions. Request and Grant name a company, a channel and what is agreed to. Withdraw and
// Object may leave out the company, the channel or the types, which then means all of them; topics
// without types withdraw the explicit consent to those topics alone. Restrict and Lift concern the
// whole contact, whatever they name; Lift ends a restriction and nothing else. Request, Grant and
// Withdraw may name an item, and one that names nothing else says nothing of types or tracking.
const (
	Request  Action = "request"
	Grant    Action = "grant"
	Withdraw Action = "withdraw"
	Object   Action = "object"
	Restrict Action = "restrict"
	Lift     Action = "lift"
)

// How is the way in which an entry reached us.
type How string

// The ways that a caller may name.
const (
	ByForm   How = "form"
	ByPage   How = "page"
	ByImport How = "import"
	ByAPI    How = "api"
	ByPhone  How = "phone"
	ByEmail  How = "email"
	ByPost   How = "post"
)

// The ways that this package names itself: what stands behind a block, and what ends a consent
// without a refusal.
const (
	byBounce      How = "bounce"
	byComplaint   How = "complaint"
	byErasure     How = "erasure"
	byAge         How = "under-13"
	bySuppression How = "suppression"
	byServing     How = "served"
	byRecall      How = "recalled"
)

// Outcomes of an entry, as the ledger keeps them.
const (
	Applied = "applied"
	Partly  = "partly"  // a no stands for the rest
	Refused = "refused" // a no stands for all of it
	Older   = "older"   // something later is in force
	Pending = "pending" // a request waiting for its confirmation
)

// appliedOwn is how the ledger keeps Applied for the person's own act.
const appliedOwn = "applied-own"

// future is how far a caller's clock may be ahead of ours.
const future = 5 * time.Minute

// Entry is what a caller asks the ledger to record.
type Entry struct {
	Contact  id.Contact `json:"contact"`
	Action   Action     `json:"action"`
	Company  id.Company `json:"company"` // zero: every company
	Channel  Channel    `json:"channel"` // empty: every channel
	Types    []string   `json:"types"`
	Topics   []string   `json:"topics"`
	Tracking *bool      `json:"tracking"`       // of a grant: nil changes nothing, false withdraws tracking alone
	Item     string     `json:"item,omitempty"` // slug of the one thing asked for, such as a whitepaper
	Notice   string     `json:"notice"`         // version of the wording shown; every yes needs one
	How      How        `json:"how"`
	// Captured is when the person said so. Zero is right for what happens now: it puts the entry
	// after everything on record, whatever the clocks of other nodes say.
	Captured  schema.Time `json:"captured"`
	Requested schema.Time `json:"requested"`
	Confirmed schema.Time `json:"confirmed"`
	Actor     string      `json:"actor"` // who recorded it; never an address of a contact
	// Own marks the person's own confirmed act: a form or page reached by a link mailed to the
	// address, or a double opt-in. An import is never one.
	Own      bool              `json:"own"`
	Evidence map[string]string `json:"-"` // what was shown and done; erasable
	// Journaled says that the refusals journal has this no already, as one given with a mail's link.
	Journaled bool `json:"-"`
}

// Result tells what became of an entry.
type Result struct {
	Seq     int64  // in the subject's chain; zero if nothing was recorded
	Applied bool   // the state follows it, wholly or partly
	Outcome string // Applied, Partly, Refused, Older or Pending
	Err     error  // of RecordMany: why this entry was not recorded
}

// Untrack returns the entry that withdraws tracking and nothing else.
func Untrack(who id.Contact, company id.Company, how How) Entry {
	no := false
	return Entry{Contact: who, Action: Grant, Company: company, Channel: Email, Tracking: &no, How: how}
}

// check says what an entry lacks, apart from what only the database knows.
func (e *Entry) check(now schema.Time) error {
	bad := func(what string) error { return fmt.Errorf("consent: %w: %s", ErrEntry, what) }
	switch {
	case e.Contact <= 0:
		return bad("no contact")
	case !e.How.known():
		return bad(fmt.Sprintf("how must be form, page, import, api, phone, email or post, not %q", e.How))
	case len(e.Actor) > 200 || !plain(e.Actor):
		return bad("actor is not a text of at most 200 bytes")
	case e.Captured < 0 || e.Requested < 0 || e.Confirmed < 0:
		return bad("a time before 1970")
	}
	if e.Item != "" && !isItem(e.Item) {
		return bad("an item is named by at most 100 bytes of a to z, 0 to 9 and -")
	}
	if latest := now.Add(future); e.Captured > latest || e.Requested > latest || e.Confirmed > latest {
		return fmt.Errorf("consent: %w", ErrFuture)
	}
	switch e.Action {
	case Grant, Request:
		if e.Company <= 0 || e.Channel == "" {
			return bad("a yes names its company and channel")
		}
		if len(e.Types) == 0 && len(e.Topics) == 0 && e.Tracking == nil && e.Item == "" {
			return bad("a yes names types, topics, tracking or an item")
		}
		if e.Item != "" && len(e.Topics) > 0 && len(e.Types) == 0 {
			return bad("topics go with types: the explicit consent to a topic would outlast the item")
		}
		if e.Notice == "" && e.yes() {
			return fmt.Errorf("consent: %w: a yes names the notice that was shown", ErrUnknownNotice)
		}
	case Withdraw, Object, Restrict, Lift:
		if e.Tracking != nil && *e.Tracking {
			return bad("only a grant can allow tracking")
		}
		if e.Item != "" && e.Action != Withdraw {
			return bad("only request, grant and withdraw name an item")
		}
	default:
		return bad(fmt.Sprintf("action must be request, grant, withdraw, object, restrict or lift, not %q", e.Action))
	}
	return nil
}

// plain reports whether PostgreSQL takes s for a text.
func plain(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// yes reports whether a grant or request allows anything.
func (e *Entry) yes() bool {
	return len(e.Types) > 0 || len(e.Topics) > 0 || e.Item != "" || e.Tracking != nil && *e.Tracking
}

// known reports whether an entry may have come so.
func (h How) known() bool {
	return slices.Contains([]How{ByForm, ByPage, ByImport, ByAPI, ByPhone, ByEmail, ByPost}, h) || h.internal()
}

func (h How) internal() bool {
	return slices.Contains([]How{byBounce, byComplaint, byErasure, byAge, bySuppression}, h) || h.lapse()
}

// lapse reports whether a withdrawal of this kind ends a consent without being anybody's no.
func (h How) lapse() bool { return h == byServing || h == byRecall }

// isItem reports whether s is a slug that an item may have.
func isItem(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// row is a ledger row as it is stored.
type row struct {
	Subject    id.Subject  `db:"subject"`
	Seq        int64       `db:"seq"`
	Action     Action      `db:"action"`
	Company    string      `db:"company"`
	Channel    Channel     `db:"channel"`
	Types      string      `db:"types"`
	Topics     string      `db:"topics"`
	Tracking   string      `db:"tracking"`
	Item       string      `db:"item"`
	Notice     string      `db:"notice"`
	NoticeHash string      `db:"notice_hash"`
	How        How         `db:"how"`
	Captured   schema.Time `db:"captured_at"`
	Requested  schema.Time `db:"requested_at"`
	Confirmed  schema.Time `db:"confirmed_at"`
	Recorded   schema.Time `db:"recorded_at"`
	Actor      string      `db:"actor"`
	Evidence   []byte      `db:"evidence"`
	Outcome    string      `db:"outcome"`
	MAC        []byte      `db:"mac"`
}

const rowColumns = `subject, seq, action, company, channel, types, topics, tracking, item, notice, notice_hash, how,
	captured_at, requested_at, confirmed_at, recorded_at, actor, evidence, outcome, mac`

// applied reports whether the state follows the row, wholly or partly.
func (r *row) applied() bool {
	return r.Outcome == Applied || r.Outcome == appliedOwn || r.Outcome == Partly
}

// joined writes slugs as the ledger keeps them: sorted, each once.
func joined(slugs []string) string {
	switch len(slugs) {
	case 0:
		return ""
	case 1:
		return slugs[0]
	}
	s := slices.Clone(slugs)
	slices.Sort(s)
	return strings.Join(slices.Compact(s), "|")
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}
