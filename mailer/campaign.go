package mailer

import (
	"fmt"

	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
)

// Audience says who is to receive a campaign: one segment, one source's list, or any of several
// with some left out; or everybody who asked for one thing and has not got it yet.
type Audience struct {
	Segment id.Segment `json:"segment,omitzero"`
	Source  string     `json:"source,omitempty"` // slug
	Item    string     `json:"item,omitempty"`   // slug of what was asked for: who is sent the campaign has got it
	Any     []Audience `json:"any,omitempty"`
	Except  []Audience `json:"except,omitempty"`
}

// Draft is what an author writes.
type Draft struct {
	Name      string      `json:"name"`
	Company   string      `json:"company"` // slug
	Type      string      `json:"type"`    // slug of a communication type
	Subject   string      `json:"subject"`
	From      string      `json:"from"` // RFC 5322 mailbox
	ReplyTo   string      `json:"reply_to,omitempty"`
	Preheader string      `json:"preheader,omitempty"`
	HTML      string      `json:"html"`
	Text      string      `json:"text,omitempty"`
	SendAt    schema.Time `json:"send_at,omitzero"` // zero: at launch
	Audience  Audience    `json:"audience"`
	Tracking  string      `json:"tracking,omitempty"` // consented, strict or off; empty: the company's default
	UTM       compose.UTM `json:"utm,omitzero"`       // added to the links that can be tracked
	Rate      *float64    `json:"rate,omitempty"`     // messages per second; nil: as fast as the relays take them
	Window    *Window     `json:"window,omitempty"`   // when messages may be sent; nil: always
	Honeypot  *bool       `json:"honeypot,omitempty"` // a link that only machines find; nil: yes. Whatever is asked, only with consented tracking
}

// CampaignStatus is where a campaign is.
type CampaignStatus string

// The statuses of a campaign.
const (
	DraftStatus CampaignStatus = "draft"
	Scheduled   CampaignStatus = "scheduled"
	Sending     CampaignStatus = "sending"
	Paused      CampaignStatus = "paused"
	Cancelled   CampaignStatus = "cancelled"
	Finished    CampaignStatus = "finished"
)

// Campaign is a stored campaign.
type Campaign struct {
	ID id.Campaign `json:"id"`
	Draft
	Status     CampaignStatus `json:"status"`
	StatusNote string         `json:"status_note"` // for a person to read: why it is paused or waits
	Plain      bool           `json:"plain"`       // anonymous messages have neither beacon nor redirect
	CreatedAt  schema.Time    `json:"created_at"`
	LaunchedAt schema.Time    `json:"launched_at"`
	FinishedAt schema.Time    `json:"finished_at"`
}

// Status is how far a campaign is.
type Status struct {
	Campaign
	queue.Counts
	// LeftOut says why contacts of the audience have no message at all, counted at launch.
	LeftOut map[string]int64 `json:"left_out"`
}

// StatusError says that a campaign's status does not allow what was asked.
type StatusError struct {
	Status CampaignStatus
	Want   string // what was asked, such as "launched"
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("mailer: a campaign that is %s cannot be %s", e.Status, e.Want)
}
