package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"beckon/cmd/internal/demo"

	"github.com/emersion/go-smtp"
)

// returning is an installation to which mail comes back, by SMTP and from a provider.
type returning struct {
	*premises
	intake string
}

func newReturning(t *testing.T, on demoStorage) *returning {
	t.Helper()
	h := &returning{premises: furnish(t, on, "")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.intake = l.Addr().String()
	l.Close()
	h.env = append(h.env, "BECKON_BOUNCES=b.acme.example", "BECKON_INTAKE="+h.intake, "BECKON_HOOKS=postmark:beckon:a-long-password")
	h.start()
	t.Cleanup(func() { h.kill() })
	return h
}

// back gives a message to the intake as another server would, and returns its answer.
func (h *returning) back(to, raw string) error {
	h.t.Helper()
	c, err := smtp.Dial(h.intake)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	return c.SendMail("", []string{to}, strings.NewReader(strings.ReplaceAll(raw, "\n", "\r\n")))
}

// notify posts what Postmark would.
func (h *returning) notify(password, body string) int {
	h.t.Helper()
	req, err := http.NewRequest("POST", h.base+"/hooks/postmark", strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetBasicAuth("beckon", password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (h *returning) metrics() string {
	h.t.Helper()
	resp, err := http.Get(h.base + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

const deadAddress = `From: MAILER-DAEMON@mx.people.example
Message-ID: <one@mx.people.example>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain

I could not deliver your mail.
--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.people.example

Final-Recipient: rfc822; p0@people.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <p0@people.example>: user unknown
--x--
`

const abuseReport = `From: feedback@provider.example
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="x"

--x
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1
Version: 1
--x--
`

// TestWhatComesBackHasItsConsequences follows a campaign to a real relay: one address is dead, two people
// complain, somebody forges a report. The next campaign leaves out who it must, and no one else, and so
// does one after the restore of a backup that was made before all that.
func TestB13B14B15WhatComesBackHasItsConsequences(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newReturning(t, on)
		const people = 12
		first := h.launch(people)
		h.untilStatus(first, "finished")
		h.backup()
		mails := make([]*demo.Caught, 5)
		for i := range mails {
			mails[i] = h.mail(first, fmt.Sprintf("p%d@people.example", i))
			name, domain, _ := strings.Cut(mails[i].From, "@")
			if domain != "b.acme.example" || len(name) > 64 || name == "" || mails[i].Header.Get("X-Pm-Metadata-Beckon") != name {
				t.Fatalf("the return path is %q, the stamp %q", mails[i].From, mails[i].Header.Get("X-Pm-Metadata-Beckon"))
			}
		}
		for range 2 {
			if err := h.back(mails[0].From, deadAddress); err != nil {
				t.Fatal(err)
			}
			if err := h.back(strings.ToUpper(mails[1].From), abuseReport); err != nil {
				t.Fatal(err)
			}
		}
		forged := []byte(mails[2].From)
		forged[5] = 'a' + (forged[5]-'a'+1)%26
		for _, to := range []string{string(forged), "p2@people.example", "news@acme.example"} {
			if err := h.back(to, strings.ReplaceAll(deadAddress, "p0@", "p2@")); err == nil || !strings.Contains(err.Error(), "No such mailbox") {
				t.Errorf("mail to %s: %v", to, err)
			}
		}
		complaint := `{"RecordType":"SpamComplaint","Type":"SpamComplaint","Metadata":{"beckon":"` + mails[3].Header.Get("X-Pm-Metadata-Beckon") + `"}}`
		if status := h.notify("another password", complaint); status != http.StatusUnauthorized {
			t.Errorf("with another password: %d", status)
		}
		if n := h.number(`SELECT count(*) FROM returns`); n != 2 {
			t.Errorf("%d reports are kept, want the two", n)
		}
		for range 2 {
			if status := h.notify("a-long-password", complaint); status != http.StatusOK {
				t.Errorf("notified: %d", status)
			}
		}
		if n := h.number(`SELECT count(*) FROM returns`); n != 3 {
			t.Errorf("%d reports are kept, want three", n)
		}
		if s := h.status(first); s.Messages["failed"] != 1 || s.Messages["sent"] != people-1 {
			t.Errorf("the campaign says %v", s.Messages)
		}
		for _, want := range []string{`beckon_returns_total{class="hard",way="smtp"} 2`, `beckon_returns_total{class="complaint",way="smtp"} 2`, `beckon_returns_total{class="complaint",way="postmark"} 2`, `beckon_returns_total{class="unproven",way="smtp"} 3`} {
			if got := h.metrics(); !strings.Contains(got, want) {
				t.Errorf("no %s", want)
			}
		}
		leaves := []string{"p0@people.example", "p1@people.example", "p3@people.example"}
		check := func(when string) {
			t.Helper()
			_, to := h.again("seg_1")
			for _, who := range leaves {
				if slices.Contains(to, who) {
					t.Errorf("%s: %s is mailed", when, who)
				}
			}
			if len(to) != people-len(leaves) || !slices.Contains(to, "p2@people.example") {
				t.Errorf("%s: %q are mailed", when, to)
			}
		}
		check("the next campaign")
		h.restore()
		check("after the restore of an older backup")
	})
}

// TestB6ComplaintsPauseACampaignThatIsBeingSent: three of those it has reached complain, and nobody more
// is mailed before somebody resumes it; the same three do not pause it again.
func TestB6ComplaintsPauseACampaignThatIsBeingSent(t *testing.T) {
	h := newReturning(t, demoStorage{})
	const people, reached = 40, 20
	h.catcher.Hold(reached)
	campaign := h.launch(people)
	h.until("some are reached", func() bool { return len(h.got(campaign)) >= reached })
	complain := func() {
		t.Helper()
		for _, who := range h.got(campaign)[:3] {
			if err := h.back(h.mail(campaign, who).From, abuseReport); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.until("the sender has written down whom it reached", func() bool { return h.status(campaign).Messages["sent"] >= 15 })
	complain()
	s := h.status(campaign)
	if s.Status != "paused" || !strings.Contains(s.StatusNote, "people it reached complained") {
		t.Fatalf("%s: %s", s.Status, s.StatusNote)
	}
	h.catcher.Release()
	h.until("what was under way has come to its end", func() bool { return h.status(campaign).Messages["sending"] == 0 })
	if n := h.status(campaign).Messages["queued"]; n == 0 {
		t.Error("nobody was left to be mailed, so nothing was tried")
	}
	h.post("/campaigns/"+campaign+"/resume", "", nil)
	complain()
	h.untilStatus(campaign, "finished")
	if to := h.got(campaign); len(to) != people {
		t.Errorf("%d of %d got it", len(to), people)
	}
}

// A large body is refused before it is read, whoever sends it.
func TestANotificationHasABound(t *testing.T) {
	h := newReturning(t, demoStorage{})
	resp, err := http.Post(h.base+"/hooks/postmark", "application/json", bytes.NewReader(make([]byte, 1<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", resp.StatusCode)
	}
	if resp, err = http.Post(h.base+"/hooks/sendgrid", "application/json", strings.NewReader("[]")); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("a provider that is not configured: %v, %v", resp, err)
	}
}
