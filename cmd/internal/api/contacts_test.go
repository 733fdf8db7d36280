package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// furnish makes a company, a notice and a source.
func (w *world) furnish() {
	w.t.Helper()
	w.call(Marketer, "POST", "/companies", `{"slug":"acme","name":"Acme","postal_address":"1 High Street, London","privacy_url":"https://acme.example/privacy","from_domain":"acme.example"}`).into(w.t, http.StatusCreated, nil)
	w.call(Marketer, "POST", "/notices", `{"version":"v1","language":"en","text":"Yes, send me the newsletter."}`).into(w.t, http.StatusCreated, nil)
	w.call(Marketer, "POST", "/sources", `{"slug":"datahouse","name":"DataHouse","privacy_url":"https://datahouse.example/privacy","lawful_basis":"legitimate-interests","permitted_uses":["email"]}`).into(w.t, http.StatusCreated, nil)
}

// contact makes a contact and returns its identifier.
func (w *world) contact(email string) string {
	w.t.Helper()
	var made struct{ ID string }
	w.call(Marketer, "POST", "/contacts", map[string]string{"email": email}).into(w.t, http.StatusCreated, &made)
	return made.ID
}

const grant = `{"action":"grant","company":"acme","channel":"email","types":["newsletter"],"tracking":true,"notice":"v1","how":"form","evidence":{"form":"footer"}}`

// logged returns what the audit log says of an object, as actor action ground, the oldest first.
func (w *world) logged(object string) []string {
	w.t.Helper()
	var p items
	w.call(Privacy, "GET", "/audit?limit=1000&object="+object, nil).into(w.t, http.StatusOK, &p)
	var out []string
	for _, i := range p.Items {
		out = append(out, strings.TrimSpace(i["actor"].(string)+": "+i["action"].(string)+" "+i["ground"].(string)))
	}
	slices.Reverse(out)
	return out
}

func TestCompaniesSourcesAndNoticesAreKeptAsSent(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		w.call(Marketer, "POST", "/companies", `{"slug":"acme-events","name":"Acme Events"}`).into(t, http.StatusCreated, nil)
		w.call(Marketer, "PATCH", "/companies/acme", `{"phone":"+44 1632 960000"}`).into(t, http.StatusOK, nil)
		var company struct{ Name, Phone string }
		w.call(Analyst, "GET", "/companies/acme", nil).into(t, http.StatusOK, &company)
		if company.Name != "Acme" || company.Phone != "+44 1632 960000" {
			t.Errorf("got %+v", company)
		}
		var slugs []string
		for path := "/companies?limit=1"; path != ""; {
			var p items
			w.call(Analyst, "GET", path, nil).into(t, http.StatusOK, &p)
			slugs = append(slugs, p.Items[0]["slug"].(string))
			if path = ""; p.Next != nil {
				path = "/companies?limit=1&cursor=" + *p.Next
			}
		}
		if !slices.Equal(slugs, []string{"acme", "acme-events"}) {
			t.Errorf("the pages hold %q", slugs)
		}

		w.call(Marketer, "POST", "/notices", `{"version":"v1","language":"en","text":"Yes, send me the newsletter."}`).into(t, http.StatusCreated, nil)
		w.call(Marketer, "POST", "/notices", `{"version":"v1","language":"en","text":"Another text."}`).is(t, conflict, "version")
		odd := w.call(Privacy, "POST", "/notices", `{"version":"2026/04 für alle?","language":"de","text":"Ja."}`)
		odd.into(t, http.StatusCreated, nil)
		w.call(Privacy, "GET", odd.header.Get("Location"), nil).into(t, http.StatusOK, nil)
		var notice struct{ Text, Hash string }
		w.call(Privacy, "GET", "/notices/v1", nil).into(t, http.StatusOK, &notice)
		if notice.Text != "Yes, send me the newsletter." || len(notice.Hash) != 64 {
			t.Errorf("got %+v", notice)
		}

		for range 2 {
			var recalled struct {
				RecalledAt string `json:"recalled_at"`
			}
			w.call(Privacy, "POST", "/sources/datahouse/recall", nil).into(t, http.StatusOK, &recalled)
			if recalled.RecalledAt != "2026-05-04T12:00:00Z" {
				t.Errorf("recalled at %s", recalled.RecalledAt)
			}
		}
		for _, path := range []string{"/sources", "/notices", "/catalogue", "/sources/datahouse"} {
			w.call(Analyst, "GET", path, nil).into(t, http.StatusOK, nil)
		}
	})
}

