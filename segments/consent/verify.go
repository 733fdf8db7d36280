package consent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"fmt"
	"math"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
)

// Problem is what Verify found wrong.
type Problem string

// The problems. A row counts as inserted if it lies beyond the end of its chain.
const (
	RowChanged      Problem = "changed"
	RowMissing      Problem = "missing"
	RowInserted     Problem = "inserted"
	EvidenceChanged Problem = "evidence changed"
	StateDiffers    Problem = "state differs from the ledger" // the state, not a row: Seq is zero

	// Of a chain that the checkpoint knew.
	ChainCut     Problem = "cut off"       // from this row on
	ChainMissing Problem = "chain missing" // all of it, up to this row

	// Of the whole: Subject is zero.
	DatabaseOlder     Problem = "the database is older than its checkpoint: nothing is left of what was recorded last"
	CheckpointForged  Problem = "the checkpoint is damaged, or not written under this key"
	CheckpointMissing Problem = "there is no checkpoint"
	More              Problem = "more" // findings that are not listed: Seq says how many
)

// Finding names one thing that is not as the ledger left it.
type Finding struct {
	Subject id.Subject
	Seq     int64
	Problem Problem
}

func (f Finding) String() string {
	switch {
	case f.Problem == More:
		return fmt.Sprintf("and %d more findings", f.Seq)
	case f.Problem == ChainMissing:
		return fmt.Sprintf("subject %d: chain of %d rows missing", f.Subject, f.Seq)
	case f.Problem == ChainCut:
		return fmt.Sprintf("subject %d row %d: cut off from here on", f.Subject, f.Seq)
	case f.Subject == 0 && f.Seq == 0:
		return string(f.Problem)
	}
	return fmt.Sprintf("subject %d row %d: %s", f.Subject, f.Seq, f.Problem)
}

// toldMost is how many findings are listed.
const toldMost = 1000

// findings are the first of what was found, and how many there were beside.
type findings struct {
	list []Finding
	more int64
}

func (f *findings) add(list ...Finding) {
	n := min(len(list), max(0, toldMost-len(f.list)))
	f.list = append(f.list, list[:n]...)
	f.more += int64(len(list) - n)
}

// told returns the list, with the number of those left out at its end.
func (f findings) told() []Finding {
	if f.more == 0 {
		return f.list
	}
	return append(f.list, Finding{Seq: f.more, Problem: More})
}

// and puts the findings of two in one order.
func (f findings) and(o findings) findings {
	all := slices.Concat(f.list, o.list)
	slices.SortFunc(all, Finding.compare)
	sum := findings{more: f.more + o.more}
	sum.add(all...)
	return sum
}

func (f Finding) compare(o Finding) int {
	return cmp.Or(cmp.Compare(f.Subject, o.Subject), cmp.Compare(f.Seq, o.Seq), cmp.Compare(f.Problem, o.Problem))
}

