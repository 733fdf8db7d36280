package segments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// Importer reads files of contacts into the database.
//
// A file is CSV after RFC 4180 with a header row: UTF-8 with or without a byte order mark, UTF-16
// with one, else Windows-1252; delimited by comma, semicolon or tab as its header row is. Rows that
// cannot be read or understood are rejected one by one with their line number; nothing stops an
// import but a file that is no such file, and that changes nothing at all.
//
// An address that is blocked (erased, objecting, withdrawn from everything, suppressed …) stays
// blocked: its row is skipped, what it says of the person is not stored, and a consent in it is put
// on record for a contact that is held, without effect.
type Importer struct {
	DB        *schema.DB
	Ledger    *consent.Ledger
	Gate      *consent.Gate
	Catalogue *consent.Catalogue
	Now       func() time.Time
}

// Options of a run. Source, As and Mapping are those the import was created with unless given.
type Options struct {
	Source   id.Source
	As       string
	Mapping  Mapping
	Chunk    int          // rows in a transaction; zero: the default
	Progress func(Import) // called after each chunk
}

// defaultChunk keeps a transaction under 20 ms on SQLite.
const defaultChunk = 400

// Check reads as much of a file as it takes to say whether Run would take it: encoding, header
// row, mapping, and the values fixed for the whole file. It writes nothing. The error is an
// *Invalid that names the field and the remedy.
func (im *Importer) Check(ctx context.Context, r io.Reader, n NewImport) error {
	_, err := im.open(ctx, r, n)
	return boundary("read import file", err)
}

// Run reads the file into the database, a chunk of rows per transaction, and returns the import as
// it ended. A file that cannot be imported is an *Invalid, and the import has failed. After any
// other error the import is still running: calling Run again with the same file goes on at the
// first row that is not in the database yet.
func (im *Importer) Run(ctx context.Context, imp id.Import, r io.Reader, o Options) (Import, error) {
	i, err := getImport(ctx, im.DB, imp)
	if err != nil {
		return Import{}, boundary("read import", err)
	}
	if i.Status != ImportQueued && i.Status != ImportRunning {
		return i, fmt.Errorf("segments: import %s is over: %s", imp, i.Status)
	}
	if o.Source != 0 {
		i.Source = o.Source
	}
	if o.As != "" {
		i.As = o.As
	}
	if o.Mapping != nil {
		i.Mapping = o.Mapping
	}
	if o.Chunk <= 0 {
		o.Chunk = defaultChunk
	}
	run := &importRun{Importer: im, Import: i, o: o, actor: importer(imp)}
	run.parser, err = im.open(ctx, r, NewImport{Source: i.Source, As: i.As, Mapping: i.Mapping})
	if err == nil {
		err = run.do(ctx)
	}
	var inv *Invalid
	if errors.As(err, &inv) {
		return run.fail(ctx, inv)
	}
	return run.Import, boundary("import", err)
}

