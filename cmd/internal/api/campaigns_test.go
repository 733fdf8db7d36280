package api

import (
	"context"
	"encoding/csv"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
)

// campaign drafts a campaign to an audience and returns its identifier.
func (w *world) campaign(audience string) string {
	w.t.Helper()
	var made struct{ ID string }
	w.call(Marketer, "POST", "/campaigns", `{"name":"Spring","company":"acme","type":"newsletter","subject":"Spring at Acme","from":"Acme <news@acme.example>",
		"html":"<html><body><p>Hello {{ name }}</p><a href=\"https://acme.example/spring\">Spring</a></body></html>","audience":`+audience+`}`).into(w.t, http.StatusCreated, &made)
	return made.ID
}

// TestTheMainJob drives everything that a marketer's program does, from two files to the figures.
func TestTheMainJob(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		readers := "email,name,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n" +
			"a@example.org,Ann,GB,acme,email,newsletter,yes,v1,form,2026-04-01T12:00:00Z\n" +
			"b@example.org,Bob,GB,acme,email,newsletter,no,v1,form,2026-04-01T12:00:00Z\n"
		bought := "email,country,subscriber_kind\nc@corp.example,GB,corporate\nd@corp.example,GB,\n"
		w.upload(part{"file", readers}).into(t, http.StatusAccepted, nil)
		var up imported
		w.upload(part{"source", "datahouse"}, part{"file", bought}).into(t, http.StatusAccepted, &up)
		if err := w.work(); err != nil {
			t.Fatal(err)
		}
		w.call(Marketer, "GET", "/imports/"+up.ID, nil).into(t, http.StatusOK, &up)
		if up.Created != 2 || up.Mailable != 1 || up.Reasons["subscriber-kind-unknown"] != 1 {
			t.Errorf("imported %+v", up)
		}
		seg := w.segmentOf("British", british)
		cmp := w.campaign(`{"any":[{"segment":"` + seg + `"},{"source":"datahouse"}]}`)
		var check struct {
			Send, Cited, Identified, Anonymous int
			LeftOut                            map[string]int `json:"left_out"`
			Problems, Warnings                 []struct{ Field, Message string }
		}
		w.call(Marketer, "GET", "/campaigns/"+cmp+"/check", nil).into(t, http.StatusOK, &check)
		if check.Send != 3 || check.Cited != 1 || check.Identified != 1 || check.Anonymous != 2 || check.LeftOut["subscriber-kind-unknown"] != 1 || len(check.Problems) != 0 {
			t.Fatalf("the check says %+v", check)
		}
		if len(check.Warnings) == 0 || check.Warnings[0].Field != "preheader" {
			t.Errorf("the check warns of %+v", check.Warnings)
		}
		w.call(Marketer, "POST", "/campaigns/"+cmp+"/launch", nil).into(t, http.StatusAccepted, nil)
		w.call(Marketer, "POST", "/campaigns/"+cmp+"/launch", nil).is(t, conflict)

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Mailer.Run(ctx) }()
		cited := 0
		for range 3 {
			if strings.Contains(<-w.mail, "DataHouse") {
				cited++
			}
		}
		if cited != 1 {
			t.Errorf("%d mails name the source", cited)
		}
		var state struct {
			Status   string
			Messages map[string]int
		}
		for state.Status != "finished" {
			w.call(Marketer, "GET", "/campaigns/"+cmp, nil).into(t, http.StatusOK, &state)
		}
		if state.Messages["sent"] != 3 {
			t.Errorf("got %+v", state)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var stats struct {
			Base  struct{ Sent, Identified, Anonymous int }
			Links []struct{ URL string }
		}
		w.call(Analyst, "GET", "/campaigns/"+cmp+"/stats", nil).into(t, http.StatusOK, &stats)
		if stats.Base.Sent != 3 || stats.Base.Identified != 1 || len(stats.Links) != 1 || stats.Links[0].URL != "https://acme.example/spring" {
			t.Errorf("got %+v", stats)
		}
		table := w.call(Analyst, "GET", "/campaigns/"+cmp+"/stats.csv", nil)
		if rows, err := csv.NewReader(strings.NewReader(string(table.body))).ReadAll(); err != nil || table.status != 200 || len(rows) < 10 {
			t.Errorf("the table: %d rows, %v", len(rows), err)
		}
		want := []string{"the marketer: campaign.create", "the marketer: campaign.launch", "the marketer: campaign.launch"}
		if got := w.logged(cmp); !slices.Equal(got, want) {
			t.Errorf("logged %q", got)
		}
	})
}

