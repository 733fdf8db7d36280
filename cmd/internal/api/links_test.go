package api

import (
	"net/http"
	"testing"

	"beckon/mailer"
	"beckon/schema"
	"beckon/schema/servertest"
)

func TestALinkIsCorrectedThroughTheAPI(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		w.upload(part{"file", "email,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n" +
			"a@example.org,GB,acme,email,newsletter,yes,v1,form,2026-04-01T12:00:00Z\n"}).into(t, http.StatusAccepted, nil)
		if err := w.work(); err != nil {
			t.Fatal(err)
		}
		cmp := w.campaign(`{"segment":"` + w.segmentOf("British", british) + `"}`)
		links := "/campaigns/" + cmp + "/links"
		right := map[string]string{"url": "https://acme.example/summer"}
		w.call(Marketer, "PATCH", links+"/1", right).is(t, notFound)
		w.call(Marketer, "POST", "/campaigns/"+cmp+"/launch", nil).into(t, http.StatusAccepted, nil)

		var got mailer.Link
		w.call(Marketer, "PATCH", links+"/1", right).into(t, http.StatusOK, &got)
		want := mailer.Link{Position: 1, Label: "Spring", URL: "https://acme.example/spring", Override: "https://acme.example/summer"}
		if got != want {
			t.Errorf("got %+v", got)
		}
		var list struct{ Items []mailer.Link }
		w.call(Analyst, "GET", links, nil).into(t, http.StatusOK, &list)
		if len(list.Items) != 1 || list.Items[0] != want {
			t.Errorf("listed %+v", list)
		}
		w.call(Marketer, "PATCH", links+"/1", map[string]string{"url": "javascript:alert(1)"}).is(t, invalid, "url")
		w.call(Marketer, "PATCH", links+"/1", map[string]string{}).is(t, invalid, "url")
		w.call(Marketer, "PATCH", links+"/9", right).is(t, notFound)
		w.call(Marketer, "PATCH", links+"/one", right).is(t, notFound)
		w.call(Analyst, "PATCH", links+"/1", right).is(t, forbidden)
	})
}
