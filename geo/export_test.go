package geo

import "io"

// WriteThrough puts a writer between what an update downloads and the disk.
func (u *Updater) WriteThrough(w func(io.Writer) io.Writer) { u.writer = w }