// open finds out how the file is written and what it says, down to its first row.
func (im *Importer) open(ctx context.Context, r io.Reader, n NewImport) (*parser, error) {
	p := &parser{as: n.As, cat: im.Catalogue, now: im.Now(), companies: map[string]id.Company{}, notices: map[string]bool{},
		grants: map[string]*grantForm{}, countries: map[string]string{}, topics: map[string]int64{}, seen: map[[16]byte]struct{}{}}
	if n.Source != 0 {
		src, err := getSource(ctx, im.DB, `id = ?`, n.Source)
		switch {
		case isNotFound(err):
			return nil, invalid("source", "is not a known source: create it first")
		case err != nil:
			return nil, err
		case src.RecalledAt != 0:
			return nil, invalid("source", "is recalled: nothing more may come from it")
		}
		p.source = &src
	}
	var err error
	if p.file, err = openText(r); err != nil {
		return nil, err
	}
	head, err := p.file.rows.next()
	switch {
	case err == io.EOF:
		return nil, invalid("file", "is empty: export it again with a header row and at least one contact")
	case err != nil:
		return nil, err
	case head.bad != "":
		return nil, invalid("file", "has a header row that cannot be read: "+remedy(head.bad))
	}
	header := make([]string, len(head.cells))
	for i, cell := range head.cells {
		name, ok := p.file.text(cell)
		if !ok {
			return nil, invalid("file", "has a header row that is not valid UTF-8: save it as CSV in UTF-8")
		}
		header[i] = oneLine(name)
	}
	for len(header) > 1 && header[len(header)-1] == "" {
		header = header[:len(header)-1]
	}
	if p.layout, err = newLayout(header, n.Mapping, n.As); err != nil {
		return nil, err
	}
	companies, err := NewCompanies(im.DB, im.Now).List(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range companies {
		p.companies[c.Slug] = c.ID
	}
	notices := consent.NewNotices(im.DB, im.Now)
	p.notice = func(ctx context.Context, version string) (bool, error) {
		_, err := notices.Get(ctx, version)
		if errors.Is(err, consent.ErrUnknownNotice) || errors.Is(err, consent.ErrNoEntry) {
			return false, nil
		}
		return err == nil, err
	}
	return p, p.checkFixed(ctx)
}

// checkFixed refuses a file for which every row would be rejected alike.
func (p *parser) checkFixed(ctx context.Context) error {
	var e Invalid
	l := p.layout
	if v := l.fixed[fCountry]; v != "" {
		if _, ok := countryCode(v); !ok {
			e.add("mapping.country", remedy("not-a-country"))
		}
	}
	if v := strings.ToLower(l.fixed[fSubscriberKind]); v != "" && v != "corporate" && v != "individual" {
		e.add("mapping.subscriber_kind", remedy("not-a-subscriber-kind"))
	}
	if v := l.fixed[fTopics]; v != "" {
		if _, err := p.cat.Mask(consent.KindTopic, cellList(v)); err != nil {
			e.add("mapping.topics", unknownSlug(p.cat, consent.KindTopic, err))
		}
	}
	if !l.consent {
		return e.err()
	}
	g, err := p.grantForm(ctx)
	if err != nil {
		return err
	}
	clear(p.grants)
	// A file column may be what is at fault, as it has no cells yet: those are judged row by row.
	for _, fault := range g.faults {
		if l.column[fault.field] < 0 {
			e.add("mapping."+fieldNames[fault.field], fmt.Sprintf("is %s: %s", quote(l.fixed[fault.field]), remedy(fault.reason)))
		}
	}
	if v := l.fixed[fConsentAt]; v != "" {
		if at, ok := readTime(v); !ok {
			e.add("mapping.consent_at", remedy("not-a-time"))
		} else if at.After(p.now) {
			e.add("mapping.consent_at", remedy("in-the-future"))
		}
	}
	return e.err()
}

func (s *Imports) writeRejects(ctx context.Context, imp id.Import, w io.Writer) error {
	if _, err := s.Get(ctx, imp); err != nil {
		return err
	}
	out := newCSVWriter(w)
	out.row("line", "field", "reason", "remedy")
	after := int64(0)
	for {
		list, err := s.Rejects(ctx, imp, after, 1000)
		if err != nil {
			return err
		}
		for _, r := range list {
			out.row(fmt.Sprint(r.Line), r.Field, r.Reason, r.Remedy)
			after = r.Line
		}
		if len(list) < 1000 {
			return boundary("write rejects", out.flush())
		}
	}
}

// importRun is one run of an import.
type importRun struct {
	*Importer
	Import
	o      Options
	parser *parser
	actor  string
}

// do passes the rows through three stages: one reads and understands the file, one writes, and one
// asks the gate who of those written can be mailed.
func (run *importRun) do(ctx context.Context) error {
	if _, err := run.DB.Exec(ctx, `UPDATE imports SET status = 'running' WHERE id = ? AND status = 'queued'`, run.ID); err != nil {
		return err
	}
	run.Status = ImportRunning
	judge, err := run.newJudge(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	read, written := make(chan importChunk, 2), make(chan importChunk, 8)
	g.Go(func() error { defer close(read); return run.read(ctx, read) })
	g.Go(func() error { defer close(written); return run.write(ctx, read, written) })
	g.Go(func() error {
		for c := range written {
			if err := judge.add(ctx, c.rows); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	run.Mailable, run.Reasons = judge.mailable, judge.reasons
	return run.finish(context.WithoutCancel(ctx))
}

type importChunk struct {
	rows []importRow
	held bool // in the database since an earlier run
}

func (run *importRun) read(ctx context.Context, out chan<- importChunk) error {
	for left := run.Rows; ; {
		n := run.o.Chunk
		if left > 0 {
			n = int(min(left, int64(n)))
		}
		rows, err := run.parser.chunk(ctx, n)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		select {
		case out <- importChunk{rows, left > 0}:
		case <-ctx.Done():
			return ctx.Err()
		}
		left -= min(left, int64(len(rows)))
	}
}

func (run *importRun) write(ctx context.Context, in <-chan importChunk, out chan<- importChunk) error {
	for c := range in {
		if !c.held {
			if err := run.writeChunk(ctx, c.rows); err != nil {
				return err
			}
			if run.o.Progress != nil {
				run.o.Progress(run.Import)
			}
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
