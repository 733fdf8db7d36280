package consent

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"

	"beckon/schema"
	"beckon/schema/id"
)

// A checkpoint is a file of fixed-size records: a line that says what it is, the head of each chain
// in the order of the subjects, and a trailer with an HMAC over all that comes before it. It names
// nobody: subjects are random, and macs say nothing to who has no key.
const (
	checkpointLine = "beckon consent checkpoint 1\n"
	headSize       = 8 + 8 + macKept
	trailerSize    = 8 + 8 + 8 + 32 // written, newest, heads, HMAC
	macKept        = 16             // bytes of a row's mac
)

// head is the newest row of a chain when the checkpoint was written.
type head struct {
	subject id.Subject
	seq     int64
	mac     [macKept]byte
}

func headOf(sub id.Subject, seq int64, mac []byte) head {
	h := head{subject: sub, seq: seq}
	copy(h.mac[:], mac)
	return h
}

// checkpointWriter writes a checkpoint, head by head.
type checkpointWriter struct {
	w     *bufio.Writer
	seal  hash.Hash
	heads int64
}

func (l *Ledger) newCheckpoint(f io.Writer) (*checkpointWriter, error) {
	c := &checkpointWriter{seal: l.heads.start()}
	c.w = bufio.NewWriterSize(io.MultiWriter(f, c.seal), 1<<16)
	_, err := c.w.WriteString(checkpointLine)
	return c, err
}

func (c *checkpointWriter) add(h head) error {
	var b [headSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(h.subject))
	binary.BigEndian.PutUint64(b[8:], uint64(h.seq))
	copy(b[16:], h.mac[:])
	c.heads++
	_, err := c.w.Write(b[:])
	return err
}

// finish seals the checkpoint. f is what newCheckpoint was given.
func (c *checkpointWriter) finish(f io.Writer, written, newest schema.Time) error {
	b := make([]byte, 0, trailerSize)
	for _, n := range []int64{int64(written), int64(newest), c.heads} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if _, err := c.w.Write(b); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	_, err := f.Write(c.seal.Sum(nil))
	return err
}

// checkpointReader reads a checkpoint, head by head. What it reads may be trusted once whole says so.
type checkpointReader struct {
	file    *os.File
	r       *bufio.Reader
	seal    hash.Hash
	left    int64
	trailer [trailerSize]byte
	written schema.Time
	newest  schema.Time // recorded time of the newest row that it knew
	head    head        // the next one, if there is one
	more    bool
	broken  bool
}

// openCheckpoint opens a file at its first head; nil if it is not there. What is wrong with its
// content is told by whole.
func (l *Ledger) openCheckpoint(path string) (*checkpointReader, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the checkpoint: %w", err)
	}
	c := &checkpointReader{file: f, seal: l.heads.start()}
	if err := c.start(); err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}

func (c *checkpointReader) start() error {
	info, err := c.file.Stat()
	if err != nil {
		return fmt.Errorf("look at the checkpoint: %w", err)
	}
	body := info.Size() - int64(len(checkpointLine)) - trailerSize
	if body < 0 || body%headSize != 0 {
		c.broken = true
		return nil
	}
	c.left = body / headSize
	if _, err := c.file.ReadAt(c.trailer[:], info.Size()-trailerSize); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(c.trailer[8*i:])) }
	c.written, c.newest = schema.Time(n(0)), schema.Time(n(1))
	c.r = bufio.NewReaderSize(c.file, 1<<16)
	line := make([]byte, len(checkpointLine))
	if _, err := io.ReadFull(c.r, line); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	c.seal.Write(line)
	c.broken = string(line) != checkpointLine || n(2) != c.left
	c.head.subject = math.MinInt64
	return c.next()
}

