package event

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Gate says in SQL whether a tracking epoch is open; *consent.Gate is one.
type Gate interface {
	TrackOpen(contact, company, epoch string) consent.Fragment
}

// Drain moves the hits of a spool into the database, in order, each exactly once. The exported
// fields are set before the first call; one Drain works for one Spool.
type Drain struct {
	DB         *schema.DB
	Gate       Gate
	Spool      *Spool
	Sink       Sink             // told of each batch; may be nil
	Now        func() time.Time // default time.Now
	Thresholds Thresholds

	// Linger is how long a batch that is not full waits for more, so that a quiet hour does not
	// cost a transaction per hit; default 40 ms, negative for none.
	Linger time.Duration
	// Report is told of what went wrong and will be tried again; it may be nil.
	Report func(error)

	mu      sync.Mutex // one batch at a time
	started bool
	head    int64         // number up to which the database has this node's hits
	doubt   []numbered    // a batch whose commit was not answered for
	size    int           // hits in a batch, fitted to how long a batch takes
	took    time.Duration // by a batch, smoothed
	lasted  time.Duration // the last batch, its commit included
	behind  int64         // backlog after the batch before
	links   map[id.Campaign]int
	buf     []numbered
	sql     *statements
}

const (
	smallestBatch = 128
	largestBatch  = 512
	serversBatch  = 2048 // the largest on PostgreSQL, where nobody waits for it to end
	firstPause    = 50 * time.Millisecond
	longestPause  = 5 * time.Second
	longBatch     = 14 * time.Millisecond // of SQLite's one writer, for whom the others wait
	shortBatch    = 9 * time.Millisecond
	batchTimeout  = 30 * time.Second

	restFrom    = 8 * largestBatch // hits of backlog
	restAge     = 30 * time.Second // of the oldest of them
	lastTimeout = 5 * time.Second  // for the batch under way when ctx ends
)

// Run drains until ctx ends, and returns nil when the batch under way is done. While the database
// is slow or gone it tries again, at growing intervals, and loses nothing.
func (d *Drain) Run(ctx context.Context) error {
	pause := firstPause
	for {
		more, err := d.step(ctx, true)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pause = firstPause
			if !more || !sleep(ctx, d.rest()) {
				return nil
			}
			continue
		}
		d.report(err)
		if !sleep(ctx, pause/2+rand.N(pause)) {
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// rest returns how long to leave the machine to those who answer hits: as long as the last batch took
// while hits come faster than they are drained, for as long as the spool has room and none of them
// has waited for long.
func (d *Drain) rest() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.behind
	d.behind = d.Spool.last() - d.head
	if d.behind < restFrom || d.behind < before || d.Spool.OldestAge() > restAge || d.Spool.Bytes() > d.Spool.opts.MaxBytes/4 {
		return 0
	}
	return d.lasted
}

// Flush drains what is in the spool now and returns; an error says what stood in the way.
func (d *Drain) Flush(ctx context.Context) error {
	for {
		more, err := d.step(ctx, false)
		if err != nil || !more {
			return err
		}
	}
}

// step drains one batch. Unless it may wait for one, it returns false when the spool is empty.
func (d *Drain) step(ctx context.Context, wait bool) (bool, error) {
	if err := d.start(ctx); err != nil {
		return true, err
	}
	d.mu.Lock()
	head, size := d.head, d.size
	d.mu.Unlock()
	if wait {
		if !d.Spool.wait(ctx, head) {
			return false, nil
		}
		if d.Linger > 0 && d.Spool.last()-head < int64(size) && !sleep(ctx, d.Linger) {
			return false, nil
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Spool.last() <= d.head {
		return wait, nil
	}
	hits, through, err := d.Spool.read(d.head, d.size, d.buf[:0])
	d.buf = hits
	if err != nil {
		return true, err
	}
	if through <= d.head {
		return wait, nil
	}
	return true, d.batch(ctx, hits, through)
}

// start finds out how far the database has this node's hits.
func (d *Drain) start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return nil
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Linger == 0 {
		d.Linger = 40 * time.Millisecond
	}
	d.Thresholds = d.Thresholds.orDefault()
	d.sql = newStatements(d.DB.Dialect(), d.Gate)
	d.links, d.size = map[id.Campaign]int{}, largestBatch
	if err := d.locate(ctx, d.DB); err != nil {
		return err
	}
	d.started = true
	return nil
}

// locate reads this node's place, and makes the spool fit it.
func (d *Drain) locate(ctx context.Context, q schema.Querier) error {
	head, err := d.sql.head(ctx, q, d.Spool.Node())
	if err != nil {
		return err
	}
	if err := d.Spool.rebase(head); err != nil {
		return err
	}
	d.head = head
	return d.Spool.forget(head)
}

// errMoved says that the database is not where this drain left it: a commit whose answer was lost,
// or a database restored from a backup.
var errMoved = errors.New("the database's place in the spool has moved")

func (d *Drain) batch(ctx context.Context, hits []numbered, through int64) error {
	bctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastTimeout, cancel) })
	defer stop()
	var b *batch
	var began time.Time
	err := d.DB.Tx(bctx, func(tx *schema.Tx) error {
		began = time.Now() // the wait for the writer is not ours
		b = d.newBatch(hits, through)
		return b.apply(bctx, tx)
	})
	if err == nil {
		d.lasted = time.Since(began)
		d.fit(d.lasted)
		d.head, d.doubt = through, nil
		err = d.Spool.forget(through)
		d.push(bctx, b.deltas)
		return err
	}
	if errors.Is(err, errMoved) {
		if err := d.locate(bctx, d.DB); err != nil {
			return err
		}
		d.confirm(bctx)
		return nil
	}
	d.doubt = append(d.doubt[:0], hits...)
	d.size = max(smallestBatch, d.size/2)
	return fmt.Errorf("event: drain: %w", err)
}

