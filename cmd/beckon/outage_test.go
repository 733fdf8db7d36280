package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/tracker/event"
	"beckon/tracker/token"
)

// The outage tests drive a real `serve` with hits while something fails that it depends on, and hold
// what the database counted against what was answered. They are short unless BECKON_LOAD=full, which
// wants a machine that has nothing else to do.
var fullLoad = os.Getenv("BECKON_LOAD") == "full"

func sized[T any](short, full T) T {
	if fullLoad {
		return full
	}
	return short
}

// alongside lets the short tests, which wait more than they work, run beside each other.
func alongside(t *testing.T) {
	if !fullLoad {
		t.Parallel()
	}
}

// connections is how many are kept open by a test that does not say otherwise.
func connections() int { return sized(64, 256) }

// outage is an installation under load.
type outage struct {
	*premises
	log     *logbook
	targets []*target
}

// spot is what a hit can be told by: a beacon or link of one message, or of all anonymous ones.
type spot struct {
	Message id.Message // zero: anonymous
	Kind    event.Kind
	Link    int
}

// target is a request that a recipient's client makes.
type target struct {
	spot
	path    string
	request []byte
}

func get(path string, header ...string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: mail.example\r\nUser-Agent: %s\r\n%s\r\n", path, firefox, strings.Join(header, ""))
}

