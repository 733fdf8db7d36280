package rights

import (
	"fmt"
	"slices"
	"strings"
)

// activities are what the service does with personal data, each with what follows from the
// installation and the rules in force. Whoever changes what the service does changes this too.
func activities(in Installation, r Register) []Activity {
	store, relays := systems(r, SystemDatabase), systems(r, SystemRelay)
	keep := func(purposes ...Purpose) (lines []string) {
		for _, rule := range r.Rules {
			if slices.Contains(purposes, rule.Purpose) {
				lines = append(lines, r.keeps(rule))
			}
		}
		return lines
	}
	const (
		form     = "the person, by a form or page"
		operator = "the person, through an operator: an import or another program"
		profile  = "email address, name, employer, country, phone, job title, kind of subscriber, interests, and further fields that an operator adds"
		delivery = "which mail was sent when, and whether it was delivered: status, reply code, and the reply without addresses"
	)
	all := []Activity{
		{
			Name: "Mail to people who opted in", Aim: "sending the kinds of mail that they asked for: " + list(in.Types), Bases: []Basis{Consent},
			Footing: "opt-in to a company, a channel and a type of mail, under a notice whose wording is kept" + special(in),
			Data:    []string{profile, "what was agreed to and refused, when, how, and under which notice", delivery}, From: []string{form, operator},
			Subjects: []string{"people who opted in"}, Recipients: slices.Concat(store, relays), Retention: keep(PurposeConsented),
		},
		{
			Name: "Measuring the opens and clicks of single people", Aim: "learning which parts of the mails people are interested in, and choosing audiences by it", Bases: []Basis{Consent},
			Footing:  "a separate permission beside that to be mailed; without it every link and beacon is the same for everybody",
			Subjects: []string{"people who opted in and allowed tracking"},
			Data:     []string{"mail, link and time; person, machine or unverifiable, and why; " + region(in) + "; family of mail program or browser, family of operating system, class of device"},
			From:     []string{"the person's mail program or browser"}, Recipients: store,
			Retention: append(keep(PurposeEvents), "The first open of a mail and the first click of a link: as long as the contact is held. The totals tell of nobody and stay."),
		},
		{
			Name: "Counting the opens and clicks of everybody else", Aim: "knowing how a mail does as a whole", Bases: []Basis{LegitimateInterests},
			Footing: "totals that tell of nobody", Subjects: []string{"recipients who did not allow tracking"},
			Data: []string{"none that is kept: totals by hour, mail, link and " + region(in)}, From: []string{"the person's mail program or browser"},
			Recipients: slices.Concat(store, systems(r, SystemCounts)), Retention: []string{"Nothing personal is kept. The totals have no end."},
		},
		{
			Name: "Segments, reports and exports", Aim: "choosing who is mailed, and reporting", Bases: []Basis{Consent}, Footing: "the opt-in; a segment holds nobody else",
			Subjects: []string{"people who opted in"}, Data: []string{profile, "of who allowed tracking: opens and clicks"}, From: []string{"the activities above"},
			Recipients: append(slices.Clone(store), "whoever an export with names is handed to: each is in the audit log with its ground"), Retention: []string{"Nothing of its own but sizes over time."},
		},
		{
			Name: "Confirming an address", Aim: "making sure that who asks is who reads", Bases: []Basis{LegitimateInterests}, Footing: "nobody is put on a list by somebody else",
			Subjects: []string{"people whose address was entered in a form"}, Data: []string{"email address, and what was entered beside it", "what was asked for, and the network that the form came from (IPv4: 24 bits, IPv6: 48 bits)"},
			From: []string{form}, Recipients: slices.Concat(store, relays), Retention: keep(PurposeUnconfirmed),
		},
		{
			Name: "Keeping to what people said", Aim: "proving each consent, and never using what was refused", Bases: []Basis{LegalObligation}, Footing: "GDPR Art. 5(2), 7(1), 7(3) and 21(3)",
			Subjects: []string{"everybody who agreed to or refused something"}, From: []string{form, operator, "mail, phone and post"},
			Data: []string{"consents and refusals, under a random number", "what was shown and done when they were given", "keyed hashes of addresses that must not be mailed, or not everything"}, Recipients: slices.Concat(store, systems(r, SystemJournal)),
			Retention: append(keep(PurposeOptedOut), "What was shown and done goes with the contact. The record of consents stays, under a number that leads to nobody then. Keyed hashes, with what was refused, have no end: no stays no."),
		},
		{
			Name: "Holding contacts without evidence of consent", Aim: "keeping them until they opt in or their time is over; they are in no segment and are not mailed", Bases: []Basis{LegitimateInterests}, Footing: "an address that the person gave",
			Subjects: []string{"people who gave their address"}, Data: []string{profile}, From: []string{operator}, Recipients: store, Retention: keep(PurposeOwn),
		},
	}
	if len(in.Providers) > 0 {
		from := make([]string, len(in.Providers))
		for i, p := range in.Providers {
			from[i] = p.Name
		}
		all = append(all, Activity{
			Name: "Mail to contacts from data providers", Aim: "first contact with companies", Bases: []Basis{LegitimateInterests}, Subjects: []string{"people at companies (corporate subscribers) in: " + list(in.CorporateCountries)},
			Footing: "the basis that each provider's entry names; every mail cites the provider, links to its policy and tells of the right to object; nobody is tracked",
			Data:    []string{profile, delivery}, From: from, Recipients: slices.Concat(store, relays), Retention: keep(PurposeSourced, PurposeSourcedEnded),
		})
	}
	for _, g := range r.Groups {
		p := PurposeGroup
		if g.Group == GroupCandidate {
			p = PurposeCandidate
		}
		all = append(all, Activity{
			Name: "Group: " + g.Group, Aim: "knowing on what footing somebody's data is held beside campaigns", Bases: []Basis{g.Basis}, Footing: "as recorded for each member", Subjects: []string{"members of the group " + g.Group},
			Data: []string{"that they are in it, on what footing and since when", profile}, From: []string{operator}, Recipients: store, Retention: keep(p),
		})
	}
	all = append(all,
		Activity{
			Name: "Imports", Aim: "taking in contacts from files, and saying what was wrong with a row", Bases: []Basis{LegitimateInterests}, Footing: "correct data", Subjects: []string{"people in imported files"},
			Data: []string{"the uploaded file until the import ends", "line number and reason of rejected rows"}, From: []string{"an operator"}, Recipients: store, Retention: keep(PurposeSupport),
		},
		Activity{
			Name: "Answering people", Aim: "access, portability, rectification, erasure, restriction, objection, withdrawal and complaints, in time", Bases: []Basis{LegalObligation}, Footing: "GDPR Art. 12 to 22",
			Subjects: []string{"people who ask"}, Data: []string{"what was asked, how and when, in the person's words; due date, outcome and who handled it", "single-use links that were mailed"},
			From: []string{"the person"}, Recipients: slices.Concat(store, relays), Retention: keep(PurposeRequests, PurposeSupport),
		},
		Activity{
			Name: "Audit and security log", Aim: "showing who did what to whose data; it is used for nothing else", Bases: []Basis{LegalObligation}, Footing: "GDPR Art. 5(2) and 32",
			Subjects: []string{"operators", "contacts, by number"}, Data: []string{"name of the operator or token, action, number of what was acted on, ground, time"}, From: []string{"the service itself"},
			Recipients: store, Retention: keep(PurposeSecurityLog),
		})
	for i := range all {
		a := &all[i]
		a.Rights = Union(a.Bases...)
		for _, l := range []*[]string{&a.Recipients, &a.Retention, &a.From} {
			if *l == nil {
				*l = []string{}
			}
		}
	}
	return all
}

