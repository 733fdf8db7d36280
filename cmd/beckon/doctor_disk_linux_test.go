package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMemoryIsNoDisk holds what diskOf says of every mount to what the kernel says.
func TestMemoryIsNoDisk(t *testing.T) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]string{} // the last mount at a place is the one that is seen
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if part := strings.Fields(lines.Text()); len(part) > 2 {
			kinds[part[1]] = part[2]
		}
	}
	looked := 0
	for path, kind := range kinds {
		if d, ok := diskOf(path); ok {
			looked++
			if d.memory != (kind == "tmpfs" || kind == "ramfs" || kind == "devtmpfs") || d.layer != (kind == "overlay") {
				t.Errorf("%s is %s, and diskOf says %+v", path, kind, d)
			}
		}
	}
	if looked == 0 {
		t.Error("no mount was looked at")
	}
}

func TestWhatIsNotThereYetIsOnTheDeviceAboveIt(t *testing.T) {
	dir := t.TempDir()
	if same, known := sameDevice(filepath.Join(dir, "a", "b"), filepath.Join(dir, "c")); !same || !known {
		t.Errorf("same %v, known %v", same, known)
	}
	if same, known := sameDevice("/proc/self", dir); same || !known {
		t.Errorf("/proc and %s: same %v, known %v", dir, same, known)
	}
}
