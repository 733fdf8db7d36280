package bounce

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

func TestB14ADeadAddressIsSuppressedAndItsMessageFails(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		_, sent := w.crowd(2)
		who := w.message(sent[0]).Contact
		w.letter(sent[0], hardDSN("1"))
		if l := w.message(sent[0]); l.Status != queue.Failed || l.Reason != queue.ReasonBounced {
			t.Errorf("the message is %s, %s", l.Status, l.Reason)
		}
		if b := w.blocks(who); b != consent.BlockBounced {
			t.Errorf("the contact is blocked as %v", b.Reasons())
		}
		if len(w.kept) != 1 || w.kept[0].Action != consent.Suppress || w.kept[0].Block != consent.BlockBounced {
			t.Errorf("the journal keeps %+v", w.kept)
		}
		if l := w.message(sent[1]); l.Status != queue.Sent || w.blocks(l.Contact) != 0 {
			t.Errorf("another's message is %s", l.Status)
		}
		if got := w.text(`SELECT class || ' ' || status || ' ' || code || ' ' || way FROM returns`); got != "hard 5.1.1 550 smtp" {
			t.Errorf("kept as %q", got)
		}
		if got := w.text(`SELECT diagnostic FROM returns`); strings.Contains(got, "@") || strings.Contains(got, "jo") || !strings.Contains(got, "user unknown") {
			t.Errorf("the diagnostic is %q", got)
		}
		// What is written by a sender that has it under way comes too late.
		w.exec(`UPDATE messages SET status = 'sending' WHERE id = ?`, sent[1])
		w.letter(sent[1], hardDSN("2"))
		if l := w.message(sent[1]); l.Status != queue.Failed {
			t.Errorf("a message under way is %s", l.Status)
		}
	})
}

func TestTheSameReportTwiceChangesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		_, sent := w.crowd(4)
		reports := []string{hardDSN("1"), softDSN("2"), senderDSN("3"), arf("abuse", "")}
		for i, raw := range reports {
			w.letter(sent[i], raw)
		}
		rows, noes, ledger := w.number(`SELECT count(*) FROM returns`), len(w.kept), w.number(`SELECT count(*) FROM consent_ledger`)
		w.exec(`UPDATE messages SET status = 'sent', reason = ''`)
		for i, raw := range reports {
			w.letter(sent[i], raw)
			w.ok(w.in.Letter(t.Context(), ByMailbox, nil, []byte("X-Original-To: "+w.paths.Make(sent[i])+"\r\n"+raw)))
		}
		if got := w.number(`SELECT count(*) FROM returns`); rows != 4 || got != rows || len(w.kept) != noes || w.number(`SELECT count(*) FROM consent_ledger`) != ledger {
			t.Errorf("%d rows became %d, %d noes %d", rows, got, noes, len(w.kept))
		}
		if n := w.number(`SELECT count(*) FROM messages WHERE status <> 'sent'`); n != 0 {
			t.Errorf("%d messages changed again", n)
		}
		if w.counts["hard by smtp"] != 2 || w.counts["hard by mailbox"] != 1 {
			t.Errorf("counted %v", w.counts)
		}
	})
}

