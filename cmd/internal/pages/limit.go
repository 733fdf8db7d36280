package pages

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"beckon/schema/id"
)

// Limits bound what the pages can be abused for: flooding us, and flooding others with mails that
// hold a link ("list bombing"). Zero means the default.
type Limits struct {
	PerNetwork int           // forms a minute from one network (/24, /48); default 12
	PerAddress int           // mails with a link to one address within Window, and complaints with the links of one contact; default 3
	Window     time.Duration // default 6 hours
	Total      int           // forms a minute from everybody; default 1,200
	Remembered int           // networks, and addresses, remembered at most; default 100,000
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.PerNetwork, 12)
	def(&l.PerAddress, 3)
	def(&l.Total, 1200)
	def(&l.Remembered, 100_000)
	if l.Window <= 0 {
		l.Window = 6 * time.Hour
	}
	return l
}

// limiter holds the limits in memory, and in it neither networks nor addresses: only hashes under
// a key that dies with the process. A network's is forgotten after a minute without a form. When
// it can remember no more, the limiter refuses.
type limiter struct {
	total     *rate.Limiter
	networks  *buckets
	addresses *buckets
	contacts  *buckets
	pause     time.Duration // after which one more is taken of whoever had enough
	limits    Limits
	key       [32]byte
}

// taken is the answer of a limiter.
type taken int

const (
	granted taken = iota
	over          // this one has had enough
	full          // no more can be remembered, so nobody new is served
)

func newLimiter(l Limits) *limiter {
	l = l.withDefaults()
	minute := func(n int) rate.Limit { return rate.Limit(float64(n) / 60) }
	lim := &limiter{
		total:    rate.NewLimiter(minute(l.Total), l.Total),
		networks: newBuckets(minute(l.PerNetwork), l.PerNetwork, time.Minute, l.Remembered),
		pause:    l.Window / time.Duration(l.PerAddress),
		limits:   l,
	}
	few := func() *buckets {
		return newBuckets(rate.Every(lim.pause), l.PerAddress, l.Window, l.Remembered)
	}
	lim.addresses, lim.contacts = few(), few()
	rand.Read(lim.key[:])
	return lim
}

// network says whether one more form may come from this client's network now.
func (l *limiter) network(client netip.Addr, now time.Time) bool {
	return l.networks.take(l.hash(truncated(client).String()), now) == granted && l.total.AllowN(now, 1)
}

// address says whether one more mail may go to this address now.
func (l *limiter) address(email string, now time.Time) taken {
	return l.addresses.take(l.hash(email), now)
}

// contact says whether one more complaint is taken from the mails of a contact now.
func (l *limiter) contact(who id.Contact, now time.Time) taken {
	return l.contacts.take(l.hash("contact "+who.String()), now)
}

func (l *limiter) hash(s string) [16]byte {
	h := hmac.New(sha256.New, l.key[:])
	h.Write([]byte(s))
	return [16]byte(h.Sum(nil))
}

// truncated is the network of a client that may be kept: /24, or /48 for IPv6.
func truncated(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := 48
	if client.Is4() {
		bits = 24
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

type buckets struct {
	mu    sync.Mutex
	rate  rate.Limit
	burst int
	keep  time.Duration
	most  int
	held  map[[16]byte]*bucket
	swept time.Time
}

type bucket struct {
	*rate.Limiter
	seen time.Time
}

func newBuckets(r rate.Limit, burst int, keep time.Duration, most int) *buckets {
	return &buckets{rate: r, burst: burst, keep: keep, most: most, held: map[[16]byte]*bucket{}}
}

func (b *buckets) take(k [16]byte, now time.Time) taken {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.swept) >= b.keep/4 {
		b.sweep(now)
	}
	e, ok := b.held[k]
	if !ok {
		if len(b.held) >= b.most {
			return full
		}
		e = &bucket{Limiter: rate.NewLimiter(b.rate, b.burst)}
		b.held[k] = e
	}
	e.seen = now
	if !e.AllowN(now, 1) {
		return over
	}
	return granted
}

// sweep forgets whoever was not seen for as long as an empty bucket takes to fill up again.
func (b *buckets) sweep(now time.Time) {
	b.swept = now
	for k, e := range b.held {
		if now.Sub(e.seen) >= b.keep {
			delete(b.held, k)
		}
	}
}
