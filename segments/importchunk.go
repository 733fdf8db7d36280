package segments

import (
	"context"
	"errors"
	"strconv"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

var (
	errRaced   = errors.New("segments: another import created one of the contacts")
	errTwoRuns = errors.New("segments: the import is being run elsewhere")
)

// chunkWrite is one chunk on its way into the database.
type chunkWrite struct {
	*importRun
	tx      *schema.Tx
	rows    []importRow
	now     schema.Time
	outcome Import // of this chunk alone
	rejects []Reject
}

// writeChunk writes rows and the import's progress in one transaction.
func (run *importRun) writeChunk(ctx context.Context, rows []importRow) error {
	for try := 1; ; try++ {
		var w chunkWrite
		err := run.DB.Tx(ctx, func(tx *schema.Tx) error {
			w = chunkWrite{importRun: run, tx: tx, rows: rows, now: schema.At(run.Now())}
			return w.do(ctx)
		})
		if errors.Is(err, errRaced) && try < 5 {
			continue
		}
		if err != nil {
			return err
		}
		run.Rows += w.outcome.Rows
		run.Created += w.outcome.Created
		run.Updated += w.outcome.Updated
		run.Skipped += w.outcome.Skipped
		run.Rejected += w.outcome.Rejected
		return nil
	}
}

func (w *chunkWrite) do(ctx context.Context) error {
	if err := w.stillWelcome(ctx); err != nil {
		return err
	}
	var taken []*importRow
	for i := range w.rows {
		row := &w.rows[i]
		w.outcome.Rows++
		switch {
		case row.reason == "":
			taken = append(taken, row)
		case row.skipped:
			w.skip(row, row.field, row.reason)
		default:
			w.outcome.Rejected++
			w.rejects = append(w.rejects, Reject{Line: row.line, Field: row.field, Reason: row.reason})
		}
	}
	var err error
	if len(taken) > 0 {
		if w.As == "" {
			err = w.contacts(ctx, taken)
		} else {
			err = w.noes(ctx, taken)
		}
	}
	if err != nil {
		return err
	}
	for rest := w.rejects; len(rest) > 0; {
		n := min(len(rest), 1000)
		args := make([]any, 0, 4*n)
		for _, r := range rest[:n] {
			args = append(args, int64(w.ID), r.Line, r.Field, r.Reason)
		}
		if _, err := w.tx.Exec(ctx, `INSERT INTO import_rejects (import, line, field, reason) VALUES `+schema.Rows(n, 4)+` ON CONFLICT DO NOTHING`, args...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	o := w.outcome
	n, err := w.tx.Exec(ctx, `UPDATE imports SET rows_read = rows_read + ?, created = created + ?, updated = updated + ?, skipped = skipped + ?,
		rejected = rejected + ? WHERE id = ? AND rows_read = ? AND status = 'running'`, o.Rows, o.Created, o.Updated, o.Skipped, o.Rejected, w.ID, w.Import.Rows)
	if err == nil && n == 0 {
		err = errTwoRuns
	}
	return err
}

// stillWelcome refuses to go on once the source is recalled; on PostgreSQL the recall waits for the
// chunk.
func (w *chunkWrite) stillWelcome(ctx context.Context) error {
	if w.Source == 0 || w.As != "" {
		return nil
	}
	query := `SELECT recalled_at FROM sources WHERE id = ?`
	if w.tx.Dialect() == schema.Postgres {
		query += ` FOR SHARE`
	}
	var at schema.Time
	if err := w.tx.Get(ctx, &at, query, w.Source); err != nil {
		return err
	}
	if at != 0 {
		return invalid("source", "was recalled in the meantime: nothing more may come from it")
	}
	return nil
}

func (w *chunkWrite) skip(row *importRow, field, reason string) {
	w.outcome.Skipped++
	w.rejects = append(w.rejects, Reject{Line: row.line, Field: field, Reason: reason})
}

// contacts merges the rows into contacts. Most rows of most files are new, so the others are found
// by what the INSERT leaves out.
func (w *chunkWrite) contacts(ctx context.Context, rows []*importRow) error {
	blocks, err := w.Ledger.Suppressed(ctx, w.tx, emailsOf(rows))
	if err != nil {
		return err
	}
	var open, blocked []*importRow
	for _, row := range rows {
		if block := blocks[row.contact.Email]; block != 0 {
			w.skip(row, "email", string(block.Reason()))
			if row.grant != nil {
				blocked = append(blocked, row)
			}
			continue
		}
		open = append(open, row)
	}
	created, held, err := w.create(ctx, open)
	if err != nil {
		return err
	}
	w.outcome.Created += int64(len(created))
	restricted, err := w.restricted(ctx, held)
	if err != nil {
		return err
	}
	var entries []consent.Entry
	var merged []*importRow
	for _, row := range held {
		if row.grant != nil {
			entries = append(entries, w.entry(row))
		}
		if reason, ok := restricted[row.contact.ID]; ok {
			w.skip(row, "email", reason)
			continue
		}
		merged = append(merged, row)
	}
	w.outcome.Updated += int64(len(merged))
	if err := w.merge(ctx, merged); err != nil {
		return err
	}
	if w.Source != 0 {
		if err := w.origins(ctx, append(merged, created...)); err != nil {
			return err
		}
	}
	if err := w.enrol(ctx, created); err != nil {
		return err
	}
	// A yes over a no is put on record for who is held, and changes nothing.
	if len(blocked) > 0 {
		known, err := contactsByEmail(ctx, w.tx, blocked)
		if err != nil {
			return err
		}
		for _, row := range blocked {
			if c, ok := known[row.contact.Email]; ok {
				row.contact.ID = c.ID
				entries = append(entries, w.entry(row))
			}
		}
	}
	return w.record(ctx, entries)
}

// create inserts the contacts that are not there yet, and gives every row its contact's id.
func (w *chunkWrite) create(ctx context.Context, rows []*importRow) (created, held []*importRow, err error) {
	if len(rows) == 0 {
		return nil, nil, nil
	}
	next, err := w.newIDs(ctx, len(rows))
	if err != nil {
		return nil, nil, err
	}
	ownAt := w.now
	if w.Source != 0 {
		ownAt = 0
	}
	args := make([]any, 0, 13*len(rows))
	for i, row := range rows {
		c := &row.contact
		c.ID = next[i]
		args = append(args, int64(c.ID), c.Email, c.Name, c.Company, c.Country, c.Phone, c.JobTitle, c.SubscriberKind, c.Topics, c.Attributes,
			int64(ownAt), int64(w.now), int64(w.now))
	}
	insert := "INSERT"
	if w.tx.Dialect() == schema.SQLite {
		insert = "INSERT OR FAIL" // an error rolls back the whole transaction anyway: spare the statement's own journal
	}
	n, err := w.tx.Exec(ctx, insert+` INTO contacts (id, email, name, company, country, phone, job_title, subscriber_kind, topics, attributes,
		own_at, created_at, updated_at) VALUES `+schema.Rows(len(rows), 13)+` ON CONFLICT (email) DO NOTHING`, args...)
	if err != nil || n == int64(len(rows)) {
		return rows, nil, err
	}
	ids, err := idsByEmail(ctx, w.tx, rows)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		switch there := ids[row.contact.Email]; there {
		case 0:
			return nil, nil, errRaced
		case row.contact.ID:
			created = append(created, row)
		default:
			row.contact.ID = there
			held = append(held, row)
		}
	}
	return created, held, nil
}

// newIDs reserves identifiers for contacts, greater than any that was ever given.
func (w *chunkWrite) newIDs(ctx context.Context, n int) (ids []id.Contact, err error) {
	if w.tx.Dialect() == schema.Postgres {
		err = w.tx.Select(ctx, &ids, `SELECT nextval(pg_get_serial_sequence('contacts', 'id')) FROM generate_series(1, ?)`, n)
		return ids, err
	}
	var last id.Contact
	if err := w.tx.Get(ctx, &last, `SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'contacts'), 0)`); err != nil {
		return nil, err
	}
	for i := range n {
		ids = append(ids, last+id.Contact(i)+1)
	}
	return ids, nil
}

// restricted finds the contacts who are blocked though their address is not suppressed: what is
// held of them may be kept and not used.
func (w *chunkWrite) restricted(ctx context.Context, rows []*importRow) (map[id.Contact]string, error) {
	if len(rows) == 0 || len(w.parser.companies) == 0 {
		return nil, nil
	}
	var use consent.Use
	for _, company := range w.parser.companies { // a block is the same for all of them
		use = consent.Use{Company: company, Channel: consent.Email, Purpose: consent.Segment}
	}
	reason, err := w.Gate.Refusal(use, "c.id", "")
	if err != nil {
		return nil, err
	}
	ids := make([]id.Contact, len(rows))
	for i, row := range rows {
		ids[i] = row.contact.ID
	}
	where, arg := amongIDs(w.tx.Dialect(), "c.id", ids)
	found, err := w.tx.Query(ctx, `SELECT c.id, `+reason.SQL+` FROM contacts c WHERE `+where, append(reason.Args, arg)...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	blocked := map[id.Contact]string{}
	for found.Next() {
		var who id.Contact
		var why string
		if err := found.Scan(&who, &why); err != nil {
			return nil, err
		}
		if why == string(consent.Restricted) || why == string(consent.UnderAge) {
			blocked[who] = why
		}
	}
	return blocked, found.Err()
}

// merge fills the blanks of contacts that were there before.
func (w *chunkWrite) merge(ctx context.Context, rows []*importRow) error {
	if len(rows) == 0 {
		return nil
	}
	held, err := contactsByEmail(ctx, w.tx, rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		fresh := row.contact
		if w.Source == 0 {
			fresh.OwnAt = w.now
		}
		if old := held[fresh.Email]; old.fill(fresh) {
			if err := old.update(ctx, w.tx, w.now); err != nil {
				return err
			}
		}
	}
	return nil
}

// enrol registers new contacts with the ledger, together with their consents.
func (w *chunkWrite) enrol(ctx context.Context, rows []*importRow) error {
	if len(rows) == 0 {
		return nil
	}
	register := make([]consent.Contact, len(rows))
	var entries []consent.Entry
	for i, row := range rows {
		register[i] = consent.Contact{ID: row.contact.ID, Email: row.contact.Email}
		if row.grant != nil {
			entries = append(entries, w.entry(row))
		}
	}
	results, err := w.Ledger.Enrol(ctx, w.tx, register, entries)
	if err != nil {
		return err
	}
	w.told(entries, results)
	return nil
}

func (w *chunkWrite) origins(ctx context.Context, rows []*importRow) error {
	if len(rows) == 0 {
		return nil
	}
	args := make([]any, 0, 5*len(rows))
	for _, row := range rows {
		args = append(args, int64(row.contact.ID), int64(w.Source), int64(w.ID), int64(w.now), int64(w.parser.source.LicensedUntil))
	}
	_, err := w.tx.Exec(ctx, `INSERT INTO contact_sources (contact, source, import, acquired_at, licence_end) VALUES `+schema.Rows(len(rows), 5)+
		` ON CONFLICT (contact, source) DO NOTHING`, args...)
	return err
}

// entry is the consent that a row records: a grant that whoever sent the file vouches for.
func (w *chunkWrite) entry(row *importRow) consent.Entry {
	g := row.grant
	return consent.Entry{Contact: row.contact.ID, Action: consent.Grant, Company: g.company, Channel: g.channel, Types: g.types,
		Tracking: &g.tracking, Notice: g.notice, How: consent.ByImport, Captured: row.at, Confirmed: row.at, Actor: w.actor,
		Evidence: map[string]string{"import": w.Import.ID.String(), "line": strconv.FormatInt(row.line, 10), "how": string(g.how)}}
}

// record hands the entries of contacts that were held already to the ledger.
func (w *chunkWrite) record(ctx context.Context, entries []consent.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	results, err := w.Ledger.RecordMany(ctx, w.tx, entries)
	if err != nil {
		return err
	}
	w.told(entries, results)
	return nil
}

// told puts what the ledger did not accept among the rejects: the contact is there without that
// consent.
func (w *chunkWrite) told(entries []consent.Entry, results []consent.Result) {
	for i, r := range results {
		if r.Err != nil {
			line, _ := strconv.ParseInt(entries[i].Evidence["line"], 10, 64)
			w.rejects = append(w.rejects, Reject{Line: line, Field: "consent", Reason: "consent-not-recorded"})
		}
	}
}
