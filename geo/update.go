package geo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What callers of Update may want to tell apart; the error around them says what to do.
var (
	ErrCredentials = errors.New("the account id or the licence key is not accepted")
	ErrLimit       = errors.New("the limit of downloads per day is reached")
	ErrNotOffered  = errors.New("there is no such file")
	ErrChecksum    = errors.New("the download does not match its published checksum")
	ErrTooLarge    = errors.New("the download is larger than any region database")
	ErrDamaged     = errors.New("what came is not a region database that can be used")
	ErrOlder       = errors.New("the database offered is older than the one in place")
)

// Updater fetches region databases. The zero Updater is ready to use.
type Updater struct {
	Client     *http.Client     // nil: one of its own, which goes through the proxy of the environment
	MaxMindURL string           // empty: https://download.maxmind.com
	DBIPURL    string           // empty: https://download.db-ip.com
	Now        func() time.Time // nil: time.Now
	Force      bool             // fetch even if nothing is newer, and take an older database
	Timeout    time.Duration    // for the whole update; 0: 15 minutes
	Limit      int64            // most bytes to accept, packed and unpacked; 0: 1 GiB

	writer func(io.Writer) io.Writer // how a test fills the disk
}

// Result is what an update did.
type Result struct {
	Changed  bool      // false: what was in place is what the maker offers
	Verified bool      // held to a checksum that the maker publishes
	Path     string    // the file written, symbolic links resolved
	Kind     string    // such as GeoLite2-City
	Built    time.Time // when the database now in place was made
	Replaced time.Time // when the one that was replaced was made; zero: none was, or none that could be used
	Bytes    int64     // size of the file now in place
}

// Update puts the newest database of a provider at path, in one step: whoever opens path finds the
// old file or the new one, whole, and a running service takes it up by DB.Refresh. The new file has
// been held to the published checksum, if there is one, has passed every check of Open, and is on
// disk before it takes the name.
//
// On any error, cancellation included, the file at path is as it was and nothing else is left in its
// folder; what a killed process left there is removed by a later update.
func (u *Updater) Update(ctx context.Context, path string, from Provider) (Result, error) {
	res, err := u.update(ctx, path, from)
	if err != nil {
		return Result{}, fmt.Errorf("geo: update from %s: %w", from, err)
	}
	return res, nil
}

func (u *Updater) update(ctx context.Context, path string, from Provider) (Result, error) {
	offers, err := from.offers(u)
	if err != nil {
		return Result{}, err
	}
	old, err := look(path)
	if err != nil {
		return Result{}, err
	}
	u.sweep(old.path)
	ctx, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	for i, o := range offers {
		res, err := u.replace(ctx, old, o)
		if errors.Is(err, ErrNotOffered) && i+1 < len(offers) {
			continue
		}
		if err != nil {
			return Result{}, u.explain(ctx, err)
		}
		return res, nil
	}
	return Result{}, ErrNotOffered
}

// place is what is at the path before an update.
type place struct {
	path  string
	mode  fs.FileMode
	mod   time.Time
	size  int64
	kind  string    // empty: nothing that can be used
	built time.Time // zero: nothing that can be used
}

func look(path string) (place, error) {
	if path == "" {
		return place{}, errors.New("no path is given to put the database at: set BECKON_GEO, such as /var/lib/beckon/regions.mmdb")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	p := place{path: path, mode: 0o644}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return place{}, fmt.Errorf("there is no folder %s to put the database in: create it, writable for this user", filepath.Dir(path))
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return place{}, err
	case !info.Mode().IsRegular():
		return place{}, fmt.Errorf("%s is not a file: name the .mmdb file itself", path)
	}
	p.mode, p.mod, p.size = info.Mode().Perm(), info.ModTime(), info.Size()
	if f, err := load(path); err == nil {
		p.kind, p.built = f.kind, f.built
		f.reader.Close()
	}
	return p, nil
}

// since is the time to ask for anything newer than. A file that replace put in place carries the
// time that its maker published it; one that somebody copied there carries the time of the copying,
// with a fraction of a second, and says nothing.
func (p place) since(kind string) time.Time {
	if p.kind != kind || p.mod.Nanosecond() != 0 || p.mod.Before(p.built) {
		return time.Time{}
	}
	return p.mod
}

