package rights_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/rights"

	"pgregory.net/rapid"
)

func TestS25PeriodsEndAsTheCalendarSays(t *testing.T) {
	for _, c := range []struct{ what, start, first string }{ // first: the first whole second at which a month is over
		{"the same day of the next month, at that time", "2026-03-10 09:30:00", "2026-04-10 09:30:01"},
		{"the last day, of a month that lacks the day", "2026-01-31 09:30:00", "2026-03-01 00:00:00"},
		{"the same, in a leap year", "2028-01-30 09:30:00", "2028-03-01 00:00:00"},
		{"29 February is there in a leap year", "2028-01-29 09:30:00", "2028-02-29 09:30:01"},
		{"over the end of a year", "2026-12-31 23:59:59", "2027-02-01 00:00:00"},
	} {
		start, first := instant(t, c.start), instant(t, c.first)
		month := rights.Period{Months: 1}
		if start.Before(month.Back(first.Add(-time.Second))) {
			t.Errorf("%s: over a second early", c.what)
		}
		if !start.Before(month.Back(first)) {
			t.Errorf("%s: not over at %s", c.what, c.first)
		}
	}
	if got, want := (rights.Period{Months: 6, Days: 10}).Back(instant(t, "2026-10-20 08:00:00")), instant(t, "2026-04-10 08:00:00"); got != want {
		t.Errorf("6 months and 10 days back: %s, want %s", got, want)
	}
}

func TestS25WhatIsOverStaysOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Custom(func(t *rapid.T) rights.Period {
			return rights.Period{Months: rapid.IntRange(0, 36).Draw(t, "months"), Days: rapid.IntRange(0, 28).Draw(t, "days")}
		}).Draw(t, "period")
		base := time.Date(2023, 11, 1, 0, 0, 0, 0, time.UTC)
		at := base.Add(time.Duration(rapid.IntRange(0, 800*86400).Draw(t, "at")) * time.Second)
		then := at.Add(time.Duration(rapid.IntRange(0, 40*86400).Draw(t, "later")) * time.Second)
		if p.Back(then).Before(p.Back(at)) {
			t.Fatalf("%s: %s back from %s, and %s from the later %s", p, p.Back(at), at, p.Back(then), then)
		}
		if whole := p.Back(at); p.Days == 0 && whole.AddDate(0, p.Months, 0).Before(at.AddDate(0, 0, -3)) {
			t.Fatalf("%s: back from %s is %s, which is more", p, at, whole)
		}
	})
}

func TestS25RulesStayWithinTheirLimits(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		set := func(n rights.NewRule) (r rights.Rule, err error) {
			if n.Actor == "" {
				n.Actor = "ann"
			}
			err = db.Tx(t.Context(), func(tx *schema.Tx) error {
				r, err = rights.SetRule(t.Context(), tx, n, schema.At(noon()))
				return err
			})
			return r, err
		}
		month := func(n int) rights.Period { return rights.Period{Months: n} }
		for _, c := range []struct {
			what    string
			purpose rights.Purpose
			keep    rights.Period
			action  rights.Action
			ok      bool
			tooLong bool
		}{
			{"three years", rights.PurposeConsented, month(36), "", true, false},
			{"a day more than three years", rights.PurposeConsented, rights.Period{Months: 36, Days: 1}, "", false, true},
			{"a day", rights.PurposeOptedOut, rights.Period{Days: 1}, "", true, false},
			{"nothing", rights.PurposeOptedOut, rights.Period{}, "", false, false},
			{"days that hide months", rights.PurposeOptedOut, rights.Period{Days: 29}, "", false, false},
			{"candidates half a year", rights.PurposeCandidate, month(6), "", true, false},
			{"candidates less", rights.PurposeCandidate, rights.Period{Months: 5, Days: 28}, "", false, false},
			{"candidates two years", rights.PurposeCandidate, month(24), "", true, false},
			{"candidates more", rights.PurposeCandidate, month(25), "", false, true},
			{"support copies a month", rights.PurposeSupport, month(1), "", true, false},
			{"support copies more", rights.PurposeSupport, month(2), "", false, true},
			{"after an agreement a month", rights.PurposeSourcedEnded, month(1), "", true, false},
			{"after an agreement more", rights.PurposeSourcedEnded, rights.Period{Months: 1, Days: 1}, "", false, true},
			{"the security log a year", rights.PurposeSecurityLog, month(12), "", true, false},
			{"the security log less", rights.PurposeSecurityLog, month(11), "", false, false},
			{"contacts can be de-identified", rights.PurposeConsented, month(12), rights.ActionDeidentify, true, false},
			{"events cannot", rights.PurposeEvents, month(12), rights.ActionDeidentify, false, false},
			{"a purpose that is none", "photos", month(1), "", false, false},
		} {
			r, err := set(rights.NewRule{Purpose: c.purpose, Keep: c.keep, Action: c.action})
			var inv *rights.Invalid
			switch {
			case c.ok && (err != nil || r.Keep != c.keep || r.By != "ann" || r.ChangedAt != schema.At(noon()) || c.action != "" && r.Action != c.action):
				t.Errorf("%s: %+v, %v", c.what, r, err)
			case !c.ok && !errors.As(err, &inv):
				t.Errorf("%s: accepted, or not told what is wrong: %v", c.what, err)
			case !c.ok && errors.Is(err, rights.ErrTooLong) != c.tooLong:
				t.Errorf("%s: %v", c.what, err)
			}
		}
		all, err := rights.Rules(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Keep.Compare(r.Most) > 0 || r.Keep.Compare(r.Least) < 0 || r.Most.Compare(month(36)) > 0 || r.Title == "" || r.Clock == "" || !slices.Contains(rights.Grounds, r.Basis) {
				t.Errorf("%+v", r)
			}
		}
		// A rule of an earlier version, or of another hand, is cut to what is allowed now.
		if _, err := db.Exec(t.Context(), `UPDATE retention_rules SET months = 120 WHERE purpose = 'consented'`); err != nil {
			t.Fatal(err)
		}
		if r, err := rights.RuleFor(t.Context(), db, rights.PurposeConsented); err != nil || r.Keep != month(36) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
