package counter

import (
	"context"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/tracker/event"
)

type shut struct{}

func (shut) TrackOpen(contact, company, epoch string) consent.Fragment {
	return consent.Fragment{SQL: "1 = 0"}
}

// TestR2CountsInRedisAreTheDurableTotals drains real spools of two nodes while Redis loses things.
func TestR2CountsInRedisAreTheDurableTotals(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		url := servertest.NewRedis(t).URL
		type node struct {
			*rig
			spool *event.Spool
			drain *event.Drain
		}
		var nodes []node
		for range 2 {
			r := newRig(t, db, url)
			spool, err := event.OpenSpool(t.TempDir(), event.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { spool.Close() })
			nodes = append(nodes, node{r, spool, &event.Drain{DB: db, Gate: shut{}, Spool: spool, Sink: r.Counter, Report: func(err error) { t.Error(err) }}})
		}
		for i := range 24 {
			n := nodes[i%2]
			for link := range 3 {
				h := event.Hit{At: noon, Kind: event.Click, Campaign: 1, Link: link + 1, Verdict: event.Person, Region: "GB-ENG", Private: i%6 == 0}
				if _, err := n.spool.Append(context.Background(), h); err != nil {
					t.Fatal(err)
				}
			}
			if err := n.drain.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.equal(1)
			switch i % 8 {
			case 3:
				n.do("FLUSHALL")
			case 5:
				n.do("SCRIPT", "FLUSH")
			}
		}
		sums, err := nodes[0].Read(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := sums[Field{Axis: Whole, Kind: event.Click, Verdict: event.Anonymous}] + sums[Field{Axis: Whole, Kind: event.Click, Verdict: event.Private}]; got != 72 {
			t.Errorf("%d of 72 hits", got)
		}
	})
}