func TestB13WhatProvesNothingChangesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		_, sent := w.crowd(1)
		who := w.message(sent[0]).Contact
		stranger := NewPaths("b.acme.example", pathRing(t, pathKeyB))
		foreign, err := pathRing(t, pathKeyB).Sign(token.Token{Kind: token.Unsubscribe, Campaign: 1, Message: sent[0]})
		w.ok(err)
		preferences, err := w.keys.Sign(token.Token{Kind: token.Preferences, Campaign: 1, Message: sent[0]})
		w.ok(err)
		anonymous, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 1})
		w.ok(err)
		unsubscribe, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 1, Message: sent[0]})
		w.ok(err)
		trial, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 1, Message: sent[0], Test: true})
		w.ok(err)
		for name, forged := range map[string]struct {
			to  []string
			raw string
		}{
			"a path of another's keys":                    {[]string{stranger.Make(sent[0])}, hardDSN("1")},
			"the recipient's own address":                 {[]string{"jo@shop.example"}, hardDSN("2")},
			"no recipient":                                {nil, hardDSN("3")},
			"a path at another domain":                    {[]string{strings.Replace(w.paths.Make(sent[0]), "@b.", "@c.", 1)}, hardDSN("4")},
			"a complaint without a link":                  {nil, arf("abuse", "")},
			"a complaint with another's link":             {nil, arf("abuse", "<https://acme.example/u/"+foreign+">")},
			"a complaint with a link of another kind":     {nil, arf("abuse", "<https://acme.example/u/"+preferences+">")},
			"a complaint with a link that names nobody":   {nil, arf("abuse", "<https://acme.example/u/"+anonymous+">")},
			"a complaint about a test":                    {nil, arf("abuse", "<https://acme.example/u/"+trial+">")},
			"a bounce with the link, which many may know": {nil, strings.Replace(hardDSN("5"), "--x--", "--x\r\nContent-Type: message/rfc822\r\n\r\nList-Unsubscribe: <https://acme.example/u/"+unsubscribe+">\r\n\r\n--x--", 1)},
			"a message that is not held":                  {[]string{w.paths.Make(4711)}, hardDSN("6")},
		} {
			w.ok(w.in.Letter(t.Context(), ByMailbox, forged.to, []byte(forged.raw)))
			if n := w.number(`SELECT count(*) FROM returns`); n != 0 || w.message(sent[0]).Status != queue.Sent || w.blocks(who) != 0 || len(w.kept)+len(w.asked) != 0 {
				t.Fatalf("%s did something", name)
			}
		}
		if w.counts["unproven by mailbox"] != 10 {
			t.Errorf("counted %v", w.counts)
		}
	})
}

func TestB15AComplaintIsANoToEverything(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		_, sent := w.crowd(2)
		link, err := w.keys.Sign(token.Token{Kind: token.Unsubscribe, Campaign: 1, Message: sent[0]})
		w.ok(err)
		w.ok(w.in.Letter(t.Context(), ByMailbox, nil, []byte(arf("abuse", "<https://mail.acme.example/u/"+link+">, <mailto:privacy@acme.example>"))))
		who := w.message(sent[0]).Contact
		if b := w.blocks(who); b&consent.BlockComplained == 0 {
			t.Errorf("blocked as %v", b.Reasons())
		}
		if l := w.message(sent[0]); l.Status != queue.Sent {
			t.Errorf("the message is %s: it did arrive", l.Status)
		}
		if len(w.kept) != 2 || w.kept[0].Action != consent.Object || w.kept[0].Company != "acme" || w.kept[1].Block != consent.BlockComplained {
			t.Errorf("the journal keeps %+v", w.kept)
		}
		// An opt-out by the same way is a no to the company, and no complaint.
		w.letter(sent[1], arf("opt-out", ""))
		other := w.message(sent[1]).Contact
		if b := w.blocks(other); b != 0 {
			t.Errorf("an opt-out blocks as %v", b.Reasons())
		}
		if got := w.kept[len(w.kept)-1]; len(w.kept) != 3 || got.Action != consent.Object || got.Company != "acme" || got.Channel != consent.Email {
			t.Errorf("the journal keeps %+v", w.kept)
		}
		if n := w.number(`SELECT count(*) FROM returns WHERE class = 'complaint'`); n != 1 {
			t.Errorf("%d complaints", n)
		}
	})
}

