package queue_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"beckon/mailer/queue"
)

// What a fake relay may do beside answering.
const (
	drop  = "drop"  // close the connection without an answer
	stall = "stall" // say nothing more
)

// fakeRelay speaks SMTP over real sockets and does at each step what its script says. What it took
// for good is in taken, whether or not it could say so.
type fakeRelay struct {
	t           testing.TB
	listener    net.Listener
	offers      []string
	certificate *tls.Certificate                    // nil: it cannot speak TLS
	script      func(step, recipient string) string // empty: the usual answer

	mu    sync.Mutex
	taken map[string]int
	mails [][]byte
	lines []string // MAIL commands
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newFakeRelay(t testing.TB, script func(step, recipient string) string) *fakeRelay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRelay{t: t, listener: l, script: script, taken: map[string]int{}, conns: map[net.Conn]bool{}, offers: []string{"PIPELINING", "8BITMIME"}}
	f.serve(l)
	t.Cleanup(f.close)
	return f
}

func (f *fakeRelay) serve(l net.Listener) {
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[c] = true
			f.mu.Unlock()
			f.wg.Go(func() {
				f.talk(c)
				c.Close()
				f.mu.Lock()
				delete(f.conns, c)
				f.mu.Unlock()
			})
		}
	})
}

func (f *fakeRelay) close() {
	f.listener.Close()
	f.hangUp()
	f.wg.Wait()
}

func (f *fakeRelay) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

func (f *fakeRelay) relays(t testing.TB, parameters string) []*queue.Relay {
	t.Helper()
	relays, err := queue.ParseRelays("smtp://" + f.listener.Addr().String() + parameters)
	if err != nil {
		t.Fatal(err)
	}
	return relays
}

func (f *fakeRelay) count(recipient string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken[recipient]
}

func (f *fakeRelay) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.taken {
		n += k
	}
	return n
}

func (f *fakeRelay) talk(c net.Conn) {
	in := bufio.NewReader(c)
	recipient := ""
	// say answers; false ends the conversation.
	say := func(step, usual string) (string, bool) {
		answer := usual
		if f.script != nil {
			if s := f.script(step, recipient); s != "" {
				answer = s
			}
		}
		switch answer {
		case drop:
			return "", false
		case stall:
			io.Copy(io.Discard, c)
			return "", false
		}
		_, err := io.WriteString(c, answer+"\r\n")
		return answer, err == nil && !strings.HasPrefix(answer, "421")
	}
	if _, ok := say("banner", "220 fake"); !ok {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		ok := true
		switch strings.ToUpper(verb) {
		case "EHLO":
			_, ok = say("ehlo", strings.Join(append([]string{"250-fake"}, prefix("250-", f.offers)...), "\r\n")+"\r\n250 OK")
		case "HELO":
			_, ok = say("ehlo", "250 fake")
		case "MAIL":
			f.mu.Lock()
			f.lines = append(f.lines, strings.TrimSpace(line))
			f.mu.Unlock()
			_, ok = say("mail", "250 2.1.0 ok")
		case "RCPT":
			recipient, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "RCPT TO:<"), ">")
			_, ok = say("rcpt", "250 2.1.5 ok")
		case "DATA":
			var answer string
			if answer, ok = say("data", "354 go on"); !ok || !strings.HasPrefix(answer, "354") {
				break
			}
			if f.script != nil && f.script("body", recipient) == drop {
				io.CopyN(io.Discard, in, 1024)
				return
			}
			body, err := io.ReadAll(textproto.NewReader(in).DotReader())
			if err != nil {
				return
			}
			if answer, said := f.verdict(recipient, say); strings.HasPrefix(answer, "250") {
				f.mu.Lock()
				f.taken[recipient]++
				f.mails = append(f.mails, body)
				f.mu.Unlock()
				ok = said
			} else {
				ok = said
			}
		case "QUIT":
			say("quit", "221 bye")
			return
		case "RSET":
			recipient = ""
			_, ok = say("rset", "250 2.0.0 ok")
		case "STARTTLS":
			var answer string
			if answer, ok = say("starttls", "220 go on"); ok && strings.HasPrefix(answer, "220") {
				if f.certificate == nil { // a liar: what follows is no TLS
					in.ReadByte()
					io.WriteString(c, "250 what?\r\n")
					io.Copy(io.Discard, c)
					return
				}
				c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*f.certificate}})
				in = bufio.NewReader(c)
			}
		case "AUTH":
			_, ok = say("auth", "235 2.7.0 welcome")
		default:
			_, ok = say("other", "250 ok")
		}
		if !ok {
			return
		}
	}
}

// verdict answers the dot. A message that is dropped or stalled on here was taken all the same.
func (f *fakeRelay) verdict(recipient string, say func(step, usual string) (string, bool)) (string, bool) {
	answer, ok := say("dot", "250 2.0.0 taken by "+recipient)
	if !ok && answer == "" {
		return "250", false
	}
	return answer, ok
}

func prefix(p string, list []string) []string {
	var all []string
	for _, s := range list {
		all = append(all, p+s)
	}
	return all
}

func address(i int) string { return fmt.Sprintf("r%05d@example.org", i) }
