package admin

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

const mailsOnPage = 100

type mailRow struct {
	N               int
	To, Subject, At string
}

type mailsPage struct {
	Total, From            int
	Mails                  []mailRow
	Previous, Next         bool
	PreviousFrom, NextFrom int
}

func (p *Pages) mails(c echo.Context) (string, string, any, error) {
	page := mailsPage{Total: p.Mailbox.Len(), From: 1}
	if n, err := strconv.Atoi(c.QueryParam("from")); err == nil && n > 0 {
		page.From = n
	}
	for n := page.From - 1; n < page.From-1+mailsOnPage; n++ {
		m, ok := p.Mailbox.Mail(n)
		if !ok {
			break
		}
		page.Mails = append(page.Mails, mailRow{n, m.To, m.Subject, m.At.UTC().Format("2 Jan 15:04:05")})
	}
	page.NextFrom, page.PreviousFrom = page.From+mailsOnPage, max(1, page.From-mailsOnPage)
	page.Next, page.Previous = page.NextFrom <= page.Total, page.From > 1
	return "mail", "Caught mail", page, nil
}

type messagePage struct {
	Mail
	At string
}

func (p *Pages) find(c echo.Context) (Mail, error) {
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil {
		return Mail{}, errNotFound
	}
	m, ok := p.Mailbox.Mail(n)
	if !ok {
		return Mail{}, errNotFound
	}
	m.N = n
	return m, nil
}

func (p *Pages) mail(c echo.Context) (string, string, any, error) {
	m, err := p.find(c)
	return "message", m.Subject, messagePage{m, m.At.UTC().Format("2 January 2006 15:04:05 UTC")}, err
}

// mailHTML shows the HTML part alone, for the frame: it may use its own styles and nothing else.
func (p *Pages) mailHTML(c echo.Context) error {
	m, err := p.find(c)
	if err != nil {
		return c.String(http.StatusNotFound, "There is no such mail.")
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	return c.HTML(http.StatusOK, m.HTML)
}
