package geo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"beckon/geo"

	"github.com/maxmind/mmdbwriter/mmdbtype"
)

func TestAnUpdateFromMaxMindIsCheckedAndTakenUp(t *testing.T) {
	db, path := open(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	fresh := database(t, newer)
	m := serve(t, offer(archive(t, "GeoLite2-City.mmdb", fresh)))
	got, err := m.updater().Update(t.Context(), path, account)
	if err != nil {
		t.Fatal(err)
	}
	want := geo.Result{Changed: true, Verified: true, Path: path, Kind: "GeoLite2-City", Built: newer, Replaced: built, Bytes: int64(len(fresh))}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if !bytes.Equal(read(t, path), fresh) {
		t.Error("the file in place is not the one of the archive")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(published) {
		t.Errorf("mode %v, time %v: want those of the old file and of the maker (%v)", info.Mode(), info.ModTime(), err)
	}
	if changed, err := db.Refresh(); !changed || err != nil || !db.BuildTime().Equal(newer) {
		t.Errorf("the running service does not take it up: %v, %v", changed, err)
	}
	if len(m.asked) != 2 || m.asked[0] != permalink || m.asked[1] != permalink+".sha256" {
		t.Errorf("asked for %q", m.asked)
	}
	alone(t, path)
}

func TestNothingIsFetchedTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "regions.mmdb")
	m := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer))))
	u := m.updater()
	if got, err := u.Update(t.Context(), path, account); err != nil || !got.Changed || !got.Replaced.IsZero() {
		t.Fatalf("the first time: %+v, %v", got, err)
	}
	size := int64(len(read(t, path)))
	m.asked = nil
	got, err := u.Update(t.Context(), path, account)
	if err != nil || got.Changed || !got.Built.Equal(newer) || got.Bytes != size {
		t.Errorf("the second time: %+v, %v", got, err)
	}
	if len(m.asked) != 1 || m.heads[len(m.heads)-1].Get("If-Modified-Since") != published.Format(http.TimeFormat) {
		t.Errorf("asked for %q with %v", m.asked, m.heads[len(m.heads)-1])
	}
	u.Force = true
	if got, err = u.Update(t.Context(), path, account); err != nil || got.Changed || !got.Verified {
		t.Errorf("forced: %+v, %v", got, err)
	}
	alone(t, path)
}

func TestAFileCopiedThereByHandDoesNotPassForTheNewest(t *testing.T) {
	_, path := open(t)
	at := published.Add(time.Hour + time.Millisecond)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	m := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer))))
	if got, err := m.updater().Update(t.Context(), path, account); err != nil || !got.Changed {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDBIPIsReadAndLastMonthServesUntilThisMonthIsThere(t *testing.T) {
	made := filepath.Join(t.TempDir(), "dbip.mmdb")
	insert(t, made, "DBIP-City-Lite", map[string]mmdbtype.Map{"8.8.8.0/24": {
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Mountain View")}},
		"continent":    mmdbtype.Map{"code": mmdbtype.String("NA"), "geoname_id": mmdbtype.Uint32(6255149)},
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String("US"), "is_in_european_union": mmdbtype.Bool(false), "names": mmdbtype.Map{"en": mmdbtype.String("United States"), "fa": mmdbtype.String("ایالات متحده")}},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float32(37.4), "longitude": mmdbtype.Float32(-122.1)},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("California")}}},
	}})
	const march, february = "/free/dbip-city-lite-2026-03.mmdb.gz", "/free/dbip-city-lite-2026-02.mmdb.gz"
	for name, c := range map[string]struct {
		there string
		asked []string
	}{
		"this month's file is there": {march, []string{march}},
		"last month's file is there": {february, []string{march, february}},
	} {
		path := filepath.Join(t.TempDir(), "regions.mmdb")
		m := serve(t, map[string][]byte{c.there: zipped(t, read(t, made))})
		got, err := m.updater().Update(t.Context(), path, geo.DBIP{})
		if err != nil || !got.Changed || got.Verified || got.Kind != "DBIP-City-Lite" {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if fmt.Sprint(m.asked) != fmt.Sprint(c.asked) {
			t.Errorf("%s: asked for %q", name, m.asked)
		}
		for _, h := range m.heads {
			if h.Get("Authorization") != "" {
				t.Errorf("%s: credentials are sent to a maker that has none", name)
			}
		}
		db, err := geo.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := db.Lookup(netip.MustParseAddr("8.8.8.8")).String(); got != "US" {
			t.Errorf("%s: 8.8.8.8 is in %s", name, got)
		}
		if again, err := m.updater().Update(t.Context(), path, geo.DBIP{}); err != nil || again.Changed {
			t.Errorf("%s: the second time %+v, %v", name, again, err)
		}
		alone(t, path)
	}
}

