package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"beckon/schema"
	"beckon/schema/id"
)

// A record of the spool is
//
//	length of the body  uint16
//	checksum of the body, CRC-32C  uint32
//	body: version (1), flags, then unsigned varints at, campaign, message, link,
//	      then reason, region, client, os, device, each a length byte and its bytes
//
// with integers little-endian. The flags are bit 0 click, bit 1 private, bits 2 and 3 the verdict.
// A private hit, and an anonymous one, has no time but its hour (see Hit.recordable).
const (
	recordVersion = 1
	recordHead    = 6
	recordMax     = recordHead + 2 + 4*binary.MaxVarintLen64 + 5*(1+maxText)
)

var (
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	verdictCodes = [4]Verdict{Person, Machine, Unverifiable}
)

// errRecord is wrapped when bytes are not a record as appendRecord writes it.
var errRecord = errors.New("not a spool record")

// appendRecord appends the record of a recordable hit.
func appendRecord(b []byte, h *Hit) []byte {
	start := len(b)
	var flags byte
	if h.Kind == Click {
		flags |= 1
	}
	if h.Private {
		flags |= 2
	}
	for i, v := range verdictCodes {
		if v == h.Verdict {
			flags |= byte(i) << 2
			break
		}
	}
	b = append(b, 0, 0, 0, 0, 0, 0, recordVersion, flags)
	b = binary.AppendUvarint(b, uint64(h.At))
	b = binary.AppendUvarint(b, uint64(h.Campaign))
	b = binary.AppendUvarint(b, uint64(h.Message))
	b = binary.AppendUvarint(b, uint64(h.Link))
	b = appendWord(b, h.Reason)
	b = appendWord(b, h.Region)
	b = appendWord(b, h.Client)
	b = appendWord(b, h.OS)
	b = appendWord(b, h.Device)
	body := b[start+recordHead:]
	binary.LittleEndian.PutUint16(b[start:], uint16(len(body)))
	binary.LittleEndian.PutUint32(b[start+2:], crc32.Checksum(body, castagnoli))
	return b
}

func appendWord(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// words keeps one copy of each word that is read, so that reading a spool does not allocate one per
// hit. The words come from short lists; past the bound they are no longer kept.
type words map[string]string

func (w words) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := w[string(b)]; ok {
		return s
	}
	s := string(b)
	if w != nil && len(w) < 4096 {
		w[s] = s
	}
	return s
}

// readRecord reads the record at the start of b and returns how many bytes it takes. A record whose
// checksum is wrong, but whose length is that of the body, is skipped by that many bytes too.
func readRecord(b []byte, h *Hit, w words) (int, error) {
	if len(b) < recordHead {
		return 0, fmt.Errorf("event: %w: cut short", errRecord)
	}
	n := recordHead + int(binary.LittleEndian.Uint16(b))
	if n > len(b) || n > recordMax {
		return 0, fmt.Errorf("event: %w: length", errRecord)
	}
	body := b[recordHead:n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[2:]) {
		return n, fmt.Errorf("event: %w: checksum", errRecord)
	}
	if err := h.read(body, w); err != nil {
		return n, err
	}
	return n, nil
}

func (h *Hit) read(b []byte, w words) error {
	if len(b) < 2 || b[0] != recordVersion {
		return fmt.Errorf("event: %w: version", errRecord)
	}
	flags := b[1]
	b = b[2:]
	var nums [4]uint64
	for i := range nums {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<63-1 {
			return fmt.Errorf("event: %w: number", errRecord)
		}
		nums[i], b = v, b[n:]
	}
	var texts [5]string
	for i := range texts {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return fmt.Errorf("event: %w: text", errRecord)
		}
		texts[i], b = w.get(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	if len(b) != 0 || flags > 0b1111 || verdictCodes[flags>>2] == "" {
		return fmt.Errorf("event: %w: flags or rest", errRecord)
	}
	*h = Hit{
		At: schema.Time(nums[0]), Kind: Open, Campaign: id.Campaign(nums[1]), Message: id.Message(nums[2]), Link: int(nums[3]),
		Verdict: verdictCodes[flags>>2], Private: flags&2 != 0,
		Reason: texts[0], Region: texts[1], Client: texts[2], OS: texts[3], Device: texts[4],
	}
	if flags&1 != 0 {
		h.Kind = Click
	}
	return nil
}
