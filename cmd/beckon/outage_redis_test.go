package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"beckon/schema/servertest"

	"github.com/redis/go-redis/v9"
)

// TestR1R2RedisUnderLoad: Redis fails in the middle of the load, in each of its ways. Nobody's answer
// is an error, no hit is lost, and a while after Redis is back it has the durable totals by itself.
func TestR1R2RedisUnderLoad(t *testing.T) {
	alongside(t)
	for _, c := range []struct {
		name string
		fail func(t *testing.T, r *crashRedis, during func(string))
	}{
		{"stopped", func(t *testing.T, r *crashRedis, during func(string)) {
			r.first.Stop()
			during("Redis is killed")
			r.first.Start(t)
		}},
		{"flushed", func(t *testing.T, r *crashRedis, during func(string)) {
			for range 3 {
				r.run(t, r.first, "FLUSHALL")
				r.run(t, r.first, "SCRIPT", "FLUSH")
				during("Redis is flushed")
			}
		}},
		{"restarted", func(t *testing.T, r *crashRedis, during func(string)) {
			for range 3 {
				r.first.Stop()
				r.first.Start(t)
				during("Redis starts empty")
			}
		}},
		{"failover", func(t *testing.T, r *crashRedis, during func(string)) {
			r.follow(t)
			r.run(t, r.second, "REPLICAOF", "NO", "ONE")
			during("the replica falls back")
			r.gate.lead(r.second.URL)
			during("the replica takes over")
			r.gate.lead(r.first.URL) // a stale one again, the other way round
		}},
		{"hung", func(t *testing.T, r *crashRedis, during func(string)) {
			pid := r.pid(t, r.first)
			sendSignal(t, pid, syscall.SIGSTOP)
			defer sendSignal(t, pid, syscall.SIGCONT)
			during("Redis hangs")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			alongside(t)
			r := &crashRedis{first: servertest.ThrowAwayRedis(t), second: servertest.ThrowAwayRedis(t)}
			r.gate = newGate(t, r.first.URL)
			clients := sized(32, 256)
			o := newOutage(t, demoStorage{servertest.PostgresDSN(t), r.gate.url}, clients*sized(6, 40))
			tr := o.traffic(clients)
			o.goOn(tr, sized(500*time.Millisecond, 5*time.Second))
			c.fail(t, r, func(what string) {
				tr.mark(what)
				o.goOn(tr, sized(600*time.Millisecond, 15*time.Second))
			})
			tr.mark("after")
			o.goOn(tr, sized(500*time.Millisecond, 5*time.Second))
			o.outlived(tr)
		})
	}
}

// crashRedis is a Redis that can fail: two servers, and the address under which one of them is met.
type crashRedis struct {
	first, second *servertest.Redis
	gate          *gateway
}

func (r *crashRedis) run(t *testing.T, on *servertest.Redis, args ...any) string {
	t.Helper()
	o, err := redis.ParseURL(on.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	v, err := client.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

// info reads a line of what a server says of itself.
func (r *crashRedis) info(t *testing.T, on *servertest.Redis, name string) string {
	t.Helper()
	for line := range strings.Lines(r.run(t, on, "INFO")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (r *crashRedis) pid(t *testing.T, on *servertest.Redis) int {
	t.Helper()
	pid, err := strconv.Atoi(r.info(t, on, "process_id"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// follow makes the second server a replica of the first and waits until it has what the first has.
func (r *crashRedis) follow(t *testing.T) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(r.first.URL, "redis://"), "/0"))
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, r.first, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	r.run(t, r.second, "REPLICAOF", host, port)
	(&node{t: t}).until("the replica is up", func() bool {
		return r.info(t, r.second, "master_link_status") == "up" && r.run(t, r.second, "DBSIZE") != "0"
	})
}

func sendSignal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// gateway is an address that leads to one of several servers. Connections break when it leads to another.
type gateway struct {
	url string

	mu    sync.Mutex
	to    string
	conns map[net.Conn]bool
}

func newGate(t *testing.T, to string) *gateway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{url: "redis://" + l.Addr().String() + "/0", conns: map[net.Conn]bool{}}
	g.lead(to)
	t.Cleanup(func() {
		l.Close()
		g.lead(to)
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.carry(conn)
		}
	}()
	return g
}

// lead sends everybody to another server from now on.
func (g *gateway) lead(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = strings.TrimSuffix(strings.TrimPrefix(url, "redis://"), "/0")
	for conn := range g.conns {
		conn.Close()
	}
	clear(g.conns)
}

func (g *gateway) carry(in net.Conn) {
	g.mu.Lock()
	to := g.to
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		in.Close()
		return
	}
	g.mu.Lock()
	if g.to != to {
		in.Close()
	}
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
	}()
	_, _ = io.Copy(in, out)
	in.Close()
	g.mu.Lock()
	delete(g.conns, in)
	delete(g.conns, out)
	g.mu.Unlock()
}
