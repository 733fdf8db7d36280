package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

// TestS20AnOptOutByPhoneIsRecordedAndDueInTwoWorkingDays: whoever takes the call writes down channel
// and date, and the list tells what is late, over a weekend.
func TestS20AnOptOutByPhoneIsRecordedAndDueInTwoWorkingDays(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		who := w.contact("jo@example.org")
		friday := time.Date(2026, 5, 1, 15, 0, 0, 0, time.UTC)
		var made requestView
		w.call(Marketer, "POST", "/requests", map[string]any{"kind": "objection", "channel": "phone", "company": "acme", "contact": who, "detail": "no more calls",
			"reference": "call 17", "received_at": friday}).into(t, http.StatusCreated, &made)
		if made.DueAt.T() != friday.AddDate(0, 0, 4) || made.Company != "acme" || made.Contact.String() != who || made.Overdue {
			t.Fatalf("due %s: %+v", made.DueAt, made)
		}
		w.call(Marketer, "POST", "/requests", map[string]any{"kind": "access", "channel": "post"}).into(t, http.StatusCreated, nil)
		var late struct{ Items []requestView }
		w.call(Privacy, "GET", "/requests?overdue=true", nil).into(t, http.StatusOK, &late)
		if len(late.Items) != 0 {
			t.Errorf("late already: %+v", late.Items)
		}
		w.clock.move(27*time.Hour + time.Second) // from Monday noon to Tuesday, three o'clock and a second
		w.call(Privacy, "GET", "/requests?overdue=true", nil).into(t, http.StatusOK, &late)
		if len(late.Items) != 1 || late.Items[0].ID != made.ID {
			t.Fatalf("late: %+v", late.Items)
		}
		path := "/requests/" + made.ID.String()
		w.call(Marketer, "POST", path+"/close", map[string]string{"status": "done", "outcome": "x"}).is(t, forbidden)
		w.call(Privacy, "POST", path+"/close", map[string]string{"status": "done", "outcome": ""}).is(t, invalid, "outcome")
		w.call(Privacy, "POST", path+"/acknowledge", nil).into(t, http.StatusOK, nil)
		w.call(Privacy, "POST", path+"/close", map[string]string{"status": "done", "outcome": "objection recorded"}).into(t, http.StatusOK, &made)
		if made.Status != rights.Done || made.ClosedAt == 0 || made.HandledBy != "the privacy" {
			t.Errorf("closed: %+v", made)
		}
		w.call(Privacy, "POST", path+"/close", map[string]string{"status": "done", "outcome": "again"}).is(t, conflict)
		w.call(Privacy, "GET", path, nil).into(t, http.StatusOK, &made)
		var pages []string
		for next := "/requests?limit=1"; next != ""; {
			var p struct {
				Items []requestView
				Next  *string
			}
			w.call(Privacy, "GET", next, nil).into(t, http.StatusOK, &p)
			for _, r := range p.Items {
				pages = append(pages, string(r.Kind))
			}
			if next = ""; p.Next != nil {
				next = "/requests?limit=1&cursor=" + *p.Next
			}
		}
		if strings.Join(pages, " ") != "objection access" {
			t.Errorf("page by page: %q", pages)
		}
		for _, bad := range []struct{ body, field string }{
			{`{"kind":"holiday","channel":"phone"}`, "kind"}, {`{"kind":"access","channel":"pigeon"}`, "channel"},
			{`{"kind":"access","channel":"post","company":"nobody"}`, "company"}, {`{"kind":"access","channel":"post","contact":"ct_zz"}`, "contact"},
		} {
			w.call(Privacy, "POST", "/requests", bad.body).is(t, invalid, bad.field)
		}
		w.call(Privacy, "GET", "/requests?status=lost", nil).is(t, invalid, "status")
		w.call(Privacy, "GET", "/requests/req_99", nil).is(t, notFound)
	})
}

