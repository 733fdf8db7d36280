package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/mailer/queue"
)

// policy is what a DMARC record says (RFC 7489, 6.3).
type policy struct {
	at           string // the domain that it was found at
	p            string
	reports      []string // rua
	dkim, spf    bool     // strict
	ownSubdomain bool     // sp is what applies
}

// isDMARC reports whether a TXT record is one of DMARC.
func isDMARC(record string) bool {
	head, _, _ := strings.Cut(record, ";")
	name, value, _ := strings.Cut(head, "=")
	return strings.TrimSpace(name) == "v" && strings.TrimSpace(value) == "DMARC1"
}

func parseDMARC(record string, subdomain bool) (policy, error) {
	var d policy
	t, err := tags(record)
	if err != nil {
		return d, err
	}
	d.p = strings.ToLower(t["p"])
	if d.p == "" {
		return d, fmt.Errorf("it has no p=")
	}
	for _, name := range []string{"p", "sp"} {
		if v := strings.ToLower(t[name]); v != "" && v != "none" && v != "quarantine" && v != "reject" {
			return d, fmt.Errorf("%s=%s is none of none, quarantine and reject", name, shorten(v))
		}
	}
	if sp := strings.ToLower(t["sp"]); subdomain && sp != "" {
		d.p, d.ownSubdomain = sp, true
	}
	for _, a := range []struct {
		name string
		into *bool
	}{{"adkim", &d.dkim}, {"aspf", &d.spf}} {
		switch strings.ToLower(t[a.name]) {
		case "", "r":
		case "s":
			*a.into = true
		default:
			return d, fmt.Errorf("%s=%s is neither r nor s", a.name, shorten(t[a.name]))
		}
	}
	for _, uri := range strings.Split(t["rua"], ",") {
		if uri = strings.TrimSpace(uri); uri == "" {
			continue
		}
		address, mailto := strings.CutPrefix(strings.ToLower(uri), "mailto:")
		if !mailto || !strings.Contains(address, "@") {
			return d, fmt.Errorf("rua=%s is not of the form mailto:address", shorten(uri))
		}
		address, _, _ = strings.Cut(address, "!")
		d.reports = append(d.reports, address[strings.LastIndexByte(address, '@')+1:])
	}
	return d, nil
}

// aligned reports whether a domain counts as From's.
func aligned(from, other string, strict bool) bool {
	from, other = strings.ToLower(from), strings.ToLower(other)
	return from == other || !strict && organisation(from) == organisation(other)
}

// dmarc checks the policy of a sender domain, and whether mail from it will be aligned.
func (in *Installation) dmarc(ctx context.Context, domain string, tell func(Finding)) {
	n := in.names()
	say := func(level Level, remedy, record, format string, args ...any) {
		tell(Finding{Check: "dmarc", Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy, Record: record})
	}
	at := domain
	var records []string
	for _, d := range slices.Compact([]string{domain, organisation(domain)}) {
		found, err := n.txt(ctx, "_dmarc."+d)
		if err != nil {
			say(Problem, "see that the name servers of "+d+" answer, then run doctor again", "", "%v", err)
			return
		}
		if found = slices.DeleteFunc(found, func(r string) bool { return !isDMARC(r) }); len(found) > 0 {
			at, records = d, found
			break
		}
	}
	suggestion := txtLine("_dmarc."+at, "v=DMARC1; p=none; rua=mailto:dmarc@"+at)
	switch len(records) {
	case 0:
		org := organisation(domain)
		say(Problem, "publish a policy. Begin with p=none, read the reports, then go on to quarantine and reject", txtLine("_dmarc."+org, "v=DMARC1; p=none; rua=mailto:dmarc@"+org),
			"neither _dmarc.%s nor its organisation %s has a DMARC record: large mailbox providers refuse bulk mail without one", domain, org)
		return
	case 1:
	default:
		say(Problem, "leave one of them", suggestion, "_dmarc.%s has %d records that begin with v=DMARC1: receivers then act as if there were none", at, len(records))
		return
	}
	d, err := parseDMARC(records[0], at != domain)
	if err != nil {
		say(Problem, "publish a record that can be read", suggestion, "the DMARC record at _dmarc.%s cannot be read: %v", at, err)
		return
	}
	d.at = at
	say(OK, "", "", "the policy at _dmarc.%s is %s", at, d.p)
	if len(d.reports) == 0 {
		say(Warning, "add rua, and read the reports", suggestion, "the DMARC record at _dmarc.%s has no rua: nobody hears of mail that fails", at)
	}
	for _, to := range slices.Compact(d.reports) {
		in.reportsAllowed(ctx, at, to, tell)
	}
	in.alignment(domain, d, tell)
}

