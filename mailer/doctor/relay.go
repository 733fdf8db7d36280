package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"time"

	"beckon/mailer/queue"
)

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

// smallest is the size of message that a relay has to take.
const smallest = 2 << 20

// relay holds a conversation with a relay.
func (in *Installation) relay(ctx context.Context, r *queue.Relay, senders []string, tell func(Finding)) {
	say := func(check string, level Level, remedy, format string, args ...any) {
		tell(Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	addrs, err := in.names().ip(ctx, r.Host)
	switch {
	case r.Loopback(): // need not be in DNS
	case err != nil: // hosts files count too: the connection decides
		say("name", Warning, "see that the name servers of this machine answer", "%v", err)
	case len(addrs) > 0:
		say("name", OK, "", "%s is %s", r.Host, join(addrs))
	}
	limit := 20 * time.Second
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(end)*3/4, time.Millisecond))
	}
	p, err := r.Probe(ctx, limit, senders)
	if err != nil {
		say("connection", Problem, "correct BECKON_SMTP, or what is between this machine and the relay", "%v", err)
		if p == nil {
			return
		}
	} else {
		say("connection", OK, "", "connects at %s and greets", p.At)
	}
	in.certificate(p.TLS, tell)
	if p.TLS == nil && public(p.At) {
		say("tls", Warning, "write ?tls=starttls or ?tls=implicit in BECKON_SMTP", "mail, and a password, cross the internet unencrypted")
	}
	if p.LoggedIn {
		say("login", OK, "", "the user name and password are accepted")
	}
	if _, offered := p.Offers["PIPELINING"]; offered {
		say("pipelining", OK, "", "PIPELINING is offered")
	} else {
		say("pipelining", Warning, "turn it on at the relay", "PIPELINING is not offered: every message takes a round trip more")
	}
	if _, offered := p.Offers["SMTPUTF8"]; offered {
		say("smtputf8", OK, "", "SMTPUTF8 is offered")
	} else {
		say("smtputf8", OK, "", "SMTPUTF8 is not offered: addresses with letters beyond ASCII before the @ will fail, and say so")
	}
	if size, err := strconv.ParseInt(p.Offers["SIZE"], 10, 64); err == nil && size > 0 && size < smallest {
		say("size", Warning, "raise the limit at the relay", "messages over %d kB are refused", size>>10)
	} else if err == nil && size > 0 {
		say("size", OK, "", "messages up to %d MB are taken", size>>20)
	}
	var taken []string
	for _, from := range senders {
		reply, refused := p.Refused[from]
		switch {
		case !refused:
			taken = append(taken, from)
		case p.Later[from]:
			say("sender", Warning, "run doctor again in some minutes; if it stays, ask the operator of the relay", "puts off mail from the domain of %s: %s", domainOf(from), reply)
		default:
			say("sender", Problem, "allow the domain at the relay, or set BECKON_SMTP to one that may send for it", "refuses mail from %s: %s", domainOf(from), reply)
		}
	}
	if len(taken) > 0 && err == nil {
		say("sender", OK, "", "takes mail from %d of %d sender domains", len(taken), len(senders))
	}
}

func domainOf(address string) string {
	for i := range address {
		if address[i] == '@' {
			return address[i+1:]
		}
	}
	return address
}

// certificate says how long the certificate of a connection lasts.
func (in *Installation) certificate(state *tls.ConnectionState, tell func(Finding)) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return
	}
	tell(lasting(state, in.Now()))
}

func lasting(state *tls.ConnectionState, now time.Time) Finding {
	end := state.PeerCertificates[0].NotAfter
	for _, c := range state.PeerCertificates[1:] {
		if c.NotAfter.Before(end) && !c.NotAfter.Before(now) {
			end = c.NotAfter
		}
	}
	left := end.Sub(now)
	f := Finding{Check: "certificate", Level: OK, Message: fmt.Sprintf("the certificate is good until %s", end.UTC().Format(time.DateOnly))}
	if left < soon {
		f.Level, f.Remedy = Warning, "renew it, and see why it did not renew itself"
		f.Message = fmt.Sprintf("the certificate ends on %s, in %d days", end.UTC().Format(time.DateOnly), int(left/(24*time.Hour)))
	}
	return f
}
