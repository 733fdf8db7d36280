package queue

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// How a connection to a relay is protected.
const (
	TLSNone     = "none"
	TLSStart    = "starttls" // STARTTLS is required, and the certificate is checked
	TLSImplicit = "implicit" // TLS from the first byte, as on port 465
)

// Relay is an SMTP server that takes our mail.
type Relay struct {
	Host        string
	Port        int
	TLS         string
	Connections int     // zero: Options.Connections
	Rate        float64 // messages per second; zero: no limit
	Weight      int     // its share beside that of others; zero: none stated, which counts as 1
	Standby     bool    // used only while every relay that is no standby is out of use
	Hello       string  // name given in EHLO; empty: this machine's
	user        string
	password    string
	roots       *x509.CertPool // nil: the system's
}

// String is the relay's address, without its credentials.
func (r *Relay) String() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// Loopback reports whether the relay is on this machine.
func (r *Relay) Loopback() bool {
	if r.Host == "localhost" || strings.HasSuffix(r.Host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(r.Host)
	return err == nil && ip.IsLoopback()
}

// ErrRelay is wrapped when the address of a relay is not understood.
var ErrRelay = errors.New("relay address not understood")

// ParseRelays reads smtp://user:pass@host:port?tls=none|starttls|implicit, several separated by
// commas. Beside tls, a relay may state connections (kept open), rate (messages per second), weight
// (its share beside the others, 1 to 1000; 0: a standby) and helo (name given in EHLO). Unless tls is
// stated it is implicit on port 465, none on loopback, and starttls elsewhere. No error holds a user
// name or password.
func ParseRelays(s string) ([]*Relay, error) {
	var all []*Relay
	for i, one := range strings.Split(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		r, err := parseRelay(one)
		if err != nil {
			return nil, fmt.Errorf("queue: %w: relay %d %w", ErrRelay, i+1, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func parseRelay(s string) (*Relay, error) {
	u, err := url.Parse(s)
	if err != nil { // its text holds the password
		return nil, errors.New("is not an address: write smtp://user:pass@host:port, with special characters of the password percent-encoded")
	}
	r := &Relay{Host: u.Hostname(), user: u.User.Username()}
	r.password, _ = u.User.Password()
	switch u.Scheme {
	case "smtp":
		r.Port = 25
	case "smtps":
		r.Port, r.TLS = 465, TLSImplicit
	default:
		return nil, errors.New("does not start with smtp://: write smtp://host:port")
	}
	if r.Host == "" {
		return nil, errors.New("names no host: write smtp://host:port")
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" || u.Opaque != "" {
		return nil, errors.New("has a path, which means nothing here: write smtp://host:port?tls=…")
	}
	if p := u.Port(); p != "" {
		if r.Port, err = strconv.Atoi(p); err != nil || r.Port < 1 || r.Port > 65535 {
			return nil, errors.New("has a port that is not a number from 1 to 65535")
		}
	}
	if err := r.parameters(u.RawQuery); err != nil {
		return nil, err
	}
	switch {
	case r.TLS != "":
	case r.Port == 465:
		r.TLS = TLSImplicit
	case r.Loopback():
		r.TLS = TLSNone
	default:
		r.TLS = TLSStart
	}
	return r, nil
}

func (r *Relay) parameters(query string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("has parameters that cannot be read: write ?tls=starttls&connections=4")
	}
	for name, values := range q {
		v := values[len(values)-1]
		switch name {
		case "tls":
			if v != TLSNone && v != TLSStart && v != TLSImplicit {
				return errors.New("has an unknown tls: write none, starttls or implicit")
			}
			r.TLS = v
		case "connections":
			if r.Connections, err = strconv.Atoi(v); err != nil || r.Connections < 1 || r.Connections > 1000 {
				return errors.New("has connections that is not a number from 1 to 1000")
			}
		case "rate":
			if r.Rate, err = strconv.ParseFloat(v, 64); err != nil || !(r.Rate > 0 && r.Rate <= 1e6) {
				return errors.New("has a rate that is not a number of messages per second above 0")
			}
		case "weight":
			if r.Weight, err = strconv.Atoi(v); err != nil || r.Weight < 0 || r.Weight > 1000 {
				return errors.New("has a weight that is not a number from 1 to 1000, or 0 for one that only stands by")
			}
			r.Standby = r.Weight == 0
		case "helo":
			if v == "" || strings.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c > '~' }) {
				return errors.New("has a helo that is not a host name")
			}
			r.Hello = v
		default:
			return fmt.Errorf("has an unknown parameter %q: known are tls, connections, rate, weight and helo", name)
		}
	}
	return nil
}