// reportsAllowed asks whether another organisation takes the reports (RFC 7489, 7.1).
func (in *Installation) reportsAllowed(ctx context.Context, domain, to string, tell func(Finding)) {
	if organisation(domain) == organisation(to) {
		return
	}
	name := domain + "._report._dmarc." + to
	records, err := in.names().txt(ctx, name)
	if err == nil && !slices.ContainsFunc(records, isDMARC) {
		tell(Finding{Check: "dmarc", Level: Warning, Message: fmt.Sprintf("%s has not said that it takes the DMARC reports of %s, so they are not sent", to, domain),
			Remedy: "let whoever runs " + to + " publish this record, or have the reports sent to an address of " + domain, Record: txtLine(name, "v=DMARC1")})
	}
}

// alignment says whether what is signed and the return path count as From's domain.
func (in *Installation) alignment(domain string, d policy, tell func(Finding)) {
	path := in.Bounces
	if path == "" {
		path = domain
	}
	var key *queue.DKIM
	for _, k := range in.DKIM {
		if k.Covers(domain) {
			key = k
			break
		}
	}
	bySPF := aligned(domain, path, d.spf)
	byDKIM := key != nil && aligned(domain, key.Domain, d.dkim)
	mode := map[bool]string{true: "strict", false: "relaxed"}
	switch {
	case byDKIM && bySPF:
		tell(Finding{Check: "alignment", Level: OK, Message: fmt.Sprintf("the signature of %s (%s) and the return path at %s (%s) are aligned with From", key.Domain, mode[d.dkim], path, mode[d.spf])})
	case byDKIM:
		tell(Finding{Check: "alignment", Level: OK, Message: fmt.Sprintf("the signature of %s is aligned with From (%s); the return path at %s is not (%s), and need not be", key.Domain, mode[d.dkim], path, mode[d.spf])})
	case key != nil && bySPF:
		tell(Finding{Check: "alignment", Level: Warning, Message: fmt.Sprintf("the signature of %s is not aligned with From: %s asks for adkim=s. Only SPF is left, which forwarding breaks", key.Domain, "_dmarc."+d.at),
			Remedy: "sign with a key of " + domain + " itself in BECKON_DKIM, or publish adkim=r"})
	case key != nil:
		tell(Finding{Check: "alignment", Level: Problem, Message: fmt.Sprintf("neither the signature of %s nor the return path at %s is aligned with From: mail fails DMARC", key.Domain, path),
			Remedy: "sign with a key of " + domain + " itself in BECKON_DKIM, or publish adkim=r"})
	case bySPF:
		tell(Finding{Check: "alignment", Level: Warning, Message: fmt.Sprintf("only SPF for the return path at %s is aligned with From, and forwarding breaks it", path), Remedy: "sign the mail: set BECKON_DKIM"})
	default:
		tell(Finding{Check: "alignment", Level: Problem, Message: fmt.Sprintf("there is no signature for %s, and the return path at %s is not aligned with it: mail fails DMARC", domain, path), Remedy: "sign the mail: set BECKON_DKIM"})
	}
}
