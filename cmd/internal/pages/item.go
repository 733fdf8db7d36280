package pages

import (
	"regexp"
	"strings"

	"beckon/segments"
	"beckon/segments/consent"
)

// itemSlug is what an operator may call one thing that can be asked for, such as a whitepaper.
var itemSlug = regexp.MustCompile(`^[a-z0-9-]{1,100}$`)

// item is the one thing that the address of the form asks for; empty: none.
func (v *visit) item() (string, error) {
	asked, ok := v.QueryParams()["item"]
	switch {
	case !ok:
		return "", nil
	case len(asked) != 1 || !itemSlug.MatchString(asked[0]):
		return "", noPage
	}
	return asked[0], nil
}

// titled is how people read the slug of an item: grants-guide-2026 is Grants guide 2026. Whoever
// writes a link to the form chooses it, so it is shown on pages and never sent to an address.
func titled(slug string) string {
	words := strings.Join(strings.FieldsFunc(slug, func(r rune) bool { return r == '-' }), " ")
	if words == "" {
		return slug
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// items are the boxes for what a company was asked for and has not sent yet.
func (v *visit) items(company segments.Company, asked []consent.Item) (all []grants) {
	g := grants{Legend: v.T("preferences.items"), Hint: v.T("preferences.items.lead")}
	for _, i := range asked {
		if i.Company == company.ID {
			g.Kept = append(g.Kept, choice{Value: kept{Company: company.Slug, Channel: string(i.Channel), Item: i.Item}.String(), Label: titled(i.Item),
				Note: v.T("preferences.granted.since", "date", v.Lang.date(i.GrantedAt.T()))})
		}
	}
	if len(g.Kept) > 0 {
		all = append(all, g)
	}
	return all
}
