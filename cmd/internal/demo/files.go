package demo

import (
	"bytes"
	"encoding/csv"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
)

// upload is one file as it reaches the import: with the mess of the program that wrote it.
type upload struct {
	name    string
	source  string // slug; empty for our own contacts
	mapping string // JSON
	body    []byte
	rows    int // data rows
	bad     int // of these, rows that an import must reject
}

// firstProvider is semicolons with a byte order mark, German-style headings and two broken rows.
func (c *Cast) firstProvider() upload {
	rows := [][]string{{"E-Mail", "Name", "Firma", "Land", "Telefon", "Position", "Art"}}
	for _, p := range c.First {
		rows = append(rows, []string{strings.ToUpper(p.Email[:1]) + p.Email[1:], p.Name, p.Company, p.Country, p.Phone, p.JobTitle, p.Kind})
	}
	rows = append(rows, []string{"no address here", "Broken Row", "", "", "", "", ""}, []string{"", "Missing Address", "Nowhere", "GB", "", "", "corporate"})
	return upload{
		name: "fairlist-2026.csv", source: "fairlist",
		mapping: `{"email":"E-Mail","name":"Name","company":"Firma","country":"Land","phone":"Telefon","job_title":"Position","subscriber_kind":"Art"}`,
		body:    append([]byte("\ufeff"), write(rows, ';')...), rows: len(rows) - 1, bad: 2,
	}
}

// secondProvider is UTF-16 with tabs, as spreadsheets save it.
func (c *Cast) secondProvider() (upload, error) {
	rows := [][]string{{"email", "name", "company", "country", "phone", "job_title", "subscriber_kind", "Employees"}}
	for i, p := range c.Second {
		size := "11-50"
		if i%3 == 0 {
			size = "51-\n250" // a quoted line break inside a cell
		}
		rows = append(rows, []string{p.Email, p.Name, p.Company, p.Country, p.Phone, p.JobTitle, p.Kind, size})
	}
	body, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes(write(rows, '\t'))
	return upload{name: "northdata.tsv", source: "northdata", mapping: "{}", body: body, rows: len(rows) - 1}, err
}

// form is the export of a sign-up form that recorded a confirmed consent with each row.
func (c *Cast) form(company, notice string, confirmed time.Time) upload {
	rows := [][]string{{"email", "name", "company", "country", "phone", "job_title", "topics",
		"consent_company", "consent_channel", "consent_types", "consent_tracking", "consent_notice", "consent_how", "consent_at"}}
	for i, p := range c.Form {
		tracking := "no"
		if p.Tracking {
			tracking = "yes"
		}
		rows = append(rows, []string{p.Email, p.Name, p.Company, p.Country, p.Phone, p.JobTitle, strings.Join(p.Topics, "|"),
			company, p.Channel, strings.Join(p.Types, "|"), tracking, notice, "form", confirmed.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339)})
	}
	rows = append(rows, []string{"someone@later.example", "From The Future", "", "GB", "", "", "", company, "email", "newsletter", "yes", notice, "form", confirmed.AddDate(10, 0, 0).UTC().Format(time.RFC3339)})
	return upload{name: "sign-up-form.csv", mapping: "{}", body: write(rows, ','), rows: len(rows) - 1, bad: 1}
}

func write(rows [][]string, comma rune) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Comma, w.UseCRLF = comma, true
	_ = w.WriteAll(rows) // a bytes.Buffer takes everything
	return b.Bytes()
}
