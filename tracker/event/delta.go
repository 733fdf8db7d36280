package event

import (
	"cmp"
	"context"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
)

// Cell is the finest thing that is counted: the hits of one campaign in one hour that are alike.
// Node is empty where the nodes are added up.
type Cell struct {
	Campaign id.Campaign `db:"campaign"`
	Hour     schema.Time `db:"hour"`
	Kind     Kind        `db:"kind"`
	Link     int         `db:"link"`
	Verdict  Verdict     `db:"verdict"`
	Region   string      `db:"region"`
	Node     string      `db:"node"`
}

func compareCells(a, b Cell) int {
	return cmp.Or(cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Link, b.Link),
		cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node))
}

// Delta is what one batch of this node added to the counts of one campaign. It is a link of a
// chain: Prev is the Seq of the delta of this node and campaign before it, zero for the first.
type Delta struct {
	Campaign id.Campaign
	Node     string
	Prev     int64
	Seq      int64
	Cells    map[Cell]int64 // without their node; negative where a verdict was taken back
}

// Sink is told of each batch after it is committed, in order. An error, or a process that ends
// before it is told, is made good by the chain: the next delta does not fit what the sink has.
type Sink interface {
	Push(ctx context.Context, deltas []Delta) error
}

// cellOf says where a hit is counted.
func cellOf(h *Hit, node string) Cell {
	c := Cell{Campaign: h.Campaign, Hour: h.At.Hour(), Kind: h.Kind, Link: h.Link, Verdict: h.Verdict, Region: h.Region, Node: node}
	switch {
	case (h.Private || h.Message == 0) && h.Verdict == Machine:
		c.Verdict = AnonymousMachine
	case h.Private:
		c.Verdict = Private
	case h.Message == 0:
		c.Verdict = Anonymous
	}
	return c
}

func sortedCells(m map[Cell]int64) []Cell {
	cells := make([]Cell, 0, len(m))
	for c, n := range m {
		if n != 0 {
			cells = append(cells, c)
		}
	}
	slices.SortFunc(cells, compareCells)
	return cells
}