// Verify checks every chain, every piece of evidence that is kept and every derived state, and holds
// the ledger against the checkpoint at path, if one is named. It returns what is wrong, in the order
// of the subjects: the first thousand, and how many more. A checkpoint is what shows that a chain was
// cut off or taken out with everything that told of it, that of a forgotten contact too, or that the
// database is an older one.
func (l *Ledger) Verify(ctx context.Context, path string) ([]Finding, error) {
	var x *comparison
	var known findings
	if path != "" {
		c, err := l.openCheckpoint(path)
		if err != nil {
			return nil, fmt.Errorf("consent: verify: %w", err)
		}
		if c != nil {
			defer c.close()
			x = newComparison(c)
		}
	}
	var found findings
	rows := 0
	for after := int64(math.MinInt64); after < math.MaxInt64; {
		err := l.db.View(ctx, func(tx *schema.Tx) error {
			to, n, err := window(ctx, tx, after)
			if err != nil {
				return err
			}
			f, err := l.verify(ctx, tx, after, to, x)
			found.add(f...)
			after, rows = to, rows+n
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("consent: verify: %w", err)
		}
	}
	switch {
	case x != nil:
		var err error
		if known, err = x.end(); err != nil {
			return nil, fmt.Errorf("consent: verify: %w", err)
		}
	case path != "" && rows > 0:
		known.add(Finding{Problem: CheckpointMissing})
	}
	return found.and(known).told(), nil
}

// window returns the subject up to which there are few rows and few contacts after another, and how
// many rows there are.
func window(ctx context.Context, q schema.Querier, after int64) (to int64, rows int, err error) {
	const most = 2000
	to = math.MaxInt64
	for _, table := range []string{"consent_subjects", "consent_ledger"} {
		var ends []int64
		if err := q.Select(ctx, &ends, `SELECT subject FROM `+table+` WHERE subject > ? ORDER BY subject LIMIT ?`, after, most); err != nil {
			return 0, 0, err
		}
		if rows = len(ends); rows == most {
			to = min(to, ends[most-1])
		}
	}
	return to, rows, nil
}

// verify checks the subjects after one and up to another, and shows their rows to x.
func (l *Ledger) verify(ctx context.Context, q schema.Querier, after, to int64, x *comparison) ([]Finding, error) {
	words, err := loadWords(ctx, q)
	if err != nil {
		return nil, err
	}
	var rows []row
	if err := q.Select(ctx, &rows, `SELECT `+rowColumns+` FROM consent_ledger WHERE subject > ? AND subject <= ? ORDER BY subject, seq`, after, to); err != nil {
		return nil, err
	}
	chains := map[id.Subject][]row{}
	for _, r := range rows {
		chains[r.Subject] = append(chains[r.Subject], r)
	}
	var contacts []int64
	if err := q.Select(ctx, &contacts, `SELECT contact FROM consent_subjects WHERE subject > ? AND subject <= ?`, after, to); err != nil {
		return nil, err
	}
	held, err := loadSubjects(ctx, q, contacts)
	if err != nil {
		return nil, err
	}
	subjects := map[id.Subject]*subject{}
	for _, s := range held {
		subjects[s.id] = s
		if _, ok := chains[s.id]; !ok {
			chains[s.id] = nil
		}
	}
	var found []Finding
	types, topics := words.known()
	for sub, chain := range chains {
		f := l.checkChain(sub, chain, subjects[sub])
		if s := subjects[sub]; s != nil && len(f) == 0 {
			if m, err := fold(chain, words); err != nil || !s.model.equal(m, types, topics) {
				f = append(f, Finding{sub, 0, StateDiffers})
			}
		}
		found = append(found, f...)
	}
	more, err := verifyRest(ctx, q, after, to)
	if err != nil {
		return nil, err
	}
	found = append(found, more...)
	slices.SortFunc(found, Finding.compare)
	found = slices.Compact(found)
	if x != nil {
		if err := x.window(rows, found, to); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checkChain checks the macs of one subject's rows. s is nil for a forgotten contact.
func (l *Ledger) checkChain(sub id.Subject, rows []row, s *subject) []Finding {
	var found []Finding
	add := func(seq int64, p Problem) { found = append(found, Finding{sub, seq, p}) }
	prev, expect, gap := []byte(nil), int64(1), false
	for i := range rows {
		r := &rows[i]
		if r.Seq < 1 || s != nil && r.Seq > s.seq {
			add(r.Seq, RowInserted)
			continue
		}
		for ; expect < r.Seq && len(found) <= toldMost; expect++ {
			add(expect, RowMissing)
			gap = true
		}
		want := l.seal(r, prev)
		// A row after a gap cannot be checked itself: what it follows is gone.
		if !gap && !hmac.Equal(want, r.MAC) {
			switch {
			case i+1 < len(rows) && hmac.Equal(l.seal(&rows[i+1], want), rows[i+1].MAC):
				add(r.Seq, RowChanged) // its mac only
				r.MAC = want
			case i+1 == len(rows) && s == nil:
				add(r.Seq, RowInserted)
			default:
				add(r.Seq, RowChanged)
			}
		}
		prev, expect, gap = r.MAC, r.Seq+1, false
	}
	if s != nil {
		for ; expect <= s.seq && len(found) <= toldMost; expect++ {
			add(expect, RowMissing)
		}
		if len(found) == 0 && !bytes.Equal(prev, s.head) {
			add(s.seq, RowChanged)
		}
	}
	return found
}

// verifyRest checks what no chain covers: evidence against its hash, and the column that the gate
// reads against those that it is made of.
func verifyRest(ctx context.Context, q schema.Querier, after, to int64) ([]Finding, error) {
	var found []Finding
	var kept []struct {
		Subject id.Subject `db:"subject"`
		Seq     int64      `db:"seq"`
		Salt    []byte     `db:"salt"`
		Body    string     `db:"body"`
		Hash    []byte     `db:"evidence"`
	}
	err := q.Select(ctx, &kept, `SELECT e.subject, e.seq, e.salt, e.body, l.evidence FROM consent_evidence e
		JOIN consent_ledger l ON l.subject = e.subject AND l.seq = e.seq WHERE e.subject > ? AND e.subject <= ?`, after, to)
	if err != nil {
		return nil, err
	}
	for _, e := range kept {
		if !bytes.Equal(evidenceHash(e.Salt, []byte(e.Body)), e.Hash) {
			found = append(found, Finding{e.Subject, e.Seq, EvidenceChanged})
		}
	}
	var stale []id.Subject
	err = q.Select(ctx, &stale, `SELECT DISTINCT s.subject FROM consent_subjects s JOIN consent_state t ON t.contact = s.contact
		WHERE s.subject > ? AND s.subject <= ? AND t.live <> CASE WHEN s.blocks = 0 THEN t.granted ELSE 0 END`, after, to)
	if err != nil {
		return nil, err
	}
	for _, s := range stale {
		found = append(found, Finding{s, 0, StateDiffers})
	}
	return found, nil
}

// equal compares what is stored of two models, as far as types and topics are known.
func (m *model) equal(o *model, types, topics int64) bool {
	if m.blocks != o.blocks || len(m.state) != len(o.state) || len(m.tracks) != len(o.tracks) {
		return false
	}
	for p, a := range m.state {
		b := o.state[p]
		if b == nil || (a.granted^b.granted|a.refused^b.refused)&types != 0 || (a.explicit^b.explicit|a.refusedTopics^b.refusedTopics)&topics != 0 ||
			a.grantedAt != b.grantedAt || a.changedAt != b.changedAt || a.notice != b.notice {
			return false
		}
	}
	for c, a := range m.tracks {
		b := o.tracks[c]
		if b == nil || a.epoch != b.epoch || a.open != b.open || a.refused != b.refused || a.changedAt != b.changedAt {
			return false
		}
	}
	return m.sameItems(o)
}

// known returns the masks of all types and topics of the catalogue.
func (w *words) known() (types, topics int64) {
	for _, e := range w.catalogue.entries[KindType] {
		types |= 1 << e.Bit
	}
	for _, e := range w.catalogue.entries[KindTopic] {
		topics |= 1 << e.Bit
	}
	return types, topics
}
