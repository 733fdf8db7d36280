package segments

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

func TestASegmentIsCheckedFieldByField(t *testing.T) {
	rule := json.RawMessage(`{"rules":[]}`)
	tests := []struct {
		name string
		n    NewSegment
		want string
	}{
		{"no name", NewSegment{Company: "acme", Rule: rule}, "name: is missing"},
		{"no company", NewSegment{Name: "s", Rule: rule}, "company: is not a known company"},
		{"no rule", NewSegment{Name: "s", Company: "acme"}, "rule: is missing"},
		{"no channel of the catalogue", NewSegment{Name: "s", Company: "acme", Channel: "fax", Rule: rule}, "channel: must be one of email, phone, post"},
		{"a rule that is none", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`"x"`)}, "rule: must be an object"},
		{"an unknown field", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"x"}]}`)}, "rule.rules[0].field: is \"x\""},
		{"an unknown topic", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"topics","operator":"in","value":["transport","rockets"]}]}`)}, "rule.rules[0].value: \"rockets\" is not in the catalogue"},
		{"an unknown type", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"types","operator":"=","value":"spam"}]}`)}, "rule.rules[0].value: \"spam\" is not in the catalogue"},
		{"an unknown source", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"source","operator":"=","value":"x"}]}`)}, "rule.rules[0].value: names the source \"x\""},
		{"an unknown campaign", NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"opened","operator":"=","value":{"campaign":"cmp_9"}}]}`)}, "rule.rules[0].value.campaign: is no campaign"},
	}
	worlds(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			_, err := w.segments.Create(t.Context(), test.n)
			if got := fields(err); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("%s: got %q", test.name, got)
			}
		}
		made, err := w.segments.Create(t.Context(), NewSegment{Name: " Brits ", Company: "acme", Rule: json.RawMessage(` {"rules": [{"field":"country","operator":"=","value":"GB"}]}`)})
		w.ok(err)
		got, err := w.segments.Get(t.Context(), made.ID)
		w.ok(err)
		if mustJSON(got) != mustJSON(made) || got.Name != "Brits" || got.Company != "acme" || got.Channel != consent.Email || string(got.Rule) != `{"rules":[{"field":"country","operator":"=","value":"GB"}]}` {
			t.Errorf("made %+v, read %+v", made, got)
		}
		all, err := w.segments.List(t.Context())
		w.ok(err)
		if len(all) != 1 {
			t.Errorf("got %+v", all)
		}
		at := w.people()
		p, err := w.segments.Preview(t.Context(), NewSegment{Company: "acme", Rule: json.RawMessage(`{"rules":[{"field":"country","operator":"notNull"}]}`)}, 2)
		w.ok(err)
		if p.Count != 4 || len(p.Contacts) != 2 || p.Contacts[0] != at["ann"] {
			t.Errorf("got %+v", p)
		}
	})
}

// TestNoYesNoSegment holds every segment to the gate's answer for each contact, after any sequence
// of what can happen to a consent.
func TestNoYesNoSegment(t *testing.T) {
	w := newWorld(t, sqliteOf(t))
	rules := []string{
		`{"rules":[]}`,
		`{"combinator":"or","rules":[{"field":"country","operator":"=","value":"GB"},{"field":"country","operator":"!=","value":"GB"}]}`,
		`{"not":true,"rules":[{"field":"email","operator":"null"}]}`,
		`{"combinator":"or","not":true,"rules":[{"not":true,"rules":[{"field":"types","operator":"notNull"}]},{"field":"email","operator":"null"}]}`,
	}
	var segs []id.Segment
	for _, r := range rules {
		segs = append(segs, w.segment(r))
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		ctx := t.Context()
		email := fmt.Sprintf("p%d@example.com", n)
		who := w.contact(NewContact{Email: email, Country: "GB"})
		step := func(e consent.Entry, own bool) {
			e.Contact, e.How, e.Own = who, consent.ByForm, own
			if e.Action == consent.Grant {
				e.Notice = "v1"
			}
			w.tx(func(tx *schema.Tx) error {
				_, err := w.ledger.Record(ctx, tx, e)
				if err != nil && !own && strings.Contains(err.Error(), consent.ErrNotOwnAct.Error()) {
					return nil
				}
				return err
			})
		}
		alive := true
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			if !alive {
				break
			}
			switch rapid.SampledFrom([]string{"grant", "ungrant", "other", "phone", "withdraw", "object", "restrict", "lift", "bounce", "erase", "import"}).Draw(rt, "step") {
			case "grant":
				step(consent.Entry{Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}}, rapid.Bool().Draw(rt, "own"))
			case "ungrant":
				step(consent.Entry{Action: consent.Withdraw, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}}, true)
			case "other":
				step(consent.Entry{Action: consent.Grant, Company: w.other.ID, Channel: consent.Email, Types: []string{"newsletter"}}, true)
			case "phone":
				step(consent.Entry{Action: consent.Grant, Company: w.acme.ID, Channel: consent.Phone, Types: []string{"newsletter"}}, true)
			case "withdraw":
				step(consent.Entry{Action: consent.Withdraw}, true)
			case "object":
				step(consent.Entry{Action: consent.Object}, true)
			case "restrict":
				step(consent.Entry{Action: consent.Restrict}, true)
			case "lift":
				step(consent.Entry{Action: consent.Lift}, true)
			case "bounce":
				w.tx(func(tx *schema.Tx) error { return w.ledger.Suppress(ctx, tx, email, consent.BlockBounced) })
			case "erase":
				w.ok(w.contacts.Delete(ctx, who))
				alive = false
			case "import":
				w.imported(NewImport{Mapping: consentFor("acme", "2026-04-01T11:00:00Z")}, "email\n"+email+"\n")
			}
		}
		d, err := w.gate.Ask(ctx, who, consent.Use{Company: w.acme.ID, Channel: consent.Email, Purpose: consent.Segment})
		w.ok(err)
		for i, seg := range segs {
			f, _, _, err := w.segments.Fragment(ctx, seg)
			w.ok(err)
			var in []id.Contact
			w.ok(w.db.Select(ctx, &in, `SELECT c.id FROM contacts c WHERE c.id = ? AND `+f.SQL, append([]any{who}, f.Args...)...))
			if d.Allowed != (len(in) == 1) {
				rt.Fatalf("rule %s: gate says %+v, segment holds %v", rules[i], d, in)
			}
		}
	})
}

func TestSizesAreKeptByTheDay(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		seg := w.segment(`{"rules":[]}`)
		for day := range 3 {
			for i := range 6 {
				who := w.contact(NewContact{Email: fmt.Sprintf("p%d-%d@example.com", day, i)})
				w.grant(who, false, "newsletter")
				if _, err := w.segments.Count(t.Context(), seg); err != nil {
					t.Fatal(err)
				}
			}
			w.now = w.now.Add(24 * time.Hour)
		}
		r, err := w.segments.Report(t.Context(), seg, ReportOptions{})
		w.ok(err)
		var got []string
		for _, s := range r.Sizes {
			got = append(got, s.At.T().Format("2006-01-02")+" "+s.Text(0))
		}
		if strings.Join(got, ", ") != "2026-04-01 6, 2026-04-02 12, 2026-04-03 18, 2026-04-04 18" {
			t.Errorf("got %v", got)
		}
	})
}
