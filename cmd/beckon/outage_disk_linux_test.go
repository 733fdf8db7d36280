package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDiskFullUnderLoad: the disk takes no more in the middle of the load. Images and redirects go on,
// each hit that was not kept is owned up to wherever an operator looks, and hits are kept again as soon
// as there is space.
func TestDiskFullUnderLoad(t *testing.T) {
	alongside(t)
	t.Run("a full file system under the spool", func(t *testing.T) {
		alongside(t)
		if !mayMount() {
			t.Log("no file system can be mounted here: the other half of the test has to do")
			return
		}
		diskFullUnderLoad(t, ownFileSystem(sized(64, 512)), func(o *outage) (free func()) {
			filler := fmt.Sprintf("/proc/%d/root%s", o.process.Process.Pid, filepath.Join(o.data, "spool", "filler"))
			fill(t, filler)
			return func() {
				if err := os.Remove(filler); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("no file may grow", func(t *testing.T) {
		alongside(t)
		diskFullUnderLoad(t, func(*outage) {}, func(o *outage) (free func()) {
			limit := func(bytes uint64) {
				if err := unix.Prlimit(o.process.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
					t.Error(err)
				}
			}
			limit(1)
			return func() { limit(unix.RLIM_INFINITY) }
		})
	})
}

func diskFullUnderLoad(t *testing.T, prepare func(*outage), full func(*outage) (free func())) {
	clients := sized(32, 256)
	o := newOutage(t, demoStorage{}, clients*sized(6, 40), prepare)
	lost := func() int64 { return o.metric("beckon_tracker_losses_total") }
	tr := o.traffic(clients)
	o.goOn(tr, sized(time.Second, 10*time.Second))
	tr.mark("the disk is full")
	free := full(o)
	o.until("hits are lost", func() bool { return lost() > 100 })
	o.goOn(tr, sized(time.Second, 20*time.Second))
	ready := o.readyz()
	free()
	tr.mark("there is space")
	o.until("no more hits are lost", func() bool {
		before, answered := lost(), tr.answered.Load()
		o.until("hits are answered", func() bool { return tr.answered.Load() > answered+200 })
		return lost() == before
	})
	o.goOn(tr, sized(500*time.Millisecond, 10*time.Second))
	tr.end()
	tr.tell(t)
	if tr.refused()+tr.broken()+tr.unreached() > 0 {
		t.Errorf("%d answers were errors, %d requests had none, %d connections were refused", tr.refused(), tr.broken(), tr.unreached())
	}
	o.settle()
	gone := lost()
	o.account(tr.sums(), gone)
	if all := tr.total(); o.number(`SELECT CAST(SUM(n) AS BIGINT) FROM counts`) != all.answered-gone {
		t.Errorf("%d answered, %d said to be lost, %d counted", all.answered, gone, o.number(`SELECT CAST(SUM(n) AS BIGINT) FROM counts`))
	}
	if n := o.metric("beckon_spool_lost_total"); n != gone {
		t.Errorf("the spool speaks of %d lost hits, the handler of %d", n, gone)
	}
	o.until("the log tells of every lost hit", func() bool { return o.log.losses() >= gone })
	if n := o.log.losses(); n != gone {
		t.Errorf("the log speaks of %d lost hits, the metrics of %d", n, gone)
	}
	if !strings.Contains(ready, `"name":"spool","ok":false`) {
		t.Errorf("while hits are lost, readyz says %s", ready)
	}
}

var lossLine = regexp.MustCompile(`msg="hits were answered but not recorded.* hits=(\d+) `)

// losses adds up what the log says of hits that were not recorded.
func (l *logbook) losses() (sum int64) {
	for _, m := range lossLine.FindAllStringSubmatch(l.String(), -1) {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		sum += n
	}
	return sum
}

func (o *outage) readyz() string {
	o.t.Helper()
	resp, err := http.Get(o.base + "/readyz")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// apart gives a process mounts of its own; without privileges, also users of its own.
func apart() *syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Unshareflags: syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
}

// mountThen is a script that mounts a file system of $1 MB at $2 and becomes the rest of its arguments.
const mountThen = `size=$1; dir=$2; shift 2; mkdir -p "$dir" && mount -t tmpfs -o size="$size"m tmpfs "$dir" && exec "$@"`

func mayMount() bool {
	dir, err := os.MkdirTemp("", "beckon-mount-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	c := exec.Command("/bin/sh", "-c", mountThen, "sh", "1", dir, "true")
	c.SysProcAttr = apart()
	return c.Run() == nil
}

// ownFileSystem puts the spool on a file system of that many MB, which only the service sees.
func ownFileSystem(megabytes int) func(*outage) {
	return func(o *outage) {
		o.prepare = func(c *exec.Cmd) {
			c.Args = append([]string{"sh", "-c", mountThen, "sh", strconv.Itoa(megabytes), filepath.Join(o.data, "spool"), c.Path}, c.Args[1:]...)
			c.Path, c.SysProcAttr = "/bin/sh", apart()
		}
	}
}

// fill writes a file until its file system has no room for another byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
