package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"beckon/geo"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/bot"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
)

// Recorder keeps a hit. When Append returns without an error, the hit survives the process; an error
// holds nothing about a person. *event.Spool is one.
type Recorder interface {
	Append(ctx context.Context, h event.Hit) (int64, error)
}

// Overrider knows the corrections that were made to links after they were sent. It answers from
// memory: it is asked in the way of every redirect.
type Overrider interface {
	Override(campaign id.Campaign, link int) (url string, ok bool)
}

// DefaultWait is how long an answer waits for its hit to be recorded.
const DefaultWait = time.Second

// Handler answers beacons and tracked links. Keys and Spool are needed; everything else has a default.
type Handler struct {
	Keys      *token.Keyring
	Spool     Recorder
	Judge     func(kind, method string, h http.Header, addr netip.Addr) bot.Judgement // default that of bot.Default
	Geo       *geo.DB                                                                 // nil: no regions
	Overrides Overrider                                                               // nil: none
	Metrics   *Metrics                                                                // nil: not measured
	Log       *slog.Logger                                                            // told of losses; nil: nobody is
	Now       func() time.Time                                                        // default time.Now
	Wait      time.Duration                                                           // default DefaultWait

	deadlines deadlines
	losses    losses
}

// Register adds the routes. If e takes the address of a client from nowhere in particular, which would
// let every client choose it, it is made to take that of the connection; see TrustedIPExtractor.
func (h *Handler) Register(e *echo.Echo) {
	if h.Judge == nil {
		h.Judge = bot.Default().Judge
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.Wait <= 0 {
		h.Wait = DefaultWait
	}
	if h.Metrics == nil {
		h.Metrics = NewMetrics(nil)
	}
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	h.deadlines.wait = h.Wait
	if e.IPExtractor == nil {
		e.IPExtractor = echo.ExtractIPDirect()
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/o/:token", h.beacon)
		e.Add(method, "/c/:token", h.click)
	}
}

func (h *Handler) beacon(c echo.Context) error {
	text, _ := strings.CutSuffix(c.Param("token"), ".gif")
	t, err := h.Keys.Open(token.Beacon, text)
	if err != nil {
		return h.refuse(c, event.Open)
	}
	h.record(c, event.Open, &t)
	return image(c.Response())
}

func (h *Handler) click(c echo.Context) error {
	t, err := h.Keys.Open(token.Click, c.Param("token"))
	if err != nil {
		return h.refuse(c, event.Click)
	}
	h.record(c, event.Click, &t)
	if h.Overrides != nil {
		if url, ok := h.Overrides.Override(t.Campaign, t.Link); ok {
			return redirect(c.Response(), url)
		}
	}
	return redirect(c.Response(), t.URL)
}

// record keeps the hit if it is one, and returns when that is done or cannot be. It has no result: the
// answer is the same either way.
func (h *Handler) record(c echo.Context, kind event.Kind, t *token.Token) {
	if c.Request().Method != http.MethodGet || t.Test {
		return
	}
	began := h.Now()
	defer func() {
		if p := recover(); p != nil {
			h.lost(lossPanic, fmt.Errorf("tracker: recording a hit panicked: %T", p), began)
		}
	}()
	hit := h.hit(c, kind, t, began)
	_, err := h.Spool.Append(h.deadlines.current(began), hit)
	h.Metrics.appended(h.Now().Sub(began))
	switch {
	case err == nil:
		h.Metrics.hit(&hit)
	case errors.Is(err, context.DeadlineExceeded):
		h.lost(lossUnconfirmed, err, began)
	case errors.Is(err, event.ErrFull):
		h.lost(lossFull, err, began)
	case errors.Is(err, event.ErrClosed):
		h.lost(lossClosed, err, began)
	default:
		h.lost(lossFailed, err, began)
	}
}

// hit reduces a request to what may be kept of it. The address goes no further than this.
func (h *Handler) hit(c echo.Context, kind event.Kind, t *token.Token, at time.Time) event.Hit {
	r := c.Request()
	addr, _ := netip.ParseAddr(c.RealIP())
	j := h.Judge(string(kind), r.Method, r.Header, addr)
	hit := event.Hit{
		At: schema.At(at), Kind: kind, Campaign: t.Campaign, Message: t.Message, Link: t.Link,
		Verdict: event.Verdict(j.Verdict), Reason: j.Reason,
		Client: j.Client, OS: j.OS, Device: j.Device, Private: j.Private,
	}
	if !j.NoRegion && !j.Private && j.Verdict != bot.Machine {
		if region := h.Geo.Lookup(addr); !region.IsUnknown() {
			hit.Region = region.String()
		}
	}
	return hit
}
