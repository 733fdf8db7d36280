package event

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// fakeGate is open unless a row of settings closes a contact.
type fakeGate struct{}

func (fakeGate) TrackOpen(contact, company, epoch string) consent.Fragment {
	return consent.Fragment{SQL: `NOT EXISTS (SELECT 1 FROM settings s WHERE s.name = ? || ` + contact + `) AND ` + company + ` > 0 AND ` + epoch + ` = 1`, Args: []any{"closed-"}}
}

func closeGate(t testing.TB, db *schema.DB, contact int) {
	t.Helper()
	execute(t, db, `INSERT INTO settings (name, value) VALUES (?, '')`, fmt.Sprintf("closed-%d", contact))
}

func execute(t testing.TB, db *schema.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.Background(), query, args...); err != nil {
		t.Fatal(err)
	}
}

const sent = schema.Time(1_000_000) // before day

// seed makes campaigns 1 and 2 with the given number of links, and contacts 1 to n with a message
// of each campaign: message 1000*campaign+contact, identified, of epoch 1.
func seed(t testing.TB, db *schema.DB, n, links int) {
	t.Helper()
	err := db.Tx(context.Background(), func(tx *schema.Tx) error {
		ctx := context.Background()
		if _, err := tx.Exec(ctx, `INSERT INTO companies (id, slug, name, created_at) VALUES (1, 'acme', 'Acme', 1)`); err != nil {
			return err
		}
		for c := 1; c <= n; c++ {
			if _, err := tx.Exec(ctx, `INSERT INTO contacts (id, email, created_at, updated_at) VALUES (?, ?, 1, 1)`, c, fmt.Sprintf("p%d@example.org", c)); err != nil {
				return err
			}
		}
		for k := 1; k <= 2; k++ {
			if _, err := tx.Exec(ctx, `INSERT INTO campaigns (id, name, company, type, subject, sender, html, audience, tracking, status, created_at)
				VALUES (?, 'c', 1, 'newsletter', 's', 'a@example.org', '', '{}', 'consented', 'finished', 1)`, k); err != nil {
				return err
			}
			for l := 1; l <= links; l++ {
				if _, err := tx.Exec(ctx, `INSERT INTO links (campaign, position, label, url) VALUES (?, ?, ?, ?)`, k, l, fmt.Sprint("link ", l), fmt.Sprint("https://example.org/", l)); err != nil {
					return err
				}
			}
			for c := 1; c <= n; c++ {
				if _, err := tx.Exec(ctx, `INSERT INTO messages (id, campaign, contact, mode, epoch, status, sent_at) VALUES (?, ?, ?, 'identified', 1, 'sent', ?)`,
					1000*k+c, k, c, sent); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

type rig struct {
	t     testing.TB
	db    *schema.DB
	spool *Spool
	drain *Drain
	sink  *sumSink
}

func newRig(t testing.TB, db *schema.DB) *rig {
	r := &rig{t: t, db: db, spool: openSpool(t, t.TempDir(), Options{}), sink: &sumSink{t: t}}
	r.drain = r.newDrain(r.spool)
	return r
}

func (r *rig) newDrain(s *Spool) *Drain {
	return &Drain{DB: r.db, Gate: fakeGate{}, Spool: s, Sink: r.sink, Report: func(err error) { r.t.Errorf("reported: %v", err) }}
}

// hits appends and drains.
func (r *rig) hits(hits ...Hit) {
	r.t.Helper()
	for _, h := range hits {
		appendHit(r.t, r.spool, h)
	}
	r.flush()
}

func (r *rig) flush() {
	r.t.Helper()
	if err := r.drain.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// sumSink adds up deltas, and checks that they form chains.
type sumSink struct {
	t     testing.TB
	heads map[string]int64
	sum   map[Cell]int64
	err   error
}

func (s *sumSink) Push(_ context.Context, deltas []Delta) error {
	if s.heads == nil {
		s.heads, s.sum = map[string]int64{}, map[Cell]int64{}
	}
	for _, d := range deltas {
		k := fmt.Sprint(d.Campaign, d.Node)
		if s.heads[k] != d.Prev && s.heads[k] != d.Seq {
			s.t.Errorf("campaign %d: delta %d after %d, but the chain is at %d", d.Campaign, d.Seq, d.Prev, s.heads[k])
		}
		s.heads[k] = d.Seq
		for c, n := range d.Cells {
			s.sum[c] += n
		}
	}
	return s.err
}

// totals reads counts as "kind link verdict region" → n, zeros left out.
func totals(t testing.TB, db *schema.DB) map[string]int {
	t.Helper()
	var list []struct {
		Kind, Verdict, Region string
		Link, N               int
	}
	if err := db.Select(context.Background(), &list, `SELECT kind, link, verdict, region, CAST(SUM(n) AS BIGINT) AS n FROM counts GROUP BY kind, link, verdict, region HAVING SUM(n) <> 0`); err != nil {
		t.Fatal(err)
	}
	m := map[string]int{}
	for _, c := range list {
		m[strings.TrimSpace(fmt.Sprintf("%s %d %s %s", c.Kind, c.Link, c.Verdict, c.Region))] = c.N
	}
	return m
}

func (r *rig) totals(want map[string]int) {
	r.t.Helper()
	if got := totals(r.t, r.db); !maps.Equal(got, want) {
		r.t.Errorf("counts are %v, want %v", got, want)
	}
	r.consistent()
}

// consistent holds events = counts = what the sink was told.
func (r *rig) consistent() {
	r.t.Helper()
	if err := Verify(context.Background(), r.db, 0); err != nil {
		r.t.Error(err)
	}
	var list []struct {
		Cell
		N int64 `db:"n"`
	}
	if err := r.db.Select(context.Background(), &list, `SELECT campaign, hour, kind, link, verdict, region, CAST(SUM(n) AS BIGINT) AS n FROM counts GROUP BY campaign, hour, kind, link, verdict, region`); err != nil {
		r.t.Fatal(err)
	}
	durable := map[Cell]int64{}
	for _, c := range list {
		durable[c.Cell] = c.N
	}
	zero := func(_ Cell, n int64) bool { return n == 0 }
	told := maps.Clone(r.sink.sum)
	maps.DeleteFunc(durable, zero)
	maps.DeleteFunc(told, zero)
	if !maps.Equal(durable, told) {
		r.t.Errorf("the sink was told %v, counts are %v", told, durable)
	}
}

func (r *rig) text(query string, args ...any) string {
	r.t.Helper()
	var rows []string
	if err := r.db.Select(context.Background(), &rows, query, args...); err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(rows, "\n")
}

func (r *rig) events() string {
	r.t.Helper()
	return r.text(`SELECT message || ' ' || kind || ' ' || link || ' ' || verdict || ' ' || reason FROM events ORDER BY id`)
}

func click1(message id.Message, link int, after time.Duration) Hit {
	h := hit(id.Campaign(message/1000), message)
	h.Kind, h.Link, h.At = Click, link, day.Add(after)
	return h
}

func TestS11S12L18WhatAHitBecomes(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 5, 4)
		r := newRig(t, db)
		closeGate(t, db, 2)
		execute(t, db, `UPDATE messages SET mode = 'anonymous', epoch = 0 WHERE id = 1003`)
		execute(t, db, `UPDATE messages SET epoch = 2 WHERE id = 1004`)
		execute(t, db, `UPDATE messages SET contact = NULL WHERE id = 1005`)
		anonymous, bot, private, privateBot, refused := hit(1, 0), hit(1, 0), hit(1, 1001), hit(1, 0), hit(1, 1002)
		anonymous.Kind, anonymous.Link = Click, 2
		bot.Verdict = Machine
		private.Private = true
		privateBot.Private, privateBot.Verdict = true, Machine
		refused.Private = true
		r.hits(
			hit(1, 1001),       // permitted
			click1(1001, 1, 0), // permitted
			hit(1, 1002),       // the gate refuses
			click1(1002, 1, 0), // the gate refuses
			hit(1, 1003),       // was sent anonymous
			hit(1, 1004),       // another epoch
			hit(1, 1005),       // erased
			hit(1, 999),        // unknown
			hit(2, 1001),       // of another campaign
			refused,            // the gate refuses, and asked not to be tracked
			anonymous, bot, private, privateBot,
		)
		if got, want := r.events(), "1001 open 0 person browser\n1001 click 1 person browser"; got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
		r.totals(map[string]int{"open 0 person GB-ENG": 1, "click 1 person GB-ENG": 1, "click 2 anonymous GB-ENG": 1,
			"open 0 anonymous-machine GB-ENG": 1, "open 0 private": 1, "open 0 anonymous-machine": 1})
		if got := r.text(`SELECT contact || ' ' || region FROM contact_regions`); got != "1 GB-ENG" {
			t.Errorf("regions: %s", got)
		}
		if got := r.text(`SELECT message || ' ' || link FROM message_links`); got != "1001 1" {
			t.Errorf("firsts: %s", got)
		}
		if got := r.text(`SELECT CAST(id AS TEXT) FROM messages WHERE opened_at <> 0`); got != "1001" {
			t.Errorf("opened: %s", got)
		}
		if r.spool.Backlog() != 0 {
			t.Errorf("backlog %d", r.spool.Backlog())
		}
	})
}

func TestFirstsAreTheEarliestHitsThatAreNotMachines(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 4)
		r := newRig(t, db)
		at := func(h Hit, after time.Duration, v Verdict) Hit { h.At, h.Verdict = day.Add(after), v; return h }
		r.hits(at(hit(1, 1001), time.Hour, Machine))
		if got := r.text(`SELECT CAST(opened_at AS TEXT) FROM messages WHERE id = 1001`); got != "0" {
			t.Errorf("a machine opened it: %s", got)
		}
		r.hits(at(hit(1, 1001), 3*time.Hour, Unverifiable), click1(1001, 2, 3*time.Hour))
		r.hits(at(hit(1, 1001), 2*time.Hour, Person), at(hit(1, 1001), 4*time.Hour, Person), click1(1001, 2, 2*time.Hour), click1(1001, 2, 4*time.Hour))
		if got, want := r.text(`SELECT CAST(opened_at AS TEXT) FROM messages WHERE id = 1001`), fmt.Sprint(int64(day.Add(2*time.Hour))); got != want {
			t.Errorf("opened at %s, want %s", got, want)
		}
		if got, want := r.text(`SELECT CAST(first_at AS TEXT) FROM message_links`), fmt.Sprint(int64(day.Add(2*time.Hour))); got != want {
			t.Errorf("clicked at %s, want %s", got, want)
		}
		r.consistent()
	})
}

