package pages

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

func complaining(text string) url.Values { return url.Values{"do": {"complain"}, "complaint": {text}} }

func TestL12AComplaintIsTakenAndAcknowledged(t *testing.T) {
	each(t, func(w *world) {
		who := w.person("ada@lovelace.example", "newsletter")
		_, p := w.mail(who, 0)
		a := w.status(w.get("/p/"+p), 200)
		w.says(a, "Write a complaint", "At most 2,000 characters", "Complain to the authority", "You need not be the person the mail was sent to.")

		// Whoever the mail was forwarded to can complain, and learns nothing.
		a = w.status(w.post("/p/"+p, complaining("You write  too often.\r\n\x07\u202e<b>Stop</b>\tit. ")), 200)
		w.says(a, "We have your complaint", "you will have an answer by 3 May 2026 at the latest", "Its reference is req_", "You may also complain to the authority")
		for _, secret := range []string{"ada@", "lovelace", "Ada Example", "<b>"} {
			if strings.Contains(a.body, secret) {
				w.t.Errorf("the answer holds %q", secret)
			}
		}
		if !strings.Contains(a.body, `href="https://acme.example/complain"`) {
			w.t.Error("no link to the authority")
		}
		list, err := w.inbox.List(t.Context(), rights.ListRequests{Contact: who})
		w.must(err)
		if len(list) != 1 {
			w.t.Fatalf("the inbox holds %+v", list)
		}
		r := list[0]
		if r.Kind != rights.Complaint || r.Channel != rights.ByPage || r.Company != w.acme.ID || r.Status != rights.Open || r.Detail != "You write  too often.\n<b>Stop</b> it." ||
			r.ReceivedAt != schema.At(start) || r.AcknowledgedAt != schema.At(start) || r.HandledBy != "recipient" || r.DueAt != schema.At(start.AddDate(0, 1, 0)) {
			w.t.Errorf("the inbox holds %+v", r)
		}
		if types, tracked := w.granted(who); len(types) != 1 || !tracked || w.blocks(who) != 0 {
			w.t.Errorf("a complaint changed what is agreed to: %v %v %v", types, tracked, w.blocks(who))
		}
		if len(w.mails.sent) > 0 {
			w.t.Error("a mail went out")
		}

		// One who is blocked can complain, too.
		w.status(w.post("/p/"+p, url.Values{"do": {"object"}}), 200)
		w.status(w.post("/p/"+p, complaining("And you still write.")), 200)
	})
}

func TestL12AComplaintThatDoesNotFit(t *testing.T) {
	each(t, func(w *world) {
		_, p := w.mail(w.person("ada@example.org"), 0)
		before := w.dump()
		for _, c := range []struct {
			text, says string
			want       int
		}{
			{"", "Write what is wrong", 422},
			{" \n\t\u202e ", "Write what is wrong", 422},
			{strings.Repeat("ü", 2001), "Shorten the text by 1 character: at most 2,000 fit", 422},
			{strings.Repeat("x", 2100), "Shorten the text by 100 characters", 422},
			{strings.Repeat("x", maxForm), "We did not understand that form", 400},
			{"a\x00b", "We did not understand that form", 400},
		} {
			a := w.status(w.post("/p/"+p, complaining(c.text)), c.want)
			w.says(a, c.says)
			if c.want == 422 && (!strings.Contains(a.body, `<a href="#complaint">`) || !strings.Contains(a.body, `aria-invalid="true"`) || !strings.Contains(a.body, "<title>Error: ") || strings.Count(a.body, "<details open>") != 1) {
				w.t.Errorf("the mistake is not shown where it is:\n%s", a.body)
			}
		}
		w.status(w.post("/p/"+p, url.Values{"do": {"complain"}, "complaint": {"one", "two"}}), 400)
		w.unchanged(before, "a complaint that does not fit")
		w.status(w.post("/p/"+p, complaining(strings.Repeat("ü", 2000))), 200)
	})
}

func TestL12ComplaintsAreBounded(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), nil)
	who := w.person("ada@example.org")
	for range 3 {
		_, p := w.mail(who, 0)
		w.status(w.post("/p/"+p, complaining("Once more.")), 200)
	}
	_, p := w.mail(who, 0)
	before := w.dump()
	a := w.status(w.post("/p/"+p, complaining("And again.")), 429)
	w.says(a, "You have complained several times")
	if a.Header.Get("Retry-After") != "7200" {
		t.Errorf("Retry-After: %s", a.Header.Get("Retry-After"))
	}
	w.unchanged(before, "a complaint too many")
	_, other := w.mail(w.person("grace@example.org"), 0)
	w.status(w.post("/p/"+other, complaining("Me too.")), 200)
	w.clock.pass(2 * time.Hour)
	w.status(w.post("/p/"+p, complaining("And again.")), 200)
}
