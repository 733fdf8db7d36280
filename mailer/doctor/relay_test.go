package doctor_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/mailer/doctor"
)

// scripted speaks SMTP over a real socket: EHLO offers what it is told to, and other commands are answered from
// a table by their first words. It writes down what it is asked.
type scripted struct {
	address string
	mu      sync.Mutex
	asked   []string
}

func newScripted(t *testing.T, offers []string, answers map[string]string) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{address: l.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s.talk(c, offers, answers)
			})
		}
	})
	return s
}

func (s *scripted) talk(c net.Conn, offers []string, answers map[string]string) {
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	switch banner := answers["banner"]; banner {
	case "":
		say("220 scripted")
	case "silence":
		_, _ = io.Copy(io.Discard, c)
		return
	default:
		say(banner)
	}
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		s.mu.Lock()
		s.asked = append(s.asked, line)
		s.mu.Unlock()
		answer := "250 ok"
		for begins, a := range answers {
			if strings.HasPrefix(line, begins) {
				answer = a
			}
		}
		switch {
		case answer == "drop":
			return
		case strings.HasPrefix(line, "EHLO"):
			say("250-scripted")
			for _, o := range offers {
				say("250-" + o)
			}
			say("250 HELP")
		case strings.HasPrefix(line, "QUIT"):
			say("221 bye")
			return
		default:
			say(answer)
		}
	}
}

func TestAConversationWithARelay(t *testing.T) {
	all := []string{"PIPELINING", "SMTPUTF8", "8BITMIME", "SIZE 10485760", "AUTH PLAIN"}
	for _, c := range []struct {
		name    string
		offers  []string
		answers map[string]string
		login   string
		check   string
		level   doctor.Level
		says    string
	}{
		{"one that is as it should be", all, nil, "", "sender", doctor.OK, "2 of 2"},
		{"what it offers", all, nil, "", "size", doctor.OK, "10 MB"},
		{"a password it takes", all, map[string]string{"AUTH": "235 welcome"}, "ann:s3cret@", "login", doctor.OK, "accepted"},
		{"a password it refuses", all, map[string]string{"AUTH": "535 5.7.8 no"}, "ann:s3cret@", "connection", doctor.Problem, "user name or password"},
		{"no pipelining", all[1:], nil, "", "pipelining", doctor.Warning, "round trip"},
		{"no SMTPUTF8", all[:1], nil, "", "smtputf8", doctor.OK, "not offered"},
		{"a small limit", []string{"SIZE 102400"}, nil, "", "size", doctor.Warning, "100 kB"},
		{"a sender that it refuses", all, map[string]string{"MAIL FROM:<postmaster@acme.example>": "550 5.7.1 postmaster@acme.example not allowed"}, "", "sender", doctor.Problem, "acme.example: 550 5.7.1"},
		{"and takes the other", all, map[string]string{"MAIL FROM:<postmaster@acme.example>": "550 5.7.1 no"}, "", "sender", doctor.OK, "1 of 2"},
		{"a sender that it puts off", all, map[string]string{"MAIL FROM:<postmaster@acme.example>": "451 4.7.1 greylisted"}, "", "sender", doctor.Warning, "451 4.7.1"},
		{"one that hangs up at MAIL FROM", all, map[string]string{"MAIL": "drop"}, "", "connection", doctor.Problem, "closes the connection"},
		{"one that is full", all, map[string]string{"banner": "421 too many"}, "", "connection", doctor.Problem, "421"},
		{"one that says nothing", all, map[string]string{"banner": "silence"}, "", "connection", doctor.Problem, "in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScripted(t, c.offers, c.answers)
			in := doctor.Installation{Resolver: nameServer(t, zone{}), Relays: relays(t, "smtp://"+c.login+s.address), Now: now, Question: 100 * time.Millisecond}
			checks := in.Checks([]string{"acme.example", "other.example"})[:1]
			start := time.Now()
			got := doctor.Examine(t.Context(), 2*time.Second, checks)
			if !finds(got, c.check, c.level, c.says) {
				t.Errorf("want %s %s with %q, got:\n%s", c.check, c.level, c.says, show(got))
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if strings.Contains(show(got), "s3cret") || strings.Contains(show(got), "postmaster@") {
				t.Errorf("a finding tells too much:\n%s", show(got))
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for i, line := range s.asked {
				verb, _, _ := strings.Cut(line, " ")
				switch verb {
				case "EHLO", "AUTH", "*", "QUIT", "RSET":
				case "MAIL":
					if i+1 < len(s.asked) && s.asked[i+1] != "RSET" {
						t.Errorf("after MAIL FROM came %q", s.asked[i+1])
					}
				default:
					t.Errorf("the relay was asked %q", line)
				}
			}
		})
	}
}

func TestARelayThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, c := range []struct{ url, says string }{
		{"smtp://" + address, "cannot be reached"},
		{"smtp://relay.invalid:25?tls=none", "not found"},
	} {
		in := doctor.Installation{Resolver: nameServer(t, zone{}), Relays: relays(t, c.url), Now: now}
		got := doctor.Examine(t.Context(), 5*time.Second, in.Checks(nil))
		if !finds(got, "connection", doctor.Problem, c.says) && !finds(got, "connection", doctor.Problem, "in time") {
			t.Errorf("%s:\n%s", c.url, show(got))
		}
		if finds(got, "connection", doctor.Problem, "Nothing is lost") {
			t.Errorf("doctor promises something about sending:\n%s", show(got))
		}
	}
}
