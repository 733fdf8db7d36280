package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

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
	Keys           string
	HashKey        string
	Journal        string
	DKIM           string
	TrustedProxies string
	Embed          string
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
	{"keys", "BECKON_KEYS", "keys that sign public links, id:base64,…, the first signs (default: generated into the data directory)", "", func(c *Config) *string { return &c.Keys }},
	{"hash-key", "BECKON_HASH_KEY", "key of address hashes and ledger chains, base64, never rotated (default: generated into the data directory)", "", func(c *Config) *string { return &c.HashKey }},
	{"journal", "BECKON_JOURNAL", "directory of the refusals journal, shared by the nodes, on another disk than the database (default: under the data directory)", "", func(c *Config) *string { return &c.Journal }},
	{"dkim", "BECKON_DKIM", "domain:selector:path of a private key, separated by commas", "", func(c *Config) *string { return &c.DKIM }},
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
	return errors.Join(wrong...)
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
