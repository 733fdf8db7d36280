package bounce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"beckon/mailer/queue"
	"beckon/schema/servertest"

	"github.com/emersion/go-smtp"
)

// listen serves SMTP until the test ends.
func (w *world) listen() string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.in.ServeSMTP(ctx, l) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	return l.Addr().String()
}

// mail gives a message to an SMTP server as any other server would.
func mail(addr, from, to, raw string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.SendMail(from, []string{to}, strings.NewReader(raw))
}

func code(err error) string {
	var e *smtp.SMTPError
	if errors.As(err, &e) {
		return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	return fmt.Sprint(err)
}

func TestAReportIsTakenBySMTP(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, sent := w.crowd(3)
	addr := w.listen()
	send := func(from, to, raw string) error { return mail(addr, from, to, raw) }

	w.ok(send("", strings.ToUpper(w.paths.Make(sent[0])), hardDSN("1")))
	if l := w.message(sent[0]); l.Status != queue.Failed || l.Reason != queue.ReasonBounced {
		t.Errorf("after 250 the message is %s, %s", l.Status, l.Reason)
	}
	w.ok(send("feedback@provider.example", w.paths.Make(sent[1]), arf("abuse", "")))
	if n := w.number(`SELECT count(*) FROM returns WHERE class = 'complaint' AND message = ?`, sent[1]); n != 1 {
		t.Error("the complaint is not there")
	}
	for _, to := range []string{"news@acme.example", "jo@shop.example", "b@b.acme.example", NewPaths("b.acme.example", pathRing(t, pathKeyB)).Make(sent[2]), "postmaster@b.acme.example"} {
		if err := send("", to, hardDSN("2")); code(err) != "550 5.1.1" {
			t.Errorf("mail to %s: %v", to, err)
		}
	}
	if err := send("", w.paths.Make(sent[2]), hardDSN("3")+strings.Repeat(strings.Repeat("x", 998)+"\r\n", MaxSize/1000+1)); !strings.HasPrefix(code(err), "552 ") {
		t.Errorf("a message of %d bytes: %v", MaxSize, err)
	}
	if l := w.message(sent[2]); l.Status != queue.Sent {
		t.Errorf("the message is %s", l.Status)
	}
	if w.counts["unproven by smtp"] != 5 {
		t.Errorf("counted %v", w.counts)
	}
}

func TestWithoutADatabaseAReportIsAwaitedAgain(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, sent := w.crowd(1)
	addr := w.listen()
	w.down = true
	send := func() error {
		return mail(addr, "jo@shop.example", w.paths.Make(sent[0]), person("Re: May", "unsubscribe"))
	}
	if err := send(); code(err) != "451 4.3.0" || w.number(`SELECT count(*) FROM returns`) != 0 {
		t.Errorf("%v", err)
	}
	w.down = false
	w.ok(send())
	if len(w.asked) != 1 {
		t.Errorf("asked %+v", w.asked)
	}
}
