package compose

import "strings"

// wording is what Beckon itself says in a mail. The words Unsubscribe and Preferences are promised to
// every reader, so other languages keep them beside their own.
type wording struct {
	why          string // company, type
	unsubscribe  string
	preferences  string
	privacy      string
	complaint    string
	contact      string
	cite         string
	citePrivacy  string
	citeTransp   string
	citeObject   string
	ask, askLink string
}

var wordings = map[string]wording{
	"en": {
		why:         "You receive this mail because your address is on the list of {company} for: {type}.",
		unsubscribe: "Unsubscribe",
		preferences: "Preferences",
		privacy:     "Privacy policy",
		complaint:   "Make a complaint",
		contact:     "Questions and complaints",
		cite:        "We received your contact details from",
		citePrivacy: "privacy policy",
		citeTransp:  "transparency policy",
		citeObject:  "You can object to this at any time: choose Unsubscribe.",
		ask:         "Nobody follows what you open or click in our mails, because you have not agreed to it. If you would like mails that suit you better, you can allow it.",
		askLink:     "Choose in your Preferences",
	},
	"de": {
		why:         "Sie erhalten diese E-Mail, weil Ihre Adresse auf dem Verteiler von {company} steht für: {type}.",
		unsubscribe: "Abmelden (Unsubscribe)",
		preferences: "Einstellungen (Preferences)",
		privacy:     "Datenschutzerklärung",
		complaint:   "Beschwerde einreichen",
		contact:     "Fragen und Beschwerden",
		cite:        "Ihre Kontaktdaten haben wir erhalten von",
		citePrivacy: "Datenschutzerklärung",
		citeTransp:  "Angaben zur Transparenz",
		citeObject:  "Sie können dem jederzeit widersprechen: wählen Sie „Abmelden (Unsubscribe)“.",
		ask:         "Niemand verfolgt, was Sie in unseren E-Mails öffnen oder anklicken, denn Sie haben dem nicht zugestimmt. Wenn Sie E-Mails möchten, die besser zu Ihnen passen, können Sie es erlauben.",
		askLink:     "In den Einstellungen (Preferences) wählen",
	},
	"fr": {
		why:         "Vous recevez ce message parce que votre adresse figure sur la liste de {company} pour : {type}.",
		unsubscribe: "Se désabonner (Unsubscribe)",
		preferences: "Préférences (Preferences)",
		privacy:     "Politique de confidentialité",
		complaint:   "Déposer une réclamation",
		contact:     "Questions et réclamations",
		cite:        "Vos coordonnées nous ont été fournies par",
		citePrivacy: "politique de confidentialité",
		citeTransp:  "politique de transparence",
		citeObject:  "Vous pouvez vous y opposer à tout moment : choisissez « Se désabonner (Unsubscribe) ».",
		ask:         "Personne ne suit ce que vous ouvrez ou cliquez dans nos messages, car vous n’y avez pas consenti. Si vous souhaitez des messages qui vous conviennent mieux, vous pouvez l’autoriser.",
		askLink:     "Choisir dans vos préférences (Preferences)",
	},
}

// wordsFor returns the wording for a language tag such as de or de-AT; English if there is none.
func wordsFor(language string) wording {
	primary, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(language, "_", "-")), "-")
	if w, ok := wordings[primary]; ok {
		return w
	}
	return wordings["en"]
}

func (w wording) whyText(company, typeName string) string {
	return strings.NewReplacer("{company}", company, "{type}", typeName).Replace(w.why)
}
