package compose

import "strings"

// sink takes a part as it is written: as plain text, or in quoted-printable.
type sink struct {
	dst []byte
	qp  bool
	col int
}

func (w *sink) write(s string) {
	if w.qp {
		w.dst, w.col = appendQP(w.dst, s, w.col)
	} else {
		w.dst = append(w.dst, s...)
	}
}

func (w *sink) fixed(seg *segment) {
	if w.qp {
		w.dst = appendBreak(w.dst, w.col)
		w.dst = append(w.dst, seg.qp...)
		w.col = 0
	} else {
		w.dst = append(w.dst, seg.plain...)
	}
}

// tidy leaves no white space around a line end and at most one empty line.
func tidy(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	empty := 0
	for _, line := range strings.Split(s, "\n") {
		line = strings.TrimRight(line, " ")
		if strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "  ") {
			line = line[1:]
		}
		if line == "" {
			empty++
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
			if empty > 0 {
				b.WriteByte('\n')
			}
		}
		empty = 0
		b.WriteString(line)
	}
	return b.String() + "\n"
}
