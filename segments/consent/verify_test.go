package consent

import (
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
)

// unguarded runs statements with the triggers of the ledger out of the way, as whoever owns the
// database file could.
func (w *world) unguarded(statement string, args ...any) {
	w.t.Helper()
	off, on := []string{`DROP TRIGGER consent_ledger_no_update`, `DROP TRIGGER consent_ledger_no_delete`}, []string{
		`CREATE TRIGGER consent_ledger_no_update BEFORE UPDATE ON consent_ledger BEGIN SELECT RAISE(ABORT, 'consent_ledger is append-only'); END`,
		`CREATE TRIGGER consent_ledger_no_delete BEFORE DELETE ON consent_ledger BEGIN SELECT RAISE(ABORT, 'consent_ledger is append-only'); END`}
	if w.db.Dialect() == schema.Postgres {
		off, on = []string{`ALTER TABLE consent_ledger DISABLE TRIGGER USER`}, []string{`ALTER TABLE consent_ledger ENABLE TRIGGER USER`}
	}
	for _, s := range off {
		w.exec(s)
	}
	w.exec(statement, args...)
	for _, s := range on {
		w.exec(s)
	}
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	const insert = `INSERT INTO consent_ledger (` + rowColumns + `) SELECT subject, 4, action, company, channel, types, topics, tracking, item, notice, notice_hash, how,
		captured_at, requested_at, confirmed_at, recorded_at, actor, evidence, outcome, mac FROM consent_ledger WHERE subject = ? AND seq = 3`
	type change struct {
		name, statement string
		want            []Finding
	}
	changes := []change{
		{"a type of the first row", `UPDATE consent_ledger SET types = 'company-updates' WHERE subject = ? AND seq = 1`, []Finding{{0, 1, RowChanged}}},
		{"the time of a row in the middle", `UPDATE consent_ledger SET captured_at = captured_at - 1 WHERE subject = ? AND seq = 2`, []Finding{{0, 2, RowChanged}}},
		{"the outcome of the last row", `UPDATE consent_ledger SET outcome = 'older' WHERE subject = ? AND seq = 3`, []Finding{{0, 3, RowChanged}}},
		{"the mac of a row", `UPDATE consent_ledger SET mac = evidence WHERE subject = ? AND seq = 2`, []Finding{{0, 2, RowChanged}}},
		{"the first row is gone", `DELETE FROM consent_ledger WHERE subject = ? AND seq = 1`, []Finding{{0, 1, RowMissing}}},
		{"a row in the middle is gone", `DELETE FROM consent_ledger WHERE subject = ? AND seq = 2`, []Finding{{0, 2, RowMissing}}},
		{"the end is cut off", `DELETE FROM consent_ledger WHERE subject = ? AND seq >= 2`, []Finding{{0, 2, RowMissing}, {0, 3, RowMissing}}},
		{"the whole chain is gone", `DELETE FROM consent_ledger WHERE subject = ?`, []Finding{{0, 1, RowMissing}, {0, 2, RowMissing}, {0, 3, RowMissing}}},
		{"a row is added", insert, []Finding{{0, 4, RowInserted}}},
		{"evidence", `UPDATE consent_evidence SET body = '{"shown":"something else"}' WHERE subject = ?`, []Finding{{0, 1, EvidenceChanged}}},
		{"evidence is erased, which is allowed", `DELETE FROM consent_evidence WHERE subject = ?`, nil},
		{"the state", `UPDATE consent_state SET granted = 255, live = 255 WHERE contact = (SELECT contact FROM consent_subjects WHERE subject = ?)`, []Finding{{0, 0, StateDiffers}}},
		{"what the gate reads", `UPDATE consent_state SET live = 1 WHERE contact = (SELECT contact FROM consent_subjects WHERE subject = ?)`, []Finding{{0, 0, StateDiffers}}},
		{"tracking", `UPDATE consent_tracking SET open = TRUE, epoch = 9 WHERE contact = (SELECT contact FROM consent_subjects WHERE subject = ?)`, []Finding{{0, 0, StateDiffers}}},
		{"a block", `UPDATE consent_subjects SET blocks = 0 WHERE subject = ?`, []Finding{{0, 0, StateDiffers}}},
	}
	eachDatabase(t, func(t *testing.T, w *world) {
		for _, c := range changes {
			t.Run(c.name, func(t *testing.T) {
				w.t = t
				who, other := w.contact("", ""), w.contact("", "")
				w.grant(other, w.acme, letter)
				w.record(Entry{Contact: who, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Evidence: map[string]string{"shown": "this"}})
				w.track(who, w.acme, true)
				w.record(Entry{Contact: who, Action: Object})
				var s id.Subject
				w.ok(w.db.Get(w.ctx, &s, `SELECT subject FROM consent_subjects WHERE contact = ?`, who))
				w.clean()
				w.unguarded(c.statement, s)
				found, err := w.l.Verify(w.ctx, "")
				w.ok(err)
				for i := range found {
					if found[i].Subject != s {
						t.Errorf("another subject: %v", found[i])
					}
					found[i].Subject = 0
				}
				if !slices.Equal(found, c.want) {
					t.Errorf("got %v, want %v", found, c.want)
				}
				// Put it out of the way of the next case.
				w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, who, 0) })
				w.unguarded(`DELETE FROM consent_ledger WHERE subject = ?`, s)
			})
		}
		w.t = t
	})
}

func (w *world) clean() {
	w.t.Helper()
	found, err := w.l.Verify(w.ctx, "")
	w.ok(err)
	if len(found) > 0 {
		w.t.Fatalf("Verify finds %v", found)
	}
}

func TestVerifyReadsAForgottenChainToo(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		w.grant(c, w.acme, promo)
		w.tx(func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, c, BlockErased) })
		w.clean()
		w.unguarded(`UPDATE consent_ledger SET types = 'company-updates' WHERE seq = 1`)
		found, err := w.l.Verify(w.ctx, "")
		w.ok(err)
		if len(found) != 1 || found[0].Seq != 1 || found[0].Problem != RowChanged || !strings.Contains(found[0].String(), "row 1: changed") {
			t.Errorf("got %v", found)
		}
	})
}

func TestARowOfAnotherKeyIsFound(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		stranger := NewLedger(w.db, LedgerOptions{HashKey: []byte("another key of some length"), Now: w.l.now})
		found, err := stranger.Verify(w.ctx, "")
		w.ok(err)
		if len(found) != 1 || found[0].Problem != RowChanged {
			t.Errorf("got %v", found)
		}
	})
}

func TestRebuildUndoesWhatWasDoneToTheState(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		w.track(c, w.acme, true)
		w.exec(`UPDATE consent_state SET granted = 255, live = 255`)
		w.exec(`UPDATE consent_tracking SET epoch = 7`)
		w.exec(`INSERT INTO consent_state (contact, company, channel, granted, live, changed_at) VALUES (?, ?, 'post', 1, 1, 1)`, c, w.bolt)
		w.tx(func(tx *schema.Tx) error { return w.l.Rebuild(w.ctx, tx, c) })
		w.clean()
		w.want(c, mail(w.acme, promo), OtherConsent)
		if d := w.ask(c, mail(w.acme, letter)); d.Epoch != 1 {
			t.Errorf("got %+v", d)
		}
	})
}
