package segments

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// judge counts who of an import can be mailed by email, and why the others cannot. A contact can
// be mailed if at least one company may send it at least one type: to a segment, or for a source's
// import also to the source's list.
type judge struct {
	run       *importRun
	companies []id.Company
	mailable  int64
	reasons   map[string]int64
}

func (run *importRun) newJudge(ctx context.Context) (*judge, error) {
	j := &judge{run: run, reasons: map[string]int64{}}
	if run.As != "" {
		return j, nil
	}
	var err error
	j.companies, err = run.judgedCompanies(ctx)
	return j, err
}

// reason is a text over contacts c: empty for who can be mailed now.
func (j *judge) reason() (consent.Fragment, error) {
	run := j.run
	var sql strings.Builder
	var args []any
	types := run.Catalogue.Entries(consent.KindType)
	sql.WriteString("CASE")
	for _, company := range j.companies {
		uses := []consent.Use{{Company: company, Channel: consent.Email, Purpose: consent.Segment}}
		// Without an opt-in, which the first use asks for, the answer is the same for every type.
		if run.Source != 0 && len(types) > 0 {
			uses = append(uses, run.toSource(company, types[0].Slug))
		}
		for _, use := range uses {
			f, err := run.Gate.Allowed(use, "c.id", "")
			if err != nil {
				return consent.Fragment{}, err
			}
			fmt.Fprintf(&sql, " WHEN %s THEN ''", f.SQL)
			args = append(args, f.Args...)
		}
	}
	last := consent.Use{Company: j.companies[0], Channel: consent.Email, Purpose: consent.Segment}
	if run.Source != 0 && len(types) > 0 {
		last = run.toSource(j.companies[0], types[0].Slug)
	}
	f, err := run.Gate.Refusal(last, "c.id", "")
	if err != nil {
		return consent.Fragment{}, err
	}
	fmt.Fprintf(&sql, " ELSE %s END", f.SQL)
	return consent.Fragment{SQL: sql.String(), Args: append(args, f.Args...)}, nil
}

func (run *importRun) toSource(company id.Company, slug string) consent.Use {
	return consent.Use{Company: company, Channel: consent.Email, Type: slug, Purpose: consent.Mail, Audience: consent.SourceAudience(run.Source)}
}

// judgedCompanies are all companies, the one that the file's consents are given to first: it is
// the one whose reasons are told.
func (run *importRun) judgedCompanies(ctx context.Context) ([]id.Company, error) {
	first := run.parser.companies[run.parser.layout.fixed[fConsentCompany]]
	var all []id.Company
	err := run.DB.Select(ctx, &all, `SELECT id FROM companies ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END, id`, first)
	return all, err
}

// add judges the rows of a chunk that is in the database.
func (j *judge) add(ctx context.Context, rows []importRow) error {
	var emails []string
	for i := range rows {
		if rows[i].reason == "" {
			emails = append(emails, rows[i].contact.Email)
		}
	}
	switch {
	case len(emails) == 0:
		return nil
	case j.run.As != "":
		j.reasons[j.run.As] += int64(len(emails))
		return nil
	case len(j.companies) == 0:
		j.reasons["no-company"] += int64(len(emails))
		return nil
	}
	reason, err := j.reason()
	if err != nil {
		return err
	}
	where, arg := amongTexts(j.run.DB.Dialect(), "c.email", emails)
	var groups []struct {
		Reason string `db:"reason"`
		N      int64  `db:"n"`
	}
	err = j.run.DB.Select(ctx, &groups, `SELECT reason, count(*) AS n FROM (SELECT `+reason.SQL+` AS reason FROM contacts c WHERE `+where+`) judged GROUP BY reason`,
		append(reason.Args, arg)...)
	if err != nil {
		return err
	}
	held := int64(0)
	for _, g := range groups {
		held += g.N
		if g.Reason == "" {
			j.mailable += g.N
		} else {
			j.reasons[g.Reason] += g.N
		}
	}
	if held < int64(len(emails)) {
		return j.addAbsent(ctx, emails)
	}
	return nil
}

// addAbsent counts the addresses for which no contact was made, because they are blocked.
func (j *judge) addAbsent(ctx context.Context, emails []string) error {
	where, arg := amongTexts(j.run.DB.Dialect(), "email", emails)
	var held []string
	if err := j.run.DB.Select(ctx, &held, `SELECT email FROM contacts WHERE `+where, arg); err != nil {
		return err
	}
	is := make(map[string]bool, len(held))
	for _, e := range held {
		is[e] = true
	}
	blocks, err := j.run.Ledger.Suppressed(ctx, j.run.DB, emails)
	if err != nil {
		return err
	}
	for _, e := range emails {
		if is[e] {
			continue
		}
		reason := string(blocks[e].Reason())
		if reason == "" {
			reason = string(consent.NotFound) // erased while the import ran
		}
		j.reasons[reason]++
	}
	return nil
}

func (run *importRun) finish(ctx context.Context) error {
	reasons, err := json.Marshal(run.Reasons)
	if err != nil {
		return err
	}
	run.Status, run.FinishedAt = ImportFinished, schema.At(run.Now())
	n, err := run.DB.Exec(ctx, `UPDATE imports SET status = 'finished', mailable = ?, reasons = ?, finished_at = ? WHERE id = ? AND status = 'running' AND rows_read = ?`,
		run.Mailable, string(reasons), run.FinishedAt, run.ID, run.Rows)
	if err == nil && n == 0 {
		return errTwoRuns
	}
	return err
}

// fail ends the import for what is wrong with its file.
func (run *importRun) fail(ctx context.Context, inv *Invalid) (Import, error) {
	var b strings.Builder
	for i, f := range inv.Fields {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field + " " + f.Message)
	}
	run.Status, run.Problem, run.FinishedAt = ImportFailed, b.String(), schema.At(run.Now())
	_, err := run.DB.Exec(context.WithoutCancel(ctx), `UPDATE imports SET status = 'failed', problem = ?, finished_at = ? WHERE id = ?`, run.Problem, run.FinishedAt, run.ID)
	if err != nil {
		return run.Import, boundary("fail import", err)
	}
	return run.Import, inv
}
