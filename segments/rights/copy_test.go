package rights_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"

	"pgregory.net/rapid"
)

type word string // a text type of the domain

var sample = rights.Copy{AsOf: schema.At(noon()), Contact: 7, Parts: []rights.Part{
	{Name: "Contact details", Purpose: "writing to you", Basis: rights.Consent, Columns: []string{"Name", "Phone", "Held since", "Interests", "Given by yourself"},
		Rows: [][]any{{`Jo "Formula" <b>Ö</b>`, "+44 20", schema.At(noon()), []string{"transport", "social-care"}, true}}},
	{Name: "Further details", Purpose: "writing what concerns you", Basis: rights.LegitimateInterests, Columns: []string{"Name", "Value"},
		Rows: [][]any{{"=cmd|'/c calc'!A1", "two\nlines, and a comma"}, {"score", 1.5}, {"tags", []any{"a", 1.0}}, {"own", map[string]any{"b": "c"}}, {"number", int64(-3)}}},
	{Name: "Opens and clicks", Purpose: "seeing what interests you", Basis: rights.Consent, Columns: []string{"When", "What"}},
	{Name: "Odd ones", Purpose: "trying", Basis: rights.Contract, Columns: []string{"Never", "No list", "Word", "Identifier", "Nothing", "No"},
		Rows: [][]any{{schema.Time(0), []string(nil), word("x"), id.Message(1), nil, false}}},
}}

