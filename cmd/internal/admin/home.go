package admin

import (
	"context"
	"fmt"

	"beckon/mailer/queue"
	"beckon/tracker/report"

	"github.com/labstack/echo/v4"
)

// shown is how many campaigns the overview lists.
const shown = 50

type homePage struct {
	Lead      string
	Warnings  []string
	Contacts  []Figure
	Campaigns []campaignRow
	Segments  []segmentRow
	Checks    []Check
}

type campaignRow struct{ ID, Name, Status, Sent, Opened, Clicked string }

type segmentRow struct {
	ID, Name string
	Count    int64
}

func (p *Pages) home(c echo.Context) (string, string, any, error) {
	ctx := c.Request().Context()
	page := homePage{}
	if p.Lead != nil {
		page.Lead = p.Lead()
	}
	if p.Warnings != nil {
		page.Warnings = p.Warnings()
	}
	if p.Checks != nil {
		page.Checks = p.Checks()
	}
	var err error
	if p.Contacts != nil {
		if page.Contacts, err = p.Contacts(ctx); err != nil {
			return "", "", nil, err
		}
	}
	if page.Campaigns, err = p.campaignRows(ctx); err != nil {
		return "", "", nil, err
	}
	all, err := p.Segments.List(ctx)
	if err != nil {
		return "", "", nil, err
	}
	for _, s := range all {
		n, err := p.Segments.Count(ctx, s.ID)
		if err != nil {
			return "", "", nil, err
		}
		page.Segments = append(page.Segments, segmentRow{s.ID.String(), s.Name, n})
	}
	return "home", "Overview", page, nil
}

func (p *Pages) campaignRows(ctx context.Context) ([]campaignRow, error) {
	all, err := p.Campaigns.List(ctx, 0, shown)
	if err != nil {
		return nil, err
	}
	var rows []campaignRow
	for _, c := range all {
		status, err := p.Campaigns.Status(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		stats, err := p.Stats.Stats(ctx, c.ID, report.Viewer{})
		if err != nil {
			return nil, err
		}
		rows = append(rows, campaignRow{c.ID.String(), c.Name, string(c.Status), fmt.Sprint(status.Messages[queue.Sent]),
			share(stats.Rates().Opened), share(stats.Rates().Clicked)})
	}
	return rows, nil
}
