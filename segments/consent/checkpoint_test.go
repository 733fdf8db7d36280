package consent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// subject returns the subject of a contact.
func (w *world) subject(c id.Contact) (s id.Subject) {
	w.t.Helper()
	w.ok(w.db.Get(w.ctx, &s, `SELECT subject FROM consent_subjects WHERE contact = ?`, c))
	return s
}

// checkpoint writes one that must be free of findings.
func (w *world) checkpoint(path string) {
	w.t.Helper()
	found, err := w.l.Checkpoint(w.ctx, path)
	w.ok(err)
	if len(found) > 0 {
		w.t.Fatalf("the checkpoint finds %v", found)
	}
}

func (w *world) verify(path string) []Finding {
	w.t.Helper()
	found, err := w.l.Verify(w.ctx, path)
	w.ok(err)
	return found
}

// finds fails unless both Verify and Checkpoint find just this, and the checkpoint stays as it is.
func (w *world) finds(path string, want ...Finding) {
	w.t.Helper()
	if found := w.verify(path); !slices.Equal(found, want) {
		w.t.Errorf("verify finds %v, want %v", found, want)
	}
	before, err := os.ReadFile(path)
	w.ok(err)
	w.pass(time.Second)
	found, err := w.l.Checkpoint(w.ctx, path)
	w.ok(err)
	if !slices.Equal(found, want) {
		w.t.Errorf("the next checkpoint finds %v, want %v", found, want)
	}
	if after, err := os.ReadFile(path); err != nil || (len(want) > 0) != bytes.Equal(before, after) {
		w.t.Errorf("the checkpoint was overwritten: %v, %v", !bytes.Equal(before, after), err)
	}
	w.noLitter(filepath.Dir(path))
}

func (w *world) noLitter(dir string) {
	w.t.Helper()
	list, err := os.ReadDir(dir)
	w.ok(err)
	for _, f := range list {
		if strings.HasSuffix(f.Name(), ".new") {
			w.t.Errorf("%s is left", f.Name())
		}
	}
}

// setBack makes a held contact's own map agree with the rows that are left, and the state with both, as
// somebody does who knows the schema.
func (w *world) setBack(c id.Contact) {
	w.t.Helper()
	w.exec(`UPDATE consent_subjects SET
		seq = (SELECT COALESCE(MAX(l.seq), 0) FROM consent_ledger l WHERE l.subject = consent_subjects.subject),
		head = COALESCE((SELECT l.mac FROM consent_ledger l WHERE l.subject = consent_subjects.subject ORDER BY l.seq DESC LIMIT 1), ?)
		WHERE contact = ?`, []byte{}, c)
	w.exec(`DELETE FROM suppressions`)
	w.tx(func(tx *schema.Tx) error { return w.l.Rebuild(w.ctx, tx, c) })
}

