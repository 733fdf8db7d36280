package bot_test

import (
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/tracker/bot"
)

const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"

// put replaces a file as an operator should: by renaming a new one over it.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// reason is why a click in a browser from the address is whose it is.
func reason(l *bot.Lists, addr string) string {
	return l.Judge(bot.Click, http.MethodGet, http.Header{"User-Agent": {chrome}}, netip.MustParseAddr(addr)).Reason
}

func TestListsAreTakenUpWhenTheyAreReplaced(t *testing.T) {
	dir := t.TempDir()
	own, fetched := filepath.Join(dir, "own"), filepath.Join(dir, "fetched")
	put(t, own, "192.0.2.0/24 scanner House\n")
	l, err := bot.OpenLists(bot.List{Path: fetched, Missing: true}, bot.List{Path: own, Remedy: "mend it"})
	if err != nil {
		t.Fatal(err)
	}
	holds := func(what, addr, want string) {
		t.Helper()
		if got := reason(l, addr); got != want {
			t.Errorf("%s: a click from %s is %q, want %q", what, addr, got, want)
		}
	}
	refresh := func(want bool) {
		t.Helper()
		if changed, err := l.Refresh(); changed != want || err != nil {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	holds("at the start", "192.0.2.1", "scanner: House")
	holds("at the start", "40.107.0.1", "scanner: Microsoft Defender")
	holds("at the start", "198.51.100.1", "browser")
	refresh(false)

	put(t, fetched, "198.51.100.0/24 scanner Fetched\n192.0.2.0/24 scanner Fetched\n40.107.0.0/16 scanner Fetched\n")
	refresh(true)
	holds("with a fetched list", "198.51.100.1", "scanner: Fetched")
	holds("the operator's word goes before", "192.0.2.1", "scanner: House")
	holds("a fetched list goes before those that ship", "40.107.0.1", "scanner: Fetched")
	refresh(false)

	put(t, own, "192.0.2.0/24 scanner Mansion\n203.0.113.0/24 gateway Mansion\n")
	if changed, err := l.Refresh(); changed || !errors.Is(err, bot.ErrNetworks) || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "mend it") || !strings.Contains(err.Error(), own) {
		t.Errorf("a broken list: %v, %v", changed, err)
	}
	holds("after a broken list", "192.0.2.1", "scanner: House")
	refresh(false) // told of once

	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if changed, err := l.Refresh(); changed || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a list that has gone: %v, %v", changed, err)
	}
	refresh(false)
	holds("after it has gone", "192.0.2.1", "scanner: House")

	put(t, own, "192.0.2.0/24 scanner Mansion\n")
	refresh(true)
	holds("after it is there again", "192.0.2.1", "scanner: Mansion")
	if n := l.Networks(); n != 4 {
		t.Errorf("%d networks", n)
	}

	if err := os.Remove(fetched); err != nil {
		t.Fatal(err)
	}
	refresh(true)
	holds("a fetched list may go", "198.51.100.1", "browser")
}

func TestAListThatIsNotUnderstoodStopsTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own")
	if _, err := bot.OpenLists(bot.List{Path: path, Remedy: "mend it"}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "mend it") {
		t.Errorf("no file: %v", err)
	}
	put(t, path, "# mine\n192.0.2.0/24 scanner House\n192.0.2.0\n")
	for _, missing := range []bool{false, true} {
		_, err := bot.OpenLists(bot.List{Path: path, Missing: missing, Remedy: "mend it"})
		if !errors.Is(err, bot.ErrNetworks) || !strings.Contains(err.Error(), "line 3") || !strings.Contains(err.Error(), "mend it") {
			t.Errorf("got %v", err)
		}
	}
}

// Whoever judges while a list is replaced goes by the old one or the new one, whole.
func TestListsAreReplacedWhileTheyServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own")
	lists := []string{"192.0.2.0/24 scanner One\n198.51.100.0/24 scanner One\n", "192.0.2.0/24 scanner Two\n198.51.100.0/24 scanner Two\n"}
	put(t, path, lists[0])
	l, err := bot.OpenLists(bot.List{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if r := reason(l, "192.0.2.1"); r != "scanner: One" && r != "scanner: Two" {
					t.Errorf("judged %q", r)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 20 {
		put(t, path, lists[(i+1)%2])
		if changed, err := l.Refresh(); !changed || err != nil {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	close(done)
	wg.Wait()
}

func TestAnOldListIsStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.txt")
	now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	if text, stale := bot.Stale(path, now); stale {
		t.Errorf("no list: %s", text)
	}
	put(t, path, "")
	for days, want := range map[int]bool{0: false, 90: false, 91: true} {
		at := now.AddDate(0, 0, -days)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		text, stale := bot.Stale(path, now)
		if stale != want || stale && (!strings.Contains(text, "91 days") || !strings.Contains(text, "beckon networks update")) {
			t.Errorf("after %d days: %v %q", days, stale, text)
		}
		if age, ok := bot.Age(path, now); !ok || age != time.Duration(days)*24*time.Hour {
			t.Errorf("after %d days: %s, %v", days, age, ok)
		}
	}
}
