package bot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go4.org/netipx"
)

// What callers of Update may want to tell apart; the error around them says what to do.
var (
	ErrShrunk   = errors.New("the published lists hold far less than the one in place")
	ErrTooLarge = errors.New("the download is larger than any list of networks")
)

// Updater fetches the published lists of relays, proxies and scanners. The zero Updater is ready to use.
type Updater struct {
	Client       *http.Client // nil: one of its own, which goes through the proxy of the environment
	AppleURL     string       // empty: https://mask-api.icloud.com
	GoogleURL    string       // empty: https://developers.google.com
	MicrosoftURL string       // empty: https://endpoints.office.com
	Now          func() time.Time
	Force        bool          // take lists that hold far less than the one in place
	Timeout      time.Duration // for the whole update; 0: 5 minutes
	Limit        int64         // most bytes of one list; 0: 64 MiB
}

// Updated is what an update did.
type Updated struct {
	Published int // networks in the published lists
	Written   int // networks in the file, which amount to the same
	Replaced  int // networks in the file that was replaced; zero: none was, or none that could be used
}

// Update puts the published lists, as one file, at path, in one step: whoever opens path finds the old
// file or the new one, whole, and a running service takes it up by Lists.Refresh. Networks side by side
// are joined. The new file has been read back and is on disk before it takes the name.
//
// On any error, cancellation included, the file at path is as it was and nothing else is left in its
// folder. All lists are fetched or none is taken: a file that lacks one would be older than it looks.
func (u *Updater) Update(ctx context.Context, path string) (Updated, error) {
	done, err := u.update(ctx, path)
	if err != nil {
		return Updated{}, fmt.Errorf("bot: update of the networks: %w; the file in place was not touched", err)
	}
	return done, nil
}

func (u *Updater) update(ctx context.Context, path string) (Updated, error) {
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return Updated{}, fmt.Errorf("there is no folder %s to put the list in: create it, writable for this user", filepath.Dir(path))
	}
	old, err := readNetworks(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNetworks) {
		return Updated{}, err
	}
	timeout := u.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var published []Network
	for _, s := range u.sources() {
		list, err := u.fetch(ctx, s)
		if err != nil {
			return Updated{}, fmt.Errorf("%s: %w", s.name, err)
		}
		published = append(published, list...)
	}
	list, err := join(published)
	if err != nil {
		return Updated{}, err
	}
	if err := shrunk(old, list); err != nil && !u.Force {
		return Updated{}, err
	}
	if err := ctx.Err(); err != nil {
		return Updated{}, err
	}
	if err := u.write(path, list); err != nil {
		return Updated{}, fmt.Errorf("the new file could not be written (%w): the folder must be writable for this user and the disk have room", err)
	}
	return Updated{len(published), len(list), len(old)}, nil
}

func (u *Updater) fetch(ctx context.Context, s source) ([]Network, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, errors.New("the address to download from is not one")
	}
	req.Header.Set("User-Agent", "beckon")
	res, err := u.client().Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, unreached(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server refused the download (%d %s): try again later; a proxy may be in between", res.StatusCode, http.StatusText(res.StatusCode))
	}
	limit := u.Limit
	if limit <= 0 {
		limit = 64 << 20
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, unreached(err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%w (limit %d bytes)", ErrTooLarge, limit)
	}
	list, err := s.parse(text)
	if err == nil && len(list) == 0 {
		err = errors.New("it holds no network")
	}
	for i := 0; err == nil && i < len(list); i++ {
		err = plausible(list[i].Prefix)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: what came is not the list (%w): try again, and look for a proxy that answers in its place", ErrNetworks, err)
	}
	return list, nil
}

func unreached(err error) error {
	return fmt.Errorf("the connection failed or broke off (%w): check that this machine may reach it over HTTPS, and try again", err)
}

// client is the given client, which follows a redirect only to where nobody can read along.
func (u *Updater) client() *http.Client {
	c := http.Client{}
	if u.Client != nil {
		c = *u.Client
	}
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= 5:
			return errors.New("redirected too often")
		case req.URL.Scheme != "https":
			return errors.New("redirected to a connection that is not encrypted")
		}
		return nil
	}
	return &c
}

// join makes as few networks as amount to the same.
func join(list []Network) ([]Network, error) {
	var kinds []Network // without their prefixes
	sets := map[Network]*netipx.IPSetBuilder{}
	for _, n := range list {
		kind := Network{Class: n.Class, Name: n.Name}
		if sets[kind] == nil {
			kinds, sets[kind] = append(kinds, kind), &netipx.IPSetBuilder{}
		}
		sets[kind].AddPrefix(n.Prefix.Masked())
	}
	var joined []Network
	for _, kind := range kinds {
		set, err := sets[kind].IPSet()
		if err != nil {
			return nil, err
		}
		for _, p := range set.Prefixes() {
			joined = append(joined, Network{p, kind.Class, kind.Name})
		}
	}
	return joined, nil
}

// shrunk compares how many addresses there are of each kind: a list of which half is gone was cut, or is
// another one by now.
func shrunk(old, list []Network) error {
	type part struct {
		class Class
		name  string
		six   bool
	}
	size := func(list []Network) map[part]float64 {
		m := map[part]float64{}
		for _, n := range list {
			bits := n.Prefix.Addr().BitLen() - n.Prefix.Bits()
			m[part{n.Class, n.Name, n.Prefix.Addr().Is6()}] += math.Ldexp(1, bits)
		}
		return m
	}
	is := size(list)
	for p, was := range size(old) {
		if is[p] < was/2 {
			return fmt.Errorf("%w: of the networks of %s %.0f%% are left; look at the list, and force the update if that is so", ErrShrunk, p.name, 100*is[p]/was)
		}
	}
	return nil
}

// write makes the file and reads it back before it takes its name.
func (u *Updater) write(path string, list []Network) error {
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	leftovers := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".update-*")
	if left, err := filepath.Glob(leftovers); err == nil {
		for _, name := range left { // of updates that were killed
			if info, err := os.Stat(name); err == nil && info.ModTime().Before(now().Add(-24*time.Hour)) {
				os.Remove(name)
			}
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(leftovers))
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	w := bufio.NewWriter(temp)
	fmt.Fprintf(w, "# Fetched by `beckon networks update` on %s, which overwrites this file: name one of your own with BECKON_NETWORKS.\n", now().UTC().Format(time.DateOnly))
	for _, n := range list {
		fmt.Fprintf(w, "%s %s %s\n", n.Prefix, n.Class, n.Name)
	}
	if err := errors.Join(w.Flush(), temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	back, err := readNetworks(temp.Name())
	if err != nil {
		return err
	}
	if len(back) != len(list) {
		return fmt.Errorf("%d of %d networks can be read back", len(back), len(list))
	}
	if err := os.Chtimes(temp.Name(), now(), now()); err != nil {
		return err
	}
	// If the machine stops before the new name is on disk, the old file is still there, whole.
	return os.Rename(temp.Name(), path)
}
