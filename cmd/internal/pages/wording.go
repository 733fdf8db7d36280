package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"beckon/segments"
	"beckon/segments/consent"
)

// wording is a notice as it is shown beside what it is about.
type wording struct {
	Version, Language, Heading, Text string
	Link                             link
}

func (v *visit) wording(n consent.Notice, heading string) wording {
	return wording{n.Version, n.Language, v.T(heading), n.Text, v.noticeLink(n.Version)}
}

func (v *visit) noticeLink(version string) link {
	return link{v.pages.URL + "/notice/" + url.PathEscape(version) + "?lang=" + v.Lang.Tag, v.T("subscribe.notice.version", "version", version), v.Embedded}
}

// current is the newest notice in the language of the page, else in English, else in any. A version
// that begins with the slug of a company and a hyphen (acme-form-3) belongs to that company: it
// goes before all others there, and is shown for no other company. There being none, nothing may be
// asked for, and the form is closed.
func (p *Pages) current(ctx context.Context, company segments.Company, lang string) (consent.Notice, error) {
	all, err := p.Notices.List(ctx)
	if err != nil {
		return consent.Notice{}, err
	}
	companies, err := p.Companies.List(ctx)
	if err != nil {
		return consent.Notice{}, err
	}
	owner := func(n consent.Notice) string {
		slug := ""
		for _, c := range companies {
			if strings.HasPrefix(n.Version, c.Slug+"-") && len(c.Slug) > len(slug) {
				slug = c.Slug
			}
		}
		return slug
	}
	best, found := 0, consent.Notice{}
	for _, n := range all { // the newest first
		rank := 1
		switch tag, _, _ := strings.Cut(n.Language, "-"); {
		case strings.EqualFold(tag, lang):
			rank = 5
		case strings.EqualFold(tag, "en"):
			rank = 3
		}
		switch owner(n) {
		case company.Slug:
			rank++
		case "":
		default:
			continue
		}
		if rank > best {
			best, found = rank, n
		}
	}
	if best == 0 {
		return found, closed
	}
	return found, nil
}

// notice is the one that a form says it has shown.
func (p *Pages) notice(ctx context.Context, version string) (consent.Notice, error) {
	n, err := p.Notices.Get(ctx, version)
	if errors.Is(err, consent.ErrUnknownNotice) {
		return n, badForm
	}
	return n, err
}

type noticeBody struct{ Lead, Language, Text string }

func (p *Pages) showNotice(ctx context.Context, v *visit) error {
	version := v.Param("version")
	if v.Request().URL.RawPath != "" { // only then are the parameters still escaped
		var err error
		if version, err = url.PathUnescape(version); err != nil {
			return noPage
		}
	}
	if !readable(version) {
		return noPage
	}
	n, err := p.Notices.Get(ctx, version)
	if errors.Is(err, consent.ErrUnknownNotice) {
		return noPage
	}
	if err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	v.Title = v.T("notice.title", "version", n.Version)
	return v.show(http.StatusOK, "notice", noticeBody{v.T("notice.lead", "date", v.Lang.date(n.CreatedAt.T())), n.Language, n.Text})
}