func TestAFailedUpdateSaysWhyAndChangesNothing(t *testing.T) {
	good := archive(t, "GeoLite2-City.mmdb", database(t, newer))
	status := func(code int) func(*maker, *geo.Updater) {
		return func(m *maker, _ *geo.Updater) {
			m.odd = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
		}
	}
	gone := func(m *maker, _ *geo.Updater) { m.Close() }
	for name, c := range map[string]struct {
		from   geo.Provider
		files  map[string][]byte
		change func(*maker, *geo.Updater)
		is     error
		says   string
	}{
		"no account":                         {from: geo.GeoLite2{}, is: geo.ErrCredentials, says: "geolite2/signup"},
		"account and key are swapped":        {from: geo.GeoLite2{AccountID: licence, LicenseKey: "424242"}, is: geo.ErrCredentials, says: "is a number"},
		"a path for an edition":              {from: geo.GeoLite2{AccountID: "1", LicenseKey: licence, Edition: "../x"}, says: "such as GeoLite2-City"},
		"the key is wrong":                   {from: geo.GeoLite2{AccountID: "424242", LicenseKey: "abcdef_licence_mmk_old"}, files: offer(good), is: geo.ErrCredentials, says: "401"},
		"the key is forbidden":               {change: status(403), is: geo.ErrCredentials, says: "Manage License Keys"},
		"the daily limit is reached":         {change: status(429), is: geo.ErrLimit, says: "tomorrow"},
		"the edition is not there":           {is: geo.ErrNotOffered, says: "GeoLite2-City is not an edition"},
		"DB-IP has neither month":            {from: geo.DBIP{}, is: geo.ErrNotOffered, says: "clock"},
		"DB-IP refuses":                      {from: geo.DBIP{}, change: status(403), says: "403 Forbidden"},
		"the server has a fault":             {change: status(503), says: "try again later"},
		"not modified, and nobody asked":     {change: status(304), says: "304"},
		"nobody listens":                     {change: gone, says: "connection failed"},
		"the checksum is another's":          {files: map[string][]byte{permalink: good, permalink + ".sha256": bytes.Repeat([]byte("ab"), 32)}, is: geo.ErrChecksum, says: "published abab"},
		"the checksum is a web page":         {files: map[string][]byte{permalink: good, permalink + ".sha256": []byte("<html>")}, is: geo.ErrChecksum, says: "not a SHA-256"},
		"the checksum is empty":              {files: map[string][]byte{permalink: good, permalink + ".sha256": nil}, is: geo.ErrChecksum, says: "empty"},
		"the checksum is missing":            {files: map[string][]byte{permalink: good}, is: geo.ErrNotOffered, says: "published checksum"},
		"a web page comes":                   {files: offer([]byte("<html>please log in to the network</html>")), is: geo.ErrDamaged, says: "proxy"},
		"nothing comes":                      {files: offer(nil), is: geo.ErrDamaged},
		"the archive ends early":             {files: offer(good[:len(good)/2]), is: geo.ErrDamaged},
		"the archive is followed by rubbish": {files: offer(append(bytes.Clone(good), "rubbish"...)), is: geo.ErrDamaged},
		"the archive holds no database":      {files: offer(archive(t, "GeoLite2-ASN.mmdb", database(t, newer))), is: geo.ErrDamaged, says: "no GeoLite2-City.mmdb in the archive"},
		"the archive is no archive":          {files: offer(zipped(t, bytes.Repeat([]byte("x"), 4096))), is: geo.ErrDamaged},
		"the database is rubbish":            {files: offer(archive(t, "GeoLite2-City.mmdb", []byte("rubbish"))), is: geo.ErrDamaged, says: "not an MMDB file"},
		"the database is of another kind":    {files: offer(archive(t, "GeoLite2-City.mmdb", read(t, otherKind(t, "GeoLite2-ASN")))), is: geo.ErrDamaged, says: "cannot be read"},
		"the database is older":              {files: offer(archive(t, "GeoLite2-City.mmdb", database(t, built.Add(-time.Hour)))), is: geo.ErrOlder, says: "force"},
		"DB-IP's packing is damaged": {from: geo.DBIP{}, is: geo.ErrDamaged, says: "checksum", files: map[string][]byte{
			"/free/dbip-city-lite-2026-03.mmdb.gz": func() []byte { z := zipped(t, database(t, newer)); z[len(z)-6] ^= 1; return z }()}},
		"the download is too large": {files: offer(good), change: func(_ *maker, u *geo.Updater) { u.Limit = int64(len(good)) - 1 }, is: geo.ErrTooLarge},
		"the download is too large and does not say so": {from: geo.DBIP{}, is: geo.ErrTooLarge, change: func(m *maker, u *geo.Updater) {
			u.Limit = 1 << 20 // many empty members: nothing but the packing is large
			long := append(zipped(t, database(t, newer)), bytes.Repeat(zipped(t, nil), 100_000)...)
			m.odd = func(w http.ResponseWriter, _ *http.Request) bool {
				w.(http.Flusher).Flush()
				w.Write(long)
				return true
			}
		}},
		"a small archive is large inside": {files: offer(archive(t, "GeoLite2-City.mmdb", make([]byte, 4<<20))), change: func(_ *maker, u *geo.Updater) { u.Limit = 1 << 20 }, is: geo.ErrTooLarge},
		"a small archive is large beside": {files: offer(archive(t, "padding", make([]byte, 4<<20))), change: func(_ *maker, u *geo.Updater) { u.Limit = 1 << 20 }, is: geo.ErrTooLarge},
		"a small file is large inside":    {from: geo.DBIP{}, files: map[string][]byte{"/free/dbip-city-lite-2026-03.mmdb.gz": zipped(t, make([]byte, 4<<20))}, change: func(_ *maker, u *geo.Updater) { u.Limit = 1 << 20 }, is: geo.ErrTooLarge},
		"the connection breaks off": {says: "broke off", is: io.ErrUnexpectedEOF, change: func(m *maker, _ *geo.Updater) {
			m.odd = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", fmt.Sprint(len(good)))
				w.Write(good[:len(good)/2])
				return true
			}
		}},
		"the disk is full": {files: offer(good), says: "disk is full", is: syscall.ENOSPC, change: func(_ *maker, u *geo.Updater) {
			u.WriteThrough(func(w io.Writer) io.Writer { return &full{w, 1000} })
		}},
		"the server is too slow": {says: "not finished after 50ms", is: context.DeadlineExceeded, change: func(m *maker, u *geo.Updater) {
			u.Timeout = 50 * time.Millisecond
			m.odd = func(w http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			db, path := open(t)
			before := read(t, path)
			m := serve(t, c.files)
			u := m.updater()
			if c.change != nil {
				c.change(m, u)
			}
			if c.from == nil {
				c.from = account
			}
			_, err := u.Update(t.Context(), path, c.from)
			if err == nil {
				t.Fatal("updated")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%q is not %q", err, c.is)
			}
			if !strings.HasPrefix(err.Error(), "geo: update from ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
			if strings.Contains(err.Error(), licence) {
				t.Errorf("the licence key is told: %q", err)
			}
			if !bytes.Equal(read(t, path), before) {
				t.Error("the file in place is another")
			}
			if changed, err := db.Refresh(); changed || err != nil {
				t.Errorf("the service sees a change: %v, %v", changed, err)
			}
			alone(t, path)
		})
	}
}

func TestAnUpdateStopsWhenItIsCancelled(t *testing.T) {
	_, path := open(t)
	before := read(t, path)
	good := archive(t, "GeoLite2-City.mmdb", database(t, newer))
	m := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.odd = func(w http.ResponseWriter, r *http.Request) bool {
		w.Write(good[:len(good)/2])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return true
	}
	_, err := m.updater().Update(ctx, path, account)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not touched") {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file in place is another")
	}
	alone(t, path)
}

