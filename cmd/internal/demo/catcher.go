package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"beckon/schema/id"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// Catcher is an SMTP server that keeps what it accepts and delivers nothing.
type Catcher struct {
	Now func() time.Time

	mu      sync.Mutex
	caught  []*Caught
	room    int           // how many more are accepted before the next has to wait; negative: any number
	release chan struct{} // closed when those who wait may go on
	server  *smtp.Server
	addr    string
}

// Caught is one accepted message.
type Caught struct {
	N       int // place in the order of acceptance, from 0
	At      time.Time
	From    string // envelope sender
	To      string // envelope recipient
	Subject string
	Header  mail.Header
	HTML    string
	Text    string
	Raw     []byte
}

// Campaign returns the campaign of the Feedback-ID header; empty for mail that belongs to none.
func (c *Caught) Campaign() string {
	first, _, _ := strings.Cut(c.Header.Get("Feedback-ID"), ":")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return ""
	}
	return id.Campaign(n).String()
}

// ListenCatcher starts a catcher on the address, such as 127.0.0.1:0.
func ListenCatcher(addr string, now func() time.Time) (*Catcher, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("demo: mail catcher: %w", err)
	}
	c := &Catcher{Now: now, room: -1, release: make(chan struct{}), addr: l.Addr().String()}
	c.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{catcher: c}, nil }))
	c.server.Domain = "catcher.example"
	c.server.MaxMessageBytes = 8 << 20
	c.server.EnableSMTPUTF8 = true
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}

// Addr returns host:port.
func (c *Catcher) Addr() string { return c.addr }

// Close stops the server; what was caught stays.
func (c *Catcher) Close() error { return c.server.Close() }

// All returns what was caught so far, in the order of acceptance.
func (c *Catcher) All() []*Caught {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caught[:len(c.caught):len(c.caught)]
}

// Hold makes the catcher accept n more messages and let the next ones wait, as a slow relay does,
// until Release.
func (c *Catcher) Hold(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room = n
}

// Release ends Hold.
func (c *Catcher) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room = -1
	close(c.release)
	c.release = make(chan struct{})
}

// admit waits while the catcher holds.
func (c *Catcher) admit() {
	for {
		c.mu.Lock()
		wait := c.release
		if c.room != 0 {
			c.room = max(c.room-1, -1)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		<-wait
	}
}

func (c *Catcher) keep(m *Caught) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.N, m.At = len(c.caught), c.Now()
	c.caught = append(c.caught, m)
}

type session struct {
	catcher *Catcher
	from    string
	to      []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = append(s.to, to); return nil }
func (s *session) Reset()                                      { s.from, s.to = "", nil }
func (s *session) Logout() error                               { return nil }

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.catcher.admit()
	for _, to := range s.to {
		m, err := read(raw)
		if err != nil {
			return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "damaged message"}
		}
		m.From, m.To = s.from, to
		s.catcher.keep(m)
	}
	return nil
}

func read(raw []byte) (*Caught, error) {
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("demo: read message: %w", err)
	}
	m := &Caught{Raw: raw, Header: r.Header}
	if m.Subject, err = r.Header.Subject(); err != nil {
		return nil, fmt.Errorf("demo: read subject: %w", err)
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, fmt.Errorf("demo: read part: %w", err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return nil, fmt.Errorf("demo: read part: %w", err)
		}
		kind, _, _ := part.Header.(*mail.InlineHeader).ContentType()
		switch kind {
		case "text/html":
			m.HTML = string(body)
		case "text/plain":
			m.Text = string(body)
		}
	}
}

// Head returns the header as it was received.
func (c *Caught) Head() string {
	head, _, _ := bytes.Cut(c.Raw, []byte("\r\n\r\n"))
	return strings.ReplaceAll(string(head), "\r\n", "\n")
}
