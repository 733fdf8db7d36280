package mailer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"

	"golang.org/x/sync/errgroup"
)

// SegmentStore gives the SQL of a segment: a boolean over the row alias c of contacts.
type SegmentStore interface {
	Fragment(ctx context.Context, segment id.Segment) (consent.Fragment, id.Company, consent.Channel, error)
}

// Options are what a Mailer works with. DB to Keys are required.
type Options struct {
	DB        *schema.DB
	Gate      *consent.Gate
	Catalogue *consent.Catalogue
	Ledger    *consent.Ledger // takes hard bounces
	Companies *segments.Companies
	Sources   *segments.Sources
	Segments  SegmentStore
	Keys      *token.Keyring

	BaseURL    string                                 // public base URL, for companies that state none of their own
	Relays     []*queue.Relay                         // none: no campaign can be launched
	DKIM       []*queue.DKIM                          // keys to sign with, found by the domain of From
	Insecure   bool                                   // accept a public URL without https, or a domain without DKIM key, off loopback
	K          int                                    // the smallest group shown; 5
	Sender     queue.Options                          // Bouncer, Now and Log are set from here
	Poll       time.Duration                          // how often the database is asked for work of other nodes; 1 s
	ReturnPath func(m id.Message, from string) string // envelope sender; nil: the address in From
	Stamp      func(dst []byte, m id.Message) []byte  // puts header fields before a letter, with their CRLF; nil: none
	Now        func() time.Time
	Log        *slog.Logger
}

// Mailer stores campaigns and runs them.
type Mailer struct {
	o      Options
	sender *queue.Sender
	wake   chan struct{}

	mu      sync.Mutex
	letters map[id.Campaign]*letters // of the campaigns that are being sent
}

// New returns a mailer. Nothing is sent before Run.
func New(o Options) *Mailer {
	if o.K <= 0 {
		o.K = 5
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Mailer{o: o, wake: make(chan struct{}, 1), letters: map[id.Campaign]*letters{}}
	s := o.Sender
	s.Now, s.Log, s.Bouncer, s.Sent = o.Now, o.Log, bouncer{o.Ledger}, m.served
	m.sender = queue.NewSender(o.DB, m, o.Relays, s)
	return m
}

// Run sends launched and scheduled campaigns until ctx ends, and returns when what was under way has
// come to its end. It may be called once.
func (m *Mailer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.tend(ctx) })
	g.Go(func() error { return m.sender.Run(ctx) })
	return g.Wait()
}

// nudge makes Run look for work at once.
func (m *Mailer) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
	m.sender.Wake()
}

// bouncer suppresses addresses that do not exist.
type bouncer struct{ ledger *consent.Ledger }

func (b bouncer) Bounced(ctx context.Context, tx *schema.Tx, who id.Contact) error {
	var emails []string
	if err := tx.Select(ctx, &emails, `SELECT email FROM contacts WHERE id = ?`, who); err != nil || len(emails) == 0 {
		return err
	}
	return b.ledger.Suppress(ctx, tx, emails[0], consent.BlockBounced)
}

// served ends one-off requests that a campaign was sent for.
func (m *Mailer) served(ctx context.Context, tx *schema.Tx, c id.Campaign, to []id.Contact) error {
	m.mu.Lock()
	l := m.letters[c]
	m.mu.Unlock()
	if l == nil { // no longer being sent
		r, err := read(ctx, tx, c)
		if err != nil {
			return err
		}
		l = &letters{row: r, item: r.campaign().Audience.Item}
	}
	if l.item == "" {
		return nil
	}
	for _, who := range to {
		err := m.o.Ledger.Served(ctx, tx, who, l.row.CompanyID, consent.Email, l.item, c.String())
		if err != nil && !errors.Is(err, consent.ErrNoEntry) { // erased meanwhile
			return err
		}
	}
	return nil
}
