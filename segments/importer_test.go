package segments

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"beckon/schema/id"
	"beckon/segments/consent"
)

func (w *world) importFile(n NewImport, file string) (Import, error) {
	w.t.Helper()
	imp, err := w.imports.Create(w.t.Context(), n)
	w.ok(err)
	return w.importer.Run(w.t.Context(), imp.ID, strings.NewReader(file), Options{Chunk: 3})
}

func (w *world) imported(n NewImport, file string) Import {
	w.t.Helper()
	imp, err := w.importFile(n, file)
	w.ok(err)
	stored, err := w.imports.Get(w.t.Context(), imp.ID)
	w.ok(err)
	got, _ := json.Marshal(stored)
	want, _ := json.Marshal(imp)
	if !bytes.Equal(got, want) {
		w.t.Fatalf("stored as\n%s, returned as\n%s", got, want)
	}
	if stored.Rows != stored.Created+stored.Updated+stored.Skipped+stored.Rejected {
		w.t.Fatalf("rows lost in silence: %+v", stored)
	}
	return stored
}

func (w *world) rejects(imp id.Import) []string {
	w.t.Helper()
	list, err := w.imports.Rejects(w.t.Context(), imp, 0, 100)
	w.ok(err)
	var out []string
	for _, r := range list {
		if r.Remedy == "" {
			w.t.Errorf("no remedy for %s", r.Reason)
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%d %s %s", r.Line, r.Reason, r.Field), " "))
	}
	return out
}

func TestFilesAsProgramsWriteThem(t *testing.T) {
	encode := func(e encoding.Encoding) func(string) string {
		return func(s string) string {
			b, err := e.NewEncoder().String(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	swap := func(oldnew ...string) func(string) string { return strings.NewReplacer(oldnew...).Replace }
	tests := []struct {
		name  string
		write func(plain string) string
	}{
		{"UTF-8", swap()},
		{"UTF-8 with byte order mark", func(s string) string { return "\ufeff" + s }},
		{"UTF-16 little-endian", encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM))},
		{"UTF-16 big-endian", encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM))},
		{"Windows-1252", encode(charmap.Windows1252)},
		{"line ends of Windows", swap("\n", "\r\n")},
		{"line ends of old Macs", swap("\n", "\r")},
		{"tabs", swap(",", "\t")},
		{"semicolons", swap(",", ";")},
		{"semicolons, named in the first line", func(s string) string { return "sep=;\r\n" + strings.ReplaceAll(s, ",", ";") }},
		{"empty columns and rows at the end", func(s string) string {
			return swap("plan\n", "plan,,\n", "gold\n", "gold,,\n", "\"\n", "\",,,,\n")(s) + "\n,,,,\n"
		}},
		{"empty cells left out at the end", func(s string) string { return swap("plan\n", "plan,more\n")(s) }},
		{"another case", swap("email,name", "EMail, Name ", "zoé@", " Zoé@", "Zoé", " Zoé ")},
	}
	worlds(t, func(t *testing.T, w *world) {
		for i, test := range tests {
			domain := fmt.Sprintf("x%d.example", i)
			plain := "email,name,plan\nzoé@" + domain + ",Zoé,gold\nb@" + domain + ",\"Two\nlines\",\"a \"\"b\"\"\"\n"
			if test.name == "empty cells left out at the end" {
				plain = strings.Replace(plain, "\"Two\nlines\"", "Two lines", 1)
			}
			imp := w.imported(NewImport{}, test.write(plain))
			if imp.Created != 2 || imp.Rows != 2 {
				t.Errorf("%s: got %+v, rejects %v", test.name, imp, w.rejects(imp.ID))
				continue
			}
			zoe, b := w.byEmail("zoé@"+domain), w.byEmail("b@"+domain)
			if zoe.Name != "Zoé" || zoe.Attributes["plan"] != "gold" || b.Name != "Two lines" || b.Attributes["plan"] != `a "b"` {
				t.Errorf("%s: read as %+v and %+v", test.name, zoe, b)
			}
		}
	})
}

func (w *world) byEmail(email string) Contact {
	w.t.Helper()
	c, err := w.contacts.ByEmail(w.t.Context(), email)
	w.ok(err)
	return c
}

