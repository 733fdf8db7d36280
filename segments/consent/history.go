package consent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// Row is an entry of the ledger as it is shown to people.
type Row struct {
	Seq        int64             `json:"seq"`
	Action     Action            `json:"action"`
	Company    string            `json:"company"` // slug; empty: every company
	Channel    Channel           `json:"channel"` // empty: every channel
	Types      []string          `json:"types"`   // none: every type
	Topics     []string          `json:"topics"`
	Tracking   *bool             `json:"tracking"`
	Item       string            `json:"item,omitempty"` // the one thing that is asked for, got or refused
	Notice     string            `json:"notice"`
	NoticeHash string            `json:"notice_hash"`
	How        How               `json:"how"`
	Captured   schema.Time       `json:"captured_at"`
	Requested  schema.Time       `json:"requested_at"`
	Confirmed  schema.Time       `json:"confirmed_at"`
	Recorded   schema.Time       `json:"recorded_at"`
	Actor      string            `json:"actor"`
	Outcome    string            `json:"outcome"`
	Own        bool              `json:"own"`                // the person's own confirmed act
	Evidence   map[string]string `json:"evidence,omitempty"` // unless erased
}

// Standing is what a contact's ledger amounts to for one company and channel.
type Standing struct {
	Company   id.Company  `json:"-"`       // zero: every company that has no standing of its own
	Slug      string      `json:"company"` // of the company; empty for zero
	Channel   Channel     `json:"channel"` // empty: every channel that has no standing of its own
	Granted   []string    `json:"granted"`
	Refused   []string    `json:"refused"`
	Explicit  []string    `json:"explicit"` // topics with explicit consent
	GrantedAt schema.Time `json:"granted_at"`
	ChangedAt schema.Time `json:"changed_at"`
	Notice    string      `json:"notice"`
	Tracking  Tracking    `json:"tracking"`
	Items     []string    `json:"items,omitempty"` // what was asked for once and is not served yet
}

// Tracking is the standing of the separate consent to tracking; it concerns the company.
type Tracking struct {
	Open      bool        `json:"open"`
	Refused   bool        `json:"refused"`
	Epoch     int64       `json:"epoch"`
	ChangedAt schema.Time `json:"changed_at"`
}

// History returns the whole ledger of a contact, the oldest entry first. It is empty for a contact
// of whom nothing was ever recorded.
func (l *Ledger) History(ctx context.Context, q schema.Querier, who id.Contact) ([]Row, error) {
	rows, err := ledgerOf(ctx, q, who)
	if err != nil {
		return nil, fmt.Errorf("consent: history: %w", err)
	}
	var bodies []struct {
		Seq  int64  `db:"seq"`
		Body string `db:"body"`
	}
	if err := q.Select(ctx, &bodies, `SELECT e.seq, e.body FROM consent_evidence e JOIN consent_subjects s ON s.subject = e.subject WHERE s.contact = ?`, who); err != nil {
		return nil, fmt.Errorf("consent: history: %w", err)
	}
	shown := make([]Row, len(rows))
	for i, r := range rows {
		shown[i] = Row{
			Seq: r.Seq, Action: r.Action, Company: r.Company, Channel: r.Channel, Types: append([]string{}, split(r.Types)...),
			Topics: append([]string{}, split(r.Topics)...), Item: r.Item, Notice: r.Notice, NoticeHash: r.NoticeHash, How: r.How,
			Captured: r.Captured, Requested: r.Requested, Confirmed: r.Confirmed, Recorded: r.Recorded, Actor: r.Actor, Outcome: strings.TrimSuffix(r.Outcome, "-own"), Own: r.Outcome == appliedOwn,
		}
		if r.Tracking != "" {
			yes := r.Tracking == "yes"
			shown[i].Tracking = &yes
		}
		for _, b := range bodies {
			if b.Seq == r.Seq {
				if err := json.Unmarshal([]byte(b.Body), &shown[i].Evidence); err != nil {
					return nil, fmt.Errorf("consent: history: evidence is not readable: %w", err)
				}
			}
		}
	}
	return shown, nil
}

