package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/report"

	"github.com/labstack/echo/v4"
)

// campaignSummary is a campaign in a list: without its mail and audience.
type campaignSummary struct {
	ID         id.Campaign           `json:"id"`
	Name       string                `json:"name"`
	Company    string                `json:"company"`
	Type       string                `json:"type"`
	Subject    string                `json:"subject"`
	Tracking   string                `json:"tracking"`
	Status     mailer.CampaignStatus `json:"status"`
	StatusNote string                `json:"status_note"`
	SendAt     schema.Time           `json:"send_at"`
	CreatedAt  schema.Time           `json:"created_at"`
	LaunchedAt schema.Time           `json:"launched_at"`
	FinishedAt schema.Time           `json:"finished_at"`
}

func (a *API) listCampaigns(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	before, err := afterID[id.Campaign](p)
	if err != nil {
		return err
	}
	all, err := a.Mailer.List(c.Request().Context(), before, p.limit+1)
	if err != nil {
		return err
	}
	list := make([]campaignSummary, len(all))
	for i, x := range all {
		list[i] = campaignSummary{x.ID, x.Name, x.Company, x.Type, x.Subject, x.Tracking, x.Status, x.StatusNote, x.SendAt, x.CreatedAt, x.LaunchedAt, x.FinishedAt}
	}
	return c.JSON(http.StatusOK, answer(list, p, func(s campaignSummary) string { return s.ID.String() }))
}

func (a *API) createCampaign(c echo.Context, by Token) error {
	var in mailer.Draft
	if err := decode(c, &in); err != nil {
		return err
	}
	made, err := a.Mailer.Create(c.Request().Context(), in)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "campaign.create", made.ID.String(), ""); err != nil {
		return err
	}
	return created(c, "/campaigns/"+made.ID.String(), made)
}

func (a *API) getCampaign(c echo.Context, _ Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	got, err := a.Mailer.Status(c.Request().Context(), which)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) checkCampaign(c echo.Context, _ Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	got, err := a.Mailer.Check(c.Request().Context(), which)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

// stats reads the figures of the campaign in the path; few says that no group under k may be seen.
func (a *API) stats(c echo.Context, few bool) (id.Campaign, report.Stats, error) {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return 0, report.Stats{}, err
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return 0, report.Stats{}, err
	}
	got, err := a.Reports.Stats(ctx, which, report.Viewer{Analyst: few, K: a.K})
	return which, got, err
}

func (a *API) statsJSON(c echo.Context, by Token) error {
	_, got, err := a.stats(c, by.Role == Analyst)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

// statsCSV, as every export, shows no group under k to anybody.
func (a *API) statsCSV(c echo.Context, _ Token) error {
	which, got, err := a.stats(c, true)
	if err != nil {
		return err
	}
	download(c, "text/csv; charset=utf-8", which.String()+"-stats.csv")
	return got.WriteCSV(c.Response(), a.K)
}

func (a *API) launchCampaign(c echo.Context, by Token) error {
	return a.steer(c, by, "campaign.launch", a.Mailer.Launch)
}

func (a *API) pauseCampaign(c echo.Context, by Token) error {
	return a.steer(c, by, "campaign.pause", a.Mailer.Pause)
}

func (a *API) resumeCampaign(c echo.Context, by Token) error {
	return a.steer(c, by, "campaign.resume", a.Mailer.Resume)
}

func (a *API) cancelCampaign(c echo.Context, by Token) error {
	return a.steer(c, by, "campaign.cancel", a.Mailer.Cancel)
}

// steer changes the course of a campaign. That somebody tried is logged first, since what follows
// cannot be taken back.
func (a *API) steer(c echo.Context, by Token, action string, do func(context.Context, id.Campaign) (mailer.Campaign, error)) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	if err := decodeNothing(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	if err := a.record(c, nil, by, action, which.String(), ""); err != nil {
		return err
	}
	got, err := do(ctx, which)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, got)
}

func (a *API) testCampaign(c echo.Context, by Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	var in struct {
		To      []string `json:"to"`
		Contact string   `json:"contact"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if len(in.To) < 1 || len(in.To) > 10 {
		return invalid.problem("Nothing was sent.", FieldError{"to", "must be a list of 1 to 10 addresses of your own"})
	}
	reader, err := readerOf(in.Contact)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	if err := a.record(c, nil, by, "campaign.test", which.String(), strings.TrimSpace(fmt.Sprintf("to %d addresses %s", len(in.To), in.Contact))); err != nil {
		return err
	}
	if err := a.Mailer.Test(ctx, which, reader, in.To); err != nil {
		return relayProblem(err)
	}
	return c.JSON(http.StatusAccepted, struct {
		Sent int `json:"sent"`
	}{len(in.To)})
}

// previewCampaign logs whose data was looked at.
func (a *API) previewCampaign(c echo.Context, by Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	reader, err := readerOf(c.QueryParam("contact"))
	if err != nil {
		return err
	}
	got, err := a.Mailer.Preview(c.Request().Context(), which, reader)
	if err != nil {
		return err
	}
	if reader != 0 {
		if err := a.record(c, nil, by, "campaign.preview", which.String(), reader.String()); err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, got)
}

// readerOf reads the contact with whose data a mail is composed; none is a sample recipient.
func readerOf(s string) (who id.Contact, err error) {
	if s == "" {
		return 0, nil
	}
	if err := who.UnmarshalText([]byte(s)); err != nil {
		return 0, invalid.problem("Nothing was composed.", FieldError{"contact", "is not the id of a contact"})
	}
	return who, nil
}

// relayProblem makes what is no fault of the request, nor of ours, the relay's. The mailer has taken
// addresses out of what the relay said.
func relayProblem(err error) error {
	if problemOf(err).Type != internal.uri() {
		return err
	}
	_, said, found := strings.Cut(err.Error(), "queue: ")
	if !found {
		return err
	}
	return relayFailed.problem("Nothing was recorded; some of the addresses may have got the mail.", FieldError{"relay", said})
}

func (a *API) resolveUnknown(c echo.Context, by Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	var in struct {
		Action string `json:"action"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.Action != "resend" && in.Action != "leave" {
		return invalid.problem("Nothing was changed.", FieldError{"action", "must be resend or leave"})
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	if err := a.record(c, nil, by, "campaign.resolve-unknown", which.String(), in.Action); err != nil {
		return err
	}
	got, err := a.Mailer.ResolveUnknown(ctx, which, in.Action)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, got)
}
