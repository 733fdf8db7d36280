package api

import (
	"net/http"

	"beckon/segments"

	"github.com/labstack/echo/v4"
)

func (a *API) listCompanies(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	all, err := a.Companies.List(c.Request().Context())
	if err != nil {
		return err
	}
	key := func(x segments.Company) string { return x.Slug }
	sortBy(all, key)
	return c.JSON(http.StatusOK, cut(all, p, key))
}

func (a *API) createCompany(c echo.Context, _ Token) error {
	var in struct {
		Slug          string `json:"slug"`
		Name          string `json:"name"`
		FromDomain    string `json:"from_domain"`
		ReplyTo       string `json:"reply_to"`
		PrivacyEmail  string `json:"privacy_email"`
		Phone         string `json:"phone"`
		PostalAddress string `json:"postal_address"`
		PrivacyURL    string `json:"privacy_url"`
		ComplaintURL  string `json:"complaint_url"`
		Language      string `json:"language"`
		PublicURL     string `json:"public_url"`
		Tracking      string `json:"tracking"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	made, err := a.Companies.Create(c.Request().Context(), segments.Company{
		Slug: in.Slug, Name: in.Name, FromDomain: in.FromDomain, ReplyTo: in.ReplyTo, PrivacyEmail: in.PrivacyEmail, Phone: in.Phone,
		PostalAddress: in.PostalAddress, PrivacyURL: in.PrivacyURL, ComplaintURL: in.ComplaintURL, Language: in.Language,
		PublicURL: in.PublicURL, Tracking: in.Tracking,
	})
	if err != nil {
		return err
	}
	return created(c, "/companies/"+made.Slug, made)
}

func (a *API) getCompany(c echo.Context, _ Token) error {
	got, err := a.Companies.BySlug(c.Request().Context(), c.Param("slug"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) patchCompany(c echo.Context, _ Token) error {
	var in segments.CompanyPatch
	if err := decodePatch(c, &in); err != nil {
		return err
	}
	got, err := a.Companies.Patch(c.Request().Context(), c.Param("slug"), in)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

// created answers with what was made and where it is.
func created(c echo.Context, path string, made any) error {
	c.Response().Header().Set(echo.HeaderLocation, Prefix+path)
	return c.JSON(http.StatusCreated, made)
}
