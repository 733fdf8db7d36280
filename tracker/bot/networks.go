package bot

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
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
	names := map[string]string{} // one copy of each
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
		if name, ok := names[network.Name]; ok {
			network.Name = name
		}
		names[network.Name] = network.Name
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
		return Network{p, Relay, nameRelay}, err
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
