package geo

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
)

// DB is a region database in use. It is safe for concurrent use, and a nil *DB knows no region.
type DB struct {
	mu   sync.Mutex // held while a file is opened and put in place
	path string
	file atomic.Pointer[file]
}

// file is one opened database. It is unmapped when nobody refers to it any more, never before: a
// lookup may still be reading the one that has just been replaced.
type file struct {
	reader *geoip2.Reader
	stamp  stamp
	kind   string
	built  time.Time
}

// stamp tells whether the file at a path is still the one that was opened.
type stamp struct {
	size int64
	mod  time.Time
}

// Open opens the MMDB file at path. If the file cannot be read, is damaged or is not a database of
// countries or cities, the error says what to do about it.
//
// The file is mapped, not copied. Replace it by renaming a new one over it, as Refresh and Swap
// expect; a file that is overwritten in place gives unknown regions until it is opened again.
func Open(path string) (*DB, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path}
	db.file.Store(f)
	return db, nil
}

// Lookup returns the region of an address; see the package comment for what is unknown.
func (db *DB) Lookup(addr netip.Addr) Region {
	if db == nil {
		return Region{}
	}
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast() {
		return Region{}
	}
	region, _ := db.file.Load().lookup(addr)
	return region
}

// Reload opens the file at the same path again. If it cannot be used, the old one stays in use.
func (db *DB) Reload() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.swap(db.path)
}

// Refresh reloads if the file at the path is no longer the one in use, and says whether it was.
func (db *DB) Refresh() (changed bool, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if now, err := os.Stat(db.path); err == nil && (stamp{now.Size(), now.ModTime()}) == db.file.Load().stamp {
		return false, nil
	}
	if err := db.swap(db.path); err != nil {
		return false, err
	}
	return true, nil
}

// Swap puts the file at another path into use. If it cannot be used, the old one stays in use.
func (db *DB) Swap(path string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.swap(path)
}

func (db *DB) swap(path string) error {
	f, err := open(path)
	if err != nil {
		return err
	}
	db.path = path
	db.file.Store(f)
	return nil
}

// Kind is the type of the database as its maker calls it, such as GeoLite2-City; empty for a nil DB.
func (db *DB) Kind() string {
	if db == nil {
		return ""
	}
	return db.file.Load().kind
}

// BuildTime is when the database was made; the zero time for a nil DB.
func (db *DB) BuildTime() time.Time {
	if db == nil {
		return time.Time{}
	}
	return db.file.Load().built
}

// Age is how old the database is at the given time; zero for a nil DB.
func (db *DB) Age(now time.Time) time.Duration {
	if db == nil {
		return 0
	}
	return max(0, now.Sub(db.BuildTime()))
}

// staleAfter leaves a monthly database half a month to be late in.
const staleAfter = 45 * 24 * time.Hour

// Stale says whether the database is older than 45 days, and if so what to tell whoever runs Beckon.
func (db *DB) Stale(now time.Time) (warning string, stale bool) {
	age := db.Age(now)
	if age <= staleAfter {
		return "", false
	}
	return fmt.Sprintf("the region database %s was built on %s, %d days ago: networks move, so some regions are wrong by now; run “beckon geo update”",
		db.Kind(), db.BuildTime().Format(time.DateOnly), int(age/(24*time.Hour))), true
}

// remedy is what whoever runs Beckon needs to know when a file does not do.
const remedy = "Beckon reads MMDB files of the kinds City, Country and Enterprise from MaxMind (GeoLite2-City.mmdb is free with an account, https://www.maxmind.com/en/geolite2/signup) and from DB-IP (dbip-city-lite, free without one but countries only, https://db-ip.com/db/download/ip-to-city-lite); let “beckon geo update” fetch one or unpack what you download, then point BECKON_GEO at the .mmdb file, or leave it empty to count without regions"

func open(path string) (*file, error) {
	f, err := load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("geo: no file at %s: %s", path, remedy)
	case err != nil:
		return nil, fmt.Errorf("geo: %s %w: %s", path, err, remedy)
	}
	return f, nil
}

// load opens a file and checks it. Its errors go on from the name of the file: "is a directory".
func load(path string) (*file, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be looked at (%w)", err)
	case info.IsDir():
		return nil, errors.New("is a directory")
	}
	if packed(path) {
		return nil, errors.New("is a packed file (gzip or zip), unpack it first")
	}
	reader, err := geoip2.Open(path)
	var other geoip2.UnknownDatabaseTypeError
	switch {
	case errors.As(err, &other):
		return nil, fmt.Errorf("is a database of the kind %q, which holds no regions that can be read", other.DatabaseType)
	case err != nil:
		return nil, fmt.Errorf("is damaged, cut short or not an MMDB file (%w)", err)
	}
	meta := reader.Metadata()
	f := &file{reader, stamp{info.Size(), info.ModTime()}, meta.DatabaseType, time.Unix(int64(meta.BuildEpoch), 0).UTC()}
	if err := f.probe(); err != nil {
		return nil, fmt.Errorf("cannot be read (%w)", err)
	}
	return f, nil
}

// probe looks a few hundred addresses up, all over the address space. It finds a database of another
// kind (ASN, ISP) and most damage before the file is put into use.
func (f *file) probe() error {
	for i := range 512 {
		b := uint32(i) * 0x9E3779B1
		if _, err := f.lookup(netip.AddrFrom4([4]byte{byte(b >> 24), byte(b >> 16), byte(b >> 8), byte(b)})); err != nil {
			return err
		}
	}
	return nil
}

// lookup reads one record. A read of mapped memory whose file was cut short behind our back is a
// fault, which would end the process; it is made an error here.
func (f *file) lookup(addr netip.Addr) (region Region, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			region, err = Region{}, errors.New("geo: reading the database failed")
		}
	}()
	record, err := f.reader.City(addr)
	runtime.KeepAlive(f)
	if err != nil {
		return Region{}, err
	}
	subdivision := ""
	if len(record.Subdivisions) > 0 {
		subdivision = record.Subdivisions[0].ISOCode
	}
	return newRegion(record.Country.ISOCode, subdivision), nil
}

func packed(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [2]byte
	_, err = f.Read(magic[:])
	return err == nil && (magic == [2]byte{0x1f, 0x8b} || magic == [2]byte{'P', 'K'})
}
