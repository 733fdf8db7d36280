package api

import (
	"context"
	"net/http"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

// listGroups answers with the groups of data subjects that a contact belongs to, and what the person
// may ask because of them.
func (a *API) listGroups(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	held, err := a.Contacts.Get(ctx, who)
	if err != nil {
		return err
	}
	list, err := a.Groups.Of(ctx, a.DB, who)
	if err != nil {
		return err
	}
	basis := rights.Consent // of being somebody who may be mailed
	if held.OwnAt == 0 {
		basis = rights.LegitimateInterests
	}
	may, err := a.Groups.Rights(ctx, a.DB, who, basis)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "contact.read", who.String(), "groups"); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items  []rights.Membership `json:"items"`
		Rights []rights.Right      `json:"rights"`
	}{list, may})
}

func (a *API) addGroup(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	var in struct {
		Basis rights.Basis `json:"basis"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx, group := c.Request().Context(), c.Param("group")
	var got rights.Membership
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		if _, err := a.Contacts.GetIn(ctx, tx, who); err != nil {
			return err
		}
		if got, err = a.Groups.Add(ctx, tx, who, group, in.Basis); err != nil {
			return err
		}
		return a.record(c, tx, by, "contact.group", who.String(), got.Group)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) removeGroup(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	return a.end(c, by, "contact.ungroup", who.String(), func(ctx context.Context, tx *schema.Tx) error {
		if _, err := a.Contacts.GetIn(ctx, tx, who); err != nil {
			return err
		}
		return a.Groups.Remove(ctx, tx, who, c.Param("group"))
	})
}
