package bot

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// source is a published list of networks.
type source struct {
	name  string // as messages say it
	url   string
	parse func(text []byte) ([]Network, error)
}

// The names of the networks that are fetched, as reasons show them.
const (
	nameRelay    = "iCloud Private Relay"
	nameExchange = "Microsoft Exchange Online Protection"
	nameOutlook  = "Outlook on the web"
)

// sources are the lists that Updater fetches.
//
// Google's user-triggered fetchers are its google-proxy hosts, among them those that fetch images for
// readers of Gmail: a proxy. The service user-triggered-fetchers.json, which has everybody's programs
// on Google's cloud, is left alone.
func (u *Updater) sources() []source {
	google := or(u.GoogleURL, "https://developers.google.com") + "/static/search/apis/ipranges/"
	return []source{
		{"Apple's relays", or(u.AppleURL, "https://mask-api.icloud.com") + "/egress-ip-ranges.csv", parseApple},
		{"Google's crawlers", google + "googlebot.json", googlePrefixes(Scanner, "Googlebot")},
		{"Google's special crawlers", google + "special-crawlers.json", googlePrefixes(Scanner, "Google special crawlers")},
		{"Google's fetchers", google + "user-triggered-fetchers-google.json", googlePrefixes(Proxy, "Google")},
		{"Microsoft's mail servers", or(u.MicrosoftURL, "https://endpoints.office.com") + "/endpoints/worldwide?ServiceAreas=Exchange&clientrequestid=" + guid(), parseMicrosoft},
	}
}

// parseApple reads egress-ip-ranges.csv: prefix,country,region,city, in each line.
func parseApple(text []byte) ([]Network, error) {
	var list []Network
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		prefix, _, ok := strings.Cut(line, ",")
		if !ok {
			return nil, fmt.Errorf("line %d is not prefix,country,region,city", n)
		}
		p, err := parsePrefix(prefix)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, Network{p, Relay, nameRelay})
	}
	return list, lines.Err()
}

// googlePrefixes reads Google's form: {"creationTime": …, "prefixes": [{"ipv4Prefix": …} or
// {"ipv6Prefix": …}, …]}.
func googlePrefixes(class Class, name string) func([]byte) ([]Network, error) {
	return func(text []byte) ([]Network, error) {
		var body struct {
			Prefixes []struct {
				V4 string `json:"ipv4Prefix"`
				V6 string `json:"ipv6Prefix"`
			}
		}
		if err := json.Unmarshal(text, &body); err != nil {
			return nil, err
		}
		var list []Network
		for i, e := range body.Prefixes {
			p, err := parsePrefix(e.V4 + e.V6)
			if err != nil {
				return nil, fmt.Errorf("prefix %d: %w", i+1, err)
			}
			list = append(list, Network{p, class, name})
		}
		return list, nil
	}
}

// parseMicrosoft reads the answer of the Microsoft 365 IP address and URL web service: sets of
// endpoints, each [{"serviceArea": "Exchange", "urls": […], "ips": […]}, …].
//
// A set is the scanners' only if every name in it is a mail gateway's: from a set that serves people as
// well, people click. Where Outlook on the web runs, images are fetched for people. What else Microsoft
// publishes says nothing about hits.
func parseMicrosoft(text []byte) ([]Network, error) {
	var sets []struct {
		ServiceArea string
		URLs, IPs   []string
	}
	if err := json.Unmarshal(text, &sets); err != nil {
		return nil, err
	}
	var list []Network
	gateways := 0
	for i, s := range sets {
		all, web := len(s.URLs) > 0, false
		for _, name := range s.URLs {
			all = all && (strings.HasSuffix(name, ".protection.outlook.com") || strings.HasSuffix(name, ".mx.microsoft"))
			web = web || name == "outlook.office.com" || name == "outlook.office365.com"
		}
		network := Network{Class: Scanner, Name: nameExchange}
		switch {
		case s.ServiceArea != "Exchange" || !all && !web:
			continue
		case !all:
			network = Network{Class: Proxy, Name: nameOutlook}
		}
		for _, ip := range s.IPs {
			p, err := parsePrefix(ip)
			if err != nil {
				return nil, fmt.Errorf("set %d: %w", i+1, err)
			}
			network.Prefix = p
			list = append(list, network)
			if all {
				gateways++
			}
		}
	}
	if gateways == 0 {
		return nil, errors.New("no set of mail gateways is in it")
	}
	return list, nil
}

// plausible refuses a network that no list of these can mean: a slip there would judge half the world.
func plausible(p netip.Prefix) error {
	widest := 8
	if p.Addr().Is6() {
		widest = 24
	}
	if a := p.Addr(); p.Bits() < widest || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%s is too wide or nobody's", p)
	}
	return nil
}

// guid is an identifier of one request, as the web service wants it.
func guid() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return strings.TrimSuffix(s, "/")
}
