package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"beckon/schema"
)

// Purpose is what some data is held for, and by whose rule it goes. The words stand in rules, pages
// and the register.
type Purpose string

// The purposes. A contact may be held for several; each that is over erases it, but for as long as
// it is in a group (see [Groups]) the groups alone count.
const (
	PurposeConsented    Purpose = "consented"
	PurposeOptedOut     Purpose = "opted-out"
	PurposeUnconfirmed  Purpose = "unconfirmed"
	PurposeSourced      Purpose = "sourced"
	PurposeSourcedEnded Purpose = "sourced-ended"
	PurposeOwn          Purpose = "own-without-consent"
	PurposeCandidate    Purpose = "candidate"
	PurposeGroup        Purpose = "group"
	PurposeSupport      Purpose = "support"
	PurposeEvents       Purpose = "events"
	PurposeRequests     Purpose = "requests"
	PurposeSecurityLog  Purpose = "security-log"
)

// Action is what becomes of data whose time is over.
type Action string

// The actions.
const (
	ActionErase      Action = "erase"
	ActionDeidentify Action = "de-identify" // of contacts: country, kind, month and provider stay, for statistics
)

// Period is a time of calendar months and days.
type Period struct {
	Months int `json:"months"`
	Days   int `json:"days"` // 0 to 28
}

// Back returns the instant before which a clock must have started for the period to be over at t:
// what starts on a day that the last month lacks ends with the last day of that month (Regulation
// 1182/71, Art. 3(2)(c)). A later t never gives an earlier instant.
func (p Period) Back(t time.Time) time.Time {
	t = t.UTC().AddDate(0, 0, -p.Days)
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -p.Months, 0)
	if next := first.AddDate(0, 1, 0); t.Day() > next.AddDate(0, 0, -1).Day() {
		return next
	}
	return t.AddDate(0, -p.Months, 0)
}

// Compare is negative for a shorter period than q, positive for a longer one.
func (p Period) Compare(q Period) int {
	if p.Months != q.Months {
		return p.Months - q.Months
	}
	return p.Days - q.Days
}

func (p Period) String() string {
	of := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case p.Days == 0:
		return of(p.Months, "month")
	case p.Months == 0:
		return of(p.Days, "day")
	}
	return of(p.Months, "month") + " and " + of(p.Days, "day")
}

// Rule says how long data of a purpose is kept, and what happens then.
type Rule struct {
	Purpose   Purpose     `json:"purpose"`
	Title     string      `json:"title"`
	Clock     string      `json:"clock"` // what starts the time
	Basis     Basis       `json:"basis"`
	Keep      Period      `json:"keep"`
	Least     Period      `json:"least"` // an operator may set Keep from Least to Most
	Most      Period      `json:"most"`
	Action    Action      `json:"action"`
	Actions   []Action    `json:"actions"`    // that an operator may set
	By        string      `json:"changed_by"` // empty: as it ships
	ChangedAt schema.Time `json:"changed_at"`
}

// ErrTooLong is wrapped when a rule would keep data longer than rules may. An [Extension] may.
var ErrTooLong = errors.New("longer than a rule may keep data")

const (
	threeYears = 36
	aMonth     = 1
)

var (
	ofContacts = []Action{ActionErase, ActionDeidentify}
	ofRows     = []Action{ActionErase}
)

func shipped(p Purpose, title, clock string, b Basis, keep int, least, most Period, actions []Action) Rule {
	return Rule{Purpose: p, Title: title, Clock: clock, Basis: b, Keep: Period{Months: keep}, Least: least, Most: most, Action: ActionErase, Actions: actions}
}

var (
	aDay = Period{Days: 1}
	cap3 = Period{Months: threeYears}
)

// rules are what ships.
var rules = []Rule{
	shipped(PurposeConsented, "Contacts who opted in", "their last sign of life: a consent that stands was given, they were sent mail, opened, clicked or changed their choices", Consent, threeYears, aDay, cap3, ofContacts),
	shipped(PurposeOptedOut, "Contacts who opted out", "their last withdrawal or objection", LegalObligation, threeYears, aDay, cap3, ofContacts),
	shipped(PurposeUnconfirmed, "Addresses entered in a form and never confirmed", "the last time that somebody entered the address", LegitimateInterests, aMonth, aDay, cap3, ofContacts),
	shipped(PurposeSourced, "Contacts from data providers", "the last time that a provider whose licence runs gave us the contact", LegitimateInterests, threeYears, aDay, cap3, ofContacts),
	shipped(PurposeSourcedEnded, "Contacts from data providers, after the agreement", "the end of the last licence, or the recall", LegitimateInterests, aMonth, aDay, Period{Months: aMonth}, ofContacts),
	shipped(PurposeOwn, "Own contacts without evidence of consent", "the day they were taken in, or a later entry on record", LegitimateInterests, threeYears, aDay, cap3, ofContacts),
	shipped(PurposeCandidate, "Candidates", "the last time that they were put into the group", Contract, 6, Period{Months: 6}, Period{Months: 24}, ofContacts),
	shipped(PurposeGroup, "Members of other groups, such as customers and suppliers", "the last time that they were put into the group", Contract, threeYears, aDay, cap3, ofRows),
	shipped(PurposeSupport, "Support copies: rejected rows, failed uploads, single-use links", "the end of the import or link", LegitimateInterests, aMonth, aDay, Period{Months: aMonth}, ofRows),
	shipped(PurposeEvents, "Opens and clicks of single contacts", "the open or click", Consent, 25, aDay, cap3, ofRows),
	shipped(PurposeRequests, "Requests of people, once closed", "the closing of the request", LegalObligation, threeYears, aDay, cap3, ofRows),
	shipped(PurposeSecurityLog, "Audit and security log", "the entry", LegalObligation, threeYears, Period{Months: 12}, cap3, ofRows),
}