func TestFiveSoftCampaignsInARowMakeAnAddressDead(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		for _, c := range []struct {
			name string
			sent string // s came back soft, d was delayed, r was refused for our fault, . was delivered
			dead bool
		}{
			{"five in a row", "sssss", true},
			{"four", "ssss", false},
			{"one was delivered between", "ss.sss", false},
			{"five after one was delivered", "ss.sssss", true},
			{"refusals of our own fault count neither way", "ssrsrss", true},
			{"late is not lost", "ddddddd", false},
		} {
			who := w.person(strings.ReplaceAll(c.name, " ", "-") + "@shop.example")
			for i, what := range c.sent {
				m := w.sent(w.campaign(), who)
				w.clock = w.clock.Add(24 * time.Hour)
				tag := fmt.Sprint(c.name, i)
				switch what {
				case 's':
					w.letter(m, softDSN(tag))
					w.letter(m, softDSN(tag+"again")) // another report about the same campaign
				case 'd':
					w.letter(m, dsn(tag, "delayed", "4.4.1", "connection timed out"))
				case 'r':
					w.letter(m, senderDSN(tag))
				}
			}
			if dead := w.blocks(who)&consent.BlockBounced != 0; dead != c.dead {
				t.Errorf("%s: suppressed %v", c.name, dead)
			}
			if n := w.number(`SELECT count(*) FROM messages WHERE contact = ? AND status <> 'sent'`, who); n != 0 {
				t.Errorf("%s: %d messages changed", c.name, n)
			}
		}
		who := w.person("slow@shop.example")
		for i := range 5 {
			w.letter(w.sent(w.campaign(), who), softDSN(fmt.Sprint("slow", i)))
			w.clock = w.clock.Add(10 * 24 * time.Hour)
		}
		if w.blocks(who) != 0 {
			t.Error("five within fifty days are too many")
		}
	})
}

func TestB7ARunOfRefusalsOfOurOwnFaultPausesTheCampaign(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		c, sent := w.crowd(14)
		w.letter(sent[0], senderDSN("0"))
		w.letter(sent[0], senderDSN("0 again")) // one message, however many reports
		w.letter(sent[1], softDSN("1"))
		for i := 2; i < 6; i++ {
			w.letter(sent[i], senderDSN(fmt.Sprint(i)))
		}
		if status, note := w.status(c); status != "sending" {
			t.Errorf("four in a row: %s, %s", status, note)
		}
		w.letter(sent[6], senderDSN("6"))
		if status, note := w.status(c); status != "paused" || !strings.Contains(note, "5 messages in a row") || !strings.Contains(note, "5.7.1") {
			t.Errorf("five in a row: %s, %s", status, note)
		}
		if n := w.number(`SELECT count(*) FROM suppressions`); n != 0 || len(w.kept) != 0 {
			t.Errorf("%d are suppressed", n)
		}
		w.exec(`UPDATE campaigns SET status = 'sending', status_note = '' WHERE id = ?`, c)
		for i := 7; i < 11; i++ {
			w.letter(sent[i], senderDSN(fmt.Sprint(i)))
		}
		if status, note := w.status(c); status != "sending" {
			t.Errorf("paused again by the same: %s, %s", status, note)
		}
		w.letter(sent[11], senderDSN("11"))
		if status, _ := w.status(c); status != "paused" {
			t.Errorf("another five: %s", status)
		}
	})
}