// fit keeps the batches of SQLite short. It goes by several: one that met a checkpoint says little.
func (d *Drain) fit(took time.Duration) {
	if d.DB.Dialect() != schema.SQLite {
		d.size = min(serversBatch, 2*d.size)
		return
	}
	d.took = (7*d.took + took) / 8
	switch {
	case d.took > longBatch:
		d.size = max(smallestBatch, d.size*3/4)
		d.took = d.took * 3 / 4
	case d.took < shortBatch:
		d.size = min(largestBatch, d.size+d.size/8+1)
	}
}

func (d *Drain) push(ctx context.Context, deltas []Delta) {
	if d.Sink == nil || len(deltas) == 0 {
		return
	}
	if err := d.Sink.Push(ctx, deltas); err != nil {
		d.report(fmt.Errorf("event: tell the counter: %w", err))
	}
}

// confirm lets the sink check what it has of the campaigns of a batch that turned out to be
// committed though its answer was lost: an empty link of the chain fits only if it has it.
func (d *Drain) confirm(ctx context.Context) {
	campaigns := map[id.Campaign]bool{}
	for _, h := range d.doubt {
		campaigns[h.Campaign] = true
	}
	heads, err := d.sql.countHeads(ctx, d.DB, d.Spool.Node(), campaigns)
	if err != nil {
		d.report(err)
		return
	}
	d.doubt = nil
	var deltas []Delta
	for c, seq := range heads {
		deltas = append(deltas, Delta{Campaign: c, Node: d.Spool.Node(), Prev: seq, Seq: seq})
	}
	d.push(ctx, deltas)
}

func (d *Drain) report(err error) {
	if d.Report != nil {
		d.Report(err)
	}
}

func sleep(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (st *statements) head(ctx context.Context, q schema.Querier, node string) (int64, error) {
	var head int64
	err := q.Get(ctx, &head, `SELECT seq FROM spool_heads WHERE node = ?`, node)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("event: read the place in the spool: %w", err)
	}
	return head, nil
}