func TestL8ACheckpointShowsWhatTheDatabaseAloneCannot(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		type change struct {
			name  string
			do    func(c id.Contact, s id.Subject)
			alone []Problem // what the ledger tells without a checkpoint
			want  []Finding
		}
		gone := func(rows string) func(id.Contact, id.Subject) {
			return func(_ id.Contact, s id.Subject) {
				w.unguarded(`DELETE FROM consent_ledger WHERE subject = ? AND `+rows, s)
			}
		}
		setBack := func(rows string) func(id.Contact, id.Subject) {
			return func(c id.Contact, s id.Subject) {
				gone(rows)(c, s)
				w.setBack(c)
			}
		}
		forgotten := func(then func(id.Contact, id.Subject)) func(id.Contact, id.Subject) {
			return func(c id.Contact, s id.Subject) {
				w.erase(c, BlockErased)
				then(c, s)
			}
		}
		for _, k := range []change{
			{"nothing", func(id.Contact, id.Subject) {}, nil, nil},
			{"an erasure, which is allowed", forgotten(func(id.Contact, id.Subject) {}), nil, nil},
			{"a new row", func(c id.Contact, _ id.Subject) { w.grant(c, w.acme, promo) }, nil, nil},
			{"the newest row is gone", gone("seq = 3"), []Problem{RowMissing}, []Finding{{0, 3, RowMissing}}},
			{"a cut tail, set back", setBack("seq > 1"), nil, []Finding{{0, 2, ChainCut}}},
			{"a cut tail, set back and written on", func(c id.Contact, s id.Subject) {
				setBack("seq > 1")(c, s)
				w.grant(c, w.acme, promo)
				w.grant(c, w.acme, promo)
			}, nil, []Finding{{0, 3, RowChanged}}},
			{"a cut tail of a forgotten contact", forgotten(gone("seq = 3")), nil, []Finding{{0, 3, ChainCut}}},
			{"the chain is gone, its contact is not", gone("seq > 0"), []Problem{RowMissing, RowMissing, RowMissing}, []Finding{{0, 1, RowMissing}, {0, 2, RowMissing}, {0, 3, RowMissing}}},
			{"the chain and all that told of it", forgotten(gone("seq > 0")), nil, []Finding{{0, 3, ChainMissing}}},
			{"the chain, set back to nothing", setBack("seq > 0"), nil, []Finding{{0, 3, ChainMissing}}},
			{"a changed row", func(_ id.Contact, s id.Subject) {
				w.unguarded(`UPDATE consent_ledger SET types = 'company-updates' WHERE subject = ? AND seq = 1`, s)
			}, []Problem{RowChanged}, nil}, // the chain itself tells, its head is as it was
			{"a changed head", func(_ id.Contact, s id.Subject) {
				w.unguarded(`UPDATE consent_ledger SET mac = evidence WHERE subject = ? AND seq = 3`, s)
			}, []Problem{RowChanged}, []Finding{{0, 3, RowChanged}}},
		} {
			t.Run(k.name, func(t *testing.T) {
				w.t = t
				path := filepath.Join(t.TempDir(), "consent.heads")
				who := w.contact("", "")
				w.grant(who, w.acme, letter)
				w.track(who, w.acme, true)
				w.record(Entry{Contact: who, Action: Object})
				s := w.subject(who)
				other := w.contact("", "")
				w.grant(other, w.acme, letter) // the newest of all
				w.clean()
				w.checkpoint(path)
				if found := w.verify(path); len(found) > 0 {
					t.Fatalf("untouched: %v", found)
				}
				k.do(who, s)
				var alone []Problem
				for _, f := range w.verify("") {
					alone = append(alone, f.Problem)
				}
				if !slices.Equal(alone, k.alone) {
					t.Errorf("without a checkpoint: %v, want %v", alone, k.alone)
				}
				want := slices.Clone(k.want)
				for i := range want {
					want[i].Subject = s
				}
				if len(k.want) > 0 || len(k.alone) == 0 {
					found := w.verify(path)
					if !slices.Equal(found, want) {
						t.Errorf("verify finds %v, want %v", found, want)
					}
				}
				if found, err := w.l.Checkpoint(w.ctx, path); err != nil || (len(found) > 0) != (len(k.want) > 0) {
					t.Errorf("the next checkpoint finds %v, %v", found, err)
				}
				w.unguarded(`DELETE FROM consent_ledger`)
				for _, q := range []string{`DELETE FROM consent_evidence`, `DELETE FROM consent_state`, `DELETE FROM consent_tracking`, `DELETE FROM consent_subjects`, `DELETE FROM suppressions`} {
					w.exec(q)
				}
			})
		}
		w.t = t
	})
}

