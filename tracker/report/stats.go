package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/counter"
	"beckon/tracker/event"
)

// DefaultK is the smallest group that is shown where small groups are suppressed.
const DefaultK = 5

// Viewer says for whom figures are made.
type Viewer struct {
	Analyst bool  // sees no group under K; the others see true figures of identified hits
	K       int64 // zero: DefaultK
}

// Number is a figure that may be suppressed. In JSON a suppressed one is null.
type Number struct {
	N      int64
	Hidden bool // N is zero then
}

// MarshalJSON writes the figure, or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.Hidden {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%d", n.N), nil
}

// String writes the figure, or that there are few.
func (n Number) String() string {
	if n.Hidden {
		return "few"
	}
	return fmt.Sprint(n.N)
}

// Base is what rates are of: messages sent.
type Base struct {
	Sent       int64 `json:"sent"` // = Identified + Anonymous
	Identified int64 `json:"identified"`
	Anonymous  int64 `json:"anonymous"`
}

// Hits are opens or clicks: Total = Person + Machine + Unverifiable + Anonymous.
type Hits struct {
	Total        Number `json:"total"`
	Unique       Number `json:"unique"` // identified messages with at least one hit that is not a machine's
	Person       Number `json:"person"`
	Machine      Number `json:"machine"` // identified and anonymous ones
	Unverifiable Number `json:"unverifiable"`
	Anonymous    Number `json:"anonymous"` // without machines; those who asked not to be tracked included
	Suppressed   bool   `json:"suppressed,omitempty"`
}

// Link is how often a tracked link was followed, machines left out.
type Link struct {
	Position   int    `json:"position"`
	Label      string `json:"label"`
	URL        string `json:"url"`
	Total      Number `json:"total"`
	Unique     Number `json:"unique"`
	Suppressed bool   `json:"suppressed,omitempty"`
}

// Region counts the hits from a region, machines left out: GB-ENG, GB, or unknown.
type Region struct {
	Region     string `json:"region"`
	Opens      Number `json:"opens"`
	Clicks     Number `json:"clicks"`
	Suppressed bool   `json:"suppressed,omitempty"`
}

// Hour counts the hits of an hour, machines left out.
type Hour struct {
	At         time.Time `json:"at"`
	Opens      Number    `json:"opens"`
	Clicks     Number    `json:"clicks"`
	Suppressed bool      `json:"suppressed,omitempty"`
}

// Stats are a campaign's figures.
type Stats struct {
	AsOf    time.Time `json:"as_of"`
	Base    Base      `json:"base"`
	Opens   Hits      `json:"opens"`
	Clicks  Hits      `json:"clicks"`
	Links   []Link    `json:"links"`
	Regions []Region  `json:"regions"`
	Hourly  []Hour    `json:"hourly"`
}

// Live reads the totals of a campaign as they are counted; *counter.Counter is one.
type Live interface {
	Read(ctx context.Context, c id.Campaign) (counter.Totals, error)
}

// Reporter makes reports. It is safe for concurrent use.
type Reporter struct {
	db   *schema.DB
	live Live
	now  func() time.Time
}

// New returns a reporter; without live it reads the durable totals.
func New(db *schema.DB, live Live, now func() time.Time) *Reporter { return &Reporter{db, live, now} }

// Stats tells a campaign's figures. A campaign that is not there has none.
func (r *Reporter) Stats(ctx context.Context, c id.Campaign, v Viewer) (Stats, error) {
	s := Stats{AsOf: r.now().UTC(), Links: []Link{}, Regions: []Region{}, Hourly: []Hour{}}
	totals, err := r.totals(ctx, c)
	if err != nil {
		return s, fmt.Errorf("report: totals of %s: %w", c, err)
	}
	if err := r.db.View(ctx, func(tx *schema.Tx) error { return s.stored(ctx, tx, c) }); err != nil {
		return s, fmt.Errorf("report: figures of %s: %w", c, err)
	}
	s.count(totals)
	if k := cmp.Or(v.K, DefaultK); v.Analyst {
		s.suppress(totals, k)
	} else {
		s.suppressAnonymous(totals, k)
	}
	s.mark()
	return s, nil
}

