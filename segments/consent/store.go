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

// subject is a contact in the ledger, with the end of its chain and the state that follows.
type subject struct {
	contact id.Contact
	id      id.Subject
	hash    []byte
	blocks  Block // as stored; model.blocks is what it becomes
	seq     int64
	head    []byte
	model   *model
	pending []row // of this batch, not yet written
	dirty   bool
	fresh   bool // not yet in the database
}

// loadSubjects reads the subjects of contacts with their state; contacts without one are left out.
func loadSubjects(ctx context.Context, q schema.Querier, contacts []int64) (map[id.Contact]*subject, error) {
	return readSubjects(ctx, q, contacts, "")
}

// lockSubjects is loadSubjects for a change: on PostgreSQL the rows stay locked until the
// transaction ends, on SQLite there is no other writer.
func lockSubjects(ctx context.Context, tx *schema.Tx, contacts []int64) (map[id.Contact]*subject, error) {
	if tx.Dialect() == schema.Postgres {
		return readSubjects(ctx, tx, contacts, " ORDER BY contact FOR UPDATE")
	}
	return readSubjects(ctx, tx, contacts, "")
}

func readSubjects(ctx context.Context, q schema.Querier, contacts []int64, lock string) (map[id.Contact]*subject, error) {
	where, arg := among(q.Dialect(), "contact", contacts)
	rows, err := q.Query(ctx, `SELECT contact, subject, hash, blocks, seq, head FROM consent_subjects WHERE `+where+lock, arg)
	if err != nil {
		return nil, fmt.Errorf("read subjects: %w", err)
	}
	defer rows.Close()
	subjects := make(map[id.Contact]*subject, len(contacts))
	var known []int64
	for rows.Next() {
		s := &subject{model: newModel()}
		if err := rows.Scan(&s.contact, &s.id, &s.hash, &s.blocks, &s.seq, &s.head); err != nil {
			return nil, fmt.Errorf("read subjects: %w", err)
		}
		if s.model.blocks = s.blocks; s.head == nil {
			s.head = []byte{} // as which SQLite gives an empty one back
		}
		subjects[s.contact] = s
		if s.seq > 0 {
			known = append(known, int64(s.contact))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read subjects: %w", err)
	}
	if len(known) > 0 {
		return subjects, loadStates(ctx, q, known, subjects)
	}
	return subjects, nil
}

func loadStates(ctx context.Context, q schema.Querier, contacts []int64, subjects map[id.Contact]*subject) error {
	where, arg := among(q.Dialect(), "contact", contacts)
	rows, err := q.Query(ctx, `SELECT contact, company, channel, granted, refused, explicit, refused_topics, granted_at, changed_at, notice
		FROM consent_state WHERE `+where, arg)
	if err != nil {
		return fmt.Errorf("read states: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c id.Contact
		var p place
		w := &wishes{}
		if err := rows.Scan(&c, &p.company, &p.channel, &w.granted, &w.refused, &w.explicit, &w.refusedTopics, &w.grantedAt, &w.changedAt, &w.notice); err != nil {
			return fmt.Errorf("read states: %w", err)
		}
		subjects[c].model.state[p] = w
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read states: %w", err)
	}
	tracks, err := q.Query(ctx, `SELECT contact, company, epoch, open, refused, changed_at FROM consent_tracking WHERE `+where, arg)
	if err != nil {
		return fmt.Errorf("read tracking: %w", err)
	}
	defer tracks.Close()
	for tracks.Next() {
		var c id.Contact
		var co id.Company
		t := &trail{}
		if err := tracks.Scan(&c, &co, &t.epoch, &t.open, &t.refused, &t.changedAt); err != nil {
			return fmt.Errorf("read tracking: %w", err)
		}
		subjects[c].model.tracks[co] = t
	}
	if err := tracks.Err(); err != nil {
		return fmt.Errorf("read tracking: %w", err)
	}
	return loadItems(ctx, q, contacts, subjects)
}

type evidence struct {
	subject id.Subject
	seq     int64
	salt    []byte
	body    string
}

// writing collects what a batch changes, and writes it with one statement per table.
type writing struct {
	rows     []row
	evidence []evidence
	fresh    []*subject
	subjects []*subject
	states   []stateRow
	tracks   []trackRow
	items    []itemRow
	lifted   [][]byte // hashes of addresses that nothing suppresses any more
}

type stateRow struct {
	contact id.Contact
	place
	*wishes
	live int64
}

type trackRow struct {
	contact id.Contact
	company id.Company
	*trail
}

// kept are the blocks that outlive the contact, as a suppression of the address.
const kept = noes | BlockBounced

// take collects what changed for a subject.
func (w *writing) take(s *subject) {
	switch {
	case s.fresh:
		w.fresh = append(w.fresh, s)
	case s.dirty:
		w.subjects = append(w.subjects, s)
	default:
		return
	}
	turned := s.blocks != s.model.blocks
	for p, st := range s.model.state {
		if st.dirty || turned {
			live := st.granted
			if s.model.blocks != 0 {
				live = 0
			}
			w.states = append(w.states, stateRow{s.contact, p, st, live})
		}
	}
	for c, t := range s.model.tracks {
		if t.dirty {
			w.tracks = append(w.tracks, trackRow{s.contact, c, t})
		}
	}
	for k, o := range s.model.items {
		if o.dirty {
			w.items = append(w.items, itemRow{s.contact, k, o})
		}
	}
	if s.blocks&kept != 0 && s.model.blocks&kept == 0 {
		w.lifted = append(w.lifted, s.hash)
	}
}

// The tables of a batch, with what happens to a row that is there already.
var (
	ledgerTable   = table{"consent_ledger", strings.Fields(strings.ReplaceAll(rowColumns, ",", " ")), ""}
	evidenceTable = table{"consent_evidence", []string{"subject", "seq", "salt", "body"}, ""}
	subjectTable  = table{"consent_subjects", []string{"contact", "subject", "hash", "blocks", "seq", "head"}, ""}
	headTable     = table{"consent_subjects", subjectTable.columns,
		" ON CONFLICT (contact) DO UPDATE SET blocks = excluded.blocks, seq = excluded.seq, head = excluded.head"}
	stateTable = table{"consent_state", []string{"contact", "company", "channel", "granted", "refused", "explicit", "refused_topics", "live", "granted_at", "changed_at", "notice"},
		` ON CONFLICT (contact, company, channel) DO UPDATE SET granted = excluded.granted, refused = excluded.refused, explicit = excluded.explicit,
		refused_topics = excluded.refused_topics, live = excluded.live, granted_at = excluded.granted_at, changed_at = excluded.changed_at, notice = excluded.notice`}
	trackTable = table{"consent_tracking", []string{"contact", "company", "epoch", "open", "refused", "changed_at"},
		" ON CONFLICT (contact, company) DO UPDATE SET epoch = excluded.epoch, open = excluded.open, refused = excluded.refused, changed_at = excluded.changed_at"}
	suppressionTable = table{"suppressions", addTable.columns, ` ON CONFLICT (hash) DO UPDATE SET blocks = excluded.blocks,
		at = CASE WHEN suppressions.blocks = excluded.blocks OR (suppressions.blocks & excluded.blocks & 32) <> 0 THEN suppressions.at ELSE excluded.at END`}
)

func (s *subject) cells() []any {
	return []any{int64(s.contact), int64(s.id), s.hash, int64(s.model.blocks), s.seq, s.head}
}

func (w *writing) write(ctx context.Context, tx *schema.Tx, now schema.Time) error {
	slices.SortFunc(w.fresh, func(a, b *subject) int { return cmp.Compare(a.contact, b.contact) })
	slices.SortFunc(w.subjects, func(a, b *subject) int { return cmp.Compare(a.contact, b.contact) })
	slices.SortFunc(w.states, func(a, b stateRow) int { return cmp.Compare(a.contact, b.contact) })
	slices.SortFunc(w.tracks, func(a, b trackRow) int { return cmp.Compare(a.contact, b.contact) })
	slices.SortFunc(w.items, func(a, b itemRow) int { return cmp.Compare(a.contact, b.contact) })
	for _, step := range []func() error{
		func() error {
			return insert(ctx, tx, ledgerTable, w.rows, func(r row) []any {
				return []any{int64(r.Subject), r.Seq, string(r.Action), r.Company, string(r.Channel), r.Types, r.Topics, r.Tracking, r.Item, r.Notice, r.NoticeHash, string(r.How),
					int64(r.Captured), int64(r.Requested), int64(r.Confirmed), int64(r.Recorded), r.Actor, r.Evidence, r.Outcome, r.MAC}
			})
		},
		func() error {
			return insert(ctx, tx, evidenceTable, w.evidence, func(e evidence) []any { return []any{int64(e.subject), e.seq, e.salt, e.body} })
		},
		func() error {
			return insert(ctx, tx, subjectTable, w.fresh, (*subject).cells)
		},
		func() error {
			return insert(ctx, tx, headTable, w.subjects, (*subject).cells)
		},
		func() error {
			return insert(ctx, tx, stateTable, w.states, func(s stateRow) []any {
				return []any{int64(s.contact), int64(s.company), string(s.channel), s.granted, s.refused, s.explicit, s.refusedTopics, s.live, int64(s.grantedAt), int64(s.changedAt), s.notice}
			})
		},
		func() error {
			return insert(ctx, tx, trackTable, w.tracks, func(t trackRow) []any {
				return []any{int64(t.contact), int64(t.company), t.epoch, t.open, t.refused, int64(t.changedAt)}
			})
		},
		func() error { return w.writeItems(ctx, tx) },
		func() error { return w.suppress(ctx, tx, now) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// suppress keeps the list of suppressed addresses in step with the blocks.
func (w *writing) suppress(ctx context.Context, tx *schema.Tx, now schema.Time) error {
	var held []*subject
	for _, s := range slices.Concat(w.fresh, w.subjects) {
		if s.model.blocks&kept != 0 && s.model.blocks&kept != s.blocks&kept {
			held = append(held, s)
		}
	}
	err := insert(ctx, tx, suppressionTable, held, func(s *subject) []any {
		return []any{s.hash, int64(s.model.blocks & kept), int64(now)}
	})
	for _, h := range w.lifted {
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM suppressions WHERE hash = ?`, h)
		}
	}
	return err
}