func TestAClickByAPersonSaysNothingAboutOpens(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	r.hits(click1(1001, 1, 0))
	if got := r.text(`SELECT CAST(opened_at AS TEXT) FROM messages WHERE id = 1001`); got != "0" {
		t.Fatalf("opened at %s", got)
	}
}

func TestTheRegionOfAContactIsThatOfTheLatestClickAsAPerson(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 4)
		r := newRig(t, db)
		from := func(h Hit, region string, v Verdict) Hit { h.Region, h.Verdict = region, v; return h }
		open := hit(1, 1001)
		open.At, open.Region = day.Add(9*time.Hour), "US"
		r.hits(
			from(click1(1001, 1, 2*time.Hour), "FR", Person),
			from(click1(1001, 1, 1*time.Hour), "DE", Person),
			from(click1(1001, 1, 3*time.Hour), "ES", Machine),
			from(click1(1001, 1, 4*time.Hour), "IT", Unverifiable),
			from(click1(1001, 1, 5*time.Hour), "", Person),
			open,
		)
		r.hits(from(click1(2001, 1, 90*time.Minute), "PT", Person))
		if got := r.text(`SELECT region FROM contact_regions`); got != "FR" {
			t.Fatalf("got %s", got)
		}
	})
}

func TestADrainTakesUpWhereTheDatabaseIs(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 4)
		r := newRig(t, db)
		r.hits(hit(1, 1001), hit(1, 1001))
		again := r.newDrain(r.spool) // knows nothing of what was drained; the segment is still there
		appendHit(t, r.spool, hit(1, 1001))
		if err := again.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.totals(map[string]int{"open 0 person GB-ENG": 3})
		r.hits() // the first one finds the place moved, and counts nothing twice
		r.hits(hit(1, 1001))
		r.totals(map[string]int{"open 0 person GB-ENG": 4})
	})
}

