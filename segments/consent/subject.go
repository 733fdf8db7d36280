package consent

import (
	"context"
	"encoding/json"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Held is everything that the consent tables hold of a contact, for the copy that a person may ask
// for. The subject under which the ledger knows the contact is left out, and so are hashes: they say
// nothing of the person, and who has them could follow the ledger's rows after an erasure.
type Held struct {
	Blocks       []Reason    // why nothing at all may be done
	Suppressed   []Reason    // why the address is kept out, by its keyed hash
	SuppressedAt schema.Time // since when
	Wishes       []Wishes
	Tracking     []TrackingWish
	Ledger       []Row
	Requests     []HeldRequest
	Items        []Item
	Noes         []No // said before the address was held, and not yet the contact's own
}

// Wishes are what a contact agreed to and refused of a company by a channel.
type Wishes struct {
	Company       string  // slug; empty: every company that is not listed (refusals only)
	Channel       Channel // empty: every channel that is not listed (refusals only)
	Granted       []string
	Refused       []string
	Explicit      []string // topics with explicit consent
	RefusedTopics []string // topics whose explicit consent was withdrawn
	GrantedAt     schema.Time
	ChangedAt     schema.Time
	Notice        string
}

// TrackingWish is what a contact wants of a company about tracking.
type TrackingWish struct {
	Company string // slug; empty: every company that is not listed
	Tracking
}

// HeldRequest is a double opt-in, confirmed or not, with its identifier.
type HeldRequest struct {
	ID      id.Request
	Company string // slug
	Requested
}

// Held returns everything that is held of a contact, or ErrNoEntry for one that is not registered.
func (l *Ledger) Held(ctx context.Context, q schema.Querier, who id.Contact) (h Held, err error) {
	if h, err = l.held(ctx, q, who); err != nil {
		return Held{}, fmt.Errorf("consent: held: %w", err)
	}
	return h, nil
}

func (l *Ledger) held(ctx context.Context, q schema.Querier, who id.Contact) (h Held, err error) {
	words, err := loadWords(ctx, q)
	if err != nil {
		return h, err
	}
	var subjects []struct {
		Hash   []byte `db:"hash"`
		Blocks Block  `db:"blocks"`
	}
	if err := q.Select(ctx, &subjects, `SELECT hash, blocks FROM consent_subjects WHERE contact = ?`, who); err != nil {
		return h, err
	}
	if len(subjects) == 0 {
		return h, ErrNoEntry
	}
	h.Blocks = subjects[0].Blocks.Reasons()
	hash := subjects[0].Hash
	found, err := suppressions(ctx, q, [][]byte{hash})
	if err != nil {
		return h, err
	}
	if s, ok := found[string(hash)]; ok {
		h.Suppressed, h.SuppressedAt = s.Blocks.Reasons(), s.At
	}
	for _, read := range []func() error{
		func() (err error) { h.Wishes, err = wishesOf(ctx, q, who, words); return err },
		func() (err error) { h.Tracking, err = trackingOf(ctx, q, who, words); return err },
		func() (err error) { h.Ledger, err = l.History(ctx, q, who); return err },
		func() (err error) { h.Requests, err = l.requestsOf(ctx, q, who, words); return err },
		func() (err error) { h.Items, err = l.Items(ctx, q, who); return err },
		func() (err error) { h.Noes, err = noesOf(ctx, q, hash); return err },
	} {
		if err := read(); err != nil {
			return h, err
		}
	}
	return h, nil
}

func wishesOf(ctx context.Context, q schema.Querier, who id.Contact, words *words) ([]Wishes, error) {
	var rows []struct {
		Company       id.Company  `db:"company"`
		Channel       Channel     `db:"channel"`
		Granted       int64       `db:"granted"`
		Refused       int64       `db:"refused"`
		Explicit      int64       `db:"explicit"`
		RefusedTopics int64       `db:"refused_topics"`
		GrantedAt     schema.Time `db:"granted_at"`
		ChangedAt     schema.Time `db:"changed_at"`
		Notice        string      `db:"notice"`
	}
	if err := q.Select(ctx, &rows, `SELECT company, channel, granted, refused, explicit, refused_topics, granted_at, changed_at, notice
		FROM consent_state WHERE contact = ? ORDER BY company, channel`, who); err != nil {
		return nil, err
	}
	all := make([]Wishes, len(rows))
	for i, r := range rows {
		c := words.catalogue
		all[i] = Wishes{words.slugs[r.Company], r.Channel, c.Slugs(KindType, r.Granted), c.Slugs(KindType, r.Refused), c.Slugs(KindTopic, r.Explicit),
			c.Slugs(KindTopic, r.RefusedTopics), r.GrantedAt, r.ChangedAt, r.Notice}
	}
	return all, nil
}

func trackingOf(ctx context.Context, q schema.Querier, who id.Contact, words *words) ([]TrackingWish, error) {
	var rows []struct {
		Company   id.Company  `db:"company"`
		Epoch     int64       `db:"epoch"`
		Open      bool        `db:"open"`
		Refused   bool        `db:"refused"`
		ChangedAt schema.Time `db:"changed_at"`
	}
	if err := q.Select(ctx, &rows, `SELECT company, epoch, open, refused, changed_at FROM consent_tracking WHERE contact = ? ORDER BY company`, who); err != nil {
		return nil, err
	}
	all := make([]TrackingWish, len(rows))
	for i, r := range rows {
		all[i] = TrackingWish{words.slugs[r.Company], Tracking{r.Open, r.Refused, r.Epoch, r.ChangedAt}}
	}
	return all, nil
}

func (l *Ledger) requestsOf(ctx context.Context, q schema.Querier, who id.Contact, words *words) ([]HeldRequest, error) {
	var ids []id.Request
	if err := q.Select(ctx, &ids, `SELECT id FROM consent_requests WHERE contact = ? ORDER BY id`, who); err != nil {
		return nil, err
	}
	all := make([]HeldRequest, len(ids))
	for i, r := range ids {
		v, err := l.Requested(ctx, q, r)
		if err != nil {
			return nil, err
		}
		all[i] = HeldRequest{r, words.slugs[v.Entry.Company], v}
	}
	return all, nil
}

func noesOf(ctx context.Context, q schema.Querier, hash []byte) ([]No, error) {
	var rows []struct {
		Entry string      `db:"entry"`
		At    schema.Time `db:"at"`
	}
	if err := q.Select(ctx, &rows, `SELECT entry, at FROM consent_noes WHERE hash = ? ORDER BY at, entry`, hash); err != nil {
		return nil, err
	}
	all := make([]No, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal([]byte(r.Entry), &all[i]); err != nil {
			return nil, fmt.Errorf("a no is not readable: %w", err)
		}
		all[i].At = r.At
	}
	return all, nil
}