func TestS25RulesHoldsAndExtensionsThroughTheAPI(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		who := w.contact("jo@example.org")
		var rules struct{ Items []rights.Rule }
		w.call(Privacy, "GET", "/retention", nil).into(t, http.StatusOK, &rules)
		if len(rules.Items) < 10 {
			t.Errorf("rules: %+v", rules.Items)
		}
		var rule rights.Rule
		w.call(Privacy, "PUT", "/retention/consented", `{"keep":{"months":24,"days":0}}`).into(t, http.StatusOK, &rule)
		if rule.Keep != (rights.Period{Months: 24}) || rule.By != "the privacy" {
			t.Errorf("set: %+v", rule)
		}
		w.call(Privacy, "PUT", "/retention/consented", `{"keep":{"months":48,"days":0}}`).is(t, invalid, "keep")
		w.call(Privacy, "PUT", "/retention/consented", `{"keep":{"months":24,"days":0},"action":"forget"}`).is(t, invalid, "action")

		w.call(Privacy, "POST", "/retention/extensions", `{"purpose":"consented","until":"2031-01-01T00:00:00Z","reference":""}`).is(t, invalid, "reference")
		var ext extensionView
		w.call(Privacy, "POST", "/retention/extensions", `{"purpose":"consented","until":"2031-01-01T00:00:00Z","reference":"minute 14"}`).into(t, http.StatusCreated, &ext)
		w.call(Privacy, "DELETE", "/retention/extensions/"+ext.ID, nil).into(t, http.StatusNoContent, nil)
		w.call(Privacy, "DELETE", "/retention/extensions/"+ext.ID, nil).is(t, notFound)
		w.call(Privacy, "DELETE", "/retention/extensions/ext_x", nil).is(t, notFound)

		w.call(Privacy, "POST", "/holds", map[string]any{"contact": who, "all": true, "reference": "case 7", "reason": "a claim"}).is(t, invalid, "contact")
		w.call(Privacy, "POST", "/holds", map[string]any{"source": "nobody", "reference": "case 7", "reason": "a claim"}).is(t, invalid, "source")
		var hold holdView
		w.call(Privacy, "POST", "/holds", map[string]any{"source": "datahouse", "reference": "case 6", "reason": "an audit"}).into(t, http.StatusCreated, &hold)
		if hold.Source != "datahouse" {
			t.Errorf("hold: %+v", hold)
		}
		w.call(Privacy, "POST", "/holds", map[string]any{"contact": who, "reference": "case 7", "reason": "a claim"}).into(t, http.StatusCreated, &hold)
		w.call(Privacy, "GET", "/holds", nil).into(t, http.StatusOK, nil)
		var receipt rights.Receipt
		w.call(Privacy, "POST", "/contacts/"+who+"/erase", nil).into(t, http.StatusOK, &receipt)
		if receipt.Result != rights.Held {
			t.Errorf("erased under a hold: %+v", receipt)
		}
		w.call(Privacy, "DELETE", "/contacts/"+who, nil).is(t, conflict)
		w.call(Privacy, "DELETE", "/holds/"+hold.ID, nil).into(t, http.StatusNoContent, nil)
		w.call(Privacy, "DELETE", "/holds/"+hold.ID, nil).is(t, notFound)
		w.call(Privacy, "DELETE", "/contacts/"+who, nil).into(t, http.StatusNoContent, nil)

		w.call(Privacy, "POST", "/retention/run", `{}`).is(t, invalid, "dry_run")
		w.call(Privacy, "POST", "/retention/run", `{"dry_run":true}`).into(t, http.StatusOK, nil)
		if k := w.Retention.(*keeper); k.dry != 1 || k.wet != 0 {
			t.Errorf("ran %+v", k)
		}
		for _, done := range []string{"hold.place", "hold.release", "retention.rule", "retention.extend", "retention.run"} {
			list, err := w.Audit.List(t.Context(), rights.ListOptions{Action: done})
			if err != nil || len(list) == 0 {
				t.Errorf("%s is not in the audit log: %v", done, err)
			}
		}
	})
}

