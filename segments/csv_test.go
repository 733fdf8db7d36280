package segments

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// readRows writes each row as its line number and cells, or its line number and what is wrong.
func readRows(t testing.TB, r io.Reader, comma byte) []string {
	t.Helper()
	s := newCSVScanner(r, comma)
	var got []string
	for {
		row, err := s.next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.bad != "" {
			got = append(got, fmt.Sprintf("%d !%s", row.line, row.bad))
			continue
		}
		got = append(got, fmt.Sprintf("%d %s", row.line, bytes.Join(row.cells, []byte("⎮"))))
	}
}

func TestRowsOfRealFiles(t *testing.T) {
	tests := []struct {
		name, file string
		comma      byte
		want       []string
	}{
		{"line ends of every program", "a,b\r\nc,d\ne,f", ',', []string{"1 a⎮b", "2 c⎮d", "3 e⎮f"}},
		{"a quoted line break counts as a line", "a,\"b\nc\"\nd,e\n", ',', []string{"1 a⎮b\nc", "3 d⎮e"}},
		{"doubled quotes are quotes", `"a ""b"" c",d` + "\n", ',', []string{`1 a "b" c⎮d`}},
		{"blank lines are passed over and counted", "\n \r\na,b\n\n\nc,d\n", ',', []string{"3 a⎮b", "6 c⎮d"}},
		{"blanks around quotes", "a, \"b\" ,c\n", ',', []string{"1 a⎮b⎮c"}},
		{"a lone quote costs its line", "a,5\" pipe\nb,c\n", ',', []string{"1 !lone-quote", "2 b⎮c"}},
		{"a quote that closes too early costs its line", "\"a\"b,c\nd,e\n", ',', []string{"1 !lone-quote", "2 d⎮e"}},
		{"a quote that is never closed costs its line", "a,\"b\nc,d\ne,f\n", ',', []string{"1 !quote-not-closed", "2 c⎮d", "3 e⎮f"}},
		{"a quote opened by accident does not take quoted rows with it", "a,\"b\nc,\"d\"\ne,\"f\"\n", ',', []string{"1 !lone-quote", "2 c⎮d", "3 e⎮f"}},
		{"semicolons", "a;b,c;d\n", ';', []string{"1 a⎮b,c⎮d"}},
		{"tabs", "a\t\t\"b\tc\"\n", '\t', []string{"1 a⎮⎮b\tc"}},
		{"empty cells at the end", "a,,\n", ',', []string{"1 a⎮⎮"}},
		{"an empty quoted cell is a row", "\"\",\"\"\n", ',', []string{"1 ⎮"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.file), iotest.OneByteReader(strings.NewReader(test.file))} {
				if got := readRows(t, r, test.comma); !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
		})
	}
}

func TestALineBeyondAllMeasureCostsItself(t *testing.T) {
	long := strings.Repeat("x", 3*maxRecord)
	for _, file := range []string{"a,b\n" + long + "\nc,d\n", "a,b\n\"" + long + "\nc,d\n"} {
		want := []string{"1 a⎮b", "2 !row-too-long", "3 c⎮d"}
		if file[4] == '"' {
			want[1] = "2 !quote-not-closed"
		}
		if got := readRows(t, strings.NewReader(file), ','); !slices.Equal(got, want) {
			t.Errorf("got %.200q, want %q", got, want)
		}
	}
}

func TestWellFormedRowsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringMatching(`[a-zé",; \n]{0,12}`)
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, 2, 4), 1, 20).Draw(t, "rows")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		s := newCSVScanner(iotest.HalfReader(&b), ',')
		for _, want := range rows {
			row, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range row.cells {
				got = append(got, strings.ReplaceAll(string(c), "\r\n", "\n"))
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %q (%s), want %q", got, row.bad, want)
			}
		}
		if _, err := s.next(); err != io.EOF {
			t.Fatalf("more rows than written: %v", err)
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add("email,name\na@b.example,\"x\ny\"\n", 3)
	f.Add("a,\"b\nc,\"d\"\n\"", 1)
	f.Add("\"a\" \r\n,\r\r\n", 2)
	f.Fuzz(func(t *testing.T, file string, size int) {
		whole := readRows(t, strings.NewReader(file), ',')
		parts := readRows(t, &chunked{[]byte(file), max(1, size%7)}, ',')
		if !slices.Equal(whole, parts) {
			t.Fatalf("the answer depends on how the file arrives:\n%q\n%q", whole, parts)
		}
		if want, err := csv.NewReader(strings.NewReader(file)).ReadAll(); err == nil && !strings.Contains(file, "\r") {
			n := 0
			for _, row := range want {
				if len(row) > 1 || strings.TrimSpace(row[0]) != "" {
					n++
				}
			}
			if n > len(whole) {
				t.Fatalf("%d rows, encoding/csv reads %d", len(whole), n)
			}
		}
	})
}

type chunked struct {
	b []byte
	n int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.b)
	c.b = c.b[n:]
	return n, nil
}

func BenchmarkCSV(b *testing.B) {
	var file bytes.Buffer
	for i := range 100_000 {
		fmt.Fprintf(&file, "person%d@example.com,Person %d,\"Example, Ltd\",GB,+44 20 7946 0%03d,Engineer,transport|social-care\n", i, i, i%1000)
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		s := newCSVScanner(bytes.NewReader(file.Bytes()), ',')
		for {
			if _, err := s.next(); err == io.EOF {
				break
			}
		}
	}
}
