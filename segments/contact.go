package segments

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Contact is a person we hold an address of.
type Contact struct {
	ID             id.Contact     `json:"id"`
	Email          string         `json:"email"`
	Name           string         `json:"name"`
	Company        string         `json:"company"` // the person's employer
	Country        string         `json:"country"` // as stated by the person or source, never derived
	Phone          string         `json:"phone"`
	JobTitle       string         `json:"job_title"`
	SubscriberKind string         `json:"subscriber_kind"`
	Topics         []string       `json:"topics"` // interests, never a consent
	Attributes     map[string]any `json:"attributes"`
	Sources        []Origin       `json:"sources"`
	OwnAt          schema.Time    `json:"own_at"` // when the person gave us the address; null: never
	CreatedAt      schema.Time    `json:"created_at"`
	UpdatedAt      schema.Time    `json:"updated_at"`
}

// Origin is one way a contact came to us from a provider.
type Origin struct {
	Source     string      `db:"slug" json:"source"`
	Name       string      `db:"name" json:"name"`
	Import     id.Import   `db:"import" json:"import,omitzero"`
	AcquiredAt schema.Time `db:"acquired_at" json:"acquired_at"`
	LicenceEnd schema.Time `db:"licence_end" json:"licence_end"` // the earlier of the origin's and the source's
	RecalledAt schema.Time `db:"recalled_at" json:"recalled_at"`
}

// NewContact is what a contact is created from. Without a source the person gave us the address.
type NewContact struct {
	Email          string         `json:"email"`
	Name           string         `json:"name"`
	Company        string         `json:"company"`
	Country        string         `json:"country"`
	Phone          string         `json:"phone"`
	JobTitle       string         `json:"job_title"`
	SubscriberKind string         `json:"subscriber_kind"`
	Source         string         `json:"source"` // slug
	Topics         []string       `json:"topics"`
	Attributes     map[string]any `json:"attributes"`
}

// ContactPatch changes the fields that are not nil. Attributes are changed one by one; a null
// removes the one it names.
type ContactPatch struct {
	Email          *string        `json:"email"`
	Name           *string        `json:"name"`
	Company        *string        `json:"company"`
	Country        *string        `json:"country"`
	Phone          *string        `json:"phone"`
	JobTitle       *string        `json:"job_title"`
	SubscriberKind *string        `json:"subscriber_kind"`
	Topics         *[]string      `json:"topics"`
	Attributes     map[string]any `json:"attributes"`
}

// Eraser removes what one package holds of a contact, in the transaction that erases it.
type Eraser func(ctx context.Context, tx *schema.Tx, who id.Contact) error

// Contacts stores the contacts.
type Contacts struct {
	db     *schema.DB
	ledger *consent.Ledger
	cat    *consent.Catalogue
	now    func() time.Time
}

// NewContacts returns the store; now is the clock for every time it writes.
func NewContacts(db *schema.DB, ledger *consent.Ledger, cat *consent.Catalogue, now func() time.Time) *Contacts {
	return &Contacts{db, ledger, cat, now}
}

// Create stores a contact or merges into the one that holds the address already: blanks are
// filled, nothing is overwritten, the origin is added. It reports whether the contact is new. The
// error is an *Invalid for a field at fault, with nothing stored.
func (s *Contacts) Create(ctx context.Context, n NewContact) (c Contact, created bool, err error) {
	err = s.db.Tx(ctx, func(tx *schema.Tx) error {
		c, created, err = s.CreateIn(ctx, tx, n)
		return err
	})
	return c, created, err
}

