package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

func (a *API) listRules(c echo.Context, _ Token) error {
	list, err := rights.Rules(c.Request().Context(), a.DB)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[rights.Rule]{Items: list})
}

func (a *API) setRule(c echo.Context, by Token) error {
	n := rights.NewRule{Purpose: rights.Purpose(c.Param("purpose")), Actor: by.Name}
	var in struct {
		Keep   rights.Period `json:"keep"`
		Action rights.Action `json:"action"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	n.Keep, n.Action = in.Keep, in.Action
	ctx := c.Request().Context()
	var got rights.Rule
	err := a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		if got, err = rights.SetRule(ctx, tx, n, schema.At(a.Now())); err != nil {
			return err
		}
		return a.record(c, tx, by, "retention.rule", string(got.Purpose), fmt.Sprintf("%s, %s", got.Keep, got.Action))
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, got)
}

func (a *API) listExtensions(c echo.Context, _ Token) error {
	list, err := a.Extensions.List(c.Request().Context(), a.DB)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[extensionView]{Items: views(list, viewExtension)})
}

// extensionView is an extension whose identifier says what it is one of.
type extensionView struct {
	ID string `json:"id"`
	rights.Extension
}

func viewExtension(x rights.Extension) extensionView { return extensionView{numbered("ext", x.ID), x} }

func views[T, V any](list []T, view func(T) V) []V {
	out := make([]V, len(list))
	for i, v := range list {
		out[i] = view(v)
	}
	return out
}

// numbered writes an identifier of a kind that only this package hands out.
func numbered(prefix string, n int64) string { return prefix + "_" + strconv.FormatInt(n, 10) }

// number reads what numbered writes.
func number(prefix, s string) (int64, error) {
	n, err := strconv.ParseInt(s[min(len(prefix)+1, len(s)):], 10, 64)
	if err != nil || n <= 0 || numbered(prefix, n) != s {
		return 0, notFound.problem("Nothing has this identifier.")
	}
	return n, nil
}

func (a *API) createExtension(c echo.Context, by Token) error {
	var in struct {
		Purpose   rights.Purpose `json:"purpose"`
		Contact   string         `json:"contact"`
		Until     schema.Time    `json:"until"`
		Reference string         `json:"reference"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	who, err := a.contactOf(ctx, in.Contact)
	if err != nil {
		return err
	}
	var made rights.Extension
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		made, err = a.Extensions.Extend(ctx, tx, rights.Extension{Purpose: in.Purpose, Contact: who, Until: in.Until, Reference: in.Reference, Actor: by.Name})
		if err != nil {
			return err
		}
		return a.record(c, tx, by, "retention.extend", numbered("ext", made.ID), string(made.Purpose))
	})
	if err != nil {
		return err
	}
	return created(c, "/retention/extensions/"+numbered("ext", made.ID), viewExtension(made))
}

func (a *API) endExtension(c echo.Context, by Token) error {
	n, err := number("ext", c.Param("id"))
	if err != nil {
		return err
	}
	return a.end(c, by, "retention.extension-ended", c.Param("id"), func(ctx context.Context, tx *schema.Tx) error { return a.Extensions.End(ctx, tx, n) })
}

// end takes something back, in one transaction with the log's entry.
func (a *API) end(c echo.Context, by Token, action, object string, do func(context.Context, *schema.Tx) error) error {
	ctx := c.Request().Context()
	err := a.DB.Tx(ctx, func(tx *schema.Tx) error {
		if err := do(ctx, tx); err != nil {
			return err
		}
		return a.record(c, tx, by, action, object, "")
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// runRetention applies every rule now, or says what that would do.
func (a *API) runRetention(c echo.Context, by Token) error {
	var in struct {
		DryRun *bool `json:"dry_run"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.DryRun == nil {
		return invalid.problem("Nothing was erased.", FieldError{"dry_run", "is missing: say true to see what a run would do, false to run"})
	}
	if err := a.record(c, nil, by, "retention.run", "", fmt.Sprintf("dry run: %t", *in.DryRun)); err != nil {
		return err
	}
	done, err := a.Retention.Run(c.Request().Context(), *in.DryRun)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[rights.Outcome]{Items: done})
}

// holdView is a legal hold as it is answered: what it covers by slug or identifier.
type holdView struct {
	ID string `json:"id"`
	rights.Hold
	Source  string `json:"source,omitempty"`
	Company string `json:"company,omitempty"`
}

func (a *API) holdViews(ctx context.Context, list ...rights.Hold) ([]holdView, error) {
	companies, err := a.companySlugs(ctx)
	if err != nil {
		return nil, err
	}
	sources, err := a.Sources.List(ctx)
	if err != nil {
		return nil, err
	}
	slugs := map[id.Source]string{}
	for _, s := range sources {
		slugs[s.ID] = s.Slug
	}
	return views(list, func(h rights.Hold) holdView {
		return holdView{numbered("hold", h.ID), h, slugs[h.Source], companies[h.Company]}
	}), nil
}

func (a *API) listHolds(c echo.Context, _ Token) error {
	ctx := c.Request().Context()
	list, err := a.Holds.List(ctx, a.DB)
	if err != nil {
		return err
	}
	shown, err := a.holdViews(ctx, list...)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[holdView]{Items: shown})
}

// placeHold keeps what it covers from being erased, until it is released or ends.
func (a *API) placeHold(c echo.Context, by Token) error {
	var in struct {
		Contact   string      `json:"contact"`
		Source    string      `json:"source"`
		Company   string      `json:"company"`
		All       bool        `json:"all"`
		Reference string      `json:"reference"`
		Reason    string      `json:"reason"`
		EndsAt    schema.Time `json:"ends_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	h := rights.Hold{Reference: in.Reference, Reason: in.Reason, Actor: by.Name, EndsAt: in.EndsAt}
	named, err := 0, error(nil)
	if in.All {
		named, h.Scope = named+1, rights.HoldAll
	}
	if in.Contact != "" {
		named, h.Scope = named+1, rights.HoldContact
		if h.Contact, err = a.contactOf(ctx, in.Contact); err != nil {
			return err
		}
	}
	if in.Company != "" {
		named, h.Scope = named+1, rights.HoldCompany
		if h.Company, err = a.companyOf(ctx, in.Company); err != nil {
			return err
		}
	}
	if in.Source != "" {
		named, h.Scope = named+1, rights.HoldSource
		var s segments.Source
		if s, err = a.Sources.BySlug(ctx, in.Source); err != nil {
			return invalid.problem("Nothing was stored.", FieldError{"source", "is not the slug of a source: GET /sources lists them"})
		}
		h.Source = s.ID
	}
	if named != 1 {
		return invalid.problem("Nothing was stored.", FieldError{"contact", "name exactly one of contact, source, company and all"})
	}
	var made rights.Hold
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		if made, err = a.Holds.Place(ctx, tx, h); err != nil {
			return err
		}
		return a.record(c, tx, by, "hold.place", numbered("hold", made.ID), string(made.Scope))
	})
	if err != nil {
		return err
	}
	shown, err := a.holdViews(ctx, made)
	if err != nil {
		return err
	}
	return created(c, "/holds/"+shown[0].ID, shown[0])
}

func (a *API) releaseHold(c echo.Context, by Token) error {
	n, err := number("hold", c.Param("id"))
	if err != nil {
		return err
	}
	return a.end(c, by, "hold.release", c.Param("id"), func(ctx context.Context, tx *schema.Tx) error { return a.Holds.Release(ctx, tx, n) })
}
