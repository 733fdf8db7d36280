package segments

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// importRow is one row of a file as it was understood. A row with a reason is not taken.
type importRow struct {
	line    int64
	field   string
	reason  string
	skipped bool // the reason is no fault of the row
	contact contactRow
	grant   *grantForm
	at      schema.Time // of the grant
}

// parser turns the rows of one file into importRows. It reads the database only to look up what
// consent columns name.
type parser struct {
	file   *textFile
	layout *layout
	source *Source // nil: our own contacts
	as     string
	cat    *consent.Catalogue
	now    time.Time

	companies map[string]id.Company
	notice    func(ctx context.Context, version string) (bool, error)
	notices   map[string]bool
	grants    map[string]*grantForm
	countries map[string]string
	topics    map[string]int64
	seen      map[[16]byte]struct{}
	cells     []string
}

// next returns the next row of the file, or io.EOF. Rows without anything in them do not count.
func (p *parser) next(ctx context.Context, row *importRow) error {
	for {
		r, err := p.file.rows.next()
		if err != nil {
			return err
		}
		*row = importRow{line: r.line}
		if r.bad != "" {
			row.reason = r.bad
			return nil
		}
		blank, ok := p.read(r, row)
		if blank {
			continue
		}
		if !ok {
			if r.lines > 1 {
				p.file.rows.unmerge() // a quote opened by accident may have joined several rows
			}
			return nil
		}
		if p.as != "" {
			row.contact.Email = p.email(row)
			if at, ok := readTime(p.cell(fConsentAt)); ok {
				row.at = schema.At(at)
			}
		} else if err := p.contact(ctx, row); err != nil {
			return err
		}
		if row.field == "email" && r.lines > 1 {
			p.file.rows.unmerge()
		}
		if row.reason == "" && p.duplicate(row.contact.Email) {
			row.field, row.reason, row.skipped = "email", "duplicate", true
		}
		return nil
	}
}

// read takes the cells of a row as text. ok is false, and the row has a reason, if its shape is wrong.
func (p *parser) read(r *csvRow, row *importRow) (blank, ok bool) {
	blank = true
	p.cells = p.cells[:0]
	for i, cell := range r.cells {
		s, valid := p.file.text(cell)
		if !valid {
			row.reason = "not-utf-8"
			return false, true
		}
		if s != "" {
			blank = false
			if i >= p.layout.width {
				row.reason = "too-many-columns"
				return false, false
			}
		}
		p.cells = append(p.cells, s)
	}
	if blank {
		return true, true
	}
	if len(p.cells) < p.layout.width {
		// Spreadsheets leave out empty cells at the end of a row, but not within one that goes over
		// several lines; and a file that ends within a row was cut off.
		switch {
		case r.lines > 1:
			row.reason = "too-few-columns"
			return false, false
		case r.cut:
			row.reason = "file-cut-off"
			return false, true
		}
	}
	return false, true
}

func (p *parser) cell(field int) string {
	if at := p.layout.column[field]; at >= 0 {
		if at < len(p.cells) {
			return p.cells[at]
		}
		return ""
	}
	return p.layout.fixed[field]
}

func (row *importRow) reject(field, reason string) {
	if row.reason == "" {
		row.field, row.reason = field, reason
	}
}

func (p *parser) email(row *importRow) string {
	if row.reason != "" {
		return ""
	}
	v := p.cell(fEmail)
	if v == "" {
		row.reject("email", "missing")
		return ""
	}
	address, err := consent.NormaliseEmail(v)
	if err != nil {
		row.reject("email", "not-an-address")
	}
	return address
}

func (p *parser) contact(ctx context.Context, row *importRow) error {
	c := &row.contact
	c.Email = p.email(row)
	if row.reason != "" {
		return nil
	}
	for _, f := range [...]struct {
		field int
		to    *string
	}{{fName, &c.Name}, {fCompany, &c.Company}, {fPhone, &c.Phone}, {fJobTitle, &c.JobTitle}} {
		*f.to = oneLine(p.cell(f.field))
		if m := lineProblem(*f.to); m != "" {
			row.reject(fieldNames[f.field], lineReason(*f.to))
		}
	}
	if v := p.cell(fCountry); v != "" {
		code, known := p.countries[v]
		if !known {
			code, _ = countryCode(v)
			p.countries[v] = code
		}
		if c.Country = code; code == "" {
			row.reject("country", "not-a-country")
		}
	}
	switch kind := strings.ToLower(p.cell(fSubscriberKind)); kind {
	case "", "corporate", "individual":
		c.SubscriberKind = kind
		if p.source != nil {
			c.SubscriberKind = sourcedKind(c.Email, kind, p.source.Warranty)
		}
	default:
		row.reject("subscriber_kind", "not-a-subscriber-kind")
	}
	if v := p.cell(fTopics); v != "" {
		mask, known := p.topics[v]
		if !known {
			var err error
			if mask, err = p.cat.Mask(consent.KindTopic, cellList(v)); err != nil {
				mask = -1
			}
			p.topics[v] = mask
		}
		if c.Topics = mask; mask < 0 {
			c.Topics = 0
			row.reject("topics", "unknown-topic")
		}
	}
	p.attributes(row)
	if p.layout.consent {
		return p.consent(ctx, row)
	}
	return nil
}

func (p *parser) attributes(row *importRow) {
	var m map[string]any
	for _, a := range p.layout.attrs {
		v := a.fixed
		if a.column >= 0 {
			if v = ""; a.column < len(p.cells) {
				v = p.cells[a.column]
			}
		}
		if v == "" {
			continue
		}
		if attributeTextProblem(v) != "" {
			if v = cleanText(v); attributeTextProblem(v) != "" {
				row.reject(printable(a.name), lineReason(v))
				continue
			}
		}
		if under13(a.name, v, p.now) {
			row.reject(printable(a.name), string(consent.UnderAge))
		}
		if m == nil {
			m = make(map[string]any, len(p.layout.attrs))
		}
		m[a.name] = v
	}
	row.contact.Attributes = encodeAttributes(m)
	if len(row.contact.Attributes) > maxAttributes {
		row.reject("attributes", "attributes-too-big")
	}
}

// duplicate reports whether the file had the address before. It remembers a hash that is wide
// enough for no two addresses to share it.
func (p *parser) duplicate(email string) bool {
	sum := sha256.Sum256([]byte(email))
	key := [16]byte(sum[:16])
	if _, ok := p.seen[key]; ok {
		return true
	}
	p.seen[key] = struct{}{}
	return false
}

// chunk reads up to n rows; it ends early at the end of the file.
func (p *parser) chunk(ctx context.Context, n int) ([]importRow, error) {
	rows := make([]importRow, 0, n)
	for len(rows) < n {
		var row importRow
		if err := p.next(ctx, &row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func cellList(v string) []string {
	var list []string
	for item := range strings.SplitSeq(v, "|") {
		if item = strings.ToLower(strings.TrimSpace(item)); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// oneLine makes one line of a cell that was broken into several.
func oneLine(v string) string {
	if strings.ContainsAny(v, "\r\n\t") {
		return strings.Join(strings.Fields(v), " ")
	}
	return v
}

func cleanText(v string) string {
	return strings.Map(func(c rune) rune {
		if c == '\r' || unicode.IsControl(c) && c != '\n' && c != '\t' && c != 0 {
			return -1
		}
		return c
	}, v)
}

func lineReason(v string) string {
	if len(v) > maxText || !utf8.ValidString(v) {
		return "too-long"
	}
	return "control-character"
}
