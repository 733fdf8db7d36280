package segments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Company is a member of the group that sends: consent is given to it and to no other.
type Company struct {
	ID            id.Company  `db:"id" json:"id"`
	Slug          string      `db:"slug" json:"slug"`
	Name          string      `db:"name" json:"name"`
	FromDomain    string      `db:"from_domain" json:"from_domain"`
	ReplyTo       string      `db:"reply_to" json:"reply_to"`
	PrivacyEmail  string      `db:"privacy_email" json:"privacy_email"`
	Phone         string      `db:"phone" json:"phone"`
	PostalAddress string      `db:"postal_address" json:"postal_address"`
	PrivacyURL    string      `db:"privacy_url" json:"privacy_url"`
	ComplaintURL  string      `db:"complaint_url" json:"complaint_url"`
	Language      string      `db:"language" json:"language"`
	PublicURL     string      `db:"public_url" json:"public_url"`
	Tracking      string      `db:"tracking" json:"tracking"` // default of its campaigns: consented, strict or off
	CreatedAt     schema.Time `db:"created_at" json:"created_at"`
}

// LaunchProblems names what the company still lacks before a campaign of it may be launched:
// every mail states a postal address and links to the privacy policy.
func (c Company) LaunchProblems() []FieldError {
	var e Invalid
	e.required("postal_address", c.PostalAddress, "the company's postal address: every mail must state it")
	e.required("privacy_url", c.PrivacyURL, "the address of the company's privacy policy, such as https://example.com/privacy")
	return e.Fields
}

// CompanyPatch changes the fields that are not nil.
type CompanyPatch struct {
	Name          *string `json:"name"`
	FromDomain    *string `json:"from_domain"`
	ReplyTo       *string `json:"reply_to"`
	PrivacyEmail  *string `json:"privacy_email"`
	Phone         *string `json:"phone"`
	PostalAddress *string `json:"postal_address"`
	PrivacyURL    *string `json:"privacy_url"`
	ComplaintURL  *string `json:"complaint_url"`
	Language      *string `json:"language"`
	PublicURL     *string `json:"public_url"`
	Tracking      *string `json:"tracking"`
}

// Companies stores the companies that send.
type Companies struct {
	db  *schema.DB
	now func() time.Time
}

// NewCompanies returns the store; now is the clock for created_at.
func NewCompanies(db *schema.DB, now func() time.Time) *Companies { return &Companies{db, now} }

// Create stores a new company; slug and name are required. The error is an *Invalid for a field
// at fault, a slug already taken included.
func (s *Companies) Create(ctx context.Context, c Company) (Company, error) {
	c.normalise()
	if err := c.check(); err != nil {
		return Company{}, err
	}
	c.CreatedAt = schema.At(s.now())
	err := s.db.Tx(ctx, func(tx *schema.Tx) error {
		return tx.Get(ctx, &c.ID, `INSERT INTO companies (slug, name, from_domain, reply_to, privacy_email, phone, postal_address,
			privacy_url, complaint_url, language, public_url, tracking, created_at) VALUES `+schema.Rows(1, 13)+` RETURNING id`,
			c.Slug, c.Name, c.FromDomain, c.ReplyTo, c.PrivacyEmail, c.Phone, c.PostalAddress,
			c.PrivacyURL, c.ComplaintURL, c.Language, c.PublicURL, c.Tracking, c.CreatedAt)
	})
	if schema.IsUnique(err) {
		return Company{}, invalid("slug", "is taken by another company: choose another, or change that company with PATCH")
	}
	if err != nil {
		return Company{}, fmt.Errorf("segments: create company: %w", err)
	}
	return c, nil
}

