package admin

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema/id"
	"beckon/tracker/report"

	"github.com/labstack/echo/v4"
)

type campaignPage struct {
	Name, Status, Note, Audience, AsOf string
	Messages                           []Figure
	Kinds                              []kind
	Time                               template.HTML
	Regions                            []regionRow
	RegionNote                         string
	Links                              []linkRow
	LinkNote                           string
	LeftOut                            []Figure
}

type kind struct {
	Name string
	Rows []Figure
	Note string
}

type regionRow struct {
	Label, Opens, Clicks string
	Strip                template.HTML
}

type linkRow struct {
	Position                  int
	Label, URL, Total, Unique string
}

func (p *Pages) campaign(c echo.Context) (string, string, any, error) {
	ctx := c.Request().Context()
	which, err := id.Parse[id.Campaign](c.Param("id"))
	if err != nil {
		return "", "", nil, err
	}
	status, err := p.Campaigns.Status(ctx, which)
	if err != nil {
		return "", "", nil, err
	}
	s, err := p.Stats.Stats(ctx, which, report.Viewer{})
	if err != nil {
		return "", "", nil, err
	}
	page := campaignPage{Name: status.Name, Status: title(string(status.Status)), Note: status.StatusNote, Audience: p.audience(c, status.Audience),
		AsOf: s.AsOf.Format("2 January 2006 15:04 UTC"), Messages: messages(status), Kinds: []kind{hits("Opens", s.Opens, s.Rates().Opened, s.Base), hits("Clicks", s.Clicks, s.Rates().Clicked, s.Base)}}
	var points []point
	for _, h := range s.Hourly {
		points = append(points, point{Label: h.At.Format("15:04"), Full: h.At.Format("2 January 15:04 UTC"), A: h.Opens.N, B: h.Clicks.N})
	}
	page.Time = columns("Opens and clicks per hour", "opens", "clicks", points)
	largest := int64(0)
	for _, g := range s.Regions {
		largest = max(largest, g.Opens.N, g.Clicks.N)
	}
	few := false
	for _, g := range s.Regions {
		page.Regions = append(page.Regions, regionRow{g.Region, number(g.Opens), number(g.Clicks), strip(bar{A: g.Opens.N, B: g.Clicks.N}, largest)})
		few = few || g.Suppressed
	}
	page.RegionNote = fmt.Sprintf("Base: %d opens and %d clicks that are not a machine's. The region is taken from the network address, which is then dropped; behind an image proxy and for who asked not to be tracked it is unknown.",
		s.Opens.Total.N-s.Opens.Machine.N, s.Clicks.Total.N-s.Clicks.Machine.N)
	if few {
		page.RegionNote += fmt.Sprintf(" Anonymous groups under %d are left out.", report.DefaultK)
	}
	for _, l := range s.Links {
		page.Links = append(page.Links, linkRow{l.Position, l.Label, l.URL, number(l.Total), number(l.Unique)})
	}
	page.LinkNote = fmt.Sprintf("Clicks without machines', of %d in all; unique: identified messages of %d sent. Clicks of who asked not to be tracked are counted for no link.", s.Clicks.Total.N-s.Clicks.Machine.N, s.Base.Identified)
	for _, reason := range slices.SortedFunc(maps.Keys(status.LeftOut), func(a, b string) int {
		return cmp.Or(cmp.Compare(status.LeftOut[b], status.LeftOut[a]), cmp.Compare(a, b))
	}) {
		page.LeftOut = append(page.LeftOut, Figure{Name: words(reason), Value: fmt.Sprint(status.LeftOut[reason])})
	}
	for _, reason := range slices.Sorted(maps.Keys(status.SkippedReasons)) {
		page.LeftOut = append(page.LeftOut, Figure{Name: words(reason) + ", noticed while sending", Value: fmt.Sprint(status.SkippedReasons[reason])})
	}
	return "campaign", status.Name, page, nil
}

func messages(s mailer.Status) []Figure {
	total := int64(0)
	for _, n := range s.Messages {
		total += n
	}
	var all []Figure
	for _, st := range []queue.Status{queue.Sent, queue.Queued, queue.Sending, queue.Deferred, queue.Failed, queue.Skipped, queue.Unknown} {
		if n := s.Messages[st]; n > 0 || st == queue.Sent {
			all = append(all, Figure{Name: title(string(st)), Value: fmt.Sprint(n), Note: fmt.Sprintf("of %d", total)})
		}
	}
	return all
}

func hits(name string, h report.Hits, unique report.Rate, b report.Base) kind {
	lower := strings.ToLower(name)
	return kind{Name: name, Rows: []Figure{
		{Name: "By people", Value: number(h.Person)},
		{Name: "Unverifiable", Value: number(h.Unverifiable)},
		{Name: "Anonymous", Value: number(h.Anonymous)},
		{Name: "By machines", Value: number(h.Machine)},
		{Name: "All together", Value: number(h.Total)},
		{Name: "Unique, of identified messages sent", Value: share(unique)},
	}, Note: fmt.Sprintf("%d messages were sent, %d of them identified and %d anonymous. Anonymous %s belong to nobody, so they have no unique count.", b.Sent, b.Identified, b.Anonymous, lower)}
}

// audience names whom a campaign was sent to.
func (p *Pages) audience(c echo.Context, a mailer.Audience) string {
	switch {
	case a.Segment != 0:
		if s, err := p.Segments.Get(c.Request().Context(), a.Segment); err == nil {
			return "the segment " + s.Name
		}
		return "a segment"
	case a.Source != "":
		return "the list of the data source " + a.Source
	default:
		var parts []string
		for _, one := range a.Any {
			parts = append(parts, p.audience(c, one))
		}
		text := strings.Join(parts, " and ")
		for _, one := range a.Except {
			text += ", without " + p.audience(c, one)
		}
		return text
	}
}

func number(n report.Number) string {
	if n.Hidden {
		return fmt.Sprintf("< %d", report.DefaultK)
	}
	return fmt.Sprint(n.N)
}

// words turns a reason such as consent-for-something-else into words.
func words(reason string) string { return title(strings.ReplaceAll(reason, "-", " ")) }

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
