package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"beckon/tracker/event"

	"github.com/spf13/pflag"
)

// Config is where this node listens and what it is connected to. Every field is a flag and an
// environment variable (README, "Configuration"); a flag wins.
type Config struct {
	Listen         string
	URL            string
	Data           string
	Database       string
	Redis          string
	SMTP           string
	Geo            string
	Networks       string
	TooSoon        string
	BurstLinks     string
	BurstWindow    string
	Keys           string
	HashKey        string
	Journal        string
	DKIM           string
	Bounces        string
	Intake         string
	Mailbox        string
	Hooks          string
	TrustedProxies string
	Embed          string
	DomainRates    string
	Warmup         string
	Insecure       bool
	SenderConns    int
}

type setting struct {
	flag, env, usage, standard string
	field                      func(*Config) *string
}

// settings is the configuration table of the README; a test holds the two together.
var settings = []setting{
	{"listen", "BECKON_LISTEN", "address to serve HTTP on", "127.0.0.1:8080", func(c *Config) *string { return &c.Listen }},
	{"url", "BECKON_URL", "public base URL of links, beacons and pages (default: http:// and the listen address)", "", func(c *Config) *string { return &c.URL }},
	{"data", "BECKON_DATA", "directory for the database file, keys, spool and uploads", "beckon-data", func(c *Config) *string { return &c.Data }},
	{"database", "BECKON_DATABASE", "sqlite:PATH or postgres://… (default: a file under the data directory)", "", func(c *Config) *string { return &c.Database }},
	{"redis", "BECKON_REDIS", "redis://…, several separated by commas are a cluster (default: embedded)", "", func(c *Config) *string { return &c.Redis }},
	{"smtp", "BECKON_SMTP", "relays: smtp://user:pass@host:port?tls=none|starttls|implicit, separated by commas", "", func(c *Config) *string { return &c.SMTP }},
	{"geo", "BECKON_GEO", "MMDB file of a city or country database for regions", "", func(c *Config) *string { return &c.Geo }},
	{"networks", "BECKON_NETWORKS", "file of further networks of scanners, proxies and relays, a line `prefix class name` each", "", func(c *Config) *string { return &c.Networks }},
	{"too-soon", "BECKON_TOO_SOON", "a hit less than this after sending is a machine's; off for none", "2s", func(c *Config) *string { return &c.TooSoon }},
	{"burst-links", "BECKON_BURST_LINKS", "clicks on this many links of a message at once are a machine's; off for none", "3", func(c *Config) *string { return &c.BurstLinks }},
	{"burst-window", "BECKON_BURST_WINDOW", "what at once means, for bursts and around the hidden link; off for neither", "2s", func(c *Config) *string { return &c.BurstWindow }},
	{"keys", "BECKON_KEYS", "keys that sign public links, id:base64,…, the first signs (default: generated into the data directory)", "", func(c *Config) *string { return &c.Keys }},
	{"hash-key", "BECKON_HASH_KEY", "key of address hashes and ledger chains, base64, never rotated (default: generated into the data directory)", "", func(c *Config) *string { return &c.HashKey }},
	{"journal", "BECKON_JOURNAL", "directory of the refusals journal, shared by the nodes, on another disk than the database (default: under the data directory)", "", func(c *Config) *string { return &c.Journal }},
	{"dkim", "BECKON_DKIM", "domain:selector:path of a private key, separated by commas", "", func(c *Config) *string { return &c.DKIM }},
	{"bounces", "BECKON_BOUNCES", "domain of the return paths, one of its own for bounces (default: mail comes back to the address in From)", "", func(c *Config) *string { return &c.Bounces }},
	{"intake", "BECKON_INTAKE", "address to take returned mail on by SMTP, such as 0.0.0.0:25", "", func(c *Config) *string { return &c.Intake }},
	{"mailbox", "BECKON_MAILBOX", "mailbox with returned mail, complaints and replies: imaps://user:pass@host:port/INBOX", "", func(c *Config) *string { return &c.Mailbox }},
	{"hooks", "BECKON_HOOKS", "providers that may notify at /hooks/NAME: ses:TOPIC-ARN, sendgrid:KEY, mailgun:KEY, postmark:USER:PASSWORD, separated by commas", "", func(c *Config) *string { return &c.Hooks }},
	{"domain-rates", "BECKON_DOMAIN_RATES", "most messages per second to a recipient domain, of this node: gmail.com=20,yahoo.com=5,*=50, where * is each other domain", "", func(c *Config) *string { return &c.DomainRates }},
	{"warmup", "BECKON_WARMUP", "most messages a day of a new sender domain, from a day on: news.example.org=2026-11-01:50,100,200, separated by semicolons", "", func(c *Config) *string { return &c.Warmup }},
	{"trusted-proxies", "BECKON_TRUSTED_PROXIES", "networks (CIDR, separated by commas) whose X-Forwarded-For is believed", "", func(c *Config) *string { return &c.TrustedProxies }},
	{"embed", "BECKON_EMBED", "sites that may show the subscription form in a frame: origins such as https://www.example.org, separated by commas", "", func(c *Config) *string { return &c.Embed }},
}

