package segments

import (
	"context"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
)

// planner reports every statement that reads a whole table for each contact.
type planner struct {
	schema.Querier
	t *testing.T
}

func (p planner) Select(ctx context.Context, dest any, query string, args ...any) error {
	var plan []struct {
		ID, Parent, Notused int
		Detail              string
	}
	if err := p.Querier.Select(ctx, &plan, "EXPLAIN QUERY PLAN "+query, args...); err != nil {
		p.t.Fatal(err)
	}
	for _, step := range plan {
		if strings.HasPrefix(step.Detail, "SCAN") && !strings.Contains(step.Detail, "json_each") && step.Detail != "SCAN c" && !strings.Contains(step.Detail, "gate_newest") {
			p.t.Errorf("%s\n%s", step.Detail, query)
		}
	}
	return p.Querier.Select(ctx, dest, query, args...)
}

// TestClocksLookContactsUp: a run looks at every contact once, so each must cost a few look-ups.
func TestClocksLookContactsUp(t *testing.T) {
	w := newWorld(t, sqliteOf(t))
	q := planner{w.db, t}
	for _, due := range []func(context.Context, schema.Querier, schema.Time, id.Contact, id.Contact, int) ([]id.Contact, error){
		w.contacts.DueConsented, w.contacts.DueOptedOut, w.contacts.DueUnconfirmed, w.contacts.DueOwn, w.contacts.DueSourced, w.contacts.DueSourcedEnded,
	} {
		_, err := due(t.Context(), q, schema.At(w.now), 0, 9, 10)
		w.ok(err)
	}
	some := []id.Contact{1, 2}
	_, err := w.contacts.Carried(t.Context(), q, some)
	w.ok(err)
	_, err = w.contacts.OfSource(t.Context(), q, 1, some)
	w.ok(err)
	_, err = w.contacts.OfCompany(t.Context(), q, 1, some)
	w.ok(err)
	_, err = w.contacts.Restrained(t.Context(), q, some)
	w.ok(err)
}