func TestB6ARateOfComplaintsPausesTheCampaign(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		c, sent := w.crowd(9)
		complain := func(list ...id.Message) {
			t.Helper()
			for _, m := range list {
				w.letter(m, arf("abuse", ""))
				w.letter(m, arf("abuse", ""))
			}
		}
		complain(sent[:2]...)
		if status, note := w.status(c); status != "sending" {
			t.Errorf("two people: %s, %s", status, note)
		}
		complain(sent[2])
		if status, note := w.status(c); status != "paused" || !strings.Contains(note, "3 of 9 people") || !strings.Contains(note, "33.33 %") {
			t.Errorf("three people: %s, %s", status, note)
		}
		w.exec(`UPDATE campaigns SET status = 'sending', status_note = '' WHERE id = ?`, c)
		complain(sent[:5]...)
		if status, note := w.status(c); status != "sending" {
			t.Errorf("paused again by the same: %s, %s", status, note)
		}
		complain(sent[5])
		if status, _ := w.status(c); status != "paused" {
			t.Errorf("three others: %s", status)
		}

		// Of a large campaign three are no rate.
		large, some := w.crowd(7)
		var rows []string
		for i := range 1993 {
			rows = append(rows, fmt.Sprintf("(%d, %d, 'sent', 1)", large, 100000+i))
		}
		w.exec(`INSERT INTO messages (campaign, contact, status, sent_at) VALUES ` + strings.Join(rows, ","))
		complain(some[:5]...)
		if status, note := w.status(large); status != "sending" {
			t.Errorf("5 of 2,000: %s, %s", status, note)
		}
		complain(some[5])
		if status, note := w.status(large); status != "paused" || !strings.Contains(note, "6 of 2000 people") || !strings.Contains(note, "0.30 %") {
			t.Errorf("6 of 2,000: %s, %s", status, note)
		}
	})
}

func TestOfAnErasedContactAReportIsNotedAndNoMore(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		c, sent := w.crowd(4)
		w.exec(`UPDATE messages SET contact = NULL`)
		for i, raw := range []string{hardDSN("1"), arf("abuse", ""), softDSN("3"), person("hello", "unsubscribe")} {
			w.letter(sent[i], raw)
		}
		if n := w.number(`SELECT count(*) FROM returns WHERE campaign = ? AND diagnostic = ''`, c); n != 4 {
			t.Errorf("%d are noted without words", n)
		}
		if w.message(sent[0]).Status != queue.Failed || len(w.kept) != 0 {
			t.Errorf("%+v, kept %v", w.message(sent[0]), w.kept)
		}
		if len(w.asked) != 1 || w.asked[0].who != 0 {
			t.Errorf("asked %+v", w.asked)
		}
	})
}

func TestB16AnAutomaticReplyIsNothing(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	_, sent := w.crowd(1)
	for name, raw := range fixtures(t) {
		rep := read(t, string(raw))
		if rep.Class != AutoReply && rep.Class != Other {
			continue
		}
		w.letter(sent[0], string(raw))
		if n := w.number(`SELECT count(*) FROM returns`); n != 0 || len(w.asked) != 0 || w.blocks(w.message(sent[0]).Contact) != 0 {
			t.Fatalf("%s did something", name)
		}
	}
	w.letter(sent[0], "Auto-Submitted: auto-replied\r\n"+person("unsubscribe", "unsubscribe"))
	if len(w.asked) != 0 {
		t.Error("a machine opted somebody out")
	}
}

func TestS20AnOptOutByLetterWaitsForAPerson(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		_, sent := w.crowd(1)
		who, jo := w.message(sent[0]).Contact, w.person("jo@shop.example")
		w.letter(sent[0], person("Re: May", "Please remove me.\n\n> Hello"))
		w.letter(sent[0], person("Re: May", "Please remove me.\n\n> Hello"))
		w.ok(w.in.Letter(t.Context(), ByMailbox, nil, []byte(person("unsubscribe newsletter", ""))))
		w.ok(w.in.Letter(t.Context(), ByMailbox, nil, []byte(strings.Replace(person("Abmelden", ""), "jo@", "nobody@", 1))))
		want := []asked{{who, 1, "Re: May / Please remove me"}, {jo, 0, "unsubscribe newsletter /"}, {0, 0, "nobody@shop.example (an address that is not held): Abmelden /"}}
		if fmt.Sprint(w.asked) != fmt.Sprint(want) {
			t.Errorf("asked %+v, want %+v", w.asked, want)
		}
		if w.blocks(who)|w.blocks(jo) != 0 || len(w.kept) != 0 {
			t.Error("something was done already")
		}
		w.ok(w.in.Letter(t.Context(), BySMTP, nil, []byte(person("unsubscribe", ""))))
		if len(w.asked) != 3 {
			t.Errorf("without a return path by SMTP: %+v", w.asked)
		}
		// What could not be handed over is not written down either, and can be given again.
		w.down = true
		rows := w.number(`SELECT count(*) FROM returns`)
		if err := w.in.Letter(t.Context(), ByMailbox, nil, []byte(person("stop", ""))); err == nil || w.number(`SELECT count(*) FROM returns`) != rows {
			t.Errorf("%v, %d rows", err, rows)
		}
		w.down = false
		w.ok(w.in.Letter(t.Context(), ByMailbox, nil, []byte(person("stop", ""))))
		if len(w.asked) != 4 {
			t.Errorf("asked %+v", w.asked)
		}
	})
}

