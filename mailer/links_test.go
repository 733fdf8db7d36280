package mailer_test

import (
	"slices"
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/mailer/compose"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/tracker/token"
)

// hidden are the addresses of a letter at position 0, and where they lead.
func (w *world) hidden(l letter, c id.Campaign) (addresses, targets []string) {
	w.t.Helper()
	for _, address := range clickForm.FindAllString(l.html+l.text, -1) {
		k, err := w.keys.Open(token.Click, tokenOf(address))
		if err != nil || k.Campaign != c {
			w.t.Fatalf("%s opens to %+v, %v", address, k, err)
		}
		if k.Link == 0 {
			addresses, targets = append(addresses, address), append(targets, k.URL)
		}
	}
	return addresses, targets
}

func TestA6TheHoneypotGoesWithConsentedTracking(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.source("broker")
		for _, n := range []string{"ann", "bob"} {
			w.optIn(w.person(n+"@example.org", "", ""), false)
		}
		w.optIn(w.person("cat@example.org", "", ""), true)
		m := mailer.New(w.options)
		w.run(m)
		yes, no, all := true, false, w.everybody()
		for i, c := range []struct {
			tracking  string
			asked     *bool
			publicURL string
			want      string
		}{
			{"consented", nil, "", "https://acme.example/privacy"},
			{"consented", &yes, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
			{"consented", &no, "", ""},
			{"strict", &yes, "", ""},
			{"off", nil, "", ""},
		} {
			w.exec(`UPDATE companies SET public_url = ?`, c.publicURL)
			d := w.draft(all)
			d.Tracking, d.Honeypot = c.tracking, c.asked
			made := w.create(m, d)
			if got, err := m.Get(t.Context(), made.ID); err != nil || *got.Honeypot != (c.want != "") || *made.Honeypot != *got.Honeypot {
				t.Errorf("%+v: stored %v, %v", c, *got.Honeypot, err)
			}
			_, err := m.Launch(t.Context(), made.ID)
			w.ok(err)
			w.untilFinished(m, made.ID)
			var addresses []string
			for _, n := range []string{"ann", "bob", "cat"} {
				found, targets := w.hidden(w.relay.to(n + "@example.org")[i], made.ID)
				if want := slices.DeleteFunc([]string{c.want}, func(s string) bool { return s == "" }); !slices.Equal(targets, want) {
					t.Errorf("%+v: %s's mail has hidden links to %q, want %q", c, n, targets, want)
				}
				addresses = append(addresses, found...)
			}
			if c.want != "" && (len(addresses) != 3 || addresses[0] != addresses[1] || addresses[0] == addresses[2]) {
				t.Errorf("%+v: shared by those who did not agree, and by them alone: %q", c, addresses)
			}
			links, err := m.Links(t.Context(), made.ID)
			w.ok(err)
			for _, l := range links {
				if l.Position == 0 || l.URL == c.want {
					t.Errorf("%+v: the hidden link is listed: %+v", c, l)
				}
			}
		}
	})
}

func TestLinksShowWhereTheyLeadWithTheirParameters(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.optIn(w.person("ann@example.org", "", ""), true)
		m := mailer.New(w.options)
		w.run(m)
		d := w.draft(w.everybody())
		d.HTML = `<p><a href="https://acme.example/offer?a=1&amp;b=2#c" data-label="The offer">One</a> <a href="https://acme.example/two" data-utm="no">Two</a></p>`
		d.UTM = compose.UTM{Source: "beckon", Campaign: "May 1"}
		c := w.launch(m, d)
		w.untilFinished(m, c)
		links, err := m.Links(t.Context(), c)
		w.ok(err)
		want := []mailer.Link{{Position: 1, Label: "The offer", URL: "https://acme.example/offer?a=1&b=2&utm_source=beckon&utm_campaign=May+1#c"}, {Position: 2, Label: "Two", URL: "https://acme.example/two"}}
		if !slices.Equal(links, want) {
			t.Errorf("links: %+v", links)
		}
		l := w.relay.to("ann@example.org")[0]
		for i, address := range clickForm.FindAllString(l.html, 2) {
			if k, err := w.keys.Open(token.Click, tokenOf(address)); err != nil || k.URL != want[i].URL || k.Link != i+1 {
				t.Errorf("link %d opens to %+v, %v", i+1, k, err)
			}
		}
		got, err := m.Correct(t.Context(), c, 1, "https://acme.example/other")
		if err != nil || got.URL != want[0].URL || got.Override != "https://acme.example/other" {
			t.Errorf("corrected: %+v, %v", got, err)
		}
		d.Tracking = "off"
		w.untilFinished(m, w.launch(m, d))
		if l := w.relay.to("ann@example.org")[1]; !strings.Contains(l.html, `<a href="https://acme.example/offer?a=1&amp;b=2&amp;utm_source=beckon&amp;utm_campaign=May+1#c" data-label="The offer">One</a>`) {
			t.Errorf("without tracking: %s", l.html)
		}
	})
}
