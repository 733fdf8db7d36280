package mailer_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema/servertest"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-msgauth/dkim"
)

// TestStrangersTakeOurMail sends each newsletter to somebody in a segment and to somebody of a provider's
// list, signed, and holds what arrives against what receivers ask of bulk mail. With BECKON_CORPUS it does
// so with every template below it, and asks programs that know nothing of ours: Mail::DKIM whether the
// signature is good, and SpamAssassin, with its local rules, how it likes the mail.
func TestStrangersTakeOurMail(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d, err := queue.NewDKIM("acme.example", "s1", key)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, servertest.SQLite(t))
	w.options.DKIM, w.options.BaseURL, w.options.K = []*queue.DKIM{d}, "https://mail.acme.example", 1
	w.optIn(w.person("ann@people.example", "", ""), true)
	w.source("fair")
	w.person("ben@works.example", "fair", "corporate")
	m := mailer.New(w.options)
	w.run(m)
	segment := w.everybody()
	var scores []float64
	for _, path := range newsletterFiles(t) {
		html, err := os.ReadFile(path)
		w.ok(err)
		name := filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
		for to, audience := range map[string]mailer.Audience{"ann@people.example": segment, "ben@works.example": {Source: "fair"}} {
			draft := w.draft(audience)
			draft.HTML, draft.Subject, draft.Preheader = string(html), "What is new in May", "Dates, places and people"
			w.untilFinished(m, w.launch(m, draft))
			all := w.relay.to(to)
			letter := all[len(all)-1]
			if to == "ben@works.example" {
				for part, body := range map[string]string{"HTML": letter.html, "text": letter.text} {
					if !strings.Contains(body, "FAIR Data Ltd") || !strings.Contains(body, "https://fair.example/transparency") {
						t.Errorf("%s: the %s part does not cite the source", name, part)
					}
				}
			}
			lintMail(t, name, letter, d)
			if os.Getenv("BECKON_CORPUS") != "" {
				score, why := strangers(t, name, letter.raw, d)
				ours := strings.HasPrefix(name, "corpus/") // an image in less than 3,200 bytes of HTML costs more than 2 points
				if scores = append(scores, score); score >= 2 && !ours {
					t.Errorf("%s: SpamAssassin says %.1f: %s", name, score, why)
				}
			}
		}
	}
	if len(scores) > 0 {
		slices.Sort(scores)
		t.Logf("%d mails verified by Mail::DKIM; SpamAssassin: %.1f at least, %.1f in the middle, %.1f at most", len(scores), scores[0], scores[len(scores)/2], scores[len(scores)-1])
	}
}

// newsletterFiles are ours and those below BECKON_CORPUS.
func newsletterFiles(t *testing.T) []string {
	files, err := filepath.Glob("compose/testdata/corpus/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	if root := os.Getenv("BECKON_CORPUS"); root != "" {
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".html" {
				files = append(files, path)
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// lintMail holds a mail as it arrived against RFC 5322, 2045, 8058 and 6376.
func lintMail(t *testing.T, name string, l letter, d *queue.DKIM) {
	t.Helper()
	bad := func(format string, args ...any) { t.Errorf("%s: "+format, append([]any{name}, args...)...) }
	for i, line := range strings.Split(strings.TrimSuffix(string(l.raw), "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			bad("line %d has %d bytes, or a bare CR or LF", i+1, len(line))
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			bad("line %d is not ASCII", i+1)
		}
	}
	for _, field := range []string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-Id", "Dkim-Signature"} {
		if n := len(l.head[field]); n != 1 {
			bad("%d fields %s", n, field)
		}
	}
	if v := l.head.Get("List-Unsubscribe"); !strings.HasPrefix(v, "<https://mail.acme.example/u/") || l.head.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		bad("List-Unsubscribe: %s", v)
	}
	parts := map[string]int{}
	if r, err := mail.CreateReader(bytes.NewReader(l.raw)); err != nil {
		bad("%v", err)
	} else {
		for p, err := r.NextPart(); err == nil; p, err = r.NextPart() {
			kind, params, _ := p.Header.(*mail.InlineHeader).ContentType()
			if parts[kind]++; !strings.EqualFold(params["charset"], "utf-8") {
				bad("part %s has charset %q", kind, params["charset"])
			}
		}
	}
	if len(parts) != 2 || parts["text/plain"] != 1 || parts["text/html"] != 1 {
		bad("parts %v", parts)
	}
	for part, body := range map[string]string{"HTML": l.html, "text": l.text} {
		for _, want := range []string{"https://mail.acme.example/u/", "https://mail.acme.example/p/", "1 High Street", "https://acme.example/privacy"} {
			if !strings.Contains(body, want) {
				bad("the %s part lacks %s", part, want)
			}
		}
	}
	found, err := dkim.VerifyWithOptions(bytes.NewReader(l.raw), &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) { return []string{d.Record()}, nil }})
	if err != nil || len(found) != 1 || found[0].Err != nil {
		bad("DKIM: %+v, %v", found, err)
		return
	}
	for _, field := range []string{"From", "List-Unsubscribe", "List-Unsubscribe-Post"} {
		if !slices.ContainsFunc(found[0].HeaderKeys, func(k string) bool { return strings.EqualFold(k, field) }) {
			bad("%s is not signed", field)
		}
	}
}

// verifyDKIM asks Mail::DKIM, with the key's record in place of the DNS.
const verifyDKIM = `use Mail::DKIM::Verifier; no warnings "redefine";
*Mail::DKIM::PublicKey::fetch_async = sub { my ($c, %p) = @_; my $k = $c->parse($ENV{RECORD}); $k->check; $p{Callbacks}{Success}->($k); return sub { $k } };
my $v = Mail::DKIM::Verifier->new(); { local $/; $v->PRINT(scalar <STDIN>); } $v->CLOSE; print $v->result;`

var spamStatus = regexp.MustCompile(`(?s)X-Spam-Status: \w+, score=(-?[\d.]+).*?tests=(.*?)\n\S`)

func strangers(t *testing.T, name string, raw []byte, d *queue.DKIM) (score float64, why string) {
	t.Helper()
	ask := func(env string, program string, args ...string) string {
		c := exec.Command(program, args...)
		c.Env, c.Stdin = append(os.Environ(), env), bytes.NewReader(raw)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
		return string(out)
	}
	if got := ask("RECORD="+d.Record(), "perl", "-e", verifyDKIM); got != "pass" {
		t.Errorf("%s: Mail::DKIM says %q", name, got)
	}
	status := spamStatus.FindStringSubmatch(ask("", "spamassassin", "-L"))
	if status == nil {
		t.Fatal("SpamAssassin says nothing")
	}
	score, err := strconv.ParseFloat(status[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return score, cmp.Or(strings.Join(strings.Fields(status[2]), ""), fmt.Sprint(status))
}
