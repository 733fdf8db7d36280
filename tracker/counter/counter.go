package counter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/event"

	"github.com/redis/go-redis/v9"
)

// Errors that callers branch on.
var (
	// ErrDown: Redis did not answer a moment ago and is not asked again yet.
	ErrDown = errors.New("redis is down")
	// ErrAbsent: Redis does not hold the whole counts of the campaign at present.
	ErrAbsent = errors.New("counts are not in redis")
	// ErrMismatch: the counts in Redis are not the durable totals.
	ErrMismatch = errors.New("counts in redis differ from the durable totals")
	// errBusy: other nodes kept setting the counts of a campaign.
	errBusy = errors.New("counts are being set by other nodes")
)

// Options of a counter. The zero value is fit for use.
type Options struct {
	Timeout time.Duration    // longest wait for an answer of Redis; default 300 ms
	Every   time.Duration    // between two looks of Run; default 5 s
	Now     func() time.Time // default time.Now
	Report  func(error)      // told of what Run could not do; may be nil
}

// Counter counts in Redis. It is safe for concurrent use, and any number of them, on any number of
// nodes, may work on one Redis and one database.
type Counter struct {
	redis redis.UniversalClient
	db    *schema.DB
	opts  Options

	mu     sync.Mutex
	until  time.Time                 // Redis is left alone until then
	pause  time.Duration             // how long it is left alone the next time
	dirty  map[id.Campaign]bool      // what Redis has may not be what it ought to have
	recent map[id.Campaign]time.Time // when this node last pushed
}

const (
	firstPause   = 500 * time.Millisecond
	longestPause = 5 * time.Second
	recentFor    = 10 * time.Minute
)

// New returns a counter over a Redis, or Redis Cluster, and the database with the durable totals.
func New(client redis.UniversalClient, db *schema.DB, o Options) *Counter {
	if o.Timeout <= 0 {
		o.Timeout = 300 * time.Millisecond
	}
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Counter{redis: client, db: db, opts: o, pause: firstPause, dirty: map[id.Campaign]bool{}, recent: map[id.Campaign]time.Time{}}
}

func key(c id.Campaign) string { return "{c:" + strconv.FormatInt(int64(c), 10) + "}" }

const (
	okField  = "@ok"
	nodeMark = "@n/"
)

// Push adds what one batch counted. It returns soon also when Redis does not: an error means that
// Redis may not have it, and the chain of the next push, or Run, makes it good.
func (c *Counter) Push(ctx context.Context, deltas []event.Delta) error {
	c.mu.Lock()
	for _, d := range deltas {
		c.recent[d.Campaign] = c.opts.Now()
	}
	c.mu.Unlock()
	links := make([]link, len(deltas))
	for i, d := range deltas {
		links[i] = newLink(d)
	}
	answers, err := c.pushAll(ctx, links)
	if err != nil {
		c.soil(deltas...)
		return err
	}
	var problems []error
	for i, a := range answers {
		if a == added {
			continue
		}
		if err := c.settle(ctx, links[i], a); err != nil {
			c.soil(deltas[i])
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (c *Counter) soil(deltas ...event.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range deltas {
		c.dirty[d.Campaign] = true
	}
}

// link is a delta on its way to Redis. Its token marks the hash if the chain turns out to be broken.
type link struct {
	campaign id.Campaign
	token    string
	args     []any
}

func newLink(d event.Delta) link {
	sums := Totals{}
	for cell, n := range d.Cells {
		sums.Add(cell, n)
	}
	l := link{campaign: d.Campaign, token: rand.Text(), args: make([]any, 0, 4+2*len(sums))}
	l.args = append(l.args, nodeMark+d.Node, d.Prev, d.Seq, l.token)
	for f, n := range sums {
		if n != 0 {
			l.args = append(l.args, f.String(), n)
		}
	}
	return l
}

// pushAll runs the push script for each link in one round trip.
func (c *Counter) pushAll(ctx context.Context, links []link) ([]answer, error) {
	if len(links) == 0 {
		return nil, nil
	}
	return call(ctx, c, func(ctx context.Context) ([]answer, error) {
		cmds := make([]*redis.Cmd, len(links))
		_, _ = c.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, l := range links {
				cmds[i] = pushScript.EvalSha(ctx, p, []string{key(l.campaign)}, l.args...)
			}
			return nil
		})
		answers := make([]answer, len(links))
		for i, cmd := range cmds {
			if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
				cmd = pushScript.Eval(ctx, c.redis, []string{key(links[i].campaign)}, links[i].args...)
			}
			n, err := cmd.Int()
			if err != nil {
				return nil, fmt.Errorf("counter: push campaign %s: %w", links[i].campaign, err)
			}
			answers[i] = answer(n)
		}
		return answers, nil
	})
}

// settle brings a push to an end that was not simply added. The database has the units of the link
// already, so that totals read from now on include them.
func (c *Counter) settle(ctx context.Context, l link, a answer) error {
	for try := range 8 {
		switch a {
		case added:
			return nil
		case broken: // and marked with our token
			set, err := c.set(ctx, l.campaign, l.token)
			if set || err != nil {
				return err
			}
		case marked: // another node is at it
			if try >= 3 { // or has died over it
				if err := c.mark(ctx, l.campaign, l.token); err != nil {
					return err
				}
				a = broken
				continue
			}
			pause := time.NewTimer(2*time.Millisecond + mathrand.N(8*time.Millisecond))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return ctx.Err()
			}
		}
		answers, err := c.pushAll(ctx, []link{l})
		if err != nil {
			return err
		}
		a = answers[0]
	}
	return fmt.Errorf("counter: campaign %s: %w", l.campaign, errBusy)
}

