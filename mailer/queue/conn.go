package queue

import (
	"bytes"
	"errors"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// conn is one open connection to a relay. It is used by one goroutine, and is of no use after broken.
type conn struct {
	smtp      *smtp.Client
	raw       net.Conn
	opt       *Options
	stop      func() bool // ends the watch on the context that cuts the connection
	pipelined bool
	eightBit  bool
	utf8      bool
	broken    bool
	used      time.Time // when the relay last answered
	messages  int       // transactions begun
	buf       []byte
}

// errStale says that a connection that was kept open turned out to be closed before anything of the
// message had been sent: the message may be tried on a new one at once.
var errStale = errors.New("queue: connection closed by the relay while idle")

// errLate says that the claim ran out before the message was sent.
var errLate = errors.New("queue: claim ran out")

// deliver takes one message through a transaction. intime is asked last before DATA. The error is
// errStale or errLate, or nil with the verdict.
func (c *conn) deliver(from, to string, msg []byte, intime func() bool) (verdict, error) {
	hide := []string{to, from}
	if strings.ContainsAny(to+from, "\r\n<>") {
		return verdict{status: Failed, reason: ReasonTemplate, reply: "the address cannot be written in an envelope"}, nil
	}
	unicode := !ascii(to) || !ascii(from)
	if unicode && !c.utf8 {
		return verdict{status: Failed, reason: ReasonSMTPUTF8, reply: "the relay does not offer SMTPUTF8 (RFC 6531)"}, nil
	}
	var err error
	if c.buf, err = dotted(c.buf[:0], msg); err != nil {
		return verdict{status: Failed, reason: ReasonTemplate, reply: err.Error()}, nil
	}
	c.messages++
	mailLine := "MAIL FROM:<" + from + ">"
	if c.eightBit {
		mailLine += " BODY=8BITMIME"
	}
	if unicode {
		mailLine += " SMTPUTF8"
	}
	at, err := c.envelope(mailLine, "RCPT TO:<"+to+">")
	if err != nil {
		if at == atMail && c.messages > 1 && closing(err) {
			c.abandon()
			return verdict{}, errStale
		}
		return c.end(at, err, hide), nil
	}
	if !intime() {
		c.reset()
		return verdict{}, errLate
	}
	if err := c.command(354, "DATA"); err != nil {
		return c.end(atData, err, hide), nil
	}
	return c.body(hide), nil
}

// envelope says who it is from and to; with pipelining (RFC 2920) in one round trip.
func (c *conn) envelope(mailLine, rcptLine string) (stage, error) {
	if !c.pipelined {
		if err := c.command(250, mailLine); err != nil {
			return atMail, err
		}
		return atRcpt, c.command(25, rcptLine)
	}
	c.deadline(c.opt.CommandTimeout)
	w := c.smtp.Text.W
	_, _ = w.WriteString(mailLine + "\r\n" + rcptLine + "\r\n") // the error stays with the writer, for Flush
	if err := w.Flush(); err != nil {
		return atMail, err
	}
	_, _, mailErr := c.smtp.Text.ReadResponse(250)
	if mailErr != nil && !isReply(mailErr) {
		return atMail, mailErr
	}
	_, _, rcptErr := c.smtp.Text.ReadResponse(25)
	if mailErr != nil {
		if rcptErr != nil && !isReply(rcptErr) {
			c.broken = true
		}
		return atMail, mailErr
	}
	return atRcpt, rcptErr
}

// body sends the message after DATA was accepted. Until the last write begins, nobody can have taken
// it; from then on only an answer tells.
func (c *conn) body(hide []string) verdict {
	c.deadline(c.opt.DataTimeout)
	w := c.smtp.Text.W
	head := max(0, len(c.buf)-w.Size()+16)
	_, _ = w.Write(c.buf[:head])
	if err := w.Flush(); err != nil {
		return c.end(atData, err, hide)
	}
	_, _ = w.Write(c.buf[head:]) // fits into the buffer, which is empty
	if err := w.Flush(); err != nil {
		return c.end(atDot, err, hide)
	}
	code, _, err := c.smtp.Text.ReadResponse(2)
	if err != nil {
		return c.end(atDot, err, hide)
	}
	c.used = time.Now()
	return verdict{status: Sent, code: code}
}

// end judges an error and leaves the connection ready for the next message, or closes it. It never
// goes on with a connection whose state is not known: the next command would end up in the message.
func (c *conn) end(at stage, err error, hide []string) verdict {
	v := judge(at, err, hide...)
	switch {
	case c.broken || !isReply(err) || closing(err):
		c.abandon()
	case at != atDot:
		c.reset()
	}
	return v
}

func (c *conn) command(expect int, line string) error {
	c.deadline(c.opt.CommandTimeout)
	w := c.smtp.Text.W
	_, _ = w.WriteString(line + "\r\n")
	if err := w.Flush(); err != nil {
		return err
	}
	_, _, err := c.smtp.Text.ReadResponse(expect)
	if err == nil {
		c.used = time.Now()
	}
	return err
}

func (c *conn) reset() {
	if c.command(250, "RSET") != nil {
		c.abandon()
	}
}

// alive asks the relay, if it has not been heard for a while.
func (c *conn) alive() bool {
	if c.broken {
		return false
	}
	if time.Since(c.used) < 5*time.Second {
		return true
	}
	if c.command(250, "NOOP") != nil {
		c.abandon()
	}
	return !c.broken
}

// abandon cuts the connection, without a QUIT that the relay might take for part of a message.
func (c *conn) abandon() {
	c.broken = true
	c.stop()
	c.raw.Close()
}

// close takes leave of the relay.
func (c *conn) close() {
	if !c.broken {
		c.deadline(2 * time.Second)
		w := c.smtp.Text.W
		_, _ = w.WriteString("QUIT\r\n")
		_ = w.Flush()
	}
	c.abandon()
}

func (c *conn) deadline(d time.Duration) { _ = c.smtp.UpdateDeadline(d) }

// dotted appends the message with its dots doubled (RFC 5321, 4.5.2) and the dot that ends it.
func dotted(dst, msg []byte) ([]byte, error) {
	for len(msg) > 0 {
		end := bytes.IndexByte(msg, '\n')
		line := msg
		if end >= 0 {
			line = msg[:end]
		}
		text := bytes.TrimSuffix(line, []byte{'\r'})
		if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, 0) >= 0 {
			return dst, errors.New("the message holds a bare CR or a NUL")
		}
		if len(text) > 998 {
			return dst, errors.New("the message holds a line of more than 998 bytes")
		}
		if len(text) > 0 && text[0] == '.' {
			dst = append(dst, '.')
		}
		dst = append(append(dst, text...), '\r', '\n')
		msg = msg[len(line):]
		if end >= 0 {
			msg = msg[1:]
		}
	}
	return append(dst, '.', '\r', '\n'), nil
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isReply reports whether the relay refused in the words of SMTP. Anything else, a yes at the wrong
// place included, means that the two sides no longer know where they are.
func isReply(err error) bool {
	var e *textproto.Error
	return errors.As(err, &e) && e.Code >= 400 && e.Code <= 599
}

// closing reports whether the connection is gone, the relay announced that it closes it, or the two
// sides do not agree on where they are.
func closing(err error) bool {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code == 421 || ofSession[e.Code]
	}
	return true
}
