package pages

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	now := start
	l := newLimiter(Limits{PerNetwork: 3, Total: 10, PerAddress: 1, Window: time.Hour, Remembered: 6})
	taken := func(client string) bool { return l.network(netip.MustParseAddr(client), now) }
	for i, c := range []struct {
		client string
		want   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.200", true}, {"::ffff:192.0.2.3", true}, // one /24, however it is written
		{"192.0.2.1", false},
		{"192.0.3.1", true},
		{"2001:db8:1::1", true}, {"2001:db8:1:2::1", true}, {"2001:db8:1:ffff::1", true}, // one /48
		{"2001:db8:1::9", false},
		{"2001:db8:2::1", true}, {"198.51.100.1", true}, {"198.51.101.1", true},
		{"198.51.102.1", false}, // no more networks are remembered, or the total is used up
	} {
		if got := taken(c.client); got != c.want {
			t.Errorf("%d: %s is %v", i, c.client, got)
		}
	}
	now = now.Add(61 * time.Second)
	if !taken("198.51.102.1") || len(l.networks.held) != 1 {
		t.Errorf("after a minute %d networks are remembered", len(l.networks.held))
	}
	if l.address("a@example.org", now) != granted || l.address("a@example.org", now) != over || l.address("b@example.org", now) != granted {
		t.Error("addresses are not told apart")
	}
	if now = now.Add(time.Hour); l.address("a@example.org", now) != granted {
		t.Error("an address is held for ever")
	}
	if !l.network(netip.Addr{}, now) {
		t.Error("a client without an address, as behind a socket, counts as one network")
	}
}

func TestTotalIsLimited(t *testing.T) {
	l := newLimiter(Limits{Total: 5})
	n := 0
	for i := range 20 {
		if l.network(netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i)), start) {
			n++
		}
	}
	if n != 5 {
		t.Errorf("%d forms at once", n)
	}
}

func TestMasked(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.org": "a•••@e•••.org", "a@b.co.uk": "a•••@b•••.uk", "ünal@xn--mnchen-3ya.de": "ü•••@m•••.de",
		"": "•••", "@example.org": "•••", "nobody": "•••", "a@localhost": "a•••@l•••", `"a@b"@example.org`: `"•••@e•••.org`,
	} {
		if got := masked(in); got != want {
			t.Errorf("masked(%q) = %q, want %q", in, got, want)
		}
	}
}