// CreateIn is Create in the caller's transaction, for who records a consent in the same one.
func (s *Contacts) CreateIn(ctx context.Context, tx *schema.Tx, n NewContact) (Contact, bool, error) {
	now := schema.At(s.now())
	var e Invalid
	row := contactRow{Name: n.Name, Company: n.Company, Country: n.Country, Phone: n.Phone, JobTitle: n.JobTitle,
		SubscriberKind: n.SubscriberKind, CreatedAt: now, UpdatedAt: now}
	row.Email = e.email(n.Email)
	e.contact(&row)
	row.Topics = e.topics(s.cat, n.Topics)
	attrs := e.attributes(n.Attributes, s.now())
	var src Source
	if n.Source == "" {
		row.OwnAt = now
	} else {
		var err error
		switch src, err = getSource(ctx, tx, `slug = ?`, n.Source); {
		case errors.Is(err, sql.ErrNoRows):
			e.add("source", "is not a known source: create it first, or leave it out if the person gave us the address")
		case err != nil:
			return Contact{}, false, boundary("read source", err)
		case src.RecalledAt != 0:
			e.add("source", "is recalled: nothing more may come from it")
		}
		row.SubscriberKind = sourcedKind(row.Email, row.SubscriberKind, src.Warranty)
	}
	if err := e.err(); err != nil {
		return Contact{}, false, err
	}
	row.Attributes = encodeAttributes(attrs)

	created := true
	err := tx.Get(ctx, &row.ID, `INSERT INTO contacts (email, name, company, country, phone, job_title, subscriber_kind, topics,
		attributes, own_at, created_at, updated_at) VALUES `+schema.Rows(1, 12)+` ON CONFLICT (email) DO NOTHING RETURNING id`,
		row.Email, row.Name, row.Company, row.Country, row.Phone, row.JobTitle, row.SubscriberKind, row.Topics,
		row.Attributes, row.OwnAt, now, now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		created = false
		held, err := getContactRow(ctx, tx, `email = ?`, row.Email)
		if err != nil {
			return Contact{}, false, boundary("read contact", err)
		}
		if held.fill(row) {
			if err := held.update(ctx, tx, now); err != nil {
				return Contact{}, false, boundary("merge contact", err)
			}
		}
		row = held
	case err != nil:
		return Contact{}, false, boundary("create contact", err)
	default:
		if err := s.ledger.Register(ctx, tx, []consent.Contact{{ID: row.ID, Email: row.Email}}); err != nil {
			return Contact{}, false, boundary("register contact", err)
		}
	}
	if src.ID != 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO contact_sources (contact, source, acquired_at, licence_end) VALUES (?, ?, ?, ?)
			ON CONFLICT (contact, source) DO NOTHING`, row.ID, src.ID, now, src.LicensedUntil); err != nil {
			return Contact{}, false, boundary("add origin", err)
		}
	}
	c, err := s.whole(ctx, tx, row)
	return c, created, err
}

// Get returns a contact, or ErrNotFound.
func (s *Contacts) Get(ctx context.Context, who id.Contact) (Contact, error) {
	return s.get(ctx, s.db, `id = ?`, who)
}

// GetIn is Get in a transaction of the caller's.
func (s *Contacts) GetIn(ctx context.Context, q schema.Querier, who id.Contact) (Contact, error) {
	return s.get(ctx, q, `id = ?`, who)
}

// ByEmail returns the contact that holds the address, however it is written; ErrNotFound, or
// *Invalid for what is no address.
func (s *Contacts) ByEmail(ctx context.Context, email string) (Contact, error) {
	var e Invalid
	address := e.email(email)
	if err := e.err(); err != nil {
		return Contact{}, err
	}
	return s.get(ctx, s.db, `email = ?`, address)
}

func (s *Contacts) get(ctx context.Context, q schema.Querier, where string, arg any) (Contact, error) {
	row, err := getContactRow(ctx, q, where, arg)
	if err != nil {
		return Contact{}, boundary("read contact", err)
	}
	return s.whole(ctx, q, row)
}

// Patch changes a contact as somebody who knows better says, and returns it as it is now;
// ErrNotFound, or *Invalid for a field at fault. A new address carries over what was consented to,
// and is blocked if it is suppressed.
func (s *Contacts) Patch(ctx context.Context, who id.Contact, p ContactPatch) (c Contact, err error) {
	err = s.db.Tx(ctx, func(tx *schema.Tx) error {
		c, err = s.patch(ctx, tx, who, p)
		return err
	})
	if schema.IsUnique(err) {
		return Contact{}, invalid("email", "is the address of another contact: erase that one first, or keep the address")
	}
	return c, boundary("change contact", err)
}

func (s *Contacts) patch(ctx context.Context, tx *schema.Tx, who id.Contact, p ContactPatch) (Contact, error) {
	row, err := getContactRow(ctx, tx, `id = ?`, who)
	if err != nil {
		return Contact{}, err
	}
	var e Invalid
	address := row.Email
	if p.Email != nil {
		address = e.email(*p.Email)
	}
	for _, f := range []struct{ to, from *string }{{&row.Name, p.Name}, {&row.Company, p.Company}, {&row.Country, p.Country},
		{&row.Phone, p.Phone}, {&row.JobTitle, p.JobTitle}, {&row.SubscriberKind, p.SubscriberKind}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	e.contact(&row)
	if p.Topics != nil {
		row.Topics = e.topics(s.cat, *p.Topics)
	}
	attrs := row.attributes()
	for name, v := range e.attributes(p.Attributes, s.now()) {
		attrs[name] = v
	}
	for name, v := range p.Attributes {
		if v == nil {
			delete(attrs, name)
		}
	}
	if err := e.err(); err != nil {
		return Contact{}, err
	}
	row.Attributes = encodeAttributes(attrs)
	if len(row.Attributes) > maxAttributes {
		return Contact{}, invalid("attributes", attributesTooBig)
	}
	if err := row.update(ctx, tx, schema.At(s.now())); err != nil {
		return Contact{}, err
	}
	if address != row.Email {
		if _, err := tx.Exec(ctx, `UPDATE contacts SET email = ? WHERE id = ?`, address, who); err != nil {
			return Contact{}, err
		}
		if err := s.ledger.Readdress(ctx, tx, who, address); err != nil {
			return Contact{}, err
		}
		row.Email = address
	}
	return s.whole(ctx, tx, row)
}

// Delete erases a contact: everything this package, the ledger and the erasers hold of it goes in
// one transaction; a keyed hash of the address stays, so that no import brings the person back.
func (s *Contacts) Delete(ctx context.Context, who id.Contact, erasers ...Eraser) error {
	return s.db.Tx(ctx, func(tx *schema.Tx) error {
		return s.EraseIn(ctx, tx, who, consent.BlockErased, erasers...)
	})
}

// EraseIn is Delete in the caller's transaction; leave says under which block the address stays
// suppressed, zero for not at all (a child under 13 leaves nothing).
func (s *Contacts) EraseIn(ctx context.Context, tx *schema.Tx, who id.Contact, leave consent.Block, erasers ...Eraser) error {
	if _, err := getContactRow(ctx, tx, `id = ?`, who); err != nil {
		return boundary("erase contact", err)
	}
	for _, erase := range erasers {
		if err := erase(ctx, tx, who); err != nil {
			return fmt.Errorf("segments: erase contact: %w", err)
		}
	}
	if err := s.ledger.Forget(ctx, tx, who, leave); err != nil {
		return fmt.Errorf("segments: erase contact: %w", err)
	}
	for _, q := range []string{`DELETE FROM contact_sources WHERE contact = ?`, `DELETE FROM contacts WHERE id = ?`} {
		if _, err := tx.Exec(ctx, q, who); err != nil {
			return fmt.Errorf("segments: erase contact: %w", err)
		}
	}
	return nil
}

// whole adds what lies outside the contact's own row.
func (s *Contacts) whole(ctx context.Context, q schema.Querier, row contactRow) (Contact, error) {
	c := Contact{ID: row.ID, Email: row.Email, Name: row.Name, Company: row.Company, Country: row.Country, Phone: row.Phone,
		JobTitle: row.JobTitle, SubscriberKind: row.SubscriberKind, Topics: s.cat.Slugs(consent.KindTopic, row.Topics),
		Attributes: row.attributes(), Sources: []Origin{}, OwnAt: row.OwnAt, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt}
	if c.Topics == nil {
		c.Topics = []string{}
	}
	err := q.Select(ctx, &c.Sources, `SELECT s.slug, s.name, cs.import, cs.acquired_at,
		CASE WHEN s.licensed_until > 0 AND (cs.licence_end = 0 OR s.licensed_until < cs.licence_end) THEN s.licensed_until ELSE cs.licence_end END AS licence_end,
		CASE WHEN cs.recalled_at = 0 THEN s.recalled_at ELSE cs.recalled_at END AS recalled_at
		FROM contact_sources cs JOIN sources s ON s.id = cs.source WHERE cs.contact = ? ORDER BY cs.acquired_at, cs.source`, row.ID)
	if err != nil {
		return Contact{}, fmt.Errorf("segments: read origins: %w", err)
	}
	return c, nil
}

func encodeAttributes(m map[string]any) string {
	if len(m) == 0 {
		return "{}"
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic("segments: attributes were not checked: " + err.Error())
	}
	return string(b)
}
