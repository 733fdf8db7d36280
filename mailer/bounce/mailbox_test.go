package bounce

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema/servertest"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// post is an IMAP server with one user's mailbox.
type post struct {
	t    *testing.T
	user *imapmemserver.User
	addr string
	tls  *tls.Config // of a client that trusts it
}

func newPost(t *testing.T, move bool) *post {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, self, self, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	p := &post{t: t, user: imapmemserver.NewUser("returns", "p@ss word"), tls: &tls.Config{RootCAs: roots}}
	if err := p.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	mem := imapmemserver.New()
	mem.AddUser(p.user)
	caps := imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}}
	if move {
		caps[imap.CapMove] = struct{}{}
	}
	s := imapserver.New(&imapserver.Options{Caps: caps, Logger: log.New(io.Discard, "", 0), InsecureAuth: true,
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		}})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return p
}

// lay puts a message into the mailbox.
func (p *post) lay(raw string) {
	p.t.Helper()
	if _, err := p.user.Append("INBOX", literal{strings.NewReader(raw), int64(len(raw))}, &imap.AppendOptions{Time: time.Now()}); err != nil {
		p.t.Fatal(err)
	}
}

type literal struct {
	io.Reader
	size int64
}

func (l literal) Size() int64 { return l.size }

// holds counts the messages of a folder, and the unseen ones.
func (p *post) holds(folder string) (all, unseen int) {
	p.t.Helper()
	s, err := p.user.Status(folder, &imap.StatusOptions{NumMessages: true, NumUnseen: true})
	if err != nil {
		return 0, 0
	}
	return int(*s.NumMessages), int(*s.NumUnseen)
}

func (p *post) want(when string, inbox, unseen, handled int) {
	p.t.Helper()
	all, new := p.holds("INBOX")
	away, _ := p.holds(handledFolder)
	if all != inbox || new != unseen || away != handled {
		p.t.Errorf("%s: %d in the inbox, %d of them unseen, %d put away; want %d, %d, %d", when, all, new, away, inbox, unseen, handled)
	}
}

func (p *post) open(in *Intake) *Mailbox {
	p.t.Helper()
	m, err := OpenMailbox((&url.URL{Scheme: "imaps", User: url.UserPassword("returns", "p@ss word"), Host: p.addr, Path: "/INBOX"}).String(), in)
	if err != nil {
		p.t.Fatal(err)
	}
	m.tls = p.tls
	return m
}

func TestReportsAreTakenFromAMailbox(t *testing.T) {
	for name, move := range map[string]bool{"the server can move": true, "the server cannot move": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servertest.SQLite(t))
			_, sent := w.crowd(4)
			p := newPost(t, move)
			p.lay("X-Original-To: " + w.paths.Make(sent[0]) + "\r\n" + hardDSN("1"))
			p.lay(hardDSN("2")) // proves nothing
			p.lay(person("A question", "When is the fair?"))
			p.lay("Delivered-To: " + w.paths.Make(sent[1]) + "\r\n" + person("Re: May", "unsubscribe"))
			p.lay(hardDSN("3") + strings.Repeat("x", MaxSize))
			p.lay("Delivered-To: " + w.paths.Make(sent[2]) + "\r\n" + arf("abuse", ""))
			m := p.open(w.in)
			w.ok(m.look(t.Context()))
			if w.message(sent[0]).Status != queue.Failed || w.number(`SELECT count(*) FROM returns`) != 3 || len(w.asked) != 1 {
				t.Errorf("%d returns, asked %+v", w.number(`SELECT count(*) FROM returns`), w.asked)
			}
			// The two letters from people stay for people; what is too large is left, and not looked at again.
			if move {
				p.want("after a look", 3, 2, 3)
			} else {
				p.want("after a look", 6, 2, 0)
			}
			counts := len(w.counts)
			w.ok(m.look(t.Context()))
			w.ok(p.open(w.in).look(t.Context())) // another process
			if n := w.number(`SELECT count(*) FROM returns`); n != 3 || len(w.asked) != 1 || len(w.counts) != counts {
				t.Errorf("looked at again: %d returns, asked %+v", n, w.asked)
			}
			p.lay("Delivered-To: " + w.paths.Make(sent[3]) + "\r\n" + hardDSN("4"))
			w.ok(m.look(t.Context()))
			if w.message(sent[3]).Status != queue.Failed {
				t.Error("what came later is not taken")
			}
		})
	}
}

func TestAReportStaysInTheMailboxUntilTheDatabaseTookIt(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, sent := w.crowd(2)
	p := newPost(t, true)
	w.down = true
	p.lay("Delivered-To: " + w.paths.Make(sent[0]) + "\r\n" + person("Re: May", "unsubscribe"))
	p.lay("Delivered-To: " + w.paths.Make(sent[1]) + "\r\n" + hardDSN("1"))
	m := p.open(w.in)
	if err := m.look(t.Context()); err == nil {
		t.Error("nothing failed")
	}
	p.want("while it is down", 2, 2, 0)
	w.down = false
	w.ok(m.look(t.Context()))
	p.want("afterwards", 1, 1, 1)
	if len(w.asked) != 1 || w.message(sent[1]).Status != queue.Failed {
		t.Errorf("asked %+v", w.asked)
	}
}

func TestAMailboxIsLookedIntoUntilTheEnd(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, sent := w.crowd(1)
	p := newPost(t, true)
	m := p.open(w.in)
	m.every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	p.lay("Delivered-To: " + w.paths.Make(sent[0]) + "\r\n" + hardDSN("1"))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); w.message(sent[0]).Status != queue.Failed; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the report was not taken")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAMailboxThatCannotBeOpenedSaysWhy(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	p := newPost(t, true)
	for _, c := range []struct {
		change func(*Mailbox)
		says   string
	}{
		{func(m *Mailbox) { m.password = "wrong" }, "does not take user and password"},
		{func(m *Mailbox) { m.folder = "Nowhere" }, "open folder Nowhere"},
		{func(m *Mailbox) { m.tls = nil }, "certificate"},
		{func(m *Mailbox) { m.address = "127.0.0.1:1" }, "reach 127.0.0.1:1"},
	} {
		m := p.open(w.in)
		c.change(m)
		if err := m.look(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "p@ss") {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	for _, address := range []string{"imap://u:secret@mail.example/INBOX", "imaps://mail.example/INBOX", "imaps://u@mail.example", "https://u:secret@mail.example", "imaps://u:se%cret@mail.example", "mail.example"} {
		if _, err := OpenMailbox(address, w.in); err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if m, err := OpenMailbox("imaps://u%40acme.example:pa%2Fss@mail.example", w.in); err != nil || m.user != "u@acme.example" || m.password != "pa/ss" || m.address != "mail.example:993" || m.folder != "INBOX" {
		t.Errorf("%+v, %v", m, err)
	}
}
