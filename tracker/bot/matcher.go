package bot

import (
	"errors"
	"slices"
)

// matcher finds every occurrence of many literals in one pass over a text (Aho and Corasick, 1975), at
// a cost that does not depend on how many literals there are. The table has a row for each state and a
// column for each byte that occurs in a literal.
type matcher struct {
	column [256]uint8 // 0: in no literal
	width  int
	next   []uint16  // row × width + column → row
	ends   [][]int32 // row → the literals that end there
	quiet  int       // in the rows before this one no literal ends
}

var errTooMany = errors.New("too many literals for the matcher")

// newMatcher compiles literals; occurrences are reported by their index.
func newMatcher(literals []string) (*matcher, error) {
	m := &matcher{width: 1}
	for _, l := range literals {
		for i := range len(l) {
			if m.column[l[i]] == 0 {
				if m.width == 256 {
					return nil, errTooMany
				}
				m.column[l[i]] = uint8(m.width)
				m.width++
			}
		}
	}
	m.row()
	for n, l := range literals {
		at := 0
		for i := range len(l) {
			cell := at*m.width + int(m.column[l[i]])
			if m.next[cell] == 0 {
				if len(m.ends) > 0xffff {
					return nil, errTooMany
				}
				m.next[cell] = uint16(m.row())
			}
			at = int(m.next[cell])
		}
		m.ends[at] = append(m.ends[at], int32(n))
	}
	m.link()
	m.sort()
	return m, nil
}

func (m *matcher) row() int {
	m.next = append(m.next, make([]uint16, m.width)...)
	m.ends = append(m.ends, nil)
	return len(m.ends) - 1
}

// link turns the tree of literals into an automaton: where a row has no way on, it takes the way of the
// longest proper suffix that is a row too.
func (m *matcher) link() {
	suffix := make([]uint16, len(m.ends))
	var queue []uint16
	for _, to := range m.next[:m.width] {
		if to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		at := int(queue[0])
		queue = queue[1:]
		back := int(suffix[at])
		if more := m.ends[back]; len(more) > 0 {
			m.ends[at] = append(slices.Clip(m.ends[at]), more...)
		}
		for c := range m.width {
			cell, fall := at*m.width+c, m.next[back*m.width+c]
			if to := m.next[cell]; to != 0 {
				suffix[to] = fall
				queue = append(queue, to)
			} else {
				m.next[cell] = fall
			}
		}
	}
}

// sort puts the rows in which a literal ends behind the others, so that a scan need not look.
func (m *matcher) sort() {
	to := make([]uint16, len(m.ends)) // row → its new place
	place := 0
	for _, ending := range []bool{false, true} {
		for row, ends := range m.ends {
			if (len(ends) > 0) == ending {
				to[row] = uint16(place)
				place++
			}
		}
		if !ending {
			m.quiet = place
		}
	}
	next, ends := make([]uint16, len(m.next)), make([][]int32, len(m.ends))
	for row, n := range to {
		ends[n] = m.ends[row]
		for c := range m.width {
			next[int(n)*m.width+c] = to[m.next[row*m.width+c]]
		}
	}
	m.next, m.ends = next, ends
}

// scan calls found with each literal that ends somewhere in s, in the order of their ends, and with
// the place behind it. The literals are not empty, so a scan begins in row 0.
func (m *matcher) scan(s string, found func(literal int32, end int)) {
	at := 0
	for i := range len(s) {
		at = int(m.next[at*m.width+int(m.column[s[i]])])
		if at < m.quiet {
			continue
		}
		for _, l := range m.ends[at] {
			found(l, i+1)
		}
	}
}