func TestABadRowIsRejectedAndTheRestIsImported(t *testing.T) {
	const file = `email,name,country,topics,subscriber_kind,age
ok1@example.com,One,United Kingdom,transport|social-care,corporate,40
,Two,GB,,,
no-address,Three,GB,,,
four@example.com,5" pipe,GB,,,
five@example.com,Five,Atlantis,,,
six@example.com,Six,GB,rockets,,
seven@example.com,Seven,GB,,robot,
eight@example.com,Eight,GB,,,12
nine@example.com,Nine,GB,,,50,extra
short@example.com,Short
OK1@Example.COM,Duplicate,,,,
ü@münchen.example,IDN,de,,,
ü@xn--mnchen-3ya.example,Same IDN,,,,
eleven@example.com,"never closed,GB,,,
ok2@example.com,"Two, Ltd",uk,,Individual,
`
	worlds(t, func(t *testing.T, w *world) {
		imp := w.imported(NewImport{}, file)
		want := []string{"3 missing email", "4 not-an-address email", "5 lone-quote", "6 not-a-country country", "7 unknown-topic topics",
			"8 not-a-subscriber-kind subscriber_kind", "9 under-13 age", "10 too-many-columns", "12 duplicate email", "14 duplicate email", "15 lone-quote"}
		if got := w.rejects(imp.ID); !slices.Equal(got, want) {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
		if imp.Rows != 15 || imp.Created != 4 || imp.Skipped != 2 || imp.Rejected != 9 {
			t.Errorf("got %+v", imp)
		}
		one := w.byEmail("ok1@example.com")
		if one.Country != "GB" || !slices.Equal(one.Topics, []string{"social-care", "transport"}) || one.SubscriberKind != "corporate" || one.Attributes["age"] != "40" {
			t.Errorf("read as %+v", one)
		}
		if two := w.byEmail("ok2@example.com"); two.Name != "Two, Ltd" || two.Country != "GB" || two.SubscriberKind != "individual" {
			t.Errorf("read as %+v", two)
		}
		var b bytes.Buffer
		w.ok(w.imports.WriteRejects(t.Context(), imp.ID, &b))
		rows, err := csv.NewReader(&b).ReadAll()
		w.ok(err)
		if len(rows) != 12 || !slices.Equal(rows[0], []string{"line", "field", "reason", "remedy"}) || rows[2][3] != "write the address like name@example.com" {
			t.Errorf("rejects file: %q", rows)
		}
		if strings.Contains(fmt.Sprint(rows), "eight@") {
			t.Error("the rejects file holds an address")
		}
	})
}

func TestARowTheFileBreaksOffInIsRejected(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		imp := w.imported(NewImport{}, "email,name,plan\na@example.com,A,gold\nb@example.com,B")
		if got := w.rejects(imp.ID); !slices.Equal(got, []string{"3 file-cut-off"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestAFileThatIsNoneFailsWithTheRemedyAndChangesNothing(t *testing.T) {
	value := func(m string) Mapping {
		mapping, err := ParseMapping([]byte(m))
		if err != nil {
			t.Fatal(err)
		}
		return mapping
	}
	tests := []struct {
		name, file string
		mapping    Mapping
		field      string
		says       string
	}{
		{"an empty file", "", nil, "file", "is empty"},
		{"a blank file", "\n \r\n\n", nil, "file", "is empty"},
		{"a byte order mark alone", "\ufeff", nil, "file", "is empty"},
		{"a workbook", "PK\x03\x04abc", nil, "file", "save the sheet as CSV"},
		{"a picture", "\x89PNG\x00\x00", nil, "file", "is not text"},
		{"no email column", "Email Address,name\na@example.com,A\n", nil, "email", `{"email":"Email Address"}`},
		{"a mapping to a column that is not there", "Email Address\na@example.com\n", value(`{"email":"E-Mail"}`), "mapping.email", `its columns are "Email Address"`},
		{"two email columns", "email,EMAIL\na@example.com,b@example.com\n", nil, "email", "occurs twice"},
		{"half of the consent columns", "email,consent_company,consent_at\na@example.com,acme,2026-01-01T00:00:00Z\n", nil, "consent_channel", "all together or not at all"},
		{"an unknown company for the whole file", "email\na@example.com\n", consentFor("nobody", "2026-01-01T00:00:00Z"), "mapping.consent_company", "create the company first"},
		{"a consent of the future", "email\na@example.com\n", consentFor("acme", "2026-04-02T00:00:00Z"), "mapping.consent_at", "later than now"},
	}
	worlds(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				imp, err := w.importFile(NewImport{Mapping: test.mapping}, test.file)
				var inv *Invalid
				if !errors.As(err, &inv) || inv.Fields[0].Field != test.field || !strings.Contains(inv.Fields[0].Message, test.says) {
					t.Fatalf("got %v", err)
				}
				stored, err := w.imports.Get(t.Context(), imp.ID)
				w.ok(err)
				if stored.Status != ImportFailed || !strings.Contains(stored.Problem, test.says) || stored.Rows != 0 {
					t.Errorf("stored as %+v", stored)
				}
				if err := w.importer.Check(t.Context(), strings.NewReader(test.file), NewImport{Mapping: test.mapping}); !errors.As(err, &inv) {
					t.Errorf("the check says %v", err)
				}
			})
		}
		var n int
		w.ok(w.db.Get(t.Context(), &n, `SELECT count(*) FROM contacts`))
		if n != 0 {
			t.Errorf("%d contacts", n)
		}
	})
}

