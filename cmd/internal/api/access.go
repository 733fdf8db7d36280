package api

import (
	"net/http"
	"strconv"

	"beckon/schema"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

func (a *API) listTokens(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	after, err := afterID[TokenID](p)
	if err != nil {
		return err
	}
	list, err := a.Tokens.List(c.Request().Context(), after, p.limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer(list, p, func(t Token) string { return t.ID.String() }))
}

func (a *API) createToken(c echo.Context, by Token) error {
	var in struct {
		Name string `json:"name"`
		Role Role   `json:"role"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	plain, made, err := a.Tokens.create(c.Request().Context(), in.Name, in.Role)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "token.create", made.ID.String(), string(made.Role)); err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		Token
		Plain string `json:"token"`
	}{made, plain})
}

func (a *API) revokeToken(c echo.Context, by Token) error {
	which, err := pathID[TokenID](c)
	if err != nil {
		return err
	}
	if err := a.Tokens.Revoke(c.Request().Context(), which); err != nil {
		return err
	}
	if err := a.record(c, nil, by, "token.revoke", which.String(), ""); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *API) listAudit(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	o := rights.ListOptions{Actor: c.QueryParam("actor"), Action: c.QueryParam("action"), Object: c.QueryParam("object"), Limit: p.limit + 1}
	if p.after != "" {
		if o.Before, err = strconv.ParseInt(p.after, 36, 64); err != nil || o.Before < 1 {
			return badCursor()
		}
	}
	list, err := a.Audit.List(c.Request().Context(), o)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer(list, p, func(r rights.Record) string { return strconv.FormatInt(r.ID, 36) }))
}

// record writes to the audit log what the bearer of a token did, through q if it is not nil.
func (a *API) record(c echo.Context, q schema.Querier, by Token, action, object, detail string) error {
	return a.Audit.Write(c.Request().Context(), q, rights.Entry{Actor: by.Name, Action: action, Object: object, Detail: detail})
}

// pathID reads the identifier in the path; one that is no identifier names nothing.
func pathID[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](c echo.Context) (T, error) {
	var v T
	if err := P(&v).UnmarshalText([]byte(c.Param("id"))); err != nil {
		return v, notFound.problem("Nothing has the identifier in this address.")
	}
	return v, nil
}
