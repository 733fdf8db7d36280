package segments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// contactRow is a contact as its table holds it.
type contactRow struct {
	ID             id.Contact  `db:"id"`
	Email          string      `db:"email"`
	Name           string      `db:"name"`
	Company        string      `db:"company"`
	Country        string      `db:"country"`
	Phone          string      `db:"phone"`
	JobTitle       string      `db:"job_title"`
	SubscriberKind string      `db:"subscriber_kind"`
	Topics         int64       `db:"topics"`
	Attributes     string      `db:"attributes"`
	OwnAt          schema.Time `db:"own_at"`
	CreatedAt      schema.Time `db:"created_at"`
	UpdatedAt      schema.Time `db:"updated_at"`
}

const contactColumns = `id, email, name, company, country, phone, job_title, subscriber_kind, topics, attributes, own_at, created_at, updated_at`

func getContactRow(ctx context.Context, q schema.Querier, where string, arg any) (contactRow, error) {
	var r contactRow
	err := q.Get(ctx, &r, `SELECT `+contactColumns+` FROM contacts WHERE `+where, arg)
	return r, err
}

// fill takes from other what r lacks and reports whether that was anything.
func (r *contactRow) fill(other contactRow) bool {
	changed := false
	for _, f := range []struct {
		to   *string
		from string
	}{{&r.Name, other.Name}, {&r.Company, other.Company}, {&r.Country, other.Country}, {&r.Phone, other.Phone},
		{&r.JobTitle, other.JobTitle}, {&r.SubscriberKind, other.SubscriberKind}} {
		if *f.to == "" && f.from != "" {
			*f.to, changed = f.from, true
		}
	}
	if r.Topics == 0 && other.Topics != 0 {
		r.Topics, changed = other.Topics, true
	}
	if r.OwnAt == 0 && other.OwnAt != 0 {
		r.OwnAt, changed = other.OwnAt, true
	}
	if other.Attributes == "{}" {
		return changed
	}
	have, added := r.attributes(), false
	for name, v := range other.attributes() {
		if held, ok := have[name]; !ok || held == "" {
			have[name], added = v, true
		}
	}
	if merged := encodeAttributes(have); added && len(merged) <= maxAttributes {
		r.Attributes, changed = merged, true
	}
	return changed
}

func (r *contactRow) update(ctx context.Context, tx *schema.Tx, now schema.Time) error {
	r.UpdatedAt = now
	_, err := tx.Exec(ctx, `UPDATE contacts SET name = ?, company = ?, country = ?, phone = ?, job_title = ?, subscriber_kind = ?,
		topics = ?, attributes = ?, own_at = ?, updated_at = ? WHERE id = ?`,
		r.Name, r.Company, r.Country, r.Phone, r.JobTitle, r.SubscriberKind, r.Topics, r.Attributes, r.OwnAt, now, r.ID)
	return err
}

func (r *contactRow) attributes() map[string]any {
	m := map[string]any{}
	if r.Attributes != "" && r.Attributes != "{}" {
		_ = json.Unmarshal([]byte(r.Attributes), &m)
	}
	return m
}

// email returns the normalised address, or adds why it is none.
func (e *Invalid) email(v string) string {
	address, err := consent.NormaliseEmail(v)
	switch {
	case strings.TrimSpace(v) == "":
		e.add("email", "is missing: give the person's email address")
	case err != nil:
		e.add("email", "is not an email address that mail can be sent to: write it like name@example.com")
	}
	return address
}

// contact checks and tidies the columns that are words.
func (e *Invalid) contact(r *contactRow) {
	for _, f := range []struct {
		name string
		v    *string
	}{{"name", &r.Name}, {"company", &r.Company}, {"country", &r.Country}, {"phone", &r.Phone}, {"job_title", &r.JobTitle}} {
		*f.v = strings.TrimSpace(*f.v)
		e.line(f.name, *f.v)
	}
	country, ok := countryCode(r.Country)
	if !ok {
		e.add("country", "is not a country: write its two-letter code, such as GB")
	}
	r.Country = country
	r.SubscriberKind = strings.ToLower(strings.TrimSpace(r.SubscriberKind))
	if r.SubscriberKind != "" {
		e.oneOf("subscriber_kind", r.SubscriberKind, "corporate", "individual")
	}
}

