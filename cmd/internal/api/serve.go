package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Prefix is where the calls live.
const Prefix = "/api/v1"

// Register adds all calls to e. Addresses under /api/ that no call has, and methods that a call
// does not take, are answered with a problem as well.
func (a *API) Register(e *echo.Echo) {
	for _, r := range routes {
		e.Add(r.method, r.address(), a.serve(r))
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, r := range routes {
			if r.public && r.path == path {
				e.HEAD(path, a.serve(r))
			}
		}
	}
	for _, path := range []string{"/api", "/api/*"} {
		e.RouteNotFound(path, a.noRoute)
	}
}

// serve puts around a call what all calls have in common: who is asking and may they, what they
// may ask with, how long it may take, and what becomes of errors and panics.
func (a *API) serve(r route) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		started := time.Now()
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				err = fmt.Errorf("api: panic: %s at %s", panicText(p), debug.Stack())
			}
			if err != nil {
				err = a.fail(c, r, err)
			}
			a.observe(r, c.Response().Status, time.Since(started))
		}()
		header := c.Response().Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		var by Token
		if !r.public {
			if by, err = a.authorize(c, r); err != nil {
				return err
			}
		}
		if err := r.checkQuery(c); err != nil {
			return err
		}
		defer patient(c, a.Stall)()
		if !r.stream {
			ctx, cancel := context.WithTimeout(c.Request().Context(), a.Timeout)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
		}
		return r.handle(a, c, by)
	}
}

// fail answers with the problem that the error amounts to. An answer that has begun cannot become
// a problem: its connection is cut, so that nobody takes the part for the whole.
func (a *API) fail(c echo.Context, r route, err error) error {
	p := problemOf(err)
	if p.Status >= 500 && !errors.Is(err, context.Canceled) {
		a.Log.Error("call failed", "method", r.method, "route", r.address(), "status", p.Status, "err", err.Error())
	}
	if c.Response().Committed {
		panic(http.ErrAbortHandler)
	}
	return p.write(c)
}

// panicText leaves out what a panic may hold of the request.
func panicText(p any) string {
	if e, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}

// noRoute answers what no call has, telling a wrong address from a wrong method.
func (a *API) noRoute(c echo.Context) error {
	path := strings.Split(c.Request().URL.Path, "/")
	var allowed []string
	for _, r := range routes {
		if r.matches(path) && !slices.Contains(allowed, r.method) {
			allowed = append(allowed, r.method)
		}
	}
	if len(allowed) == 0 {
		return notFound.problem("No call has this address; GET /api/openapi.json lists all calls.").write(c)
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	return badMethod.problem("This address takes "+list+".").with("Allow", list).write(c)
}

// authorize says who is asking, or why they may not.
func (a *API) authorize(c echo.Context, r route) (Token, error) {
	scheme, plain, _ := strings.Cut(c.Request().Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || plain == "" {
		return Token{}, unauthorized.problem("Send the header Authorization: Bearer and a token; beckon token create makes one.").
			with("WWW-Authenticate", `Bearer realm="beckon"`)
	}
	by, err := a.Tokens.Lookup(c.Request().Context(), strings.TrimSpace(plain))
	if errors.Is(err, ErrUnknownToken) {
		if wait := a.refusals.add(c.RealIP(), a.Now()); wait > 0 {
			return Token{}, tooMany.problem("Too many requests with tokens that are not valid came from this address.").
				with("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		}
		return Token{}, unauthorized.problem("The token is unknown or was revoked.").
			with("WWW-Authenticate", `Bearer realm="beckon", error="invalid_token"`)
	}
	if err != nil {
		return Token{}, err
	}
	if !slices.Contains(r.roles, by.Role) {
		return Token{}, forbidden.problem(fmt.Sprintf("This call is open to %s; the token is %s.", roleList(r.roles), by.Role))
	}
	return by, nil
}

func roleList(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