func TestADatabaseRestoredFromABackupGetsWhatTheSpoolStillHas(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	r.sink.t = ignore{t} // its chain is healed, see the counter
	r.hits(hit(1, 1001))
	r.hits(hit(1, 1001))
	execute(t, db, `UPDATE spool_heads SET seq = 1`)
	execute(t, db, `UPDATE count_heads SET seq = 1`)
	execute(t, db, `UPDATE counts SET n = 1`)
	execute(t, db, `DELETE FROM events WHERE seq = 2`)
	r.hits(hit(1, 1001))
	if got := totals(t, db)["open 0 person GB-ENG"]; got != 3 {
		t.Fatalf("%d hits", got)
	}
}

type ignore struct{ testing.TB }

func (ignore) Errorf(string, ...any) {}

func TestASpoolOlderThanTheDatabaseLosesNothing(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	execute(t, db, `INSERT INTO spool_heads (node, seq, at) VALUES (?, 100, 1)`, r.spool.Node())
	r.hits(hit(1, 1001), hit(1, 1001))
	r.hits(hit(1, 1001))
	r.totals(map[string]int{"open 0 person GB-ENG": 3})
}

func TestASinkThatFailsStopsNothing(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	boom := errors.New("boom")
	var reported []error
	r.drain.Report = func(err error) { reported = append(reported, err) }
	r.sink.err = boom
	r.hits(hit(1, 1001))
	r.hits(hit(1, 1001))
	r.totals(map[string]int{"open 0 person GB-ENG": 2})
	if len(reported) != 2 || !errors.Is(reported[0], boom) {
		t.Errorf("reported %v", reported)
	}
}