// flags binds the settings to a command's flags, with the environment as default.
func (c *Config) flags(fs *pflag.FlagSet) {
	for _, s := range settings {
		standard := s.standard
		if v, ok := os.LookupEnv(s.env); ok {
			standard = v
		}
		fs.StringVar(s.field(c), s.flag, standard, s.usage+" ["+s.env+"]")
	}
	fs.BoolVar(&c.Insecure, "insecure", false, "accept a public URL without https, or a sender domain without DKIM, off loopback")
	fs.IntVar(&c.SenderConns, "connections", 8, "SMTP connections kept open per relay")
}

// finish fills what follows from other settings and tells what cannot work, all of it at once.
func (c *Config) finish() error {
	var wrong []error
	say := func(env, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s", env, fmt.Sprintf(format, args...)))
	}
	_, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		say("BECKON_LISTEN", "%q is not host:port; write for example 127.0.0.1:8080", c.Listen)
	}
	if c.Data == "" {
		say("BECKON_DATA", "is empty; name a directory that outlives restarts")
	} else if c.Data, err = filepath.Abs(c.Data); err != nil {
		say("BECKON_DATA", "%v", err)
	}
	if c.Database == "" {
		c.Database = "sqlite:" + filepath.Join(c.Data, "beckon.db")
	}
	if c.Journal == "" {
		c.Journal = filepath.Join(c.Data, "journal")
	}
	if c.URL == "" && err == nil {
		c.URL = "http://" + c.Listen
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	switch u, err := url.Parse(c.URL); {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "":
		say("BECKON_URL", "want an absolute http or https URL without query, such as https://mail.example.org")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !c.Insecure:
		say("BECKON_URL", "is http and not on loopback: recipients' links need https (or start with --insecure)")
	}
	if _, err := c.proxies(); err != nil {
		say("BECKON_TRUSTED_PROXIES", "%v", err)
	}
	if _, err := c.thresholds(); err != nil {
		wrong = append(wrong, err)
	}
	if _, _, err := c.limits(); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(append(wrong, c.checkReturns())...)
}

// Beyond these a threshold is a slip: a person who is quick, or reads on, would be a machine.
const (
	longestTooSoon     = time.Hour
	longestBurstWindow = time.Minute
	mostBurstLinks     = 1000
)

// thresholds are those of verdicts by time.
func (c *Config) thresholds() (event.Thresholds, error) {
	var t event.Thresholds
	var soon, links, window error
	t.TooSoon, soon = threshold("BECKON_TOO_SOON", c.TooSoon, longestTooSoon)
	t.BurstWindow, window = threshold("BECKON_BURST_WINDOW", c.BurstWindow, longestBurstWindow)
	switch n, err := strconv.Atoi(c.BurstLinks); {
	case c.BurstLinks == "off" || err == nil && n == 0:
		t.BurstLinks = -1
	case c.BurstLinks == "": // the default
	case err != nil || n < 2 || n > mostBurstLinks:
		links = fmt.Errorf("BECKON_BURST_LINKS: want a number of links from 2 to %d, such as 3, or off; got %q", mostBurstLinks, c.BurstLinks)
	default:
		t.BurstLinks = n
	}
	return t, errors.Join(soon, links, window)
}

// threshold reads a duration; negative is what event.Thresholds takes for none, zero for the default.
func threshold(env, s string, longest time.Duration) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if s == "off" {
		return -1, nil
	}
	switch d, err := time.ParseDuration(s); {
	case err != nil || d < 0 || d > longest:
		return 0, fmt.Errorf("%s: want a duration up to %s, such as 2s or 500ms, or off; got %q", env, longest, s)
	case d == 0:
		return -1, nil
	default:
		return d, nil
	}
}

func (c *Config) proxies() ([]string, error) {
	list := fields(c.TrustedProxies)
	for _, s := range list {
		if _, err := netip.ParsePrefix(s); err != nil {
			return nil, fmt.Errorf("%q is not a network; write for example 10.0.0.0/8 or 192.0.2.7/32", s)
		}
	}
	return list, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
