package counter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/event"
)

// Axis says what a sum is broken down by.
type Axis byte

// The axes. Every sum is also by verdict, and by kind (links have clicks alone).
const (
	Whole  Axis = 't'
	Link   Axis = 'l'
	Region Axis = 'r' // without machines
	Hour   Axis = 'h'
)

// Field names one sum of a campaign. Of Link, Region and Hour, the one is set that the axis says.
type Field struct {
	Axis    Axis
	Kind    event.Kind
	Verdict event.Verdict
	Link    int
	Region  string // empty for unknown
	Hour    schema.Time
}

// Totals are the sums of a campaign. A field that is missing is zero.
type Totals map[Field]int64

// Add adds the units of a cell to each sum that they are part of.
func (t Totals) Add(c event.Cell, n int64) {
	machine := c.Verdict == event.Machine || c.Verdict == event.AnonymousMachine
	t[Field{Axis: Whole, Kind: c.Kind, Verdict: c.Verdict}] += n
	t[Field{Axis: Hour, Kind: c.Kind, Verdict: c.Verdict, Hour: c.Hour}] += n
	if c.Kind == event.Click && c.Link > 0 {
		t[Field{Axis: Link, Kind: c.Kind, Verdict: c.Verdict, Link: c.Link}] += n
	}
	if !machine {
		t[Field{Axis: Region, Kind: c.Kind, Verdict: c.Verdict, Region: c.Region}] += n
	}
}

// Equal says whether both have the same sums.
func (t Totals) Equal(u Totals) bool { return len(t.differ(u)) == 0 }

// differ returns the fields that are not equal, in order.
func (t Totals) differ(u Totals) []Field {
	var list []Field
	for f, n := range t {
		if u[f] != n {
			list = append(list, f)
		}
	}
	for f, n := range u {
		if _, met := t[f]; !met && n != 0 {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b Field) int { return cmp.Compare(a.String(), b.String()) })
	return list
}

// Durable reads the durable totals of a campaign.
func Durable(ctx context.Context, q schema.Querier, campaign id.Campaign) (Totals, error) {
	var cells []struct {
		event.Cell
		N int64 `db:"n"`
	}
	if err := q.Select(ctx, &cells, `SELECT hour, kind, link, verdict, region, CAST(SUM(n) AS BIGINT) AS n FROM counts
		WHERE campaign = ? GROUP BY hour, kind, link, verdict, region`, campaign); err != nil {
		return nil, fmt.Errorf("counter: durable totals of campaign %s: %w", campaign, err)
	}
	t := Totals{}
	for _, c := range cells {
		t.Add(c.Cell, c.N)
	}
	return t, nil
}

var (
	kindCodes    = map[event.Kind]string{event.Open: "o", event.Click: "c"}
	verdictCodes = map[event.Verdict]string{event.Person: "p", event.Machine: "m", event.Unverifiable: "u",
		event.Anonymous: "a", event.AnonymousMachine: "b", event.Private: "d"}
	kinds    = reverse(kindCodes)
	verdicts = reverse(verdictCodes)
)

func reverse[K ~string](m map[K]string) map[string]K {
	r := make(map[string]K, len(m))
	for k, v := range m {
		r[v] = k
	}
	return r
}

// errField is wrapped when a field of the hash is not one that String gives.
var errField = errors.New("not a field of a campaign's counts")

const hour = schema.Time(time.Hour / time.Microsecond)

// String returns the field's name in the hash.
func (f Field) String() string {
	s := string(f.Axis) + "/" + kindCodes[f.Kind] + "/" + verdictCodes[f.Verdict]
	switch f.Axis {
	case Link:
		s += "/" + strconv.Itoa(f.Link)
	case Region:
		s += "/" + f.Region
	case Hour:
		s += "/" + strconv.FormatInt(int64(f.Hour/hour), 10)
	}
	return s
}

// ParseField reads the name of a field.
func ParseField(s string) (Field, error) {
	bad := func() (Field, error) { return Field{}, fmt.Errorf("counter: %w", errField) }
	parts := strings.SplitN(s, "/", 4)
	if len(parts) < 3 || len(parts[0]) != 1 {
		return bad()
	}
	f := Field{Axis: Axis(parts[0][0]), Kind: kinds[parts[1]], Verdict: verdicts[parts[2]]}
	if f.Kind == "" || f.Verdict == "" || (f.Axis == Whole) != (len(parts) == 3) {
		return bad()
	}
	switch f.Axis {
	case Whole:
	case Link:
		n, err := strconv.Atoi(parts[3])
		if err != nil || n < 1 {
			return bad()
		}
		f.Link = n
	case Region:
		f.Region = parts[3]
	case Hour:
		n, err := strconv.ParseInt(parts[3], 10, 64)
		if err != nil || n < 0 || n > (1<<63-1)/int64(hour) {
			return bad()
		}
		f.Hour = schema.Time(n) * hour
	default:
		return bad()
	}
	if f.String() != s {
		return bad()
	}
	return f, nil
}
