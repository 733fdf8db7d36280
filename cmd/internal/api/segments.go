package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

// segmentView is a segment as a role may see it: a rule may name persons, so an analyst does not.
type segmentView struct {
	ID        id.Segment      `json:"id"`
	Name      string          `json:"name"`
	Company   string          `json:"company"`
	Channel   consent.Channel `json:"channel"`
	Rule      json.RawMessage `json:"rule,omitempty"`
	CreatedAt schema.Time     `json:"created_at"`
}

func viewSegment(s segments.Segment, by Token) segmentView {
	v := segmentView{s.ID, s.Name, s.Company, s.Channel, s.Rule, s.CreatedAt}
	if by.Role == Analyst {
		v.Rule = nil
	}
	return v
}

func (a *API) listSegments(c echo.Context, by Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	all, err := a.Segments.List(c.Request().Context())
	if err != nil {
		return err
	}
	views := make([]segmentView, len(all))
	for i, s := range all {
		views[i] = viewSegment(s, by)
	}
	return c.JSON(http.StatusOK, cut(views, p, func(v segmentView) string { return newestFirst(int64(v.ID)) }))
}

func (a *API) createSegment(c echo.Context, by Token) error {
	var in segments.NewSegment
	if err := decode(c, &in); err != nil {
		return err
	}
	made, err := a.Segments.Create(c.Request().Context(), in)
	if err != nil {
		return err
	}
	return created(c, "/segments/"+made.ID.String(), viewSegment(made, by))
}

// segment reads the segment that the path names.
func (a *API) segment(c echo.Context) (segments.Segment, error) {
	which, err := pathID[id.Segment](c)
	if err != nil {
		return segments.Segment{}, err
	}
	return a.Segments.Get(c.Request().Context(), which)
}

func (a *API) getSegment(c echo.Context, by Token) error {
	got, err := a.segment(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewSegment(got, by))
}

// countSegment answers with how many are in the segment; an analyst is not told of groups under k.
func (a *API) countSegment(c echo.Context, by Token) error {
	which, err := a.segment(c)
	if err != nil {
		return err
	}
	n, err := a.Segments.Count(c.Request().Context(), which.ID)
	if err != nil {
		return err
	}
	out := struct {
		Count      *int64      `json:"count"`
		Suppressed bool        `json:"suppressed,omitempty"`
		AsOf       schema.Time `json:"as_of"`
	}{Count: &n, AsOf: schema.At(a.Now())}
	if by.Role == Analyst && n < a.K {
		out.Count, out.Suppressed = nil, true
	}
	return c.JSON(http.StatusOK, out)
}

func (a *API) reportSegment(c echo.Context, by Token) error {
	which, err := a.segment(c)
	if err != nil {
		return err
	}
	got, err := a.Segments.Report(c.Request().Context(), which.ID, segments.ReportOptions{Suppress: by.Role == Analyst, K: a.K})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

type exporter func(*segments.Segments, context.Context, id.Segment, io.Writer, segments.ExportOptions) (int64, error)

func (a *API) exportCSV(c echo.Context, by Token) error {
	return a.export(c, by, "csv", "text/csv; charset=utf-8", (*segments.Segments).ExportCSV)
}

func (a *API) exportJSONL(c echo.Context, by Token) error {
	return a.export(c, by, "jsonl", "application/jsonl", (*segments.Segments).ExportJSONL)
}

func (a *API) exportXLSX(c echo.Context, by Token) error {
	return a.export(c, by, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", (*segments.Segments).ExportXLSX)
}

// export streams a segment. Rows are pseudonymous unless a marketer or admin asks for identified
// ones and says on what ground; the log knows of it before the first byte leaves.
func (a *API) export(c echo.Context, by Token, ending, media string, write exporter) error {
	identified, ground, err := identifiedOn(c, by)
	if err != nil {
		return err
	}
	which, err := a.segment(c)
	if err != nil {
		return err
	}
	detail := "pseudonymous " + ending
	if identified {
		detail = "identified " + ending
	}
	ctx := c.Request().Context()
	err = a.Audit.Write(ctx, nil, rights.Entry{Actor: by.Name, Action: "segment.export", Object: which.ID.String(), Ground: ground, Detail: detail})
	if err != nil {
		return err
	}
	download(c, media, which.ID.String()+"."+ending)
	_, err = write(a.Segments, ctx, which.ID, c.Response(), segments.ExportOptions{Identified: identified, K: a.K})
	return err
}

// identifiedOn reads whether identifiers are asked for, and on what ground. Naming a ground asks for them.
func identifiedOn(c echo.Context, by Token) (bool, rights.Ground, error) {
	asked, ground := c.QueryParam("identified"), c.QueryParam("ground")
	switch asked {
	case "", "true":
	case "false":
		return false, "", nil
	default:
		return false, "", invalid.problem("Nothing was exported.", FieldError{"identified", "must be true or false"})
	}
	if asked == "" && ground == "" {
		return false, "", nil
	}
	if by.Role != Marketer && by.Role != Admin {
		return false, "", forbidden.problem("Identified exports are open to marketer and admin; the token is " + string(by.Role) + ". Leave out identified and ground for pseudonymous rows.")
	}
	g, err := rights.ParseGround(ground)
	return err == nil, g, err
}
