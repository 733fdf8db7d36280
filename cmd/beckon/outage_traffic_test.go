package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/tracker/event"
)

// traffic is a load of hits on kept-open connections, each with one request under way, that goes on
// until it is ended. A connection that breaks is opened again.
type traffic struct {
	addr     string
	began    time.Time
	riders   []*rider
	answered atomic.Int64
	marks    []mark
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

// mark is where a phase of a test begins.
type mark struct {
	name string
	at   time.Duration
}

// outcome is what became of requests. Those that were sent and are neither answered nor refused had no
// answer: they may be counted or not.
type outcome struct {
	sent, answered int64
	refused        int64 // answered otherwise than a hit is
}

func (a *outcome) add(b outcome) {
	a.sent, a.answered, a.refused = a.sent+b.sent, a.answered+b.answered, a.refused+b.refused
}

// rider is one connection.
type rider struct {
	targets   []*target
	outcomes  []outcome
	times     []timed
	unreached int
}

type timed struct{ at, took time.Duration }

// patient is how long an answer may take at all.
const patient = 30 * time.Second

func (o *outage) traffic(connections int) *traffic {
	ctx, stop := context.WithCancel(o.t.Context())
	tr := &traffic{addr: o.base[len("http://"):], began: time.Now(), stop: stop, marks: []mark{{name: "before"}}}
	for i, hand := range o.share(connections) {
		r := &rider{targets: hand, outcomes: make([]outcome, len(hand))}
		tr.riders = append(tr.riders, r)
		tr.wg.Go(func() { tr.ride(ctx, r, i*7919) })
	}
	o.t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) ride(ctx context.Context, r *rider, n int) {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", tr.addr)
		if err == nil {
			n = tr.keepOn(ctx, conn, r, n)
			conn.Close()
			continue
		}
		if ctx.Err() == nil {
			r.unreached++
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

// keepOn uses a connection until it breaks, or until ctx ends and the request under way is answered.
func (tr *traffic) keepOn(ctx context.Context, conn net.Conn, r *rider, n int) int {
	in := bufio.NewReaderSize(conn, 4096)
	for ; ctx.Err() == nil; n++ {
		i := n % len(r.targets)
		g, t := r.targets[i], &r.outcomes[i]
		begun := time.Now()
		_ = conn.SetDeadline(begun.Add(patient))
		t.sent++
		if _, err := conn.Write(g.request); err != nil {
			return n + 1
		}
		status, err := answer(in)
		if err != nil {
			return n + 1
		}
		if status != g.expects() {
			t.refused++
			continue
		}
		t.answered++
		tr.answered.Add(1)
		r.times = append(r.times, timed{begun.Sub(tr.began), time.Since(begun)})
	}
	return n
}

func (g *target) expects() int {
	if g.Kind == event.Open {
		return http.StatusOK
	}
	return http.StatusFound
}

// mark begins a phase of the test.
func (tr *traffic) mark(name string) { tr.marks = append(tr.marks, mark{name, time.Since(tr.began)}) }

// goOn lets the load run for a while, in which hits are answered all the time.
func (o *outage) goOn(tr *traffic, d time.Duration) {
	o.t.Helper()
	begun, before := time.Now(), tr.answered.Load()
	o.until("hits are answered", func() bool { return time.Since(begun) >= d && tr.answered.Load() > before })
}

// end lets the requests under way be answered and stops. The figures can be read after it.
func (tr *traffic) end() {
	tr.stop()
	tr.wg.Wait()
}

func (tr *traffic) sums() map[spot]outcome {
	sums := map[spot]outcome{}
	for _, r := range tr.riders {
		for i, g := range r.targets {
			sum := sums[g.spot]
			sum.add(r.outcomes[i])
			sums[g.spot] = sum
		}
	}
	return sums
}

func (tr *traffic) total() (all outcome) {
	for _, sum := range tr.sums() {
		all.add(sum)
	}
	return all
}

func (tr *traffic) refused() int64 { return tr.total().refused }

// broken is how many requests had no answer.
func (tr *traffic) broken() int64 {
	all := tr.total()
	return all.sent - all.answered - all.refused
}

func (tr *traffic) unreached() (n int64) {
	for _, r := range tr.riders {
		n += int64(r.unreached)
	}
	return n
}

// phases returns what each phase came to.
func (tr *traffic) phases() []load {
	all := make([]load, len(tr.marks))
	var times []timed
	for _, r := range tr.riders {
		times = append(times, r.times...)
	}
	slices.SortFunc(times, func(a, b timed) int { return int(a.at - b.at) })
	for i := range tr.marks {
		part := times
		if i+1 < len(tr.marks) {
			end, _ := slices.BinarySearchFunc(times, tr.marks[i+1].at, func(a timed, at time.Duration) int { return int(a.at - at) })
			part, times = times[:end], times[end:]
		}
		if len(part) == 0 {
			continue
		}
		took := make([]time.Duration, len(part))
		for j := range part {
			took[j] = part[j].took
		}
		slices.Sort(took)
		all[i] = load{Hits: len(part), PerSec: float64(len(part)) / max(part[len(part)-1].at-part[0].at, time.Millisecond).Seconds(),
			P50: took[len(took)/2], P99: took[len(took)*99/100], Slowest: took[len(took)-1]}
	}
	return all
}

// tell logs the figures of each phase.
func (tr *traffic) tell(t *testing.T) {
	t.Helper()
	for i, l := range tr.phases() {
		t.Logf("%-22s %7d hits %7.0f/s  p50 %8s  p99 %8s  slowest %8s", tr.marks[i].name, l.Hits, l.PerSec,
			l.P50.Round(10*time.Microsecond), l.P99.Round(10*time.Microsecond), l.Slowest.Round(100*time.Microsecond))
	}
}

// slowest is the longest that any answer took.
func (tr *traffic) slowest() (d time.Duration) {
	for _, l := range tr.phases() {
		d = max(d, l.Slowest)
	}
	return d
}
