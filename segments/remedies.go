package segments

import "beckon/segments/consent"

// remedies say what to do about each reason for which a row was not taken.
var remedies = map[string]string{
	"lone-quote":            `a quote stands alone in a cell: put the cell in quotes and double the quotes within, as in "5"" pipe"`,
	"quote-not-closed":      "a quote is opened and never closed: close it, or double it if it is part of the text",
	"row-too-long":          "the row is longer than 256 kB: look for a quote that is not closed",
	"too-many-columns":      "the row has more cells than the header row: put cells that hold the delimiter in quotes",
	"too-few-columns":       "the row goes over several lines and has fewer cells than the header row: look for a quote that is not closed",
	"file-cut-off":          "the file ends within this row: export it again and send the whole file",
	"not-utf-8":             "the row holds bytes that are not UTF-8, unlike the rest of the file: save the file as UTF-8",
	"missing":               "the email address is blank: fill it in",
	"not-an-address":        "write the address like name@example.com",
	"too-long":              "the cell is too long: shorten it",
	"control-character":     "the cell holds a control character: remove it",
	"not-a-country":         "write the two-letter code of the country, such as GB",
	"not-a-subscriber-kind": "write corporate or individual, or leave it blank",
	"unknown-topic":         "write slugs of the catalogue separated by |, such as transport|social-care",
	"unknown-company":       "write the slug of a company of yours; create the company first",
	"unknown-channel":       "write email, phone or post",
	"unknown-type":          "write slugs of communication types separated by |, such as newsletter|product-updates",
	"unknown-notice":        "write the version of a notice that is stored; store the notice that was shown first",
	"unknown-how":           "write form, page, import, api, phone, email or post",
	"not-yes-or-no":         "write yes or no",
	"not-a-time":            "write the time like 2026-04-01T12:00:00Z",
	"in-the-future":         "the consent cannot have been given later than now: correct the time",
	"consent-incomplete":    "the consent columns come all together or not at all: fill this one in, or leave all of them blank",
	"consent-not-recorded":  "the contact was taken but the ledger did not accept the consent: check the consent columns",
	"attributes-too-big":    "the columns that are no fields hold more than 16 kB together: leave some out",
	"duplicate":             "the address stands in the file before: nothing to do",

	string(consent.UnderAge):   "data of children under 13 is not taken: nothing to do",
	string(consent.Erased):     "the person had their data erased: take the address out of your lists",
	string(consent.Objected):   "the person objected: take the address out of your lists",
	string(consent.Withdrawn):  "the person withdrew consent; only their own sign-up lifts that",
	string(consent.Complained): "the person complained about mail: take the address out of your lists",
	string(consent.Bounced):    "mail to the address comes back: take it out of your lists",
	string(consent.Restricted): "the person had the use of their data restricted: nothing to do",
}

func remedy(reason string) string { return remedies[reason] }
