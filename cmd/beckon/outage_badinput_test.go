package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/geo/sample"
	"beckon/schema/id"
	"beckon/tracker/event"
)

// TestBadInputAtFullRate: what strangers can send to a public address costs no storage and no bounds,
// is kept out of the log, and takes no hit of anybody else's away.
func TestBadInputAtFullRate(t *testing.T) {
	alongside(t)
	clients := sized(32, 256)
	regions := filepath.Join(t.TempDir(), "regions.mmdb")
	if err := sample.Write(regions); err != nil {
		t.Fatal(err)
	}
	o := newOutage(t, demoStorage{}, clients*sized(6, 40), func(o *outage) { o.env = append(o.env, "BECKON_GEO="+regions) })
	for _, g := range o.targets {
		g.request = get(g.path, "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n")
	}
	m := newMob(o)

	kept, quiet := o.metric("beckon_spool_bytes"), m.start(clients, m.forge)
	o.until("forged links are refused", func() bool { return m.count("forged").Load() > int64(sized(5_000, 500_000)) })
	quiet()
	forged := m.count("forged").Load()
	if now := o.metric("beckon_spool_bytes"); now != kept || o.number(`SELECT COUNT(*) FROM events`) != 0 || o.number(`SELECT COUNT(*) FROM counts`) != 0 {
		t.Errorf("%d forged links: the spool went from %d to %d bytes", forged, kept, now)
	}
	if n := o.metric("beckon_tracker_invalid_links_total"); n != forged {
		t.Errorf("%d forged links, and metrics speak of %d", forged, n)
	}

	before, _ := o.memory()
	tr := o.traffic(clients)
	o.goOn(tr, sized(500*time.Millisecond, 10*time.Second))
	tr.mark("among bad input")
	slow := m.start(500, m.trickle)
	o.until("500 slow clients are there", func() bool { return m.count("slow").Load() >= 500 })
	bad := m.start(2, m.forge, m.longAddress, m.notText, m.manyHeaders, m.hugeHeader, m.garbage, m.leave)
	o.goOn(tr, sized(1500*time.Millisecond, 60*time.Second))
	for what := range m.counts {
		o.until("there was enough of: "+what, func() bool { return m.count(what).Load() > 10 })
	}
	bad()
	slow()
	tr.mark("after")
	o.goOn(tr, sized(500*time.Millisecond, 10*time.Second))
	after, peak := o.memory()
	tr.end()
	tr.tell(t)
	for what, n := range m.counts {
		t.Logf("%-16s %d", what, n.Load())
	}
	t.Logf("memory: %d MB before, %d MB after, %d MB at most", before, after, peak)
	if peak > before+512 {
		t.Errorf("%d MB became %d", before, peak)
	}
	if tr.refused()+tr.broken()+tr.unreached() > 0 {
		t.Errorf("%d good answers were errors, %d requests had none, %d connections were refused", tr.refused(), tr.broken(), tr.unreached())
	}
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
	o.settle()
	o.account(m.with(tr.sums()), 0)
	if n := o.number(`SELECT COUNT(*) FROM events WHERE region <> ''`); n > 0 {
		t.Errorf("%d hits have the region that their header made up", n)
	}

	said := o.log.String()
	for _, own := range []string{strings.TrimPrefix(o.base, "http://"), o.catcher.Addr()} {
		said = strings.ReplaceAll(said, own, "")
	}
	for _, private := range []string{"panic", "203.0.113", "127.0.0.1", "Mozilla", "Firefox", "/o/", "/c/", "AAAAAAAA", m.spare[0].path[3:15], m.spare[0].path[20:40], "people.example"} {
		if i := strings.Index(said, private); i >= 0 {
			t.Errorf("the log holds %q: %s", private, said[max(0, i-200):min(len(said), i+200)])
		}
	}
	if text := regexp.MustCompile(`[^\x20-\x7e\n…]`).FindString(said); text != "" {
		t.Errorf("the log holds %q", text)
	}
}

