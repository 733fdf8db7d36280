package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"beckon/schema/id"
	"beckon/segments"
	"beckon/tracker/token"
)

// handler answers one visit, or returns the error that kept it from answering.
type handler func(ctx context.Context, v *visit) error

// visit is one request while it is being answered.
type visit struct {
	echo.Context
	pages *Pages
	view
}

// serve puts around a handler what all pages have in common. An error that is left becomes the
// page that says so; it is logged without the address that was asked for, which holds the token.
func (p *Pages) serve(h handler) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		ctx, cancel := context.WithTimeout(c.Request().Context(), p.Timeout)
		defer cancel()
		p.looks.guard(c.Response().Header(), c.Path())
		v := &visit{Context: c, pages: p}
		v.Embedded = c.Path() == "/subscribe" && v.QueryParam("embed") == "1"
		v.speak("")
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("pages: panic: %T at %s", r, debug.Stack())
			}
			if err != nil && !c.Response().Committed {
				err = v.fail(err)
			}
		}()
		for _, asked := range v.QueryParams() {
			if slices.ContainsFunc(asked, func(s string) bool { return !readable(s) }) {
				return noPage
			}
		}
		return h(ctx, v)
	}
}

// readable is what a text column of either database takes.
func readable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// problem is an answer that a person can do something about: a status and the texts of a page.
type problem struct {
	status int
	key    string // title; the text is key.text
}

func (p *problem) Error() string { return "pages: " + p.key }

var (
	badLink    = &problem{http.StatusNotFound, "problem.link"}
	noPage     = &problem{http.StatusNotFound, "problem.missing"}
	badForm    = &problem{http.StatusBadRequest, "problem.unreadable"}
	busy       = &problem{http.StatusTooManyRequests, "problem.busy"}
	down       = &problem{http.StatusServiceUnavailable, "problem.down"}
	closed     = &problem{http.StatusServiceUnavailable, "problem.closed"}
	noAddress  = &problem{http.StatusNotFound, "unknown"}
	testLink   = &problem{http.StatusOK, "test"}
	expired    = &problem{http.StatusGone, "expired"}
	used       = &problem{http.StatusGone, "used"}
	tooYoung   = &problem{http.StatusUnprocessableEntity, "young"}
	erasedLink = &problem{http.StatusOK, "unknown"}
	foreignOne = &problem{http.StatusForbidden, "problem.foreign"}
	linkUsed   = &problem{http.StatusGone, "link.used"}
	linkLate   = &problem{http.StatusGone, "link.expired"}
	enough     = &problem{http.StatusTooManyRequests, "problem.complaints"}
)

func (v *visit) fail(err error) error {
	var told *problem
	if !errors.As(err, &told) {
		told = down
		v.pages.Log.Error("page failed", "route", v.Path(), "method", v.Request().Method, "err", err.Error())
	}
	switch told {
	case busy, down:
		v.Response().Header().Set("Retry-After", "60")
	case enough:
		v.Response().Header().Set("Retry-After", strconv.Itoa(int(v.pages.limiter.pause.Seconds())))
	}
	return v.say(told)
}

// say answers with a page of a title and a paragraph.
func (v *visit) say(told *problem) error {
	title := told.key
	if !v.Lang.has(title) {
		title += ".title"
	}
	v.Title = v.T(title)
	body := plainBody{Text: v.T(told.key + ".text")}
	if again := v.again; again != "" && (told == expired || told == used) {
		body.Again = &link{Href: again, Label: v.T("again.link")}
	}
	return v.show(told.status, "plain", body)
}

type plainBody struct {
	Text  string
	Again *link
}

// link is an address with the words it is shown under.
type link struct {
	Href, Label string
	Apart       bool // opens a page of its own, since this one is in a frame
}

// show answers with a page.
func (v *visit) show(status int, template string, body any) error {
	v.Body = body
	html, err := v.pages.looks.render(template, &v.view)
	if err != nil {
		return err
	}
	return v.HTMLBlob(status, html)
}

// speak chooses the language: the one asked for by ?lang=, else the company's, else the browser's.
func (v *visit) speak(companys string) {
	asked := v.QueryParam("lang")
	v.Lang = v.pages.languages.choose(asked, companys, v.Request().Header.Get("Accept-Language"))
	v.Languages = v.Languages[:0]
	for _, l := range v.pages.languages.all {
		v.Languages = append(v.Languages, languageLink{l.Tag, l.Name, v.self(l.Tag), l == v.Lang})
	}
	v.Action = v.self(v.Lang.Tag)
}

// self is the address of this very page in a language, without its path: the token in it is
// written nowhere.
func (v *visit) self(lang string) string {
	q := url.Values{"lang": {lang}}
	for _, k := range []string{"company", "notice", "item", "embed"} {
		if c := v.QueryParam(k); c != "" {
			q.Set(k, c)
		}
	}
	return "?" + q.Encode()
}

// of makes it the page of a company.
func (v *visit) of(c segments.Company) {
	v.Company = c
	v.speak(c.Language)
}

// opened is a mail's link that was opened: the mail and the company it came from.
type opened struct {
	Message
	ref id.Message
}

// open reads the token of a mail's link and finds the mail. The problem it returns changes nothing.
func (v *visit) open(ctx context.Context, kind token.Kind) (opened, error) {
	t, err := v.pages.Keys.Open(kind, v.Param("token"))
	if err != nil {
		return opened{}, badLink
	}
	if t.Test {
		return opened{}, testLink
	}
	o := opened{ref: t.Message}
	o.Message, err = v.pages.Messages.Lookup(ctx, t.Message)
	switch {
	case t.Message == 0, errors.Is(err, ErrNoMessage), err == nil && o.Campaign != t.Campaign:
		return o, noAddress
	case err != nil:
		return o, fmt.Errorf("pages: find the mail of a link: %w", err)
	}
	company, err := v.pages.Companies.ByID(ctx, o.Company)
	if err != nil {
		return o, fmt.Errorf("pages: %w", err)
	}
	v.of(company)
	if o.Contact == 0 {
		return o, erasedLink
	}
	return o, nil
}
