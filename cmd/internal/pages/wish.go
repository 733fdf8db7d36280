package pages

import (
	"net/url"
	"slices"

	"beckon/segments/consent"
)

// wish is what a person ticked, to be agreed to by the link we mail them.
type wish struct {
	Notice   string // version of the wording that was shown
	Types    []string
	Channels []string
	Topics   []string
	Tracking bool
	Item     string // slug of the one thing that the form is for; it comes by email
	Mailed   bool   // the company's email is agreed to already, so that topics or tracking may be asked for alone
}

// wishFields are the fields of a form that asks for a wish.
var (
	wishSingle  = []string{"notice", "tracking"}
	wishSeveral = []string{"type", "channel", "topic"}
)

// wishOf reads a wish; a value that was not on offer is a form we did not make.
func (p *Pages) wishOf(form url.Values) (wish, error) {
	w := wish{Notice: form.Get("notice"), Tracking: form.Get("tracking") == "yes"}
	for _, f := range []struct {
		to    *[]string
		field string
		kind  string
	}{{&w.Types, "type", consent.KindType}, {&w.Channels, "channel", consent.KindChannel}, {&w.Topics, "topic", consent.KindTopic}} {
		for _, s := range form[f.field] {
			if !slices.ContainsFunc(p.Catalogue.Entries(f.kind), func(e consent.CatalogueEntry) bool { return e.Slug == s }) {
				return w, badForm
			}
		}
		*f.to = slices.Compact(slices.Sorted(slices.Values(form[f.field])))
	}
	if t := form.Get("tracking"); t != "" && t != "yes" {
		return w, badForm
	}
	return w, nil
}

// entries are the grants that a confirmation records, one for each channel, and one for the item.
// Following opens and clicks belongs to email, and is asked for where email is or has been agreed to.
func (w wish) entries() []consent.Entry {
	channels := w.Channels
	if w.Mailed && (w.Tracking || len(w.Types) == 0) && !slices.Contains(channels, string(consent.Email)) {
		channels = append(slices.Clone(channels), string(consent.Email))
	}
	var all []consent.Entry
	if w.Item != "" {
		all = append(all, consent.Entry{Channel: consent.Email, Item: w.Item, Notice: w.Notice})
	}
	for _, c := range channels {
		e := consent.Entry{Channel: consent.Channel(c), Topics: w.Topics, Notice: w.Notice}
		if slices.Contains(w.Channels, c) {
			e.Types = w.Types
		}
		if w.Tracking && e.Channel == consent.Email {
			e.Tracking = &w.Tracking
		}
		if len(e.Types) > 0 || len(e.Topics) > 0 || e.Tracking != nil {
			all = append(all, e)
		}
	}
	return all
}

// check says what a wish lacks, by field.
func (w wish) check(v *visit) map[string]string {
	wrong := map[string]string{}
	switch {
	case w.Item != "" && len(w.Types) == 0:
		if len(w.Channels) > 0 || len(w.Topics) > 0 || w.Tracking {
			wrong["type"] = v.T("error.types.item")
		}
	case len(w.Types) > 0 && len(w.Channels) == 0:
		wrong["channel"] = v.T("error.channels.missing")
	case len(w.Types) == 0 && !(w.Mailed && (w.Tracking || len(w.Topics) > 0)):
		wrong["type"] = v.T("error.types.missing")
		if len(w.Channels) == 0 && !w.Mailed {
			wrong["channel"] = v.T("error.channels.missing")
		}
	}
	return wrong
}

// ticks is a group of boxes.
type ticks struct {
	ID, Legend, Hint string
	Wrong, Mark      string // what is wrong with it, after the word Error
	Ticks            []tick
}

type tick struct {
	Name, Value, ID, Label string
	Ticked                 bool
}

// asked are the groups of boxes that a wish is made with.
type asked struct {
	Always  []ticks
	Summary string // of what is folded away
	Folded  []ticks
	Unfold  bool
}

// offer shows everything of the catalogue, ticked only where the person ticked it in a form that
// has to be shown again. Interests are folded away: they are many, and nobody needs them.
func (v *visit) offer(w wish, wrong map[string]string) asked {
	group := func(field, id, legend, hint string, kind string, ticked []string, pass func(consent.CatalogueEntry) bool) []ticks {
		g := ticks{ID: id, Legend: v.T(legend), Wrong: wrong[field], Mark: v.T("error")}
		if hint != "" {
			g.Hint = v.T(hint, "company", v.Company.Name)
		}
		for i, s := range v.pages.slugs(kind, pass) {
			t := tick{Name: field, Value: s, Label: v.name(kind, s), Ticked: slices.Contains(ticked, s)}
			if i == 0 {
				t.ID = id
			}
			g.Ticks = append(g.Ticks, t)
		}
		if len(g.Ticks) == 0 {
			return nil
		}
		return []ticks{g}
	}
	special := func(e consent.CatalogueEntry) bool { return e.Special }
	ordinary := func(e consent.CatalogueEntry) bool { return !e.Special }
	types := "subscribe.types"
	if w.Item != "" {
		types = "subscribe.item.types"
	}
	return asked{
		Always: append(group("type", "types", types, "", consent.KindType, w.Types, nil),
			group("channel", "channels", "subscribe.channels", "", consent.KindChannel, w.Channels, nil)...),
		Summary: v.T("subscribe.topics"),
		Folded: append(group("topic", "topics", "subscribe.topics.legend", "subscribe.topics.lead", consent.KindTopic, w.Topics, ordinary),
			group("topic", "special", "subscribe.special", "subscribe.special.lead", consent.KindTopic, w.Topics, special)...),
		Unfold: len(w.Topics) > 0,
	}
}

// offerTracking is the box for following opens and clicks, which stands apart from all others.
func (v *visit) offerTracking(w wish) ticks {
	return ticks{ID: "tracking-group", Legend: v.T("subscribe.tracking"), Hint: v.T("subscribe.tracking.hint"),
		Ticks: []tick{{"tracking", "yes", "tracking", v.T("subscribe.tracking.label", "company", v.Company.Name), w.Tracking}}}
}

// mistakes are the summary above a form: what is wrong, each line leading to its field.
type mistakes struct {
	Heading string
	Lines   []mistake
}

type mistake struct{ Target, Text string }

// mistakes lists what is wrong in the order of the form.
func (v *visit) mistakes(wrong map[string]string) mistakes {
	m := mistakes{Heading: v.N("subscribe.errors", len(wrong))}
	for _, f := range []struct{ field, target string }{{"type", "types"}, {"channel", "channels"}, {"email", "email"},
		{"name", "name"}, {"company", "company"}, {"country", "country"}, {"phone", "phone"}, {"age", "age"}, {"complaint", "complaint"}} {
		if wrong[f.field] != "" {
			m.Lines = append(m.Lines, mistake{f.target, wrong[f.field]})
		}
	}
	return m
}
