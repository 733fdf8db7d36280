package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// Keeper finds the contacts that are held for a purpose and whose clock started before an instant:
// of those after one identifier and up to another (zero: all the rest) up to limit, by identifier.
type Keeper func(ctx context.Context, q schema.Querier, before schema.Time, after, last id.Contact, limit int) ([]id.Contact, error)

// Aged is a row whose time is over, and whom it tells of, or which company it concerns; zero: nobody.
// It is an alias so that packages which do not know this one can return it.
type Aged = struct {
	ID      int64
	Contact id.Contact
	Company id.Company
}

// Sweeper finds and removes rows that are held for a purpose and are no contacts.
type Sweeper struct {
	// Aged returns up to limit rows whose clock started before an instant, by ID, those after the
	// given one.
	Aged func(ctx context.Context, q schema.Querier, before schema.Time, after int64, limit int) ([]Aged, error)
	// Remove removes rows in a short transaction; more says that it has to be called again for them,
	// in another one.
	Remove func(ctx context.Context, tx *schema.Tx, rows []int64) (more bool, err error)
	// Theirs says that the rows go with their contact when that is erased.
	Theirs bool
}

// RetentionOptions are what a run needs. All but Actor and Outlive are required.
type RetentionOptions struct {
	DB    *schema.DB
	Desk  *Desk
	Holds *Holds
	Audit *Audit
	Now   func() time.Time
	Actor string // who stands in the audit log; empty: retention

	// Keepers for consented, opted-out, unconfirmed, sourced, sourced-ended and own-without-consent.
	Keepers map[Purpose]Keeper
	// Sweepers for events and support, beside those of this package for what it holds itself.
	Sweepers map[Purpose][]Sweeper
	// Carried tells which contacts are still held for campaigns when a candidacy is over.
	Carried func(ctx context.Context, q schema.Querier, contacts []id.Contact) ([]id.Contact, error)
	// Restrained tells which contacts had the use of their data restricted: they are held like by a
	// legal hold, since who wants their data restricted opposes its erasure (GDPR Art. 18).
	Restrained func(ctx context.Context, q schema.Querier, contacts []id.Contact) ([]id.Contact, error)
	// Deidentify keeps what statistics need of a contact, calls erase, and stores it where it leads
	// to nobody.
	Deidentify func(ctx context.Context, tx *schema.Tx, who id.Contact, erase func(context.Context, *schema.Tx, id.Contact) error) error
	// Outlive calls erase, and sees to it that what the contact refused stays refused. Nil: erase
	// itself sees to it.
	Outlive func(ctx context.Context, tx *schema.Tx, who id.Contact, erase func(context.Context, *schema.Tx, id.Contact) error) error
}

// Retention ends what is held for longer than its purpose allows.
type Retention struct{ o RetentionOptions }

