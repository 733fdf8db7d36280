package segments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"beckon/schema"
)

// TestAnImportGoesOnWhereItStopped stops an import after every chunk in turn; what comes out is
// always what an import in one go gives.
func TestAnImportGoesOnWhereItStopped(t *testing.T) {
	var b strings.Builder
	b.WriteString("email,country\n")
	for i := range 20 {
		fmt.Fprintf(&b, "p%d@firm.example,%s\n", i%17, []string{"GB", "DE", "Atlantis"}[i%3])
	}
	file := b.String()
	worlds(t, func(t *testing.T, w *world) {
		whole := ""
		for stop := range 7 {
			w.forgetAll()
			imp, err := w.imports.Create(t.Context(), NewImport{Source: w.fairs.ID, Node: "n"})
			w.ok(err)
			if stop > 0 {
				ctx, cancel := context.WithCancel(t.Context())
				chunks := 0
				_, err := w.importer.Run(ctx, imp.ID, strings.NewReader(file), Options{Chunk: 3, Progress: func(Import) {
					if chunks++; chunks == stop {
						cancel()
					}
				}})
				cancel()
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("stopped with %v", err)
				}
				left, err := w.imports.Unfinished(t.Context(), "n")
				w.ok(err)
				if len(left) != 1 || left[0].ID != imp.ID || left[0].Rows != int64(3*stop) {
					t.Fatalf("left %+v", left)
				}
			}
			got, err := w.importer.Run(t.Context(), imp.ID, strings.NewReader(file), Options{Chunk: 4})
			w.ok(err)
			got.ID = 0
			b, _ := json.Marshal(got)
			if whole == "" {
				whole = string(b)
				if got.Created != 13 || got.Skipped != 1 || got.Rejected != 6 || got.Mailable != 6 || got.Reasons["corporate-route-not-allowed"] != 7 {
					t.Fatalf("got %+v", got)
				}
			}
			if string(b) != whole {
				t.Errorf("stopped after %d chunks:\n%s\nin one go:\n%s", stop, b, whole)
			}
			var rejects bytes.Buffer
			w.ok(w.imports.WriteRejects(t.Context(), imp.ID, &rejects))
			if n := strings.Count(rejects.String(), "\n"); n != 8 {
				t.Errorf("%d lines of rejects", n)
			}
		}
	})
}