func TestWhatCannotBeKeptIsToldByField(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	who := w.contact("jo@example.org")
	for _, c := range []struct {
		name, call, body string
		kind             kind
		fields           []string
	}{
		{"a company without slug and name", "POST /companies", `{}`, invalid, []string{"slug", "name"}},
		{"a company that exists", "POST /companies", `{"slug":"acme","name":"Again"}`, invalid, []string{"slug"}},
		{"a company with an identifier of its own", "POST /companies", `{"id":"co_9","slug":"x","name":"X"}`, unknownField, []string{"id"}},
		{"a change to nothing", "PATCH /companies/acme", `{}`, malformed, nil},
		{"a change to null", "PATCH /companies/acme", `{"name":null}`, invalid, []string{"name"}},
		{"a slug that would change", "PATCH /companies/acme", `{"slug":"b"}`, unknownField, []string{"slug"}},
		{"a change to an unknown company", "PATCH /companies/nobody", `{"name":"X"}`, notFound, nil},
		{"a source without policy", "POST /sources", `{"slug":"s","name":"S","lawful_basis":"consent"}`, invalid, []string{"privacy_url"}},
		{"a source with an unknown use", "POST /sources", `{"slug":"s","name":"S","lawful_basis":"consent","privacy_url":"https://s.example","permitted_uses":["fax"]}`, invalid, []string{"permitted_uses"}},
		{"an unknown source", "POST /sources/nobody/recall", ``, notFound, nil},
		{"a recall with a body it does not take", "POST /sources/datahouse/recall", `{"why":"because"}`, unknownField, []string{"why"}},
		{"a notice without text", "POST /notices", `{"version":"v2","language":"en"}`, invalid, []string{"text"}},
		{"a contact without address", "POST /contacts", `{"name":"Jo"}`, invalid, []string{"email"}},
		{"a contact without a valid address", "POST /contacts", `{"email":"jo"}`, invalid, []string{"email"}},
		{"a contact with a field of no use", "POST /contacts", `{"email":"a@example.org","shoe_size":42}`, unknownField, []string{"shoe_size"}},
		{"a contact under 13", "POST /contacts", `{"email":"kid@example.org","attributes":{"age":12}}`, invalid, []string{"attributes.age"}},
		{"a contact of an unknown source", "POST /contacts", `{"email":"a@example.org","source":"nobody"}`, invalid, []string{"source"}},
		{"a contact with unknown topics", "POST /contacts", `{"email":"a@example.org","topics":["golf"]}`, invalid, []string{"topics"}},
		{"a contact with topics of another type", "POST /contacts", `{"email":"a@example.org","topics":"transport"}`, invalid, []string{"topics"}},
		{"an unknown contact", "PATCH /contacts/ct_zz", `{"name":"X"}`, notFound, nil},
		{"what is no identifier", "PATCH /contacts/jo@example.org", `{"name":"X"}`, notFound, nil},
		{"consent of nobody", "POST /contacts/ct_zz/consent", grant, notFound, nil},
		{"consent to nothing", "POST /contacts/{id}/consent", `{"action":"grant"}`, invalid, []string{"company", "channel", "types"}},
		{"consent without action", "POST /contacts/{id}/consent", `{"how":"smoke"}`, invalid, []string{"action", "how"}},
		{"consent to an unknown company", "POST /contacts/{id}/consent", strings.Replace(grant, "acme", "nobody", 1), invalid, []string{"company"}},
		{"consent on an unknown channel", "POST /contacts/{id}/consent", strings.Replace(grant, `"email"`, `"fax"`, 1), invalid, []string{"channel"}},
		{"consent to an unknown type", "POST /contacts/{id}/consent", strings.Replace(grant, "newsletter", "gossip", 1), invalid, []string{"types"}},
		{"consent to an unknown topic", "POST /contacts/{id}/consent", strings.Replace(grant, `"types":["newsletter"]`, `"topics":["golf"]`, 1), invalid, []string{"topics"}},
		{"consent under an unknown notice", "POST /contacts/{id}/consent", strings.Replace(grant, "v1", "v9", 1), invalid, []string{"notice"}},
		{"consent in the future", "POST /contacts/{id}/consent", strings.Replace(grant, `{`, `{"captured_at":"2027-01-01T00:00:00Z",`, 1), invalid, []string{"captured_at"}},
		{"consent at no time", "POST /contacts/{id}/consent", strings.Replace(grant, `{`, `{"captured_at":"yesterday",`, 1), invalid, []string{"captured_at"}},
		{"evidence that is no text", "POST /contacts/{id}/consent", strings.Replace(grant, `"footer"`, `7`, 1), invalid, []string{"evidence.form"}},
		{"an erasure for no reason", "POST /contacts/{id}/erase", `{"reason":"boredom"}`, invalid, []string{"reason"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, path, _ := strings.Cut(c.call, " ")
			var body any
			if c.body != "" {
				body = c.body
			}
			w.call(Admin, method, strings.Replace(path, "{id}", who, 1), body).is(t, c.kind, c.fields...)
		})
	}
	w.call(Admin, "GET", "/contacts?email=jo", nil).is(t, invalid, "email")
	w.call(Admin, "GET", "/contacts", nil).is(t, invalid, "email")
	w.call(Admin, "GET", "/contacts/"+who+"/consent?at=now", nil).is(t, invalid, "at")
	w.call(Admin, "GET", "/contacts/"+who+"/export?ground=because", nil).is(t, noGround, "ground")
	var view struct{ Items []any }
	w.call(Admin, "GET", "/contacts/"+who+"/consent", nil).into(t, http.StatusOK, &view)
	if len(view.Items) != 0 {
		t.Errorf("refused consents were recorded: %v", view.Items)
	}
}

