package bounce

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden verdicts")

// fixtures are the messages of testdata by name.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(names) == 0 {
		t.Fatal("no fixtures", err)
	}
	m := map[string][]byte{}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		m[strings.TrimSuffix(filepath.Base(n), ".eml")] = b
	}
	return m
}

func read(t testing.TB, raw string) Report {
	t.Helper()
	rep, err := Read(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestEveryFixtureGetsItsWholeGoldenVerdict(t *testing.T) {
	got := map[string]Report{}
	for name, raw := range fixtures(t) {
		got[name] = read(t, string(raw))
	}
	const golden = "testdata/verdicts.json"
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Report{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Errorf("%d verdicts for %d fixtures", len(want), len(got))
	}
	for name := range got {
		g, _ := json.MarshalIndent(got[name], "", "  ")
		w, _ := json.MarshalIndent(want[name], "", "  ")
		if string(g) != string(w) {
			t.Errorf("%s: got %s\nwant %s", name, g, w)
		}
	}
}

func TestOneStatementOfAServer(t *testing.T) {
	for _, c := range []struct {
		name, field, said string
		want              Class
		status            string
		code              int
	}{
		{"no such user is hard", "5.1.1", "550 5.1.1 no such user here", Hard, "5.1.1", 550},
		{"an unspecific status with plain words is hard", "5.0.0", "550 Unknown user", Hard, "5.0.0", 550},
		{"a temporary code keeps even an unknown user soft", "", "450 4.1.1 user unknown in relay table", Soft, "4.1.1", 450},
		{"a full mailbox is soft though permanent", "5.2.2", "552 5.2.2 mailbox full", Soft, "5.2.2", 552},
		{"any 5.7.x is the sender's", "5.7.1", "550 5.7.1 user unknown", Sender, "5.7.1", 550},
		{"a bare 5.7.x is the sender's", "5.7.0", "", Sender, "5.7.0", 0},
		{"a disabled account coded 5.7.13 is hard", "5.7.13", "525 5.7.13 Disabled recipient address", Hard, "5.7.13", 525},
		{"a 5.7.1 that will pass is soft", "5.7.1", "550 5.7.1 user temporarily locked, try again later", Soft, "5.7.1", 550},
		{"a temporary refusal for reputation is the sender's", "4.7.0", "421 4.7.0 deferred due to user complaints", Sender, "4.7.0", 421},
		{"a letter too large is the sender's", "5.3.4", "552 5.3.4 message too large", Sender, "5.3.4", 552},
		{"a bad sender address is the sender's", "5.1.8", "553 5.1.8 domain of sender address does not exist", Sender, "5.1.8", 553},
		{"a status alone decides", "5.1.10", "", Hard, "5.1.10", 0},
		{"a dead domain called 4.0.0 is hard", "4.0.0", "DNS Error: NXDOMAIN domain name not found", Hard, "4.0.0", 0},
		{"a dead domain behind a temporary reply stays soft", "4.0.0", "451 4.0.0 domain name not found", Soft, "4.0.0", 451},
		{"a DNS answer that is broken says nothing of the address", "5.4.4", "Name service error: Malformed or unexpected name server reply", Soft, "5.4.4", 0},
		{"words in the recipient's name do not count", "5.0.0", "550 <user-unknown.spam@shop.example> refused", "", "5.0.0", 550},
		{"words in a URL do not count", "5.0.0", "554 refused, see https://isp.example/spam/user-unknown", "", "5.0.0", 554},
		{"an IP address is no status code", "", "refused by 10.5.1.1 today", "", "", 0},
		{"silence states nothing", "", "", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.field, c.said)
			if v.class != c.want || v.status != c.status || v.code != c.code {
				t.Errorf("got %q %s %d (%s)", v.class, v.status, v.code, v.reason)
			}
		})
	}
}

func TestAutomaticRepliesAreNoBounces(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       Class
	}{
		{"Auto-Submitted: auto-replied", "Auto-Submitted: auto-replied", AutoReply},
		{"Auto-Submitted with a parameter", "Auto-Submitted: auto-replied; owner-email=\"a@b.example\"", AutoReply},
		{"Auto-Submitted: no is a person", "Auto-Submitted: no", Other},
		{"Precedence: auto_reply", "Precedence: auto_reply", AutoReply},
		{"Precedence: bulk says nothing", "Precedence: bulk", Other},
		{"X-Autoreply", "X-Autoreply: yes", AutoReply},
		{"X-Autoreply: no", "X-Autoreply: no", Other},
		{"a vacation subject", "Subject: Out of Office: Spring prices", AutoReply},
		{"a vacation subject in another tongue, encoded", "Subject: =?utf-8?Q?R=C3=A9ponse_automatique_:_Prix?=", AutoReply},
		{"a postmaster on holiday", "From: postmaster@shop.example\nAuto-Submitted: auto-replied\nSubject: Automatic reply: Spring prices", AutoReply},
		{"a subject that only mentions it", "Subject: Our new out of office templates", Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			if rep := read(t, c.head+"\nFrom: Anna <anna@shop.example>\n\nMailbox full? No, I am away.\n"); rep.Class != c.want {
				t.Errorf("got %s: %s", rep.Class, rep.Reason)
			}
		})
	}
}

func TestPhrasesAreWrittenInTheFormTheyAreComparedIn(t *testing.T) {
	lists := [][]string{cutMarks, deliverySubjects, bounceOpenings, awaySubjects}
	for _, p := range phrases {
		lists = append(lists, []string{p.words})
	}
	for _, l := range lists {
		for _, p := range l {
			if w := words(p); strings.TrimSpace(w) != strings.TrimSpace(p) || !strings.HasPrefix(p, " ") {
				t.Errorf("%q can never match: written as %q it would", p, w)
			}
		}
	}
}

func TestAddressesAreRemoved(t *testing.T) {
	for _, c := range []struct{ in, who, want string }{
		{"550 <anna@shop.example> unknown", "", "550 <…> unknown"},
		{"550 Unknown user ANNA", "anna@shop.example", "550 Unknown user …"},
		{"see ?to=anna%40shop.example now", "", "see … now"},
		{"two\nlines\tand\x00zero", "", "two lines and zero"},
		{"550 information", "info@shop.example", "550 information"},
	} {
		if got := redact(c.in, c.who); got != c.want {
			t.Errorf("redact(%q, %q) = %q, want %q", c.in, c.who, got, c.want)
		}
	}
	if got := redact(strings.Repeat("é", 1000), ""); len(got) > maxDiagnostic {
		t.Error("not limited:", len(got))
	}
}

func TestAPersonsLetterIsNoReport(t *testing.T) {
	for name, body := range map[string]string{
		"to-do lines":       "Action: please call me\nStatus: open\n",
		"a code in a price": "Lot 550 5 pieces, 451 in stock.\n",
		"a quoted cause":    "> Spring prices\nMy old address is unknown to you, user unknown it said.\n",
	} {
		if rep := read(t, "From: Anna <anna@shop.example>\nSubject: Re: Spring prices\n\n"+body); rep.Class != Other {
			t.Errorf("%s: %s, %s", name, rep.Class, rep.Reason)
		}
	}
}
