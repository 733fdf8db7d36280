package rights

import (
	"slices"
	"time"
)

// Channel is how a request reached us.
type Channel string

// The channels. A page is one of ours; the API is another program's.
const (
	ByEmail Channel = "email"
	ByPhone Channel = "phone"
	ByPost  Channel = "post"
	ByPage  Channel = "page"
	ByAPI   Channel = "api"
)

var channels = []Channel{ByEmail, ByPhone, ByPost, ByPage, ByAPI}

const (
	// optOutDays are the working days within which the policies promise to answer an opt-out that came
	// by email or phone.
	optOutDays = 2
	// acknowledgeDays are the days within which a complaint is acknowledged (UK DPA 2018 s. 164A).
	acknowledgeDays = 30
	// mostMonths are how long an answer may take with an extension, which is told within the first
	// month and adds two at most (GDPR Art. 12(3)).
	mostMonths = 3
)

// Due returns by when a request must be answered.
//
// A withdrawal or an objection by email or phone: two working days later, at the time of day at which
// it came, so one of Friday at three is due on Tuesday at three. Saturday and Sunday are not counted;
// public holidays are not known, so a date is never later than promised and may be earlier. Everything
// else: a month later by the calendar, on the last day of a month that lacks the day (31 January → 28
// or 29 February). All of it is reckoned in UTC.
func Due(kind Right, channel Channel, received time.Time) time.Time {
	if optOut(kind, channel) {
		return workingDays(received.UTC(), optOutDays)
	}
	return months(received.UTC(), 1)
}

// AcknowledgeBy returns by when the receipt of a request must be confirmed to who made it: 30 days
// for a complaint; of others nothing is promised before the answer, and it is zero.
func AcknowledgeBy(kind Right, received time.Time) time.Time {
	if kind != Complaint {
		return time.Time{}
	}
	return received.UTC().AddDate(0, 0, acknowledgeDays)
}

func optOut(kind Right, channel Channel) bool {
	return slices.Contains([]Right{Withdrawal, Objection}, kind) && slices.Contains([]Channel{ByEmail, ByPhone}, channel)
}

// months moves t by n calendar months, to the last day of a month that has no such day.
func months(t time.Time, n int) time.Time {
	first := t.AddDate(0, n, 1-t.Day())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

func workingDays(t time.Time, n int) time.Time {
	for n > 0 {
		if t = t.AddDate(0, 0, 1); t.Weekday() != time.Saturday && t.Weekday() != time.Sunday {
			n--
		}
	}
	return t
}
