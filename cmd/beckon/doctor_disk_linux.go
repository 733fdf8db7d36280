package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// disk is where a directory is kept.
type disk struct {
	kind                  string
	memory, layer, remote bool
	free                  uint64
}

// Magic numbers of statfs(2).
var fileSystems = map[uint32]disk{
	0x01021994: {kind: "tmpfs", memory: true},
	0x858458f6: {kind: "ramfs", memory: true},
	0x794c7630: {kind: "overlayfs", layer: true},
	0x6969:     {kind: "NFS", remote: true},
	0xff534d42: {kind: "CIFS", remote: true},
	0xfe534d42: {kind: "SMB", remote: true},
}

func diskOf(path string) (disk, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return disk{}, false
	}
	d := fileSystems[uint32(s.Type)]
	d.free = s.Bavail * uint64(s.Bsize)
	return d, true
}

// sameDevice says whether two paths are on one device. One that is not there yet will be on that of the
// directory above it.
func sameDevice(a, b string) (same, known bool) {
	x, ok := deviceOf(a)
	y, ok2 := deviceOf(b)
	return x == y, ok && ok2
}

func deviceOf(path string) (uint64, bool) {
	for {
		info, err := os.Stat(path)
		if err == nil {
			s, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return 0, false
			}
			return uint64(s.Dev), true
		}
		up := filepath.Dir(path)
		if up == path {
			return 0, false
		}
		path = up
	}
}
