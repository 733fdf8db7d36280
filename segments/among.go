package segments

import (
	"context"
	"encoding/json"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

func contactsByEmail(ctx context.Context, q schema.Querier, rows []*importRow) (map[string]*contactRow, error) {
	where, arg := amongTexts(q.Dialect(), "email", emailsOf(rows))
	var list []contactRow
	if err := q.Select(ctx, &list, `SELECT `+contactColumns+` FROM contacts WHERE `+where, arg); err != nil {
		return nil, err
	}
	held := make(map[string]*contactRow, len(list))
	for i := range list {
		held[list[i].Email] = &list[i]
	}
	return held, nil
}

func idsByEmail(ctx context.Context, q schema.Querier, rows []*importRow) (map[string]id.Contact, error) {
	where, arg := amongTexts(q.Dialect(), "email", emailsOf(rows))
	var list []consent.Contact
	if err := q.Select(ctx, &list, `SELECT id, email FROM contacts WHERE `+where, arg); err != nil {
		return nil, err
	}
	ids := make(map[string]id.Contact, len(list))
	for _, c := range list {
		ids[c.Email] = c.ID
	}
	return ids, nil
}

func emailsOf(rows []*importRow) []string {
	list := make([]string, len(rows))
	for i, row := range rows {
		list[i] = row.contact.Email
	}
	return list
}

// amongTexts is "column IN (…)" for any number of texts, and its argument.
func amongTexts(d schema.Dialect, column string, list []string) (string, any) {
	if d == schema.Postgres {
		return column + " = ANY(?)", list
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic("segments: " + err.Error()) // texts cannot fail
	}
	return column + " IN (SELECT value FROM json_each(?))", string(b)
}

// amongIDs is amongTexts for identifiers.
func amongIDs[T ~int64](d schema.Dialect, column string, list []T) (string, any) {
	ints := make([]int64, len(list))
	for i, v := range list {
		ints[i] = int64(v)
	}
	if d == schema.Postgres {
		return column + " = ANY(?)", ints
	}
	b, _ := json.Marshal(ints)
	return column + " IN (SELECT value FROM json_each(?))", string(b)
}
