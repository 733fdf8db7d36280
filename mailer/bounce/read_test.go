package bounce

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

var classes = []Class{Hard, Soft, Sender, Complaint, AutoReply, Other}

// check holds what is true of every report, whatever the bytes.
func check(t interface{ Errorf(string, ...any) }, rep Report, err error) {
	if !slices.Contains(classes, rep.Class) {
		t.Errorf("no class: %q", rep.Class)
	}
	if rep.Reason == "" {
		t.Errorf("no reason for %s", rep.Class)
	}
	if addressForm.MatchString(rep.Diagnostic) || addressForm.MatchString(rep.Reason) || len(rep.Diagnostic) > maxDiagnostic {
		t.Errorf("diagnostic %q, reason %q", rep.Diagnostic, rep.Reason)
	}
	if rep.Class == Hard && strings.HasPrefix(rep.Status, "5.7.") && !hardInPolicy[rep.Status] {
		t.Errorf("policy taken for a dead address: %s", rep.Status)
	}
	if err != nil && !errors.Is(err, ErrEmpty) {
		t.Errorf("%v", err)
	}
}

func TestAnyPieceOfAReportIsReadWithoutPanic(t *testing.T) {
	all := fixtures(t)
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(rt *rapid.T) {
		raw := bytes.Clone(all[rapid.SampledFrom(names).Draw(rt, "fixture")])
		from := rapid.IntRange(0, len(raw)).Draw(rt, "from")
		raw = raw[from:rapid.IntRange(from, len(raw)).Draw(rt, "to")]
		for range rapid.IntRange(0, 4).Draw(rt, "flips") {
			if len(raw) > 0 {
				raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
			}
		}
		rep, err := Read(bytes.NewReader(raw))
		check(rt, rep, err)
	})
}

func TestEveryPrefixOfEveryFixtureIsRead(t *testing.T) {
	for name, raw := range fixtures(t) {
		for n := 0; n < len(raw); n += 17 {
			rep, err := Read(bytes.NewReader(raw[:n]))
			check(t, rep, err)
			if t.Failed() {
				t.Fatal(name, n)
			}
		}
	}
}

func TestOversizedMessagesAreReadInBounds(t *testing.T) {
	var deep strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for name, raw := range map[string]string{
		"nested without end":       deep.String(),
		"the same boundary inside": strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 5000),
		"parts without end":        "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 200000),
		"fields without end":       strings.Repeat("X-A: b\n", 200000) + "\n",
		"one endless folded field": "Subject: x" + strings.Repeat("\n y", 200000),
		"one endless line":         "From: mailer-daemon\n\n" + strings.Repeat("550 user unknown ", 100000),
		"replies without end":      "From: mailer-daemon\n\n" + strings.Repeat("550 x\n451 y\n", 100000),
		"blocks without end":       "Content-Type: message/delivery-status\n\n" + strings.Repeat("Action: failed\nStatus: 5.0.0\n\n", 50000),
		"tags without end":         "From: mailer-daemon\nContent-Type: text/html\n\n" + strings.Repeat("<style><", 50000),
		"json without end":         "From: x@y.example\n\n" + strings.Repeat(`{"a":[`, 100000),
	} {
		rep, err := Read(strings.NewReader(raw))
		check(t, rep, err)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	r := &counting{}
	if _, err := Read(r); err != nil || r.n > MaxSize+1<<20 {
		t.Error(err, r.n)
	}
}

// counting is a message that never ends.
type counting struct{ n int }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

func TestAReaderThatFailsStillGivesWhatWasRead(t *testing.T) {
	broken := errors.New("the line went dead")
	raw := fixtures(t)["01-postfix-user-unknown"]
	rep, err := Read(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || rep.Class != Hard {
		t.Error(rep.Class, err)
	}
	if rep, err := Read(strings.NewReader(" \r\n")); !errors.Is(err, ErrEmpty) || rep.Class != Other {
		t.Error(rep, err)
	}
}

func TestLineEndingsDoNotMatter(t *testing.T) {
	for name, raw := range fixtures(t) {
		lf := read(t, strings.ReplaceAll(string(raw), "\r\n", "\n"))
		if crlf := read(t, string(raw)); fmt.Sprint(lf) != fmt.Sprint(crlf) {
			t.Errorf("%s: %v and %v", name, lf, crlf)
		}
	}
}

// What Read returns for a forged report is all it can return: the claim. The test stands for the
// rule of the package comment, that the caller acts on its own token alone.
func TestAForgedReportIsReadLikeAnyOtherAndCarriesNoToken(t *testing.T) {
	rep := read(t, "From: mailer-daemon@evil.example\nTo: bounces@acme.example\nSubject: Undeliverable\n\n<victim@shop.example>: 550 5.1.1 user unknown\n")
	if rep.Class != Hard || rep.Recipient != "victim@shop.example" {
		t.Errorf("%+v", rep)
	}
	o := rep.Original
	if o.MessageID+o.EnvelopeID+o.FeedbackID+o.ListUnsubscribe != "" || len(o.Headers) != 0 || !slices.Equal(rep.To, []string{"bounces@acme.example"}) {
		t.Errorf("%+v", rep)
	}
}

func FuzzRead(f *testing.F) {
	for _, raw := range fixtures(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		rep, err := Read(bytes.NewReader(raw))
		check(t, rep, err)
	})
}