// TestS8APersonInSeveralGroupsHasTheRightsOfAll: somebody whom a provider named may not withdraw a
// consent that was never given; as a candidate who gave one they may, and keep what they had.
func TestS8APersonInSeveralGroupsHasTheRightsOfAll(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	var made struct{ ID string }
	w.call(Marketer, "POST", "/contacts", `{"email":"jo@example.org","source":"datahouse"}`).into(t, http.StatusCreated, &made)
	groups := "/contacts/" + made.ID + "/groups"
	type answer struct {
		Items  []rights.Membership
		Rights []rights.Right
	}
	has := func(a answer, r rights.Right) bool {
		return strings.Contains(strings.Join(texts(a.Rights), " "), string(r))
	}
	var before, after answer
	w.call(Privacy, "GET", groups, nil).into(t, http.StatusOK, &before)
	if len(before.Items) != 0 || has(before, rights.Withdrawal) || !has(before, rights.Objection) {
		t.Fatalf("before: %+v", before)
	}
	w.call(Privacy, "PUT", groups+"/candidate", `{"basis":"consent"}`).into(t, http.StatusOK, nil)
	w.call(Privacy, "GET", groups, nil).into(t, http.StatusOK, &after)
	if len(after.Items) != 1 || !has(after, rights.Withdrawal) || !has(after, rights.Objection) {
		t.Errorf("after: %+v", after)
	}
	w.call(Privacy, "PUT", groups+"/candidate", `{"basis":"because"}`).is(t, invalid, "basis")
	w.call(Privacy, "PUT", groups+"/Not%20a%20Slug", `{"basis":"contract"}`).is(t, invalid, "group")
	w.call(Privacy, "DELETE", groups+"/candidate", nil).into(t, http.StatusNoContent, nil)
	w.call(Privacy, "GET", groups, nil).into(t, http.StatusOK, &after)
	if len(after.Items) != 0 {
		t.Errorf("still in %+v", after.Items)
	}
	w.call(Privacy, "GET", "/contacts/ct_zz/groups", nil).is(t, notFound)
}

func texts[T ~string](list []T) []string { return views(list, func(v T) string { return string(v) }) }

func TestL10TheReceiptAndTheYesRatesAreAnswered(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	who := w.contact("jo@example.org")
	w.call(Marketer, "POST", "/contacts/"+who+"/consent", grant).into(t, http.StatusCreated, nil)
	got := w.call(Privacy, "GET", "/contacts/"+who+"/receipt", nil)
	if got.into(t, http.StatusOK, nil); strings.Contains(string(got.body), "jo@example.org") || !strings.Contains(string(got.body), who) {
		t.Errorf("the receipt: %s", got.body)
	}
	w.call(Privacy, "GET", "/contacts/ct_zz/receipt", nil).is(t, notFound)
	var rates struct{ Items []struct{ Version string } }
	w.call(Analyst, "GET", "/notices/yes-rates", nil).into(t, http.StatusOK, &rates)
	if len(rates.Items) == 0 {
		t.Error("no wording is listed")
	}
	w.call(Privacy, "GET", "/register", nil).into(t, http.StatusOK, nil)
	w.call(Privacy, "GET", "/register?format=markdown", nil).into(t, http.StatusOK, nil)
	w.call(Privacy, "GET", "/register?format=pdf", nil).is(t, invalid, "format")
}

func TestS2AOneOffIsGrantedThroughTheAPI(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	who := w.contact("jo@example.org")
	w.call(Marketer, "POST", "/contacts/"+who+"/consent", `{"action":"grant","company":"acme","channel":"email","item":"grants-guide","notice":"v1","how":"form"}`).into(t, http.StatusCreated, nil)
	var view struct{ Items []struct{ Item string } }
	w.call(Privacy, "GET", "/contacts/"+who+"/consent", nil).into(t, http.StatusOK, &view)
	if len(view.Items) != 1 || view.Items[0].Item != "grants-guide" {
		t.Errorf("the ledger: %+v", view)
	}
}