func consentFor(company, at string) Mapping {
	m := Mapping{"consent_company": Fixed(company), "consent_channel": Fixed("email"), "consent_types": Fixed("newsletter"), "consent_tracking": Fixed("no"),
		"consent_notice": Fixed("v1"), "consent_how": Fixed("form"), "consent_at": Fixed(at)}
	return m
}

func TestAMappingIsReadStrictly(t *testing.T) {
	for src, want := range map[string]string{
		`[]`:                           `mapping: must be a JSON object`,
		`{"mail":"x"}`:                 `mapping.mail: is not a field of an import`,
		`{"email":{"value":"a@b.c"}}`:  `mapping.email: must name a column`,
		`{"name":3}`:                   `mapping.name: must be the name of a column`,
		`{"name":""}`:                  `mapping.name: names no column`,
		`{"name":{"value":"x","y":1}}`: `mapping.name: must be the name of a column`,
		`{"attributes.a\"b":"x"}`:      `mapping.attributes.a"b: has a name with a quote`,
		`{"name":null}`:                `mapping.name: must be the name of a column`,
	} {
		_, err := ParseMapping([]byte(src))
		if got := fields(err); !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: got %q", src, got)
		}
	}
	m, err := ParseMapping([]byte(`{"email":"Email Address","country":{"value":"GB"},"attributes.tier":"Tier","ignore":"IP|Host"}`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(m)
	again := string(raw)
	if err != nil || again != `{"attributes.tier":"Tier","country":{"value":"GB"},"email":"Email Address","ignore":"IP|Host"}` {
		t.Errorf("written as %s, %v", again, err)
	}
}

func TestAnImportFillsBlanksAndNeverOverwrites(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.contact(NewContact{Email: "a@example.com", Name: "Ann", Country: "IE", Attributes: map[string]any{"plan": "gold", "tier": ""}})
		imp := w.imported(NewImport{Source: w.fairs.ID}, "email,name,country,phone,topics,plan,tier,new\nA@example.com,Bob,GB,+44 1,transport,silver,one,yes\n")
		c := w.byEmail("a@example.com")
		if imp.Updated != 1 || c.Name != "Ann" || c.Country != "IE" || c.Phone != "+44 1" || c.Attributes["plan"] != "gold" ||
			c.Attributes["tier"] != "one" || c.Attributes["new"] != "yes" || len(c.Sources) != 1 || c.Sources[0].Source != "fairs" || c.Sources[0].Import != imp.ID {
			t.Errorf("got %+v", c)
		}
		before := fmt.Sprint(c)
		w.imported(NewImport{Source: w.fairs.ID}, "email,name,country,phone,topics,plan,tier,new\nA@example.com,Bob,GB,+44 2,compliance,silver,two,no\n")
		if got := fmt.Sprint(w.byEmail("a@example.com")); got != before {
			t.Errorf("overwritten:\n%s, was\n%s", got, before)
		}
	})
}

func TestConsentColumnsRecordGrants(t *testing.T) {
	const head = "email,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n"
	const file = head +
		"a@example.com,acme,email,newsletter|product-updates,yes,v1,form,2026-03-01T10:00:00Z\n" +
		"b@example.com,acme,email,newsletter,no,v1,phone,2026-03-01 10:00:00\n" +
		"none@example.com,,,,,,,\n" +
		"half@example.com,acme,email,,no,v1,form,2026-03-01T10:00:00Z\n" +
		"company@example.com,who,email,newsletter,no,v1,form,2026-03-01T10:00:00Z\n" +
		"notice@example.com,acme,email,newsletter,no,v9,form,2026-03-01T10:00:00Z\n" +
		"late@example.com,acme,email,newsletter,no,v1,form,2027-03-01T10:00:00Z\n" +
		"word@example.com,acme,email,newsletter,maybe,v1,form,2026-03-01T10:00:00Z\n"
	worlds(t, func(t *testing.T, w *world) {
		imp := w.imported(NewImport{}, file)
		want := []string{"5 consent-incomplete consent_types", "6 unknown-company consent_company", "7 unknown-notice consent_notice",
			"8 in-the-future consent_at", "9 not-yes-or-no consent_tracking"}
		if got := w.rejects(imp.ID); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if imp.Created != 3 || imp.Mailable != 2 || imp.Reasons["no-consent-evidence"] != 1 || len(imp.Reasons) != 1 {
			t.Errorf("got %+v", imp)
		}
		for email, mode := range map[string]consent.Mode{"a@example.com": consent.Identified, "b@example.com": consent.Anonymous} {
			d, err := w.gate.Ask(t.Context(), w.byEmail(email).ID, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: "newsletter", Purpose: consent.Mail})
			w.ok(err)
			if !d.Allowed || d.Mode != mode {
				t.Errorf("%s: got %+v", email, d)
			}
		}
	})
}

