package bot

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// List is a file of networks, as ParseNetworks reads it.
type List struct {
	Path    string
	Missing bool   // the file may not be there; that is an empty list
	Remedy  string // what whoever runs Beckon does about a file that cannot be used
}

// Lists judges by the networks that come with the package and those of some files, which may be
// replaced while it judges. Of two networks the narrower one holds, of two equal ones that of the later
// file. Judge is safe for concurrent use, and so is Refresh.
//
// Replace a file by renaming a new one over it; one that is written in place may be read half written,
// and is then read again at the next Refresh.
type Lists struct {
	rules atomic.Pointer[Rules]

	mu    sync.Mutex // held while files are read
	lists []List
	read  []content
}

// content is what was last read of a file.
type content struct {
	info     fs.FileInfo // of the file that was read last, understood or not; nil: it was not there
	networks []Network
}

// OpenLists reads the files. The error says which line of which is not understood, and what to do.
func OpenLists(lists ...List) (*Lists, error) {
	l := &Lists{lists: slices.Clone(lists), read: make([]content, len(lists))}
	for i := range lists {
		if _, err := l.take(i); err != nil {
			return nil, err
		}
	}
	return l, l.compile()
}

// Judge judges by the lists that are in use; see Rules.Judge.
func (l *Lists) Judge(kind, method string, h http.Header, addr netip.Addr) Judgement {
	return l.rules.Load().Judge(kind, method, h, addr)
}

// Refresh takes up the files that were replaced, and says whether there were any. A file that is not
// understood, or has gone though it must be there, leaves its old networks in use and is told of once.
func (l *Lists) Refresh() (changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []error
	for i := range l.lists {
		taken, err := l.take(i)
		wrong, changed = append(wrong, err), changed || taken
	}
	if changed {
		wrong = append(wrong, l.compile())
	}
	return changed, errors.Join(wrong...)
}

// take reads a file if it is another one than was read last.
func (l *Lists) take(i int) (taken bool, err error) {
	list, old := l.lists[i], &l.read[i]
	info, err := os.Stat(list.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && list.Missing:
		taken = old.info != nil
		*old = content{}
		return taken, nil
	case err == nil && old.info != nil && os.SameFile(info, old.info) && info.Size() == old.info.Size() && info.ModTime().Equal(old.info.ModTime()):
		return false, nil
	case err != nil && old.networks != nil && old.info == nil: // told of already
		return false, nil
	}
	old.info = info
	if err != nil {
		old.info = nil
		return false, fmt.Errorf("bot: list of networks: %w; %s", err, list.Remedy)
	}
	networks, err := readNetworks(list.Path)
	if err != nil {
		return false, fmt.Errorf("%s: %w; %s", list.Path, err, list.Remedy)
	}
	old.networks = networks
	return true, nil
}

// readNetworks reads a file; the result is not nil.
func readNetworks(path string) ([]Network, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bot: list of networks: %w", err)
	}
	defer f.Close()
	list, err := ParseNetworks(f)
	if err != nil {
		return nil, err
	}
	return append([]Network{}, list...), nil
}

func (l *Lists) compile() error {
	all, err := ParseNetworks(strings.NewReader(networksFile))
	if err != nil {
		return err
	}
	for _, c := range l.read {
		all = append(all, c.networks...)
	}
	l.rules.Store(Default().with(all))
	return nil
}

// Networks returns how many networks the files hold that are in use.
func (l *Lists) Networks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.read {
		n += len(c.networks)
	}
	return n
}

// staleAfter is when published lists have moved far enough to be fetched again.
const staleAfter = 90 * 24 * time.Hour

// Age is how old the fetched list at path is; ok is false if there is none.
func Age(path string, now time.Time) (age time.Duration, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	return max(0, now.Sub(info.ModTime())), true
}

// Stale says whether the fetched list at path is older than 90 days, and if so what to tell whoever
// runs Beckon.
func Stale(path string, now time.Time) (warning string, stale bool) {
	age, ok := Age(path, now)
	if !ok || age <= staleAfter {
		return "", false
	}
	return fmt.Sprintf("the networks of scanners, proxies and relays were fetched %d days ago: they move, so some machines pass for people by now; run “beckon networks update”", int(age/(24*time.Hour))), true
}
