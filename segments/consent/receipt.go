package consent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// ReceiptSchema is the schema_version of receipts and their records.
const ReceiptSchema = "beckon consent receipt 1 (after ISO/IEC TS 27560:2023)"

// Receipt is what a person may keep of the consents that the ledger holds of them: one record for
// each thing that they were asked for or said yes to, with everything that happened to it.
//
// The structure and the field names are those of ISO/IEC TS 27560:2023, which says what a record
// tells and not how it is encoded: a header (schema_version, record_id, pii_principal_id), pii_processing
// with purposes, party_identification and events. What is ours has a name that begins with x_, and so
// are ours the name consent_records, the shape of privacy_notice, and the values of purpose_type,
// lawful_basis, pii_type, event_type, event_state and validity_duration. The names of the party and
// event fields follow the published mappings of the standard.
//
// It holds facts of the ledger, the wording's language, and the contact details of the companies, and
// nothing else. Of what the standard asks for, storage_locations, retention_period, jurisdiction,
// recipient_third_parties and withdrawal_method are left out: the ledger does not know them, the
// notice says them. Evidence and whoever recorded an entry are left out, too. It never holds an
// address of the contact.
type Receipt struct {
	Schema    string          `json:"schema_version"`
	ID        string          `json:"receipt_id"`       // grows with the ledger: the same one stands for the same entries
	Principal string          `json:"pii_principal_id"` // the contact's identifier
	Issued    schema.Time     `json:"x_issued_at"`
	Blocks    []Reason        `json:"x_blocks"` // what stands in the way of every use now, whatever was agreed to
	Records   []ConsentRecord `json:"consent_records"`
	Parties   []Party         `json:"party_identification"` // every company that a record names
}

// ConsentRecord is one thing that a company may do, or asked to do: send a communication type by a
// channel, track, send one item, or use a topic of a special category, which asks for explicit
// consent. Other topics narrow what is sent and are no consent.
type ConsentRecord struct {
	Schema     string         `json:"schema_version"`
	ID         string         `json:"record_id"`
	Principal  string         `json:"pii_principal_id"`
	Processing PIIProcessing  `json:"pii_processing"`
	Events     []ConsentEvent `json:"events"`  // the oldest first
	State      string         `json:"x_state"` // event_state as it is now
}

// PIIProcessing is what the person was told, and what for.
type PIIProcessing struct {
	Notice   *PrivacyNotice `json:"privacy_notice"` // of the newest yes that counted, else of what was asked last
	Language string         `json:"language"`
	Purposes []PIIPurpose   `json:"purposes"` // one
}

// PrivacyNotice names the exact wording.
type PrivacyNotice struct {
	Version  string `json:"version"`
	Language string `json:"language"`
	Hash     string `json:"hash"`          // SHA-256, hex, as the ledger keeps it
	URL      string `json:"url,omitempty"` // where the company shows it
}

// PIIPurpose is what consent is for.
type PIIPurpose struct {
	Purpose     string           `json:"purpose"`      // as people read it
	Type        string           `json:"purpose_type"` // communication, tracking, one-off or special-topic
	Basis       string           `json:"lawful_basis"` // consent
	Information []PIIInformation `json:"pii_information"`
	Controllers []string         `json:"pii_controllers"` // party_id
	Collection  []string         `json:"collection_method"`
	Company     string           `json:"x_company"`
	Channel     Channel          `json:"x_channel"`
	Slug        string           `json:"x_slug"` // of the communication type, item or topic; empty for tracking
}

// PIIInformation is a kind of data that the purpose needs.
type PIIInformation struct {
	Type    string `json:"pii_type"` // the channel by which somebody is reached, what tracking records, or a topic
	Special bool   `json:"special_pii_category"`
}

// Party is a company of the group.
type Party struct {
	ID      string         `json:"party_id"` // its slug
	Name    string         `json:"party_name"`
	Role    string         `json:"party_role"` // PII controller
	Address string         `json:"party_address"`
	Email   string         `json:"party_email,omitempty"`
	Phone   string         `json:"party_phone,omitempty"`
	URL     string         `json:"party_url,omitempty"` // its privacy notice
	Contact []PartyContact `json:"party_contact"`
}

