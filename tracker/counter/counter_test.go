package counter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/tracker/event"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

var noon = schema.At(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))

// node commits to the durable totals what a drain would, and hands out the delta.
type node struct {
	t    testing.TB
	db   *schema.DB
	name string
	seq  int64
	n    int // commits so far, to make them differ
}

func (n *node) commit(campaign id.Campaign) event.Delta {
	n.t.Helper()
	d, err := n.tryCommit(campaign)
	if err != nil {
		n.t.Fatal(err)
	}
	return d
}

func (n *node) tryCommit(campaign id.Campaign) (event.Delta, error) {
	n.seq += int64(1 + n.n%3)
	n.n++
	cells := map[event.Cell]int64{
		{Campaign: campaign, Hour: noon.Add(time.Duration(n.n%3) * time.Hour), Kind: event.Open, Verdict: event.Person, Region: "GB-ENG"}: int64(1 + n.n%2),
		{Campaign: campaign, Hour: noon, Kind: event.Click, Link: 1 + n.n%4, Verdict: event.Anonymous}:                                    2,
		{Campaign: campaign, Hour: noon, Kind: event.Click, Link: 1, Verdict: event.Machine, Region: "a/b"}:                               1,
		{Campaign: campaign, Hour: noon, Kind: event.Open, Verdict: event.Private}:                                                        1,
	}
	if n.n%5 == 0 { // a burst was found late
		cells[event.Cell{Campaign: campaign, Hour: noon.Add(time.Hour), Kind: event.Open, Verdict: event.Person, Region: "GB-ENG"}]--
		cells[event.Cell{Campaign: campaign, Hour: noon.Add(time.Hour), Kind: event.Open, Verdict: event.Machine, Region: "GB-ENG"}]++
	}
	d := event.Delta{Campaign: campaign, Node: n.name, Seq: n.seq, Cells: cells}
	err := n.db.Tx(context.Background(), func(tx *schema.Tx) error {
		ctx := context.Background()
		heads, err := readHeads(ctx, tx, campaign)
		if err != nil {
			return err
		}
		d.Prev = heads[campaign][n.name]
		for c, k := range cells {
			if _, err := tx.Exec(ctx, `INSERT INTO counts (campaign, hour, kind, link, verdict, region, node, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (campaign, hour, kind, link, verdict, region, node) DO UPDATE SET n = counts.n + excluded.n`,
				c.Campaign, c.Hour, c.Kind, c.Link, c.Verdict, c.Region, n.name, k); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO count_heads (campaign, node, seq) VALUES (?, ?, ?) ON CONFLICT (campaign, node) DO UPDATE SET seq = excluded.seq`, campaign, n.name, n.seq)
		return err
	})
	return d, err
}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type rig struct {
	t     testing.TB
	db    *schema.DB
	redis redis.UniversalClient
	clock *clock
	*Counter
}

func newRig(t testing.TB, db *schema.DB, url string) *rig {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.DialTimeout = 1, time.Second
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{o.Addr}, MaxRetries: 1, DialTimeout: time.Second})
	t.Cleanup(func() { client.Close() })
	c := &clock{t: noon.T()}
	return &rig{t, db, client, c, New(client, db, Options{Now: c.now, Timeout: 5 * time.Second})}
}

// servers runs the test with a real Redis and with the embedded one, and once on PostgreSQL.
func servers(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("redis", func(t *testing.T) { test(t, newRig(t, servertest.SQLite(t), servertest.NewRedis(t).URL)) })
	t.Run("embedded", func(t *testing.T) { test(t, newRig(t, servertest.SQLite(t), "redis://"+miniredis.RunT(t).Addr())) })
	t.Run("postgres", func(t *testing.T) { test(t, newRig(t, servertest.Postgres(t), servertest.NewRedis(t).URL)) })
}

func (r *rig) push(deltas ...event.Delta) {
	r.t.Helper()
	if err := r.Push(context.Background(), deltas); err != nil {
		r.t.Fatal(err)
	}
}

// equal holds what Redis has of a campaign against the durable totals.
func (r *rig) equal(campaign id.Campaign) {
	r.t.Helper()
	live, err := r.Read(context.Background(), campaign)
	if err != nil {
		r.t.Error(err)
		return
	}
	durable, err := Durable(context.Background(), r.db, campaign)
	if err != nil {
		r.t.Fatal(err)
	}
	if !live.Equal(durable) || len(durable) == 0 {
		r.t.Errorf("campaign %d: redis has %v, the durable totals are %v", campaign, live, durable)
	}
	if m, err := r.verify(context.Background(), campaign); m != nil || err != nil {
		r.t.Errorf("%+v, %v", m, err)
	}
}

func (r *rig) do(args ...any) {
	r.t.Helper()
	if err := r.redis.Do(context.Background(), args...).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// TestOnARedisCluster: the keys of a campaign lie on one node, and those of many on all of them.
func TestOnARedisCluster(t *testing.T) {
	db := servertest.SQLite(t)
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: servertest.RedisCluster(t), MaxRetries: 1})
	t.Cleanup(func() { client.Close() })
	now := &clock{t: noon.T()}
	r := &rig{t, db, client, now, New(client, db, Options{Now: now.now, Timeout: 5 * time.Second})}
	a, b := &node{t: t, db: db, name: "a"}, &node{t: t, db: db, name: "b"}
	push := func() {
		var batch []event.Delta // of campaigns on different nodes, as a drain pushes them
		for c := id.Campaign(1); c <= 20; c++ {
			batch = append(batch, a.commit(c))
		}
		r.push(batch...)
		r.push(b.commit(1), b.commit(2), b.commit(3))
	}
	push()
	push()
	cluster := client.(*redis.ClusterClient)
	var used int
	each := func(do func(c *redis.Client) error) {
		t.Helper()
		var mu sync.Mutex
		if err := cluster.ForEachMaster(t.Context(), func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return do(c)
		}); err != nil {
			t.Fatal(err)
		}
	}
	each(func(c *redis.Client) error {
		n, err := c.DBSize(t.Context()).Result()
		if n > 0 {
			used++
		}
		return err
	})
	if used != 3 {
		t.Errorf("%d of 3 nodes hold counts", used)
	}
	for c := id.Campaign(1); c <= 20; c++ {
		r.equal(c)
	}
	each(func(c *redis.Client) error {
		return errors.Join(c.FlushAll(t.Context()).Err(), c.ScriptFlush(t.Context()).Err())
	})
	push()
	if err := r.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for c := id.Campaign(1); c <= 20; c++ {
		r.equal(c)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestR6LiveCountsAreTheDurableTotals(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		a, b := &node{t: t, db: r.db, name: "a"}, &node{t: t, db: r.db, name: "b"}
		for range 6 {
			r.push(a.commit(1), a.commit(2))
			r.push(b.commit(1))
		}
		r.equal(1)
		r.equal(2)
	})
}

func TestWhateverHappensToRedisTheNextPushMendsIt(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		a, b := &node{t: t, db: r.db, name: "a"}, &node{t: t, db: r.db, name: "b"}
		var campaign id.Campaign
		var last event.Delta
		for what, happens := range map[string]func(){
			"nothing":                        func() {},
			"flushed":                        func() { r.do("FLUSHALL") },
			"scripts flushed":                func() { r.do("SCRIPT", "FLUSH") },
			"both flushed":                   func() { r.do("FLUSHALL"); r.do("SCRIPT", "FLUSH") },
			"evicted":                        func() { r.do("DEL", key(campaign)) },
			"the push repeated":              func() { r.push(last) },
			"the push came late":             func() { r.push(a.commit(campaign)); r.Push(t.Context(), []event.Delta{last}) },
			"a push was lost":                func() { a.commit(campaign) },
			"pushes of both nodes were lost": func() { a.commit(campaign); b.commit(campaign); b.commit(campaign) },
			"failed over with writes lost": func() {
				r.do("HSET", key(campaign), nodeMark+"a", last.Prev)
				r.do("HINCRBY", key(campaign), "t/o/p", -1)
			},
			"marked by a node that died": func() { r.do("DEL", key(campaign)); r.do("HSET", key(campaign), "@heal", "x") },
			"half written":               func() { r.do("HDEL", key(campaign), okField) },
		} {
			campaign++
			r.push(a.commit(campaign))
			r.push(b.commit(campaign))
			last = a.commit(campaign)
			r.push(last)
			happens()
			r.push(a.commit(campaign))
			r.equal(campaign)
			r.push(b.commit(campaign))
			r.equal(campaign)
			if t.Failed() {
				t.Fatal(what)
			}
		}
	})
}

func TestHealMendsWhatNoPushFollows(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		a := &node{t: t, db: r.db, name: "a"}
		var campaign id.Campaign
		var last event.Delta
		for what, happens := range map[string]func(){
			"nothing":         func() {},
			"flushed":         func() { r.do("FLUSHALL") },
			"a push was lost": func() { a.commit(campaign) },
			"failed over with writes lost": func() {
				r.do("HSET", key(campaign), nodeMark+"a", last.Prev)
				r.do("HINCRBY", key(campaign), "t/o/p", -1)
			},
			"restored with the database older": func() {
				r.do("HSET", key(campaign), nodeMark+"a", last.Seq+100)
				r.do("HINCRBY", key(campaign), "t/o/p", 7)
			},
			"marked by a node that died": func() { r.do("DEL", key(campaign)); r.do("HSET", key(campaign), "@heal", "x") },
		} {
			campaign++
			last = a.commit(campaign)
			r.push(last)
			happens()
			if err := r.Heal(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.equal(campaign)
			if t.Failed() {
				t.Fatal(what)
			}
		}
	})
}

func TestVerifyFindsWhatTheChainCannotAndRebuildMendsIt(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		a := &node{t: t, db: r.db, name: "a"}
		for range 4 {
			r.push(a.commit(1), a.commit(2))
		}
		for what, happens := range map[string]func(){
			"fields deleted":     func() { r.do("HDEL", key(2), "t/o/p", "l/c/a/1") },
			"a field changed":    func() { r.do("HINCRBY", key(2), "r/o/p/GB-ENG", 1) },
			"a field too many":   func() { r.do("HSET", key(2), "l/c/p/9", 1) },
			"the whole absent":   func() { r.do("DEL", key(2)) },
			"a push not arrived": func() { a.commit(2) },
		} {
			happens()
			var m *MismatchError
			if err := r.Verify(t.Context()); !errors.Is(err, ErrMismatch) || !errors.As(err, &m) || len(m.Campaigns) != 1 || m.Campaigns[0].Campaign != 2 {
				t.Fatalf("%s: got %v", what, err)
			}
			if err := r.Rebuild(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			r.equal(2)
			r.push(a.commit(2))
			r.equal(2)
		}
		r.do("FLUSHALL")
		r.do("HSET", key(99), okField, 1, "t/o/p", 5)
		r.do("SET", "{c:other}", "not ours")
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.equal(1)
		r.equal(2)
		if n, err := r.redis.Exists(t.Context(), key(99)).Result(); n != 0 || err != nil {
			t.Errorf("the counts of a campaign that the database does not know are there: %v", err)
		}
		if n, _ := r.redis.Exists(t.Context(), "{c:other}").Result(); n != 1 {
			t.Error("a key that is not ours is gone")
		}
	})
}

func TestRedisMayBeGoneForAWhile(t *testing.T) {
	server := servertest.ThrowAwayRedis(t)
	r := newRig(t, servertest.SQLite(t), server.URL)
	a := &node{t: t, db: r.db, name: "a"}
	r.push(a.commit(1))
	server.Stop()
	if err := r.Push(t.Context(), []event.Delta{a.commit(1)}); err == nil || errors.Is(err, ErrDown) {
		t.Fatalf("got %v", err)
	}
	for range 100 { // not one of them waits
		if err := r.Push(t.Context(), []event.Delta{a.commit(1)}); !errors.Is(err, ErrDown) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := r.Read(t.Context(), 1); !errors.Is(err, ErrDown) {
		t.Errorf("got %v", err)
	}
	server.Start(t) // empty
	r.clock.add(time.Minute)
	if _, err := r.Read(t.Context(), 1); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v", err)
	}
	if err := r.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.equal(1)
	server.Stop()
	server.Start(t)
	r.push(a.commit(1)) // a connection that broke is tried again
	r.equal(1)
}

func TestASlowRedisIsNotWaitedFor(t *testing.T) {
	m := miniredis.RunT(t)
	db := servertest.SQLite(t)
	r := newRig(t, db, "redis://"+m.Addr())
	r.Counter = New(r.redis, db, Options{Now: r.clock.now, Timeout: 20 * time.Millisecond})
	a := &node{t: t, db: db, name: "a"}
	r.Push(t.Context(), []event.Delta{a.commit(1)})
	r.clock.add(time.Minute)
	r.Heal(t.Context())
	d := a.commit(1)
	m.Lock() // nothing is answered
	if err := r.Push(t.Context(), []event.Delta{d}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	m.Unlock() // now it is, late
	r.Counter = New(r.redis, db, Options{Now: r.clock.now, Timeout: 5 * time.Second})
	r.push(a.commit(1))
	r.push(a.commit(1))
	r.equal(1)
}

func TestNodesPushAtOnceWhileRedisIsFlushed(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		url := servertest.NewRedis(t).URL
		var wg sync.WaitGroup
		var rigs []*rig
		for i := range 3 {
			r := newRig(t, db, url)
			rigs = append(rigs, r)
			n := &node{t: t, db: db, name: fmt.Sprint("node", i)}
			wg.Go(func() {
				for k := range 25 {
					d, err := n.tryCommit(id.Campaign(1 + k%2))
					if err != nil {
						t.Error(err)
						return
					}
					if err := r.Push(context.Background(), []event.Delta{d}); err != nil && !errors.Is(err, errBusy) {
						t.Error(err)
					}
					switch k % 12 {
					case 5:
						r.redis.FlushAll(context.Background())
					case 11:
						if err := r.Rebuild(context.Background()); err != nil && !errors.Is(err, errBusy) {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		for _, r := range rigs {
			if err := r.Heal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		rigs[0].equal(1)
		rigs[0].equal(2)
	})
}

func TestRunLooksAtEveryCampaignFirst(t *testing.T) {
	m := miniredis.RunT(t)
	db := servertest.SQLite(t)
	r := newRig(t, db, "redis://"+m.Addr())
	a := &node{t: t, db: db, name: "a"}
	a.commit(1)
	a.commit(2)
	ctx, cancel := context.WithCancel(t.Context())
	r.Counter = New(r.redis, db, Options{Every: time.Millisecond, Report: func(err error) { t.Error(err) }})
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	for {
		if _, err := r.Read(ctx, 2); err == nil {
			break
		} else if !errors.Is(err, ErrAbsent) {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.equal(1)
}
