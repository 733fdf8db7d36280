package rights

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Part is one kind of data held of a person, as a table with names that the person understands.
type Part struct {
	Name    string
	Purpose string // what it is used for
	Basis   Basis  // on what footing
	Columns []string
	// Rows have a cell for each column: string, int64, float64, bool, schema.Time, []string or
	// map[string]any. Text types of the domain count as string; what else there is must have a JSON form.
	Rows [][]any
}

// Copy is everything held of a person at an instant.
type Copy struct {
	AsOf    schema.Time
	Contact id.Contact
	Parts   []Part
}

// check finds the mistakes that would make two cells one.
func (c Copy) check() error {
	var names []string
	for _, p := range c.Parts {
		if slices.Contains(names, p.Name) || p.Name == "" {
			return fmt.Errorf("rights: a copy has two parts %q", p.Name)
		}
		names = append(names, p.Name)
		if !slices.Contains(Grounds, p.Basis) {
			return fmt.Errorf("rights: part %q has no lawful basis", p.Name)
		}
		for i, col := range p.Columns {
			if slices.Contains(p.Columns[:i], col) {
				return fmt.Errorf("rights: part %q has two columns %q", p.Name, col)
			}
		}
		for i, row := range p.Rows {
			if len(row) != len(p.Columns) {
				return fmt.Errorf("rights: row %d of part %q has %d cells for %d columns", i+1, p.Name, len(row), len(p.Columns))
			}
		}
	}
	return nil
}

// WriteJSON writes the copy as one object: as_of, contact, and parts, each with its purpose, its
// lawful basis, the rights that follow from that, and its rows as objects in the order of the columns.
func (c Copy) WriteJSON(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "{\n\"as_of\": %s,\n\"contact\": %s,\n\"parts\": [", encoded(c.AsOf), encoded(c.Contact))
	for i, p := range c.Parts {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(b, "\n{\n\"name\": %s,\n\"purpose\": %s,\n\"basis\": %s,\n\"rights\": %s,\n\"rows\": [",
			encoded(p.Name), encoded(p.Purpose), encoded(p.Basis), encoded(RightsOf(p.Basis)))
		for j, row := range p.Rows {
			if j > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n{")
			for k, v := range row {
				if k > 0 {
					b.WriteString(", ")
				}
				fmt.Fprintf(b, "%s: %s", encoded(p.Columns[k]), encoded(v))
			}
			b.WriteString("}")
		}
		b.WriteString("\n]}")
	}
	b.WriteString("\n]}\n")
	return b.Flush()
}

// WriteCSV writes the same cells one to a line, as part, row, field and value: times as RFC 3339,
// lists joined by |, yes and no as words, and whatever has parts of its own as JSON. A time that is
// "never" is empty. A cell that a spreadsheet would run gets an apostrophe in front.
func (c Copy) WriteCSV(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	_ = out.Write([]string{"part", "row", "field", "value"})
	for _, p := range c.Parts {
		for i, row := range p.Rows {
			for k, v := range row {
				_ = out.Write([]string{tame(p.Name), strconv.Itoa(i + 1), tame(p.Columns[k]), tame(cell(v))})
			}
		}
	}
	out.Flush()
	return out.Error()
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case schema.Time:
		if v == 0 {
			return ""
		}
		return v.T().Format(time.RFC3339Nano)
	case []string:
		return strings.Join(v, "|")
	}
	text := string(encoded(v))
	var s string
	if json.Unmarshal([]byte(text), &s) == nil { // text types and identifiers
		return s
	}
	return text
}

// encoded is v as JSON that shows every character but control characters as it is.
func encoded(v any) []byte {
	if list, ok := v.([]string); ok && list == nil {
		v = []string{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("rights: a cell has no JSON form: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// tame puts an apostrophe in front of what a spreadsheet would run, as every CSV of the service does.
func tame(v string) string {
	if v != "" && strings.IndexByte("=+-@\t\r", v[0]) >= 0 {
		return "'" + v
	}
	return v
}
