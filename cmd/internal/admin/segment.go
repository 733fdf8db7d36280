package admin

import (
	"bytes"
	"encoding/json"
	"fmt"

	"beckon/schema/id"
	"beckon/segments"

	"github.com/labstack/echo/v4"
)

type segmentPage struct {
	Name, Count, Channel, Company, AsOf, Rule string
	Breakdowns                                []kind
}

func (p *Pages) segment(c echo.Context) (string, string, any, error) {
	ctx := c.Request().Context()
	which, err := id.Parse[id.Segment](c.Param("id"))
	if err != nil {
		return "", "", nil, err
	}
	s, err := p.Segments.Get(ctx, which)
	if err != nil {
		return "", "", nil, err
	}
	r, err := p.Segments.Report(ctx, which, segments.ReportOptions{Suppress: true})
	if err != nil {
		return "", "", nil, err
	}
	var rule bytes.Buffer
	if err := json.Indent(&rule, s.Rule, "", "  "); err != nil {
		return "", "", nil, fmt.Errorf("admin: stored rule: %w", err)
	}
	page := segmentPage{Name: s.Name, Count: r.Size.Text(r.K), Channel: string(r.Channel), Company: r.Company, AsOf: r.AsOf.T().Format("2 January 2006 15:04 UTC"), Rule: rule.String()}
	for _, b := range []struct {
		name string
		of   segments.Breakdown
	}{{"By country, as stated", r.Countries}, {"By region of their last click", r.Regions}, {"By topic", r.Topics}, {"By communication type", r.Types}, {"By source", r.Sources}} {
		k := kind{Name: b.name, Note: fmt.Sprintf("Of %s contacts.", b.of.Base.Text(r.K))}
		if b.of.Overlaps {
			k.Note = fmt.Sprintf("Of %s contacts; one can be in several groups or in none.", b.of.Base.Text(r.K))
		}
		for _, g := range b.of.Groups {
			name := g.Name
			if name == "" {
				name = title(g.Key)
			}
			k.Rows = append(k.Rows, Figure{Name: name, Value: g.Text(r.K)})
		}
		page.Breakdowns = append(page.Breakdowns, k)
	}
	return "segment", s.Name, page, nil
}
