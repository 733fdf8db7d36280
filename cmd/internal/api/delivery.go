package api

import (
	"net/http"
	"slices"
	"strings"

	"beckon/mailer/bounce"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"

	"github.com/labstack/echo/v4"
)

// getDelivery tells how a campaign fared per domain of its recipients.
func (a *API) getDelivery(c echo.Context, _ Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	list, err := bounce.ByDomain(ctx, a.DB, which, a.K)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page[bounce.Delivery]{Items: list})
}

// messageItem is a message in a list: whom it is for is told by the contact's identifier alone.
type messageItem struct {
	ID      id.Message   `json:"id"`
	Contact *id.Contact  `json:"contact"` // null once the contact is erased
	Mode    consent.Mode `json:"mode"`    // empty until sent
	Status  queue.Status `json:"status"`
	Reason  string       `json:"reason"`
	SentAt  schema.Time  `json:"sent_at"`
}

var messageStatuses = []queue.Status{queue.Queued, queue.Sending, queue.Sent, queue.Deferred, queue.Failed, queue.Skipped, queue.Unknown}

func (a *API) listMessages(c echo.Context, _ Token) error {
	which, err := pathID[id.Campaign](c)
	if err != nil {
		return err
	}
	status := queue.Status(c.QueryParam("status"))
	if !slices.Contains(messageStatuses, status) {
		names := make([]string, len(messageStatuses))
		for i, s := range messageStatuses {
			names[i] = string(s)
		}
		return invalid.problem("Messages are listed by status.", FieldError{"status", "must be one of " + strings.Join(names, ", ")})
	}
	p, err := askedPage(c)
	if err != nil {
		return err
	}
	after, err := afterID[id.Message](p)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Mailer.Get(ctx, which); err != nil {
		return err
	}
	letters, err := queue.ByStatus(ctx, a.DB, which, status, after, p.limit+1)
	if err != nil {
		return err
	}
	list := make([]messageItem, len(letters))
	for i, l := range letters {
		list[i] = messageItem{ID: l.Message, Mode: l.Mode, Status: l.Status, Reason: l.Reason, SentAt: l.SentAt}
		if l.Contact != 0 {
			list[i].Contact = &l.Contact
		}
	}
	return c.JSON(http.StatusOK, answer(list, p, func(m messageItem) string { return m.ID.String() }))
}