// forgetAll erases every contact and what their erasure left behind.
func (w *world) forgetAll() {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error {
		var all []Contact
		if err := tx.Select(w.t.Context(), &all, `SELECT id, email FROM contacts`); err != nil {
			return err
		}
		for _, c := range all {
			if err := w.contacts.EraseIn(w.t.Context(), tx, c.ID, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestTwoRunsOfOneImportDoNotCountTwice(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		imp, err := w.imports.Create(t.Context(), NewImport{})
		w.ok(err)
		file := "email\na@example.com\nb@example.com\n"
		r, pipe := io.Pipe()
		other := make(chan error)
		go func() { // takes the same import while the first is at its second row
			_, _ = io.WriteString(pipe, file)
			_, err := w.importer.Run(context.Background(), imp.ID, strings.NewReader(file), Options{Chunk: 1})
			pipe.Close()
			other <- err
		}()
		_, err = w.importer.Run(t.Context(), imp.ID, r, Options{Chunk: 1})
		if err == nil {
			t.Error("both runs believe to have done it")
		}
		w.ok(<-other)
		stored, err := w.imports.Get(t.Context(), imp.ID)
		w.ok(err)
		if stored.Status != ImportFinished || stored.Rows != 2 || stored.Created != 2 {
			t.Errorf("got %+v", stored)
		}
	})
}

// TestAMarketersFirstDay imports three files as another program exports them: who is subscribed,
// who left and whose address is dead. The noes come before and after the others.
func TestAMarketersFirstDay(t *testing.T) {
	const subscribed, unsubscribed, cleaned = 48_000, 9_000, 3_000
	const columns = `"Email Address","First Name","Last Name",Country,"MEMBER_RATING","OPTIN_TIME","OPTIN_IP","CONFIRM_TIME","CONFIRM_IP","LATITUDE","LONGITUDE","LAST_CHANGED","LEID","EUID","NOTES","TAGS"`
	row := func(b *bytes.Buffer, i int, more string) {
		confirmed := fmt.Sprintf("2025-%02d-%02d 10:%02d:%02d", i%12+1, i%28+1, i%60, i%60)
		if i%100 == 7 {
			confirmed = "" // came to the other program's list without confirming
		}
		email := fmt.Sprintf("person.%d@example%d.com", i, i%50)
		if i%3 == 0 {
			email = strings.ToUpper(email)
		}
		fmt.Fprintf(b, `%s,"Ann ""%d""","O'Neil, %d",United Kingdom,%d,"2025-01-01 09:00:00",192.0.2.%d,"%s",192.0.2.%d,51.5,-0.1,"2026-01-02 03:04:05",%d,%x,"line one%sline two","""customer"""%s`+"\r\n",
			email, i, i, i%5+1, i%250, confirmed, i%250, i, i, "\n", more)
	}
	file := func(from, n int, extra, more string) string {
		b := bytes.NewBufferString("\ufeff" + columns + extra + "\r\n")
		for i := from; i < from+n; i++ {
			row(b, i, more)
		}
		return b.String()
	}
	// Every other one of the noes is on the list of the subscribed as well.
	yes := file(0, subscribed, "", "")
	left := file(subscribed-unsubscribed/2, unsubscribed, `,"UNSUB_TIME","UNSUB_CAMPAIGN_TITLE","UNSUB_REASON"`, `,"2026-02-03 04:05:06","Spring","N/A"`)
	dead := file(0, cleaned, `,"CLEAN_TIME","CLEAN_CAMPAIGN_TITLE"`, `,"2026-02-03 04:05:06","Spring"`)
	address := `"email":"Email Address"`
	consents := `{` + address + `,"name":"First Name","attributes.last_name":"Last Name","ignore":"OPTIN_IP|CONFIRM_IP|LATITUDE|LONGITUDE|LEID|EUID",
		"consent_company":{"value":"acme"},"consent_channel":{"value":"email"},"consent_types":{"value":"newsletter"},"consent_tracking":{"value":"no"},
		"consent_notice":{"value":"v1"},"consent_how":{"value":"form"},"consent_at":"CONFIRM_TIME"}`
	noes := `{` + address + `,"consent_at":"UNSUB_TIME"}`

	w := newWorld(t, sqliteOf(t))
	run := func(as, mapping, file string) Import {
		m, err := ParseMapping([]byte(mapping))
		w.ok(err)
		imp, err := w.imports.Create(t.Context(), NewImport{As: as, Mapping: m})
		w.ok(err)
		imp, err = w.importer.Run(t.Context(), imp.ID, strings.NewReader(file), Options{})
		w.ok(err)
		if imp.Rejected != 0 || imp.Rows != imp.Created+imp.Updated+imp.Skipped {
			t.Errorf("got %+v", imp)
		}
		return imp
	}
	start := time.Now()
	unsub := run(AsWithdrawn, noes, left)
	got := run("", consents, yes)
	clean := run(AsBounced, `{`+address+`}`, dead)
	t.Logf("%d rows in %v", subscribed+unsubscribed+cleaned, time.Since(start))

	const both = unsubscribed / 2 // on the list of the subscribed and of those who left
	unconfirmed := got.Reasons["no-consent-evidence"]
	if unsub.Updated != unsubscribed || unsub.Reasons["withdrawn"] != unsubscribed || clean.Updated != cleaned {
		t.Errorf("got %+v and %+v", unsub, clean)
	}
	if got.Rows != subscribed || got.Created != subscribed-both || got.Skipped != both || unconfirmed != (subscribed-both)/100 ||
		got.Mailable != subscribed-both-unconfirmed || got.Reasons["withdrawn"] != both || len(got.Reasons) != 2 {
		t.Errorf("%d mailable, %v of %+v", got.Mailable, got.Reasons, got)
	}
	everybody := got.Mailable - (cleaned - cleaned/100)
	if n := w.count(`{"rules":[]}`); n != everybody {
		t.Errorf("%d in the segment of everybody, want %d", n, everybody)
	}
	again := run("", consents, file(0, 500, "", "")+file(subscribed-500, 500, "", "")[len("\ufeff"+columns+"\r\n"):])
	if again.Skipped != 1000 || again.Mailable != 0 || again.Reasons["bounced"] != 500 || again.Reasons["withdrawn"] != 500 || w.count(`{"rules":[]}`) != everybody {
		t.Errorf("a second import brought a no back to life: %+v", again)
	}
	if c := w.byEmail("person.20000@example0.com"); c.Country != "GB" || c.Name != `Ann "20000"` || c.Attributes["last_name"] != "O'Neil, 20000" ||
		c.Attributes["MEMBER_RATING"] != "1" || c.Attributes["OPTIN_IP"] != nil || c.Attributes["NOTES"] != "line one\nline two" {
		t.Errorf("got %+v", c)
	}
}