func (u *Updater) replace(ctx context.Context, old place, o offer) (Result, error) {
	var since time.Time
	if !u.Force {
		since = old.since(o.kind)
	}
	answer, err := u.get(ctx, o, o.url, since)
	if err != nil {
		return Result{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotModified {
		return Result{Path: old.path, Kind: old.kind, Built: old.built, Bytes: old.size}, nil
	}

	temp, err := os.CreateTemp(filepath.Dir(old.path), leftover(old.path)+"*")
	if err != nil {
		return Result{}, diskError{err}
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	var w io.Writer = temp
	if u.writer != nil {
		w = u.writer(temp)
	}
	if err := u.receive(ctx, o, answer, disk{w}); err != nil {
		return Result{}, err
	}
	if err := finish(temp, old, answer.Header.Get("Last-Modified")); err != nil {
		return Result{}, diskError{err}
	}
	f, err := load(temp.Name())
	if err != nil {
		return Result{}, fmt.Errorf("%w (it %w)", ErrDamaged, err)
	}
	f.reader.Close()
	if f.built.Before(old.built) && !u.Force {
		return Result{}, fmt.Errorf("%w (built %s, in place %s): nothing to do, or force the update to go back to it", ErrOlder, f.built.Format(time.DateOnly), old.built.Format(time.DateOnly))
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	// If the machine stops before the new name is on disk, the old file is still there, whole.
	if err := os.Rename(temp.Name(), old.path); err != nil {
		return Result{}, diskError{err}
	}
	return Result{
		Changed: f.kind != old.kind || !f.built.Equal(old.built), Verified: o.checksum != "",
		Path: old.path, Kind: f.kind, Built: f.built, Replaced: old.built, Bytes: f.stamp.size,
	}, nil
}

// finish makes a downloaded file ready to take its name. Its time of change becomes the one that the
// maker gives, unless Refresh would then take it for the file in place.
func finish(temp *os.File, old place, modified string) error {
	if err := temp.Chmod(old.mode); err != nil {
		return err
	}
	if at, err := http.ParseTime(modified); err == nil && !at.Equal(old.mod) {
		if err := os.Chtimes(temp.Name(), at, at); err != nil {
			return err
		}
	}
	return errors.Join(temp.Sync(), temp.Close())
}

// explain says what a failure means for whoever runs the update.
func (u *Updater) explain(ctx context.Context, err error) error {
	const kept = "the file in place was not touched"
	var onWire wireError
	var onDisk diskError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not finished after %s (%w): %s; try again", u.timeout(), context.DeadlineExceeded, kept)
	case ctx.Err() != nil:
		return fmt.Errorf("stopped (%w): %s", ctx.Err(), kept)
	case errors.As(err, &onDisk) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)):
		return fmt.Errorf("the disk is full (%w): %s; make room and try again", err, kept)
	case errors.As(err, &onDisk):
		return fmt.Errorf("the new file could not be written (%w): %s; the folder must be writable for this user", err, kept)
	case errors.As(err, &onWire):
		return fmt.Errorf("the connection failed or broke off (%w): %s; check that this machine may reach the maker over HTTPS, and try again", err, kept)
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w (limit %d bytes): %s", err, u.limit(), kept)
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrLimit), errors.Is(err, ErrNotOffered), errors.Is(err, ErrChecksum), errors.Is(err, ErrOlder):
		return fmt.Errorf("%w; %s", err, kept)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("%w: %s; try again, and look for a proxy that answers in the maker's place", err, kept)
	}
	return fmt.Errorf("%w; %s", err, kept)
}

// leftover is how the names of unfinished files beside path begin.
func leftover(path string) string { return "." + filepath.Base(path) + ".update-" }

// sweep removes what a killed update left behind, once no update can still be writing it.
func (u *Updater) sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	before := u.now().Add(-max(time.Hour, 2*u.timeout()))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), leftover(path)) && info.Mode().IsRegular() && info.ModTime().Before(before) {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

func (u *Updater) now() time.Time {
	if u.Now == nil {
		return time.Now()
	}
	return u.Now()
}

func (u *Updater) timeout() time.Duration {
	if u.Timeout <= 0 {
		return 15 * time.Minute
	}
	return u.Timeout
}

func (u *Updater) limit() int64 {
	if u.Limit <= 0 {
		return 1 << 30
	}
	return u.Limit
}
