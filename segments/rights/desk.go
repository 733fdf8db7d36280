package rights

import (
	"context"
	"fmt"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// HoldBook tells whether a legal hold covers a contact.
type HoldBook interface {
	Covers(ctx context.Context, q schema.Querier, who id.Contact) (bool, error)
}

// Desk gives people the copy of their data and erases it. The exported fields are set before the
// first call.
type Desk struct {
	// Holds are asked before anything is erased; nil: nothing is ever held.
	Holds HoldBook
	// Restrict stops every use of a contact whose erasure is held; required with Holds.
	Restrict func(ctx context.Context, tx *schema.Tx, who id.Contact, actor string) error
	// Company names a company as people know it; nil: by its identifier.
	Company func(ctx context.Context, q schema.Querier, c id.Company) (string, error)

	db       *schema.DB
	subjects []Subject
	audit    *Audit
	now      func() time.Time
}

// NewDesk returns a desk over everybody who holds something of a person, the one who holds the
// contact itself first. A copy follows their order; an erasure goes from the last to the first, so
// that nobody is left with a reference to what is gone.
func NewDesk(db *schema.DB, subjects []Subject, audit *Audit, now func() time.Time) *Desk {
	return &Desk{db: db, subjects: subjects, audit: audit, now: now}
}

// Copy returns everything held of a contact, ErrNoContact if that is nobody. Given the database
// itself it reads one consistent snapshot of it. Whoever hands it out writes that to the audit log.
func (d *Desk) Copy(ctx context.Context, q schema.Querier, who id.Contact) (c Copy, err error) {
	if db, ok := q.(*schema.DB); ok {
		err = db.View(ctx, func(tx *schema.Tx) error {
			c, err = d.Copy(ctx, tx, who)
			return err
		})
		return c, err
	}
	c = Copy{AsOf: schema.At(d.now()), Contact: who}
	if c.Parts, err = d.held(ctx, q, who); err != nil {
		return Copy{}, err
	}
	log, err := auditOf(ctx, q, who)
	if err != nil {
		return Copy{}, err
	}
	c.Parts = append(c.Parts, log)
	if err := c.check(); err != nil {
		return Copy{}, err
	}
	return c, nil
}

// held is everything but the audit log, which an erasure leaves.
func (d *Desk) held(ctx context.Context, q schema.Querier, who id.Contact) ([]Part, error) {
	if who <= 0 {
		return nil, fmt.Errorf("rights: %w", ErrNoContact)
	}
	var all []Part
	for _, s := range d.subjects {
		parts, err := s.Export(ctx, q, who)
		if err != nil {
			return nil, fmt.Errorf("rights: copy: %w", err)
		}
		all = append(all, parts...)
	}
	parts, err := d.own(ctx, q, who)
	return append(all, parts...), err
}

// Erase removes everything held of a contact, and says what was removed and what is kept and why.
// Other subjects' rows go with it or not at all, and the audit log tells of it. ErrNoContact if that
// is nobody.
//
// While a legal hold covers the contact nothing is removed: retention gets ErrHeld; a request, or a
// child's removal, becomes a restriction, and the receipt says so (Held).
func (d *Desk) Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why Reason, actor string) (Receipt, error) {
	if !slices.Contains(reasons, why) || actor == "" {
		return Receipt{}, fmt.Errorf("rights: an erasure names who does it, and for which of the reasons %v", reasons)
	}
	parts, err := d.held(ctx, tx, who)
	if err != nil {
		return Receipt{}, err
	}
	if d.Holds != nil {
		switch covered, err := d.Holds.Covers(ctx, tx, who); {
		case err != nil:
			return Receipt{}, fmt.Errorf("rights: ask for legal holds: %w", err)
		case covered && why == OnRetention:
			return Receipt{}, fmt.Errorf("rights: erase %s: %w", who, ErrHeld)
		case covered:
			return d.restrict(ctx, tx, who, why, actor)
		}
	}
	tx.Erasing()
	at := schema.At(d.now())
	r := Receipt{Contact: who, ErasedAt: at, Reason: why, Result: Erased, Removed: []string{}}
	for _, p := range parts {
		if len(p.Rows) > 0 {
			r.Removed = append(r.Removed, p.Name)
		}
	}
	var kept [][]Kept
	for _, s := range slices.Backward(d.subjects) {
		k, err := s.Erase(ctx, tx, who, why)
		if err != nil {
			return Receipt{}, fmt.Errorf("rights: erase: %w", err)
		}
		kept = append(kept, k)
	}
	slices.Reverse(kept)
	own, err := d.eraseOwn(ctx, tx, who, at, actor)
	if err != nil {
		return Receipt{}, err
	}
	r.Kept = slices.Concat(append(kept, own)...)
	return r, d.audit.Write(ctx, tx, Entry{Actor: actor, Action: "contact.erase", Object: who.String(), Detail: string(why)})
}

// restrict is what becomes of an erasure that a legal hold forbids.
func (d *Desk) restrict(ctx context.Context, tx *schema.Tx, who id.Contact, why Reason, actor string) (Receipt, error) {
	if d.Restrict == nil {
		return Receipt{}, fmt.Errorf("rights: erase %s: %w, and nobody can restrict", who, ErrHeld)
	}
	if err := d.Restrict(ctx, tx, who, actor); err != nil {
		return Receipt{}, fmt.Errorf("rights: restrict: %w", err)
	}
	until, err := d.holdsEnd(ctx, tx, who)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{Contact: who, Reason: why, Result: Held, Removed: []string{}, Kept: []Kept{{keptAll, keptAllWhy, until}}}
	return r, d.audit.Write(ctx, tx, Entry{Actor: actor, Action: "contact.restrict", Object: who.String(), Detail: "erasure held: " + string(why)})
}