func TestForceGoesBackToAnOlderDatabase(t *testing.T) {
	_, path := open(t)
	older := built.AddDate(0, -1, 0)
	u := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, older)))).updater()
	u.Force = true
	if got, err := u.Update(t.Context(), path, account); err != nil || !got.Changed || !got.Built.Equal(older) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestADamagedFileInPlaceIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "regions.mmdb")
	if err := os.WriteFile(path, []byte("half a download"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer)))).updater()
	if got, err := u.Update(t.Context(), path, account); err != nil || !got.Changed || !got.Replaced.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALinkKeepsPointingAtTheDatabase(t *testing.T) {
	_, path := open(t)
	link := filepath.Join(t.TempDir(), "current.mmdb")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	u := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer)))).updater()
	if _, err := u.Update(t.Context(), link, account); err != nil {
		t.Fatal(err)
	}
	if at, err := os.Readlink(link); err != nil || at != path {
		t.Errorf("the link points at %q, %v", at, err)
	}
	if db, err := geo.Open(path); err != nil || !db.BuildTime().Equal(newer) {
		t.Errorf("the database it points at is the old one (%v)", err)
	}
}

func TestAPlaceThatWillNotDoIsToldBeforeAnythingIsFetched(t *testing.T) {
	dir := t.TempDir()
	for path, says := range map[string]string{
		"":                                     "BECKON_GEO",
		dir:                                    "is not a file",
		filepath.Join(dir, "none", "geo.mmdb"): "no folder",
	} {
		m := serve(t, nil)
		if _, err := m.updater().Update(t.Context(), path, account); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v", path, err)
		}
		if len(m.asked) != 0 {
			t.Errorf("%q: asked for %q", path, m.asked)
		}
	}
}

