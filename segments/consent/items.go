package consent

import (
	"context"
	"fmt"

	"beckon/schema"
	"beckon/schema/id"
)

// Item is one thing that a contact asked for and has not got yet.
type Item struct {
	Company   id.Company  `json:"-"`
	Slug      string      `json:"company"` // of the company
	Channel   Channel     `json:"channel"`
	Item      string      `json:"item"`
	GrantedAt schema.Time `json:"granted_at"`
	Notice    string      `json:"notice"`
}

// Items returns what a contact asked for and has not got yet, by company, channel and item; never
// nil. A block does not end a request, it only stands in its way: see Blocks.
func (l *Ledger) Items(ctx context.Context, q schema.Querier, who id.Contact) ([]Item, error) {
	var rows []struct {
		Company   id.Company  `db:"company"`
		Slug      string      `db:"slug"`
		Channel   Channel     `db:"channel"`
		Item      string      `db:"item"`
		GrantedAt schema.Time `db:"granted_at"`
		Notice    string      `db:"notice"`
	}
	err := q.Select(ctx, &rows, `SELECT i.company, co.slug, i.channel, i.item, i.granted_at, i.notice
		FROM consent_items i JOIN companies co ON co.id = i.company WHERE i.contact = ? ORDER BY i.company, i.channel, i.item`, who)
	if err != nil {
		return nil, fmt.Errorf("consent: items: %w", err)
	}
	list := make([]Item, len(rows))
	for i, r := range rows {
		list[i] = Item(r)
	}
	return list, nil
}

// Served ends the request for an item that the contact has got. It is no refusal: the item may be
// asked for again. What is not asked for (any more) is left as it is, so it may be called twice.
func (l *Ledger) Served(ctx context.Context, tx *schema.Tx, who id.Contact, company id.Company, channel Channel, item, actor string) error {
	if company <= 0 || channel == "" || !isItem(item) {
		return fmt.Errorf("consent: served: %w: company, channel and item are required", ErrEntry)
	}
	subjects, err := lockSubjects(ctx, tx, []int64{int64(who)})
	if err != nil {
		return fmt.Errorf("consent: served: %w", err)
	}
	s := subjects[who]
	if s == nil {
		return fmt.Errorf("consent: served: %w", ErrNoEntry)
	}
	if o := s.model.items[wanted{place{company, channel}, item}]; o == nil || !o.open {
		return nil
	}
	_, err = l.Record(ctx, tx, Entry{Contact: who, Action: Withdraw, Company: company, Channel: channel, Item: item, How: byServing, Actor: actor})
	return err
}

// wanted names a thing that was asked for. An empty item, a zero company or an empty channel stands
// for all of them; such names are those of refusals only.
type wanted struct {
	place
	item string
}

func (k wanted) covers(o wanted) bool {
	return (k.company == 0 || k.company == o.company) && (k.channel == "" || k.channel == o.channel) && (k.item == "" || k.item == o.item)
}

// oneOff is a row of consent_items while it is open. A replay keeps those that ended, too: only the
// ledger knows of them.
type oneOff struct {
	open      bool
	grantedAt schema.Time
	notice    string
	dirty     bool // only in a replay: nothing else opens or ends one

	// Filled by a replay only.
	changedAt schema.Time // captured time of the newest act that concerns it
	since     schema.Time // when the person's own yes was given
	refused   bool        // only the person's own act opens it again
}

// itemAt returns a one-off; a new one starts from the refusals that were meant for it before anybody
// asked, and is not yet part of the model.
func (m *model) itemAt(k wanted) *oneOff {
	if o := m.items[k]; o != nil {
		return o
	}
	o := &oneOff{}
	for no, at := range m.denied {
		if no.covers(k) {
			o.refused, o.changedAt = true, max(o.changedAt, at)
		}
	}
	return o
}

// grantItem opens a one-off. A block that the person's own request for it lifts is only lent: it
// is back when nothing that was asked for is open any more.
func (m *model) grantItem(k wanted, o *oneOff, a *act) {
	m.items[k] = o
	o.open, o.grantedAt, o.changedAt, o.notice, o.dirty = true, a.captured, a.captured, a.notice, true
	if a.own {
		o.refused, o.since = false, a.captured
		m.lent |= m.blocks & noes
		m.blocks &^= lifted
	}
}

