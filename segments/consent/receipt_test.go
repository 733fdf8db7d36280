package consent

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestL10AReceiptTellsEveryConsentAndWhatBecameOfIt(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		w.exec(`UPDATE companies SET name = 'Acme Ltd', privacy_email = 'privacy@acme.example', phone = '+44 20 7946 0000', postal_address = '1 Long Lane, London',
			privacy_url = 'https://acme.example/privacy', complaint_url = 'https://acme.example/complain', public_url = 'https://mail.acme.example' WHERE slug = 'acme'`)
		c := w.contactAt("jane.doe@firm.example", "individual", "GB")
		yes, evidence := true, map[string]string{"shown": "May we write to you?", "ip": "192.0.2.0/24"}
		w.tx(func(tx *schema.Tx) error {
			r, err := w.l.Request(w.ctx, tx, Entry{Contact: c, Company: w.acme, Channel: Email, Types: []string{letter}, Topics: []string{"sexual-health", "transport"}, Tracking: &yes, Item: paper,
				Notice: "v1", How: ByForm, Actor: "jane.doe@firm.example's form", Evidence: evidence}, time.Hour)
			if err != nil {
				return err
			}
			w.pass(time.Minute)
			_, err = w.l.Confirm(w.ctx, tx, r)
			return err
		})
		w.pass(time.Minute)
		w.serve(c, w.acme, paper)
		w.record(Untrack(c, w.acme, ByPage))
		w.record(Entry{Contact: c, Action: Grant, Company: w.bolt, Channel: Phone, Types: []string{promo}, How: ByPhone, Actor: "desk"})
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.bolt})
		w.record(Entry{Contact: c, Action: Grant, Company: w.bolt, Channel: Phone, Types: []string{promo}, How: ByImport, Actor: "import imp_1"})
		w.record(Entry{Contact: c, Action: Restrict})
		r, err := w.l.Receipt(w.ctx, w.db, c)
		w.ok(err)
		got, err := json.MarshalIndent(r, "", "  ")
		w.ok(err)
		const golden = "testdata/receipt.json"
		if *update {
			w.ok(os.WriteFile(golden, append(got, '\n'), 0o644))
		}
		want, err := os.ReadFile(golden)
		w.ok(err)
		if string(got)+"\n" != string(want) {
			t.Errorf("got\n%s", got)
		}
		for _, secret := range []string{"jane", "firm.example", "192.0.2", "desk", "imp_1"} {
			if strings.Contains(string(got), secret) {
				t.Errorf("it tells %q", secret)
			}
		}
	})
}

// The names that ISO/IEC TS 27560 gives, and what each record must have of them.
func TestL10AReceiptHasTheFieldsOfTheStandard(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		w.grant(c, w.acme, letter)
		w.wish(c, w.bolt, paper)
		r, err := w.l.Receipt(w.ctx, w.db, c)
		w.ok(err)
		b, err := json.Marshal(r)
		w.ok(err)
		var doc map[string]any
		w.ok(json.Unmarshal(b, &doc))
		has := func(where string, v any, names ...string) {
			t.Helper()
			m, ok := v.(map[string]any)
			for _, n := range names {
				if x, there := m[n]; !ok || !there || x == nil || x == "" {
					t.Errorf("%s has no %s: %v", where, n, v)
				}
			}
		}
		has("the receipt", doc, "schema_version", "receipt_id", "pii_principal_id", "consent_records", "party_identification")
		records := doc["consent_records"].([]any)
		if doc["pii_principal_id"] != c.String() || len(records) != 2 {
			t.Fatalf("got %s", b)
		}
		for _, rec := range records {
			m := rec.(map[string]any)
			has("a record", m, "schema_version", "record_id", "pii_principal_id", "pii_processing", "events")
			p := m["pii_processing"].(map[string]any)
			has("the processing", p, "privacy_notice", "language", "purposes")
			has("the notice", p["privacy_notice"], "version", "language", "hash")
			for _, purpose := range p["purposes"].([]any) {
				has("a purpose", purpose, "purpose", "purpose_type", "lawful_basis", "pii_information", "pii_controllers", "collection_method")
				for _, party := range purpose.(map[string]any)["pii_controllers"].([]any) {
					if !slices.ContainsFunc(r.Parties, func(o Party) bool { return o.ID == party }) {
						t.Errorf("controller %v is not identified", party)
					}
				}
			}
			for _, e := range m["events"].([]any) {
				has("an event", e, "event_time", "event_type", "event_state", "validity_duration", "entity_id")
			}
		}
		for _, p := range doc["party_identification"].([]any) {
			has("a party", p, "party_id", "party_name", "party_role", "party_contact")
		}
	})
}

func TestL10ReceiptsOfThoseWhoSaidNothing(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		if _, err := w.l.Receipt(w.ctx, w.db, 99); !errors.Is(err, ErrNoEntry) {
			t.Errorf("a contact who is not there: %v", err)
		}
		c := w.contact("", "")
		w.record(Entry{Contact: c, Action: Object})
		r, err := w.l.Receipt(w.ctx, w.db, c)
		w.ok(err)
		if r.Records == nil || len(r.Records)+len(r.Parties) != 0 || !slices.Equal(r.Blocks, []Reason{Objected}) {
			t.Errorf("got %+v", r)
		}
	})
}
