package consent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
)

// The kinds of catalogue entries.
const (
	KindType    = "type"
	KindChannel = "channel"
	KindTopic   = "topic"
)

// CatalogueEntry is a communication type, a channel or a topic.
type CatalogueEntry struct {
	Kind    string `json:"kind" db:"kind"`
	Slug    string `json:"slug" db:"slug"`
	Name    string `json:"name" db:"name"`
	Bit     int    `json:"-" db:"bit"`
	Special bool   `json:"special" db:"special"` // a topic of a special category: needs explicit consent
}

// Catalogue is what can be consented to, as it was when it was loaded. It does not change.
type Catalogue struct {
	entries map[string]map[string]CatalogueEntry // kind → slug
	ordered map[string][]CatalogueEntry          // kind → by bit
	special int64                                // mask of the special topics
}

// LoadCatalogue reads the catalogue.
func LoadCatalogue(ctx context.Context, q schema.Querier) (*Catalogue, error) {
	var list []CatalogueEntry
	if err := q.Select(ctx, &list, `SELECT kind, slug, name, bit, special FROM catalogue ORDER BY kind, bit`); err != nil {
		return nil, fmt.Errorf("consent: read the catalogue: %w", err)
	}
	c := &Catalogue{entries: map[string]map[string]CatalogueEntry{}, ordered: map[string][]CatalogueEntry{}}
	for _, e := range list {
		if c.entries[e.Kind] == nil {
			c.entries[e.Kind] = map[string]CatalogueEntry{}
		}
		c.entries[e.Kind][e.Slug] = e
		c.ordered[e.Kind] = append(c.ordered[e.Kind], e)
		if e.Kind == KindTopic && e.Special {
			c.special |= 1 << e.Bit
		}
	}
	return c, nil
}

// Mask returns the slugs as a mask; *ErrUnknownSlug names the first that the catalogue does not hold.
// It is for types and topics; no slugs give zero.
func (c *Catalogue) Mask(kind string, slugs []string) (int64, error) {
	var mask int64
	for _, s := range slugs {
		e, ok := c.entry(kind, s)
		if !ok {
			return 0, &ErrUnknownSlug{kind, s}
		}
		mask |= 1 << e.Bit
	}
	return mask, nil
}

// Slugs returns the slugs of a mask in catalogue order. Bits without an entry are left out.
func (c *Catalogue) Slugs(kind string, mask int64) []string {
	slugs := []string{}
	if c == nil {
		return slugs
	}
	for _, e := range c.ordered[kind] {
		if mask&(1<<e.Bit) != 0 {
			slugs = append(slugs, e.Slug)
		}
	}
	return slugs
}

// Entries returns the entries of a kind in catalogue order.
func (c *Catalogue) Entries(kind string) []CatalogueEntry { return slices.Clone(c.ordered[kind]) }

// Name returns the name that people read, or the slug if the catalogue does not hold it.
func (c *Catalogue) Name(kind, slug string) string {
	if e, ok := c.entry(kind, slug); ok {
		return e.Name
	}
	return slug
}

func (c *Catalogue) entry(kind, slug string) (CatalogueEntry, bool) {
	if c == nil {
		return CatalogueEntry{}, false
	}
	e, ok := c.entries[kind][slug]
	return e, ok
}

// defaults is the catalogue that ships; the order of a kind gives the bits.
var defaults = map[string][]string{
	KindType: {
		"product-updates|Product Updates", "newsletter|Newsletter", "whitepaper-intelligence|Whitepaper and Intelligence",
		"exhibition-event|Exhibition and Event", "video-podcast-webinar|Video, Podcast and Webinar",
		"promotional-offer|Promotional Offer", "company-updates|Company Updates",
		"group-communications|Communications from another part of the group",
	},
	KindChannel: {"email|Email", "phone|Phone", "post|Direct Mail"},
	KindTopic: {
		"public-sector|Public Sector and Government", "grants-funding|Grants and Funding", "electoral-management|Electoral Management",
		"compliance|Compliance", "engineering-information|Engineering Information Management",
		"facilities-management|Facilities Management", "hospital-management|Hospital Management", "sexual-health|Sexual Health",
		"social-care|Social Care", "transport|Transport",
	},
}

var specialTopics = []string{"sexual-health"}

// Seed fills an empty catalogue with the defaults. A catalogue that holds anything is left as it
// is: what an operator removed does not come back.
func Seed(ctx context.Context, db *schema.DB) error {
	err := db.Tx(ctx, func(tx *schema.Tx) error {
		var n int
		if err := tx.Get(ctx, &n, `SELECT count(*) FROM catalogue`); err != nil || n > 0 {
			return err
		}
		for _, kind := range []string{KindType, KindChannel, KindTopic} {
			for bit, e := range defaults[kind] {
				slug, name, _ := strings.Cut(e, "|")
				if _, err := tx.Exec(ctx, `INSERT INTO catalogue (kind, slug, name, bit, special) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
					kind, slug, name, bit, slices.Contains(specialTopics, slug)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("consent: fill the catalogue: %w", err)
	}
	return nil
}
