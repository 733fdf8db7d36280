package segments

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// nobody is the domain of the addresses of contacts that were de-identified. No mail can reach it
// (RFC 2606), and no gate lets any through: such a contact is not known to the ledger.
const nobody = "@deidentified.invalid"

// personal leaves out the contacts c that were de-identified.
var personal = consent.Fragment{SQL: `(c.email NOT LIKE '%` + nobody + `' OR ` + consent.Known("c.id").SQL + `)`}

// Deidentify calls erase, which removes the contact and everything that anybody holds of it, and leaves
// under another identifier what statistics need and nobody can be told by: country, subscriber kind, the
// month in which the contact was made, and the providers it came from, by month. Who noted the
// contact's identifier down finds nothing. ErrNotFound for a contact that there is not.
func (s *Contacts) Deidentify(ctx context.Context, tx *schema.Tx, who id.Contact, erase func(ctx context.Context, tx *schema.Tx, who id.Contact) error) error {
	row, err := getContactRow(ctx, tx, `id = ?`, who)
	if err != nil {
		return boundary("de-identify contact", err)
	}
	var origins []struct {
		Source     id.Source   `db:"source"`
		AcquiredAt schema.Time `db:"acquired_at"`
		LicenceEnd schema.Time `db:"licence_end"`
		RecalledAt schema.Time `db:"recalled_at"`
	}
	if err := tx.Select(ctx, &origins, `SELECT source, acquired_at, licence_end, recalled_at FROM contact_sources WHERE contact = ? ORDER BY source`, who); err != nil {
		return fmt.Errorf("segments: de-identify contact: %w", err)
	}
	if err := erase(ctx, tx, who); err != nil {
		return err
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	var left id.Contact
	month := monthOf(row.CreatedAt)
	err = tx.Get(ctx, &left, `INSERT INTO contacts (email, country, subscriber_kind, own_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
		hex.EncodeToString(b[:])+nobody, row.Country, row.SubscriberKind, monthOf(row.OwnAt), month, month)
	if err != nil {
		return fmt.Errorf("segments: de-identify contact: %w", err)
	}
	for _, o := range origins {
		if _, err := tx.Exec(ctx, `INSERT INTO contact_sources (contact, source, acquired_at, licence_end, recalled_at) VALUES (?, ?, ?, ?, ?)`,
			left, o.Source, monthOf(o.AcquiredAt), o.LicenceEnd, o.RecalledAt); err != nil {
			return fmt.Errorf("segments: de-identify contact: %w", err)
		}
	}
	return nil
}

// monthOf is the first instant of the month that holds t; never stays never.
func monthOf(t schema.Time) schema.Time {
	if t == 0 {
		return 0
	}
	at := t.T()
	return schema.At(time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC))
}
