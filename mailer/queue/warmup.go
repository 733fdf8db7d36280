package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/segments/consent"
)

// ErrWarmups is wrapped when the allowances of new sender domains are not understood.
var ErrWarmups = errors.New("allowances of sender domains not understood")

// Warmups say how many messages a day new sender domains may begin with, all senders on a database
// together. Days are those of UTC. The zero value limits none.
type Warmups map[string]warmup

type warmup struct {
	first int64 // day
	most  []int // of the first day, the second …; afterwards there is no limit
}

// ParseWarmups reads news.example.org=2026-11-01:50,100,200, several separated by semicolons: from
// that day on so many messages a day, and no limit once the list is at its end.
func ParseWarmups(s string) (Warmups, error) {
	all := Warmups{}
	for one := range strings.SplitSeq(s, ";") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		domain, rest, _ := strings.Cut(one, "=")
		date, list, _ := strings.Cut(rest, ":")
		wrong := func(what string) error {
			return fmt.Errorf("queue: %w: %q %s; write for example news.example.org=2026-11-01:50,100,200", ErrWarmups, one, what)
		}
		address, err := consent.NormaliseEmail("a@" + strings.TrimSpace(domain))
		if err != nil {
			return nil, wrong("names no domain")
		}
		first, err := time.Parse(time.DateOnly, strings.TrimSpace(date))
		if err != nil {
			return nil, wrong("names no day")
		}
		w := warmup{first: dayOf(first)}
		for n := range strings.SplitSeq(list, ",") {
			most, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil || most < 1 || most > 1e9 {
				return nil, wrong("gives no numbers of messages a day above 0")
			}
			w.most = append(w.most, most)
		}
		all[domainOf(address)] = w
	}
	return all, nil
}

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

func startOf(day int64) time.Time { return time.Unix(day*24*60*60, 0).UTC() }

// most is how many messages the domain may begin with on a day; false: no limit.
func (w Warmups) most(domain string, day int64) (int, bool) {
	c, ok := w[domain]
	if !ok || day < c.first || day >= c.first+int64(len(c.most)) {
		return 0, false
	}
	return c.most[day-c.first], true
}

// ration is what was taken of a domain's allowance.
type ration struct {
	domain string
	day    int64
}

// draw takes up to n from what is left of an allowance, and returns how many it got. Other senders
// wait until the transaction ends, so that together they never take more.
func (s *Sender) draw(ctx context.Context, tx *schema.Tx, r ration, most, n int) (int, error) {
	lock := ""
	if tx.Dialect() == schema.Postgres {
		lock = ` FOR UPDATE`
	}
	var used int
	query := `SELECT n FROM warmups WHERE domain = ? AND day = ?` + lock
	err := tx.Get(ctx, &used, query, r.domain, r.day)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = tx.Exec(ctx, `INSERT INTO warmups (domain, day) VALUES (?, ?) ON CONFLICT DO NOTHING`, r.domain, r.day); err == nil {
			err = tx.Get(ctx, &used, query, r.domain, r.day)
		}
	}
	if err != nil {
		return 0, err
	}
	if n = min(n, most-used); n <= 0 {
		return 0, nil
	}
	_, err = tx.Exec(ctx, `UPDATE warmups SET n = n + ? WHERE domain = ? AND day = ?`, n, r.domain, r.day)
	return n, err
}

// refund gives back what was drawn for messages that were not tried.
func (s *Sender) refund(ctx context.Context, tx *schema.Tx, r ration, n int) error {
	if n == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE warmups SET n = n - ? WHERE domain = ? AND day = ?`, n, r.domain, r.day)
	return err
}

// left reports whether anything is left of an allowance.
func (s *Sender) left(ctx context.Context, r ration, most int) (bool, error) {
	var used int
	err := s.db.Get(ctx, &used, `SELECT COALESCE(max(n), 0) FROM warmups WHERE domain = ? AND day = ?`, r.domain, r.day)
	return used < most, err
}