func TestAContactFromCreationToErasure(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		var made struct{ ID, Email string }
		got := w.call(Marketer, "POST", "/contacts", `{"email":" Jo@Example.ORG ","name":"Jo","topics":["transport"],"attributes":{"seats":4}}`)
		got.into(t, http.StatusCreated, &made)
		if made.Email != "jo@example.org" || got.header.Get("Location") != "/api/v1/contacts/"+made.ID {
			t.Errorf("got %s at %s", got.body, got.header.Get("Location"))
		}
		var merged struct{ ID, Name, Country string }
		w.call(Marketer, "POST", "/contacts", `{"email":"JO@example.org","name":"Not Jo","country":"GB","source":"datahouse"}`).into(t, http.StatusOK, &merged)
		if merged.ID != made.ID || merged.Name != "Jo" || merged.Country != "GB" {
			t.Errorf("merged into %+v", merged)
		}
		w.call(Privacy, "PATCH", "/contacts/"+made.ID, `{"name":"Jo Doe","attributes":{"seats":null}}`).into(t, http.StatusOK, nil)
		var found struct {
			Items []struct {
				ID, Name   string
				Attributes map[string]any
				Sources    []struct{ Source string }
			}
		}
		w.call(Privacy, "GET", "/contacts?email="+url.QueryEscape("Jo@example.org"), nil).into(t, http.StatusOK, &found)
		if len(found.Items) != 1 || found.Items[0].ID != made.ID || found.Items[0].Name != "Jo Doe" || len(found.Items[0].Attributes) != 0 ||
			len(found.Items[0].Sources) != 1 || found.Items[0].Sources[0].Source != "datahouse" {
			t.Errorf("found %+v", found)
		}
		w.call(Marketer, "GET", "/contacts/"+made.ID, nil).into(t, http.StatusOK, nil)
		w.call(Marketer, "POST", "/contacts/"+made.ID+"/consent", grant).into(t, http.StatusCreated, nil)
		var whole struct {
			Contact string
			Parts   []struct {
				Name string
				Rows []map[string]any
			}
		}
		w.call(Privacy, "GET", "/contacts/"+made.ID+"/export", nil).into(t, http.StatusOK, &whole)
		if whole.Contact != made.ID || whole.Parts[0].Rows[0]["Email address"] != "jo@example.org" || whole.Parts[1].Rows[0]["Evidence"] != "footer" {
			t.Errorf("the export holds %+v", whole)
		}
		table := w.call(Privacy, "GET", "/contacts/"+made.ID+"/export?format=csv", nil)
		if table.into(t, http.StatusOK, nil); !strings.Contains(string(table.body), "Contact details,1,Email address,jo@example.org") {
			t.Errorf("as CSV: %s", table.body)
		}
		w.call(Privacy, "GET", "/contacts/"+made.ID+"/export?format=xml", nil).is(t, invalid, "format")
		var receipt rights.Receipt
		w.call(Privacy, "POST", "/contacts/"+made.ID+"/erase", nil).into(t, http.StatusOK, &receipt)
		if receipt.Result != rights.Erased || len(receipt.Removed) != 2 || len(receipt.Kept) == 0 {
			t.Errorf("the receipt says %+v", receipt)
		}
		for _, path := range []string{"", "/consent", "/timeline", "/export"} {
			w.call(Privacy, "GET", "/contacts/"+made.ID+path, nil).is(t, notFound)
		}
		w.call(Privacy, "POST", "/contacts/"+made.ID+"/erase", nil).is(t, notFound)
		var none items
		w.call(Privacy, "GET", "/contacts?email=jo@example.org", nil).into(t, http.StatusOK, &none)
		if len(none.Items) != 0 {
			t.Errorf("found after erasure: %v", none.Items)
		}
		want := []string{"the marketer: contact.create", "the marketer: contact.merge", "the privacy: contact.change", "the privacy: contact.read",
			"the marketer: contact.read", "the marketer: consent.grant", "the privacy: contact.export legal-obligation", "the privacy: contact.export legal-obligation", "the privacy: contact.erase"}
		if got := w.logged(made.ID); !slices.Equal(got, want) {
			t.Errorf("logged %q\nwant %q", got, want)
		}
	})
}