func TestACampaignIsSteered(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	w.optedIn(1)
	cmp := w.campaign(`{"segment":"` + w.segmentOf("British", british) + `"}`)
	for _, step := range []struct {
		do     string
		status string // afterwards; empty: it does not fit
	}{
		{"pause", ""}, {"resume", ""}, {"launch", "sending"}, {"launch", ""}, {"resume", ""}, {"pause", "paused"}, {"resume", "sending"}, {"cancel", "cancelled"},
		{"cancel", ""}, {"resume", ""},
	} {
		got := w.call(Marketer, "POST", "/campaigns/"+cmp+"/"+step.do, nil)
		if step.status == "" {
			got.is(t, conflict)
			continue
		}
		var now struct{ Status string }
		got.into(t, http.StatusAccepted, &now)
		if now.Status != step.status {
			t.Errorf("%s: %s, want %s", step.do, now.Status, step.status)
		}
	}
	var list items
	got := w.call(Analyst, "GET", "/campaigns", nil)
	got.into(t, http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0]["status"] != "cancelled" || strings.Contains(string(got.body), "Hello") {
		t.Errorf("listed %s", got.body)
	}
	w.call(Marketer, "POST", "/campaigns/"+cmp+"/resolve-unknown", `{"action":"leave"}`).into(t, http.StatusAccepted, nil)
	w.call(Marketer, "POST", "/campaigns/"+cmp+"/resolve-unknown", `{"action":"resend"}`).is(t, conflict)
	w.call(Marketer, "POST", "/campaigns/"+cmp+"/resolve-unknown", `{"action":"forget"}`).is(t, invalid, "action")
}

func TestATestGoesToTheRelay(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	cmp := w.campaign(`{"source":"datahouse"}`)
	at := "/campaigns/" + cmp + "/test"
	w.call(Marketer, "POST", at, `{"to":["me@acme.example","you@acme.example"]}`).into(t, http.StatusAccepted, nil)
	for range 2 {
		if mail := <-w.mail; !strings.Contains(mail, "[Test]") {
			t.Errorf("got %s", mail)
		}
	}
	w.call(Marketer, "POST", at, `{"to":[]}`).is(t, invalid, "to")
	w.call(Marketer, "POST", at, `{"to":["me"]}`).is(t, invalid, "to[0]")
	if err := w.relay.Close(); err != nil {
		t.Fatal(err)
	}
	got := w.call(Marketer, "POST", at, `{"to":["me@acme.example"]}`)
	got.is(t, relayFailed, "relay")
	if strings.Contains(string(got.body), "me@") || !strings.Contains(string(got.body), "BECKON_SMTP") {
		t.Errorf("the problem says %s", got.body)
	}
}

func TestAPreviewIsLoggedAndAsksTheGate(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	at := "/campaigns/" + w.campaign(`{"source":"datahouse"}`) + "/preview"
	var p struct{ Subject, HTML, Text string }
	w.call(Marketer, "GET", at, nil).into(t, http.StatusOK, &p)
	if !strings.HasPrefix(p.Subject, "[Test] ") || !strings.Contains(p.HTML, "DataHouse") || p.Text == "" {
		t.Errorf("the sample gets %+v", p)
	}
	var made struct{ ID string }
	w.call(Marketer, "POST", "/contacts", `{"email":"pre@shop.example","name":"Petra","source":"datahouse","country":"GB","subscriber_kind":"corporate"}`).into(t, http.StatusCreated, &made)
	w.call(Marketer, "GET", at+"?contact="+made.ID, nil).into(t, http.StatusOK, &p)
	var log struct {
		Items []struct{ Action, Detail string }
	}
	w.call(Admin, "GET", "/audit?action=campaign.preview", nil).into(t, http.StatusOK, &log)
	if len(log.Items) != 1 || log.Items[0].Detail != made.ID {
		t.Errorf("the log has %+v", log)
	}
	w.call(Marketer, "GET", at+"?contact=ada", nil).is(t, invalid, "contact")
	w.call(Marketer, "GET", at+"?contact=ct_zzzz", nil).is(t, invalid, "contact")
	w.call(Privacy, "POST", "/contacts/"+made.ID+"/consent", `{"action":"object","how":"phone"}`).into(t, http.StatusCreated, nil)
	w.call(Marketer, "GET", at+"?contact="+made.ID, nil).is(t, invalid, "contact")
	w.call(Marketer, "POST", strings.TrimSuffix(at, "preview")+"test", `{"to":["me@acme.example"],"contact":"`+made.ID+`"}`).is(t, invalid, "contact")
}

