package mailer_test

import (
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/mailer/lint"
	"beckon/schema/servertest"
)

func TestWarningsDoNotKeepACampaignFromBeingLaunched(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.source("broker")
	w.optIn(w.person("ann@example.org", "", ""), true)
	m, all := mailer.New(w.options), w.everybody()
	d := w.draft(all)
	d.Subject, d.Tracking = "RE: {{ nmae }}", "consented"
	d.HTML += "\n<a href=\"https://evil.example.com/\">www.acme.com</a>" + strings.Repeat("<p>And so on, {{ name }}.</p>", 4000)
	made := w.create(m, d)
	check, err := m.Check(t.Context(), made.ID)
	w.ok(err)
	if len(check.Problems) > 0 {
		t.Fatalf("problems %+v", check.Problems)
	}
	for _, want := range []lint.Kind{lint.SubjectReply, lint.UnknownName, lint.OtherDomain, lint.Clipped, lint.NoPreheader, lint.NoAskTracking} {
		found := false
		for _, warning := range check.Warnings {
			found = found || warning.Kind == want
		}
		if !found {
			t.Errorf("no warning %s: %+v", want, check.Warnings)
		}
	}
	if _, err := m.Launch(t.Context(), made.ID); err != nil {
		t.Errorf("a launch minds warnings: %v", err)
	}
}

// TestEveryFieldOfAContactIsKnown fails when a field that letters fill in is taken for a slip.
func TestEveryFieldOfAContactIsKnown(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.optIn(w.person("ann@example.org", "", ""), true)
	m := mailer.New(w.options)
	d := w.draft(w.everybody())
	d.HTML += "<p>{{ email }} {{ name }} {{ company }} {{ country }} {{ phone }} {{ job_title }} {{ topics }} {{ attributes.x }} {{ sender.name }} {{ campaign.type }}</p>"
	check, err := m.Check(t.Context(), w.create(m, d).ID)
	w.ok(err)
	for _, warning := range check.Warnings {
		if warning.Kind == lint.UnknownName {
			t.Errorf("%+v", warning)
		}
	}
}
