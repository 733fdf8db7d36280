package counter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema/id"

	"github.com/redis/go-redis/v9"
)

// Run keeps Redis equal to the durable totals until ctx ends: it looks at every campaign first, and
// then, every few seconds, at those that this node pushed lately or that something went wrong with.
func (c *Counter) Run(ctx context.Context) error {
	all := true
	for {
		var err error
		if all {
			err = c.healAll(ctx)
		} else {
			err = c.Heal(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			all = false
		} else if c.opts.Report != nil && !errors.Is(err, ErrDown) {
			c.opts.Report(err)
		}
		tick := time.NewTimer(c.opts.Every)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return nil
		}
	}
}

// Heal looks once at the campaigns that this node pushed lately or that something went wrong with,
// and sets those whose chains are not where the database has them.
func (c *Counter) Heal(ctx context.Context) error {
	c.mu.Lock()
	for k, at := range c.recent {
		if c.opts.Now().Sub(at) > recentFor {
			delete(c.recent, k)
		}
	}
	look := maps.Clone(c.dirty)
	for k := range c.recent {
		look[k] = true
	}
	c.mu.Unlock()
	return c.healThese(ctx, sorted(look))
}

func (c *Counter) healAll(ctx context.Context) error {
	campaigns, err := c.campaigns(ctx)
	if err != nil {
		return err
	}
	return c.healThese(ctx, campaigns)
}

func (c *Counter) healThese(ctx context.Context, campaigns []id.Campaign) error {
	for some := range slices.Chunk(campaigns, 200) {
		wrong, err := c.check(ctx, some)
		if err != nil {
			return err
		}
		for _, k := range some {
			if slices.Contains(wrong, k) {
				if err := c.rebuild(ctx, k); err != nil {
					return err
				}
			}
			c.mu.Lock()
			delete(c.dirty, k)
			c.mu.Unlock()
		}
	}
	return nil
}