func TestL8YesterdaysDatabaseIsFound(t *testing.T) {
	eachPair(t, func(t *testing.T, now, yesterday *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		var people []id.Contact
		for range 5 {
			yesterday.clock = now.clock
			c := now.contact("", "")
			people = append(people, c)
			now.grant(c, now.acme, letter)
		}
		now.copyTo(yesterday)
		yesterday.checkpoint(path)
		now.checkpoint(path)
		now.pass(24 * time.Hour)
		now.record(Entry{Contact: people[0], Action: Withdraw, Company: now.acme})
		now.record(Entry{Contact: people[1], Action: Object})
		late := now.contact("", "")
		now.grant(late, now.acme, letter)
		now.checkpoint(path)
		if found := now.verify(path); len(found) > 0 {
			t.Fatalf("the new one: %v", found)
		}
		cut := []Finding{{now.subject(people[0]), 2, ChainCut}, {now.subject(people[1]), 2, ChainCut}, {now.subject(late), 1, ChainMissing}}
		slices.SortFunc(cut, Finding.compare)
		want := append([]Finding{{Problem: DatabaseOlder}}, cut...)
		yesterday.clock = now.clock
		if found := yesterday.verify(""); len(found) > 0 {
			t.Errorf("yesterday's is whole, and yet: %v", found)
		}
		yesterday.finds(path, want...)
		// It goes on being found once there is new work in it.
		yesterday.pass(time.Hour)
		yesterday.grant(people[4], yesterday.acme, promo)
		yesterday.finds(path, want...)
		if found := yesterday.verify(path); !strings.Contains(fmt.Sprint(found), "older than its checkpoint") || !strings.Contains(fmt.Sprint(found), "chain of 1 rows missing") {
			t.Errorf("it reads %v", found)
		}

		before, err := os.ReadFile(path)
		now.ok(err)
		found, err := yesterday.l.AcceptRestore(t.Context(), path)
		now.ok(err)
		if !slices.Equal(found, want) {
			t.Errorf("what was lost: %v, want %v", found, want)
		}
		yesterday.finds(path)
		kept, err := filepath.Glob(path + ".*.old")
		now.ok(err)
		if len(kept) != 1 {
			t.Fatalf("kept %v", kept)
		}
		if b, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(b, before) {
			t.Errorf("the old checkpoint is not what it was: %v", err)
		}
		// Once more, on the same day, and with nothing to set aside.
		for _, p := range []string{path, filepath.Join(t.TempDir(), "other.heads")} {
			if found, err := yesterday.l.AcceptRestore(t.Context(), p); err != nil || len(found) > 0 {
				t.Errorf("accepted again: %v, %v", found, err)
			}
			yesterday.finds(p)
		}
		if kept, err = filepath.Glob(path + ".*.old"); err != nil || len(kept) != 2 {
			t.Errorf("kept %v, %v", kept, err)
		}
	})
}

// copyTo makes another database hold the same ledger, as a backup of this one that is restored.
func (w *world) copyTo(o *world) {
	w.t.Helper()
	for _, table := range []struct {
		name    string
		columns []string
	}{
		{"contacts", []string{"id", "email", "created_at", "updated_at"}},
		{"consent_subjects", subjectTable.columns}, {"consent_ledger", ledgerTable.columns}, {"consent_evidence", evidenceTable.columns},
		{"consent_state", stateTable.columns}, {"consent_tracking", trackTable.columns}, {"suppressions", suppressionTable.columns},
	} {
		list := strings.Join(table.columns, ", ")
		rows, err := w.db.Query(w.ctx, `SELECT `+list+` FROM `+table.name)
		w.ok(err)
		for rows.Next() {
			cells, err := rows.SliceScan()
			w.ok(err)
			for i := range cells {
				if b, ok := cells[i].([]byte); ok && len(b) == 0 { // as which SQLite gives an empty one back
					cells[i] = []byte{}
				}
			}
			o.exec(`INSERT INTO `+table.name+` (`+list+`) VALUES `+schema.Rows(1, len(cells)), cells...)
		}
		w.ok(rows.Err())
		w.ok(rows.Close())
	}
}

