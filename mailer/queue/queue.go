package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Status is where a message is on its way.
type Status string

// The statuses of a message.
const (
	Queued   Status = "queued"
	Sending  Status = "sending"
	Sent     Status = "sent"
	Deferred Status = "deferred"
	Failed   Status = "failed"
	Skipped  Status = "skipped"
	Unknown  Status = "unknown"
)

// Reasons that this package writes beside those of the gate.
const (
	ReasonCancelled = "cancelled"              // skipped: the campaign was cancelled
	ReasonErased    = "erased"                 // skipped: the contact is gone
	ReasonDied      = "sender-died"            // unknown: the process that sent it is gone
	ReasonNoAnswer  = "no-answer"              // unknown: no answer to the end of the message
	ReasonLeft      = "left"                   // unknown: the marketer decided not to send again
	ReasonRestored  = "restored"               // unknown: an older database was put back, and the newer one may have sent it
	ReasonTemplate  = "cannot-be-composed"     // failed
	ReasonSMTPUTF8  = "address-needs-smtputf8" // failed: the relay does not offer it
	ReasonRefused   = "refused"                // failed: a final 5xx
	ReasonTimes     = "gave-up"                // failed: deferred too often or too long
	ReasonNetwork   = "network"                // deferred: the connection broke
	ReasonTemporary = "temporary"              // deferred: a 4xx
)

// Claimed is a message that this sender, and nobody else, may send now.
type Claimed struct {
	Message  id.Message
	Campaign id.Campaign
	Contact  id.Contact
	Via      id.Source // whose list it is sent to; zero: a segment
	Mode     consent.Mode
	Epoch    int64
	Cited    []id.Source // whom the letter has to name, by the gate; stored with the message
	Attempt  int         // 1 for the first
	drawn    ration      // of its sender's allowance; zero: none

	// The following are filled in by Filler.Load.
	To         string // recipient's address
	ReturnPath string // envelope sender
	Problem    string // not empty: cannot be sent; stored as the reason of a failed message
	Data       any    // the Filler's own
}

// Filler writes the letters of one campaign.
type Filler interface {
	// Load fills in what was read about the recipients, inside the transaction that claims their
	// messages: so nothing is sent on the ground of what was true earlier. It must be quick, and may
	// run again for the same messages.
	Load(ctx context.Context, tx *schema.Tx, ms []Claimed) error
	// Fill appends the whole message (RFC 5322, lines end in CRLF) to dst. It is called from many
	// goroutines; an error fails this one message.
	Fill(ctx context.Context, dst []byte, m Claimed) ([]byte, error)
}

// Gates are the gate's answers for the messages of a campaign, as SQL over the row alias m.
type Gates struct {
	Allowed consent.Fragment // boolean
	Refusal consent.Fragment // text, empty if allowed
	Epoch   consent.Fragment // bigint; without SQL nobody is identified
	Cited   consent.Fragment // text such as |1|2|; without SQL nobody is cited
}

// Campaign is what the sender needs to know of a campaign that is being sent.
type Campaign struct {
	ID       id.Campaign
	Launched schema.Time
	Rate     float64               // messages per second; zero: as fast as the relays take them
	Gates    func() (Gates, error) // asked for each claim, since the answer holds the time
	Filler   Filler
	Sign     Signer // nil: not signed
	Domain   string // of its sender
	Note     string // its status note, as it is stored
	// Open says whether messages may be claimed now, and when that changes; nil: always.
	Open func(now time.Time) (open bool, until time.Time)
}

// Campaigns tells the sender what to send.
type Campaigns interface {
	// Sending returns the campaigns that are being sent and whose audience is complete.
	Sending(ctx context.Context) ([]Campaign, error)
}

// Bouncer is told of recipients that do not exist, before the failure is written. It must be
// idempotent.
type Bouncer interface {
	Bounced(ctx context.Context, tx *schema.Tx, who id.Contact) error
}

// Signer returns the message with a signature put before it.
type Signer func(msg []byte) ([]byte, error)

// Options of a Sender. The zero value of a field takes the default.
type Options struct {
	Connections    int                             // per relay that states none itself; 4
	Lease          time.Duration                   // how long a batch is held, and how long a claim may take until DATA; 1 min
	Batch          int                             // messages leased at once per campaign; 256
	DialTimeout    time.Duration                   // until the relay is ready for a message; 15 s
	CommandTimeout time.Duration                   // for each command before DATA; 30 s
	DataTimeout    time.Duration                   // for the message and the answer to it; 2 min
	Idle           time.Duration                   // a connection without work is closed after this; 20 s
	Redial         time.Duration                   // first pause after a relay could not be reached, doubling five times; 1 s
	Linger         time.Duration                   // how long a commit waits for company, and three times as long until a quarter of the connections is in it; 2 ms
	Poll           time.Duration                   // how often the database is asked for new work; 1 s
	Grace          time.Duration                   // after Run's context ends, until connections are cut; 10 s
	MaxAttempts    int                             // 12
	MaxAge         time.Duration                   // since launch; then a second failure is final; 5 days
	Backoff        func(attempt int) time.Duration // pause after an attempt; 1 min doubling to 4 h, ±20 %
	PolicyRun      int                             // refusals of the sender's own fault in a row that pause a campaign; 5
	Warmups        Warmups                         // none
	Domains        DomainRates                     // of this sender, not of all; none

	// Alone says that no other process sends from this database. Then whatever another lease holds
	// was left by a dead process, and is freed at start without waiting for the lease to end.
	Alone bool

	// Ready says whether anything may be sent now; nil: always. It is asked before messages are
	// claimed, and again after Poll while it returns an error. What is under way goes on.
	Ready func() error

	Bouncer Bouncer
	// Sent is told who was sent a campaign, in the transaction that writes it down; nil: nobody is. It
	// must be idempotent, and quick for campaigns that it has nothing to do for.
	Sent func(ctx context.Context, tx *schema.Tx, c id.Campaign, to []id.Contact) error
	Now  func() time.Time
	Log  *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	number := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	number(&o.Connections, 4)
	number(&o.Batch, 256)
	number(&o.MaxAttempts, 12)
	number(&o.PolicyRun, 5)
	set(&o.Lease, time.Minute)
	set(&o.DialTimeout, 15*time.Second)
	set(&o.CommandTimeout, 30*time.Second)
	set(&o.DataTimeout, 2*time.Minute)
	set(&o.Idle, 20*time.Second)
	set(&o.Redial, time.Second)
	set(&o.Linger, 2*time.Millisecond)
	set(&o.Poll, time.Second)
	set(&o.Grace, 10*time.Second)
	set(&o.MaxAge, 5*24*time.Hour)
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o *Options) ready() bool { return o.Ready == nil || o.Ready() == nil }

func backoff(attempt int) time.Duration {
	d := time.Minute << min(max(attempt-1, 0), 8)
	return time.Duration(float64(min(d, 4*time.Hour)) * (0.8 + 0.4*rand.Float64()))
}
