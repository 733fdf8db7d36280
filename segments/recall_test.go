package segments

import (
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

const consentHeader = "email,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n"

// vouched is a row of a file that brings a consent.
func vouched(email, types, tracking string) string {
	return email + ",GB,acme,email," + types + "," + tracking + ",v1,form,2026-03-01T10:00:00Z\n"
}

func (w *world) ask(who id.Contact, typ string) consent.Decision {
	w.t.Helper()
	d, err := w.gate.Ask(w.t.Context(), who, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: typ, Purpose: consent.Mail})
	w.ok(err)
	return d
}

func (w *world) history(who id.Contact) []consent.Row {
	w.t.Helper()
	rows, err := w.ledger.History(w.t.Context(), w.db, who)
	w.ok(err)
	return rows
}

func (w *world) sound() {
	w.t.Helper()
	found, err := w.ledger.Verify(w.t.Context(), "")
	w.ok(err)
	if len(found) > 0 {
		w.t.Errorf("the ledger and its state: %v", found)
	}
}

func TestL20ARecallEndsThatOriginOnlyWithItsConsents(t *testing.T) {
	const letter, promo = "newsletter", "promotional-offer"
	worlds(t, func(t *testing.T, w *world) {
		from := func(src Source, rows ...string) {
			t.Helper()
			imp := w.imported(NewImport{Source: src.ID}, consentHeader+strings.Join(rows, ""))
			if imp.Rejected+imp.Skipped > 0 {
				t.Fatalf("got %+v, %v", imp, w.rejects(imp.ID))
			}
		}
		person := func(email string, tracking bool, types ...string) {
			t.Helper()
			w.grant(w.byEmail(email).ID, tracking, types...)
		}
		w.contact(NewContact{Email: "first@firm.example"})
		person("first@firm.example", false, letter)
		asked := w.contact(NewContact{Email: "asked@firm.example"})
		w.record(consent.Entry{Contact: asked, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{letter}})
		from(w.fairs, vouched("only@firm.example", letter, "yes"), vouched("both@firm.example", letter, "yes"), vouched("first@firm.example", letter, "no"),
			vouched("later@firm.example", letter, "yes"), vouched("partly@firm.example", letter, "yes"), vouched("asked@firm.example", letter, "yes"),
			vouched("left@firm.example", letter, "yes"))
		from(w.fairs, vouched("only@firm.example", letter, "yes"))
		from(w.fairs, vouched("only@firm.example", promo, "yes"))
		from(w.lists, vouched("both@firm.example", letter, "yes"), vouched("untouched@firm.example", letter, "yes"))
		person("later@firm.example", true, letter)
		no := false
		w.record(consent.Entry{Contact: w.byEmail("partly@firm.example").ID, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{promo}})
		w.record(consent.Entry{Contact: w.byEmail("left@firm.example").ID, Action: consent.Withdraw, Company: w.acme.ID, Tracking: &no})
		before := map[string]int{}
		emails := []string{"only", "both", "first", "later", "partly", "asked", "left", "untouched"}
		for _, name := range emails {
			before[name] = len(w.history(w.byEmail(name + "@firm.example").ID))
		}
		if d := w.ask(w.byEmail("only@firm.example").ID, letter); d.Mode != consent.Identified {
			t.Fatalf("before the recall: %+v", d)
		}

		if _, n, err := w.sources.Recall(t.Context(), "fairs"); err != nil || n != 7 {
			t.Fatalf("%d origins ended, %v", n, err)
		}
		for _, k := range []struct {
			name, says    string
			letter, promo consent.Reason
			mode          consent.Mode // of what may be sent
			rows          int          // that the recall added
		}{
			{"only", "what two imports of the source brought ends", consent.NoConsent, consent.NoConsent, "", 1},
			{"both", "what another origin brought, too, stands", "", consent.OtherConsent, consent.Identified, 0},
			{"first", "what the person had said before stands", "", consent.OtherConsent, consent.Anonymous, 0},
			{"later", "what the person said after it stands", "", consent.OtherConsent, consent.Identified, 0},
			{"partly", "the type that the person asked for stands, the source's type and tracking end", consent.OtherConsent, "", consent.Anonymous, 2},
			{"asked", "tracking that the source brought ends, the person's own type stands", "", consent.OtherConsent, consent.Anonymous, 1},
			{"left", "what was withdrawn stays so", consent.Withdrawn, consent.Withdrawn, "", 0},
			{"untouched", "who came from elsewhere is not concerned", "", consent.OtherConsent, consent.Identified, 0},
		} {
			who := w.byEmail(k.name + "@firm.example").ID
			l, p := w.ask(who, letter), w.ask(who, promo)
			if l.Reason != k.letter || p.Reason != k.promo || l.Mode+p.Mode != k.mode {
				t.Errorf("%s: newsletter %+v, offers %+v", k.says, l, p)
			}
			rows := w.history(who)
			if got := len(rows) - before[k.name]; got != k.rows {
				t.Errorf("%s: the recall added %d rows to %+v", k.says, got, rows)
			}
			for _, r := range rows[before[k.name]:] {
				if r.How != "recalled" || r.Actor != "recall of "+w.fairs.ID.String() {
					t.Errorf("%s: got %+v", k.says, r)
				}
			}
		}
		w.sound()

		before["only"]++
		if _, n, err := w.sources.Recall(t.Context(), "fairs"); err != nil || n != 0 {
			t.Errorf("the second recall: %d, %v", n, err)
		}
		if got := len(w.history(w.byEmail("only@firm.example").ID)); got != before["only"] {
			t.Errorf("the second recall added %d rows", got-before["only"])
		}
		w.now = w.now.AddDate(0, 0, 2)
		from(w.lists, strings.Replace(vouched("only@firm.example", letter, "no"), "2026-03-01", "2026-04-02", 1))
		if d := w.ask(w.byEmail("only@firm.example").ID, letter); !d.Allowed {
			t.Errorf("it was no refusal, and another origin vouches: %+v", d)
		}
	})
}