// mark makes the hash unreadable, and ours to set.
func (c *Counter) mark(ctx context.Context, campaign id.Campaign, token string) error {
	_, err := call(ctx, c, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, markScript.Run(ctx, c.redis, []string{key(campaign)}, token).Err()
	})
	if err != nil {
		return fmt.Errorf("counter: mark campaign %s: %w", campaign, err)
	}
	return nil
}

// set reads the durable totals and puts them into a hash that was marked with the token before. It
// returns false if somebody else has marked or set it meanwhile.
func (c *Counter) set(ctx context.Context, campaign id.Campaign, token string) (bool, error) {
	sums, heads, err := c.snapshot(ctx, campaign)
	if err != nil {
		return false, err
	}
	args := make([]any, 0, 1+2*(len(sums)+len(heads)))
	args = append(args, token)
	for node, seq := range heads {
		args = append(args, nodeMark+node, seq)
	}
	for f, n := range sums {
		if n != 0 {
			args = append(args, f.String(), n)
		}
	}
	set, err := call(ctx, c, func(ctx context.Context) (int, error) {
		return setScript.Run(ctx, c.redis, []string{key(campaign)}, args...).Int()
	})
	if err != nil {
		return false, fmt.Errorf("counter: set campaign %s: %w", campaign, err)
	}
	return set == 1, nil
}

// snapshot reads the durable totals of a campaign, and the heads of the chains that they amount to.
func (c *Counter) snapshot(ctx context.Context, campaign id.Campaign) (Totals, map[string]int64, error) {
	var sums Totals
	var heads map[string]int64
	err := c.db.View(ctx, func(tx *schema.Tx) (err error) {
		if sums, err = Durable(ctx, tx, campaign); err != nil {
			return err
		}
		all, err := readHeads(ctx, tx, campaign)
		heads = all[campaign]
		return err
	})
	return sums, heads, err
}

// readHeads returns the heads of the chains of some campaigns, or of all.
func readHeads(ctx context.Context, q schema.Querier, campaigns ...id.Campaign) (map[id.Campaign]map[string]int64, error) {
	query, args := `SELECT campaign, node, seq FROM count_heads`, []any(nil)
	if len(campaigns) > 0 {
		query += ` WHERE campaign IN (` + schema.List(len(campaigns)) + `)`
		for _, c := range campaigns {
			args = append(args, c)
		}
	}
	var list []struct {
		Campaign id.Campaign
		Node     string
		Seq      int64
	}
	if err := q.Select(ctx, &list, query, args...); err != nil {
		return nil, fmt.Errorf("counter: read heads: %w", err)
	}
	heads := map[id.Campaign]map[string]int64{}
	for _, h := range list {
		if heads[h.Campaign] == nil {
			heads[h.Campaign] = map[string]int64{}
		}
		heads[h.Campaign][h.Node] = h.Seq
	}
	return heads, nil
}

// Read returns the live counts of a campaign. ErrAbsent and ErrDown mean that the durable totals
// have to be asked (see Durable); they are never far apart.
func (c *Counter) Read(ctx context.Context, campaign id.Campaign) (Totals, error) {
	sums, _, err := c.fetch(ctx, campaign)
	if errors.Is(err, ErrAbsent) {
		c.soil(event.Delta{Campaign: campaign})
	}
	return sums, err
}

// fetch reads a hash: sums and heads of chains.
func (c *Counter) fetch(ctx context.Context, campaign id.Campaign) (Totals, map[string]int64, error) {
	fields, err := call(ctx, c, func(ctx context.Context) (map[string]string, error) {
		return c.redis.HGetAll(ctx, key(campaign)).Result()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("counter: read campaign %s: %w", campaign, err)
	}
	if fields[okField] == "" {
		return nil, nil, fmt.Errorf("counter: campaign %s: %w", campaign, ErrAbsent)
	}
	sums, heads := Totals{}, map[string]int64{}
	for name, value := range fields {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("counter: campaign %s: %w", campaign, errField)
		}
		if node, ok := strings.CutPrefix(name, nodeMark); ok {
			heads[node] = n
		} else if name != okField {
			f, err := ParseField(name)
			if err != nil {
				return nil, nil, fmt.Errorf("counter: campaign %s: %w", campaign, err)
			}
			sums[f] = n
		}
	}
	return sums, heads, nil
}

// call asks Redis, unless it was found down a moment ago. It does not wait longer than the time-out
// even if the client would: what is answered later is dropped, which the chain can bear.
func call[T any](ctx context.Context, c *Counter, ask func(context.Context) (T, error)) (T, error) {
	var none T
	c.mu.Lock()
	down := c.opts.Now().Before(c.until)
	c.mu.Unlock()
	if down {
		return none, fmt.Errorf("counter: %w", ErrDown)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	go func() {
		v, err := ask(limited)
		done <- result{v, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-limited.Done():
		r.err = limited.Err()
	}
	if r.err != nil && ctx.Err() == nil {
		c.rest()
	} else if r.err == nil {
		c.mu.Lock()
		c.pause = firstPause
		c.mu.Unlock()
	}
	return r.v, r.err
}

// rest leaves Redis alone for a while.
func (c *Counter) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = c.opts.Now().Add(c.pause)
	c.pause = min(2*c.pause, longestPause)
}

func sorted(set map[id.Campaign]bool) []id.Campaign {
	return slices.Sorted(maps.Keys(set))
}