func TestCampaignsThatCannotBeSentAreToldByField(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.call(Marketer, "POST", "/companies", `{"slug":"acme","name":"Acme"}`).into(t, http.StatusCreated, nil)
	w.call(Marketer, "POST", "/campaigns", `{}`).is(t, invalid, "name", "subject", "html", "type", "company", "from", "audience")
	w.call(Marketer, "POST", "/campaigns", `{"nmae":"x"}`).is(t, unknownField, "nmae")
	w.call(Marketer, "POST", "/campaigns", `{"audience":{"segment":"ct_1"}}`).is(t, invalid, "audience.segment")
	seg := w.segmentOf("British", british)
	var made struct{ ID string }
	w.call(Marketer, "POST", "/campaigns", `{"name":"x","company":"acme","type":"newsletter","subject":"x","from":"news@acme.example",
		"html":"<a href=\"https://acme.example/?e={{ email }}\">x</a>","audience":{"segment":"`+seg+`"}}`).into(t, http.StatusCreated, &made)
	got := w.call(Marketer, "POST", "/campaigns/"+made.ID+"/launch", nil)
	var p Problem
	got.into(t, http.StatusConflict, &p)
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	for _, want := range []string{"html", "company.postal_address", "company.privacy_url"} {
		if p.Type != notReady.uri() || !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("%s is not told: %s", want, got.body)
		}
	}
	for _, path := range []string{"", "/check", "/stats", "/stats.csv"} {
		w.call(Marketer, "GET", "/campaigns/cmp_zz"+path, nil).is(t, notFound)
	}
	for _, path := range []string{"/launch", "/pause", "/resume", "/cancel"} {
		w.call(Marketer, "POST", "/campaigns/cmp_zz"+path, nil).is(t, notFound)
	}
	w.call(Marketer, "POST", "/campaigns/cmp_zz/test", `{"to":["me@acme.example"]}`).is(t, notFound)
	w.call(Marketer, "POST", "/campaigns/cmp_zz/resolve-unknown", `{"action":"leave"}`).is(t, notFound)
}

