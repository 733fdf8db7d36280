package admin

import (
	"fmt"
	"html/template"
	"strings"

	"beckon/tracker/report"
)

// point is one step of a chart over time with two series.
type point struct {
	Label string // shown on the axis
	Full  string // told by a screen reader and on hover
	A, B  int64
}

// bar is one row of a bar chart.
type bar struct{ A, B int64 }

// columns draws two series over time, side by side at each step.
func columns(title, a, b string, points []point) template.HTML {
	const width, height, left, bottom, top = 720, 240, 44, 28, 12
	highest := int64(1)
	for _, p := range points {
		highest = max(highest, p.A, p.B)
	}
	highest = nice(highest)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, template.HTMLEscapeString(title))
	plot := float64(height - bottom - top)
	y := func(v int64) float64 { return float64(top) + plot*(1-float64(v)/float64(highest)) }
	for i := range int64(5) {
		v := highest * i / 4
		fmt.Fprintf(&s, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%d</text>`, left, width, y(v), y(v), left-6, y(v)+4, v)
	}
	if len(points) > 0 {
		step := float64(width-left) / float64(len(points))
		each := min(step*0.38, 26)
		every := max(1, (len(points)+7)/8)
		for i, p := range points {
			mid := float64(left) + step*(float64(i)+0.5)
			fmt.Fprintf(&s, `<g><title>%s: %d %s, %d %s</title>`, template.HTMLEscapeString(p.Full), p.A, a, p.B, b)
			fmt.Fprintf(&s, `<rect class="a" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, mid-each, y(p.A), each-0.5, y(0)-y(p.A))
			fmt.Fprintf(&s, `<rect class="b" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/></g>`, mid+0.5, y(p.B), each-0.5, y(0)-y(p.B))
			if i%every == 0 {
				fmt.Fprintf(&s, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`, mid, height-8, template.HTMLEscapeString(p.Label))
			}
		}
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String())
}

// strip draws one row's bars, to the scale of the largest.
func strip(b bar, largest int64) template.HTML {
	const width, height = 320, 22
	largest = max(largest, 1)
	w := func(v int64) float64 { return float64(width) * float64(v) / float64(largest) }
	return template.HTML(fmt.Sprintf(`<svg class="strip" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true"><rect class="a" y="1" height="9" width="%.1f"/><rect class="b" y="12" height="9" width="%.1f"/></svg>`,
		width, height, w(b.A), w(b.B)))
}

// nice rounds up to a number that divides well by four.
func nice(n int64) int64 {
	for unit := int64(4); ; unit *= 10 {
		for _, m := range []int64{1, 2, 3, 5} {
			if unit*m >= n {
				return unit * m
			}
		}
	}
}

// share tells a rate with its base: "12 of 80 (15 %)"; without a share only the numbers.
func share(r report.Rate) string {
	if r.Share == nil {
		return fmt.Sprintf("%s of %d", number(r.Count), r.Base)
	}
	return fmt.Sprintf("%d of %d (%.0f %%)", r.Count.N, r.Base, 100**r.Share)
}
