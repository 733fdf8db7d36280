package mailer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
)

// tend starts campaigns that are due and builds the audiences of those that have none.
func (m *Mailer) tend(ctx context.Context) error {
	var builds sync.WaitGroup
	defer builds.Wait()
	var mu sync.Mutex
	building := map[id.Campaign]bool{}
	tick := time.NewTicker(m.o.Poll)
	defer tick.Stop()
	for {
		if err := m.start(ctx); err != nil && ctx.Err() == nil {
			m.o.Log.Error("mailer: start due campaigns", "err", err)
		}
		due, err := m.unbuilt(ctx)
		if err != nil && ctx.Err() == nil {
			m.o.Log.Error("mailer: find campaigns to build", "err", err)
		}
		for _, c := range due {
			mu.Lock()
			busy := building[c]
			building[c] = true
			mu.Unlock()
			if busy {
				continue
			}
			builds.Go(func() {
				if err := m.build(ctx, c); err != nil && ctx.Err() == nil {
					m.o.Log.Error("mailer: build an audience", "campaign", c, "err", err)
				}
				mu.Lock()
				delete(building, c)
				mu.Unlock()
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-tick.C:
		}
	}
}

// start turns scheduled campaigns that are due into ones being sent, and ends what a cancellation
// that was cut short left behind.
func (m *Mailer) start(ctx context.Context) error {
	var due int
	now := schema.At(m.o.Now())
	if err := m.o.DB.Get(ctx, &due, `SELECT count(*) FROM campaigns WHERE status = 'scheduled' AND send_at <= ?`, now); err != nil {
		return err
	}
	if due > 0 {
		if _, err := m.o.DB.Exec(ctx, `UPDATE campaigns SET status = 'sending' WHERE status = 'scheduled' AND send_at <= ?`, now); err != nil {
			return err
		}
	}
	var left []id.Campaign
	err := m.o.DB.Select(ctx, &left, `SELECT k.id FROM campaigns k WHERE k.status = 'cancelled' AND EXISTS (SELECT 1 FROM messages m WHERE m.campaign = k.id AND m.status IN ('queued', 'deferred'))`)
	for _, c := range left {
		err = errors.Join(err, queue.Cancel(ctx, m.o.DB, c))
	}
	return err
}

func (m *Mailer) unbuilt(ctx context.Context) ([]id.Campaign, error) {
	var all []id.Campaign
	err := m.o.DB.Select(ctx, &all, `SELECT id FROM campaigns WHERE status = 'sending' AND NOT built ORDER BY id`)
	return all, err
}

// analyze makes what the gate is asked about thousands of times quick; without it it is slow.
func (m *Mailer) analyze(ctx context.Context, tables ...string) {
	if err := m.o.DB.Analyze(ctx, tables...); err != nil {
		m.o.Log.Warn("mailer: sending may be slow until autovacuum has looked at the tables", "err", err)
	}
}

// build completes the audience of a campaign, then decides whether its anonymous recipients are
// enough to share a beacon and links.
func (m *Mailer) build(ctx context.Context, c id.Campaign) error {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return err
	}
	m.analyze(ctx, "contacts", "contact_sources", "sources", "consent_state", "consent_subjects", "consent_tracking", "consent_items")
	err = queue.Build(ctx, m.o.DB, func() (queue.BuildSpec, error) { return m.spec(ctx, r) })
	if errors.Is(err, segments.ErrNotFound) {
		return m.hold(ctx, c, "paused by itself: the audience names a segment or source that no longer exists")
	}
	if err != nil {
		return err
	}
	m.analyze(ctx, "messages")
	epoch := m.epoch(r, "m.contact")
	var anonymous int
	err = m.o.DB.Get(ctx, &anonymous, `SELECT count(*) FROM (SELECT 1 FROM messages m WHERE m.campaign = ? AND (`+epoch.SQL+`) = 0 LIMIT ?) few`,
		append(append([]any{c}, epoch.Args...), m.o.K)...)
	if err != nil {
		return fmt.Errorf("count anonymous recipients: %w", err)
	}
	// Another node may have built it too, and come to the same end.
	_, err = m.o.DB.Exec(ctx, `UPDATE campaigns SET built = ?, plain = ? WHERE id = ? AND status = 'sending' AND NOT built`, true, anonymous < m.o.K, c)
	m.sender.Wake()
	return err
}

// hold pauses a campaign that cannot go on without a person.
func (m *Mailer) hold(ctx context.Context, c id.Campaign, note string) error {
	_, err := m.o.DB.Exec(ctx, `UPDATE campaigns SET status = 'paused', status_note = ? WHERE id = ? AND status = 'sending'`, note, c)
	return err
}

// Sending tells the queue which campaigns to send. One whose mail no longer compiles, say because the
// company lost its postal address, is paused with the reason.
func (m *Mailer) Sending(ctx context.Context) ([]queue.Campaign, error) {
	var rows []struct {
		ID   id.Campaign `db:"id"`
		Note string      `db:"status_note"`
	}
	if err := m.o.DB.Select(ctx, &rows, `SELECT id, status_note FROM campaigns WHERE status = 'sending' AND built ORDER BY id`); err != nil {
		return nil, fmt.Errorf("mailer: find campaigns to send: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	current := make(map[id.Campaign]*letters, len(rows))
	var all []queue.Campaign
	for _, k := range rows {
		c := k.ID
		l := m.letters[c]
		if l == nil {
			var err error
			var problems *compose.Problems
			switch l, err = m.newLetters(ctx, c); {
			case errors.As(err, &problems):
				if err := m.hold(ctx, c, "paused by itself: the mail cannot be composed: "+problems.List[0].String()); err != nil {
					return nil, err
				}
				continue
			case err != nil:
				return nil, fmt.Errorf("mailer: prepare %s: %w", c, err)
			}
		}
		current[c] = l
		all = append(all, queue.Campaign{ID: c, Launched: l.row.LaunchedAt, Rate: l.row.Rate, Note: k.Note, Domain: domainOf(l.from), Open: l.hours, Filler: l, Sign: l.sign, Gates: func() (queue.Gates, error) { return m.gates(l.row) }})
	}
	m.letters = current
	return all, nil
}
