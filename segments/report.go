package segments

import (
	"cmp"
	"context"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// ReportOptions: with Suppress no group under K (5 if zero) can be read from the report, neither
// directly nor by subtraction.
type ReportOptions struct {
	Suppress bool
	K        int64
}

// Report is a segment in figures, all of one snapshot.
type Report struct {
	Segment   id.Segment      `json:"segment"`
	Name      string          `json:"name"`
	Company   string          `json:"company"`
	Channel   consent.Channel `json:"channel"`
	AsOf      schema.Time     `json:"as_of"`
	K         int64           `json:"k,omitempty"` // the smallest group shown; none: all are
	Size      Figure          `json:"size"`
	Sizes     []SizeAt        `json:"sizes"`     // over time, one a day, the oldest first
	Regions   Breakdown       `json:"regions"`   // where they last clicked, while they allow tracking
	Countries Breakdown       `json:"countries"` // as they or their source stated
	Topics    Breakdown       `json:"topics"`
	Types     Breakdown       `json:"types"`
	Companies Breakdown       `json:"companies"` // of the group, to which they opted in by the channel
	Sources   Breakdown       `json:"sources"`
}

// SizeAt is the segment's size as it was last counted on a day.
type SizeAt struct {
	At schema.Time `json:"at"`
	Figure
}

// Breakdown is the segment by one property. Every figure in it is out of Base.
type Breakdown struct {
	Base     Figure      `json:"base"`
	AsOf     schema.Time `json:"as_of"`
	Overlaps bool        `json:"overlaps"` // a contact may be in several groups, or in none
	Groups   []Group     `json:"groups"`   // the largest first
}

// Group is the members who share a property.
type Group struct {
	Key  string `json:"key"` // slug, code, unknown, or own for those who came by themselves
	Name string `json:"name,omitempty"`
	Figure
}

// Report answers from one snapshot, and keeps the size for the day.
func (s *Segments) Report(ctx context.Context, seg id.Segment, o ReportOptions) (Report, error) {
	if o.K <= 0 {
		o.K = defaultK
	}
	var r Report
	var total int64
	err := s.db.View(ctx, func(tx *schema.Tx) error {
		got, err := getSegment(ctx, tx, seg)
		if err != nil {
			return err
		}
		t, err := s.tally(ctx, tx, got)
		if err != nil {
			return err
		}
		total = t.total
		r = t.report(got, schema.At(s.now()), o)
		day := schema.At(s.now().UTC().Truncate(24 * time.Hour))
		var sizes []struct {
			At schema.Time `db:"at"`
			N  int64       `db:"n"`
		}
		if err := tx.Select(ctx, &sizes, `SELECT at, n FROM segment_sizes WHERE segment = ? AND at < ? ORDER BY at`, seg, day); err != nil {
			return err
		}
		r.Sizes = make([]SizeAt, 0, len(sizes)+1)
		for _, z := range sizes {
			f := figure(z.N)
			if o.Suppress && z.N > 0 && z.N < o.K {
				f = Figure{Suppressed: true}
			}
			r.Sizes = append(r.Sizes, SizeAt{z.At, f})
		}
		r.Sizes = append(r.Sizes, SizeAt{day, r.Size})
		return nil
	})
	if err == nil {
		err = s.keepSize(ctx, seg, total)
	}
	return r, boundary("report on segment", err)
}

// tally counts a segment's members by each property.
type tally struct {
	total                                                 int64
	regions, countries, topics, types, companies, sources map[string]int64
	names                                                 map[string]map[string]string
}

func (s *Segments) tally(ctx context.Context, q schema.Querier, seg Segment) (*tally, error) {
	companies, sources, err := s.groupNames(ctx, q)
	if err != nil {
		return nil, err
	}
	ids := make([]id.Company, len(companies))
	for i, c := range companies {
		ids[i] = c.ID
	}
	if len(ids) > 60 {
		ids = ids[:60] // as many as a mask holds
	}
	w, err := s.walker(ctx, q, seg, pseudonymousColumns, ids)
	if err != nil {
		return nil, err
	}
	types := s.cat.Entries(consent.KindType)
	t := &tally{regions: map[string]int64{}, countries: map[string]int64{}, topics: map[string]int64{}, types: map[string]int64{},
		companies: map[string]int64{}, sources: map[string]int64{},
		names: map[string]map[string]string{"topics": {}, "types": {}, "companies": {}, "sources": {}}}
	for _, e := range types {
		t.names["types"][e.Slug] = e.Name
	}
	for _, e := range s.cat.Entries(consent.KindTopic) {
		t.names["topics"][e.Slug] = e.Name
	}
	for _, c := range companies {
		t.names["companies"][c.Slug] = c.Name
	}
	for _, src := range sources {
		t.names["sources"][src.Slug] = src.Name
	}
	err = w.walk(ctx, q, func(batch []member) error {
		for i := range batch {
			m := &batch[i]
			t.total++
			t.regions[cmp.Or(m.Region, "unknown")]++
			t.countries[cmp.Or(m.Country, "unknown")]++
			for _, slug := range s.cat.Slugs(consent.KindTopic, m.Topics) {
				t.topics[slug]++
			}
			for _, slug := range named(types, m.types) {
				t.types[slug]++
			}
			for i := range ids {
				if m.companies&(1<<i) != 0 {
					t.companies[companies[i].Slug]++
				}
			}
			if len(m.sources) == 0 {
				t.sources["own"]++
			}
			for _, src := range m.sources {
				t.sources[sources[src].Slug]++
			}
		}
		return nil
	})
	return t, err
}

type groupName struct {
	ID   id.Company
	Slug string
	Name string
}

func (s *Segments) groupNames(ctx context.Context, q schema.Querier) ([]groupName, map[id.Source]groupName, error) {
	var companies []groupName
	rows, err := q.Query(ctx, `SELECT id, slug, name FROM companies ORDER BY id`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var g groupName
		if err := rows.Scan(&g.ID, &g.Slug, &g.Name); err != nil {
			return nil, nil, err
		}
		companies = append(companies, g)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	rows.Close()
	sources := map[id.Source]groupName{}
	if rows, err = q.Query(ctx, `SELECT id, slug, name FROM sources`); err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var src id.Source
		var g groupName
		if err := rows.Scan(&src, &g.Slug, &g.Name); err != nil {
			return nil, nil, err
		}
		sources[src] = g
	}
	return companies, sources, rows.Err()
}

func (t *tally) report(seg Segment, asOf schema.Time, o ReportOptions) Report {
	r := Report{Segment: seg.ID, Name: seg.Name, Company: seg.Company, Channel: seg.Channel, AsOf: asOf, Size: figure(t.total)}
	tooFew := o.Suppress && t.total > 0 && t.total < o.K
	if o.Suppress {
		r.K = o.K
	}
	if tooFew {
		r.Size = Figure{Suppressed: true}
	}
	breakdown := func(groups map[string]int64, names map[string]string, overlaps bool) Breakdown {
		b := Breakdown{Base: r.Size, AsOf: asOf, Overlaps: overlaps, Groups: []Group{}}
		var hidden map[string]bool
		switch {
		case !o.Suppress:
		case overlaps:
			hidden = hideOverlap(groups, t.total, o.K)
		default:
			hidden = hidePartition(groups, o.K)
		}
		for key, n := range groups {
			g := Group{key, names[key], figure(n)}
			if tooFew || hidden[key] {
				g.Figure = Figure{Suppressed: true}
			}
			b.Groups = append(b.Groups, g)
		}
		// Those held back stand last, by key: their order must not tell their size.
		slices.SortFunc(b.Groups, func(x, y Group) int {
			switch {
			case x.Suppressed != y.Suppressed:
				return map[bool]int{false: -1, true: 1}[x.Suppressed]
			case x.Suppressed:
				return cmp.Compare(x.Key, y.Key)
			}
			return cmp.Or(cmp.Compare(*y.N, *x.N), cmp.Compare(x.Key, y.Key))
		})
		return b
	}
	r.Regions = breakdown(t.regions, nil, false)
	r.Countries = breakdown(t.countries, nil, false)
	r.Topics = breakdown(t.topics, t.names["topics"], true)
	r.Types = breakdown(t.types, t.names["types"], true)
	r.Companies = breakdown(t.companies, t.names["companies"], true)
	r.Sources = breakdown(t.sources, t.names["sources"], true)
	return r
}