func TestRunDrainsAndEndsWithItsContext(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	r.drain.Linger = -1
	told := make(chan struct{}, 10)
	r.drain.Sink = sinkFunc(func(deltas []Delta) error { told <- struct{}{}; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.drain.Run(ctx) }()
	for range 3 {
		appendHit(t, r.spool, hit(1, 1001))
		<-told
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	appendHit(t, r.spool, hit(1, 1001))
	if got := totals(t, db)["open 0 person GB-ENG"]; got != 3 {
		t.Fatalf("%d hits", got)
	}
}

type sinkFunc func([]Delta) error

func (f sinkFunc) Push(_ context.Context, deltas []Delta) error { return f(deltas) }

func TestADatabaseThatIsGoneIsWaitedFor(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	execute(t, db, `ALTER TABLE counts RENAME TO away`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 100)
	r.drain.Report = func(err error) { failed <- err }
	told := make(chan struct{}, 1)
	r.drain.Sink = sinkFunc(func(deltas []Delta) error { r.sink.Push(ctx, deltas); told <- struct{}{}; return nil })
	done := make(chan error)
	go func() { done <- r.drain.Run(ctx) }()
	for range 5 {
		appendHit(t, r.spool, hit(1, 1001))
	}
	<-failed
	<-failed
	if r.spool.Backlog() != 5 {
		t.Errorf("backlog %d", r.spool.Backlog())
	}
	execute(t, db, `ALTER TABLE away RENAME TO counts`)
	<-told
	cancel()
	<-done
	r.totals(map[string]int{"open 0 person GB-ENG": 5})
}

func TestACommitWhoseAnswerWasLostIsFoundAndTheCounterAsked(t *testing.T) {
	db := servertest.SQLite(t)
	seed(t, db, 1, 4)
	r := newRig(t, db)
	r.hits(hit(1, 1001))
	appendHit(t, r.spool, hit(1, 1001))
	hits, _, err := r.spool.read(1, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.drain.doubt = hits // as after a commit that timed out, yet happened
	execute(t, db, `UPDATE spool_heads SET seq = 2`)
	execute(t, db, `UPDATE count_heads SET seq = 2`)
	var asked []Delta
	r.drain.Sink = sinkFunc(func(d []Delta) error { asked = append(asked, d...); return nil })
	r.flush()
	if len(asked) != 1 || asked[0].Prev != 2 || asked[0].Seq != 2 || len(asked[0].Cells) != 0 || r.spool.Backlog() != 0 {
		t.Fatalf("asked %+v, backlog %d", asked, r.spool.Backlog())
	}
}

// TestADrainThatFallsBehindLeavesTheMachineToAnswers for as long as nothing is at risk by it.
func TestADrainThatFallsBehindLeavesTheMachineToAnswers(t *testing.T) {
	const took = 7 * time.Millisecond
	for name, c := range map[string]struct {
		before, behind int64
		age            time.Duration
		bytes          int64
		want           time.Duration
	}{
		"hits come faster than they go": {5000, 6000, time.Second, 1 << 20, took},
		"hits go faster than they come": {6000, 5999, time.Second, 1 << 20, 0},
		"a few wait":                    {10, restFrom - 1, time.Second, 1 << 20, 0},
		"some have waited for long":     {5000, 6000, restAge + time.Second, 1 << 20, 0},
		"the spool fills":               {5000, 6000, time.Second, 1<<28 + 1, 0},
	} {
		s := openSpool(t, t.TempDir(), Options{MaxBytes: 1 << 30, Now: func() time.Time { return day.T().Add(c.age) }})
		s.kept, s.bytes, s.marks = c.behind, c.bytes, []mark{{c.behind, day.T()}}
		d := &Drain{Spool: s, behind: c.before, lasted: took}
		if got := d.rest(); got != c.want {
			t.Errorf("%s: rests %s, want %s", name, got, c.want)
		}
		s.kept = 0
	}
}
