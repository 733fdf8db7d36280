package bounce

import "strings"

// optOuts are what people write who want no more mail, in the form of words.
var optOuts = []string{
	"unsubscribe", "unsubscribe me", "stop", "remove", "remove me", "opt out", "opt me out", "take me off", "take me off your list", "take me off this list", "stop emailing me", "stop sending me emails",
	"no more emails", "do not email me", "do not contact me", "don t email me", "don t contact me",
	"abmelden", "abmeldung", "mich abmelden", "austragen", "abbestellen", "newsletter abbestellen", "keine weiteren e mails", "ich möchte mich abmelden", "bitte löschen sie mich aus dem verteiler",
	"désabonner", "désabonnement", "désabonnez moi", "désinscrire", "désinscription", "désinscrivez moi", "me désabonner", "me désinscrire", "de me désabonner", "de me désinscrire", "je souhaite me désabonner", "je veux me désabonner", "desabonner", "desinscription",
	"darme de baja", "dar de baja", "quiero darme de baja", "cancelar suscripción", "disiscrivimi", "cancellami", "cancellazione", "disiscrizione", "afmelden", "uitschrijven", "avregistrera mig", "afmeld",
}

// courtesies may stand around those.
var courtesies = []string{"please", "pls", "kindly", "hello", "hi", "thanks", "thank you", "bitte", "hallo", "danke", "merci", "bonjour", "s il vous plaît", "svp", "por favor", "gracias", "per favore", "grazie", "alstublieft", "tack"}

// follow are the words that may lead on from them: unsubscribe from this list.
var follow = []string{"from", "newsletter", "your", "this", "vom", "von", "aus", "de", "du", "della", "dalla", "van"}

// optOut reads a letter that is neither a bounce nor an automatic reply: what its writer wrote if they
// ask not to be written to, and who they say they are. It is narrow: what they ask must be the whole
// subject (that of an answer begins with Re: and is ours) or the first thing they say.
func optOut(raw []byte) (words, from string) {
	l := parse(raw)
	if len(l.feedback) > 0 || len(l.status) > 0 || l.fromMailer() || l.aboutDelivery() || l.head.get("List-Id") != "" {
		return "", ""
	}
	from = first(l.head.decoded("From"))
	subject, text := l.head.decoded("Subject"), firstSaid(l.text)
	if asksOut(text) || asksOut(subject) {
		return limit(strings.Join(strings.Fields(subject+" / "+text), " "), maxDiagnostic), from
	}
	return "", ""
}

// firstSaid is the first line of a letter that its writer wrote, up to the end of the sentence.
func firstSaid(text string) string {
	for line := range strings.Lines(limit(text, 4000)) {
		t := strings.TrimSpace(line)
		switch {
		case t == "", salutation(t):
			continue
		case strings.HasPrefix(t, ">"), strings.HasPrefix(t, "--"), strings.HasPrefix(t, "__"):
			return ""
		}
		if i := strings.IndexAny(t, ".!?;"); i > 0 {
			t = t[:i]
		}
		return t
	}
	return ""
}

// salutation reports whether a line greets and says nothing else.
func salutation(line string) bool {
	w := strings.Fields(words(line))
	return len(w) > 0 && len(w) <= 5 && strings.HasSuffix(strings.TrimSpace(line), ",") && !asksOut(line)
}

func asksOut(s string) bool {
	w := trimCourtesies(strings.TrimSpace(words(limit(s, 300))))
	for _, p := range optOuts {
		rest, ok := strings.CutPrefix(w, p)
		if !ok || rest != "" && rest[0] != ' ' {
			continue
		}
		more := strings.Fields(rest)
		if len(more) == 0 {
			return true
		}
		for _, f := range follow {
			if more[0] == f && len(more) <= 8 {
				return true
			}
		}
		// "unsubscribe product-updates" is what our own List-Unsubscribe asks mail programs to write.
		if p == "unsubscribe" && len(more) <= 3 {
			return true
		}
	}
	return false
}

func trimCourtesies(w string) string {
	for again := true; again; {
		again = false
		for _, c := range courtesies {
			if rest, ok := strings.CutPrefix(w, c+" "); ok {
				w, again = rest, true
			}
			if rest, ok := strings.CutSuffix(w, " "+c); ok {
				w, again = rest, true
			}
		}
	}
	return w
}
