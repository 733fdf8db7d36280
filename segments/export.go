package segments

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// ExportOptions say what a row of an export holds. Without Identified it holds a pseudonym that is
// good for this export alone and no value that fewer than K (5 if zero) members share; a segment of
// fewer than K members cannot be exported so.
type ExportOptions struct {
	Identified bool
	K          int64
}

// ExportCSV streams the segment and returns how many rows it wrote, the header not counted: as
// many as Count would say of the same snapshot.
func (s *Segments) ExportCSV(ctx context.Context, seg id.Segment, w io.Writer, o ExportOptions) (int64, error) {
	return s.export(ctx, seg, o, &csvSink{w: newCSVWriter(w)})
}

// ExportJSONL is ExportCSV with a JSON object per line.
func (s *Segments) ExportJSONL(ctx context.Context, seg id.Segment, w io.Writer, o ExportOptions) (int64, error) {
	return s.export(ctx, seg, o, &jsonSink{w: bufio.NewWriterSize(w, 64<<10)})
}

// ExportXLSX is ExportCSV as a workbook. It holds at most 1,048,575 rows.
func (s *Segments) ExportXLSX(ctx context.Context, seg id.Segment, w io.Writer, o ExportOptions) (int64, error) {
	x := &xlsxSink{w: w}
	defer x.discard()
	return s.export(ctx, seg, o, x)
}

var (
	identifiedHeader = []string{"id", "email", "name", "company", "country", "phone", "job_title", "subscriber_kind", "topics", "types",
		"sources", "region", "created_at", "attributes"}
	pseudonymousHeader = []string{"pseudonym", "country", "region", "subscriber_kind", "topics", "types", "sources", "created_month"}
)

// exportCell is a text, a list of texts, JSON, or held back.
type exportCell struct {
	text   string
	list   []string
	isList bool
	isJSON bool
	hidden bool
}

// sink writes an export in one format.
type sink interface {
	header(names []string, k int64) error
	row(cells []exportCell) error
	close() error
}

func (s *Segments) export(ctx context.Context, seg id.Segment, o ExportOptions, to sink) (n int64, err error) {
	if o.K <= 0 {
		o.K = defaultK
	}
	err = s.db.View(ctx, func(tx *schema.Tx) error {
		got, err := getSegment(ctx, tx, seg)
		if err != nil {
			return err
		}
		columns, names := identifiedColumns, identifiedHeader
		if !o.Identified {
			columns, names = pseudonymousColumns, pseudonymousHeader
		}
		w, err := s.walker(ctx, tx, got, columns, nil)
		if err != nil {
			return err
		}
		_, sources, err := s.groupNames(ctx, tx)
		if err != nil {
			return err
		}
		x := &exporter{s: s, types: s.cat.Entries(consent.KindType), sources: sources}
		if !o.Identified {
			if err := x.findRare(ctx, tx, w, o.K); err != nil {
				return err
			}
		}
		if err := to.header(names, o.K); err != nil {
			return err
		}
		cells := make([]exportCell, len(names))
		err = w.walk(ctx, tx, func(batch []member) error {
			for i := range batch {
				if o.Identified {
					x.identified(&batch[i], cells)
				} else {
					x.pseudonymous(&batch[i], cells)
				}
				if err := to.row(cells); err != nil {
					return err
				}
				n++
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		return to.close()
	})
	return n, boundary("export segment", err)
}

type exporter struct {
	s       *Segments
	types   []consent.CatalogueEntry
	sources map[id.Source]groupName
	pseudo  hash.Hash
	rare    []map[string]bool // by column of pseudonymousHeader
}

func (x *exporter) lists(m *member) (topics, types, sources []string) {
	topics = x.s.cat.Slugs(consent.KindTopic, m.Topics)
	types = named(x.types, m.types)
	for _, src := range m.sources {
		sources = append(sources, x.sources[src].Slug)
	}
	return topics, types, sources
}

func (x *exporter) identified(m *member, cells []exportCell) {
	topics, types, sources := x.lists(m)
	for i, v := range []string{m.ID.String(), m.Email, m.Name, m.Company, m.Country, m.Phone, m.JobTitle, m.SubscriberKind} {
		cells[i] = exportCell{text: v}
	}
	for i, v := range [][]string{topics, types, sources} {
		cells[8+i] = exportCell{list: v, isList: true}
	}
	cells[11] = exportCell{text: m.Region}
	cells[12] = exportCell{text: m.CreatedAt.String()}
	cells[13] = exportCell{text: m.Attributes, isJSON: true}
}

// quasi are the values of a pseudonymous row that may tell who it is, by column.
func (x *exporter) quasi(m *member, cells []exportCell) {
	topics, types, sources := x.lists(m)
	cells[1] = exportCell{text: m.Country}
	cells[2] = exportCell{text: m.Region}
	cells[3] = exportCell{text: m.SubscriberKind}
	for i, v := range [][]string{topics, types, sources} {
		cells[4+i] = exportCell{list: v, isList: true}
	}
	cells[7] = exportCell{text: m.CreatedAt.T().Format("2006-01")}
}

func (c *exportCell) key() string {
	if c.isList {
		return strings.Join(c.list, "|")
	}
	return c.text
}

// findRare counts every value of every column and takes a fresh salt.
func (x *exporter) findRare(ctx context.Context, q schema.Querier, w *walker, k int64) error {
	counts := make([]map[string]int64, len(pseudonymousHeader))
	for i := range counts {
		counts[i] = map[string]int64{}
	}
	total := int64(0)
	cells := make([]exportCell, len(pseudonymousHeader))
	err := w.walk(ctx, q, func(batch []member) error {
		total += int64(len(batch))
		for i := range batch {
			x.quasi(&batch[i], cells)
			for c := 1; c < len(cells); c++ {
				counts[c][cells[c].key()]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if total < k {
		return invalid("segment", fmt.Sprintf("holds fewer than %d contacts: rows of so few would give them away; widen the rule, or ask for an identified export", k))
	}
	x.rare = make([]map[string]bool, len(counts))
	for c := 1; c < len(counts); c++ {
		x.rare[c] = hidePartition(counts[c], k)
	}
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // never fails
	x.pseudo = hmac.New(sha256.New, salt)
	return nil
}

var pseudonymForm = base32.StdEncoding.WithPadding(base32.NoPadding)

func (x *exporter) pseudonymous(m *member, cells []exportCell) {
	x.pseudo.Reset()
	_ = binary.Write(x.pseudo, binary.BigEndian, int64(m.ID))
	cells[0] = exportCell{text: strings.ToLower(pseudonymForm.EncodeToString(x.pseudo.Sum(nil)[:10]))}
	x.quasi(m, cells)
	for c := 1; c < len(cells); c++ {
		if x.rare[c][cells[c].key()] {
			cells[c] = exportCell{hidden: true}
		}
	}
}
