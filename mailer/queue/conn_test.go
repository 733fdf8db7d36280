package queue

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/textproto"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestJudgement(t *testing.T) {
	reply := func(code int, text string) error { return &textproto.Error{Code: code, Msg: text} }
	for _, c := range []struct {
		name string
		at   stage
		err  error
		want verdict
	}{
		{"a temporary refusal is tried again", atRcpt, reply(450, "4.2.0 greylisted"), verdict{status: Deferred, reason: ReasonTemporary, code: 450, reply: "4.2.0 greylisted"}},
		{"even after the dot", atDot, reply(451, "4.3.0 queue full"), verdict{status: Deferred, reason: ReasonTemporary, code: 451, reply: "4.3.0 queue full"}},
		{"no such mailbox is a bounce", atRcpt, reply(550, "5.1.1 <ann@example.org> unknown"), verdict{status: Failed, reason: ReasonRefused, code: 550, reply: "5.1.1 <…> unknown", bounced: true}},
		{"and so it is after the dot", atDot, reply(550, "5.1.10 null MX"), verdict{status: Failed, reason: ReasonRefused, code: 550, reply: "5.1.10 null MX", bounced: true}},
		{"a full mailbox is no bounce", atRcpt, reply(552, "5.2.2 full"), verdict{status: Failed, reason: ReasonRefused, code: 552, reply: "5.2.2 full"}},
		{"a refusal without a status code is no bounce", atRcpt, reply(550, "no"), verdict{status: Failed, reason: ReasonRefused, code: 550, reply: "no"}},
		{"policy is the sender's fault", atRcpt, reply(550, "5.7.1 blocked"), verdict{status: Failed, reason: ReasonRefused, code: 550, reply: "5.7.1 blocked", policy: true}},
		{"what is refused at MAIL is the sender's fault, whatever the code", atMail, reply(550, "5.1.1 who are you"), verdict{status: Failed, reason: ReasonRefused, code: 550, reply: "5.1.1 who are you", policy: true}},
		{"a broken connection before the dot is tried again", atData, io.ErrUnexpectedEOF, verdict{status: Deferred, reason: ReasonNetwork, reply: "unexpected EOF"}},
		{"a broken connection after the dot leaves it unknown", atDot, io.EOF, verdict{status: Unknown, reason: ReasonNoAnswer, reply: "EOF"}},
		{"so does an answer that is none", atDot, reply(354, "go on"), verdict{status: Unknown, reason: ReasonNoAnswer, reply: `354 "go on"`}},
		{"and one that cannot be read", atDot, textproto.ProtocolError("short response: ?"), verdict{status: Unknown, reason: ReasonNoAnswer, reply: "short response: ?"}},
	} {
		if got := judge(c.at, c.err); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestStoredRepliesHoldNoAddress(t *testing.T) {
	for _, c := range []struct{ reply, want string }{
		{"5.1.1 <ann.smith@example.org>: Recipient address rejected", "5.1.1 <…>: Recipient address rejected"},
		{"user ann.smith not found\nsee http://relay/?to=ann.smith", "user … not found see http://relay/?to=…"},
		{"other.person@elsewhere.test is no good", "… is no good"},
		{"bounces+abc=@out.example said \"x@y\"", "… said \"…\""},
		{"\xff\x00bell\a", "� bell"},
		{strings.Repeat("é", 400), strings.Repeat("é", 150) + "…"},
	} {
		if got := strings.Join(strings.Fields(scrub(c.reply, "ann.smith@example.org")), " "); got != c.want {
			t.Errorf("%q is stored as %q, want %q", c.reply, got, c.want)
		}
	}
}

func TestDotsAreDoubledAndTheMessageEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringOf(rapid.RuneFrom([]rune{'.', 'a', ' ', 'é'}))).Draw(t, "lines")
		msg := []byte(strings.Join(lines, "\r\n"))
		wire, err := dotted(nil, msg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(textproto.NewReader(bufio.NewReader(bytes.NewReader(wire))).DotReader())
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n"))
		if len(want) > 0 && want[len(want)-1] != '\n' {
			want = append(want, '\n')
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q arrives as %q", want, got)
		}
		if bytes.Contains(bytes.TrimSuffix(wire, []byte(".\r\n")), []byte("\n.\r\n")) {
			t.Fatalf("%q ends early", wire)
		}
	})
}

func TestMessagesThatCouldSmuggleAreNotSent(t *testing.T) {
	for _, msg := range []string{"a\r.\r\nb", "a\rb\r\n", "a\x00b\r\n", strings.Repeat("a", 999) + "\r\n"} {
		if _, err := dotted(nil, []byte(msg)); err == nil {
			t.Errorf("%.20q was taken", msg)
		}
	}
	if got, err := dotted(nil, []byte("a\nb")); err != nil || string(got) != "a\r\nb\r\n.\r\n" {
		t.Errorf("bare line feeds become %q, %v", got, err)
	}
}

func TestRemediesNameTheRelayAndSayWhatToDo(t *testing.T) {
	r := &Relay{Host: "relay.example", Port: 2525, user: "u", password: "hunter2"}
	for _, err := range []error{errNoStartTLS, io.EOF, &authError{errors.New("535 no")}, &textproto.Error{Code: 554, Msg: "go away ann@example.org"}, errors.New("odd")} {
		got := r.remedy(err)
		if !strings.HasPrefix(got, "relay relay.example:2525 ") || strings.Contains(got, "hunter2") || strings.Contains(got, "ann@") || !strings.Contains(got, "Nothing is lost") {
			t.Errorf("%v is told as %q", err, got)
		}
	}
}
