package bot

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// networkSet finds the narrowest network that holds an address. It keeps no prefixes but the places
// where one owner's addresses end and another's begin, so that long lists of small networks side by
// side cost what the few wide ones would that they amount to.
type networkSet struct {
	owners []owner
	v4, v6 ranges
}

// owner is what there is to know of an address in a list of networks.
type owner struct {
	class   Class
	name    string
	scanned string // the reason for a click from a scanner's network
	proxied string // the reason for an open from a proxy's network
}

// ranges are the addresses of one family from each start up to the next one.
type ranges struct {
	coarse []uint64 // every strideth of hi, so that most of a search stays in the processor's cache
	hi     []uint64 // the starts, see split
	lo     []uint64 // empty if all are zero, as they are where no network is narrower than a /64
	of     []int32  // index of the owner, or nobody
}

const (
	nobody = -1
	stride = 8 // as many as share a line of the cache
)

func newNetworkSet(list []Network) *networkSet {
	s := &networkSet{}
	known := map[owner]int32{}
	var four, six []owned
	for _, n := range list {
		o := newOwner(n)
		i, ok := known[o]
		if !ok {
			i = int32(len(s.owners))
			known[o], s.owners = i, append(s.owners, o)
		}
		if p := n.Prefix.Masked(); p.Addr().Is4() {
			four = append(four, owned{p, i})
		} else {
			six = append(six, owned{p, i})
		}
	}
	s.v4, s.v6 = newRanges(borders(four)), newRanges(borders(six))
	return s
}

func newOwner(n Network) owner {
	return owner{n.Class, n.Name, "scanner: " + n.Name, "image proxy: " + n.Name}
}

type owned struct {
	prefix netip.Prefix
	of     int32
}

type border struct {
	from netip.Addr
	of   int32
}

// borders cuts networks of one family into ranges that are apart. Prefixes are nested or apart, never
// half over each other, so the narrowest one around a place is the last one that was entered and not
// left. Of two equal ones the later one holds.
func borders(list []owned) []border {
	slices.SortStableFunc(list, func(a, b owned) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	type level struct {
		last netip.Addr
		of   int32
	}
	var all []border
	var around []level
	put := func(from netip.Addr, of int32) {
		if n := len(all); n > 0 && all[n-1].from == from {
			all[n-1].of = of
			return
		}
		all = append(all, border{from, of})
	}
	leave := func() {
		next, of := around[len(around)-1].last.Next(), int32(nobody)
		if around = around[:len(around)-1]; len(around) > 0 {
			of = around[len(around)-1].of
		}
		if next.IsValid() { // else it ends where the addresses do
			put(next, of)
		}
	}
	for _, n := range list {
		for len(around) > 0 && around[len(around)-1].last.Less(n.prefix.Addr()) {
			leave()
		}
		put(n.prefix.Addr(), n.of)
		around = append(around, level{netipx.PrefixLastIP(n.prefix), n.of})
	}
	for len(around) > 0 {
		leave()
	}
	return slices.CompactFunc(all, func(a, b border) bool { return a.of == b.of })
}

func newRanges(all []border) ranges {
	r := ranges{hi: make([]uint64, len(all)), of: make([]int32, len(all))}
	for i, b := range all {
		var lo uint64
		r.hi[i], lo = split(b.from)
		r.of[i] = b.of
		if lo != 0 && r.lo == nil {
			r.lo = make([]uint64, len(all))
		}
		if r.lo != nil {
			r.lo[i] = lo
		}
		if i%stride == 0 {
			r.coarse = append(r.coarse, r.hi[i])
		}
	}
	return r
}

// find returns whose network addr is in, or nil.
func (s *networkSet) find(addr netip.Addr) *owner {
	r := &s.v6
	if addr = addr.Unmap(); addr.Is4() {
		r = &s.v4
	} else if !addr.IsValid() {
		return nil
	}
	if i := r.find(split(addr)); i != nobody {
		return &s.owners[i]
	}
	return nil
}

// find returns the owner of the range that an address is in.
func (r *ranges) find(hi, lo uint64) int32 {
	at := upTo(r.coarse, hi)*stride - 1 // the last start up to the address is here or a few before
	at = min(at, len(r.hi)-1)
	for at >= 0 && r.hi[at] > hi {
		at--
	}
	for at >= 0 && r.lo != nil && r.hi[at] == hi && r.lo[at] > lo { // starts within one /64 are few
		at--
	}
	if at < 0 {
		return nobody
	}
	return r.of[at]
}

// upTo returns how many of the numbers, which ascend, are at most n.
func upTo(list []uint64, n uint64) int {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if list[mid] <= n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// split makes two numbers of an address that are ordered as addresses are.
func split(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])), 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}