// check returns the campaigns whose hash is not complete, or whose chains are not where the database
// has them. The database is read before and after Redis: between lies what is on its way, which
// costs a needless rebuild at worst.
func (c *Counter) check(ctx context.Context, campaigns []id.Campaign) ([]id.Campaign, error) {
	before, err := readHeads(ctx, c.db, campaigns...)
	if err != nil {
		return nil, err
	}
	nodes := make([][]string, len(campaigns))
	for i, k := range campaigns {
		nodes[i] = slices.Sorted(maps.Keys(before[k]))
	}
	found, err := call(ctx, c, func(ctx context.Context) ([][]any, error) {
		cmds := make([]*redis.SliceCmd, len(campaigns))
		_, err := c.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, k := range campaigns {
				fields := []string{okField}
				for _, n := range nodes[i] {
					fields = append(fields, nodeMark+n)
				}
				cmds[i] = p.HMGet(ctx, key(k), fields...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		values := make([][]any, len(cmds))
		for i, cmd := range cmds {
			values[i] = cmd.Val()
		}
		return values, nil
	})
	if err != nil {
		return nil, fmt.Errorf("counter: read chains: %w", err)
	}
	after, err := readHeads(ctx, c.db, campaigns...)
	if err != nil {
		return nil, err
	}
	var wrong []id.Campaign
	for i, k := range campaigns {
		good := len(nodes[i]) == 0 || found[i][0] != nil
		for j, n := range nodes[i] {
			text, _ := found[i][1+j].(string)
			seq, _ := strconv.ParseInt(text, 10, 64)
			good = good && seq >= before[k][n] && seq <= after[k][n]
		}
		if !good {
			wrong = append(wrong, k)
		}
	}
	return wrong, nil
}

// rebuild sets one campaign from the durable totals.
func (c *Counter) rebuild(ctx context.Context, campaign id.Campaign) error {
	for range 8 {
		token := rand.Text()
		if err := c.mark(ctx, campaign, token); err != nil {
			return err
		}
		if set, err := c.set(ctx, campaign, token); set || err != nil {
			return err
		}
	}
	return fmt.Errorf("counter: campaign %s: %w", campaign, errBusy)
}

// Rebuild sets the counts of the given campaigns from the durable totals; of all, if none is given,
// and then also removes those of campaigns that the database has never counted for.
func (c *Counter) Rebuild(ctx context.Context, campaigns ...id.Campaign) error {
	if len(campaigns) == 0 {
		all, err := c.campaigns(ctx)
		if err != nil {
			return err
		}
		if err := c.sweep(ctx, all); err != nil {
			return err
		}
		campaigns = all
	}
	for _, k := range campaigns {
		if err := c.rebuild(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (c *Counter) campaigns(ctx context.Context) ([]id.Campaign, error) {
	var list []id.Campaign
	if err := c.db.Select(ctx, &list, `SELECT DISTINCT campaign FROM count_heads ORDER BY campaign`); err != nil {
		return nil, fmt.Errorf("counter: list campaigns: %w", err)
	}
	return list, nil
}

// sweep removes the hashes of other campaigns, left behind by a database that has been restored.
func (c *Counter) sweep(ctx context.Context, known []id.Campaign) error {
	keep := make(map[string]bool, len(known))
	for _, k := range known {
		keep[key(k)] = true
	}
	scan := func(ctx context.Context, server redis.Cmdable) error {
		keys := server.Scan(ctx, 0, "{c:*}", 1000).Iterator()
		var gone []string
		for keys.Next(ctx) {
			if digits, ok := strings.CutPrefix(keys.Val(), "{c:"); ok && !keep[keys.Val()] {
				if _, err := strconv.ParseInt(strings.TrimSuffix(digits, "}"), 10, 64); err == nil {
					gone = append(gone, keys.Val())
				}
			}
		}
		if err := keys.Err(); err != nil {
			return err
		}
		for _, k := range gone { // one by one: a cluster takes no others
			if err := server.Del(ctx, k).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if cluster, ok := c.redis.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, server *redis.Client) error { return scan(ctx, server) })
	} else {
		err = scan(ctx, c.redis)
	}
	if err != nil {
		return fmt.Errorf("counter: sweep: %w", err)
	}
	return nil
}

// Mismatch is a campaign whose counts in Redis are not the durable totals.
type Mismatch struct {
	Campaign id.Campaign
	Absent   bool    // nothing of it is in Redis
	Fields   []Field // sums that differ; empty if only the chain does
}

// MismatchError lists the campaigns that differ. It wraps ErrMismatch.
type MismatchError struct{ Campaigns []Mismatch }

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "counter: %v for %d campaigns", ErrMismatch, len(e.Campaigns))
	for i, m := range e.Campaigns {
		switch {
		case i == 5:
			b.WriteString("; …")
			return b.String()
		case m.Absent:
			fmt.Fprintf(&b, "; %s is absent", m.Campaign)
		case len(m.Fields) > 0:
			fmt.Fprintf(&b, "; %s in %d sums, %s the first", m.Campaign, len(m.Fields), m.Fields[0])
		default:
			fmt.Fprintf(&b, "; %s is behind", m.Campaign)
		}
	}
	return b.String()
}

func (e *MismatchError) Unwrap() error { return ErrMismatch }

// Verify holds the counts of every campaign in Redis against the durable totals and changes nothing.
// It returns a *MismatchError if they differ. What is on its way while it looks is waited for.
func (c *Counter) Verify(ctx context.Context) error {
	campaigns, err := c.campaigns(ctx)
	if err != nil {
		return err
	}
	var bad []Mismatch
	for _, k := range campaigns {
		m, err := c.verify(ctx, k)
		if err != nil {
			return err
		}
		if m != nil {
			bad = append(bad, *m)
		}
	}
	if len(bad) > 0 {
		return &MismatchError{bad}
	}
	return nil
}

func (c *Counter) verify(ctx context.Context, campaign id.Campaign) (*Mismatch, error) {
	var m *Mismatch
	for try := range 6 {
		if try > 0 {
			pause := time.NewTimer(20 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return nil, ctx.Err()
			}
		}
		durable, heads, err := c.snapshot(ctx, campaign)
		if err != nil {
			return nil, err
		}
		live, chain, err := c.fetch(ctx, campaign)
		if errors.Is(err, ErrAbsent) {
			m = &Mismatch{Campaign: campaign, Absent: true}
			continue
		}
		if err != nil {
			return nil, err
		}
		differ := durable.differ(live)
		if maps.Equal(heads, chain) {
			if len(differ) == 0 {
				return nil, nil
			}
			return &Mismatch{Campaign: campaign, Fields: differ}, nil
		}
		m = &Mismatch{Campaign: campaign, Fields: differ}
	}
	return m, nil
}
