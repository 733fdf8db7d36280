package consent

import "encoding/binary"

// encode writes a row in the one form over which its mac is made: a version byte, then every column
// but the mac, numbers as eight bytes, texts and bytes with their length before them. A row without
// an item is of version 1, as all were once; one with an item is of version 2 and ends in it.
func encode(b []byte, r *row) []byte {
	n := func(v int64) { b = binary.BigEndian.AppendUint64(b, uint64(v)) }
	s := func(v string) {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	version := byte(1)
	if r.Item != "" {
		version = 2
	}
	b = append(b, version)
	n(int64(r.Subject))
	n(r.Seq)
	s(string(r.Action))
	s(r.Company)
	s(string(r.Channel))
	s(r.Types)
	s(r.Topics)
	s(r.Tracking)
	s(r.Notice)
	s(r.NoticeHash)
	s(string(r.How))
	n(int64(r.Captured))
	n(int64(r.Requested))
	n(int64(r.Confirmed))
	n(int64(r.Recorded))
	s(r.Actor)
	s(string(r.Evidence))
	s(r.Outcome)
	if r.Item != "" {
		s(r.Item)
	}
	return b
}

// seal returns the mac of a row that follows the row with the mac prev; a first row follows nothing.
func (l *Ledger) seal(r *row, prev []byte) []byte {
	var buf [512]byte
	return l.chain.sum(encode(buf[:0], r), prev)
}