// NewRetention returns it, or says what the options lack: a purpose that nobody looks after is never
// passed over in silence.
func NewRetention(o RetentionOptions) (*Retention, error) {
	var missing []string
	for name, is := range map[string]bool{"DB": o.DB != nil, "Desk": o.Desk != nil, "Holds": o.Holds != nil, "Audit": o.Audit != nil, "Now": o.Now != nil,
		"Carried": o.Carried != nil, "Restrained": o.Restrained != nil, "Deidentify": o.Deidentify != nil} {
		if !is {
			missing = append(missing, name)
		}
	}
	sweepers := ownSweepers()
	for p, list := range o.Sweepers {
		sweepers[p] = append(sweepers[p], list...)
	}
	o.Sweepers = sweepers
	for _, r := range rules {
		if o.Keepers[r.Purpose] == nil && len(o.Sweepers[r.Purpose]) == 0 && !ofGroups(r.Purpose) {
			missing = append(missing, "who looks after "+string(r.Purpose))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, fmt.Errorf("rights: retention lacks %s", strings.Join(missing, ", "))
	}
	if len(o.Sweepers[PurposeEvents]) == 0 || len(o.Sweepers[PurposeSupport]) < 2 {
		return nil, errors.New("rights: retention lacks who sweeps events and imports")
	}
	if o.Actor == "" {
		o.Actor = "retention"
	}
	if o.Outlive == nil {
		o.Outlive = func(ctx context.Context, tx *schema.Tx, who id.Contact, erase func(context.Context, *schema.Tx, id.Contact) error) error {
			return erase(ctx, tx, who)
		}
	}
	return &Retention{o}, nil
}

// Outcome says what a run did for a purpose: Due = Held + Extended + Done + Failed.
type Outcome struct {
	Purpose  Purpose     `json:"purpose"`
	Title    string      `json:"title"`
	Keep     Period      `json:"keep"`
	Before   schema.Time `json:"before"` // what started earlier is due
	Action   Action      `json:"action"`
	Due      int64       `json:"due"`      // contacts, or rows; of a group: memberships
	Held     int64       `json:"held"`     // kept by a legal hold, or because the person had it restricted
	Extended int64       `json:"extended"` // kept by a written extension
	Done     int64       `json:"done"`     // erased or de-identified; of a dry run: would be
	Failed   int64       `json:"failed"`   // could not be; the error says why, and the next run tries again
}

func (o *Outcome) add(p Outcome) {
	o.Due += p.Due
	o.Held += p.Held
	o.Extended += p.Extended
	o.Done += p.Done
	o.Failed += p.Failed
}

// Run applies every rule in force, and returns what came of each, in the order of Rules. A dry run
// changes nothing and counts exactly what the run would do now.
//
// It works in short transactions. A run that was stopped has left nothing half done, and the next
// one goes on with the rest; two runs at once do no harm. What cannot be erased does not keep the
// rest from it: the error tells, with the outcomes. Whatever is done is in the audit log: an entry
// for each contact, and one for each purpose with the numbers.
func (r *Retention) Run(ctx context.Context, dry bool) ([]Outcome, error) {
	inForce, err := Rules(ctx, r.o.DB)
	if err != nil {
		return nil, err
	}
	now := r.o.Now()
	p := &pass{RetentionOptions: r.o, dry: dry, gone: map[id.Contact]bool{}, left: map[membership]bool{}}
	all := make([]Outcome, len(inForce))
	for i, rule := range inForce {
		all[i] = Outcome{Purpose: rule.Purpose, Title: rule.Title, Keep: rule.Keep, Action: rule.Action, Before: schema.At(rule.Keep.Back(now))}
	}
	// A membership that is over must not keep a contact any more, and of a contact that is gone no rows are left.
	order := []func(Purpose) bool{
		func(p Purpose) bool { return p == PurposeGroup }, func(p Purpose) bool { return p == PurposeCandidate },
		func(p Purpose) bool { return r.o.Keepers[p] != nil }, func(p Purpose) bool { return len(r.o.Sweepers[p]) > 0 },
	}
	var failed []error
	for _, turn := range order {
		for i, rule := range inForce {
			if !turn(rule.Purpose) || ctx.Err() != nil {
				continue
			}
			if err := p.apply(ctx, rule, &all[i]); err != nil {
				failed = append(failed, fmt.Errorf("rights: retention of %s: %w", rule.Purpose, err))
			}
			if !dry {
				if err := r.log(ctx, all[i]); err != nil {
					failed = append(failed, err)
				}
			}
		}
	}
	return all, errors.Join(append(failed, ctx.Err())...)
}

// log writes what was done for a purpose, even if the run was stopped meanwhile.
func (r *Retention) log(ctx context.Context, o Outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementMost)
	defer cancel()
	return r.o.Audit.Write(ctx, nil, Entry{Actor: r.o.Actor, Action: "retention.run", Object: string(o.Purpose),
		Detail: fmt.Sprintf("%s: due %d, held %d, extended %d, done %d, failed %d; before %s", o.Action, o.Due, o.Held, o.Extended, o.Done, o.Failed, o.Before)})
}

func ofGroups(p Purpose) bool { return p == PurposeCandidate || p == PurposeGroup }
