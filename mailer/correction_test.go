package mailer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments"
)

func TestALinkIsCorrectedAfterLaunch(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.optIn(w.person("ann@example.org", "", ""), true)
		m := mailer.New(w.options)
		d := w.draft(w.everybody())
		d.HTML = `<p><a href="https://wrong.example/a">One</a> <a href="https://right.example/b">Two</a></p>`
		c := w.create(m, d)
		if list, err := m.Links(t.Context(), c.ID); err != nil || len(list) != 0 {
			t.Fatalf("a draft has links: %v, %v", list, err)
		}
		if _, err := m.Correct(t.Context(), c.ID, 1, "https://right.example/a"); !errors.Is(err, segments.ErrNotFound) {
			t.Fatalf("correct a draft: %v", err)
		}
		if _, err := m.Launch(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		k := &mailer.Corrections{DB: db}
		if _, ok := k.Override(c.ID, 1); ok {
			t.Fatal("a correction before any was read")
		}
		got, err := m.Correct(t.Context(), c.ID, 1, " https://right.example/a?x=1&y=2 ")
		w.ok(err)
		if got.URL != "https://wrong.example/a" || got.Override != "https://right.example/a?x=1&y=2" || got.Label != "One" {
			t.Errorf("corrected: %+v", got)
		}
		w.ok(k.Read(t.Context()))
		if url, ok := k.Override(c.ID, 1); !ok || url != "https://right.example/a?x=1&y=2" {
			t.Errorf("override: %q, %v", url, ok)
		}
		if _, ok := k.Override(c.ID, 2); ok {
			t.Error("the other link was corrected, too")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := k.Read(gone); err == nil {
			t.Error("read without a database")
		}
		if _, ok := k.Override(c.ID, 1); !ok {
			t.Error("the last corrections known do not hold while the database is away")
		}
		if _, err := m.Correct(t.Context(), c.ID, 1, ""); err != nil {
			t.Fatal(err)
		}
		w.ok(k.Read(t.Context()))
		if _, ok := k.Override(c.ID, 1); ok {
			t.Error("the correction that was taken back still holds")
		}
		if _, err := m.Correct(t.Context(), c.ID, 3, "https://right.example/"); !errors.Is(err, segments.ErrNotFound) {
			t.Errorf("a link that is not there: %v", err)
		}
	})
}

func TestACorrectionGoesNowhereThatALaunchWouldRefuse(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.optIn(w.person("ann@example.org", "", ""), true)
	m := mailer.New(w.options)
	c := w.create(m, w.draft(w.everybody()))
	for _, target := range []string{"javascript:alert(1)", "/relative", "https://", "ftp://a.example/", "https://a.example/?e={{ email }}", "https://a.example/\r\nSet-Cookie: a=b",
		"https://a.example/" + strings.Repeat("x", 1500)} {
		var invalid *segments.Invalid
		if _, err := m.Correct(t.Context(), c.ID, 1, target); !errors.As(err, &invalid) || invalid.Fields[0].Field != "url" {
			t.Errorf("%.40q: %v", target, err)
		}
	}
}
