package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

// requestView is a request as it is answered: the company by its slug.
type requestView struct {
	rights.Request
	Company string `json:"company"` // empty: all of them
}

func (a *API) requestViews(ctx context.Context, list ...rights.Request) ([]requestView, error) {
	slugs, err := a.companySlugs(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]requestView, len(list))
	for i, r := range list {
		views[i] = requestView{r, slugs[r.Company]}
	}
	return views, nil
}

func (a *API) answerRequest(c echo.Context, status int, r rights.Request, err error) error {
	if err != nil {
		return err
	}
	views, err := a.requestViews(c.Request().Context(), r)
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		return created(c, "/requests/"+r.ID.String(), views[0])
	}
	return c.JSON(status, views[0])
}

// openRequest takes what somebody asked by mail, phone or post, and says by when it is due.
func (a *API) openRequest(c echo.Context, by Token) error {
	var in struct {
		Kind       rights.Right   `json:"kind"`
		Channel    rights.Channel `json:"channel"`
		Company    string         `json:"company"`
		Contact    string         `json:"contact"`
		Detail     string         `json:"detail"`
		Reference  string         `json:"reference"`
		ReceivedAt schema.Time    `json:"received_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	n := rights.NewRequest{Kind: in.Kind, Channel: in.Channel, Detail: in.Detail, Reference: in.Reference, ReceivedAt: in.ReceivedAt, Actor: by.Name}
	var err error
	if n.Company, err = a.companyOf(ctx, in.Company); err != nil {
		return err
	}
	if n.Contact, err = a.contactOf(ctx, in.Contact); err != nil {
		return err
	}
	var made rights.Request
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		made, err = a.Requests.Open(ctx, tx, n)
		return err
	})
	return a.answerRequest(c, http.StatusCreated, made, err)
}

// companyOf reads an optional slug.
func (a *API) companyOf(ctx context.Context, slug string) (id.Company, error) {
	if slug == "" {
		return 0, nil
	}
	all, err := a.Companies.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, k := range all {
		if k.Slug == slug {
			return k.ID, nil
		}
	}
	return 0, invalid.problem("Nothing was stored.", FieldError{"company", "is not the slug of a company: GET /companies lists them"})
}

// contactOf reads an optional identifier of somebody who is held.
func (a *API) contactOf(ctx context.Context, text string) (id.Contact, error) {
	if text == "" {
		return 0, nil
	}
	who, err := id.Parse[id.Contact](text)
	if err == nil {
		_, err = a.Contacts.Get(ctx, who)
	}
	if problemOf(err).Type == notFound.uri() {
		return 0, invalid.problem("Nothing was stored.", FieldError{"contact", "is not the identifier of a contact: GET /contacts?email= finds it; leave it out for somebody who is not held"})
	}
	return who, err
}

func (a *API) listRequests(c echo.Context, by Token) error {
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	o := rights.ListRequests{Status: rights.Status(c.QueryParam("status")), Kind: rights.Right(c.QueryParam("kind")), Limit: p.limit + 1}
	switch c.QueryParam("overdue") {
	case "", "false":
	case "true":
		o.Overdue = true
	default:
		return invalid.problem("Nothing was listed.", FieldError{"overdue", "must be true or false"})
	}
	if !slices.Contains([]rights.Status{"", rights.Open, rights.Done, rights.Refused}, o.Status) {
		return invalid.problem("Nothing was listed.", FieldError{"status", "must be open, done or refused"})
	}
	if o.Kind != "" && !slices.Contains(rights.Rights, o.Kind) {
		return invalid.problem("Nothing was listed.", FieldError{"kind", fmt.Sprintf("must be one of %v", rights.Rights)})
	}
	if o.Contact, err = a.contactOf(ctx, c.QueryParam("contact")); err != nil {
		return err
	}
	if p.after != "" {
		due, number, ok := strings.Cut(p.after, ".")
		d, err := strconv.ParseInt(due, 10, 64)
		n, err2 := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || err2 != nil {
			return badCursor()
		}
		o.AfterDue, o.AfterID = schema.Time(d), id.Request(n)
	}
	list, err := a.Requests.List(ctx, o)
	if err != nil {
		return err
	}
	views, err := a.requestViews(ctx, list...)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "request.list", "", ""); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer(views, p, func(r requestView) string { return fmt.Sprintf("%d.%d", r.DueAt, r.ID) }))
}

func (a *API) getRequest(c echo.Context, by Token) error {
	which, err := pathID[id.Request](c)
	if err != nil {
		return err
	}
	got, err := a.Requests.Get(c.Request().Context(), a.DB, which)
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "request.read", which.String(), ""); err != nil {
		return err
	}
	return a.answerRequest(c, http.StatusOK, got, nil)
}

// settle changes a request, in one transaction with the log's entry.
func (a *API) settle(c echo.Context, change func(context.Context, *schema.Tx, id.Request) (rights.Request, error)) error {
	which, err := pathID[id.Request](c)
	if err != nil {
		return err
	}
	var got rights.Request
	ctx := c.Request().Context()
	err = a.DB.Tx(ctx, func(tx *schema.Tx) (err error) {
		got, err = change(ctx, tx, which)
		return err
	})
	return a.answerRequest(c, http.StatusOK, got, err)
}

func (a *API) acknowledgeRequest(c echo.Context, by Token) error {
	if err := decodeNothing(c); err != nil {
		return err
	}
	return a.settle(c, func(ctx context.Context, tx *schema.Tx, which id.Request) (rights.Request, error) {
		return a.Requests.Acknowledge(ctx, tx, which, by.Name)
	})
}

func (a *API) extendRequest(c echo.Context, by Token) error {
	var in struct {
		Until  schema.Time `json:"until"`
		Reason string      `json:"reason"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	return a.settle(c, func(ctx context.Context, tx *schema.Tx, which id.Request) (rights.Request, error) {
		return a.Requests.Extend(ctx, tx, which, in.Until, in.Reason, by.Name)
	})
}

func (a *API) closeRequest(c echo.Context, by Token) error {
	var in struct {
		Status  rights.Status `json:"status"`
		Outcome string        `json:"outcome"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	return a.settle(c, func(ctx context.Context, tx *schema.Tx, which id.Request) (rights.Request, error) {
		return a.Requests.Close(ctx, tx, which, in.Status, in.Outcome, by.Name)
	})
}
