package compose

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawText favours what is special in mail: line ends, white space, dots, equals signs, non-ASCII.
func drawText(t *rapid.T, name string) string {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\n", " ", "\t", ".", "=", "From ", "ü", "日本", "🙂", "\x00", "a"}),
		rapid.StringMatching(`[ -~]{0,100}`),
		rapid.String(),
	)
	s := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, name), "")
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

func TestPiecesOfQuotedPrintableReadBackAsOneText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawText(t, "piece") }), 0, 6).Draw(t, "pieces")
		var enc []byte
		for i, p := range pieces {
			var col int
			if enc, col = appendQP(enc, p, 0); i < len(pieces)-1 {
				enc = appendBreak(enc, col)
			}
		}
		for _, line := range bytes.Split(enc, []byte("\r\n")) {
			switch {
			case len(line) > 76:
				t.Fatalf("a line of %d: %q", len(line), line)
			case bytes.ContainsAny(line, "\r\n"):
				t.Fatalf("a bare line end in %q", line)
			case bytes.HasSuffix(line, []byte(" ")) || bytes.HasSuffix(line, []byte("\t")):
				t.Fatalf("white space at the end of %q", line)
			case bytes.HasPrefix(line, []byte(".")) || bytes.HasPrefix(line, []byte("From ")):
				t.Fatalf("a dot or From at the start of %q", line)
			}
			for _, c := range line {
				if c < ' ' && c != '\t' || c > '~' {
					t.Fatalf("byte %#x in %q", c, line)
				}
			}
		}
		dec, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(enc)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.ReplaceAll(string(dec), "\r\n", "\n"), strings.Join(pieces, ""); got != want {
			t.Fatalf("reads back as %q, want %q", got, want)
		}
	})
}

func BenchmarkQuotedPrintable(b *testing.B) {
	s := strings.Repeat("<td style=\"color: #333333;\">The quick brown fox jumps over the lazy dög</td>\n", 270)
	dst := make([]byte, 0, 2*len(s))
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		dst, _ = appendQP(dst[:0], s, 0)
	}
}
