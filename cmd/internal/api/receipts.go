package api

import (
	"net/http"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"

	"github.com/labstack/echo/v4"
)

// getReceipt answers with the consent receipt that a person may be given.
func (a *API) getReceipt(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	var got consent.Receipt
	err = a.DB.View(ctx, func(tx *schema.Tx) (err error) {
		if _, err = a.Contacts.GetIn(ctx, tx, who); err != nil {
			return err
		}
		got, err = a.Ledger.Receipt(ctx, tx, who)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "contact.receipt", who.String(), ""); err != nil {
		return err
	}
	download(c, echo.MIMEApplicationJSON, who.String()+"-consent.json")
	return c.JSON(http.StatusOK, got)
}

// yesRates answers with how often each wording was asked with, and how often the answer was yes.
func (a *API) yesRates(c echo.Context, _ Token) error {
	list, err := a.Ledger.Wordings(c.Request().Context(), a.DB)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[consent.Wording]{Items: list})
}

// register answers with the record of processing activities, from the configuration in force.
func (a *API) register(c echo.Context, by Token) error {
	if a.Activities == nil {
		return notBuilt.problem("This installation keeps no register.")
	}
	got, err := a.Activities(c.Request().Context())
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "register.read", "", ""); err != nil {
		return err
	}
	switch c.QueryParam("format") {
	case "", "json":
		return c.JSON(http.StatusOK, got)
	case "markdown":
		download(c, "text/markdown; charset=utf-8", "register.md")
		return got.WriteMarkdown(c.Response())
	}
	return invalid.problem("Nothing was written.", FieldError{"format", "must be json or markdown"})
}