func (e *Invalid) topics(cat *consent.Catalogue, list []string) int64 {
	if len(list) == 0 {
		return 0
	}
	mask, err := cat.Mask(consent.KindTopic, list)
	if err != nil {
		e.add("topics", unknownSlug(cat, consent.KindTopic, err))
	}
	return mask
}

// unknownSlug says what is wrong with a slug in the words of the catalogue.
func unknownSlug(cat *consent.Catalogue, kind string, err error) string {
	var unknown *consent.ErrUnknownSlug
	if !errors.As(err, &unknown) {
		return "cannot be read: write slugs of the catalogue: " + strings.Join(slugs(cat, kind), ", ")
	}
	return fmt.Sprintf("%s is not in the catalogue: write one of %s", quote(unknown.Slug), strings.Join(slugs(cat, kind), ", "))
}

const (
	maxAttributes     = 16 << 10 // bytes of JSON
	maxAttributeName  = 64       // bytes
	maxAttributeValue = 4 << 10  // bytes
	attributesTooBig  = "hold more than 16 kB together: leave some out"
)

// attributes checks names and values, and drops the nulls.
func (e *Invalid) attributes(m map[string]any, now time.Time) map[string]any {
	out := make(map[string]any, len(m))
	for name, v := range m {
		field := "attributes." + printable(name)
		if problem := attributeNameProblem(name); problem != "" {
			e.add(field, problem)
			continue
		}
		switch v := v.(type) {
		case nil:
			continue
		case string:
			if problem := attributeTextProblem(v); problem != "" {
				e.add(field, problem)
			}
		case float64, int, int64, bool:
		case []any:
			for _, item := range v {
				switch item := item.(type) {
				case float64, bool:
				case string:
					if problem := attributeTextProblem(item); problem != "" {
						e.add(field, problem)
					}
				default:
					e.add(field, "must be a list of texts or numbers")
				}
			}
		default:
			e.add(field, "must be a text, a number, true, false or a list of these")
		}
		if under13(name, fmt.Sprint(v), now) {
			e.add(field, "says that the person is under 13: data of children is not taken")
		}
		out[name] = v
	}
	if len(encodeAttributesSafe(out)) > maxAttributes {
		e.add("attributes", attributesTooBig)
	}
	return out
}

func encodeAttributesSafe(m map[string]any) []byte {
	b, _ := json.Marshal(m)
	return b
}

func attributeNameProblem(name string) string {
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return "must have a name without blanks around it"
	case len(name) > maxAttributeName:
		return fmt.Sprintf("has a name of more than %d bytes: shorten it", maxAttributeName)
	case !utf8.ValidString(name) || strings.ContainsAny(name, `"\`) || strings.ContainsFunc(name, unicode.IsControl):
		return "has a name with a quote, a backslash or a control character: rename it"
	}
	return ""
}

func attributeTextProblem(v string) string {
	switch {
	case len(v) > maxAttributeValue:
		return fmt.Sprintf("is longer than %d bytes: shorten it", maxAttributeValue)
	case !utf8.ValidString(v):
		return "is not valid UTF-8: save the text as UTF-8"
	}
	for _, c := range v {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return "holds a control character: remove it"
		}
	}
	return ""
}

var birthNames = map[string]bool{"birthdate": true, "dateofbirth": true, "birthday": true, "dob": true, "bornon": true}

// under13 reports whether an attribute declares a child: an age, or a whole date of birth.
func under13(name, v string, now time.Time) bool {
	key := strings.Map(func(c rune) rune {
		switch {
		case c == ' ' || c == '_' || c == '-':
			return -1
		}
		return unicode.ToLower(c)
	}, name)
	v = strings.TrimSpace(v)
	if key == "age" {
		n, err := strconv.ParseFloat(v, 64)
		return err == nil && n >= 0 && n < 13
	}
	if !birthNames[key] || len(v) < 10 {
		return false
	}
	for _, layout := range []string{time.DateOnly, "02/01/2006", "02.01.2006"} {
		if born, err := time.Parse(layout, v[:10]); err == nil {
			return born.AddDate(13, 0, 0).After(now)
		}
	}
	return false
}

// quote shows a word of the input without letting it break the line or run on.
func quote(v string) string { return strconv.Quote(printable(v)) }

func printable(v string) string {
	if len(v) > 60 {
		v = v[:60] + "…"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '·'
		}
		return c
	}, strings.ToValidUTF8(v, "·"))
}
