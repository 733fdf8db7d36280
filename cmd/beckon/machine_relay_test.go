package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// relay is an SMTP server that asks the test what to answer, so that the test is between any two
// messages of a campaign.
type relay struct {
	addr   string
	calls  chan call
	over   chan struct{}
	server *smtp.Server
}

// call is a recipient that the relay is offered, or their mail.
type call struct {
	to     string
	mail   *arrival // nil: the recipient is named, the mail is still to come
	answer chan error
}

// arrival is a mail as it arrived.
type arrival struct {
	to, campaign, html, text string
	hits                     []string // paths of beacon and tracked links, in order
	leave, choose            string   // paths of the pages
}

var errOver = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "closing"}

func listenRelay() (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{addr: l.Addr().String(), calls: make(chan call), over: make(chan struct{})}
	r.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{relay: r}, nil }))
	r.server.Domain = "relay.example"
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

func (r *relay) close() {
	close(r.over)
	_ = r.server.Close()
}

func (r *relay) ask(c call) error {
	c.answer = make(chan error, 1)
	select {
	case r.calls <- c:
	case <-r.over:
		return errOver
	}
	select {
	case err := <-c.answer:
		return err
	case <-r.over:
		return errOver
	}
}

// delivery is one SMTP session.
type delivery struct {
	relay *relay
	to    string
}

func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (d *delivery) Reset()                               { d.to = "" }
func (d *delivery) Logout() error                        { return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	return d.relay.ask(call{to: to})
}

func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := readArrival(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "damaged message"}
	}
	m.to = d.to
	return d.relay.ask(call{to: d.to, mail: m})
}

var (
	hitPath    = regexp.MustCompile(`/[oc]/[A-Za-z0-9_.-]+`)
	leavePath  = regexp.MustCompile(`/u/[A-Za-z0-9_.-]+`)
	choosePath = regexp.MustCompile(`/p/[A-Za-z0-9_.-]+`)
)

func readArrival(raw []byte) (*arrival, error) {
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	m := &arrival{}
	m.campaign, _, _ = strings.Cut(r.Header.Get("Feedback-ID"), ":")
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return nil, err
		}
		head, inline := part.Header.(*mail.InlineHeader)
		if !inline {
			return nil, errors.New("an attachment")
		}
		if kind, _, _ := head.ContentType(); kind == "text/html" {
			m.html = string(body)
		} else {
			m.text = string(body)
		}
	}
	m.hits = hitPath.FindAllString(m.html, -1)
	m.leave, m.choose = leavePath.FindString(m.html), choosePath.FindString(m.html)
	return m, nil
}
