package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	mail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// dial opens a connection that is ready for a message. ctx bounds the attempt; cut ends the
// connection whenever it is done.
func (r *Relay) dial(ctx, cut context.Context, o *Options) (*conn, error) {
	c := &conn{opt: o, stop: func() bool { return true }}
	opts := []mail.Option{
		mail.WithPort(r.Port), mail.WithTimeout(o.DialTimeout), mail.WithSMTPAuth(mail.SMTPAuthNoAuth), mail.WithTLSPolicy(mail.NoTLS),
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := r.connect(ctx, network, address)
			if err == nil {
				c.raw, c.stop = raw, context.AfterFunc(cut, func() { raw.Close() })
			}
			return raw, err
		}),
	}
	if r.Hello != "" {
		opts = append(opts, mail.WithHELO(r.Hello))
	}
	client, err := mail.NewClient(r.Host, opts...)
	if err != nil {
		return nil, err
	}
	if c.smtp, err = r.handshake(ctx, client); err != nil {
		if c.raw != nil { // go-mail leaves it open
			c.abandon()
		}
		return nil, err
	}
	c.pipelined, _ = c.smtp.Extension("PIPELINING")
	c.eightBit, _ = c.smtp.Extension("8BITMIME")
	c.utf8, _ = c.smtp.Extension("SMTPUTF8")
	c.used = time.Now()
	return c, nil
}

func (r *Relay) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if r.TLS == TLSImplicit {
		return (&tls.Dialer{Config: r.tlsConfig()}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (r *Relay) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: r.Host, MinVersion: tls.VersionTLS12, RootCAs: r.roots}
}

func (r *Relay) handshake(ctx context.Context, client *mail.Client) (*smtp.Client, error) {
	s, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, err
	}
	if r.TLS == TLSStart {
		if offered, _ := s.Extension("STARTTLS"); !offered {
			return nil, errNoStartTLS
		}
		if err := s.StartTLS(r.tlsConfig()); err != nil {
			return nil, err
		}
	}
	if r.user == "" {
		return s, nil
	}
	if err := s.Auth(r.auth(s)); err != nil {
		return nil, &authError{err}
	}
	return s, nil
}

// Client returns a go-mail client for single letters outside of any queue. It sends with the relay's
// TLS setting and password.
func (r *Relay) Client() (*mail.Client, error) {
	opts := []mail.Option{mail.WithPort(r.Port), mail.WithTimeout(30 * time.Second), mail.WithTLSConfig(r.tlsConfig())}
	switch r.TLS {
	case TLSNone:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	case TLSStart:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLSImplicit:
		opts = append(opts, mail.WithSSL())
	}
	if r.user != "" {
		how := mail.SMTPAuthAutoDiscover
		if r.TLS == TLSNone {
			how = mail.SMTPAuthPlainNoEnc
		}
		opts = append(opts, mail.WithSMTPAuth(how), mail.WithUsername(r.user), mail.WithPassword(r.password))
	}
	if r.Hello != "" {
		opts = append(opts, mail.WithHELO(r.Hello))
	}
	c, err := mail.NewClient(r.Host, opts...)
	if err != nil {
		return nil, fmt.Errorf("queue: relay %s: %w", r, err)
	}
	return c, nil
}

func (r *Relay) auth(s *smtp.Client) smtp.Auth {
	// A password goes over a plain connection only where the operator wrote tls=none, or on loopback.
	plain := r.TLS == TLSNone
	_, offered := s.Extension("AUTH")
	mechanisms := " " + offered + " "
	switch {
	case strings.Contains(mechanisms, " PLAIN "):
		return smtp.PlainAuth("", r.user, r.password, r.Host, plain)
	case strings.Contains(mechanisms, " LOGIN "):
		return smtp.LoginAuth(r.user, r.password, r.Host, plain)
	case strings.Contains(mechanisms, " CRAM-MD5 "):
		return smtp.CRAMMD5Auth(r.user, r.password)
	}
	return smtp.PlainAuth("", r.user, r.password, r.Host, plain)
}

type authError struct{ err error }

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

var errNoStartTLS = errors.New("queue: the relay offers no STARTTLS")

// remedy says in words for the operator why a relay cannot be used, and what to do.
func (r *Relay) remedy(err error) string {
	var (
		auth    *authError
		reply   *textproto.Error
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		network net.Error
	)
	what := "cannot be used: " + scrub(err.Error())
	switch {
	case errors.As(err, &auth) && errors.As(err, &reply) && reply.Code >= 500:
		what = "refuses the user name or password: " + scrub(auth.Error()) + ". Correct them in BECKON_SMTP"
	case errors.As(err, &cert):
		what = "shows a certificate that does not fit its name. Name the relay as its certificate does, or write ?tls=none on a network you trust"
	case errors.Is(err, errNoStartTLS):
		what = "offers no STARTTLS. Write ?tls=implicit if it speaks TLS from the start, or ?tls=none on a network you trust"
	case errors.As(err, &reply):
		what = fmt.Sprintf("answers %d %s", reply.Code, scrub(reply.Msg))
	case errors.As(err, &dns):
		what = "has a name that is not found. Correct it in BECKON_SMTP"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		what = "does not answer in time. Check that it runs, that the port is right, and that no firewall is in between"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		what = "closes the connection before it is ready. Check that the port and the tls setting are right"
	default:
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			what = "cannot be reached (" + scrub(op.Err.Error()) + "). Check that it runs and that BECKON_SMTP names the right host and port"
		}
	}
	return "relay " + r.String() + " " + what + ". Nothing is lost: sending goes on by itself as soon as the relay works"
}