func TestWhatAKilledUpdateLeftIsSweptAway(t *testing.T) {
	_, path := open(t)
	m := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer))))
	u := m.updater()
	dead, alive, other := filepath.Join(filepath.Dir(path), ".sample.mmdb.update-1"), filepath.Join(filepath.Dir(path), ".sample.mmdb.update-2"), path+".update-3"
	for p, age := range map[string]time.Duration{dead: 2 * time.Hour, alive: 10 * time.Minute, other: 1000 * time.Hour} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Time{}, u.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Update(t.Context(), path, account); err != nil {
		t.Fatal(err)
	}
	for p, there := range map[string]bool{dead: false, alive: true, other: true} {
		if _, err := os.Stat(p); (err == nil) != there {
			t.Errorf("%s: %v", filepath.Base(p), err)
		}
	}
}

func TestCredentialsStayWithTheMaker(t *testing.T) {
	packed := archive(t, "GeoLite2-City.mmdb", database(t, newer))
	storage := serve(t, map[string][]byte{"/stored?X-Amz-Signature=s3cret": packed, "/sum?X-Amz-Signature=s3cret": offer(packed)[permalink+".sha256"]})
	m := serve(t, nil)
	m.odd = func(w http.ResponseWriter, r *http.Request) bool {
		to := "/stored"
		if strings.HasSuffix(r.URL.RawQuery, ".sha256") {
			to = "/sum"
		}
		http.Redirect(w, r, storage.URL+to+"?X-Amz-Signature=s3cret", http.StatusFound)
		return true
	}
	_, path := open(t)
	if got, err := m.updater().Update(t.Context(), path, account); err != nil || !got.Verified {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(storage.heads) != 2 || len(m.heads) != 2 || m.heads[0].Get("Authorization") == "" {
		t.Fatalf("asked %q, then %q", m.asked, storage.asked)
	}
	for _, h := range storage.heads {
		if h.Get("Authorization") != "" || strings.Contains(fmt.Sprint(h), licence) {
			t.Error("the storage is told the licence key")
		}
	}
	if got, err := m.updater().Update(t.Context(), path, account); err != nil || got.Changed {
		t.Errorf("not modified, says the storage: %+v, %v", got, err)
	}

	storage.odd = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true }
	if _, err := m.updater().Update(t.Context(), path, account); err == nil || errors.Is(err, geo.ErrCredentials) || !strings.Contains(err.Error(), "storage") {
		t.Errorf("refused by the storage: %v", err)
	}
	storage.odd = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	if _, err := m.updater().Update(t.Context(), path, account); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("hung up on by the storage: %v", err)
	}
}