// keeps says what a rule in force comes to, with what extends all of it.
func (r Register) keeps(rule Rule) string {
	what := "erased"
	switch {
	case rule.Action == ActionDeidentify:
		what = "de-identified: country, kind of subscriber, month and providers stay, for statistics"
	case rule.Purpose == PurposeGroup:
		what = "the membership ends"
	}
	s := fmt.Sprintf("%s: %s after %s; then %s.", rule.Title, rule.Keep, rule.Clock, what)
	for _, d := range r.Decisions {
		if d.Kind == "extension" && d.Covers == rule.Title {
			s += fmt.Sprintf(" Extended until %s (%s).", day(d.Until), d.Reference)
		}
	}
	return s
}

// measures are the facts of how the data is protected (GDPR Art. 32).
func measures(in Installation, r Register) []string {
	all := []string{
		"Addresses that must not be mailed are kept as keyed hashes (HMAC-SHA-256, 128 bits), also outside the database, in the refusals journal.",
		"Links in mails are signed (HMAC-SHA-256, 128 bits) and hold no address. Without permission to track, those to unsubscribe and to the preferences alone differ between recipients.",
		"IP addresses of opens and clicks are not written down, nor are user agents, which become families and a class of device.",
		"A form keeps of an IP address the network alone: 24 bits of IPv4, 48 bits of IPv6. Preferences and unsubscriptions keep none.",
		"The record of consents can only be appended to: the database refuses changes, and each row is sealed over the one before it (HMAC-SHA-256).",
		"The audit log can only be appended to: the database refuses changes, and deletions within a year.",
		"Nothing is sent before the refusals journal has been applied, after an outage or the restore of a backup too.",
		"API tokens have roles (admin, marketer, analyst, privacy) and are kept as SHA-256 hashes. Analysts see totals and pseudonyms.",
		"Personal data is exported with a ground, and that is in the audit log.",
		"Replies of mail servers are kept without addresses. Errors and logs hold no addresses; links, beacons and pages have no access log.",
	}
	if in.SmallestGroup > 1 {
		all = append(all, fmt.Sprintf("Groups of fewer than %d people are not shown to analysts, nor in exports of statistics.", in.SmallestGroup))
	}
	if in.SQLite {
		all = append(all, "The database is a file on the machine of the service; what is deleted from it is overwritten.")
	}
	for _, s := range r.Systems {
		what := map[string]string{"none": "not encrypted on the way", "starttls": "encrypted on the way: STARTTLS is required and the certificate checked", "implicit": "encrypted on the way: TLS, the certificate is checked"}[s.Protection]
		if what == "" && s.Protection != "" {
			what = s.Protection
		}
		if what != "" {
			all = append(all, fmt.Sprintf("%s %s: %s.", strings.ToUpper(s.Kind[:1])+s.Kind[1:], s.Name, what))
		}
	}
	return all
}

func systems(r Register, kind string) []string {
	all := []string{}
	for _, s := range r.Systems {
		if s.Kind == kind {
			all = append(all, kind+" "+s.Name)
		}
	}
	return all
}

func region(in Installation) string {
	if in.Regions {
		return "country and region (from the IP address, which is then dropped)"
	}
	return "no region, since no region database is in use"
}

func special(in Installation) string {
	if len(in.Special) == 0 {
		return ""
	}
	return "; explicit consent (GDPR Art. 9(2)(a)) for: " + list(in.Special)
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
