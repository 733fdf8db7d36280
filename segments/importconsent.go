package segments

import (
	"context"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// grantForm is what the consent columns of many rows say alike.
type grantForm struct {
	company  id.Company
	channel  consent.Channel
	types    []string
	tracking bool
	notice   string
	how      consent.How
	faults   []fault
}

type fault struct {
	field  int
	reason string
}

// consent reads the consent columns: the row's own cells all together or not at all. Values fixed
// for the whole file do not make a consent of a row that says nothing itself, unless all are fixed.
func (p *parser) consent(ctx context.Context, row *importRow) error {
	own, given, blank := 0, 0, -1
	for f := fConsentCompany; f <= fConsentAt; f++ {
		if p.layout.column[f] < 0 {
			continue
		}
		own++
		if p.cell(f) != "" {
			given++
		} else if blank < 0 {
			blank = f
		}
	}
	switch {
	case own > 0 && given == 0:
		return nil
	case blank >= 0:
		row.reject(fieldNames[blank], "consent-incomplete")
		return nil
	}
	g, err := p.grantForm(ctx)
	if err != nil {
		return err
	}
	if len(g.faults) > 0 {
		row.reject(fieldNames[g.faults[0].field], g.faults[0].reason)
		return nil
	}
	at, ok := readTime(p.cell(fConsentAt))
	switch {
	case !ok:
		row.reject("consent_at", "not-a-time")
	case at.After(p.now.Add(time.Minute)):
		row.reject("consent_at", "in-the-future")
	}
	row.grant, row.at = g, schema.At(at)
	return nil
}

func (p *parser) grantForm(ctx context.Context) (*grantForm, error) {
	var key strings.Builder
	for f := fConsentCompany; f < fConsentAt; f++ {
		key.WriteString(p.cell(f))
		key.WriteByte(0)
	}
	if g, ok := p.grants[key.String()]; ok {
		return g, nil
	}
	g := &grantForm{channel: consent.Channel(strings.ToLower(p.cell(fConsentChannel))), types: cellList(p.cell(fConsentTypes)),
		notice: p.cell(fConsentNotice), how: consent.How(strings.ToLower(p.cell(fConsentHow)))}
	fail := func(field int, reason string) { g.faults = append(g.faults, fault{field, reason}) }
	var ok bool
	if g.company, ok = p.companies[p.cell(fConsentCompany)]; !ok {
		fail(fConsentCompany, "unknown-company")
	}
	if !known(p.cat, consent.KindChannel, string(g.channel)) {
		fail(fConsentChannel, "unknown-channel")
	}
	if _, err := p.cat.Mask(consent.KindType, g.types); err != nil || len(g.types) == 0 {
		fail(fConsentTypes, "unknown-type")
	}
	if g.tracking, ok = yesNo(p.cell(fConsentTracking)); !ok {
		fail(fConsentTracking, "not-yes-or-no")
	}
	switch g.how {
	case consent.ByForm, consent.ByPage, consent.ByImport, consent.ByAPI, consent.ByPhone, consent.ByEmail, consent.ByPost:
	default:
		fail(fConsentHow, "unknown-how")
	}
	held, seen := p.notices[g.notice]
	if !seen {
		var err error
		if held, err = p.notice(ctx, g.notice); err != nil {
			return nil, err
		}
		p.notices[g.notice] = held
	}
	if !held {
		fail(fConsentNotice, "unknown-notice")
	}
	if len(p.grants) < 10_000 {
		p.grants[key.String()] = g
	}
	return g, nil
}

func yesNo(v string) (yes, ok bool) {
	switch strings.ToLower(v) {
	case "yes", "y", "true", "1":
		return true, true
	case "no", "n", "false", "0":
		return false, true
	}
	return false, false
}

// readTime reads RFC 3339 and what spreadsheets and other programs make of it, which is UTC.
func readTime(v string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly, "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t.UTC(), t.Unix() > 0
		}
	}
	return time.Time{}, false
}

func known(cat *consent.Catalogue, kind, slug string) bool {
	for _, e := range cat.Entries(kind) {
		if e.Slug == slug {
			return true
		}
	}
	return false
}
