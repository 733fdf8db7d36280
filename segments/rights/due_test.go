package rights_test

import (
	"testing"
	"time"

	"beckon/segments/rights"

	"pgregory.net/rapid"
)

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestL11AnAnswerIsDueWithinACalendarMonth(t *testing.T) {
	for _, c := range []struct{ name, received, due string }{
		{"an ordinary day", "2026-05-04 12:30:15", "2026-06-04 12:30:15"},
		{"31 January", "2026-01-31 23:59:59", "2026-02-28 23:59:59"},
		{"31 January of a leap year", "2028-01-31 00:00:00", "2028-02-29 00:00:00"},
		{"30 January of a leap year", "2028-01-30 09:00:00", "2028-02-29 09:00:00"},
		{"29 January", "2026-01-29 09:00:00", "2026-02-28 09:00:00"},
		{"28 February goes to the 28th, not to the end of March", "2026-02-28 09:00:00", "2026-03-28 09:00:00"},
		{"29 February", "2028-02-29 09:00:00", "2028-03-29 09:00:00"},
		{"a century that is no leap year", "2100-01-31 09:00:00", "2100-02-28 09:00:00"},
		{"31 May", "2026-05-31 09:00:00", "2026-06-30 09:00:00"},
		{"31 December", "2026-12-31 09:00:00", "2027-01-31 09:00:00"},
	} {
		for _, kind := range []rights.Right{rights.Access, rights.Portability, rights.Rectification, rights.Erasure, rights.Restriction, rights.Complaint} {
			for _, by := range []rights.Channel{rights.ByEmail, rights.ByPhone, rights.ByPost, rights.ByPage, rights.ByAPI} {
				if got := rights.Due(kind, by, instant(t, c.received)); !got.Equal(instant(t, c.due)) {
					t.Errorf("%s: %s by %s received %s is due %s, want %s", c.name, kind, by, c.received, got, c.due)
				}
			}
		}
	}
	berlin := time.FixedZone("+02:00", 2*3600)
	if got := rights.Due(rights.Access, rights.ByPost, time.Date(2026, 2, 1, 0, 30, 0, 0, berlin)); got != instant(t, "2026-02-28 22:30:00") {
		t.Errorf("a request of 31 January in UTC is due %s", got)
	}
}

// TestL11ADueDateIsTheDayOfTheMonthOrItsEnd: whatever the day, the due date lies in the next month, at
// the same time of day, and on the same day of the month unless that month is too short for it.
func TestL11ADueDateIsTheDayOfTheMonthOrItsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0).UTC()
		due := rights.Due(rights.Access, rights.ByPost, at)
		wantMonth := at.Month()%12 + 1
		if due.Month() != wantMonth || due.Sub(at) > 31*24*time.Hour || due.Sub(at) < 28*24*time.Hour {
			t.Fatalf("%s is due %s", at, due)
		}
		if due.Day() != at.Day() && (due.Day() > at.Day() || due.AddDate(0, 0, 1).Month() == wantMonth) {
			t.Fatalf("%s is due %s, neither the same day nor the last of the month", at, due)
		}
		if due.Truncate(24*time.Hour).Sub(due) != at.Truncate(24*time.Hour).Sub(at) {
			t.Fatalf("%s is due at another time of day: %s", at, due)
		}
	})
}

func TestS20AnOptOutByEmailOrPhoneIsDueInTwoWorkingDays(t *testing.T) {
	for _, c := range []struct{ name, received, due string }{ // 4 May 2026 is a Monday
		{"Monday", "2026-05-04 09:00:00", "2026-05-06 09:00:00"},
		{"Wednesday", "2026-05-06 09:00:00", "2026-05-08 09:00:00"},
		{"Thursday: over the weekend", "2026-05-07 15:00:00", "2026-05-11 15:00:00"},
		{"Friday at three", "2026-05-08 15:00:00", "2026-05-12 15:00:00"},
		{"the last second of Friday", "2026-05-08 23:59:59", "2026-05-12 23:59:59"},
		{"Saturday", "2026-05-09 10:00:00", "2026-05-12 10:00:00"},
		{"Sunday", "2026-05-10 10:00:00", "2026-05-12 10:00:00"},
		{"over the end of a year", "2026-12-31 10:00:00", "2027-01-04 10:00:00"},
	} {
		for _, kind := range []rights.Right{rights.Withdrawal, rights.Objection} {
			for _, by := range []rights.Channel{rights.ByEmail, rights.ByPhone} {
				if got := rights.Due(kind, by, instant(t, c.received)); !got.Equal(instant(t, c.due)) {
					t.Errorf("%s: %s by %s is due %s, want %s", c.name, kind, by, got, c.due)
				}
			}
		}
	}
	if got := rights.Due(rights.Objection, rights.ByPost, instant(t, "2026-05-08 15:00:00")); !got.Equal(instant(t, "2026-06-08 15:00:00")) {
		t.Errorf("the promise of two days is for email and phone; by post it is due %s", got)
	}
}

func TestS20TheDayThatAnOptOutIsDueIsAWorkingDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0).UTC()
		due := rights.Due(rights.Withdrawal, rights.ByPhone, at)
		working := 0
		for d := at.AddDate(0, 0, 1); !d.After(due); d = d.AddDate(0, 0, 1) {
			if d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
				working++
			}
		}
		if w := due.Weekday(); working != 2 || w == time.Saturday || w == time.Sunday {
			t.Fatalf("%s is due %s: %d working days later", at.Format(time.RFC1123), due.Format(time.RFC1123), working)
		}
	})
}

func TestL12AComplaintIsAcknowledgedWithinThirtyDays(t *testing.T) {
	at := instant(t, "2028-02-15 10:00:00")
	if got := rights.AcknowledgeBy(rights.Complaint, at); !got.Equal(instant(t, "2028-03-16 10:00:00")) {
		t.Errorf("a complaint is to be acknowledged by %s", got)
	}
	if got := rights.AcknowledgeBy(rights.Access, at); !got.IsZero() {
		t.Errorf("of a request for access nothing is promised before the answer, not %s", got)
	}
}
