package bot

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

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
			a := [16]byte{0x20, 0x01, rapid.Byte().Draw(t, "a") & 3, rapid.Byte().Draw(t, "b") & 3}
			return netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(0, 36).Draw(t, "bits")).Masked()
		}
		a := [4]byte{rapid.Byte().Draw(t, "a") & 1, rapid.Byte().Draw(t, "b") & 3, 0, rapid.Byte().Draw(t, "d") & 7}
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []Network
		for _, p := range rapid.SliceOfN(prefix, 0, 20).Draw(t, "networks") {
			list = append(list, Network{Prefix: p, Class: Scanner, Name: p.String()})
		}
		s := newNetworkSet(list)
		for range 20 {
			addr := prefix.Draw(t, "around").Addr()
			if rapid.Bool().Draw(t, "next") {
				addr = addr.Next()
			}
			want := -1
			for _, n := range list {
				if n.Prefix.Contains(addr) {
					want = max(want, n.Prefix.Bits())
				}
			}
			got := -1
			if n := s.find(addr); n != nil {
				got = n.Prefix.Bits()
			}
			if got != want {
				t.Fatalf("%s: /%d, want /%d in %v", addr, got, want, list)
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
