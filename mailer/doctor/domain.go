package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"beckon/mailer/queue"
)

// Installation is what is looked at.
type Installation struct {
	Resolver Resolver
	Relays   []*queue.Relay
	DKIM     []*queue.DKIM
	Bounces  string       // domain of return paths; empty: the sender's own
	Loopback bool         // it serves nobody but this machine, so that signatures are not asked for
	Here     []netip.Addr // addresses of this machine, if it takes returned mail itself
	Now      func() time.Time
	Question time.Duration // how long one question to DNS may take; zero: 5 s
}

func (in *Installation) names() names {
	limit := in.Question
	if limit <= 0 {
		limit = 5 * time.Second
	}
	return names{in.Resolver, limit}
}

// Checks are those of relays, sender domains, keys and the domain of return paths.
func (in *Installation) Checks(domains []string) []Check {
	var all []Check
	var senders []string
	for _, d := range domains {
		senders = append(senders, "postmaster@"+d)
	}
	if in.Bounces != "" {
		senders = append(senders, "postmaster@"+in.Bounces)
	}
	for _, r := range in.Relays {
		all = append(all, Check{"relay", r.String(), func(ctx context.Context, tell func(Finding)) { in.relay(ctx, r, senders, tell) }})
	}
	for _, d := range domains {
		all = append(all, Check{"domain", d, func(ctx context.Context, tell func(Finding)) {
			in.answerable(ctx, d, tell)
			in.spf(ctx, d, in.Bounces == "" || in.Bounces == d, tell)
			in.signed(d, tell)
			in.dmarc(ctx, d, tell)
		}})
	}
	for _, k := range in.DKIM {
		all = append(all, Check{"dkim", k.Domain, func(ctx context.Context, tell func(Finding)) { in.names().dkim(ctx, k, tell) }})
	}
	if in.Bounces != "" && !slices.Contains(domains, in.Bounces) {
		all = append(all, Check{"bounces", in.Bounces, func(ctx context.Context, tell func(Finding)) { in.spf(ctx, in.Bounces, true, tell) }})
	}
	if in.Bounces != "" {
		all = append(all, Check{"bounces", in.Bounces, in.returns})
	}
	return all
}

// signed says whether mail of the domain will be signed.
func (in *Installation) signed(domain string, tell func(Finding)) {
	if slices.ContainsFunc(in.DKIM, func(k *queue.DKIM) bool { return k.Covers(domain) }) {
		return // the key's own check says more
	}
	f := Finding{Check: "dkim", Level: Problem, Message: "no key of BECKON_DKIM signs mail from " + domain,
		Remedy: "make a key with: openssl genrsa -out dkim.pem 2048, set BECKON_DKIM to " + domain + ":SELECTOR:dkim.pem, and run doctor again: it prints the record to publish"}
	if in.Loopback {
		f.Level = Warning
		f.Message += "; that is accepted on loopback alone"
	}
	tell(f)
}

// answerable says whether mail to the domain can be delivered: many receivers refuse senders without.
func (in *Installation) answerable(ctx context.Context, domain string, tell func(Finding)) {
	n := in.names()
	say := func(level Level, remedy, record, format string, args ...any) {
		tell(Finding{Check: "mx", Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy, Record: record})
	}
	suggestion := domain + ". IN MX 10 MAILSERVER."
	hosts, err := n.mx(ctx, domain)
	if err != nil {
		say(Problem, "see that the name servers of "+domain+" answer, then run doctor again", "", "%v", err)
		return
	}
	if len(hosts) == 1 && hosts[0] == "." {
		say(Problem, "publish the name of the server that takes mail for "+domain, suggestion, "%s says by a null MX that it takes no mail: answers and bounces are lost, and receivers refuse such senders", domain)
		return
	}
	if len(hosts) == 0 {
		addrs, err := n.ip(ctx, domain)
		switch {
		case err != nil:
			say(Problem, "see that the name servers of "+domain+" answer, then run doctor again", "", "%v", err)
		case len(addrs) == 0:
			say(Problem, "publish the name of the server that takes mail for "+domain, suggestion, "%s has neither MX nor address: answers and bounces are lost, and receivers refuse such senders", domain)
		default:
			say(OK, "", "", "%s has no MX; mail to it goes to its address %s", domain, join(addrs))
		}
		return
	}
	var dead []string
	for _, h := range hosts {
		if addrs, err := n.ip(ctx, h); err == nil && len(addrs) == 0 {
			dead = append(dead, strings.TrimSuffix(h, "."))
		}
	}
	switch {
	case len(dead) == len(hosts):
		say(Problem, "publish an address for "+dead[0]+", or the MX of a server that is there", suggestion, "no MX of %s has an address: %s", domain, strings.Join(dead, ", "))
	case len(dead) > 0:
		say(Warning, "take these MX out", "", "some MX of %s have no address: %s", domain, strings.Join(dead, ", "))
	default:
		say(OK, "", "", "mail to %s goes to %s", domain, strings.TrimSuffix(hosts[0], "."))
	}
}

