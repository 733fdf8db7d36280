package compose

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func corpusFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/corpus/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whole mails, to the byte.
func TestGoldenMails(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*Spec, *Recipient)
	}{
		{"01-identified-cited", func(s *Spec, r *Recipient) {
			s.HTML = corpusFile(t, "01-letter.html")
			s.Subject, s.Preheader = "A letter for {{ name }}", "What you told us in spring & what we make of it"
		}},
		{"02-anonymous-invited-de", func(s *Spec, r *Recipient) {
			s.HTML = corpusFile(t, "02-digest.html")
			s.Subject, s.From, s.ReplyTo = "Gebäude im Überblick: Kessel, Aufzüge, Dächer und was sonst noch zu tun ist", "Müller & Söhne <brief@acme.example>", "antwort@acme.example"
			s.Company.Name, s.Company.Language, s.Company.ComplaintURL = "Müller & Söhne GmbH", "de-AT", ""
			r.Mode, r.Name, r.Cite = Anonymous, "Jürgen \"Jo\" Groß", nil
			r.Fields["name"] = "Jürgen <Jo> Groß"
		}},
		{"03-strict-control-flow-fr", func(s *Spec, r *Recipient) {
			s.HTML = corpusFile(t, "03-event.html")
			s.Text = "Bonjour {{ name }},\r\n\r\nLe programme : https://events.example.com/hospital-2026?a=1&b=2.\r\n{% if company %}À bientôt chez {{ company }} !{% endif %}\r\n\r\n{{ citation }}\r\n"
			s.Subject, s.Tracking, s.Company.Language = "{% if company %}{{ company }} : {% endif %}l’événement", TrackStrict, "fr"
			r.Mode, r.Why = Anonymous, "Vous avez demandé ce programme le 3 mai 2026."
		}},
		{"04-off-fragment", func(s *Spec, r *Recipient) {
			s.HTML, s.Tracking = corpusFile(t, "05-fragment.html"), TrackOff
			r.Name, r.Cite = "", nil
		}},
		{"05-parameters-and-honeypot", func(s *Spec, r *Recipient) {
			s.HTML = corpusFile(t, "02-digest.html")
			s.UTM, s.Honeypot = UTM{Source: "beckon", Medium: "email", Campaign: "Frühjahr & Sommer"}, s.Company.PrivacyURL
			r.Cite = nil
		}},
		{"06-parameters-in-plain-links", func(s *Spec, r *Recipient) {
			s.HTML, s.Tracking = corpusFile(t, "02-digest.html"), TrackStrict
			s.UTM, s.Honeypot = UTM{Source: "beckon", Medium: "email", Campaign: "Frühjahr & Sommer"}, s.Company.PrivacyURL
			r.Mode, r.Cite = Anonymous, nil
		}},
	} {
		spec, r := testSpec(), testRecipient()
		c.make(&spec, &r)
		tpl := mustCompile(t, spec)
		got, err := tpl.Fill(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := tpl.Check(got, r); err != nil {
			t.Error(c.name, err)
		}
		readMail(t, got)
		path := "testdata/" + c.name + ".eml"
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			gotLines, wantLines := strings.Split(string(got), "\r\n"), strings.Split(string(want), "\r\n")
			for i := range min(len(gotLines), len(wantLines)) {
				if gotLines[i] != wantLines[i] {
					t.Errorf("%s line %d:\n%s\nwant\n%s", path, i+1, gotLines[i], wantLines[i])
					break
				}
			}
			t.Errorf("%s differs: %d lines, want %d (-update rewrites it)", path, len(gotLines), len(wantLines))
		}
	}
}
