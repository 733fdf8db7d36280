package mailer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"beckon/mailer/compose"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
)

// Link is a tracked link of a launched campaign.
type Link struct {
	Position int    `json:"position" db:"position"`
	Label    string `json:"label" db:"label"`
	URL      string `json:"url" db:"url"`               // what every mail carries: the author's bytes, with the UTM parameters
	Override string `json:"correction" db:"correction"` // where it leads since it was corrected; empty: where the mail says
}

// Links returns the tracked links of a campaign by position; none before its launch.
func (m *Mailer) Links(ctx context.Context, c id.Campaign) ([]Link, error) {
	if _, err := read(ctx, m.o.DB, c); err != nil {
		return nil, err
	}
	list := []Link{}
	err := m.o.DB.Select(ctx, &list, `SELECT position, label, url, override AS correction FROM links WHERE campaign = ? ORDER BY position`, c)
	return list, boundary("list links", err)
}

// Correct makes a link of a launched campaign lead elsewhere, in mails that were sent already too; an
// empty target makes it lead where the mail says again. Every node follows within CorrectionsEvery.
// The error is a *segments.Invalid, or segments.ErrNotFound for a link that is not tracked.
func (m *Mailer) Correct(ctx context.Context, c id.Campaign, position int, target string) (Link, error) {
	target = strings.TrimSpace(target)
	if target != "" {
		if why := compose.CheckTarget(target); why != "" {
			return Link{}, &segments.Invalid{Fields: []segments.FieldError{{Field: "url", Message: why}}}
		}
	}
	var l Link
	err := m.o.DB.Tx(ctx, func(tx *schema.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE links SET override = ? WHERE campaign = ? AND position = ?`, target, c, position)
		if err != nil {
			return err
		}
		if n == 0 {
			return segments.ErrNotFound
		}
		return tx.Get(ctx, &l, `SELECT position, label, url, override AS correction FROM links WHERE campaign = ? AND position = ?`, c, position)
	})
	return l, boundary("correct link", err)
}

// CorrectionsEvery is how long a node may take to follow a correction.
const CorrectionsEvery = 2 * time.Second

// Corrections keeps the corrections of all links in memory, so that a redirect asks nobody. While the
// database is away the last ones known hold; a node that starts without it sends people where their
// mail says.
type Corrections struct {
	DB     *schema.DB
	Report func(error) // told of what will be tried again; may be nil

	known atomic.Pointer[map[place]string]
}

// place is a link of a campaign.
type place struct {
	Campaign id.Campaign `db:"campaign"`
	Position int         `db:"position"`
}

// Override returns where a link leads since it was corrected.
func (k *Corrections) Override(c id.Campaign, position int) (string, bool) {
	known := k.known.Load()
	if known == nil {
		return "", false
	}
	url, ok := (*known)[place{c, position}]
	return url, ok
}

// Read takes up the corrections as they are now.
func (k *Corrections) Read(ctx context.Context) error {
	var list []struct {
		place
		URL string `db:"override"`
	}
	if err := k.DB.Select(ctx, &list, `SELECT campaign, position, override FROM links WHERE override <> ''`); err != nil {
		return fmt.Errorf("mailer: read the corrections of links: %w", err)
	}
	known := make(map[place]string, len(list))
	for _, l := range list {
		if compose.CheckTarget(l.URL) == "" { // a redirect goes nowhere that a launch would refuse
			known[l.place] = l.URL
		}
	}
	k.known.Store(&known)
	return nil
}

// Run follows the corrections until ctx ends.
func (k *Corrections) Run(ctx context.Context) error {
	tick := time.NewTicker(CorrectionsEvery)
	defer tick.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, 10*CorrectionsEvery)
		err := k.Read(bounded)
		cancel()
		if err != nil && k.Report != nil && !errors.Is(ctx.Err(), context.Canceled) {
			k.Report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