func TestParametersAndTheHoneypotAreSetPerCampaign(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	w.optedIn(1)
	draft := `{"name":"Spring","company":"acme","type":"newsletter","subject":"Spring at Acme","from":"Acme <news@acme.example>",
		"html":"<a href=\"https://acme.example/spring?a=1#b\" data-label=\"The fair\">Spring</a>","audience":{"segment":"` + w.segmentOf("British", british) + `"}`
	type settings struct {
		ID       string
		UTM      map[string]string
		Honeypot *bool
	}
	for _, c := range []struct {
		more     string
		utm      map[string]string
		honeypot bool
	}{
		{`}`, nil, true},
		{`,"utm":{},"honeypot":true}`, nil, true},
		{`,"utm":{"source":"beckon","content":"a b"},"honeypot":false}`, map[string]string{"source": "beckon", "content": "a b"}, false},
		{`,"tracking":"strict","honeypot":true}`, nil, false},
		{`,"tracking":"off"}`, nil, false},
	} {
		var made, got settings
		w.call(Marketer, "POST", "/campaigns", draft+c.more).into(t, http.StatusCreated, &made)
		w.call(Marketer, "GET", "/campaigns/"+made.ID, nil).into(t, http.StatusOK, &got)
		for _, s := range []settings{made, got} {
			if !maps.Equal(s.UTM, c.utm) || s.Honeypot == nil || *s.Honeypot != c.honeypot {
				t.Errorf("%s: got %+v", c.more, s)
			}
		}
		if c.utm == nil {
			continue
		}
		w.call(Marketer, "POST", "/campaigns/"+made.ID+"/launch", nil).into(t, http.StatusAccepted, nil)
		var stats struct{ Links []struct{ Label, URL string } }
		w.call(Marketer, "GET", "/campaigns/"+made.ID+"/stats", nil).into(t, http.StatusOK, &stats)
		if len(stats.Links) != 1 || stats.Links[0].Label != "The fair" || stats.Links[0].URL != "https://acme.example/spring?a=1&utm_source=beckon&utm_content=a+b#b" {
			t.Errorf("the figures have the links %+v", stats.Links)
		}
	}
	w.call(Marketer, "POST", "/campaigns", draft+`,"utm":{"source":"{{ email }}","term":"a\nb"}}`).is(t, invalid, "utm.source", "utm.term")
	w.call(Marketer, "POST", "/campaigns", draft+`,"utm":{"medum":"x"}}`).is(t, unknownField, "utm.medum")
}

func TestRateAndWindowAreSetPerCampaign(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		w.optedIn(1)
		draft := `{"name":"Spring","company":"acme","type":"newsletter","subject":"Spring at Acme","from":"Acme <news@acme.example>","html":"<p>Spring</p>","audience":{"segment":"` + w.segmentOf("British", british) + `"}`
		type window struct {
			From, To, Zone string
			Days           []string
		}
		type settings struct {
			ID     string
			Rate   *float64
			Window *window
			SendAt *string `json:"send_at"`
		}
		var made, got settings
		w.call(Marketer, "POST", "/campaigns", draft+`,"rate":2.5,"send_at":"2026-12-01T09:00:00-05:00","window":{"from":"22:00","to":"06:00","zone":"America/New_York","days":["mon","fri"]}}`).into(t, http.StatusCreated, &made)
		w.call(Marketer, "GET", "/campaigns/"+made.ID, nil).into(t, http.StatusOK, &got)
		for _, s := range []settings{made, got} {
			if s.Rate == nil || *s.Rate != 2.5 || s.Window == nil || s.Window.From != "22:00" || s.Window.To != "06:00" || s.Window.Zone != "America/New_York" || !slices.Equal(s.Window.Days, []string{"mon", "fri"}) ||
				s.SendAt == nil || *s.SendAt != "2026-12-01T14:00:00Z" {
				t.Errorf("got %+v", s)
			}
		}
		w.call(Marketer, "POST", "/campaigns", draft+`,"send_at":"2027-07-01T09:00[Europe/London]"}`).into(t, http.StatusCreated, &got)
		if got.SendAt == nil || *got.SendAt != "2027-07-01T08:00:00Z" {
			t.Errorf("nine o'clock in London is %v", got.SendAt)
		}
		w.call(Marketer, "POST", "/campaigns", draft+`,"send_at":"2027-03-28T01:30[Europe/London]"}`).is(t, invalid, "send_at")
		var plain settings
		w.call(Marketer, "POST", "/campaigns", draft+`}`).into(t, http.StatusCreated, &plain)
		if plain.Rate != nil || plain.Window != nil {
			t.Errorf("without either: %+v", plain)
		}
		w.call(Marketer, "POST", "/campaigns", draft+`,"rate":0}`).is(t, invalid, "rate")
		w.call(Marketer, "POST", "/campaigns", draft+`,"send_at":"2026-12-01T09:00","window":{"from":"08:00","to":"18:00","zone":"Europe/London"}}`).is(t, invalid, "send_at")
		w.call(Marketer, "POST", "/campaigns", draft+`,"window":{"from":"8","to":"18:00","zone":"London","days":["monday"]}}`).is(t, invalid, "window.from", "window.zone", "window.days")
	})
}
