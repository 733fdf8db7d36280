package bot

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

func TestNetworksAreReadLineByLine(t *testing.T) {
	got, err := ParseNetworks(strings.NewReader("\n# comment\n192.0.2.0/24\tscanner Example  Gateway # note\r\n172.224.224.0/27,GB,GB-EN,London,\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Network{
		{netip.MustParsePrefix("192.0.2.0/24"), Scanner, "Example Gateway"},
		{netip.MustParsePrefix("172.224.224.0/27"), Relay, "iCloud Private Relay"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v", got)
	}
}

func TestAListOfNetworksIsRefusedWithItsLine(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"192.0.2.0/24 scanner One\n192.0.2.0/33 scanner Two", "line 2"},
		{"192.0.2.0 scanner One", "line 1"},
		{"192.0.2.0/24 robot One", `"robot"`},
		{"192.0.2.0/24 scanner", "want"},
		{"somewhere,GB", "line 1"},
		{"::ffff:192.0.2.0/120 scanner One", "as such"},
		{"192.0.2.0/24 scanner " + strings.Repeat("x", 41), "longer than"},
		{strings.Repeat("x", 1<<17), "token too long"},
	} {
		if _, err := ParseNetworks(strings.NewReader(c.text)); !errors.Is(err, ErrNetworks) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: %v", c.text, err)
		}
	}
}

func TestTheListThatComesWithThePackageIsPlausible(t *testing.T) {
	list, err := ParseNetworks(strings.NewReader(networksFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.Prefix != n.Prefix.Masked() {
			t.Errorf("%s has bits beyond its length", n.Prefix)
		}
		if n.Prefix.Bits() < 8 || n.Prefix.Addr().IsPrivate() {
			t.Errorf("%s is too wide or nobody's", n.Prefix)
		}
	}
}

// Nested networks: the narrowest one holds, as a linear search says too.
func TestTheNarrowestNetworkHolds(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		if rapid.Bool().Draw(t, "v6") {
			a := [16]byte{0x20, 0x01, rapid.Byte().Draw(t, "a") & 3, rapid.Byte().Draw(t, "b") & 3, 15: rapid.Byte().Draw(t, "p") & 3}
			return netip.PrefixFrom(netip.AddrFrom16(a), rapid.SampledFrom([]int{0, 1, 12, 24, 30, 31, 32, 33, 36, 64, 65, 100, 127, 128}).Draw(t, "bits")).Masked()
		}
		a := [4]byte{rapid.Byte().Draw(t, "a") & 1, rapid.Byte().Draw(t, "b") & 3, 0, rapid.Byte().Draw(t, "d") & 7}
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []Network
		for _, p := range rapid.SliceOfN(prefix, 0, 20).Draw(t, "networks") {
			list = append(list, Network{Prefix: p, Class: Scanner, Name: rapid.SampledFrom([]string{"One", "Two", "Three", p.String()}).Draw(t, "name")})
		}
		s := newNetworkSet(list)
		for range 20 {
			p := prefix.Draw(t, "around")
			addr := rapid.SampledFrom([]netip.Addr{p.Addr(), p.Addr().Next(), p.Addr().Prev(), netipx.PrefixLastIP(p), netipx.PrefixLastIP(p).Next()}).Draw(t, "addr")
			want, bits := "", -1
			for _, n := range list {
				if n.Prefix.Contains(addr) && n.Prefix.Bits() >= bits { // of two equal ones the later one
					want, bits = n.Name, n.Prefix.Bits()
				}
			}
			got := ""
			if n := s.find(addr); n != nil {
				got = n.name
			}
			if got != want {
				t.Fatalf("%s: %q, want %q in %v", addr, got, want, list)
			}
		}
	})
	if newNetworkSet(nil).find(netip.Addr{}) != nil {
		t.Error("no address is in a network")
	}
}

func FuzzParseNetworks(f *testing.F) {
	f.Add("192.0.2.0/24 scanner Example\n")
	f.Add("2001:db8::/32,GB,GB-EN,London,\n# x")
	f.Add("::ffff:192.0.2.0/120 proxy Webmail")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseNetworks(strings.NewReader(text))
		if err != nil {
			if list != nil {
				t.Error("a list beside an error")
			}
			return
		}
		s := newNetworkSet(list)
		for _, n := range list {
			if s.find(n.Prefix.Addr()) == nil {
				t.Errorf("%s does not hold its own address", n.Prefix)
			}
		}
	})
}

// manyRelays is a list as long as Apple's, of networks that cannot be joined.
func manyRelays() []Network {
	list := make([]Network, 0, 280_000)
	for i := range cap(list) {
		a := [16]byte{0x2a, 0x02, 0x26, 0xf7, byte(i >> 15), byte(i >> 7), byte(i << 1)}
		p := netip.PrefixFrom(netip.AddrFrom16(a), 64)
		if i%4 == 0 {
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 224 + byte(i>>18), byte(i >> 10), byte(i >> 2)}), 32)
			if i%8 == 0 {
				p = netip.PrefixFrom(netip.AddrFrom4([4]byte{104, byte(i >> 18), byte(i >> 10), byte(i>>2) &^ 1}), 32)
			}
		}
		list = append(list, Network{p, Relay, "iCloud Private Relay"})
	}
	return list
}

// The worst list is one of which nothing can be joined. Those that ship hold most of Apple's already.
func BenchmarkFindAmongManyNetworks(b *testing.B) {
	shipped, err := ParseNetworks(strings.NewReader(networksFile))
	if err != nil {
		b.Fatal(err)
	}
	many := manyRelays()
	for name, list := range map[string][]Network{"that ship": shipped, "Apple's beside them": append(shipped, many...), "apart": many} {
		s := newNetworkSet(list)
		for family, four := range map[string]bool{"v4": true, "v6": false} {
			var addrs []netip.Addr
			for i := range many {
				if n := many[(i*7919)%len(many)]; n.Prefix.Addr().Is4() == four {
					addrs = append(addrs, n.Prefix.Addr().Next())
				}
			}
			b.Run(name+"/"+family, func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.find(addrs[i])
					if i++; i == len(addrs) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkOpenLists reads a file as long as Apple's and tells what it keeps in memory.
func BenchmarkOpenLists(b *testing.B) {
	var text strings.Builder
	for _, n := range manyRelays() {
		fmt.Fprintf(&text, "%s %s %s\n", n.Prefix, n.Class, n.Name)
	}
	path := filepath.Join(b.TempDir(), "networks.txt")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	Default()
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	var l *Lists
	for b.Loop() {
		var err error
		if l, err = OpenLists(List{Path: path}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(heap()-before, "MB-kept")
	runtime.KeepAlive(l)
}

func BenchmarkJoin(b *testing.B) {
	list := manyRelays()
	for b.Loop() {
		if _, err := join(list); err != nil {
			b.Fatal(err)
		}
	}
}