func TestL8AForgedCheckpointIsFound(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		for range 3 {
			w.grant(w.contact("", ""), w.acme, letter)
		}
		w.checkpoint(path)
		good, err := os.ReadFile(path)
		w.ok(err)
		stranger := NewLedger(w.db, LedgerOptions{HashKey: []byte("another key of some length"), Now: w.l.now})
		w.ok(os.Remove(path))
		if _, err := stranger.Checkpoint(w.ctx, path); err != nil {
			t.Fatal(err)
		}
		foreign, err := os.ReadFile(path)
		w.ok(err)
		flip := func(at int) []byte {
			b := slices.Clone(good)
			b[at] ^= 1
			return b
		}
		first := len(checkpointLine)
		forged := map[string][]byte{
			"of another key": foreign, "empty": nil, "cut short": good[:len(good)-1], "cut to its first line": good[:first], "something else": []byte("hello"),
			"longer": append(slices.Clone(good), 0), "without one head": slices.Concat(good[:first], good[first+headSize:]),
			"with a head twice": slices.Concat(good[:first+headSize], good[first:]), "of another version": flip(first - 2),
			"heads in another order": slices.Concat(good[:first], good[first+headSize:first+2*headSize], good[first:first+headSize], good[first+2*headSize:]),
			"no heads at all":        slices.Concat(good[:first], good[len(good)-trailerSize:]),
		}
		for i, name := range []string{"subject", "number", "mac"} {
			forged["another "+name] = flip(first + headSize + []int{7, 15, 20}[i])
		}
		for i, name := range []string{"time", "newest row", "count", "seal"} {
			forged["another "+name] = flip(len(good) - trailerSize + 8*i + 7)
		}
		for name, b := range forged {
			w.ok(os.WriteFile(path, b, 0o600))
			if found := w.verify(path); !slices.Equal(found, []Finding{{Problem: CheckpointForged}}) {
				t.Errorf("%s: %v", name, found)
			}
			found, err := w.l.Checkpoint(w.ctx, path)
			w.ok(err)
			if after, err := os.ReadFile(path); len(found) != 1 || found[0].Problem != CheckpointForged || !bytes.Equal(after, b) || err != nil {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
		// What else is wrong is told beside it; the operator's word puts a new one in its place.
		var s id.Subject
		w.ok(w.db.Get(w.ctx, &s, `SELECT MAX(subject) FROM consent_subjects`))
		w.unguarded(`UPDATE consent_ledger SET types = 'company-updates' WHERE subject = ?`, s)
		if found := w.verify(path); !slices.Equal(found, []Finding{{Problem: CheckpointForged}, {s, 1, RowChanged}}) {
			t.Errorf("got %v", found)
		}
		if found, err := w.l.AcceptRestore(w.ctx, path); err != nil || !slices.Equal(found, []Finding{{Problem: CheckpointForged}}) {
			t.Errorf("accepted: %v, %v", found, err)
		}
		if found := w.verify(path); !slices.Equal(found, []Finding{{s, 1, RowChanged}}) {
			t.Errorf("got %v", found)
		}
	})
}

func TestL8ACheckpointThatIsNotThereIsTold(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		if found := w.verify(path); len(found) > 0 {
			t.Errorf("of an empty ledger: %v", found)
		}
		w.ok(os.WriteFile(path+"-1234.new", []byte("half"), 0o600)) // of a process that was killed
		w.checkpoint(path)
		w.finds(path)
		w.ok(os.Remove(path))
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		if found := w.verify(path); !slices.Equal(found, []Finding{{Problem: CheckpointMissing}}) {
			t.Errorf("got %v", found)
		}
		w.checkpoint(path)
		w.finds(path)
		nowhere := filepath.Join(t.TempDir(), "missing", "consent.heads")
		if _, err := w.l.Checkpoint(w.ctx, nowhere); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("written to a directory that is not there: %v", err)
		}
		if found := w.verify(nowhere); !slices.Equal(found, []Finding{{Problem: CheckpointMissing}}) {
			t.Errorf("got %v", found)
		}
	})
}

// The file holds each chain's newest row, in order, and nothing of anybody.
func TestL8ACheckpointHoldsEveryHead(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		const chains = 7000 // more than a piece
		w.fill(chains, true, func(fn func()) { fn() })
		w.grant(1, w.acme, promo)
		forgotten := w.subject(2)
		w.erase(2, BlockErased)
		w.tx(func(tx *schema.Tx) error { // who has no chain
			if _, err := tx.Exec(w.ctx, `INSERT INTO contacts (id, email, created_at, updated_at) VALUES (?, 'silent@example.org', 1, 1)`, chains+1); err != nil {
				return err
			}
			return w.l.Register(w.ctx, tx, []Contact{{chains + 1, "silent@example.org"}})
		})
		w.checkpoint(path)
		var want []ledgerRow
		w.ok(w.db.Select(w.ctx, &want, `SELECT l.subject, l.seq, l.mac FROM consent_ledger l JOIN
			(SELECT subject, MAX(seq) AS seq FROM consent_ledger GROUP BY subject) h ON h.subject = l.subject AND h.seq = l.seq ORDER BY l.subject`))
		c, err := w.l.openCheckpoint(path)
		w.ok(err)
		defer c.close()
		for _, r := range want {
			if !c.more || c.head != headOf(r.Subject, r.Seq, r.MAC) {
				t.Fatalf("the file has %+v, the ledger %+v", c.head, r)
			}
			w.ok(c.next())
		}
		if len(want) != chains || c.more || !c.whole() || c.written != schema.At(w.clock) {
			t.Errorf("%d heads, more %v, written %s", len(want), c.more, c.written)
		}
		if !slices.ContainsFunc(want, func(r ledgerRow) bool { return r.Subject == forgotten }) {
			t.Error("a forgotten contact's chain is not among them")
		}
		if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("@")) && bytes.Contains(b, []byte("example.org")) || len(b) != len(checkpointLine)+chains*headSize+trailerSize {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		w.finds(path)
	})
}

