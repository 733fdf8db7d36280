package api

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"beckon/mailer"
	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/report"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what the calls work with. All of it is needed unless said otherwise.
type Deps struct {
	DB     *schema.DB
	Tokens *Tokens
	Audit  *rights.Audit

	Catalogue   *consent.Catalogue
	Notices     *consent.Notices
	Ledger      *consent.Ledger
	Companies   *segments.Companies
	Sources     *segments.Sources
	Contacts    *segments.Contacts
	Segments    *segments.Segments
	Mailer      *mailer.Mailer
	Reports     *report.Reporter
	DoubleOptIn DoubleOptIn // nil: requests are refused

	Imports      *segments.Imports
	ImportRunner ImportRunner
	Uploads      *Uploads
	Node         string // the name of this node, whose Uploads these are
	MaxUpload    int64  // bytes of an upload; zero: 4 GiB

	Desk       *rights.Desk
	Requests   *rights.Requests
	Retention  RetentionRunner
	Holds      *rights.Holds
	Extensions *rights.Extensions
	Groups     *rights.Groups
	Activities func(context.Context) (rights.Register, error) // nil: there is no register
	Traces     []Trace                                        // what others hold of a contact, for timelines
	K          int64                                          // the smallest group that an analyst is shown; zero: 5

	Checks  []Check              // what readyz asks; may be empty
	Metrics *prometheus.Registry // what metrics shows, and where the API adds its own; nil: its own alone
	Log     *slog.Logger         // nil: the default one
	Now     func() time.Time     // nil: time.Now
	Timeout time.Duration        // of every call but uploads and exports; zero: 30 s
	Stall   time.Duration        // a client that neither reads nor writes for so long is given up; zero: 1 min
}

// ImportRunner takes files and reads them in the background. ImportWorker is one.
type ImportRunner interface {
	// Check says whether a file would be taken; the error is a *segments.Invalid for a field at fault.
	Check(ctx context.Context, r io.Reader, n segments.NewImport) error
	// Wake says that there is an import to run. It never waits.
	Wake()
}

// RetentionRunner applies every rule in force, or says what that would do. *rights.Retention is one.
type RetentionRunner interface {
	Run(ctx context.Context, dry bool) ([]rights.Outcome, error)
}

// API is the JSON API.
type API struct {
	Deps
	document []byte
	figures  *figures
	refusals throttle
}

// New returns the API; Register adds it to a server. The error names what is missing.
func New(d Deps) (*API, error) {
	for name, missing := range map[string]bool{
		"DB": d.DB == nil, "Tokens": d.Tokens == nil, "Audit": d.Audit == nil, "Catalogue": d.Catalogue == nil, "Notices": d.Notices == nil,
		"Ledger": d.Ledger == nil, "Companies": d.Companies == nil, "Sources": d.Sources == nil, "Contacts": d.Contacts == nil,
		"Segments": d.Segments == nil, "Mailer": d.Mailer == nil, "Reports": d.Reports == nil, "Imports": d.Imports == nil,
		"Desk": d.Desk == nil, "Requests": d.Requests == nil, "Retention": d.Retention == nil, "Holds": d.Holds == nil, "Extensions": d.Extensions == nil,
		"Groups": d.Groups == nil, "ImportRunner": d.ImportRunner == nil, "Uploads": d.Uploads == nil, "Node": d.Node == "",
	} {
		if missing {
			return nil, fmt.Errorf("api: %s is missing", name)
		}
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	d.MaxUpload = cmp.Or(d.MaxUpload, 4<<30)
	d.K = cmp.Or(d.K, 5)
	d.Stall = cmp.Or(d.Stall, time.Minute)
	d.Timeout = cmp.Or(d.Timeout, 30*time.Second)
	document, err := OpenAPI()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return &API{Deps: d, document: document, figures: newFigures(d.Metrics)}, nil
}