func TestWhatCountsAsAnOptOut(t *testing.T) {
	for _, c := range []struct {
		subject, text string
		want          bool
	}{
		{"Unsubscribe", "", true},
		{"unsubscribe video-podcast-webinar", "", true},
		{"Hello", "STOP", true},
		{"Re: May", "Hi,\n\nPlease unsubscribe me from this list. Thanks, Jo", true},
		{"AW: Mai", "Bitte abmelden!\n\nVon: ACME", true},
		{"Re : Mai", "Merci de me désabonner", true},
		{"Re: May", "take me off your list please", true},
		{"Re: Stop", "What a fine letter", false},
		{"Re: May", "I did unsubscribe yesterday, and it worked", false},
		{"Question", "How do I unsubscribe?", false},
		{"Re: May", "Do not unsubscribe me", false},
		{"Re: May", "I like it.\n> unsubscribe", false},
		{"Re: May", "> unsubscribe", false},
		{"Stop press", "Read this", false},
		{"Unsubscribe rates fell last quarter by four percent", "", false},
	} {
		words, from := optOut([]byte(person(c.subject, c.text)))
		if got := words != ""; got != c.want || got && from != "jo@shop.example" {
			t.Errorf("%q, %q: %q from %q", c.subject, c.text, words, from)
		}
	}
}

func TestByDomainGivesNoSmallDomainAway(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		c := w.campaign()
		for i, email := range []string{"a@big.example", "b@big.example", "c@big.example", "d@big.example", "e@mid.example", "f@mid.example", "g@mid.example", "h@one.example", "i@two.example", "j@two.example"} {
			m := w.sent(c, w.person(email))
			if i == 0 || i == 7 {
				w.letter(m, arf("abuse", ""))
			}
			if i == 1 {
				w.letter(m, hardDSN("1"))
			}
			if i == 4 {
				w.exec(`UPDATE messages SET status = 'deferred' WHERE id = ?`, m)
			}
			if i == 9 {
				w.exec(`UPDATE messages SET status = 'failed', reason = 'refused' WHERE id = ?`, m)
			}
		}
		got, err := ByDomain(t.Context(), db, c, 3)
		w.ok(err)
		want := []Delivery{{"big.example", 4, 3, 0, 0, 1, 1}, {"mid.example", 3, 2, 1, 0, 0, 0}, {"other", 3, 2, 0, 1, 0, 1}}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v", got)
		}
		if got, err = ByDomain(t.Context(), db, c, 4); err != nil || fmt.Sprint(got) != fmt.Sprint([]Delivery{{"big.example", 4, 3, 0, 0, 1, 1}, {"other", 6, 4, 1, 1, 0, 1}}) {
			t.Errorf("got %+v, %v", got, err)
		}
		w.exec(`DELETE FROM messages WHERE contact IN (SELECT id FROM contacts WHERE email LIKE '%two%')`)
		if got, err = ByDomain(t.Context(), db, c, 3); err != nil || len(got) != 2 || got[1].Recipients != 4 {
			t.Errorf("a single small domain stands alone: %+v, %v", got, err)
		}
	})
}
