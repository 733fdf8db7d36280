package admin

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"beckon/mailer"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/tracker/report"

	"github.com/labstack/echo/v4"
)

//go:embed templates static
var files embed.FS

// Mail is a message that a mail catcher accepted.
type Mail struct {
	N       int
	At      time.Time
	To      string
	Subject string
	Text    string
	HTML    string
	Head    string // the header as it was received
}

// Mailbox is a mail catcher's mail, in the order of acceptance.
type Mailbox interface {
	Len() int
	// Mail returns the n-th message, from 0; false if there is none.
	Mail(n int) (Mail, bool)
}

// Figure is a number with its name; Note says more about it, such as its base.
type Figure struct{ Name, Value, Note string }

// Check is a promise and whether it holds.
type Check struct {
	Name   string
	OK     bool
	Detail string
}

// Campaigns is what the pages ask about campaigns.
type Campaigns interface {
	List(ctx context.Context, before id.Campaign, limit int) ([]mailer.Campaign, error)
	Status(ctx context.Context, c id.Campaign) (mailer.Status, error)
}

// Stats is what the pages ask about hits.
type Stats interface {
	Stats(ctx context.Context, c id.Campaign, v report.Viewer) (report.Stats, error)
}

// Segments is what the pages ask about segments.
type Segments interface {
	List(ctx context.Context) ([]segments.Segment, error)
	Get(ctx context.Context, s id.Segment) (segments.Segment, error)
	Count(ctx context.Context, s id.Segment) (int64, error)
	Report(ctx context.Context, s id.Segment, o segments.ReportOptions) (segments.Report, error)
}

// Options are what the pages show. Campaigns, Stats and Segments are required.
type Options struct {
	Campaigns Campaigns
	Stats     Stats
	Segments  Segments
	Lead      func() string                               // the sentence under the title of the overview
	Contacts  func(ctx context.Context) ([]Figure, error) // figures about contacts on the overview; nil: none
	Checks    func() []Check                              // nil: none
	Warnings  func() []string                             // sentences on what is wrong with the installation; nil: none
	Mailbox   Mailbox                                     // nil: no pages about caught mail
	Log       *slog.Logger
}

// Pages serves the operator pages.
type Pages struct {
	Options
	looks map[string]*template.Template
	css   []byte
}

// New parses the templates.
func New(o Options) (*Pages, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pages{Options: o, looks: map[string]*template.Template{}}
	for _, name := range []string{"home", "campaign", "segment", "mail", "message"} {
		t, err := template.ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("admin: template %s: %w", name, err)
		}
		p.looks[name] = t
	}
	var err error
	if p.css, err = files.ReadFile("static/admin.css"); err != nil {
		return nil, fmt.Errorf("admin: stylesheet: %w", err)
	}
	return p, nil
}

// Register adds the routes to e.
func (p *Pages) Register(e *echo.Echo) {
	e.GET("/", p.serve(p.home))
	e.GET("/campaigns/:id", p.serve(p.campaign))
	e.GET("/segments/:id", p.serve(p.segment))
	e.GET("/admin.css", func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "max-age=300")
		return c.Blob(http.StatusOK, "text/css; charset=utf-8", p.css)
	})
	if p.Mailbox != nil {
		e.GET("/mail", p.serve(p.mails))
		e.GET("/mail/:n", p.serve(p.mail))
		e.GET("/mail/:n/html", p.mailHTML)
	}
}

var errNotFound = errors.New("admin: no such page")

// view is what a template is executed with.
type view struct {
	Title   string
	Mailbox bool
	Page    any
}

// serve renders what a page's function returns: a template's name, a title and the page.
func (p *Pages) serve(f func(c echo.Context) (look, title string, page any, err error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		look, title, page, err := f(c)
		switch {
		case errors.Is(err, errNotFound), errors.Is(err, segments.ErrNotFound), errors.Is(err, id.ErrMalformed):
			return c.String(http.StatusNotFound, "There is no such page.")
		case err != nil:
			p.Log.Error("admin page", "route", c.Path(), "err", err.Error())
			return c.String(http.StatusInternalServerError, "This page could not be made; the log says why.")
		}
		h.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
		if err := p.looks[look].ExecuteTemplate(c.Response(), "layout", view{title, p.Mailbox != nil, page}); err != nil {
			p.Log.Error("admin page", "route", c.Path(), "err", err.Error())
		}
		return nil
	}
}
