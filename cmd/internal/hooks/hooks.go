// Package hooks takes the notifications of mail providers: POST /hooks/{provider}.
//
// What a caller may rely on:
//
//   - A provider that is not configured is a plain 404.
//   - A body is read up to 1 MB. Nothing in it is acted on before the provider's hook has verified it;
//     what was not signed, or signed too long ago, is 403 (401 where a password is asked for).
//   - 200 means that what follows is committed. 503 means that nothing of what was not answered 200
//     needs to be kept in mind: the provider gives it again.
//   - Nothing is logged about a person, and there is no access log.
package hooks

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"beckon/mailer/bounce"

	"github.com/labstack/echo/v4"
)

// Taker takes what was verified. *bounce.Intake is one.
type Taker interface {
	Notice(ctx context.Context, way bounce.Way, n bounce.Notice) error
}

// Hooks are the providers that may notify us.
type Hooks struct {
	Providers []bounce.Hook
	Intake    Taker
	Log       *slog.Logger
}

// Register adds the routes of the configured providers.
func (h *Hooks) Register(e *echo.Echo) {
	for _, p := range h.Providers {
		e.POST("/hooks/"+string(p.Way()), func(c echo.Context) error { return h.take(c, p) })
	}
}

func (h *Hooks) take(c echo.Context, p bounce.Hook) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, bounce.MaxNotification))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return c.String(http.StatusRequestEntityTooLarge, "a notification has at most 1 MB\n")
		}
		return c.String(http.StatusBadRequest, "the notification broke off\n")
	}
	ctx := c.Request().Context()
	all, settled, err := p.Read(ctx, c.Request().Header, body)
	if err != nil {
		return h.refuse(c, p, err)
	}
	for _, n := range all {
		if err := h.Intake.Notice(ctx, p.Way(), n); err != nil {
			return h.refuse(c, p, err)
		}
	}
	settled()
	return c.NoContent(http.StatusOK)
}

func (h *Hooks) refuse(c echo.Context, p bounce.Hook, err error) error {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, bounce.ErrForged) && p.Way() == bounce.ByPostmark:
		c.Response().Header().Set("WWW-Authenticate", `Basic realm="hooks"`)
		status = http.StatusUnauthorized
	case errors.Is(err, bounce.ErrForged), errors.Is(err, bounce.ErrStale):
		status = http.StatusForbidden
	case errors.Is(err, bounce.ErrUnreadable):
		status = http.StatusBadRequest
	default:
		c.Response().Header().Set("Retry-After", "60")
	}
	h.Log.Warn("a notification was not taken", "provider", string(p.Way()), "status", status, "err", err.Error())
	return c.String(status, http.StatusText(status)+"\n")
}
