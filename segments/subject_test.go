package segments

import (
	"errors"
	"reflect"
	"testing"

	"beckon/schema"
)

// TestS9ThePersonIsToldWhereTheirDataCameFrom: every provider with its policy, whichever end comes first.
func TestS9ThePersonIsToldWhereTheirDataCameFrom(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		who := w.contact(NewContact{Email: "jo@example.com", Source: "fairs"})
		own := w.contact(NewContact{Email: "own@example.com"})
		first := schema.At(w.now)
		w.now = w.now.AddDate(0, 0, 1)
		w.contact(NewContact{Email: "jo@example.com", Source: "lists"})
		second := schema.At(w.now)
		if _, err := w.db.Exec(t.Context(), `UPDATE contact_sources SET licence_end = 50, import = 3 WHERE contact = ? AND source = ?`, who, w.lists.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Exec(t.Context(), `UPDATE sources SET licensed_until = 40, recalled_at = 70 WHERE id = ?`, w.lists.ID); err != nil {
			t.Fatal(err)
		}
		got, err := w.contacts.Provenance(t.Context(), w.db, who)
		w.ok(err)
		want := []Provenance{
			{"fairs", "Fairs Ltd", "https://fairs.example/privacy", "", "legitimate-interests", []string{"email"}, 0, first, 0, 0},
			{"lists", "Lists Ltd", "https://lists.example/privacy", "", "legitimate-interests", []string{"email", "post"}, 3, second, 40, 70},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if got, err := w.contacts.Provenance(t.Context(), w.db, own); err != nil || len(got) != 0 {
			t.Errorf("who came by themselves came from %+v, %v", got, err)
		}
		if name, err := w.companies.NameIn(t.Context(), w.db, w.other.ID); err != nil || name != "Other Ltd" {
			t.Errorf("a company is called %q, %v", name, err)
		}
		if _, err := w.companies.NameIn(t.Context(), w.db, 99); !errors.Is(err, ErrNotFound) {
			t.Errorf("a company that there is not: %v", err)
		}
	})
}
