package rights_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

func noon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

func TestTheLogTellsWhatHappenedNewestFirst(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		log := rights.NewAudit(db, noon)
		read := rights.Entry{Actor: "crm", Action: "contact.read", Object: "ct_1"}
		export := rights.Entry{Actor: "ann", Action: "segment.export", Object: "seg_1", Ground: rights.Contract, Detail: "12 rows"}
		again := rights.Entry{Actor: "crm", Action: "contact.read", Object: "ct_2"}
		for _, e := range []rights.Entry{read, export, again} {
			if err := log.Write(t.Context(), nil, e); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			name string
			opts rights.ListOptions
			want []rights.Entry
		}{
			{"everything", rights.ListOptions{}, []rights.Entry{again, export, read}},
			{"one page", rights.ListOptions{Limit: 1}, []rights.Entry{again}},
			{"the page after the newest", rights.ListOptions{Before: 3}, []rights.Entry{export, read}},
			{"by actor", rights.ListOptions{Actor: "ann"}, []rights.Entry{export}},
			{"by action", rights.ListOptions{Action: "contact.read"}, []rights.Entry{again, read}},
			{"by object", rights.ListOptions{Object: "ct_1"}, []rights.Entry{read}},
			{"by what is not there", rights.ListOptions{Actor: "crm", Object: "seg_1"}, nil},
		} {
			records, err := log.List(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []rights.Entry
			for _, r := range records {
				if r.At != schema.At(noon()) {
					t.Errorf("%s: written at %s", c.name, r.At)
				}
				got = append(got, r.Entry)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		}
	})
}

func TestAnEntrySharesTheFateOfItsTransaction(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		log, boom := rights.NewAudit(db, noon), errors.New("boom")
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			if err := log.Write(t.Context(), tx, rights.Entry{Actor: "ann", Action: "contact.erase"}); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if records, err := log.List(t.Context(), rights.ListOptions{}); err != nil || len(records) != 0 {
			t.Fatalf("the log tells of what did not happen: %v, %v", records, err)
		}
	})
}

func TestEntriesThatSayTooLittleOrTooMuchAreRefused(t *testing.T) {
	log := rights.NewAudit(servertest.SQLite(t), noon)
	for name, e := range map[string]rights.Entry{
		"no actor":               {Action: "contact.read"},
		"no action":              {Actor: "ann"},
		"an address as object":   {Actor: "ann", Action: "contact.read", Object: "jo@example.org"},
		"an address in the text": {Actor: "ann", Action: "contact.read", Detail: "asked by jo@example.org"},
	} {
		if err := log.Write(t.Context(), nil, e); !errors.Is(err, rights.ErrEntry) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if records, err := log.List(t.Context(), rights.ListOptions{}); err != nil || len(records) != 0 {
		t.Errorf("a refused entry was written: %v, %v", records, err)
	}
}

func TestOnlyTheGroundsOfThePolicyCount(t *testing.T) {
	for _, g := range rights.Grounds {
		if got, err := rights.ParseGround(string(g)); got != g || err != nil {
			t.Errorf("%s: got %q, %v", g, got, err)
		}
	}
	for _, s := range []string{"", "because", "Consent", "consent "} {
		if _, err := rights.ParseGround(s); !errors.Is(err, rights.ErrGround) {
			t.Errorf("%q: got %v", s, err)
		}
	}
}
