package event

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"beckon/schema"
)

// A segment is a file of the spool, named by the sequence number that its first hit has or will
// have: a head, then groups. A group is what was written and synced at once: a head, then records.
// Sequence numbers of a group follow each other; those of hits that were refused are left out
// between groups, and each group names the last number before it that was kept, so that a group
// that is missing is noticed.
//
//	segment head: "BKSPOOL1", first uint64, created uint64 (microseconds), CRC-32C uint32, zero uint32
//	group head:   "BKG1", bytes of records uint32, first uint64, previous uint64, hits uint32, CRC-32C uint32
const (
	segmentMagic = "BKSPOOL1"
	segmentHead  = 32
	segmentExt   = ".hits"
	groupMagic   = "BKG1"
	groupHead    = 32
)

// errTorn is wrapped when the bytes of a segment are not what was written.
var errTorn = errors.New("spool segment damaged")

// segment is a file of the spool. Its end is how far it is synced; what follows, in the one that is
// written, is zeros (see makeRoom).
type segment struct {
	path    string
	first   int64 // sequence number of the first hit in it, or to come
	created schema.Time
	end     int64
	emptied int // how often it was begun anew
}

// group is the head of a group.
type group struct {
	size  int   // bytes of records
	first int64 // sequence number of its first hit
	prev  int64 // the last number kept before it
	hits  int
}

func (g group) last() int64 { return g.first + int64(g.hits) - 1 }

func (g group) put(b []byte) {
	copy(b, groupMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(g.size))
	binary.LittleEndian.PutUint64(b[8:], uint64(g.first))
	binary.LittleEndian.PutUint64(b[16:], uint64(g.prev))
	binary.LittleEndian.PutUint32(b[24:], uint32(g.hits))
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
}

func readGroup(b []byte) (group, bool) {
	if len(b) < groupHead || string(b[:4]) != groupMagic || binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return group{}, false
	}
	g := group{
		size:  int(binary.LittleEndian.Uint32(b[4:])),
		first: int64(binary.LittleEndian.Uint64(b[8:])),
		prev:  int64(binary.LittleEndian.Uint64(b[16:])),
		hits:  int(binary.LittleEndian.Uint32(b[24:])),
	}
	return g, g.first > 0 && g.hits > 0 && g.size >= g.hits*recordHead && g.prev < g.first
}

func segmentPath(dir string, first int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentExt))
}

// createSegment makes an empty segment that is there after a crash.
func createSegment(dir string, first int64, now schema.Time) (*segment, *os.File, error) {
	s := &segment{path: segmentPath(dir, first), first: first, created: now, end: segmentHead}
	var head [segmentHead]byte
	copy(head[:], segmentMagic)
	binary.LittleEndian.PutUint64(head[8:], uint64(first))
	binary.LittleEndian.PutUint64(head[16:], uint64(now))
	binary.LittleEndian.PutUint32(head[24:], crc32.Checksum(head[:24], castagnoli))
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	_, err = f.WriteAt(head[:], 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(s.path)
		return nil, nil, err
	}
	return s, f, nil
}

// listSegments returns the segments of a directory in order, without looking into them.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentExt)
		if !ok {
			continue
		}
		first, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || first < 1 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		s := &segment{path: filepath.Join(dir, e.Name()), first: first, created: schema.At(info.ModTime()), end: info.Size()}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	return list, nil
}

// check reads the head of the segment.
func (s *segment) check(f io.ReaderAt) error {
	var head [segmentHead]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(head[:8]) != segmentMagic || binary.LittleEndian.Uint32(head[24:]) != crc32.Checksum(head[:24], castagnoli) ||
		int64(binary.LittleEndian.Uint64(head[8:])) != s.first {
		return fmt.Errorf("%w: head of %s", errTorn, filepath.Base(s.path))
	}
	s.created = schema.Time(binary.LittleEndian.Uint64(head[16:]))
	return nil
}

// nextGroup returns the offset and head of the first whole group at or after off, and ok=false if
// there is none before the segment's end. A group whose head is unreadable is passed over.
func (s *segment) nextGroup(f io.ReaderAt, off int64) (at int64, g group, ok bool, err error) {
	var head [groupHead]byte
	var buf []byte
	for off+groupHead <= s.end {
		b := head[:]
		if buf != nil {
			b = buf[:min(int64(len(buf)), s.end-off)]
		}
		if _, err := f.ReadAt(b, off); err != nil {
			return 0, group{}, false, err
		}
		for i := 0; i+groupHead <= len(b); i++ {
			if g, ok := readGroup(b[i:]); ok && off+int64(i+groupHead+g.size) <= s.end {
				return off + int64(i), g, true, nil
			}
		}
		if buf == nil {
			buf = make([]byte, 64<<10) // not where it should be: look for it
		}
		off += int64(len(b) - groupHead + 1)
	}
	return s.end, group{}, false, nil
}

// trim finds how far the newest segment was written, cuts what a kill or a power cut left of a
// group that was never answered for, and returns the last sequence number in it (first-1 for none).
func (s *segment) trim(f *os.File) (int64, error) {
	last, off := s.first-1, int64(segmentHead)
	for {
		at, g, ok, err := s.nextGroup(f, off)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		// Only the last group can be torn: none is written before the one before it is synced.
		if at+int64(groupHead+g.size) == s.end || !s.groupAt(f, at+int64(groupHead+g.size)) {
			torn, err := s.torn(f, at, g)
			if err != nil {
				return 0, err
			}
			if torn {
				break
			}
		}
		off, last = at+int64(groupHead+g.size), max(last, g.last())
	}
	if off == s.end {
		return last, nil
	}
	if err := f.Truncate(off); err != nil {
		return 0, err
	}
	s.end = off
	return last, f.Sync()
}

// groupAt says whether a group begins there.
func (s *segment) groupAt(f io.ReaderAt, off int64) bool {
	var head [groupHead]byte
	if _, err := f.ReadAt(head[:], off); err != nil {
		return false
	}
	_, ok := readGroup(head[:])
	return ok
}

// torn says whether the group is one that was being written when the machine or the process died:
// its records cannot all be read, and where the file's sectors begin there are still the zeros that
// were there before. Damage to what had been written looks otherwise, and is reported by whoever reads it.
func (s *segment) torn(f io.ReaderAt, at int64, g group) (bool, error) {
	b := make([]byte, g.size)
	if _, err := f.ReadAt(b, at+groupHead); err != nil {
		return false, err
	}
	whole := true
	for rest, h := b, (Hit{}); whole && len(rest) > 0; {
		n, err := readRecord(rest, &h, nil)
		whole, rest = err == nil, rest[n:]
	}
	if whole {
		return false, nil
	}
	for i := int((sector - (at+groupHead)%sector) % sector); i < len(b); i += sector {
		if !slices.ContainsFunc(b[i:min(i+sector, len(b))], func(c byte) bool { return c != 0 }) {
			return true, nil
		}
	}
	return false, nil
}

// sector is what disks write whole or not at all.
const sector = 512

// syncDir makes the creation and removal of files in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