// TestL13ThePortableCopyIsWhatItShouldBe: the two formats, to the byte.
func TestL13ThePortableCopyIsWhatItShouldBe(t *testing.T) {
	var b bytes.Buffer
	if err := sample.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	const wantCSV = `part,row,field,value
Contact details,1,Name,"Jo ""Formula"" <b>Ö</b>"
Contact details,1,Phone,'+44 20
Contact details,1,Held since,2026-05-04T12:00:00Z
Contact details,1,Interests,transport|social-care
Contact details,1,Given by yourself,yes
Further details,1,Name,'=cmd|'/c calc'!A1
Further details,1,Value,"two
lines, and a comma"
Further details,2,Name,score
Further details,2,Value,1.5
Further details,3,Name,tags
Further details,3,Value,"[""a"",1]"
Further details,4,Name,own
Further details,4,Value,"{""b"":""c""}"
Further details,5,Name,number
Further details,5,Value,'-3
Odd ones,1,Never,
Odd ones,1,No list,
Odd ones,1,Word,x
Odd ones,1,Identifier,msg_1
Odd ones,1,Nothing,
Odd ones,1,No,no
`
	if got := b.String(); got != wantCSV {
		t.Errorf("CSV:\n%s\nwant:\n%s", got, wantCSV)
	}
	b.Reset()
	if err := sample.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{
"as_of": "2026-05-04T12:00:00Z",
"contact": "ct_7",
"parts": [
{
"name": "Contact details",
"purpose": "writing to you",
"basis": "consent",
"rights": ["access","rectification","erasure","restriction","portability","objection","withdrawal","complaint"],
"rows": [
{"Name": "Jo \"Formula\" <b>Ö</b>", "Phone": "+44 20", "Held since": "2026-05-04T12:00:00Z", "Interests": ["transport","social-care"], "Given by yourself": true}
]},
{
"name": "Further details",
"purpose": "writing what concerns you",
"basis": "legitimate-interests",
"rights": ["access","rectification","erasure","restriction","objection","complaint"],
"rows": [
{"Name": "=cmd|'/c calc'!A1", "Value": "two\nlines, and a comma"},
{"Name": "score", "Value": 1.5},
{"Name": "tags", "Value": ["a",1]},
{"Name": "own", "Value": {"b":"c"}},
{"Name": "number", "Value": -3}
]},
{
"name": "Opens and clicks",
"purpose": "seeing what interests you",
"basis": "consent",
"rights": ["access","rectification","erasure","restriction","portability","objection","withdrawal","complaint"],
"rows": [
]},
{
"name": "Odd ones",
"purpose": "trying",
"basis": "contract",
"rights": ["access","rectification","erasure","restriction","portability","complaint"],
"rows": [
{"Never": null, "No list": [], "Word": "x", "Identifier": "msg_1", "Nothing": null, "No": false}
]}
]}
`
	if got := b.String(); got != wantJSON {
		t.Errorf("JSON:\n%s\nwant:\n%s", got, wantJSON)
	}
}

// jsonCells reads a copy's JSON into what its CSV should say: part, row and field to value.
func jsonCells(r io.Reader) (map[string]string, error) {
	var c struct {
		Parts []struct {
			Name string
			Rows []map[string]json.RawMessage
		}
	}
	if err := json.NewDecoder(r).Decode(&c); err != nil {
		return nil, err
	}
	cells := map[string]string{}
	for _, p := range c.Parts {
		for i, row := range p.Rows {
			for field, raw := range row {
				cells[fmt.Sprintf("%s/%d/%s", harmless(p.Name), i+1, harmless(field))] = harmless(asCSV(raw))
			}
		}
	}
	return cells, nil
}

// harmless is how a spreadsheet is kept from running a cell.
func harmless(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

func asCSV(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, "|")
	}
	switch string(raw) {
	case "true":
		return "yes"
	case "false":
		return "no"
	}
	return string(raw)
}

func csvCells(r io.Reader) (map[string]string, error) {
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if !slices.Equal(lines[0], []string{"part", "row", "field", "value"}) {
		return nil, fmt.Errorf("the header is %q", lines[0])
	}
	cells := map[string]string{}
	for _, l := range lines[1:] {
		cells[l[0]+"/"+l[1]+"/"+l[2]] = l[3]
	}
	return cells, nil
}

// TestL13BothFormatsHoldTheSameCells: whatever is in a copy, JSON and CSV tell the same.
func TestL13BothFormatsHoldTheSameCells(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("ab=+-@',\"\n\t|<>&é日 01{}[]")))
	slugs := rapid.SliceOf(rapid.StringMatching(`[a-z-]{1,8}`))
	rapid.Check(t, func(t *rapid.T) {
		c := rights.Copy{AsOf: 1, Contact: 1}
		for i := range rapid.IntRange(0, 4).Draw(t, "parts") {
			p := rights.Part{Name: fmt.Sprint("=Part ", i), Basis: rights.Consent}
			for k := range rapid.IntRange(1, 4).Draw(t, "columns") {
				p.Columns = append(p.Columns, fmt.Sprint("Column ", k))
			}
			for range rapid.IntRange(0, 3).Draw(t, "rows") {
				var row []any
				for range p.Columns {
					switch rapid.IntRange(0, 5).Draw(t, "kind") {
					case 0:
						row = append(row, text.Draw(t, "text"))
					case 1:
						row = append(row, rapid.Int64().Draw(t, "number"))
					case 2:
						row = append(row, rapid.Bool().Draw(t, "yes"))
					case 3:
						row = append(row, schema.Time(rapid.Int64Range(0, 4e15).Draw(t, "time")))
					case 4:
						row = append(row, slugs.Draw(t, "list"))
					case 5:
						row = append(row, map[string]any{text.Draw(t, "key"): text.Draw(t, "value")})
					}
				}
				p.Rows = append(p.Rows, row)
			}
			c.Parts = append(c.Parts, p)
		}
		var j, s bytes.Buffer
		if err := errors.Join(c.WriteJSON(&j), c.WriteCSV(&s)); err != nil {
			t.Fatal(err)
		}
		fromJSON, err := jsonCells(&j)
		if err != nil {
			t.Fatal(err)
		}
		fromCSV, err := csvCells(&s)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(fromJSON) != fmt.Sprint(fromCSV) {
			t.Fatalf("JSON holds %v\nCSV holds %v", fromJSON, fromCSV)
		}
		want := 0
		for _, p := range c.Parts {
			want += len(p.Rows) * len(p.Columns)
		}
		if len(fromJSON) != want {
			t.Fatalf("%d cells, want %d", len(fromJSON), want)
		}
	})
}

func TestACopyThatWouldLoseACellIsRefused(t *testing.T) {
	for name, parts := range map[string][]rights.Part{
		"two parts of a name":   {{Name: "a", Basis: rights.Consent}, {Name: "a", Basis: rights.Consent}},
		"a part without a name": {{Basis: rights.Consent}},
		"two columns of a name": {{Name: "a", Basis: rights.Consent, Columns: []string{"x", "x"}}},
		"a row that is short":   {{Name: "a", Basis: rights.Consent, Columns: []string{"x", "y"}, Rows: [][]any{{"1"}}}},
		"a row that is long":    {{Name: "a", Basis: rights.Consent, Columns: []string{"x"}, Rows: [][]any{{"1", "2"}}}},
		"data without a basis":  {{Name: "a", Columns: []string{"x"}}},
	} {
		c := rights.Copy{Parts: parts}
		for format, write := range map[string]func(io.Writer) error{"JSON": c.WriteJSON, "CSV": c.WriteCSV} {
			var b bytes.Buffer
			if err := write(&b); err == nil || b.Len() > 0 {
				t.Errorf("%s: written as %s: %q, %v", name, format, b.String(), err)
			}
		}
	}
}

type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestACopyThatCannotBeWrittenSaysSo(t *testing.T) {
	c := sample
	for i := range 200 {
		c.Parts = append(c.Parts, rights.Part{Name: strconv.Itoa(i), Basis: rights.Consent, Columns: []string{"x"}, Rows: [][]any{{strings.Repeat("y", 100)}}})
	}
	if c.WriteJSON(&broken{5000}) == nil || c.WriteCSV(&broken{5000}) == nil {
		t.Error("half a copy passed for a whole one")
	}
}
