package api

import (
	"errors"
	"net/http"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
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

// receipt says what an erasure removed and what stays, and why.
type receipt struct {
	Contact  id.Contact  `json:"contact"`
	ErasedAt schema.Time `json:"erased_at"`
	Kept     []string    `json:"kept"`
}

const (
	keptHash  = "a keyed hash of the address, so that no import or form brings it back"
	keptAudit = "the security logs and the audit log, which name identifiers and no person, until their own end"
)

func (a *API) eraseContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if c.Request().ContentLength != 0 {
		if err := decode(c, &in); err != nil {
			return err
		}
	}
	leave, kept := consent.BlockErased, []string{keptHash, keptAudit}
	switch in.Reason {
	case "", "request":
		in.Reason = "request"
	case "under-13":
		leave, kept = 0, []string{keptAudit}
	default:
		return invalid.problem("Nothing was erased.", FieldError{"reason", "must be request or under-13"})
	}
	if err := a.erase(c, by, who, leave, in.Reason); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, receipt{who, schema.At(a.Now()), kept})
}

func (a *API) deleteContact(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	if err := a.erase(c, by, who, consent.BlockErased, "request"); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// erase removes what every package holds of the contact, in one transaction with the log's entry.
func (a *API) erase(c echo.Context, by Token, who id.Contact, leave consent.Block, reason string) error {
	ctx := c.Request().Context()
	return a.DB.Tx(ctx, func(tx *schema.Tx) error {
		if err := a.Contacts.EraseIn(ctx, tx, who, leave, a.Erasers...); err != nil {
			return err
		}
		return a.record(c, tx, by, "contact.erase", who.String(), reason)
	})
}

// everything is all that is held of a contact.
type everything struct {
	AsOf    schema.Time         `json:"as_of"`
	Contact segments.Contact    `json:"contact"`
	Consent consentView         `json:"consent"`
	Traces  map[string][]Moment `json:"traces"`
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
	ctx := c.Request().Context()
	slugs, err := a.companySlugs(ctx)
	if err != nil {
		return err
	}
	all := everything{AsOf: schema.At(a.Now()), Traces: map[string][]Moment{}}
	err = a.DB.View(ctx, func(tx *schema.Tx) (err error) {
		if all.Contact, err = a.Contacts.GetIn(ctx, tx, who); err != nil {
			return err
		}
		v, rows, err := a.consents(ctx, tx, who, 0, slugs)
		if err != nil {
			return err
		}
		all.Consent = v
		all.Consent.Items = append([]consent.Row{}, rows...)
		for _, t := range a.Traces {
			moments, err := t.Of(ctx, tx, who)
			if err != nil {
				return err
			}
			all.Traces[t.Name] = append([]Moment{}, moments...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.Audit.Write(ctx, nil, rights.Entry{Actor: by.Name, Action: "contact.export", Object: who.String(), Ground: ground})
	if err != nil {
		return err
	}
	download(c, echo.MIMEApplicationJSON, who.String()+".json")
	return c.JSON(http.StatusOK, all)
}