// Patch changes a company and returns it as it is now; ErrNotFound, or *Invalid for a field at fault.
func (s *Companies) Patch(ctx context.Context, slug string, p CompanyPatch) (Company, error) {
	var c Company
	err := s.db.Tx(ctx, func(tx *schema.Tx) error {
		if err := getCompany(ctx, tx, &c, `slug = ?`, slug); err != nil {
			return err
		}
		for _, f := range []struct{ to, from *string }{
			{&c.Name, p.Name}, {&c.FromDomain, p.FromDomain}, {&c.ReplyTo, p.ReplyTo}, {&c.PrivacyEmail, p.PrivacyEmail},
			{&c.Phone, p.Phone}, {&c.PostalAddress, p.PostalAddress}, {&c.PrivacyURL, p.PrivacyURL},
			{&c.ComplaintURL, p.ComplaintURL}, {&c.Language, p.Language}, {&c.PublicURL, p.PublicURL}, {&c.Tracking, p.Tracking},
		} {
			if f.from != nil {
				*f.to = *f.from
			}
		}
		c.normalise()
		if err := c.check(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE companies SET name = ?, from_domain = ?, reply_to = ?, privacy_email = ?, phone = ?,
			postal_address = ?, privacy_url = ?, complaint_url = ?, language = ?, public_url = ?, tracking = ? WHERE id = ?`,
			c.Name, c.FromDomain, c.ReplyTo, c.PrivacyEmail, c.Phone, c.PostalAddress, c.PrivacyURL, c.ComplaintURL,
			c.Language, c.PublicURL, c.Tracking, c.ID)
		return err
	})
	if err != nil {
		return Company{}, boundary("change company", err)
	}
	return c, nil
}

// BySlug returns a company, or ErrNotFound.
func (s *Companies) BySlug(ctx context.Context, slug string) (Company, error) {
	var c Company
	err := getCompany(ctx, s.db, &c, `slug = ?`, slug)
	return c, boundary("read company", err)
}

// ByID returns a company, or ErrNotFound.
func (s *Companies) ByID(ctx context.Context, company id.Company) (Company, error) {
	var c Company
	err := getCompany(ctx, s.db, &c, `id = ?`, company)
	return c, boundary("read company", err)
}

// List returns every company by slug; never nil.
func (s *Companies) List(ctx context.Context) ([]Company, error) {
	all := []Company{}
	err := s.db.Select(ctx, &all, `SELECT `+companyColumns+` FROM companies ORDER BY slug`)
	return all, boundary("list companies", err)
}

const companyColumns = `id, slug, name, from_domain, reply_to, privacy_email, phone, postal_address, privacy_url, complaint_url, language, public_url, tracking, created_at`

func getCompany(ctx context.Context, q schema.Querier, c *Company, where string, arg any) error {
	return q.Get(ctx, c, `SELECT `+companyColumns+` FROM companies WHERE `+where, arg)
}

func (c *Company) normalise() {
	for _, f := range []*string{&c.Slug, &c.Name, &c.FromDomain, &c.ReplyTo, &c.PrivacyEmail, &c.Phone, &c.PostalAddress,
		&c.PrivacyURL, &c.ComplaintURL, &c.Language, &c.PublicURL, &c.Tracking} {
		*f = strings.TrimSpace(*f)
	}
	c.FromDomain = strings.ToLower(c.FromDomain)
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.Language == "" {
		c.Language = "en"
	}
	if c.Tracking == "" {
		c.Tracking = "consented"
	}
}

func (c *Company) check() error {
	var e Invalid
	e.slug("slug", c.Slug)
	e.required("name", c.Name, "the company's name as recipients know it")
	e.line("name", c.Name)
	if c.FromDomain != "" && !domainForm.MatchString(c.FromDomain) {
		e.add("from_domain", "must be the domain that mail is sent from, such as mail.example.com")
	}
	e.mailbox("reply_to", c.ReplyTo)
	e.mailbox("privacy_email", c.PrivacyEmail)
	e.line("phone", c.Phone)
	if m := lineProblem(strings.NewReplacer("\r\n", " ", "\n", " ").Replace(c.PostalAddress)); m != "" {
		e.add("postal_address", m)
	}
	e.webURL("privacy_url", c.PrivacyURL)
	e.webURL("complaint_url", c.ComplaintURL)
	e.webURL("public_url", c.PublicURL)
	if !languageForm.MatchString(c.Language) {
		e.add("language", "must be a language tag such as en or en-GB")
	}
	e.oneOf("tracking", c.Tracking, "consented", "strict", "off")
	return e.err()
}

// boundary gives an error its prefix once; a missing row becomes ErrNotFound, and *Invalid passes as it is.
func boundary(what string, err error) error {
	var inv *Invalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &inv):
		return inv
	case errors.Is(err, sql.ErrNoRows):
		err = ErrNotFound
	}
	return fmt.Errorf("segments: %s: %w", what, err)
}
