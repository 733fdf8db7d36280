package api

import (
	"net/http"
	"testing"

	"beckon/mailer/bounce"
	"beckon/schema"
	"beckon/schema/servertest"
)

func TestHowACampaignFaredIsToldPerDomainAndMessage(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		file := "email,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n"
		for _, email := range []string{"a@big.example", "b@big.example", "c@big.example", "d@big.example", "e@big.example", "f@one.example", "g@two.example", "h@three.example", "i@four.example", "j@five.example"} {
			file += email + ",GB,acme,email,newsletter,yes,v1,form,2026-04-01T12:00:00Z\n"
		}
		w.upload(part{"file", file}).into(t, http.StatusAccepted, nil)
		if err := w.work(); err != nil {
			t.Fatal(err)
		}
		cmp := w.campaign(`{"segment":"` + w.segmentOf("British", british) + `"}`)
		if _, err := db.Exec(t.Context(), `INSERT INTO messages (campaign, contact, mode, status, reason, sent_at) SELECT 1, id, 'anonymous', CASE WHEN email LIKE 'a%' OR email LIKE 'f%' THEN 'failed' ELSE 'unknown' END,
			CASE WHEN email LIKE 'a%' THEN 'bounced' WHEN email LIKE 'f%' THEN 'refused' ELSE 'no-answer' END, 5000000 FROM contacts ORDER BY id`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `UPDATE messages SET contact = NULL WHERE contact = (SELECT id FROM contacts WHERE email = 'j@five.example')`); err != nil {
			t.Fatal(err)
		}
		path := "/campaigns/" + cmp
		var fared struct{ Items []bounce.Delivery }
		w.call(Marketer, "GET", path+"/delivery", nil).into(t, http.StatusOK, &fared)
		if len(fared.Items) != 2 || fared.Items[0] != (bounce.Delivery{Domain: "big.example", Recipients: 5, Bounced: 1}) || fared.Items[1] != (bounce.Delivery{Domain: "other", Recipients: 5, Failed: 1}) {
			t.Errorf("got %+v", fared.Items)
		}

		type list struct {
			Items []struct {
				ID, Status, Reason string
				Contact            *string
			}
			Next *string
		}
		var seen []string
		erased, pages := 0, 0
		for cursor := ""; ; pages++ {
			var l list
			w.call(Marketer, "GET", path+"/messages?status=unknown&limit=3"+cursor, nil).into(t, http.StatusOK, &l)
			for _, m := range l.Items {
				seen = append(seen, m.ID)
				if m.Contact == nil {
					erased++
				}
				if m.Status != "unknown" || m.Reason != "no-answer" {
					t.Errorf("listed %+v", m)
				}
			}
			if l.Next == nil {
				break
			}
			cursor = "&cursor=" + *l.Next
		}
		if len(seen) != 8 || erased != 1 || pages != 2 {
			t.Errorf("listed %q on %d pages, %d of them erased", seen, pages+1, erased)
		}
		var failed list
		w.call(Admin, "GET", path+"/messages?status=failed", nil).into(t, http.StatusOK, &failed)
		if len(failed.Items) != 2 || failed.Items[0].Contact == nil {
			t.Errorf("listed %+v", failed)
		}
		for _, call := range []string{"/delivery", "/messages?status=failed"} {
			w.call(Analyst, "GET", path+call, nil).is(t, forbidden)
			w.call(Privacy, "GET", path+call, nil).is(t, forbidden)
			w.call(Marketer, "GET", "/campaigns/cmp_zz"+call, nil).is(t, notFound)
		}
		w.call(Marketer, "GET", path+"/messages", nil).is(t, invalid, "status")
		w.call(Marketer, "GET", path+"/messages?status=lost", nil).is(t, invalid, "status")
		w.call(Marketer, "GET", path+"/messages?status=failed&cursor=x", nil).is(t, invalid, "cursor")
	})
}
