package main

import (
	"os"
	"strings"
	"testing"
)

// imprint is a company of the group: each writes in a language of its own.
type imprint struct {
	slug, name, language, address, notice string
}

var imprints = []imprint{
	{"hawthorn", "Hawthorn Review", "en", "4 Kiln Lane\nLeeds LS1 4AB\nUnited Kingdom", "Hawthorn Review may write to me about what I ticked. If I tick the box for it, Hawthorn Review may also note which of its mails I open and which links I follow. I can withdraw at any time, in every mail."},
	{"linden", "Lindenblatt Fachverlagsgesellschaft", "de", "Unter den Linden 5\n10117 Berlin\nDeutschland", "Die Lindenblatt Fachverlagsgesellschaft darf mir zu dem schreiben, was ich angekreuzt habe. Kreuze ich das Feld dafür an, darf sie auch festhalten, welche ihrer E-Mails ich öffne und welchen Links ich folge. Ich kann das in jeder E-Mail widerrufen."},
	{"tilleul", "Éditions du Tilleul", "fr", "12 rue des Tilleuls\n69002 Lyon\nFrance", "Les Éditions du Tilleul peuvent m’écrire au sujet de ce que j’ai coché. Si je coche la case prévue, elles peuvent aussi noter quels messages j’ouvre et quels liens je suis. Je peux retirer mon accord à tout moment, dans chaque message."},
}

// found makes the group.
func (s *site) found(t *testing.T) {
	t.Helper()
	for _, h := range imprints {
		s.post(t, "/companies", map[string]any{"slug": h.slug, "name": h.name, "from_domain": h.slug + ".example", "reply_to": "letter@" + h.slug + ".example",
			"privacy_email": "privacy@" + h.slug + ".example", "phone": "+44 1632 960123", "postal_address": h.address, "language": h.language,
			"privacy_url": s.elsewhere.URL + "/privacy", "complaint_url": s.elsewhere.URL + "/complaints"})
		s.post(t, "/notices", map[string]any{"version": h.slug + "-1", "language": h.language, "text": h.notice})
	}
}

// newsletter is a real one, with marks around what is ours in it and a link to our elsewhere.
func (s *site) newsletter(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(root + "/cmd/internal/demo/mails/newsletter.html")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for was, is := range map[string]string{
		"https://www.northwind.example/grants?month=november": s.elsewhere.URL + "/grants",
		"{{ ask_tracking }}": `<div id="ask">{{ ask_tracking }}</div>`,
		"{{ citation }}":     `<div id="citation">{{ citation }}</div>`,
		"{{ footer }}":       `<div id="footer">{{ footer }}</div>`,
	} {
		if !strings.Contains(text, was) {
			t.Fatalf("the newsletter has no %s", was)
		}
		text = strings.ReplaceAll(text, was, is)
	}
	return text
}

// send launches a newsletter of a company to an audience.
func (s *site) launch(t *testing.T, h imprint, audience map[string]any) (campaign string) {
	t.Helper()
	campaign = s.post(t, "/campaigns", map[string]any{"name": "Letter", "company": h.slug, "type": "newsletter", "subject": "What the new rules ask of you",
		"from": h.name + " <news@" + h.slug + ".example>", "audience": audience, "html": s.newsletter(t), "tracking": "consented"})
	s.post(t, "/campaigns/"+campaign+"/launch", nil)
	return campaign
}