func TestL20WhatTwoSourcesBroughtEndsWithTheSecondRecall(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, src := range []Source{w.fairs, w.lists} {
			w.imported(NewImport{Source: src.ID}, consentHeader+vouched("both@firm.example", "newsletter", "yes"))
		}
		both := w.byEmail("both@firm.example").ID
		for i, slug := range []string{w.fairs.Slug, w.lists.Slug} {
			if _, n, err := w.sources.Recall(t.Context(), slug); err != nil || n != 1 {
				t.Fatalf("%d origins ended, %v", n, err)
			}
			if d := w.ask(both, "newsletter"); d.Allowed != (i == 0) {
				t.Errorf("after the recall of %s: %+v", slug, d)
			}
		}
		w.sound()
	})
}

func TestL20ARecallGoesOnWhereItWasCutOff(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.imported(NewImport{Source: w.fairs.ID}, consentHeader+vouched("a@firm.example", "newsletter", "no")+vouched("b@firm.example", "newsletter", "no"))
		_, err := w.db.Exec(t.Context(), `UPDATE sources SET recalled_at = 7 WHERE id = ?`, w.fairs.ID) // as if killed after the first step
		w.ok(err)
		src, n, err := w.sources.Recall(t.Context(), "fairs")
		if err != nil || n != 2 || src.RecalledAt != 7 {
			t.Errorf("%d origins ended, %+v, %v", n, src, err)
		}
		for _, email := range []string{"a@firm.example", "b@firm.example"} {
			if c := w.byEmail(email); w.ask(c.ID, "newsletter").Allowed || c.Sources[0].RecalledAt != 7 {
				t.Errorf("got %+v", c)
			}
		}
	})
}

func TestL20ARecalledSourceBringsNothingMoreInAnImportUnderWay(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		imp, err := w.imports.Create(t.Context(), NewImport{Source: w.fairs.ID})
		w.ok(err)
		file := consentHeader
		for _, name := range []string{"a", "b", "c", "d"} {
			file += vouched(name+"@firm.example", "newsletter", "yes")
		}
		var recalled int64
		got, err := w.importer.Run(t.Context(), imp.ID, strings.NewReader(file), Options{Chunk: 2, Progress: func(Import) {
			if recalled == 0 {
				_, recalled, err = w.sources.Recall(t.Context(), "fairs")
				w.ok(err)
			}
		}})
		if list := fields(err); len(list) != 1 || !strings.HasPrefix(list[0], "source: was recalled") || got.Status != ImportFailed {
			t.Errorf("got %+v, %v", got, err)
		}
		var held []string
		w.ok(w.db.Select(t.Context(), &held, `SELECT email FROM contacts ORDER BY email`))
		if recalled != 2 || !slices.Equal(held, []string{"a@firm.example", "b@firm.example"}) {
			t.Errorf("%d origins ended, %v are held", recalled, held)
		}
		for _, email := range held {
			if d := w.ask(w.byEmail(email).ID, "newsletter"); d.Allowed {
				t.Errorf("%s: got %+v", email, d)
			}
		}
	})
}

// A recall takes its time and lets others write: each step of it is a short transaction.
func BenchmarkRecallStep(b *testing.B) {
	w := newWorld(b, sqliteOf(b))
	imp, err := w.imports.Create(b.Context(), NewImport{Source: w.fairs.ID})
	w.ok(err)
	var file strings.Builder
	file.WriteString(consentHeader)
	for i := range recallChunk * b.N {
		file.WriteString(vouched("p"+id.Contact(i + 1).String()[3:]+"@firm.example", "newsletter", "yes"))
	}
	_, err = w.importer.Run(b.Context(), imp.ID, strings.NewReader(file.String()), Options{})
	w.ok(err)
	src, err := w.sources.BySlug(b.Context(), "fairs")
	w.ok(err)
	src.RecalledAt = schema.At(w.now)
	_, err = w.db.Exec(b.Context(), `UPDATE sources SET recalled_at = ? WHERE id = ?`, src.RecalledAt, src.ID)
	w.ok(err)
	imports, err := w.sources.recalledImporters(b.Context())
	w.ok(err)
	b.ResetTimer()
	after := id.Contact(0)
	for range b.N {
		var n int64
		if after, n, err = w.sources.recallAfter(b.Context(), src, after, imports); err != nil || n != recallChunk {
			b.Fatal(n, err)
		}
	}
}

func TestL20ARecalledSourceGivesNothingMore(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		imp := w.imported(NewImport{Source: w.fairs.ID}, "email,country\na@firm.example,GB\n")
		if imp.Mailable != 1 {
			t.Fatalf("got %+v", imp)
		}
		src, n, err := w.sources.Recall(t.Context(), "fairs")
		w.ok(err)
		if n != 1 || src.RecalledAt == 0 {
			t.Errorf("%d origins ended, %+v", n, src)
		}
		if c := w.byEmail("a@firm.example"); c.Sources[0].RecalledAt == 0 {
			t.Errorf("got %+v", c.Sources)
		}
		if _, err := w.imports.Create(t.Context(), NewImport{Source: w.fairs.ID}); !strings.HasPrefix(fields(err)[0], "source: is recalled") {
			t.Errorf("got %v", err)
		}
		if _, n, err := w.sources.Recall(t.Context(), "fairs"); err != nil || n != 0 {
			t.Errorf("the second recall: %d, %v", n, err)
		}
	})
}