// State returns what a contact agreed to and refused, per company and channel, as it is now. What
// blocks the contact as a whole is told by Blocks.
func (l *Ledger) State(ctx context.Context, q schema.Querier, who id.Contact) ([]Standing, error) {
	subjects, err := loadSubjects(ctx, q, []int64{int64(who)})
	if err != nil {
		return nil, fmt.Errorf("consent: state: %w", err)
	}
	s := subjects[who]
	if s == nil {
		return []Standing{}, nil
	}
	words, err := loadWords(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.model.standings(words), nil
}

// Blocks returns what forbids every use of a contact: zero for nothing, ErrNoEntry for a contact
// that is not registered.
func (l *Ledger) Blocks(ctx context.Context, q schema.Querier, who id.Contact) (Block, error) {
	var b []Block
	if err := q.Select(ctx, &b, `SELECT blocks FROM consent_subjects WHERE contact = ?`, who); err != nil {
		return 0, fmt.Errorf("consent: blocks: %w", err)
	}
	if len(b) == 0 {
		return 0, fmt.Errorf("consent: blocks: %w", ErrNoEntry)
	}
	return b[0], nil
}

// StateAt returns what State and Blocks would have said at a past instant: the ledger as far as it
// was recorded then.
func (l *Ledger) StateAt(ctx context.Context, q schema.Querier, who id.Contact, past schema.Time) ([]Standing, Block, error) {
	words, err := loadWords(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	rows, err := ledgerOf(ctx, q, who)
	if err != nil {
		return nil, 0, fmt.Errorf("consent: state at: %w", err)
	}
	m, err := fold(slices.DeleteFunc(rows, func(r row) bool { return r.Recorded > past }), words)
	if err != nil {
		return nil, 0, fmt.Errorf("consent: state at: %w", err)
	}
	return m.standings(words), m.blocks, nil
}

// Rebuild writes the state that the ledger gives, whatever is stored. Where a suppression of the
// address says more than the ledger, it holds.
func (l *Ledger) Rebuild(ctx context.Context, tx *schema.Tx, who id.Contact) error {
	words, err := loadWords(ctx, tx)
	if err != nil {
		return err
	}
	subjects, err := lockSubjects(ctx, tx, []int64{int64(who)})
	if err != nil {
		return fmt.Errorf("consent: rebuild: %w", err)
	}
	s := subjects[who]
	if s == nil {
		return fmt.Errorf("consent: rebuild: %w", ErrNoEntry)
	}
	if s.model, err = l.replay(ctx, tx, s, words); err != nil {
		return fmt.Errorf("consent: rebuild: %w", err)
	}
	found, err := suppressions(ctx, tx, [][]byte{s.hash})
	if err != nil {
		return fmt.Errorf("consent: rebuild: %w", err)
	}
	s.model.blocks |= found[string(s.hash)].Blocks
	s.model.interrupt(0)
	for _, w := range s.model.state {
		w.dirty = true
	}
	for _, t := range s.model.tracks {
		t.dirty = true
	}
	for _, o := range s.model.items {
		o.dirty = o.open
	}
	s.dirty = true
	for _, table := range []string{"consent_state", "consent_tracking", "consent_items"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE contact = ?`, who); err != nil {
			return fmt.Errorf("consent: rebuild: %w", err)
		}
	}
	w := writing{}
	w.take(s)
	if err := w.write(ctx, tx, schema.At(l.now())); err != nil {
		return fmt.Errorf("consent: rebuild: %w", err)
	}
	return nil
}

// replay folds the whole ledger of a subject, rows of the batch at hand included.
func (l *Ledger) replay(ctx context.Context, q schema.Querier, s *subject, words *words) (*model, error) {
	var rows []row
	if err := q.Select(ctx, &rows, `SELECT `+rowColumns+` FROM consent_ledger WHERE subject = ? ORDER BY seq`, s.id); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	m, err := fold(append(rows, s.pending...), words)
	if err != nil {
		return nil, err
	}
	for p, w := range m.state {
		if old := s.model.state[p]; old != nil {
			w.dirty = old.dirty
		}
	}
	for c, t := range m.tracks {
		if old := s.model.tracks[c]; old != nil {
			t.dirty = old.dirty
		}
	}
	return m, nil
}

// fold applies rows to an empty model, each as what it was.
func fold(rows []row, words *words) (*model, error) {
	return follow(rows, words, nil)
}

// follow is fold, and tells after each row that was applied what the model has become.
func follow(rows []row, words *words, tell func(r *row, a *act, m *model)) (*model, error) {
	m := newModel()
	m.replayed, m.blocked, m.denied = true, map[Block]schema.Time{}, map[wanted]schema.Time{}
	for i := range rows {
		r := &rows[i]
		if !r.applied() {
			continue
		}
		a, err := words.recorded(r)
		if err != nil {
			return nil, err
		}
		a.own = r.Outcome == appliedOwn
		if _, err := m.apply(&a); err != nil {
			return nil, err
		}
		if tell != nil {
			tell(r, &a, m)
		}
	}
	for _, w := range m.state {
		w.dirty = false
	}
	for _, t := range m.tracks {
		t.dirty = false
	}
	for _, o := range m.items {
		o.dirty = false
	}
	return m, nil
}

func ledgerOf(ctx context.Context, q schema.Querier, who id.Contact) ([]row, error) {
	var rows []row
	err := q.Select(ctx, &rows, `SELECT `+rowColumns+` FROM consent_ledger WHERE subject = (SELECT subject FROM consent_subjects WHERE contact = ?) ORDER BY seq`, who)
	return rows, err
}

func (m *model) standings(words *words) []Standing {
	c := words.catalogue
	places := map[place]bool{}
	for p := range m.state {
		places[p] = true
	}
	for co := range m.tracks {
		if !places[place{co, Email}] && !(co == 0 && places[place{0, ""}]) {
			places[place{co, Email}] = true
		}
	}
	items := map[place][]string{}
	for k, o := range m.items {
		if o.open {
			items[k.place], places[k.place] = append(items[k.place], k.item), true
		}
	}
	list := make([]Standing, 0, len(places))
	for p := range places {
		w, t := m.wishesAt(p), m.trailAt(p.company)
		list = append(list, Standing{
			Company: p.company, Slug: words.slugs[p.company], Channel: p.channel, Granted: c.Slugs(KindType, w.granted), Refused: c.Slugs(KindType, w.refused),
			Explicit: c.Slugs(KindTopic, w.explicit), GrantedAt: w.grantedAt, ChangedAt: w.changedAt, Notice: w.notice,
			Tracking: Tracking{t.open, t.refused, t.epoch, t.changedAt}, Items: slices.Sorted(slices.Values(items[p])),
		})
	}
	slices.SortFunc(list, func(a, b Standing) int {
		if a.Company != b.Company {
			return int(a.Company - b.Company)
		}
		return cmp.Compare(a.Channel, b.Channel)
	})
	return list
}
