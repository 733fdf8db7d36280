package pages

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

// ErrNoMessage is what a Messages returns for a message that is not held (any more).
var ErrNoMessage = errors.New("no such message")

// Message is what the pages need to know about the mail whose link was opened.
type Message struct {
	Contact  id.Contact // zero once the contact is erased
	Company  id.Company
	Campaign id.Campaign
	Type     string    // slug of the campaign's communication type
	Via      id.Source // the source whose list it was sent to; zero: a segment
}

// Messages finds the mail that a link belongs to.
type Messages interface {
	// Lookup returns the message, or an error that wraps ErrNoMessage.
	Lookup(ctx context.Context, m id.Message) (Message, error)
}

// Recorded is how much is on record about one contact: numbers only, since whoever a mail was
// forwarded to may read them.
type Recorded struct {
	Mails  int  // sent to the contact
	Opens  int  // events tied to the contact
	Clicks int  // events tied to the contact
	Region bool // an approximate region is held
}

// Records counts what is on record about a contact.
type Records interface {
	Recorded(ctx context.Context, who id.Contact) (Recorded, error)
}

// Addresses holds the addresses of people who have not confirmed yet that they are theirs.
type Addresses interface {
	// HoldIn returns the contact of a normalised address. A new one is registered with the ledger,
	// has no source, and has not given us the address (own_at is zero); one that is held already is
	// left as it is. A confirmation completes it through segments.Contacts.CreateIn.
	HoldIn(ctx context.Context, tx *schema.Tx, address string) (id.Contact, error)
}

// Mailer sends the mails that hold a link: to confirm, to download, to erase.
type Mailer interface {
	// Confirm takes the mail for delivery. It must not wait for the recipient's server: how long
	// it takes must not tell an address that receives from one that does not.
	Confirm(ctx context.Context, c Confirmation) error
}

// Journal keeps refusals outside the database.
type Journal interface {
	// Waits is told, before it is answered, of a refusal that is in the journal and did not reach the
	// database.
	Waits(cause error)
	// Refuse returns when the refusal is safe on disk.
	Refuse(ctx context.Context, r Refusal) error
}

// Options are what the pages are made of. All are required but where said.
type Options struct {
	URL       string // public base of the links in confirmation mails, such as https://mail.example.org
	DB        *schema.DB
	Keys      *token.Keyring
	Catalogue *consent.Catalogue
	Notices   *consent.Notices
	Ledger    *consent.Ledger
	Companies *segments.Companies
	Sources   *segments.Sources
	Contacts  *segments.Contacts
	Messages  Messages
	Records   Records
	Mailer    Mailer

	Desk       Desk      // none: people are asked to write for a copy or erasure
	Audit      Audit     // required with Desk
	Inbox      Inbox     // none: people are asked to write to complain
	Addresses  Addresses // none: a new contact's own_at is when the form came, not when it was confirmed
	Journal    Journal   // none: the database alone keeps refusals
	Embed      []string  // origins that may show /subscribe in a frame; none by default
	Limits     Limits
	ConfirmTTL time.Duration // how long a confirmation link is valid; default 24 hours
	LinkTTL    time.Duration // how long a link to download or erase is valid; default, and most, 24 hours
	Timeout    time.Duration // of a request's work; default 10 seconds
	Now        func() time.Time
	Log        *slog.Logger
}

// Pages serves the recipient pages. It is safe for concurrent use.
type Pages struct {
	Options
	languages *languages
	looks     *looks
	limiter   *limiter
}

// New checks the options and parses the templates.
func New(o Options) (*Pages, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("pages: the public address must be a web address such as https://mail.example.org")
	}
	if o.Desk != nil && o.Audit == nil {
		return nil, errors.New("pages: a copy is not handed out without an audit log")
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if o.ConfirmTTL <= 0 {
		o.ConfirmTTL = 24 * time.Hour
	}
	if o.LinkTTL <= 0 || o.LinkTTL > 24*time.Hour {
		o.LinkTTL = 24 * time.Hour
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pages{Options: o, limiter: newLimiter(o.Limits)}
	if p.languages, err = loadLanguages(); err != nil {
		return nil, err
	}
	if p.looks, err = loadLooks(o.Embed); err != nil {
		return nil, err
	}
	return p, nil
}

// Register adds the routes to e.
func (p *Pages) Register(e *echo.Echo) {
	for _, r := range []struct {
		path string
		get  handler
		post handler
	}{
		{"/u/:token", p.showUnsubscribe, p.unsubscribe}, // mail programs post here too
		{"/p/:token", p.showPreferences, own(p.changePreferences)},
		{"/m/:token", p.showManage, own(p.useLink)},
		{"/confirm/:token", p.showConfirm, own(p.confirm)},
		{"/subscribe", p.showSubscribe, p.subscribe},
		{"/notice/:version", p.showNotice, nil},
	} {
		e.GET(r.path, p.serve(r.get))
		e.HEAD(r.path, p.serve(r.get))
		if r.post != nil {
			e.POST(r.path, p.serve(r.post))
		}
	}
}