// mob is those who send what they should not. Some of it holds good hits, at targets of its own.
type mob struct {
	o      *outage
	spare  []*target
	counts map[string]*atomic.Int64

	mu    sync.Mutex
	sums  map[spot]outcome
	wrong []string // what was answered as it should not be; the first of it
}

// newMob takes some recipients' targets for the mob.
func newMob(o *outage) *mob {
	m := &mob{o: o, sums: map[spot]outcome{}, counts: map[string]*atomic.Int64{}}
	for _, what := range []string{"forged", "slow", "long address", "not text", "many headers", "huge header", "garbage", "gone"} {
		m.counts[what] = &atomic.Int64{}
	}
	var last id.Message
	for _, g := range o.targets {
		last = max(last, g.Message)
	}
	var rest []*target
	for _, g := range o.targets {
		if g.Message > last-12 {
			m.spare = append(m.spare, g)
		} else {
			rest = append(rest, g)
		}
	}
	o.targets = rest
	return m
}

func (m *mob) count(what string) *atomic.Int64 { return m.counts[what] }

func (m *mob) any() *target { return m.spare[rand.IntN(len(m.spare))] }

// note adds an outcome of a good hit.
func (m *mob) note(g *target, c outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.sums[g.spot]
	sum.add(c)
	m.sums[g.spot] = sum
}

func (m *mob) complain(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.wrong) < 5 {
		m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
	}
}

func (m *mob) with(sums map[spot]outcome) map[spot]outcome {
	for s, c := range m.sums {
		sum := sums[s]
		sum.add(c)
		sums[s] = sum
	}
	return sums
}

// start lets some connections do each of the acts, again and again, until the result is called. An
// act ends when its connection can no longer be used.
func (m *mob) start(each int, acts ...func(context.Context, net.Conn, *bufio.Reader)) (stop func()) {
	ctx, cancel := context.WithCancel(m.o.t.Context())
	var wg sync.WaitGroup
	for _, act := range acts {
		for range each {
			wg.Go(func() {
				for ctx.Err() == nil {
					conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(m.o.base, "http://"))
					if err != nil {
						continue
					}
					_ = conn.SetDeadline(time.Now().Add(patient))
					act(ctx, conn, bufio.NewReader(conn))
					conn.Close()
				}
			})
		}
	}
	stop = func() {
		cancel()
		wg.Wait()
	}
	m.o.t.Cleanup(stop)
	return stop
}

// ask sends a request and wants one of the statuses, or none because the connection was closed.
func (m *mob) ask(conn net.Conn, r *bufio.Reader, what string, request []byte, statuses ...int) (open bool) {
	if _, err := conn.Write(request); err != nil {
		m.count(what).Add(1)
		return false
	}
	status, err := answer(r)
	m.count(what).Add(1)
	if err != nil {
		return false
	}
	for _, s := range statuses {
		if s == status {
			return true
		}
	}
	m.complain("%s: answered %d", what, status)
	return true
}

// hit sends a request that is good for a hit, however strange it is.
func (m *mob) hit(conn net.Conn, r *bufio.Reader, what string, g *target, request []byte) (open bool) {
	c := outcome{sent: 1}
	defer func() { m.note(g, c) }()
	if _, err := conn.Write(request); err != nil {
		return false
	}
	status, err := answer(r)
	if err != nil {
		return false
	}
	m.count(what).Add(1)
	if c.answered = 1; status != g.expects() {
		c.answered, c.refused = 0, 1
		m.complain("%s: answered %d", what, status)
	}
	return true
}

