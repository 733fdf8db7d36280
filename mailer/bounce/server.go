package bounce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"
)

// Bounds of the SMTP server: what a stranger may cost.
const (
	smtpConnections = 20 // at once, each with a message of up to MaxSize in memory
	smtpRecipients  = 16
	smtpSession     = 10 * time.Minute
	smtpIdle        = time.Minute
)

// ServeSMTP takes mail at l until ctx ends, then lets what is under way come to its end for a moment.
//
// It is no relay: a recipient that is not a return path of ours is refused with 550 5.1.1 before
// anything is read. 250 is answered when what follows from the message is committed; 451 when the
// database did not take it, so that the other side tries again.
func (in *Intake) ServeSMTP(ctx context.Context, l net.Listener) error {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{in: in, ctx: ctx}, nil }))
	s.Domain = in.o.Paths.Domain()
	s.MaxMessageBytes = MaxSize
	s.MaxRecipients = smtpRecipients
	s.ReadTimeout, s.WriteTimeout = smtpIdle, smtpIdle
	s.ErrorLog = log.New(io.Discard, "", 0) // it would log addresses
	over := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	defer over()
	err := s.Serve(netutil.LimitListener(timed{l}, smtpConnections))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("bounce: serve SMTP: %w", err)
}

// timed closes connections that take too long, whatever they do.
type timed struct{ net.Listener }

func (t timed) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(smtpSession, func() { c.Close() })
	return timedConn{c, timer}, nil
}

type timedConn struct {
	net.Conn
	timer *time.Timer
}

func (c timedConn) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}

// session is one sender's connection.
type session struct {
	in  *Intake
	ctx context.Context
	to  []string
}

var (
	errNoSuchPath = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}
	errNotTaken   = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Try again later"}
)

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Reset()                               { s.to = nil }
func (s *session) Logout() error                        { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if _, ok := s.in.o.Paths.Open(to); !ok {
		s.in.o.Count(Unproven, BySMTP)
		return errNoSuchPath
	}
	if !slices.Contains(s.to, to) {
		s.to = append(s.to, to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		var told *smtp.SMTPError
		if errors.As(err, &told) {
			return told
		}
		return errNotTaken
	}
	// What has come whole is taken, even if the service is about to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 30*time.Second)
	defer cancel()
	if err := s.in.Letter(ctx, BySMTP, s.to, raw); err != nil {
		s.in.o.Log.Error("bounce: a report was not taken, and is awaited again", "err", err.Error())
		return errNotTaken
	}
	return nil
}