// newOutage starts a service and sends people a campaign: two thirds have agreed to be followed.
func newOutage(t *testing.T, on demoStorage, people int, prepare ...func(*outage)) *outage {
	t.Helper()
	o := &outage{premises: furnish(t, on, ""), log: &logbook{}}
	o.stderr, o.patience = o.log, sized(time.Minute, 40*time.Minute)
	if underRace {
		o.patience *= 5
	}
	for _, p := range prepare {
		p(o)
	}
	t.Cleanup(func() {
		if o.process != nil && o.process.Process != nil {
			o.kill()
		}
		for _, bad := range []string{"panic:", "DATA RACE", "fatal error:"} {
			if strings.Contains(o.log.String(), bad) {
				t.Errorf("the service met a %s", bad)
			}
		}
		if t.Failed() {
			t.Logf("the service said:\n%s", o.log.tail(40))
		}
	})
	o.start()
	o.campaign(people)
	b, err := os.ReadFile(filepath.Join(o.data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.ParseKeys(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	known := map[spot]bool{}
	find := regexp.MustCompile(regexp.QuoteMeta(o.base) + `(/([oc])/([A-Za-z0-9_-]+)(?:\.gif)?)`)
	for _, m := range o.catcher.All() {
		for _, found := range find.FindAllStringSubmatch(m.HTML, -1) {
			kind, as := event.Open, token.Beacon
			if found[2] == "c" {
				kind, as = event.Click, token.Click
			}
			opened, err := ring.Open(as, found[3])
			if err != nil {
				t.Fatal(err)
			}
			s := spot{opened.Message, kind, opened.Link}
			if known[s] || s.Message%2 == 1 && s.Link > 1 { // some people click everything at once, others do not
				continue
			}
			known[s] = true
			o.targets = append(o.targets, &target{s, found[1], get(found[1])})
		}
	}
	if len(o.targets) < people {
		t.Fatalf("%d people got %d beacons and links", people, len(o.targets))
	}
	return o
}

// share deals the targets out: each connection has messages of its own, and all have the anonymous ones.
func (o *outage) share(among int) [][]*target {
	hands := make([][]*target, among)
	place := map[id.Message]int{}
	for _, g := range o.targets {
		if g.Message == 0 {
			for i := range hands {
				hands[i] = append(hands[i], g)
			}
			continue
		}
		i, ok := place[g.Message]
		if !ok {
			i = len(place) % among
			place[g.Message] = i
		}
		hands[i] = append(hands[i], g)
	}
	return hands
}

// metric adds up a metric over its labels; -1 if the service does not answer.
func (o *outage) metric(name string) int64 {
	resp, err := http.Get(o.base + "/metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return -1
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64); err == nil {
			sum, found = sum+v, true
		}
	}
	if !found {
		return -1
	}
	return int64(sum)
}

// settle waits until all that was kept is counted, in Redis too, with nobody's help.
func (o *outage) settle() {
	o.t.Helper()
	begun := time.Now()
	o.until("the spool is drained", func() bool { return o.metric("beckon_spool_backlog") == 0 })
	drained := time.Since(begun)
	var told string
	o.until("the counts agree", func() bool {
		out, err := o.command("counters", "verify")
		told = out
		return err == nil
	})
	o.t.Logf("drained %.1f s after the last hit; log, totals and Redis agree %.1f s after that: %s",
		drained.Seconds(), (time.Since(begun) - drained).Seconds(), strings.TrimSpace(told))
}

// counted reads what the database has, identity by identity, and the sum of its totals.
func (o *outage) counted() (by map[spot]int64, total int64) {
	o.t.Helper()
	by = map[spot]int64{}
	o.db(func(db *schema.DB) {
		var rows []struct {
			spot
			N int64
		}
		if err := db.Select(o.t.Context(), &rows, `SELECT message, kind, link, COUNT(*) AS n FROM events GROUP BY message, kind, link
			UNION ALL SELECT 0, kind, link, CAST(SUM(n) AS BIGINT) FROM counts WHERE verdict IN ('anonymous', 'anonymous-machine') GROUP BY kind, link`); err != nil {
			o.t.Fatal(err)
		}
		for _, r := range rows {
			by[r.spot] = r.N
		}
		if err := db.Get(o.t.Context(), &total, `SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM counts`); err != nil {
			o.t.Fatal(err)
		}
	})
	return by, total
}

// account holds the database against what came of the requests: each hit that was answered, but for
// the lost ones that the service owns up to, is counted, and nothing is counted that was not sent.
func (o *outage) account(sums map[spot]outcome, lost int64) {
	o.t.Helper()
	by, total := o.counted()
	var all outcome
	var missing, extra, got int64
	for s, sum := range sums {
		all.add(sum)
		got += by[s]
		missing += max(0, sum.answered-by[s])
		extra += max(0, by[s]-sum.sent)
	}
	o.t.Logf("%d sent, %d answered, %d cut off without an answer; %d counted, %d owned up to as lost; missing %d, counted twice %d, in %d identities",
		all.sent, all.answered, all.sent-all.answered-all.refused, total, lost, missing, extra, len(sums))
	if missing > lost {
		o.t.Errorf("%d hits that were answered are not counted, and %d were said to be lost", missing, lost)
	}
	if extra > 0 {
		o.t.Errorf("%d hits are counted that were not sent", extra)
	}
	if low, high := all.answered-lost, all.sent-all.refused-lost; total < low || total > high {
		o.t.Errorf("%d counted, which ought to be between %d and %d", total, low, high)
	}
	if got != total {
		o.t.Errorf("%d counted, %d of them for what was asked for", total, got)
	}
}

// outlived ends a run in which every request had to be answered.
func (o *outage) outlived(tr *traffic) {
	o.t.Helper()
	tr.end()
	tr.tell(o.t)
	if tr.refused()+tr.broken()+tr.unreached() > 0 {
		o.t.Errorf("%d answers were errors, %d requests had none, %d connections were refused", tr.refused(), tr.broken(), tr.unreached())
	}
	o.settle()
	o.account(tr.sums(), 0)
}

// memory is what the service holds now, and the most it held, in MB.
func (o *outage) memory() (now, peak int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.process.Process.Pid))
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			now = kb >> 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			peak = kb >> 10
		}
	}
	return now, peak
}

// logbook keeps what a process says.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logbook) tail(n int) string {
	lines := slices.Collect(strings.Lines(l.String()))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
