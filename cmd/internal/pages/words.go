package pages

import (
	"beckon/segments/consent"
)

// name is what people read for an entry of the catalogue. The shipped names are translated; where
// an operator changed a name, or added an entry, theirs is shown in every language.
func (v *visit) name(kind, slug string) string {
	own := v.pages.Catalogue.Name(kind, slug)
	key := kind + "." + slug
	if english := v.pages.languages.all[0]; v.Lang.has(key) && own == english.T(key) {
		return v.Lang.T(key)
	}
	return own
}

// names are those of several entries of a kind.
func (v *visit) names(kind string, slugs []string) []string {
	all := make([]string, len(slugs))
	for i, s := range slugs {
		all[i] = v.name(kind, s)
	}
	return all
}

// slugs are those of a kind's entries that pass.
func (p *Pages) slugs(kind string, pass func(consent.CatalogueEntry) bool) []string {
	var all []string
	for _, e := range p.Catalogue.Entries(kind) {
		if pass == nil || pass(e) {
			all = append(all, e.Slug)
		}
	}
	return all
}
