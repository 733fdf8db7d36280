package geo_test

import (
	"compress/gzip"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/geo"
	"beckon/geo/sample"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

var built = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) (*geo.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.mmdb")
	if err := sample.WriteBuilt(path, built); err != nil {
		t.Fatal(err)
	}
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db, path
}

func TestEveryAddressOfTheSampleHasItsRegion(t *testing.T) {
	db, _ := open(t)
	regions := map[string]bool{}
	for region, addrs := range sample.Addresses() {
		regions[region] = true
		for _, addr := range addrs {
			if got := db.Lookup(addr).String(); got != region {
				t.Errorf("%s is in %s, got %s", addr, region, got)
			}
			if mapped := netip.AddrFrom16(addr.As16()); db.Lookup(mapped).String() != region {
				t.Errorf("%s written as %s loses its region", addr, mapped)
			}
		}
	}
	if len(regions) < 8 {
		t.Errorf("the sample has %d regions, tests want at least 8", len(regions))
	}
}

func TestWhatCannotBePlacedIsUnknown(t *testing.T) {
	db, _ := open(t)
	for name, addr := range map[string]netip.Addr{
		"no address":                {},
		"not in the database":       sample.Nowhere,
		"a public address not held": netip.MustParseAddr("8.8.8.8"),
		"private":                   netip.MustParseAddr("10.1.2.3"),
		"private IPv6":              netip.MustParseAddr("fd00::1"),
		"loopback":                  netip.MustParseAddr("127.0.0.1"),
		"loopback as mapped IPv4":   netip.MustParseAddr("::ffff:127.0.0.1"),
		"link-local with a zone":    netip.MustParseAddr("fe80::1%eth0"),
		"unspecified":               netip.MustParseAddr("0.0.0.0"),
		"multicast":                 netip.MustParseAddr("224.0.0.1"),
	} {
		if got := db.Lookup(addr); !got.IsUnknown() || got.String() != "unknown" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestNoDatabaseKnowsNoRegion(t *testing.T) {
	var db *geo.DB
	if got := db.Lookup(netip.MustParseAddr("192.0.2.1")); !got.IsUnknown() {
		t.Errorf("got %s", got)
	}
	if db.Kind() != "" || !db.BuildTime().IsZero() || db.Age(built) != 0 {
		t.Error("a nil DB claims to have a file")
	}
}

func TestAgeIsCountedFromTheBuild(t *testing.T) {
	db, _ := open(t)
	if !db.BuildTime().Equal(built) || db.Kind() != "GeoLite2-City" {
		t.Errorf("built %s, kind %s", db.BuildTime(), db.Kind())
	}
	if got := db.Age(built.Add(36 * time.Hour)); got != 36*time.Hour {
		t.Errorf("36 hours after the build the age is %s", got)
	}
	if got := db.Age(built.Add(-time.Hour)); got != 0 {
		t.Errorf("before the build the age is %s", got)
	}
}

func TestRegionIsWrittenAsFarAsItIsKnown(t *testing.T) {
	for want, r := range map[string]geo.Region{
		"GB-ENG":  {Country: "GB", Subdivision: "ENG"},
		"GB":      {Country: "GB"},
		"unknown": {},
	} {
		if r.String() != want {
			t.Errorf("%#v is written %s, want %s", r, r, want)
		}
	}
}

func TestOpenSaysWhatIsWrongWithAFileAndWhatToDo(t *testing.T) {
	_, good := open(t)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, content []byte) string {
		path := filepath.Join(t.TempDir(), "x.mmdb")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		file func(t *testing.T) string
		says string
	}{
		{"the file is missing", func(t *testing.T) string { return filepath.Join(t.TempDir(), "none.mmdb") }, "no file at"},
		{"a directory is given", func(t *testing.T) string { return t.TempDir() }, "is a directory"},
		{"the file is empty", func(t *testing.T) string { return write(t, nil) }, "damaged, cut short or not an MMDB file"},
		{"the file is a web page", func(t *testing.T) string { return write(t, []byte("<html>log in first</html>")) }, "damaged, cut short or not an MMDB file"},
		{"the file is cut short", func(t *testing.T) string { return write(t, whole[:len(whole)/2]) }, "damaged, cut short or not an MMDB file"},
		{"the tree is overwritten", func(t *testing.T) string {
			broken := append([]byte(nil), whole...)
			for i := range 600 {
				broken[i] = 0xee
			}
			return write(t, broken)
		}, "cannot be read"},
		{"the file is still packed", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "x.mmdb.gz")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			z := gzip.NewWriter(f)
			z.Write(whole)
			z.Close()
			f.Close()
			return path
		}, "unpack it first"},
		{"the database holds network owners", func(t *testing.T) string { return otherKind(t, "GeoLite2-ASN") }, "cannot be read"},
		{"the database is of a kind nobody knows", func(t *testing.T) string { return otherKind(t, "ip-location-db") }, `of the kind "ip-location-db"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := geo.Open(c.file(t))
			if err == nil {
				t.Fatal("opened")
			}
			for _, part := range []string{"geo: ", c.says, "GeoLite2-City", "DB-IP", "BECKON_GEO"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestACountryDatabaseGivesCountries(t *testing.T) {
	db, err := geo.Open(otherKind(t, "GeoLite2-Country"))
	if err != nil {
		t.Fatal(err)
	}
	if got := db.Lookup(netip.MustParseAddr("1.2.3.4")).String(); got != "GB" {
		t.Errorf("got %s", got)
	}
}

func TestCodesThatAreNoCodesAreNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd.mmdb")
	insert(t, path, "GeoLite2-City", map[string]mmdbtype.Map{
		"1.0.0.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("England")}},
		"1.0.1.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("GB")}, "subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("a|b")}}},
		"1.0.2.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}, "subdivisions": mmdbtype.Slice{mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Corsica")}}}},
		"1.0.3.0/24": {"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("ENG")}}},
	})
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"1.0.0.1": "unknown", "1.0.1.1": "GB", "1.0.2.1": "FR", "1.0.3.1": "unknown"} {
		if got := db.Lookup(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

func TestAFailedReloadKeepsTheOldDatabase(t *testing.T) {
	db, path := open(t)
	addr := netip.MustParseAddr("192.0.2.1")
	bad := path + ".new"
	if err := os.WriteFile(bad, []byte("half a download"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Swap(bad); err == nil {
		t.Error("a broken file was put in place")
	}
	if err := os.Rename(bad, path); err != nil {
		t.Fatal(err)
	}
	if err := db.Reload(); err == nil {
		t.Error("a broken file was reloaded")
	}
	if changed, err := db.Refresh(); changed || err == nil {
		t.Error("a broken file passed for a newer one")
	}
	if got := db.Lookup(addr).String(); got != "GB-ENG" {
		t.Errorf("after failed reloads %s is in %s", addr, got)
	}
}

func TestRefreshNoticesANewFile(t *testing.T) {
	db, path := open(t)
	if changed, err := db.Refresh(); changed || err != nil {
		t.Fatalf("the same file: changed %v, %v", changed, err)
	}
	newer := built.AddDate(0, 1, 0)
	if err := sample.WriteBuilt(path, newer); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, newer, newer); err != nil {
		t.Fatal(err)
	}
	if changed, err := db.Refresh(); !changed || err != nil {
		t.Fatalf("a new file: changed %v, %v", changed, err)
	}
	if !db.BuildTime().Equal(newer) {
		t.Errorf("still built %s", db.BuildTime())
	}
}

func TestAFileCutShortInUseGivesUnknownRegions(t *testing.T) {
	db, path := open(t)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if got := db.Lookup(netip.MustParseAddr("192.0.2.1")); !got.IsUnknown() {
		t.Errorf("got %s", got)
	}
	if err := sample.Write(path); err != nil {
		t.Fatal(err)
	}
	if err := db.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := db.Lookup(netip.MustParseAddr("192.0.2.1")).String(); got != "GB-ENG" {
		t.Errorf("after the reload: %s", got)
	}
}

func TestLookupsGoOnWhileTheDatabaseIsReplaced(t *testing.T) {
	db, path := open(t)
	other := path + ".other"
	insert(t, other, "GeoLite2-City", map[string]mmdbtype.Map{"192.0.2.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}}})
	addr := netip.MustParseAddr("192.0.2.1")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := db.Lookup(addr).String(); got != "GB-ENG" && got != "FR" {
					t.Errorf("between two databases: %s", got)
					return
				}
			}
		})
	}
	for i := range 200 {
		next := path
		if i%2 == 0 {
			next = other
		}
		if err := db.Swap(next); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func BenchmarkLookup(b *testing.B) {
	db, _ := open(b)
	addrs := sample.Addresses()["GB-ENG"]
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			db.Lookup(addrs[i%len(addrs)])
		}
	})
}

func otherKind(t *testing.T, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.mmdb")
	insert(t, path, kind, map[string]mmdbtype.Map{"1.2.3.0/24": {
		"country":                  mmdbtype.Map{"iso_code": mmdbtype.String("GB")},
		"autonomous_system_number": mmdbtype.Uint32(64496),
	}})
	return path
}

func insert(t *testing.T, path, kind string, records map[string]mmdbtype.Map) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, record := range records {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
}
