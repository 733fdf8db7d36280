package queue

import (
	"errors"
	"testing"
	"time"
)

func pacerAt(rates string, t *testing.T) *pacer {
	t.Helper()
	d, err := ParseDomainRates(rates)
	if err != nil {
		t.Fatal(err)
	}
	p := newPacer(&Options{Domains: d, Poll: time.Second})
	p.jitter = func(d time.Duration) time.Duration { return d }
	return p
}

func TestDomainRates(t *testing.T) {
	d, err := ParseDomainRates(" Gmail.com=20, bücher.example=0.5,*=50,")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]float64{"gmail.com": 20, "xn--bcher-kva.example": 0.5, "else.example": 50} {
		if got := d.rate(domain); got != want {
			t.Errorf("%s has the rate %v, want %v", domain, got, want)
		}
	}
	if d, err := ParseDomainRates(""); err != nil || !d.none() || d.rate("gmail.com") != 0 {
		t.Errorf("no rates are read as %+v, %v", d, err)
	}
	for _, s := range []string{"gmail.com", "gmail.com=", "gmail.com=0", "gmail.com=-1", "gmail.com=NaN", "gmail.com=x", "=5", "a b=5", "gmail.com=1;yahoo.com=2"} {
		if _, err := ParseDomainRates(s); !errors.Is(err, ErrDomainRates) {
			t.Errorf("%q gives %v", s, err)
		}
	}
}

// What is promised and what is put back, each once, come to the rate and no more.
func TestADomainGetsItsRate(t *testing.T) {
	p := pacerAt("slow.example=5", t)
	now := time.Unix(1000, 0)
	var due []time.Time // of what was put back
	promised := map[int64]int{}
	take := func(back bool) {
		l, at, ok := p.slot(p.lanes["slow.example"], 5, now, back)
		p.lanes["slow.example"] = l
		if !ok {
			due = append(due, at)
			return
		}
		if at.Before(now) || at.After(now.Add(p.horizon)) {
			t.Fatalf("at %s a message was promised %s", now, at)
		}
		promised[at.Unix()]++
	}
	for range 300 {
		take(false)
	}
	if len(due) < 280 {
		t.Fatalf("only %d of 300 were put back", len(due))
	}
	putBack := len(due)
	for end := now.Add(80 * time.Second); now.Before(end); now = now.Add(time.Second) {
		waiting := due
		due = nil
		for _, at := range waiting {
			if at.After(now) {
				due = append(due, at)
				continue
			}
			before := len(due)
			take(true)
			putBack += len(due) - before
		}
		p.tend(now)
	}
	total := 0
	for second, n := range promised {
		if n > 5 {
			t.Errorf("%d in second %d", n, second)
		}
		total += n
	}
	if total != 300 {
		t.Errorf("%d of 300 had their turn in 80 s at 5 a second", total)
	}
	if putBack > 330 {
		t.Errorf("300 messages were put back %d times", putBack)
	}
	if len(p.lanes) != 0 {
		t.Errorf("the domain is remembered for good: %+v", p.lanes)
	}
}

func TestADomainThatComplainsIsSentHalfAndRecovers(t *testing.T) {
	for _, c := range []struct {
		rates string
		pace  float64 // before
		full  float64 // after
	}{{"gmail.com=20", 20, 20}, {"", 10, 0}} {
		p := pacerAt(c.rates, t)
		now := time.Unix(1000, 0)
		p.since = now
		for range int(c.pace * 5) {
			p.sent("gmail.com", now)
		}
		now = now.Add(5 * time.Second)
		pace := func() float64 { return p.pace("gmail.com", p.lanes["gmail.com"]) }
		p.throttled("gmail.com", now)
		p.throttled("gmail.com", now.Add(time.Second)) // what was under way complains too
		if got := pace(); got != c.pace/2 || !p.active() {
			t.Errorf("%q: after a complaint %v a second, want %v", c.rates, got, c.pace/2)
		}
		if next := p.lanes["gmail.com"].next; !next.After(now) {
			t.Errorf("%q: the next one goes at once", c.rates)
		}
		now = now.Add(settle)
		for range 300 {
			p.throttled("gmail.com", now)
			now = now.Add(settle)
		}
		if got := pace(); got < slowest {
			t.Errorf("%q: it came to %v a second", c.rates, got)
		}
		for range 15 {
			before := pace()
			now = now.Add(calm)
			p.tend(now)
			if got := pace(); got != c.full && got != 2*before {
				t.Errorf("%q: after a minute of calm %v became %v", c.rates, before, got)
			}
		}
		if got := pace(); got != c.full || len(p.lanes) != 0 {
			t.Errorf("%q: in the end %v a second, lanes %+v", c.rates, got, p.lanes)
		}
	}
}

// What went to a domain is known also right after the count began anew.
func TestTheMeasuredPaceOutlivesACount(t *testing.T) {
	p := pacerAt("", t)
	now := time.Unix(1000, 0)
	for range 250 {
		p.sent("gmail.com", now)
		now = now.Add(50 * time.Millisecond)
	}
	if got := p.measured("gmail.com", now); got < 18 || got > 22 {
		t.Errorf("20 a second are measured as %v", got)
	}
	p.sent("other.example", now.Add(time.Hour))
	if got := p.measured("gmail.com", now.Add(time.Hour)); got != 1 {
		t.Errorf("an hour later it is %v", got)
	}
}

func FuzzParseDomainRates(f *testing.F) {
	f.Add("gmail.com=20,yahoo.com=5,*=50")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDomainRates(s)
		if err != nil {
			return
		}
		for domain, rate := range d.of {
			if domain == "" || !(rate > 0) {
				t.Fatalf("%q is read as %+v", s, d)
			}
		}
	})
}
