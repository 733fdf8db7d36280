package bot

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

//go:embed data/networks.txt
var networksFile string

// Class says what fetches from a network.
type Class string

// The classes of network.
const (
	Scanner Class = "scanner" // follows links to test them
	Proxy   Class = "proxy"   // fetches images for people who read on the web
	Relay   Class = "relay"   // hides the addresses of its users
)

// Network is a network that matters to a verdict.
type Network struct {
	Prefix netip.Prefix
	Class  Class
	Name   string // as the reason shows it
}

// ErrNetworks is wrapped when a list of networks is not understood.
var ErrNetworks = errors.New("list of networks not understood")

// ParseNetworks reads a list of networks: a line "prefix class name" each, # before a comment. A line
// with commas is one of Apple's list of relays (prefix,country,region,city).
func ParseNetworks(r io.Reader) ([]Network, error) {
	var list []Network
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		network, err := parseNetwork(line)
		if err != nil {
			return nil, fmt.Errorf("bot: %w: line %d: %w", ErrNetworks, n, err)
		}
		list = append(list, network)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("bot: %w: %w", ErrNetworks, err)
	}
	return list, nil
}

func parseNetwork(line string) (Network, error) {
	if prefix, _, apple := strings.Cut(line, ","); apple {
		p, err := parsePrefix(strings.TrimSpace(prefix))
		return Network{p, Relay, "iCloud Private Relay"}, err
	}
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return Network{}, errors.New(`want "prefix class name", such as 192.0.2.0/24 scanner Example`)
	}
	p, err := parsePrefix(fields[0])
	if err != nil {
		return Network{}, err
	}
	class, name := Class(fields[1]), strings.Join(fields[2:], " ")
	if class != Scanner && class != Proxy && class != Relay {
		return Network{}, fmt.Errorf("class %q is none of scanner, proxy, relay", class)
	}
	if len(name) > maxName {
		return Network{}, fmt.Errorf("the name is longer than %d bytes", maxName)
	}
	return Network{p, class, name}, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		err = errors.New("write an IPv4 network as such")
	}
	return p, err
}

// networkSet finds the narrowest network that holds an address. Prefixes are nested or apart, never
// half over each other, so each knows the next wider one around it.
type networkSet struct {
	list  []Network // by first address, wider before narrower
	from  []netip.Addr
	outer []int32
}

func newNetworkSet(list []Network) *networkSet {
	s := &networkSet{list: slices.Clone(list)}
	for i := range s.list {
		s.list[i].Prefix = s.list[i].Prefix.Masked()
	}
	slices.SortStableFunc(s.list, func(a, b Network) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	var around []int32
	for i, n := range s.list {
		for len(around) > 0 && !s.list[around[len(around)-1]].Prefix.Contains(n.Prefix.Addr()) {
			around = around[:len(around)-1]
		}
		outer := int32(-1)
		if len(around) > 0 {
			outer = around[len(around)-1]
		}
		s.from, s.outer = append(s.from, n.Prefix.Addr()), append(s.outer, outer)
		around = append(around, int32(i))
	}
	return s
}

// find returns the narrowest network around addr, or nil. Of two equal ones the later one holds.
func (s *networkSet) find(addr netip.Addr) *Network {
	if !addr.IsValid() {
		return nil
	}
	addr = addr.Unmap().WithZone("")
	i, exact := slices.BinarySearchFunc(s.from, addr, netip.Addr.Compare)
	if exact {
		for i+1 < len(s.from) && s.from[i+1] == addr {
			i++
		}
	} else {
		i--
	}
	for n := int32(i); n >= 0; n = s.outer[n] {
		if s.list[n].Prefix.Contains(addr) {
			return &s.list[n]
		}
	}
	return nil
}