func TestDeletingIsErasing(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	who := w.contact("jo@example.org")
	w.call(Marketer, "DELETE", "/contacts/"+who, nil).is(t, forbidden)
	w.call(Privacy, "DELETE", "/contacts/"+who, nil).into(t, http.StatusNoContent, nil)
	w.call(Privacy, "DELETE", "/contacts/"+who, nil).is(t, notFound)
}

func TestOnlyThePersonLiftsANo(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		asked := &confirmations{}
		w := newWorld(t, db, func(d *Deps) { d.DoubleOptIn = asked })
		w.furnish()
		who := w.contact("jo@example.org")
		at := "/contacts/" + who + "/consent"
		var done struct {
			Seq              int
			Applied          bool
			Outcome, Request string
		}
		w.call(Marketer, "POST", at, grant).into(t, http.StatusCreated, &done)
		if done.Seq != 1 || !done.Applied || done.Outcome != "applied" {
			t.Errorf("got %+v", done)
		}
		yes := w.clock.now()
		w.clock.move(time.Hour)
		w.call(Privacy, "POST", at, `{"action":"withdraw","how":"phone"}`).into(t, http.StatusCreated, nil)
		w.clock.move(time.Hour)
		got := w.call(Marketer, "POST", at, grant)
		got.is(t, standingNo)
		if !strings.Contains(string(got.body), "start a request") {
			t.Errorf("the problem does not say what to do: %s", got.body)
		}
		w.call(Marketer, "POST", at, strings.Replace(grant, "grant", "request", 1)).into(t, http.StatusCreated, &done)
		if done.Outcome != "pending" || done.Request != "req_7" {
			t.Errorf("got %+v", done)
		}
		if e := asked.entry; e.Contact.String() != who || e.Action != consent.Request || e.Types[0] != "newsletter" || e.Own {
			t.Errorf("asked to confirm %+v", e)
		}
		type view struct {
			Blocks []string
			Items  []struct{ Action, Company, Actor string }
			State  []struct {
				Company  *string
				Granted  []string
				Tracking struct{ Open bool }
			}
		}
		var now, then view
		w.call(Privacy, "GET", at, nil).into(t, http.StatusOK, &now)
		if !slices.Equal(now.Blocks, []string{"withdrawn"}) || len(now.Items) != 2 || now.Items[0].Actor != "the marketer" {
			t.Errorf("now: %+v", now)
		}
		w.call(Privacy, "GET", at+"?at="+yes.Add(time.Minute).Format(time.RFC3339), nil).into(t, http.StatusOK, &then)
		if len(then.Blocks) != 0 || len(then.Items) != 1 || len(then.State) != 1 || *then.State[0].Company != "acme" || !then.State[0].Tracking.Open {
			t.Errorf("an hour ago: %+v", then)
		}
		var page items
		w.call(Privacy, "GET", at+"?limit=1", nil).into(t, http.StatusOK, &page)
		if page.Next == nil {
			t.Fatal("no second page")
		}
		w.call(Privacy, "GET", at+"?limit=1&cursor="+*page.Next, nil).into(t, http.StatusOK, &page)
		if page.Items[0]["action"] != "withdraw" || page.Next != nil {
			t.Errorf("the second page holds %v", page)
		}
	})
}

