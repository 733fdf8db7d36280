package sample

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Network is a network of the sample database and the region that it is said to be in.
type Network struct {
	Prefix netip.Prefix
	Region string // as geo.Region writes it
}

var networks = []struct {
	prefix                           string
	country, countryName, code, name string
}{
	{"192.0.2.0/26", "GB", "United Kingdom", "ENG", "England"},
	{"192.0.2.64/26", "GB", "United Kingdom", "SCT", "Scotland"},
	{"192.0.2.128/26", "GB", "United Kingdom", "WLS", "Wales"},
	{"192.0.2.192/26", "GB", "United Kingdom", "NIR", "Northern Ireland"},
	{"198.51.100.0/26", "IE", "Ireland", "L", "Leinster"},
	{"198.51.100.64/26", "DE", "Germany", "BY", "Bavaria"},
	{"198.51.100.128/26", "FR", "France", "IDF", "Île-de-France"},
	{"198.51.100.192/26", "NL", "The Netherlands", "", ""},
	{"203.0.113.0/26", "US", "United States", "CA", "California"},
	{"203.0.113.64/26", "US", "United States", "NY", "New York"},
	{"203.0.113.128/26", "ES", "Spain", "MD", "Madrid"},
	{"2001:db8:1::/48", "GB", "United Kingdom", "ENG", "England"},
	{"2001:db8:2::/48", "GB", "United Kingdom", "SCT", "Scotland"},
	{"2001:db8:3::/48", "IE", "Ireland", "L", "Leinster"},
	{"2001:db8:4::/48", "DE", "Germany", "BY", "Bavaria"},
	{"2001:db8:5::/48", "FR", "France", "IDF", "Île-de-France"},
	{"2001:db8:6::/48", "NL", "The Netherlands", "", ""},
	{"2001:db8:7::/48", "US", "United States", "CA", "California"},
}

// Nowhere is a documentation address that the sample database does not hold.
var Nowhere = netip.MustParseAddr("203.0.113.250")

// Networks lists what the sample database holds, always in the same order.
func Networks() []Network {
	list := make([]Network, len(networks))
	for i, n := range networks {
		region := n.country
		if n.code != "" {
			region += "-" + n.code
		}
		list[i] = Network{netip.MustParsePrefix(n.prefix), region}
	}
	return list
}

// Addresses returns a few addresses for each region, always the same ones.
func Addresses() map[string][]netip.Addr {
	by := map[string][]netip.Addr{}
	for _, n := range Networks() {
		addr := n.Prefix.Addr()
		for range 8 {
			addr = addr.Next()
			by[n.Region] = append(by[n.Region], addr)
		}
	}
	return by
}

// Write makes the sample database at path, built now; WriteBuilt says when it was built. A file that
// is there is replaced in one step.
func Write(path string) error { return WriteBuilt(path, time.Now()) }

// WriteBuilt makes the sample database at path with the given build time.
func WriteBuilt(path string, built time.Time) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType:            "GeoLite2-City",
		Description:             map[string]string{"en": "Made-up regions for the documentation networks"},
		Languages:               []string{"en"},
		BuildEpoch:              built.Unix(),
		RecordSize:              24,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	for _, n := range networks {
		record := mmdbtype.Map{"country": place(n.country, n.countryName)}
		if n.code != "" {
			record["subdivisions"] = mmdbtype.Slice{place(n.code, n.name)}
		}
		_, network, err := net.ParseCIDR(n.prefix)
		if err != nil {
			return fmt.Errorf("sample: %w", err)
		}
		if err := tree.Insert(network, record); err != nil {
			return fmt.Errorf("sample: %w", err)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".sample-*.mmdb")
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = tree.WriteTo(f)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	return nil
}

func place(code, name string) mmdbtype.Map {
	return mmdbtype.Map{"iso_code": mmdbtype.String(code), "names": mmdbtype.Map{"en": mmdbtype.String(name)}}
}
