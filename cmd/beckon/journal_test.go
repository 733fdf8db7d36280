package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"beckon/cmd/internal/demo"
)

// since is something that somebody says after the backup was made.
type since struct {
	who    string
	say    func(h *premises, who string, before, after *demo.Caught) // mails sent before the backup and after it
	erased bool
}

// noesSince must all hold after the restore.
var noesSince = map[string]since{
	"leaves with the link of a mail that the backup does not know": {who: "p1@people.example", say: func(h *premises, _ string, _, after *demo.Caught) { h.unsubscribe(after) }},
	"came after the backup, and left":                              {who: "new0@people.example", erased: true, say: func(h *premises, _ string, _, after *demo.Caught) { h.unsubscribe(after) }},
	"leaves with the link of a mail from before the backup":        {who: "p0@people.example", say: func(h *premises, _ string, before, _ *demo.Caught) { h.unsubscribe(before) }},
	"objects on the preferences page": {who: "p2@people.example", say: func(h *premises, who string, _, after *demo.Caught) {
		if status, body := h.submit(h.link(after, "p"), url.Values{"do": {"object"}}); status != http.StatusOK {
			h.t.Fatalf("%s objects: %d %s", who, status, body)
		}
	}},
	"unticks the newsletter on the preferences page": {who: "p3@people.example", say: func(h *premises, who string, before, _ *demo.Caught) {
		if status, body := h.submit(h.link(before, "p"), url.Values{"do": {"save"}, "shown": {"type/acme/email/newsletter"}}); status != http.StatusOK {
			h.t.Fatalf("%s saves: %d %s", who, status, body)
		}
	}},
	"opts out through the API": {who: "p4@people.example", say: func(h *premises, who string, _, _ *demo.Caught) {
		h.say(who, `{"action":"withdraw","company":"acme","channel":"email","types":["newsletter"],"how":"api"}`)
	}},
	"says no on the phone": {who: "p5@people.example", say: func(h *premises, who string, _, _ *demo.Caught) { h.say(who, `{"action":"object","how":"phone"}`) }},
	"is restricted":        {who: "p6@people.example", say: func(h *premises, who string, _, _ *demo.Caught) { h.say(who, `{"action":"restrict","how":"email"}`) }},
	"is in a file of noes": {who: "p7@people.example", say: func(h *premises, who string, _, _ *demo.Caught) {
		h.must("import", h.write("email\n"+who+"\n"), "--as", "objected")
	}},
	"is in a file of dead addresses": {who: "p8@people.example", say: func(h *premises, who string, _, _ *demo.Caught) {
		h.must("import", h.write("email\n"+who+"\n"), "--as", "bounced")
	}},
	"is erased through the API": {who: "p9@people.example", erased: true, say: func(h *premises, who string, _, _ *demo.Caught) {
		h.post("/contacts/"+h.contact(who)+"/erase", "", nil)
	}},
	"is erased on the command line":         {who: "p10@people.example", erased: true, say: func(h *premises, who string, _, _ *demo.Caught) { h.must("contact", "erase", who) }},
	"came after the backup, and was erased": {who: "new1@people.example", erased: true, say: func(h *premises, who string, _, _ *demo.Caught) { h.must("contact", "erase", who) }},
	"was never held, and is in a file of noes": {who: "stranger@people.example", erased: true, say: func(h *premises, who string, _, _ *demo.Caught) {
		h.must("import", h.write("email\n"+who+"\n"), "--as", "withdrawn")
	}},
}

// TestS26ARestoredDatabaseHearsTheNoesSince: whatever was refused or erased after the backup holds in the
// restored database before anything is sent, also when the address is imported again.
func TestS26ARestoredDatabaseHearsTheNoesSince(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		const people = 14
		first := h.launch(people)
		h.untilStatus(first, "finished")
		h.backup()
		h.imported("new0@people.example", "new1@people.example", "new2@people.example")
		second, _ := h.again("seg_1")
		for name, s := range noesSince {
			var before, after *demo.Caught
			if !strings.HasPrefix(s.who, "new") && !strings.HasPrefix(s.who, "stranger") {
				before = h.mail(first, s.who)
			}
			if !strings.HasPrefix(s.who, "stranger") {
				after = h.mail(second, s.who)
			}
			t.Logf("%s %s", s.who, name)
			s.say(h, s.who, before, after)
		}
		silent := []string{"new0@people.example", "new1@people.example", "new2@people.example"}
		for i := range people {
			silent = append(silent, fmt.Sprintf("p%d@people.example", i))
		}
		for _, s := range noesSince {
			silent = slices.DeleteFunc(silent, func(who string) bool { return who == s.who })
		}
		slices.Sort(silent)
		if _, got := h.again("seg_1"); !slices.Equal(got, silent) {
			t.Fatalf("before the restore a mail went to %v, want %v", got, silent)
		}
		told := h.restore()

		for name, s := range noesSince {
			if held := h.contact(s.who) != ""; held == s.erased {
				t.Errorf("%s %s; held after the restore: %v", s.who, name, held)
			}
		}
		_, got := h.again("seg_1")
		for name, s := range noesSince {
			if slices.Contains(got, s.who) {
				t.Errorf("%s %s, and is mailed after the restore", s.who, name)
			}
		}
		for _, who := range silent {
			if held := !strings.HasPrefix(who, "new"); held && !slices.Contains(got, who) { // the others went with the database
				t.Errorf("%s said nothing, and is not mailed after the restore", who)
			}
		}
		// Whoever imports their list again changes nothing for those who said no, nor for the erased.
		all := slices.Clone(silent)
		for _, s := range noesSince {
			all = append(all, s.who)
		}
		h.imported(all...)
		_, got = h.again("seg_1")
		if !slices.Equal(got, silent) {
			t.Errorf("after another import a mail went to %v, want %v", got, silent)
		}
		if !strings.Contains(told, "Applied from the refusals journal") || !strings.Contains(told, "finished") {
			t.Errorf("told: %s", told)
		}
	})
}