// refuseItems ends the one-offs that an act concerns: one by its name, all of them if the act refuses
// everything. It loses against the person's own later yes; kept says so, and done that it did not
// lose everywhere.
func (m *model) refuseItems(a *act) (kept, done bool) {
	no := wanted{place{a.company, a.channel}, a.item}
	if m.replayed && !a.how.lapse() {
		m.denied[no] = max(m.denied[no], a.captured)
	}
	for k, o := range m.items {
		if !no.covers(k) {
			continue
		}
		if a.captured < o.since {
			kept = kept || o.open
			continue
		}
		done = true
		o.dirty = o.dirty || o.open
		o.open, o.changedAt = false, max(o.changedAt, a.captured)
		o.refused = o.refused || !a.how.lapse()
	}
	return kept, done || !kept
}

// touchesItem reports whether an act may end a one-off that is open: what happens then depends on
// the history.
func (m *model) touchesItem(a *act) bool {
	no := wanted{place{a.company, a.channel}, a.item}
	for k, o := range m.items {
		if o.open && no.covers(k) {
			return true
		}
	}
	return false
}

// giveBack puts back what a one-off had lifted, once none is open.
func (m *model) giveBack() {
	for _, o := range m.items {
		if o.open {
			return
		}
	}
	m.blocks |= m.lent
	m.lent = 0
}

// lent returns the blocks that come back when what a contact asked for is served.
func (l *Ledger) lent(ctx context.Context, q schema.Querier, s *subject) (Block, error) {
	if s == nil || len(s.model.items) == 0 {
		return 0, nil
	}
	words, err := loadWords(ctx, q)
	if err != nil {
		return 0, err
	}
	m, err := l.replay(ctx, q, s, words)
	if err != nil {
		return 0, err
	}
	return m.lent, nil
}

type itemRow struct {
	contact id.Contact
	wanted
	*oneOff
}

var itemTable = table{"consent_items", []string{"contact", "company", "channel", "item", "granted_at", "notice"},
	" ON CONFLICT (contact, company, channel, item) DO UPDATE SET granted_at = excluded.granted_at, notice = excluded.notice"}

// writeItems stores the one-offs that are open and deletes those that ended.
func (w *writing) writeItems(ctx context.Context, tx *schema.Tx) error {
	var open []itemRow
	for _, r := range w.items {
		if r.open {
			open = append(open, r)
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM consent_items WHERE contact = ? AND company = ? AND channel = ? AND item = ?`, r.contact, r.company, string(r.channel), r.item); err != nil {
			return fmt.Errorf("write consent_items: %w", err)
		}
	}
	return insert(ctx, tx, itemTable, open, func(r itemRow) []any {
		return []any{int64(r.contact), int64(r.company), string(r.channel), r.item, int64(r.grantedAt), r.notice}
	})
}

func loadItems(ctx context.Context, q schema.Querier, contacts []int64, subjects map[id.Contact]*subject) error {
	where, arg := among(q.Dialect(), "contact", contacts)
	rows, err := q.Query(ctx, `SELECT contact, company, channel, item, granted_at, notice FROM consent_items WHERE `+where, arg)
	if err != nil {
		return fmt.Errorf("read items: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c id.Contact
		var k wanted
		o := &oneOff{open: true}
		if err := rows.Scan(&c, &k.company, &k.channel, &k.item, &o.grantedAt, &o.notice); err != nil {
			return fmt.Errorf("read items: %w", err)
		}
		o.changedAt = o.grantedAt
		subjects[c].model.items[k] = o
	}
	return rows.Err()
}

// sameItems compares the one-offs that are open.
func (m *model) sameItems(o *model) bool {
	open := func(m *model) (n int) {
		for _, i := range m.items {
			if i.open {
				n++
			}
		}
		return n
	}
	for k, a := range m.items {
		if b := o.items[k]; a.open && (b == nil || !b.open || a.grantedAt != b.grantedAt || a.notice != b.notice) {
			return false
		}
	}
	return open(m) == open(o)
}
