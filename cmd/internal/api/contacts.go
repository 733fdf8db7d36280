package api

import (
	"errors"
	"net/http"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

// findContacts answers with the contact that holds an address, as a list of one or none.
func (a *API) findContacts(c echo.Context, by Token) error {
	found := page[segments.Contact]{Items: []segments.Contact{}}
	got, err := a.Contacts.ByEmail(c.Request().Context(), c.QueryParam("email"))
	switch {
	case errors.Is(err, segments.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := a.record(c, nil, by, "contact.read", got.ID.String(), "by address"); err != nil {
			return err
		}
		found.Items = append(found.Items, got)
	}
	return c.JSON(http.StatusOK, found)
}

func (a *API) createContact(c echo.Context, by Token) error {
	var in segments.NewContact
	if err := decode(c, &in); err != nil {
		return err
	}
	var got segments.Contact
	var isNew bool
	ctx := c.Request().Context()
	err := a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		if got, isNew, err = a.Contacts.CreateIn(ctx, tx, in); err != nil {
			return err
		}
		action := "contact.merge"
		if isNew {
			action = "contact.create"
		}
		return a.record(c, tx, by, action, got.ID.String(), "")
	})
	if err != nil {
		return err
	}
	if !isNew {
		c.Response().Header().Set(echo.HeaderLocation, Prefix+"/contacts/"+got.ID.String())
		return c.JSON(http.StatusOK, got)
	}
	return created(c, "/contacts/"+got.ID.String(), got)
}

func (a *API) getContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	got, err := a.Contacts.Get(c.Request().Context(), who)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "contact.read", who.String(), ""); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) patchContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	var in segments.ContactPatch
	if err := decodePatch(c, &in); err != nil {
		return err
	}
	got, err := a.Contacts.Patch(c.Request().Context(), who, in)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "contact.change", who.String(), ""); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) eraseContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	var in struct {
		Reason rights.Reason `json:"reason"`
	}
	if c.Request().ContentLength != 0 {
		if err := decode(c, &in); err != nil {
			return err
		}
	}
	switch in.Reason {
	case "", rights.OnRequest:
		in.Reason = rights.OnRequest
	case rights.UnderAge:
	default:
		return invalid.problem("Nothing was erased.", FieldError{"reason", "must be request or under-13"})
	}
	got, err := a.erase(c, by, who, in.Reason)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

// deleteContact is an erasure at the person's request, for callers who want no receipt.
func (a *API) deleteContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	got, err := a.erase(c, by, who, rights.OnRequest)
	if err != nil {
		return err
	}
	if got.Result != rights.Erased {
		return conflict.problem("A legal hold stands: nothing was erased, and nothing is done with the data from now on.")
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *API) erase(c echo.Context, by Token, who id.Contact, why rights.Reason) (got rights.Receipt, err error) {
	ctx := c.Request().Context()
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		got, err = a.Desk.Erase(ctx, tx, who, why, by.Name)
		return err
	})
	return got, err
}

// exportContact answers with the copy of their data that a person may ask for.
func (a *API) exportContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	ground := rights.LegalObligation // the right of access, unless the caller names another
	if s := c.QueryParam("ground"); s != "" {
		if ground, err = rights.ParseGround(s); err != nil {
			return err
		}
	}
	format := c.QueryParam("format")
	if format != "" && format != "json" && format != "csv" {
		return invalid.problem("Nothing was handed out.", FieldError{"format", "must be json or csv"})
	}
	ctx := c.Request().Context()
	all, err := a.Desk.Copy(ctx, a.DB, who)
	if err != nil {
		return err
	}
	err = a.Audit.Write(ctx, nil, rights.Entry{Actor: by.Name, Action: "contact.export", Object: who.String(), Ground: ground})
	if err != nil {
		return err
	}
	if format == "csv" {
		download(c, "text/csv; charset=utf-8", who.String()+".csv")
		return all.WriteCSV(c.Response())
	}
	download(c, echo.MIMEApplicationJSON, who.String()+".json")
	return all.WriteJSON(c.Response())
}
