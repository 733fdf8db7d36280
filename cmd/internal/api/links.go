package api

import (
	"fmt"
	"net/http"
	"strconv"

	"beckon/mailer"
	"beckon/schema/id"

	"github.com/labstack/echo/v4"
)

func (a *API) listLinks(c echo.Context, _ Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	list, err := a.Mailer.Links(c.Request().Context(), which)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[mailer.Link]{Items: list})
}

func (a *API) correctLink(c echo.Context, by Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	position, err := strconv.Atoi(c.Param("position"))
	if err != nil {
		return notFound.problem("The position of a link is a number.")
	}
	var in struct {
		URL *string `json:"url"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.URL == nil {
		return invalid.problem("Nothing was changed.", FieldError{"url", "is missing: say where the link is to lead, or give an empty text to take a correction back"})
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	// What follows shows at once in mails already sent: that somebody tried is logged first.
	if err := a.record(c, nil, by, "campaign.correct-link", which.String(), fmt.Sprintf("link %d", position)); err != nil {
		return err
	}
	got, err := a.Mailer.Correct(ctx, which, position, *in.URL)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}