// PartyContact is where a company hears from people.
type PartyContact struct {
	Type        string `json:"contact_type"` // complaint
	Information string `json:"contact_information"`
}

// What happened to a consent. A yes is invalidated if it did not count: a no stood that only the
// person can lift, or something later. A consent is terminated when it was served, or when the origin
// that brought it was recalled: nobody refused.
const (
	EventRequested   = "requested"
	EventGiven       = "given"
	EventWithdrawn   = "withdrawn"
	EventRefused     = "refused" // a no to what was not given
	EventInvalidated = "invalidated"
	EventEnded       = "terminated"
)

// ConsentEvent is a row of the ledger as far as it concerns one record.
type ConsentEvent struct {
	Time      schema.Time    `json:"event_time"`
	Type      string         `json:"event_type"` // explicit for a topic of a special category, else expressed
	State     string         `json:"event_state"`
	Validity  string         `json:"validity_duration"` // of a yes that counted: until-withdrawn or until-served; else none
	Entity    string         `json:"entity_id"`         // the person for their own confirmed act and for a no of theirs, else the company that vouches for it
	Notice    *PrivacyNotice `json:"x_privacy_notice,omitempty"`
	Seq       int64          `json:"x_sequence"` // of the row
	Action    Action         `json:"x_action"`
	How       How            `json:"x_how"`
	Outcome   string         `json:"x_outcome"`
	Requested schema.Time    `json:"x_requested_at"`
	Confirmed schema.Time    `json:"x_confirmed_at"`
	Recorded  schema.Time    `json:"x_recorded_at"`
}

// Receipt returns the receipt of a contact, or ErrNoEntry for one that is not registered. Without a
// yes or a request on record it has no records.
func (l *Ledger) Receipt(ctx context.Context, q schema.Querier, who id.Contact) (Receipt, error) {
	r, err := l.receipt(ctx, q, who)
	if err != nil {
		return Receipt{}, fmt.Errorf("consent: receipt: %w", err)
	}
	return r, nil
}

func (l *Ledger) receipt(ctx context.Context, q schema.Querier, who id.Contact) (Receipt, error) {
	blocks, err := l.Blocks(ctx, q, who)
	if err != nil {
		return Receipt{}, err
	}
	words, err := loadWords(ctx, q)
	if err != nil {
		return Receipt{}, err
	}
	rows, err := ledgerOf(ctx, q, who)
	if err != nil {
		return Receipt{}, err
	}
	w := receiptWriter{who: who.String(), words: words, records: map[subjectMatter]*ConsentRecord{}}
	if w.parties, err = parties(ctx, q); err != nil {
		return Receipt{}, err
	}
	if w.languages, err = languages(ctx, q); err != nil {
		return Receipt{}, err
	}
	for i := range rows {
		w.collect(&rows[i])
	}
	if err := w.tell(rows); err != nil {
		return Receipt{}, err
	}
	r := Receipt{Schema: ReceiptSchema, ID: fmt.Sprintf("%s.%d", who, len(rows)), Principal: w.who, Issued: schema.At(l.now()),
		Blocks: append([]Reason{}, blocks.Reasons()...), Records: []ConsentRecord{}, Parties: []Party{}}
	for m, rec := range w.records {
		rec.ID = strings.TrimSuffix(strings.Join([]string{w.who, m.company, string(m.channel), m.kind.String(), m.slug}, ":"), ":")
		r.Records = append(r.Records, *rec)
		if p := w.parties[m.company].Party; !slices.ContainsFunc(r.Parties, func(o Party) bool { return o.ID == p.ID }) {
			r.Parties = append(r.Parties, p)
		}
	}
	slices.SortFunc(r.Records, func(a, b ConsentRecord) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(r.Parties, func(a, b Party) int { return cmp.Compare(a.ID, b.ID) })
	return r, nil
}