func (r *Reporter) totals(ctx context.Context, c id.Campaign) (counter.Totals, error) {
	if r.live != nil {
		if t, err := r.live.Read(ctx, c); err == nil {
			return t, nil
		}
	}
	return counter.Durable(ctx, r.db, c)
}

// stored reads what is known of messages and links.
func (s *Stats) stored(ctx context.Context, tx *schema.Tx, c id.Campaign) error {
	var modes []struct {
		Mode string
		N    int64
		Open int64
	}
	if err := tx.Select(ctx, &modes, `SELECT mode, COUNT(*) AS n, SUM(CASE WHEN opened_at > 0 THEN 1 ELSE 0 END) AS open
		FROM messages WHERE campaign = ? AND status = 'sent' GROUP BY mode`, c); err != nil {
		return err
	}
	for _, m := range modes {
		s.Base.Sent += m.N
		if m.Mode == "identified" {
			s.Base.Identified += m.N
		} else {
			s.Base.Anonymous += m.N
		}
		s.Opens.Unique.N += m.Open
	}
	if err := tx.Get(ctx, &s.Clicks.Unique.N, `SELECT COUNT(DISTINCT l.message) FROM message_links l JOIN messages m ON m.id = l.message WHERE m.campaign = ?`, c); err != nil {
		return err
	}
	var links []struct {
		Position int
		Label    string
		URL      string
		N        int64
	}
	if err := tx.Select(ctx, &links, `SELECT l.position, l.label, CASE WHEN l.override = '' THEN l.url ELSE l.override END AS url, COALESCE(f.n, 0) AS n
		FROM links l LEFT JOIN (SELECT ml.link, COUNT(*) AS n FROM message_links ml JOIN messages m ON m.id = ml.message WHERE m.campaign = ? GROUP BY ml.link) f
		ON f.link = l.position WHERE l.campaign = ? ORDER BY l.position`, c, c); err != nil {
		return err
	}
	for _, l := range links {
		s.Links = append(s.Links, Link{Position: l.Position, Label: l.Label, URL: l.URL, Unique: Number{N: l.N}})
	}
	return nil
}

func isMachine(v event.Verdict) bool { return v == event.Machine || v == event.AnonymousMachine }

func isAnonymous(v event.Verdict) bool { return v == event.Anonymous || v == event.Private }

// count tells the totals as figures.
func (s *Stats) count(totals counter.Totals) {
	regions, hours := map[string]*Region{}, map[schema.Time]*Hour{}
	for f, n := range totals {
		click := f.Kind == event.Click
		if f.Axis == counter.Whole {
			h := &s.Opens
			if click {
				h = &s.Clicks
			}
			h.Total.N += n
			switch {
			case isMachine(f.Verdict):
				h.Machine.N += n
			case isAnonymous(f.Verdict):
				h.Anonymous.N += n
			case f.Verdict == event.Person:
				h.Person.N += n
			default:
				h.Unverifiable.N += n
			}
		}
		if isMachine(f.Verdict) {
			continue
		}
		switch f.Axis {
		case counter.Region:
			place := cmp.Or(f.Region, unknown)
			if regions[place] == nil {
				regions[place] = &Region{Region: place}
			}
			*pick(click, &regions[place].Clicks.N, &regions[place].Opens.N) += n
		case counter.Hour:
			if hours[f.Hour] == nil {
				hours[f.Hour] = &Hour{At: f.Hour.T()}
			}
			*pick(click, &hours[f.Hour].Clicks.N, &hours[f.Hour].Opens.N) += n
		case counter.Link:
			if i := slices.IndexFunc(s.Links, func(l Link) bool { return l.Position == f.Link }); i >= 0 {
				s.Links[i].Total.N += n
			}
		}
	}
	for _, g := range regions {
		if g.Opens.N != 0 || g.Clicks.N != 0 { // a verdict that was taken back leaves a zero
			s.Regions = append(s.Regions, *g)
		}
	}
	slices.SortFunc(s.Regions, func(a, b Region) int { return cmp.Compare(a.Region, b.Region) })
	for _, h := range hours {
		if h.Opens.N != 0 || h.Clicks.N != 0 {
			s.Hourly = append(s.Hourly, *h)
		}
	}
	slices.SortFunc(s.Hourly, func(a, b Hour) int { return a.At.Compare(b.At) })
}

// unknown is the region of hits that have none.
const unknown = "unknown"

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
