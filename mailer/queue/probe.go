package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"strings"
	"time"
)

// Probe is what a relay said in a conversation that sent no mail.
type Probe struct {
	At       netip.Addr           // where it was reached
	TLS      *tls.ConnectionState // nil: the connection is not encrypted
	LoggedIn bool
	Offers   map[string]string // of PIPELINING, SMTPUTF8, 8BITMIME, SIZE and AUTH those it offers, with their parameters
	Refused  map[string]string // by sender: what it answered to MAIL FROM; those that it took are not in it
	Later    map[string]bool   // of Refused: with a 4xx
}

// Probe connects as for sending, logs in, offers a message from each sender and takes each back with
// RSET before any recipient is named. The error says what is wrong and what to do, without credentials.
func (r *Relay) Probe(ctx context.Context, limit time.Duration, senders []string) (*Probe, error) {
	o := Options{DialTimeout: limit, CommandTimeout: limit}.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := r.dial(ctx, ctx, &o)
	if err != nil {
		if late := ctx.Err(); late != nil {
			err = late
		}
		told, _, _ := strings.Cut(r.remedy(err), ". Nothing is lost")
		return nil, errors.New(told)
	}
	defer c.close()
	p := &Probe{LoggedIn: r.user != "", Offers: map[string]string{}, Refused: map[string]string{}, Later: map[string]bool{}}
	if at, err := netip.ParseAddrPort(c.raw.RemoteAddr().String()); err == nil {
		p.At = at.Addr().Unmap()
	}
	if state, err := c.smtp.GetTLSConnectionState(); err == nil {
		p.TLS = state
	} else if raw, is := c.raw.(*tls.Conn); is {
		state := raw.ConnectionState()
		p.TLS = &state
	}
	for _, name := range []string{"PIPELINING", "SMTPUTF8", "8BITMIME", "SIZE", "AUTH"} {
		if offered, parameters := c.smtp.Extension(name); offered {
			p.Offers[name] = parameters
		}
	}
	for _, from := range senders {
		if strings.ContainsAny(from, "\r\n<> ") || !ascii(from) {
			continue
		}
		err := c.command(250, "MAIL FROM:<"+from+">")
		var reply *textproto.Error
		switch {
		case errors.As(err, &reply):
			p.Refused[from] = fmt.Sprintf("%d %s", reply.Code, scrub(reply.Msg, from))
			p.Later[from] = reply.Code/100 == 4
		case err != nil:
			return p, fmt.Errorf("relay %s closes the connection at MAIL FROM, or does not answer it in time", r)
		}
		if err := c.command(250, "RSET"); err != nil {
			return p, fmt.Errorf("relay %s does not answer RSET as it should", r)
		}
	}
	return p, nil
}
