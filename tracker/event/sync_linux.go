package event

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes what was written to f durable; of its metadata only the size, which is all that
// reading it back needs.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
