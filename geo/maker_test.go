package geo_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"beckon/geo"
	"beckon/geo/sample"
)

const licence = "abcdef_licence_mmk"

var (
	account   = geo.GeoLite2{AccountID: "424242", LicenseKey: licence}
	published = time.Date(2026, 4, 3, 15, 4, 5, 0, time.UTC)
	newer     = built.AddDate(0, 1, 0)
)

// maker is a local server that answers as MaxMind or DB-IP does.
type maker struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte                                        // by path and query
	odd   func(w http.ResponseWriter, r *http.Request) (done bool) // asked first
	asked []string
	heads []http.Header
}

func serve(t *testing.T, files map[string][]byte) *maker {
	m := &maker{files: files}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *maker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked, m.heads = append(m.asked, r.URL.RequestURI()), append(m.heads, r.Header.Clone())
	content, ok := m.files[r.URL.RequestURI()]
	m.mu.Unlock()
	if m.odd != nil && m.odd(w, r) {
		return
	}
	if user, key, _ := r.BasicAuth(); strings.HasPrefix(r.URL.Path, "/geoip/") && (user != account.AccountID || key != licence) {
		http.Error(w, "Invalid license key", http.StatusUnauthorized)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", published, bytes.NewReader(content))
}

func (m *maker) updater() *geo.Updater {
	return &geo.Updater{MaxMindURL: m.URL, DBIPURL: m.URL + "/", Now: func() time.Time { return time.Date(2026, 3, 31, 23, 0, 0, 0, time.UTC) }}
}

const permalink = "/geoip/databases/GeoLite2-City/download?suffix=tar.gz"

func database(t *testing.T, at time.Time) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.mmdb")
	if err := sample.WriteBuilt(path, at); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archive(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	a := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		body []byte
	}{{"COPYRIGHT.txt", []byte("made up")}, {name, content}, {"LICENSE.txt", []byte("none")}} {
		err := a.WriteHeader(&tar.Header{Name: "GeoLite2-City_20260403/" + f.name, Mode: 0o644, Size: int64(len(f.body)), Typeflag: tar.TypeReg})
		_, err2 := a.Write(f.body)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped(t, b.Bytes())
}

// offer is what MaxMind serves: an archive and its checksum.
func offer(packed []byte) map[string][]byte {
	return map[string][]byte{permalink: packed, permalink + ".sha256": fmt.Appendf(nil, "%x  GeoLite2-City_20260403.tar.gz\n", sha256.Sum256(packed))}
}

// alone fails if anything but the named file is in its folder.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}

// full is a disk with room for a few bytes.
type full struct {
	w    io.Writer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, &os.PathError{Op: "write", Path: "regions", Err: syscall.ENOSPC}
	}
	f.room -= len(p)
	return f.w.Write(p)
}