// Rules returns the rules in force: those that ship, with what an operator changed.
func Rules(ctx context.Context, q schema.Querier) ([]Rule, error) {
	var changes []struct {
		Purpose   Purpose     `db:"purpose"`
		Months    int         `db:"months"`
		Days      int         `db:"days"`
		Action    Action      `db:"action"`
		Actor     string      `db:"actor"`
		UpdatedAt schema.Time `db:"updated_at"`
	}
	if err := q.Select(ctx, &changes, `SELECT purpose, months, days, action, actor, updated_at FROM retention_rules`); err != nil {
		return nil, fmt.Errorf("rights: read retention rules: %w", err)
	}
	all := slices.Clone(rules)
	for i := range all {
		r := &all[i]
		for _, c := range changes {
			if c.Purpose != r.Purpose {
				continue
			}
			r.Keep, r.By, r.ChangedAt = Period{c.Months, c.Days}, c.Actor, c.UpdatedAt
			if slices.Contains(r.Actions, c.Action) {
				r.Action = c.Action
			}
			if r.Keep.Compare(r.Most) > 0 { // an earlier version allowed more
				r.Keep = r.Most
			}
			if r.Keep.Compare(r.Least) < 0 {
				r.Keep = r.Least
			}
		}
	}
	return all, nil
}

// RuleFor returns the rule in force for a purpose.
func RuleFor(ctx context.Context, q schema.Querier, p Purpose) (Rule, error) {
	all, err := Rules(ctx, q)
	if err != nil {
		return Rule{}, err
	}
	for _, r := range all {
		if r.Purpose == p {
			return r, nil
		}
	}
	return Rule{}, unknownPurpose(p)
}

// NewRule is what an operator sets.
type NewRule struct {
	Purpose Purpose `json:"purpose"`
	Keep    Period  `json:"keep"`
	Action  Action  `json:"action"` // empty: as it is
	Actor   string  `json:"-"`
}

// SetRule changes a rule from the next run on. The error is an *Invalid; where the time is longer
// than a rule may be, it wraps ErrTooLong too.
func SetRule(ctx context.Context, tx *schema.Tx, n NewRule, now schema.Time) (Rule, error) {
	r, err := RuleFor(ctx, tx, n.Purpose)
	if err != nil {
		return Rule{}, err
	}
	var e Invalid
	if n.Action == "" {
		n.Action = r.Action
	}
	oneOf(&e, "action", n.Action, r.Actions)
	e.line("actor", &n.Actor, "the name of who sets the rule")
	var tooLong error
	switch {
	case n.Keep.Months < 0 || n.Keep.Days < 0 || n.Keep.Days > 28:
		e.add("keep", "must be months, and 0 to 28 days: write longer times in months")
	case n.Keep.Compare(r.Least) < 0:
		e.add("keep", fmt.Sprintf("is too short: %s are kept for %s at least", r.Purpose, r.Least))
	case n.Keep.Compare(r.Most) > 0:
		e.add("keep", fmt.Sprintf("is too long: %s are kept for %s at most; longer by a written extension", r.Purpose, r.Most))
		tooLong = fmt.Errorf("rights: %w", ErrTooLong)
	}
	if err := e.err(); err != nil {
		return Rule{}, errors.Join(err, tooLong)
	}
	_, err = tx.Exec(ctx, `INSERT INTO retention_rules (purpose, months, days, action, actor, updated_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (purpose) DO UPDATE SET months = excluded.months, days = excluded.days, action = excluded.action, actor = excluded.actor, updated_at = excluded.updated_at`,
		n.Purpose, n.Keep.Months, n.Keep.Days, n.Action, n.Actor, now)
	if err != nil {
		return Rule{}, fmt.Errorf("rights: set a retention rule: %w", err)
	}
	return RuleFor(ctx, tx, n.Purpose)
}

func unknownPurpose(p Purpose) *Invalid {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = string(r.Purpose)
	}
	return invalid("purpose", fmt.Sprintf("%q is none: must be one of %s", p, strings.Join(names, ", ")))
}