func TestFixedConsentValuesNeedTheRowsOwnWord(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		m := consentFor("acme", "")
		m["consent_at"] = Cell{Column: "CONFIRM_TIME"}
		imp := w.imported(NewImport{Mapping: m}, "email,CONFIRM_TIME\na@example.com,2026-01-01 08:00:00\nb@example.com,\n")
		if imp.Created != 2 || imp.Mailable != 1 || imp.Reasons["no-consent-evidence"] != 1 {
			t.Errorf("got %+v", imp)
		}
	})
}

func TestASourcesRowsAreMailableByItsWarrantyAndCountry(t *testing.T) {
	const file = "email,country,subscriber_kind\na@firm.example,GB,\nb@firm.example,DE,\nc@gmail.com,GB,\nd@gmail.com,GB,corporate\ne@firm.example,GB,individual\n"
	worlds(t, func(t *testing.T, w *world) {
		imp := w.imported(NewImport{Source: w.fairs.ID}, file)
		want := map[string]int64{"corporate-route-not-allowed": 1, "subscriber-kind-unknown": 2, "individual-without-consent": 1}
		if imp.Created != 5 || imp.Mailable != 1 || !maps.Equal(imp.Reasons, want) {
			t.Errorf("got %+v", imp)
		}
		if c := w.byEmail("d@gmail.com"); c.SubscriberKind != "" || c.OwnAt != 0 {
			t.Errorf("got %+v", c)
		}
		if c := w.byEmail("a@firm.example"); c.SubscriberKind != "corporate" {
			t.Errorf("got %+v", c)
		}
	})
}

func TestNoesStayWhateverIsImported(t *testing.T) {
	subscribed := "email,name\nheld@example.com,Held\nnew@example.com,New\ngone@example.com,Gone\nfree@example.com,Free\n"
	m := consentFor("acme", "2026-03-01T00:00:00Z")
	worlds(t, func(t *testing.T, w *world) {
		for _, as := range []string{AsWithdrawn, AsObjected, AsBounced} {
			t.Run(as, func(t *testing.T) {
				file := strings.ReplaceAll(subscribed, "example.com", as+".example")
				who := w.contact(NewContact{Email: "held@" + as + ".example"})
				w.grant(who, true, "newsletter")
				gone := w.contact(NewContact{Email: "gone@" + as + ".example"})
				w.ok(w.contacts.Delete(t.Context(), gone))
				noes := "email\nHELD@" + as + ".example\nnew@" + as + ".example\nNew@" + as + ".example\nbroken\n"
				imp := w.imported(NewImport{As: as}, noes)
				if imp.Created != 0 || imp.Updated != 2 || imp.Skipped != 1 || imp.Rejected != 1 || imp.Mailable != 0 || imp.Reasons[as] != 2 {
					t.Errorf("noes: got %+v", imp)
				}
				for range 2 { // again and again
					imp = w.imported(NewImport{Mapping: m}, file)
					want := map[string]int64{as: 2, "erased": 1}
					if imp.Skipped != 3 || imp.Mailable != 1 || !maps.Equal(imp.Reasons, want) {
						t.Errorf("got %+v", imp)
					}
				}
				if got, want := w.rejects(imp.ID), []string{"2 " + as + " email", "3 " + as + " email", "4 erased email"}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if _, err := w.contacts.ByEmail(t.Context(), "new@"+as+".example"); !errors.Is(err, ErrNotFound) {
					t.Errorf("what a suppressed row says was stored: %v", err)
				}
				if c := w.byEmail("held@" + as + ".example"); c.Name != "" {
					t.Errorf("what a blocked row says was stored: %+v", c)
				}
			})
		}
	})
}

func TestARestrictedContactIsLeftAsItIs(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		who := w.contact(NewContact{Email: "a@example.com"})
		w.record(consent.Entry{Contact: who, Action: consent.Restrict})
		imp := w.imported(NewImport{Mapping: consentFor("acme", "2026-03-01T00:00:00Z")}, "email,name\na@example.com,Ann\n")
		if imp.Skipped != 1 || imp.Mailable != 0 || imp.Reasons["restricted"] != 1 || w.byEmail("a@example.com").Name != "" {
			t.Errorf("got %+v", imp)
		}
		if got := w.rejects(imp.ID); !slices.Equal(got, []string{"2 restricted email"}) {
			t.Errorf("got %q", got)
		}
		history, err := w.ledger.History(t.Context(), w.db, who)
		w.ok(err)
		if len(history) != 2 {
			t.Errorf("the consent was not put on record: %+v", history)
		}
	})
}