// next moves on to the next head.
func (c *checkpointReader) next() error {
	if c.more = c.left > 0 && !c.broken; !c.more {
		return nil
	}
	c.left--
	var b [headSize]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	c.seal.Write(b[:])
	before := c.head.subject
	c.head = headOf(id.Subject(binary.BigEndian.Uint64(b[:])), int64(binary.BigEndian.Uint64(b[8:])), b[16:])
	if c.head.subject <= before {
		c.broken, c.more = true, false
	}
	return nil
}

// whole reports, once every head was read, whether the file is what a ledger with this key wrote.
func (c *checkpointReader) whole() bool {
	if c.broken || c.left > 0 {
		return false
	}
	c.seal.Write(c.trailer[:trailerSize-32])
	return hmac.Equal(c.seal.Sum(nil), c.trailer[trailerSize-32:])
}

func (c *checkpointReader) close() { c.file.Close() }

// comparison holds the ledger against a checkpoint: it is shown every row, in order.
type comparison struct {
	c       *checkpointReader
	found   findings
	subject id.Subject // whose rows are being shown
	last    int64      // number of the last one shown
	met     bool       // the row that the checkpoint knew was among them
	newest  schema.Time
	known   map[Finding]bool // what the ledger tells of itself
}

func newComparison(c *checkpointReader) *comparison {
	return &comparison{c: c, subject: math.MinInt64}
}

func (x *comparison) row(sub id.Subject, seq int64, mac []byte, recorded schema.Time) error {
	if sub != x.subject {
		if err := x.turn(sub); err != nil {
			return err
		}
	}
	x.last = seq
	// What was recorded since does not tell how old the database is.
	if recorded <= max(x.c.written, x.c.newest) {
		x.newest = max(x.newest, recorded)
	}
	if h := x.c.head; x.c.more && h.subject == sub && h.seq == seq {
		x.met = true
		if len(mac) < macKept || !bytes.Equal(mac[:macKept], h.mac[:]) {
			x.add(sub, seq, RowChanged)
		}
	}
	return nil
}

// window shows it all rows up to a subject, and what the ledger tells of them itself.
func (x *comparison) window(rows []row, known []Finding, to int64) error {
	x.known = make(map[Finding]bool, len(known))
	for _, f := range known {
		x.known[f] = true
	}
	for i := range rows {
		if err := x.row(rows[i].Subject, rows[i].Seq, rows[i].MAC, rows[i].Recorded); err != nil {
			return err
		}
	}
	if to == math.MaxInt64 {
		return x.turn(math.MaxInt64)
	}
	return x.turn(id.Subject(to) + 1)
}

func (x *comparison) add(sub id.Subject, seq int64, p Problem) {
	if f := (Finding{sub, seq, p}); !x.known[f] && !x.known[Finding{sub, seq, RowMissing}] {
		x.found.add(f)
	}
}

// turn ends the chain at hand, and finds those missing that lie before the next.
func (x *comparison) turn(sub id.Subject) error {
	for x.c.more && x.c.head.subject < sub {
		h := x.c.head
		switch {
		case h.subject != x.subject:
			x.add(h.subject, h.seq, ChainMissing)
		case x.met:
		case x.last < h.seq:
			x.add(h.subject, x.last+1, ChainCut)
		default:
			x.add(h.subject, h.seq, RowMissing)
		}
		if err := x.c.next(); err != nil {
			return err
		}
	}
	x.subject, x.last, x.met = sub, 0, false
	return nil
}

// end tells what was found, once every row was shown.
func (x *comparison) end() (findings, error) {
	if err := x.turn(math.MaxInt64); err != nil {
		return findings{}, err
	}
	if x.c.more && x.c.head.subject == math.MaxInt64 {
		if err := x.c.next(); err != nil {
			return findings{}, err
		}
	}
	switch {
	case !x.c.whole():
		return findings{list: []Finding{{Problem: CheckpointForged}}}, nil
	case x.newest < x.c.newest:
		x.found.list = append([]Finding{{Problem: DatabaseOlder}}, x.found.list...)
	}
	return x.found, nil
}
