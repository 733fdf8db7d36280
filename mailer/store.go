package mailer

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"beckon/mailer/compose"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
)

// Create stores a draft. The error is a *segments.Invalid for a field at fault. What only a launch
// needs, such as a template that compiles, is told by Check.
func (m *Mailer) Create(ctx context.Context, d Draft) (Campaign, error) {
	company, err := m.check(ctx, &d)
	if err != nil {
		return Campaign{}, boundary("create campaign", err)
	}
	audience, err := json.Marshal(d.Audience)
	if err != nil {
		return Campaign{}, boundary("create campaign", err)
	}
	utm, err := json.Marshal(d.UTM)
	if err != nil {
		return Campaign{}, boundary("create campaign", err)
	}
	window, err := storedWindow(d.Window)
	if err != nil {
		return Campaign{}, boundary("create campaign", err)
	}
	var rate float64
	if d.Rate != nil {
		rate = *d.Rate
	}
	c := Campaign{Draft: d, Status: DraftStatus, CreatedAt: schema.At(m.o.Now())}
	err = m.o.DB.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &c.ID, `INSERT INTO campaigns (name, company, type, subject, sender, reply_to, preheader, html, body_text, audience, tracking, utm, honeypot, rate, send_window, status, send_at, created_at)
			VALUES `+schema.Rows(1, 18)+` RETURNING id`, d.Name, company.ID, d.Type, d.Subject, d.From, d.ReplyTo, d.Preheader, d.HTML, d.Text,
			string(audience), d.Tracking, string(utm), *d.Honeypot, rate, window, string(c.Status), d.SendAt, c.CreatedAt)
	})
	return c, boundary("create campaign", err)
}

// Get returns a campaign, or segments.ErrNotFound.
func (m *Mailer) Get(ctx context.Context, c id.Campaign) (Campaign, error) {
	r, err := read(ctx, m.o.DB, c)
	return r.campaign(), err
}

// List returns up to limit campaigns older than before, the newest first, never nil; zero: from the
// newest.
func (m *Mailer) List(ctx context.Context, before id.Campaign, limit int) ([]Campaign, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	var rows []row
	if err := m.o.DB.Select(ctx, &rows, columns+` WHERE k.id < ? ORDER BY k.id DESC LIMIT ?`, before, limit); err != nil {
		return nil, boundary("list campaigns", err)
	}
	all := make([]Campaign, len(rows))
	for i, r := range rows {
		all[i] = r.campaign()
	}
	return all, nil
}

// row is a campaign as it is stored.
type row struct {
	ID         id.Campaign `db:"id"`
	Name       string      `db:"name"`
	CompanyID  id.Company  `db:"company"`
	Company    string      `db:"slug"`
	Type       string      `db:"type"`
	Subject    string      `db:"subject"`
	Sender     string      `db:"sender"`
	ReplyTo    string      `db:"reply_to"`
	Preheader  string      `db:"preheader"`
	HTML       string      `db:"html"`
	Text       string      `db:"body_text"`
	Audience   string      `db:"audience"`
	Tracking   string      `db:"tracking"`
	UTM        string      `db:"utm"`
	Honeypot   bool        `db:"honeypot"`
	Rate       float64     `db:"rate"`
	Window     string      `db:"send_window"`
	Plain      bool        `db:"plain"`
	Status     string      `db:"status"`
	StatusNote string      `db:"status_note"`
	LeftOut    string      `db:"left_out"`
	SendAt     schema.Time `db:"send_at"`
	CreatedAt  schema.Time `db:"created_at"`
	LaunchedAt schema.Time `db:"launched_at"`
	FinishedAt schema.Time `db:"finished_at"`
}

const columns = `SELECT k.id, k.name, k.company, o.slug, k.type, k.subject, k.sender, k.reply_to, k.preheader, k.html, k.body_text, k.audience, k.tracking,
	k.utm, k.honeypot, k.rate, k.send_window, k.plain, k.status, k.status_note, k.left_out, k.send_at, k.created_at, k.launched_at, k.finished_at FROM campaigns k JOIN companies o ON o.id = k.company`

func read(ctx context.Context, q schema.Querier, c id.Campaign) (row, error) {
	var r row
	err := q.Get(ctx, &r, columns+` WHERE k.id = ?`, c)
	return r, boundary("read campaign", err)
}

func (r row) campaign() Campaign {
	c := Campaign{
		ID: r.ID, Status: CampaignStatus(r.Status), StatusNote: r.StatusNote, Plain: r.Plain,
		CreatedAt: r.CreatedAt, LaunchedAt: r.LaunchedAt, FinishedAt: r.FinishedAt,
		Draft: Draft{Name: r.Name, Company: r.Company, Type: r.Type, Subject: r.Subject, From: r.Sender, ReplyTo: r.ReplyTo, Preheader: r.Preheader,
			HTML: r.HTML, Text: r.Text, SendAt: r.SendAt, Tracking: r.Tracking, UTM: r.utm(), Honeypot: &r.Honeypot, Window: r.window()},
	}
	if r.Rate > 0 {
		c.Rate = &r.Rate
	}
	_ = json.Unmarshal([]byte(r.Audience), &c.Audience) // written by Create; an unreadable one is an audience of nobody
	return c
}

// utm are the parameters that Create wrote.
func (r row) utm() (u compose.UTM) {
	_ = json.Unmarshal([]byte(r.UTM), &u) // unreadable ones are none
	return u
}

// boundary gives an error its prefix once; a missing row becomes segments.ErrNotFound, and errors
// that callers branch on pass as they are.
func boundary(what string, err error) error {
	var (
		invalid *segments.Invalid
		refused *Refused
		status  *StatusError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return invalid
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &status):
		return status
	case errors.Is(err, sql.ErrNoRows):
		err = segments.ErrNotFound
	}
	return fmt.Errorf("mailer: %s: %w", what, err)
}
