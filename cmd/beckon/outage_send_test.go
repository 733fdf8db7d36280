package main

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
)

// TestR3R4KilledWhileSending: senders are killed with SIGKILL at random moments of a campaign. Whatever
// the relay took is sent or unknown, nothing was taken twice, and everybody is accounted for.
func TestR3R4KilledWhileSending(t *testing.T) {
	alongside(t)
	t.Run("embedded", func(t *testing.T) {
		alongside(t)
		killWhileSending(t, demoStorage{}, 1)
	})
	t.Run("two nodes", func(t *testing.T) {
		alongside(t)
		killWhileSending(t, demoStorage{servertest.PostgresDSN(t), servertest.ThrowAwayRedis(t).URL}, 2)
	})
}

func killWhileSending(t *testing.T, on demoStorage, nodes int) {
	recipients, kills, open := sized(1200, 20_000), sized(3, 10), 8
	sink := newRecordingSink(t)
	first := furnish(t, on, "")
	first.env = append(first.env, "BECKON_SMTP=smtp://"+sink.addr+"?tls=none", "BECKON_JOURNAL="+filepath.Join(first.data, "journal"))
	first.patience = sized(3*time.Minute, 10*time.Minute)
	first.start()
	all := []*node{first.node}
	for range nodes - 1 {
		all = append(all, first.another())
	}
	t.Cleanup(func() {
		for _, n := range all {
			n.kill()
		}
	})
	campaign := first.launch(recipients)
	for i := range kills {
		// each kill meets another stretch of the campaign
		from, step := i*recipients/(kills+1), recipients/(kills+1)
		at := min(from+1+rand.IntN(step), recipients*9/10)
		first.until("more is sent", func() bool { return sink.total() >= at })
		n := all[rand.IntN(len(all))]
		n.kill()
		n.start()
	}
	var s struct {
		Status   string
		Messages map[string]int
	}
	// What a dead node had under way is unknown when its lease and the relay's time are over, minutes
	// later; the short test only waits until nobody works on anything else.
	last, since := -1, time.Now()
	first.until("nothing is left to send", func() bool {
		s.Messages = nil
		first.call("GET", "/campaigns/"+campaign, "", nil, &s)
		if s.Messages["sent"] != last {
			last, since = s.Messages["sent"], time.Now()
		}
		return s.Status == "finished" || !fullLoad && s.Messages["queued"]+s.Messages["deferred"] == 0 && time.Since(since) > 3*time.Second
	})
	unknown := s.Messages["unknown"] + s.Messages["sending"]
	sum := 0
	for _, n := range s.Messages {
		sum += n
	}
	accepted, twice := sink.accounts()
	t.Logf("%d kills of %d sender(s): %v; the relay took mail for %d, and for %d of them twice", kills, nodes, s.Messages, accepted, twice)
	if twice > 0 {
		t.Errorf("%d people were mailed twice", twice)
	}
	if done := s.Messages["sent"] + s.Messages["failed"] + s.Messages["skipped"] + unknown; sum != recipients || done != recipients {
		t.Errorf("%d of %d are accounted for: %v", done, recipients, s.Messages)
	}
	if unknown > open*kills {
		t.Errorf("%d unknown, with %d connections and %d kills", unknown, open, kills)
	}
	var known []string
	first.db(func(db *schema.DB) {
		if err := db.Select(t.Context(), &known, `SELECT c.email FROM messages m JOIN contacts c ON c.id = m.contact WHERE m.status IN ('sent', 'unknown', 'sending')`); err != nil {
			t.Fatal(err)
		}
	})
	slices.Sort(known)
	for _, who := range sink.people() {
		if _, ok := slices.BinarySearch(known, who); !ok {
			t.Errorf("the relay took mail for %s, who is neither sent nor unknown", who)
		}
	}
	if sent := s.Messages["sent"]; accepted < sent || accepted > sent+unknown {
		t.Errorf("%d are sent and %d unknown; the relay took mail for %d", sent, unknown, accepted)
	}
}

// another starts one more node of the same installation.
func (h *premises) another() *node {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	data := h.t.TempDir()
	n := &node{t: h.t, base: "http://" + listen, token: h.token, patience: h.patience, env: append(append([]string{}, h.env...), "BECKON_LISTEN="+listen, "BECKON_DATA="+data)}
	for _, name := range []string{"keys", "hash-key"} {
		b, err := os.ReadFile(filepath.Join(h.data, name))
		if err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, name), b, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	n.start()
	return n
}

// recordingSink is an SMTP server that remembers for whom it took mail.
type recordingSink struct {
	addr  string
	mu    sync.Mutex
	mails map[string]int
	n     int
}

func newRecordingSink(t *testing.T) *recordingSink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &recordingSink{addr: l.Addr().String(), mails: map[string]int{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.talk(c)
		}
	}()
	return r
}

func (r *recordingSink) talk(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	say := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
	say("220 sink")
	var to string
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		switch {
		case bytes.HasPrefix(line, []byte("EHLO")):
			say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
		case bytes.HasPrefix(line, []byte("RCPT")):
			_, rest, _ := strings.Cut(string(line), "<")
			to, _, _ = strings.Cut(rest, ">")
			say("250 ok")
		case bytes.HasPrefix(line, []byte("DATA")):
			say("354 go on")
			for string(line) != ".\r\n" {
				if line, err = in.ReadSlice('\n'); err != nil {
					return
				}
			}
			r.mu.Lock()
			r.mails[to]++
			r.n++
			r.mu.Unlock()
			say("250 taken")
		case bytes.HasPrefix(line, []byte("QUIT")):
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (r *recordingSink) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// people are those for whom mail was taken.
func (r *recordingSink) people() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.mails))
}

// accounts returns for how many people mail was taken, and for how many of them more than once.
func (r *recordingSink) accounts() (people, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.mails {
		if n > 1 {
			twice++
		}
	}
	return len(r.mails), twice
}
