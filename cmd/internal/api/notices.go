package api

import (
	"errors"
	"net/http"
	"net/url"

	"beckon/segments/consent"

	"github.com/labstack/echo/v4"
)

func (a *API) listNotices(c echo.Context, _ Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	all, err := a.Notices.List(c.Request().Context())
	if err != nil {
		return err
	}
	key := func(n consent.Notice) string { return n.Version }
	sortBy(all, key)
	return c.JSON(http.StatusOK, cut(all, p, key))
}

func (a *API) createNotice(c echo.Context, _ Token) error {
	var in struct {
		Version  string `json:"version"`
		Language string `json:"language"`
		Text     string `json:"text"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	var missing []FieldError
	for _, f := range []struct{ name, value, what string }{
		{"version", in.Version, "a name for this wording, such as 2026-04-newsletter"},
		{"language", in.Language, "the language of the text, such as en"},
		{"text", in.Text, "the exact wording that is shown"},
	} {
		if f.value == "" {
			missing = append(missing, FieldError{f.name, "is missing: give " + f.what})
		}
	}
	if missing != nil {
		return invalid.problem("The notice is incomplete; nothing was stored.", missing...)
	}
	made, err := a.Notices.Add(c.Request().Context(), consent.Notice{Version: in.Version, Language: in.Language, Text: in.Text})
	if err != nil {
		return err
	}
	return created(c, "/notices/"+url.PathEscape(made.Version), made)
}

func (a *API) getNotice(c echo.Context, _ Token) error {
	version := c.Param("version")
	if c.Request().URL.RawPath != "" { // then Echo has matched the path as it was escaped
		version, _ = url.PathUnescape(version)
	}
	got, err := a.Notices.Get(c.Request().Context(), version)
	if errors.Is(err, consent.ErrUnknownNotice) {
		return notFound.problem("There is no notice of this version.")
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

// catalogue answers with what can be consented to, so that nobody has to guess a slug.
func (a *API) catalogue(c echo.Context, _ Token) error {
	return c.JSON(http.StatusOK, struct {
		Types    []consent.CatalogueEntry `json:"types"`
		Channels []consent.CatalogueEntry `json:"channels"`
		Topics   []consent.CatalogueEntry `json:"topics"`
	}{a.Catalogue.Entries(consent.KindType), a.Catalogue.Entries(consent.KindChannel), a.Catalogue.Entries(consent.KindTopic)})
}
