package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check asks one thing that the service depends on whether it can be relied on now.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// patience is how long a dependency may think before it counts as down.
const patience = 2 * time.Second

type health struct {
	Status string         `json:"status"`
	Checks []healthResult `json:"checks,omitempty"`
}

type healthResult struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

func (a *API) healthz(c echo.Context, _ Token) error {
	return c.JSON(http.StatusOK, health{Status: "ok"})
}

// readyz asks all dependencies at once. Anybody may ask, so the answer names what is down and the
// log says why.
func (a *API) readyz(c echo.Context, _ Token) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), patience)
	defer cancel()
	h := health{Status: "ready", Checks: make([]healthResult, len(a.Checks))}
	failures := make([]error, len(a.Checks))
	var wg sync.WaitGroup
	for i, check := range a.Checks {
		wg.Go(func() { failures[i] = check.Ask(ctx) })
	}
	wg.Wait()
	status := http.StatusOK
	for i, check := range a.Checks {
		h.Checks[i] = healthResult{check.Name, failures[i] == nil}
		if failures[i] != nil {
			h.Status, status = "not ready", http.StatusServiceUnavailable
			a.Log.Warn("not ready", "check", check.Name, "err", failures[i].Error())
		}
	}
	return c.JSON(status, h)
}

func (a *API) metrics(c echo.Context, _ Token) error {
	promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}).ServeHTTP(c.Response(), c.Request())
	return nil
}

// figures are what the API measures of itself. Labels are routes, never what is in a path.
type figures struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newFigures(r prometheus.Registerer) *figures {
	f := &figures{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_api_calls_total", Help: "Calls of the JSON API by route and status."}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beckon_api_call_seconds", Help: "How long calls of the JSON API took.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10}}, []string{"method", "route"}),
	}
	r.MustRegister(f.calls, f.seconds)
	return f
}

func (a *API) observe(r route, status int, took time.Duration) {
	a.figures.calls.WithLabelValues(r.method, r.address(), strconv.Itoa(status)).Inc()
	a.figures.seconds.WithLabelValues(r.method, r.address()).Observe(took.Seconds())
}
