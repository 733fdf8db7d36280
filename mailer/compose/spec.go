package compose

import (
	"time"

	"beckon/schema/id"
	"beckon/tracker/token"
)

// How a campaign follows its recipients.
const (
	TrackConsented = "consented" // identified for who agreed, shared beacon and links for the rest
	TrackStrict    = "strict"    // neither beacon nor redirect for who did not agree
	TrackOff       = "off"       // neither for anybody
)

// The modes of a message.
const (
	Identified = "identified"
	Anonymous  = "anonymous"
)

// Spec is a campaign's mail before anybody's copy of it is made.
type Spec struct {
	Keys      *token.Keyring
	BaseURL   string // public base of beacons, links and pages, without a trailing slash
	Campaign  id.Campaign
	Subject   string // Liquid
	From      string // an RFC 5322 mailbox
	ReplyTo   string // empty, or an RFC 5322 mailbox
	Preheader string // Liquid; empty: none
	HTML      string // Liquid
	Text      string // Liquid; empty: made from the HTML
	Company   Company
	TypeName  string           // of the communication type, for the reader
	TypeSlug  string           // of the communication type, for the headers
	UTM       UTM              // added to the links that can be tracked, in copies with plain links too
	Tracking  string           // TrackConsented, TrackStrict or TrackOff
	Honeypot  string           // where the link leads that nobody sees, on the web; empty: there is none
	Test      bool             // a test or preview: its links record nothing
	Now       func() time.Time // what "now" means to the template's dates; nil: the clock
}

// Company is the sender as it shows in the mail.
type Company struct {
	Name          string
	Slug          string // for headers; empty: taken from the domain
	PostalAddress string // lines end in \n
	PrivacyURL    string
	PrivacyEmail  string
	ComplaintURL  string
	Language      string // en, de or fr, a region after it is ignored; anything else is English
	Domain        string // of Message-ID and List-Id
}

// Citation is a data source to be named.
type Citation struct {
	Name            string
	PrivacyURL      string
	TransparencyURL string
}

// Recipient is whom one copy goes to.
type Recipient struct {
	Email   string
	Name    string         // display name in To; may be empty
	Fields  map[string]any // what the template may show: contact columns and attributes; not changed
	Message id.Message
	Mode    string     // Identified or Anonymous
	Plain   bool       // no beacon and no redirect
	Cite    []Citation // the sources that must be named
	Why     string     // the sentence that says why they get this mail; empty: a general one
	Date    time.Time  // of the message
}

// Link is one tracked link of the template.
type Link struct {
	Position int    // from 1, in the order of the template
	Label    string // the author's data-label, else what the reader sees
	URL      string // the author's bytes, with the UTM parameters
}
