//go:build !linux

package main

// disk is where a directory is kept.
type disk struct {
	kind                  string
	memory, layer, remote bool
	free                  uint64
}

// diskOf and sameDevice know nothing on this system.
func diskOf(string) (disk, bool) { return disk{}, false }

func sameDevice(string, string) (same, known bool) { return false, false }
