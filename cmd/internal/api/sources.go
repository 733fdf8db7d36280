package api

import (
	"net/http"
	"strconv"

	"beckon/schema"
	"beckon/segments"

	"github.com/labstack/echo/v4"
)

func (a *API) listSources(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	all, err := a.Sources.List(c.Request().Context())
	if err != nil {
		return err
	}
	key := func(x segments.Source) string { return x.Slug }
	sortBy(all, key)
	return c.JSON(http.StatusOK, cut(all, p, key))
}

func (a *API) createSource(c echo.Context, _ Token) error {
	var in struct {
		Slug            string             `json:"slug"`
		Name            string             `json:"name"`
		PrivacyURL      string             `json:"privacy_url"`
		TransparencyURL string             `json:"transparency_url"`
		LawfulBasis     string             `json:"lawful_basis"`
		PermittedUses   []string           `json:"permitted_uses"`
		LicensedUntil   schema.Time        `json:"licensed_until"`
		Warranty        *segments.Warranty `json:"warranty"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	made, err := a.Sources.Create(c.Request().Context(), segments.Source{
		Slug: in.Slug, Name: in.Name, PrivacyURL: in.PrivacyURL, TransparencyURL: in.TransparencyURL, LawfulBasis: in.LawfulBasis,
		PermittedUses: in.PermittedUses, LicensedUntil: in.LicensedUntil, Warranty: in.Warranty,
	})
	if err != nil {
		return err
	}
	return created(c, "/sources/"+made.Slug, made)
}

func (a *API) getSource(c echo.Context, _ Token) error {
	got, err := a.Sources.BySlug(c.Request().Context(), c.Param("slug"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) recallSource(c echo.Context, by Token) error {
	if err := decodeNothing(c); err != nil {
		return err
	}
	got, ended, err := a.Sources.Recall(c.Request().Context(), c.Param("slug"))
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "source.recall", got.ID.String(), strconv.FormatInt(ended, 10)+" origins ended"); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		segments.Source
		OriginsEnded int64 `json:"origins_ended"`
	}{got, ended})
}
