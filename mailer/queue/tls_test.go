package queue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	mail "github.com/wneessen/go-mail"
)

// guarded is a relay that takes mail from ann with her password alone.
type guarded struct{ taken atomic.Int32 }

func (g *guarded) NewSession(*smtp.Conn) (smtp.Session, error) { return &guardedSession{relay: g}, nil }

type guardedSession struct {
	relay *guarded
	known bool
}

func (s *guardedSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *guardedSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "s3cret,@" {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}
func (s *guardedSession) Mail(string, *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	return nil
}
func (s *guardedSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *guardedSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.relay.taken.Add(1)
	return err
}
func (s *guardedSession) Reset()        {}
func (s *guardedSession) Logout() error { return nil }

func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestRelaysBehindTLSAndPassword(t *testing.T) {
	good, roots := certificate(t, "localhost")
	foreign, foreignRoots := certificate(t, "elsewhere.example")
	const ann = "ann:s3cret%2C%40@"
	for _, c := range []struct {
		name, login, mode string
		serve             string // starttls, implicit or none
		cert              tls.Certificate
		roots             *x509.CertPool
		fails             string // part of the remedy
	}{
		{"STARTTLS", ann, TLSStart, TLSStart, good, roots, ""},
		{"TLS from the start", ann, TLSImplicit, TLSImplicit, good, roots, ""},
		{"no TLS, as the operator wrote", ann, TLSNone, TLSNone, good, roots, ""},
		{"a relay without STARTTLS gets no password", ann, TLSStart, TLSNone, good, roots, "offers no STARTTLS"},
		{"a certificate of another name", ann, TLSStart, TLSStart, foreign, foreignRoots, "certificate"},
		{"a certificate nobody vouches for", ann, TLSImplicit, TLSImplicit, good, foreignRoots, "certificate"},
		{"a wrong password", "ann:wrong@", TLSStart, TLSStart, good, roots, "user name or password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			relay := &guarded{}
			server := smtp.NewServer(relay)
			server.Domain, server.AllowInsecureAuth = "localhost", true
			server.ErrorLog = quiet{}
			config := &tls.Config{Certificates: []tls.Certificate{c.cert}}
			switch c.serve {
			case TLSStart:
				server.TLSConfig = config
			case TLSImplicit:
				l = tls.NewListener(l, config)
			}
			go server.Serve(l)
			defer server.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			relays, err := ParseRelays(fmt.Sprintf("smtp://%slocalhost:%s?tls=%s", c.login, port, c.mode))
			if err != nil {
				t.Fatal(err)
			}
			relays[0].roots = c.roots
			err = Deliver(t.Context(), relays, Options{DialTimeout: 2 * time.Second}, "a@acme.example", "b@example.org", []byte("Subject: x\r\n\r\nx\r\n"))
			switch {
			case c.fails == "" && (err != nil || relay.taken.Load() != 1):
				t.Errorf("taken %d times, %v", relay.taken.Load(), err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || relay.taken.Load() != 0):
				t.Errorf("the error is %v, want %q in it; taken %d times", err, c.fails, relay.taken.Load())
			case err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "wrong")):
				t.Errorf("the error tells the password: %v", err)
			}
			single, err := relays[0].Client() // go-mail's own, for single letters
			if err != nil {
				t.Fatal(err)
			}
			m := mail.NewMsg()
			if err := errors.Join(m.From("a@acme.example"), m.To("b@example.org")); err != nil {
				t.Fatal(err)
			}
			m.SetBodyString(mail.TypeTextPlain, "x")
			if err := single.DialAndSendWithContext(t.Context(), m); (err == nil) != (c.fails == "") {
				t.Errorf("a single letter: %v", err)
			}
		})
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func TestACutConnectionEndsAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.WriteString(c, "220 mute\r\n")
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	relays, err := ParseRelays("smtp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cut, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	o := Options{}.withDefaults()
	start := time.Now()
	if _, err := relays[0].dial(t.Context(), cut, &o); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}