func TestL8FindingsStayFew(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		const chains = 2600
		w.fill(chains, true, func(fn func()) { fn() })
		w.checkpoint(path)
		w.unguarded(`DELETE FROM consent_ledger WHERE subject IN (SELECT subject FROM consent_subjects WHERE contact > 100)`)
		for _, q := range []string{`DELETE FROM consent_state WHERE contact > 1100`, `DELETE FROM consent_tracking WHERE contact > 1100`, `DELETE FROM consent_subjects WHERE contact > 1100`} {
			w.exec(q)
		}
		held := w.verify("")
		if len(held) != toldMost || held[0].Problem != RowMissing {
			t.Errorf("%d findings, %v", len(held), held[0])
		}
		// 1,000 chains of contacts that are held are told of once, and 1,500 others.
		fromCheckpoint, err := w.l.Checkpoint(w.ctx, path)
		w.ok(err)
		for name, found := range map[string][]Finding{"verify": w.verify(path), "checkpoint": fromCheckpoint} {
			if n := len(found); n != toldMost+1 || found[n-1] != (Finding{Seq: 1500, Problem: More}) || found[n-1].String() != "and 1500 more findings" {
				t.Errorf("%s: %d findings, the last %v", name, n, found[n-1])
			}
		}
		// Nor does a number out of the blue in the map of one contact make a list that long.
		w.exec(`UPDATE consent_subjects SET seq = 1000000000000 WHERE contact = 1`)
		if found := w.verify(""); len(found) != toldMost+1 {
			t.Errorf("%d findings", len(found))
		}
	})
}

// Nodes that write checkpoints while others write the ledger never leave one that finds fault with it.
func TestL8CheckpointsWhileTheLedgerGrows(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "consent.heads")
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		var people []id.Contact
		for range 40 {
			people = append(people, w.contact("", ""))
		}
		other := NewLedger(w.db, LedgerOptions{HashKey: testKey, Now: w.l.now})
		writing := make(chan error)
		for _, l := range []*Ledger{w.l, other} {
			go func() {
				for ctx.Err() == nil {
					if found, err := l.Checkpoint(ctx, path); len(found) > 0 || err != nil && ctx.Err() == nil {
						writing <- fmt.Errorf("found %v, %w", found, err)
						return
					}
				}
				writing <- nil
			}()
		}
		for i := range 200 {
			c := people[i%len(people)]
			w.tx(func(tx *schema.Tx) error {
				_, err := w.l.Record(w.ctx, tx, Entry{Contact: c, Action: Withdraw, Company: w.acme, How: ByForm})
				return err
			})
		}
		cancel()
		if err := errors.Join(<-writing, <-writing); err != nil {
			t.Error(err)
		}
		if found := w.verify(path); len(found) > 0 {
			t.Errorf("got %v", found)
		}
		w.finds(path)
	})
}

// Whatever the bytes: a file is whole only if a ledger with this key wrote just these.
func FuzzCheckpoint(f *testing.F) {
	l := NewLedger(nil, LedgerOptions{HashKey: testKey})
	write := func(heads []head, written, newest schema.Time) []byte {
		var b bytes.Buffer
		w, err := l.newCheckpoint(&b)
		if err != nil {
			f.Fatal(err)
		}
		for _, h := range heads {
			if err := w.add(h); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.finish(&b, written, newest); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	mac := []byte("0123456789abcdef0123456789abcdef")
	some := write([]head{headOf(3, 1, mac), headOf(5, 7, mac), headOf(math.MaxInt64, 2, mac)}, 9, 8)
	f.Add(some)
	f.Add(write(nil, 1, 0))
	f.Add(some[:len(some)-8])
	f.Add(slices.Concat(some[:len(checkpointLine)+headSize], some[len(checkpointLine):]))
	path := filepath.Join(f.TempDir(), "heads")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := l.openCheckpoint(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		var heads []head
		for c.more {
			heads = append(heads, c.head)
			if err := c.next(); err != nil {
				t.Fatal(err)
			}
		}
		if whole := c.whole(); whole != bytes.Equal(b, write(heads, c.written, c.newest)) {
			t.Fatalf("whole: %v", whole)
		}
	})
}
