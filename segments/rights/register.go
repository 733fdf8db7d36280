package rights

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// Installation is what the register is drawn up from beside this package's own tables: whoever wires
// the service fills it from the configuration in force.
type Installation struct {
	Controllers []Controller
	Providers   []Provider
	Systems     []System
	Types       []string // names of the communication types that can be consented to
	Topics      []string // names of the topics
	Special     []string // names of those topics that are a special category of data
	// CorporateCountries are where corporate subscribers from providers may be mailed without consent.
	CorporateCountries []string
	SQLite             bool // the database is a SQLite file
	Regions            bool // a region database is in use
	SmallestGroup      int  // that is shown to analysts
}

// Controller is a company that answers for what it sends.
type Controller struct {
	ID           id.Company `json:"-"`
	Slug         string     `json:"slug"`
	Name         string     `json:"name"`
	Role         string     `json:"role"` // controller or processor; empty: not declared
	Address      string     `json:"postal_address"`
	PrivacyEmail string     `json:"privacy_email"`
	Phone        string     `json:"phone"`
	PrivacyURL   string     `json:"privacy_url"`
	ComplaintURL string     `json:"complaint_url"`
	Tracking     string     `json:"tracking"` // default of its campaigns: consented, strict or off
}

// Provider is a third party that gives us contacts.
type Provider struct {
	ID              id.Source   `json:"-"`
	Slug            string      `json:"slug"`
	Name            string      `json:"name"`
	PrivacyURL      string      `json:"privacy_url"`
	TransparencyURL string      `json:"transparency_url"`
	LawfulBasis     string      `json:"lawful_basis"`
	PermittedUses   []string    `json:"permitted_uses"`
	LicensedUntil   schema.Time `json:"licensed_until"`
	RecalledAt      schema.Time `json:"recalled_at"`
}

// What a system does with personal data.
const (
	SystemDatabase = "database"
	SystemCounts   = "counts" // Redis: totals, nothing personal
	SystemRelay    = "relay"
	SystemJournal  = "journal" // the refusals journal
)

// System is a machine or service that personal data is stored on or passes through.
type System struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`       // host and port; whatever else an address holds is left out
	Country    string `json:"country"`    // ISO 3166-1; empty: not declared
	Protection string `json:"protection"` // of the way there, such as starttls; empty: none is stated
}

// Activity is one thing that is done with personal data.
type Activity struct {
	Name       string   `json:"name"`
	Aim        string   `json:"aim"`
	Bases      []Basis  `json:"bases"`
	Footing    string   `json:"footing"` // what the basis rests on
	Subjects   []string `json:"subjects"`
	Data       []string `json:"data"`
	From       []string `json:"from"`
	Recipients []string `json:"recipients"`
	Retention  []string `json:"retention"`
	Rights     []Right  `json:"rights"`
}

// Transfer says in which country a system is.
type Transfer struct {
	System  string `json:"system"`
	Country string `json:"country"` // empty: not declared
	Outside *bool  `json:"outside"` // of the EEA and the United Kingdom; null: not declared
}

// Decision is a written one to keep something longer than its rule says.
type Decision struct {
	Kind      string      `json:"kind"`   // hold or extension
	Covers    string      `json:"covers"` // no contact by name or number
	Reference string      `json:"reference"`
	Since     schema.Time `json:"since"`
	Until     schema.Time `json:"until"` // null: until it is released
}

// Register is the record of processing activities (GDPR Art. 30), as it follows from what is in
// force when it is drawn up. It names no contact.
type Register struct {
	AsOf        schema.Time  `json:"as_of"`
	Controllers []Controller `json:"controllers"`
	Activities  []Activity   `json:"activities"`
	Providers   []Provider   `json:"providers"`
	Systems     []System     `json:"systems"`
	Transfers   []Transfer   `json:"transfers"`
	Rules       []Rule       `json:"retention"`
	Decisions   []Decision   `json:"decisions"`
	Groups      []GroupCount `json:"groups"`
	Measures    []string     `json:"measures"`
}

// DrawUp draws up the register: rules, extensions, holds and groups as the database has them now,
// all else from the installation.
func DrawUp(ctx context.Context, db *schema.DB, in Installation, now schema.Time) (Register, error) {
	r := Register{AsOf: now, Controllers: append([]Controller{}, in.Controllers...), Providers: append([]Provider{}, in.Providers...), Systems: []System{}, Transfers: []Transfer{}, Decisions: []Decision{}}
	err := db.View(ctx, func(tx *schema.Tx) (err error) {
		if r.Rules, err = Rules(ctx, tx); err != nil {
			return err
		}
		if r.Groups, err = (&Groups{}).Counts(ctx, tx); err != nil {
			return err
		}
		r.Decisions, err = decisions(ctx, tx, in, now)
		return err
	})
	if err != nil {
		return Register{}, err
	}
	for i := range r.Rules {
		r.Rules[i].By = "" // which of the staff it was is in the audit log
	}
	for _, s := range in.Systems {
		s.Name, s.Country = hostOf(s.Name), strings.ToUpper(s.Country)
		r.Systems = append(r.Systems, s)
		t := Transfer{System: s.Kind + " " + s.Name, Country: s.Country}
		if s.Country != "" {
			outside := !slices.Contains(inside, s.Country)
			t.Outside = &outside
		}
		r.Transfers = append(r.Transfers, t)
	}
	r.Activities = activities(in, r)
	r.Measures = measures(in, r)
	return r, nil
}

func decisions(ctx context.Context, q schema.Querier, in Installation, now schema.Time) ([]Decision, error) {
	all := []Decision{}
	holds, err := listHolds(ctx, q, `released_at = 0 AND (ends_at = 0 OR ends_at > ?)`, now)
	if err != nil {
		return nil, err
	}
	for _, h := range holds {
		d := Decision{"hold", "everything", h.Reference, h.CreatedAt, h.EndsAt}
		switch h.Scope {
		case HoldContact:
			d.Covers = "one person"
		case HoldSource:
			d.Covers = "everybody from a data provider"
			for _, p := range in.Providers {
				if p.ID == h.Source {
					d.Covers = "everybody from " + p.Name
				}
			}
		case HoldCompany:
			d.Covers = "everybody that a company has to do with"
			for _, c := range in.Controllers {
				if c.ID == h.Company {
					d.Covers = "everybody that " + c.Name + " has to do with"
				}
			}
		}
		all = append(all, d)
	}
	extensions, err := listExtensions(ctx, q, `until > ?`, now)
	for _, x := range extensions {
		d := Decision{"extension", "one person", x.Reference, x.CreatedAt, x.Until}
		for _, r := range rules {
			switch {
			case r.Purpose == x.Purpose && x.Contact == 0:
				d.Covers = r.Title
			case r.Purpose == x.Purpose:
				d.Covers = "one person of: " + r.Title
			}
		}
		all = append(all, d)
	}
	return all, err
}

// inside are the countries of the European Economic Area, and the United Kingdom.
var inside = strings.Fields("AT BE BG CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK")

// hostOf leaves of an address what names the machine: no user, no password, no path.
func hostOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	if i := strings.IndexAny(address, "/?#"); i >= 0 {
		address = address[:i]
	}
	address = address[strings.LastIndexByte(address, '@')+1:]
	if host, port, err := net.SplitHostPort(address); err == nil {
		return net.JoinHostPort(host, port)
	}
	return address
}

// WriteJSON writes the register as one JSON object.
func (r Register) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("rights: write the register: %w", err)
	}
	return nil
}
