package queue

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

func TestAProbeSendsNothingAndTellsWhatItSaw(t *testing.T) {
	good, roots := certificate(t, "localhost")
	_, foreignRoots := certificate(t, "localhost")
	for _, c := range []struct {
		name, login, mode, serve string
		trusts                   bool
		fails                    string
	}{
		{"STARTTLS", "ann:s3cret%2C%40@", TLSStart, TLSStart, true, ""},
		{"TLS from the start", "ann:s3cret%2C%40@", TLSImplicit, TLSImplicit, true, ""},
		{"a certificate nobody vouches for", "ann:s3cret%2C%40@", TLSStart, TLSStart, false, "certificate"},
		{"no STARTTLS", "ann:s3cret%2C%40@", TLSStart, TLSNone, true, "STARTTLS"},
		{"a wrong password", "ann:wrong@", TLSImplicit, TLSImplicit, true, "user name or password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			relay := &guarded{}
			server := smtp.NewServer(relay)
			server.Domain, server.AllowInsecureAuth, server.ErrorLog = "localhost", true, quiet{}
			config := &tls.Config{Certificates: []tls.Certificate{good}}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			switch c.serve {
			case TLSStart:
				server.TLSConfig = config
			case TLSImplicit:
				l = tls.NewListener(l, config)
			}
			go server.Serve(l)
			defer server.Close()
			relays, err := ParseRelays(fmt.Sprintf("smtp://%slocalhost:%s?tls=%s", c.login, port, c.mode))
			if err != nil {
				t.Fatal(err)
			}
			relays[0].roots = roots
			if !c.trusts {
				relays[0].roots = foreignRoots
			}
			p, err := relays[0].Probe(t.Context(), 5*time.Second, []string{"postmaster@acme.example", "no\r\nway@acme.example"})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "Nothing is lost") {
					t.Errorf("the error is %v, want %q in it", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.TLS == nil || len(p.TLS.PeerCertificates) != 1 || !p.LoggedIn || !p.At.IsLoopback() || len(p.Refused) != 0 || relay.taken.Load() != 0 {
				t.Errorf("%+v, %d mails taken", p, relay.taken.Load())
			}
			if _, offered := p.Offers["PIPELINING"]; !offered {
				t.Errorf("offers %v", p.Offers)
			}
		})
	}
}
