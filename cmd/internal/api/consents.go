package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"

	"github.com/labstack/echo/v4"
)

// DoubleOptIn asks a person by mail to confirm what they are said to agree to.
type DoubleOptIn interface {
	// Start records the request and sees to it that the confirmation is mailed. An error means that
	// nothing was recorded.
	Start(ctx context.Context, e consent.Entry) (id.Request, error)
}

var consentActions = []consent.Action{consent.Request, consent.Grant, consent.Withdraw, consent.Object, consent.Restrict, consent.Lift}

// consentWays are the ways in which a caller may say that a consent or a no reached us.
var consentWays = []consent.How{consent.ByForm, consent.ByPage, consent.ByImport, consent.ByAPI, consent.ByPhone, consent.ByEmail, consent.ByPost}

func (a *API) recordConsent(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	e, err := a.consentEntry(c, who, by)
	if err != nil {
		return err
	}
	out := struct {
		Contact id.Contact `json:"contact"`
		Seq     int64      `json:"seq"`
		Applied bool       `json:"applied"`
		Outcome string     `json:"outcome"`
		Request id.Request `json:"request,omitzero"`
	}{Contact: who}
	ctx := c.Request().Context()
	if e.Action == consent.Request {
		if a.DoubleOptIn == nil {
			return notBuilt.problem("No relay is configured that could mail the confirmation; set BECKON_SMTP.")
		}
		if out.Request, err = a.DoubleOptIn.Start(ctx, e); err != nil {
			return err
		}
		if err := a.record(c, nil, by, "consent.request", who.String(), ""); err != nil {
			return err
		}
		out.Outcome = consent.Pending
		return c.JSON(http.StatusCreated, out)
	}
	err = a.DB.Tx(ctx, func(tx *schema.Tx) error {
		r, err := a.Ledger.Record(ctx, tx, e)
		if err != nil {
			return err
		}
		out.Seq, out.Applied, out.Outcome = r.Seq, r.Applied, r.Outcome
		return a.record(c, tx, by, "consent."+string(e.Action), who.String(), r.Outcome)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, out)
}

// consentEntry reads what a caller wants recorded. It never makes the entry the person's own act:
// that takes a link which was mailed to the person.
func (a *API) consentEntry(c echo.Context, who id.Contact, by Token) (consent.Entry, error) {
	var in struct {
		Action   consent.Action    `json:"action"`
		Company  string            `json:"company"` // slug
		Channel  consent.Channel   `json:"channel"`
		Types    []string          `json:"types"`
		Topics   []string          `json:"topics"`
		Tracking *bool             `json:"tracking"`
		Item     string            `json:"item"`
		Notice   string            `json:"notice"`
		How      consent.How       `json:"how"`
		Captured schema.Time       `json:"captured_at"`
		Evidence map[string]string `json:"evidence"`
	}
	if err := decode(c, &in); err != nil {
		return consent.Entry{}, err
	}
	if in.How == "" {
		in.How = consent.ByAPI
	}
	var wrong []FieldError
	need := func(ok bool, field, message string) {
		if !ok {
			wrong = append(wrong, FieldError{field, message})
		}
	}
	need(slices.Contains(consentActions, in.Action), "action", "must be one of request, grant, withdraw, object, restrict, lift")
	need(slices.Contains(consentWays, in.How), "how", "must be one of form, page, import, api, phone, email, post")
	if in.Action == consent.Grant || in.Action == consent.Request {
		need(in.Company != "", "company", "is missing: a yes is given to one company; write its slug")
		need(in.Channel != "", "channel", "is missing: a yes is given for one channel, such as email")
		need(len(in.Types)+len(in.Topics) > 0 || in.Tracking != nil || in.Item != "", "types", "is missing: say what is agreed to in types, topics, tracking or item")
	}
	if wrong != nil {
		return consent.Entry{}, invalid.problem("Nothing was recorded.", wrong...)
	}
	e := consent.Entry{Contact: who, Action: in.Action, Channel: in.Channel, Types: in.Types, Topics: in.Topics, Tracking: in.Tracking,
		Item: in.Item, Notice: in.Notice, How: in.How, Captured: in.Captured, Actor: by.Name, Evidence: in.Evidence}
	if in.Company != "" {
		company, err := a.Companies.BySlug(c.Request().Context(), in.Company)
		if errors.Is(err, segments.ErrNotFound) {
			return consent.Entry{}, invalid.problem("Nothing was recorded.", FieldError{"company", "is not a known company: write the slug of one"})
		}
		if err != nil {
			return consent.Entry{}, err
		}
		e.Company = company.ID
	}
	if e.Action == consent.Grant {
		e.Confirmed = e.Captured // the caller vouches for it
		if e.Confirmed == 0 {
			e.Confirmed = schema.At(a.Now())
		}
	}
	// What the ledger has no row for is told as missing before it is told as anything else.
	_, err := a.Contacts.Get(c.Request().Context(), who)
	return e, err
}

// listConsent answers with the ledger and what it amounts to, now or at a past instant.
func (a *API) listConsent(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	var at schema.Time
	if s := c.QueryParam("at"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return invalid.problem("The instant cannot be read.", FieldError{"at", "must be a time like 2026-04-01T12:00:00Z"})
		}
		at = schema.At(t)
	}
	ctx := c.Request().Context()
	slugs, err := a.companySlugs(ctx)
	if err != nil {
		return err
	}
	var view consentView
	err = a.DB.View(ctx, func(tx *schema.Tx) error {
		if _, err := a.Contacts.GetIn(ctx, tx, who); err != nil {
			return err
		}
		v, rows, err := a.consents(ctx, tx, who, at, slugs)
		view = v
		view.page = cut(rows, p, func(r consent.Row) string { return fmt.Sprintf("%019d", r.Seq) })
		return err
	})
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "consent.read", who.String(), ""); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, view)
}