// returns says whether bounces will find this machine.
func (in *Installation) returns(ctx context.Context, tell func(Finding)) {
	n := in.names()
	record := in.Bounces + ". IN MX 10 THIS-MACHINE."
	hosts, err := n.mx(ctx, in.Bounces)
	switch {
	case err != nil:
		tell(Finding{Check: "mx", Level: Problem, Message: err.Error(), Remedy: "see that the name servers of " + in.Bounces + " answer, then run doctor again"})
		return
	case len(hosts) == 0 || hosts[0] == ".":
		tell(Finding{Check: "mx", Level: Problem, Message: in.Bounces + " has no MX: bounces and complaints are lost", Remedy: "publish an MX that names this machine", Record: record})
		return
	}
	if len(in.Here) == 0 {
		tell(Finding{Check: "mx", Level: OK, Message: "bounces to " + in.Bounces + " go to " + strings.TrimSuffix(hosts[0], ".")})
		return
	}
	var there []netip.Addr
	for _, h := range hosts {
		addrs, err := n.ip(ctx, h)
		if err != nil {
			tell(Finding{Check: "mx", Level: Problem, Message: err.Error(), Remedy: "see that the name servers answer, then run doctor again"})
			return
		}
		there = append(there, addrs...)
	}
	if slices.ContainsFunc(there, func(a netip.Addr) bool { return slices.Contains(in.Here, a) }) {
		tell(Finding{Check: "mx", Level: OK, Message: "bounces to " + in.Bounces + " come to this machine"})
		return
	}
	tell(Finding{Check: "mx", Level: Warning, Message: fmt.Sprintf("the MX of %s leads to %s, which is no address of this machine or of its public URL", in.Bounces, join(there)),
		Remedy: "publish an MX that names this machine, unless that server hands the mail on to it", Record: record})
}

// spf checks the record of a domain. matters says whether it is the domain of return paths, which is the one
// that receivers ask about.
func (in *Installation) spf(ctx context.Context, domain string, matters bool, tell func(Finding)) {
	n := in.names()
	bad := Problem
	if !matters {
		bad = Warning
	}
	say := func(level Level, remedy, record, format string, args ...any) {
		tell(Finding{Check: "spf", Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy, Record: record})
	}
	relays, unknown := in.outgoing(ctx)
	value := "v=spf1"
	for _, a := range relays {
		value += map[bool]string{true: " ip4:", false: " ip6:"}[a.Is4()] + a.String()
	}
	if len(relays) == 0 {
		value += " include:DOMAIN-OF-YOUR-RELAY"
	}
	suggestion := txtLine(domain, value+" ~all")
	count := &spfWalk{names: n, sender: domain}
	result := count.check(ctx, domain)
	switch {
	case len(count.faults) > 0:
		remedy := "publish one record that can be evaluated: receivers treat such a one as an error"
		if count.lookups > spfLookups {
			remedy = fmt.Sprintf("it needs %d lookups: take out includes that are no longer used, or write their networks as ip4 and ip6", count.lookups)
		}
		say(bad, remedy, suggestion, "the SPF record of %s %s", domain, strings.Join(count.faults, "; it "))
		return
	case count.err != nil:
		say(bad, "see that the name servers answer, then run doctor again", "", "SPF of %s: %v", domain, count.err)
		return
	case result == spfNone:
		say(bad, "publish a record that names whoever sends for "+domain, suggestion, "%s has no SPF record", domain)
		return
	}
	lookups := fmt.Sprintf("%d of %d lookups", count.lookups, spfLookups)
	switch result {
	case spfPass:
		say(bad, "end it with ~all or -all", suggestion, "the SPF record of %s ends in +all: anybody may send in its name", domain)
	case spfNeutral:
		say(Warning, "end it with ~all or -all", suggestion, "the SPF record of %s ends in neither ~all nor -all, so it says nothing about others", domain)
	default:
		say(OK, "", "", "%s has one SPF record; it ends in %s and needs %s", domain, map[string]string{spfFail: "-all", spfSoftFail: "~all"}[result], lookups)
	}
	if count.ptr {
		say(Warning, "replace ptr by a, ip4 or ip6", "", "the SPF record of %s uses ptr, which RFC 7208 says not to", domain)
	}
	if !matters {
		return
	}
	for _, u := range unknown {
		say(OK, "", "", "whether mail passes SPF cannot be told: %s, and hands mail on from an address that is not known here", u)
	}
	for _, a := range relays {
		w := &spfWalk{names: n, ip: a, sender: domain}
		switch got := w.check(ctx, domain); got {
		case spfPass:
			say(OK, "", "", "mail of %s from the relay's address %s passes SPF", domain, a)
		case spfTempError:
			say(Warning, "see that the name servers answer, then run doctor again", "", "whether %s passes SPF of %s cannot be told: a lookup failed", a, domain)
		default:
			say(Warning, "add the relay to the record, unless it sends from other addresses: then add the include that its operator names", suggestion, "mail of %s from the relay's address %s gets SPF %s", domain, a, got)
		}
	}
}

// outgoing are the relays' addresses as the world sees them, and why those of others are not known.
func (in *Installation) outgoing(ctx context.Context) (addrs []netip.Addr, unknown []string) {
	for _, r := range in.Relays {
		found, err := in.names().ip(ctx, r.Host)
		switch seen := outside(found); {
		case err != nil || len(found) == 0:
			unknown = append(unknown, "the relay "+r.Host+" is not found")
		case len(seen) == 0:
			unknown = append(unknown, "the relay "+r.Host+" is a smarthost at a private address")
		default:
			addrs = append(addrs, seen...)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), unknown
}