// forge changes a byte of a good token, takes some away, or makes one up.
func (m *mob) forge(ctx context.Context, conn net.Conn, r *bufio.Reader) {
	for ctx.Err() == nil {
		g := m.any()
		path := []byte(strings.TrimSuffix(g.path, ".gif"))
		switch i := 3 + rand.IntN(len(path)-5); rand.IntN(3) {
		case 0:
			if path[i]++; path[i] != '_' && path[i] != '-' && (path[i]|0x20 < 'a' || path[i]|0x20 > 'z') {
				path[i] = 'Q'
			}
			if string(path) == g.path || string(path)+".gif" == g.path {
				continue
			}
		case 1:
			path = path[:i]
		default:
			for j := 3; j < len(path); j++ {
				path[j] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[rand.IntN(64)]
			}
		}
		if len(path) < 4 {
			continue
		}
		if g.Kind == event.Open && rand.IntN(2) == 0 {
			path = append(path, ".gif"...)
		}
		if !m.ask(conn, r, "forged", get(string(path)), 404) {
			return
		}
	}
}

func (m *mob) longAddress(ctx context.Context, conn net.Conn, r *bufio.Reader) {
	long := strings.Repeat("A", 8<<10)
	for ctx.Err() == nil {
		g := m.any()
		if !m.ask(conn, r, "long address", get("/o/"+long), 404) || !m.ask(conn, r, "long address", get("/c/"+g.path[3:]+long), 404) ||
			!m.hit(conn, r, "long address", g, get(g.path+"?"+long)) {
			return
		}
	}
}

func (m *mob) notText(ctx context.Context, conn net.Conn, r *bufio.Reader) {
	for ctx.Err() == nil {
		g := m.any()
		if !m.ask(conn, r, "not text", get("/o/\xff\xfe\x80\xc0"), 404, 400) || !m.ask(conn, r, "not text", get("/c/%ff%fe%00%0d%0aSet-Cookie:x"), 404, 400) ||
			!m.hit(conn, r, "not text", g, bytes.Replace(get(g.path), []byte("Firefox"), []byte("\xff\xfe\xc3\x28"), 1)) {
			return
		}
	}
}

// manyHeaders are a thousand, of 9 bytes first, which a server may take, and then of 40.
func (m *mob) manyHeaders(_ context.Context, conn net.Conn, r *bufio.Reader) {
	g := m.any()
	if m.hit(conn, r, "many headers", g, get(g.path, strings.Repeat("X-A: b\r\n", 1000))) {
		m.ask(conn, r, "many headers", get(m.any().path, strings.Repeat("X-Header-Of-Forty-Bytes: 0123456789abc\r\n", 1000)), 431)
	}
}

func (m *mob) hugeHeader(_ context.Context, conn net.Conn, r *bufio.Reader) {
	m.ask(conn, r, "huge header", get(m.any().path, "Cookie: "+strings.Repeat("c", 1<<20)+"\r\n"), 431)
}

// garbage follows good requests in the same write.
func (m *mob) garbage(_ context.Context, conn net.Conn, r *bufio.Reader) {
	g := m.any()
	junk := make([]byte, 4<<10)
	for i := range junk {
		junk[i] = byte(rand.Uint32())
	}
	c := outcome{sent: 3}
	defer func() { m.note(g, c) }()
	if _, err := conn.Write(append(bytes.Repeat(g.request, 3), junk...)); err != nil {
		return
	}
	for range 3 {
		status, err := answer(r)
		if err != nil {
			return
		}
		if status == g.expects() {
			c.answered++
		} else {
			c.refused++
			m.complain("before garbage: answered %d", status)
		}
	}
	m.count("garbage").Add(1)
	_, _ = answer(r)
}

// leave closes the connection before the answer comes.
func (m *mob) leave(ctx context.Context, conn net.Conn, _ *bufio.Reader) {
	select {
	case <-time.After(2 * time.Millisecond): // nothing else holds back those who wait for no answer
	case <-ctx.Done():
	}
	g := m.any()
	if _, err := conn.Write(g.request); err == nil {
		m.note(g, outcome{sent: 1})
		m.count("gone").Add(1)
	}
}

// trickle sends a byte of a good request per second, and never all of it.
func (m *mob) trickle(ctx context.Context, conn net.Conn, _ *bufio.Reader) {
	m.count("slow").Add(1)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range m.spare[0].request[:100] {
		if _, err := conn.Write([]byte{b}); err != nil {
			return // the service has had enough of it
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
