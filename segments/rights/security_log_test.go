package rights_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"beckon/segments"
	"beckon/segments/rights"
)

// TestS24SegmentsDoNotNeedTheSecurityLog: segments are counted and reported on while there is none.
func TestS24SegmentsDoNotNeedTheSecurityLog(t *testing.T) {
	houses(t, func(h *house) {
		who := h.optedIn()
		h.ok(h.audit.Write(h.ctx, nil, rights.Entry{Actor: "ann", Action: "contact.read", Object: who.String()}))
		store := segments.NewSegments(h.db, h.gate, h.cat, func() time.Time { return h.now })
		make := func(rule string) (segments.Segment, error) {
			return store.Create(h.ctx, segments.NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(rule)})
		}
		for _, field := range []string{"audit_log", "audit", "log", "actor", "action", "ground", "object", "read", "audit_log.actor", "contacts.email"} {
			_, err := make(fmt.Sprintf(`{"combinator":"and","rules":[{"field":%q,"operator":"=","value":"ann"}]}`, field))
			var inv *segments.Invalid
			if !errors.As(err, &inv) {
				h.Errorf("a segment may ask for %s: %v", field, err)
			}
		}
		h.exec(`DROP TABLE audit_log`)
		for rule, want := range map[string]int64{
			`{"combinator":"and","rules":[]}`: 1,
			`{"combinator":"or","rules":[{"field":"country","operator":"=","value":"GB"},{"field":"opened","operator":"=","value":{"within_days":30}},
				{"field":"attributes.actor","operator":"=","value":"ann"},{"field":"created","operator":">","value":"2019-01-01"}]}`: 1,
			`{"combinator":"and","rules":[{"field":"attributes.actor","operator":"=","value":"ann"}]}`: 0,
		} {
			s, err := make(rule)
			h.ok(err)
			if n, err := store.Count(h.ctx, s.ID); err != nil || n != want {
				h.Errorf("%s: %d, %v", rule, n, err)
			}
			if _, err := store.Report(h.ctx, s.ID, segments.ReportOptions{}); err != nil {
				h.Errorf("report on %s: %v", rule, err)
			}
		}
	})
}

// TestS24TheSecurityLogHasAnEnd: three years, a year at least, which the database itself insists on.
func TestS24TheSecurityLogHasAnEnd(t *testing.T) {
	houses(t, func(h *house) {
		r, err := rights.RuleFor(h.ctx, h.db, rights.PurposeSecurityLog)
		h.ok(err)
		if r.Keep != (rights.Period{Months: 36}) || r.Least != (rights.Period{Months: 12}) {
			h.Errorf("%+v", r)
		}
		h.now = time.Now()
		h.ok(h.audit.Write(h.ctx, nil, rights.Entry{Actor: "ann", Action: "contact.read"}))
		h.now = h.now.AddDate(4, 0, 0) // the clock of this node runs ahead
		all, err := h.retention().Run(h.ctx, false)
		if err == nil || of(all, rights.PurposeSecurityLog).Failed != 1 || h.count(`SELECT count(*) FROM audit_log WHERE action = 'contact.read'`) != 1 {
			h.Errorf("an entry of today went: %+v, %v", of(all, rights.PurposeSecurityLog), err)
		}
	})
}
