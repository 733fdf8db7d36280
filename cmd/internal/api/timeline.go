package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"

	"github.com/labstack/echo/v4"
)

// Moment is one thing that happened to a contact.
type Moment struct {
	At     schema.Time    `json:"at"`
	What   string         `json:"what"` // such as mail.sent, mail.opened, link.clicked
	Detail map[string]any `json:"detail,omitempty"`
}

// Trace is what another package holds of a contact, apart from what segments and the consent
// ledger hold. Together the traces are what an export and a timeline show.
type Trace struct {
	Name string // of the part in an export, such as messages
	Of   func(ctx context.Context, q schema.Querier, who id.Contact) ([]Moment, error)
}

// timelineOf lists everything by time, the oldest first.
func (a *API) timelineOf(ctx context.Context, q schema.Querier, who id.Contact) ([]Moment, error) {
	contact, err := a.Contacts.GetIn(ctx, q, who)
	if err != nil {
		return nil, err
	}
	all := []Moment{{At: contact.CreatedAt, What: "contact.created"}}
	for _, o := range contact.Sources {
		all = append(all, Moment{At: o.AcquiredAt, What: "source.acquired", Detail: map[string]any{"source": o.Source}})
		if o.RecalledAt != 0 {
			all = append(all, Moment{At: o.RecalledAt, What: "source.recalled", Detail: map[string]any{"source": o.Source}})
		}
	}
	rows, err := a.Ledger.History(ctx, q, who)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		all = append(all, Moment{At: r.Recorded, What: "consent." + string(r.Action), Detail: consentDetail(r)})
	}
	for _, t := range a.Traces {
		moments, err := t.Of(ctx, q, who)
		if err != nil {
			return nil, err
		}
		all = append(all, moments...)
	}
	slices.SortStableFunc(all, func(x, y Moment) int { return cmp.Compare(x.At, y.At) })
	return all, nil
}

func consentDetail(r consent.Row) map[string]any {
	d := map[string]any{"seq": r.Seq, "outcome": r.Outcome, "how": r.How}
	for name, v := range map[string]string{"company": r.Company, "channel": string(r.Channel), "notice": r.Notice, "item": r.Item} {
		if v != "" {
			d[name] = v
		}
	}
	for name, v := range map[string][]string{"types": r.Types, "topics": r.Topics} {
		if len(v) > 0 {
			d[name] = v
		}
	}
	if r.Tracking != nil {
		d["tracking"] = *r.Tracking
	}
	return d
}

func (a *API) getTimeline(c echo.Context, by Token) error {
	who, err := pathID[id.Contact](c)
	if err != nil {
		return err
	}
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	type numbered struct {
		n int
		Moment
	}
	var all []numbered
	err = a.DB.View(ctx, func(tx *schema.Tx) error {
		moments, err := a.timelineOf(ctx, tx, who)
		for i, m := range moments {
			all = append(all, numbered{i, m})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "contact.timeline", who.String(), ""); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, cut(all, p, func(m numbered) string { return fmt.Sprintf("%d.%06d", m.At, m.n) }))
}

// standing is a consent.Standing with the company by slug.
type standing struct {
	Company   *string          `json:"company"` // null: every company without a standing of its own
	Channel   *consent.Channel `json:"channel"` // null: every channel without a standing of its own
	Granted   []string         `json:"granted"`
	Refused   []string         `json:"refused"`
	Explicit  []string         `json:"explicit"`
	GrantedAt schema.Time      `json:"granted_at"`
	ChangedAt schema.Time      `json:"changed_at"`
	Notice    string           `json:"notice"`
	Tracking  consent.Tracking `json:"tracking"`
}

// consentView is what a contact agreed to: what the ledger amounts to, and its rows.
type consentView struct {
	AsOf   schema.Time      `json:"as_of"`
	Blocks []consent.Reason `json:"blocks"` // why nothing at all may be done; empty: nothing stands in the way
	State  []standing       `json:"state"`
	page[consent.Row]
}

// consents reads the view as of an instant; zero is now.
func (a *API) consents(ctx context.Context, q schema.Querier, who id.Contact, at schema.Time, slugs map[id.Company]string) (consentView, []consent.Row, error) {
	v := consentView{AsOf: at}
	var list []consent.Standing
	var blocks consent.Block
	var err error
	if at == 0 {
		v.AsOf = schema.At(a.Now())
		if list, err = a.Ledger.State(ctx, q, who); err != nil {
			return v, nil, err
		}
		if blocks, err = a.Ledger.Blocks(ctx, q, who); err != nil {
			return v, nil, err
		}
	} else if list, blocks, err = a.Ledger.StateAt(ctx, q, who, at); err != nil {
		return v, nil, err
	}
	v.Blocks = append([]consent.Reason{}, blocks.Reasons()...)
	v.State = make([]standing, len(list))
	for i, s := range list {
		v.State[i] = standing{nil, nil, s.Granted, s.Refused, s.Explicit, s.GrantedAt, s.ChangedAt, s.Notice, s.Tracking}
		if s.Company != 0 {
			slug := slugs[s.Company]
			v.State[i].Company = &slug
		}
		if s.Channel != "" {
			v.State[i].Channel = &s.Channel
		}
	}
	rows, err := a.Ledger.History(ctx, q, who)
	if at != 0 {
		rows = slices.DeleteFunc(rows, func(r consent.Row) bool { return r.Recorded > at })
	}
	return v, rows, err
}

// companySlugs reads all companies ahead of a snapshot, which must not wait for a second connection.
func (a *API) companySlugs(ctx context.Context) (map[id.Company]string, error) {
	all, err := a.Companies.List(ctx)
	slugs := make(map[id.Company]string, len(all))
	for _, c := range all {
		slugs[c.ID] = c.Slug
	}
	return slugs, err
}