func TestADownloadIsNotHandedOnToAConnectionInClear(t *testing.T) {
	clear := serve(t, nil)
	safe := httptest.NewTLSServer(http.RedirectHandler(clear.URL, http.StatusFound))
	defer safe.Close()
	path := filepath.Join(t.TempDir(), "regions.mmdb")
	u := geo.Updater{Client: safe.Client(), MaxMindURL: safe.URL}
	if _, err := u.Update(t.Context(), path, account); err == nil || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("got %v", err)
	}
	if len(clear.asked) != 0 {
		t.Errorf("asked in clear for %q", clear.asked)
	}
}

func TestTheLicenceKeyIsNotPrinted(t *testing.T) {
	asJSON, err := json.Marshal(account)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(account), fmt.Sprintf("%+v %#v", account, account), string(asJSON)} {
		if strings.Contains(s, licence) {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestLookupsGoOnWhileUpdatesReplaceTheFile(t *testing.T) {
	db, path := open(t)
	m := serve(t, offer(archive(t, "GeoLite2-City.mmdb", database(t, newer))))
	u := m.updater()
	u.Force = true
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := db.Lookup(netip.MustParseAddr("192.0.2.1")).String(); got != "GB-ENG" {
					t.Errorf("in the middle of an update: %s", got)
					return
				}
			}
		})
	}
	for i := range 10 {
		at := newer.AddDate(0, 0, i)
		next := offer(archive(t, "GeoLite2-City.mmdb", database(t, at)))
		m.mu.Lock()
		m.files = next
		m.mu.Unlock()
		if _, err := u.Update(t.Context(), path, account); err != nil {
			t.Fatal(err)
		}
		if changed, err := db.Refresh(); !changed || err != nil || !db.BuildTime().Equal(at) {
			t.Errorf("update %d is not taken up: %v, %v", i, changed, err)
		}
	}
	close(stop)
	wg.Wait()
	alone(t, path)
}

func TestADatabaseIsStaleAfterFortyFiveDays(t *testing.T) {
	db, _ := open(t)
	if text, stale := db.Stale(built.AddDate(0, 0, 45)); stale || text != "" {
		t.Errorf("at 45 days: %q", text)
	}
	text, stale := db.Stale(built.AddDate(0, 0, 46))
	for _, part := range []string{"GeoLite2-City", "2026-03-01", "46 days", "beckon geo update"} {
		if !stale || !strings.Contains(text, part) {
			t.Errorf("at 46 days %q does not say %q", text, part)
		}
	}
	var none *geo.DB
	if _, stale := none.Stale(built); stale {
		t.Error("no database is stale")
	}
}