type confirmations struct{ entry consent.Entry }

func (c *confirmations) Start(_ context.Context, e consent.Entry) (id.Request, error) {
	c.entry = e
	return 7, nil
}

func TestARequestNeedsARelay(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	w.call(Marketer, "POST", "/contacts/"+w.contact("jo@example.org")+"/consent", strings.Replace(grant, "grant", "request", 1)).is(t, notBuilt)
}

func TestTheTimelineTellsEverythingInOrder(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(d *Deps) {
		d.Traces = []Trace{{"mails", func(_ context.Context, _ schema.Querier, who id.Contact) ([]Moment, error) {
			return []Moment{{At: schema.At(time.Date(2026, 5, 4, 12, 30, 0, 0, time.UTC)), What: "mail.sent", Detail: map[string]any{"campaign": "cmp_1"}}}, nil
		}}}
	})
	w.furnish()
	who := w.contact("jo@example.org")
	w.clock.move(time.Hour)
	w.call(Marketer, "POST", "/contacts/"+who+"/consent", grant).into(t, http.StatusCreated, nil)
	var what []string
	for path := "/contacts/" + who + "/timeline?limit=2"; path != ""; {
		var p items
		w.call(Privacy, "GET", path, nil).into(t, http.StatusOK, &p)
		for _, i := range p.Items {
			what = append(what, i["what"].(string))
		}
		if path = ""; p.Next != nil {
			path = "/contacts/" + who + "/timeline?limit=2&cursor=" + *p.Next
		}
	}
	if want := []string{"contact.created", "mail.sent", "consent.grant"}; !slices.Equal(what, want) {
		t.Errorf("got %q, want %q", what, want)
	}
}
