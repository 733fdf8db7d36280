package segments

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

func TestAWrongRuleIsToldByItsPlace(t *testing.T) {
	leaf := func(s string) string {
		return `{"combinator":"and","rules":[{"field":"country","operator":"=","value":"GB"},` + s + `]}`
	}
	deep := strings.Repeat(`{"rules":[`, maxRuleDepth+1) + strings.Repeat(`]}`, maxRuleDepth+1)
	many := `{"rules":[` + strings.TrimSuffix(strings.Repeat(`{"field":"name","operator":"null"},`, maxRuleLeaves+1), ",") + `]}`
	tests := []struct{ name, rule, want string }{
		{"no JSON", `{`, `: is not valid JSON`},
		{"no object", `[]`, `: must be an object with combinator, not, rules`},
		{"no list", `{"rules":{}}`, `rules: must be a list`},
		{"another combinator", `{"combinator":"xor","rules":[]}`, `combinator: must be "and" or "or"`},
		{"not is no word", `{"not":"yes","rules":[]}`, `not: must be true or false`},
		{"an unknown member", `{"rules":[],"limit":3}`, `limit: is not known here: use combinator, not, rules`},
		{"too deep", deep, strings.Repeat("rules[0].", maxRuleDepth-1) + `rules[0]: is nested more than 8 deep`},
		{"too many", many, `: holds more than 200 conditions`},
		{"an unknown field", leaf(`{"field":"contry","operator":"=","value":"GB"}`), `rules[1].field: is "contry", which is no field of a rule: use one of email, name,`},
		{"no field", leaf(`{}`), `rules[1].field: is "", which is no field`},
		{"an unknown field below", leaf(`{"combinator":"or","rules":[{"field":"x","operator":"="}]}`), `rules[1].rules[0].field: is "x"`},
		{"an unknown operator", leaf(`{"field":"country","operator":"like","value":"G%"}`), `rules[1].operator: is "like", which country cannot be asked: use one of =, !=, in`},
		{"an operator of another field", leaf(`{"field":"opened","operator":"contains","value":{}}`), `rules[1].operator: is "contains", which opened cannot be asked: use one of =, !=`},
		{"an unknown member of a condition", leaf(`{"field":"country","operator":"=","value":"GB","sql":"1"}`), `rules[1].sql: is not known here: use field, operator, value`},
		{"a member twice", leaf(`{"field":"country","field":"name","operator":"=","value":"GB"}`), `rules[1].field: occurs twice`},
		{"a number for a text", leaf(`{"field":"country","operator":"=","value":3}`), `rules[1].value: must be a text`},
		{"a blank text", leaf(`{"field":"name","operator":"contains","value":""}`), `rules[1].value: is blank`},
		{"no list for in", leaf(`{"field":"country","operator":"in","value":"GB"}`), `rules[1].value: must be a list`},
		{"a list of both kinds", leaf(`{"field":"attributes.x","operator":"in","value":["a",3]}`), `rules[1].value[1]: must be of the same type`},
		{"between one", leaf(`{"field":"created","operator":"between","value":["2026-01-01"]}`), `rules[1].value: must be a list of two`},
		{"no date", leaf(`{"field":"created","operator":"<","value":"yesterday"}`), `rules[1].value: must be a date`},
		{"half a day", leaf(`{"field":"consent_age","operator":"<","value":1.5}`), `rules[1].value: must be a whole number of days`},
		{"a value for null", leaf(`{"field":"name","operator":"null","value":"x"}`), `rules[1].value: is not wanted`},
		{"an attribute with a quote", leaf(`{"field":"attributes.x\"","operator":"null"}`), `rules[1].field: has a name with a quote`},
		{"an attribute without a name", leaf(`{"field":"attributes.","operator":"null"}`), `rules[1].field: must have a name`},
		{"a link of an open", leaf(`{"field":"opened","operator":"=","value":{"link":1}}`), `rules[1].value.link: is not known here: use campaign, within_days`},
		{"no campaign id", leaf(`{"field":"opened","operator":"=","value":{"campaign":"ct_1"}}`), `rules[1].value.campaign: must be the id of a campaign, such as "cmp_1"`},
		{"no days", leaf(`{"field":"clicked","operator":"=","value":{"within_days":0}}`), `rules[1].value.within_days: must be a whole number from 1`},
		{"an id for a campaign", leaf(`{"field":"opened","operator":"=","value":{"id":"cmp_1"}}`), `rules[1].value.id: is not known here`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseRule([]byte(test.rule))
			if got := fields(err); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add([]byte(`{"combinator":"and","not":false,"rules":[{"field":"country","operator":"in","value":["GB","IE"]}]}`))
	f.Add([]byte(`{"rules":[{"combinator":"or","not":true,"rules":[{"field":"attributes.x","operator":">=","value":1.5}]}]}`))
	f.Add([]byte(`{"rules":[{"field":"opened","operator":"!=","value":{"campaign":"cmp_1","within_days":30}}]}`))
	f.Add([]byte(`{"rules":[{"field":"created","operator":"between","value":["2026-01-01","2026-02-01T00:00:00Z"]},{"field":"topics","operator":"null"}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		rule, err := ParseRule(src)
		if err != nil {
			if got := fields(err); len(got) == 0 || strings.HasPrefix(got[0], "no *Invalid") {
				t.Fatalf("got %v", err)
			}
			return
		}
		// What an operator writes is bound: the text of the statement is made of our own words.
		c := &ruleCompiler{ruleContext: ruleContext{q: noDatabase{}, gate: consent.NewGate(nil, nil, consent.GateOptions{}), cat: &consent.Catalogue{}, company: 1, channel: consent.Email, now: time.Now()}, ctx: t.Context()}
		c.group(&rule.root, false)
		if c.err != nil {
			return // a source, campaign or type that does not exist
		}
		sql := c.sql.String()
		if strings.Count(sql, "?")-strings.Count(sql, "'?*-*'") != len(c.args) {
			t.Fatalf("%d arguments for %s", len(c.args), sql)
		}
		for _, a := range c.args {
			if s, ok := a.(string); ok && len(s) > 12 && strings.Contains(sql, s) && !strings.HasPrefix(s, "$.") {
				t.Fatalf("%q is part of %s", s, sql)
			}
		}
	})
}

// noDatabase knows no source and no campaign.
type noDatabase struct{ schema.Querier }

func (noDatabase) Dialect() schema.Dialect { return schema.SQLite }

func (noDatabase) Get(context.Context, any, string, ...any) error { return sql.ErrConnDone }

func (noDatabase) Select(context.Context, any, string, ...any) error { return sql.ErrConnDone }

// people are ten contacts who opted in to acme's newsletter, and three who must be in no segment.
func (w *world) people() map[string]id.Contact {
	at := map[string]id.Contact{}
	start := w.now
	for i, n := range []NewContact{
		{Email: "ann@example.com", Name: "Ann Archer", Company: "Acme Ltd", Country: "GB", JobTitle: "Marketing Manager", Topics: []string{"transport"}, Attributes: map[string]any{"plan": "gold", "score": 5.0, "vip": true}},
		{Email: "bob@example.com", Name: "Bob Baker", Country: "IE", Topics: []string{"transport", "compliance"}, Attributes: map[string]any{"plan": "Silver", "score": "12.5"}},
		{Email: "cat@firm.example", Name: "Cat Cook", Country: "DE", SubscriberKind: "corporate", Attributes: map[string]any{"score": "n/a", "vip": false}},
		{Email: "dan@firm.example", Name: "Élodie Dan", Company: "ACME", Country: "FR", Attributes: map[string]any{"plan": "100%_x", "x' OR '1'='1": "yes", "a.b": "dot"}},
		{Email: "eve@example.com", Source: "fairs"},
		{Email: "fay@example.com", Source: "lists", Topics: []string{"sexual-health"}},
		{Email: "gus@example.com", Topics: []string{"sexual-health", "transport"}},
	} {
		who := w.contact(n)
		at[strings.SplitN(n.Email, "@", 2)[0]] = who
		types := []string{"newsletter"}
		if i%2 == 1 {
			types = append(types, "product-updates")
		}
		w.grant(who, i < 5, types...)
		w.now = w.now.AddDate(0, 0, 1)
	}
	w.now = start.AddDate(0, 0, 10)
	no := w.contact(NewContact{Email: "silent@example.com", Country: "GB"})
	at["silent"] = no
	left := w.contact(NewContact{Email: "left@example.com", Country: "GB"})
	w.grant(left, true, "newsletter")
	w.record(consent.Entry{Contact: left, Action: consent.Withdraw})
	at["left"] = left
	b := w.contact(NewContact{Email: "others@example.com", Country: "GB"})
	w.record(consent.Entry{Contact: b, Action: consent.Grant, Company: w.other.ID, Channel: consent.Email, Types: []string{"newsletter"}})
	at["others"] = b
	w.record(consent.Entry{Contact: at["gus"], Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Topics: []string{"sexual-health"}})
	return at
}

func TestRulesSelectWhoTheySay(t *testing.T) {
	tests := []struct{ rule, want string }{
		{``, "ann bob cat dan eve fay gus"},
		{`{"field":"country","operator":"=","value":"United Kingdom"}`, "ann"},
		{`{"field":"country","operator":"in","value":["GB","IE"]}`, "ann bob"},
		{`{"field":"country","operator":"notIn","value":["GB","IE"]}`, "cat dan eve fay gus"},
		{`{"field":"country","operator":"!=","value":"GB"}`, "bob cat dan eve fay gus"},
		{`{"field":"country","operator":"null"}`, "eve fay gus"},
		{`{"field":"country","operator":"notNull"}`, "ann bob cat dan"},
		{`{"field":"company","operator":"beginsWith","value":"acme"}`, "ann dan"},
		{`{"field":"company","operator":"=","value":"acme"}`, "dan"},
		{`{"field":"job_title","operator":"contains","value":"manager"}`, "ann"},
		{`{"field":"job_title","operator":"doesNotContain","value":"manager"}`, "bob cat dan eve fay gus"},
		{`{"field":"email","operator":"endsWith","value":"@FIRM.example"}`, "cat dan"},
		{`{"field":"email","operator":"doesNotEndWith","value":"@firm.example"}`, "ann bob eve fay gus"},
		{`{"field":"email","operator":"doesNotBeginWith","value":"a"}`, "bob cat dan eve fay gus"},
		{`{"field":"name","operator":"beginsWith","value":"Élo"}`, "dan"},
		{`{"field":"name","operator":"endsWith","value":"odie Dan"}`, "dan"},
		{`{"field":"name","operator":"<","value":"bob"}`, "ann"},
		{`{"field":"name","operator":">=","value":"bob"}`, "bob cat dan"},
		{`{"field":"name","operator":"between","value":["ann","bob z"]}`, "ann bob"},
		{`{"field":"subscriber_kind","operator":"=","value":"corporate"}`, "cat eve"},
		{`{"field":"attributes.plan","operator":"=","value":"silver"}`, "bob"},
		{`{"field":"attributes.plan","operator":"!=","value":"silver"}`, "ann cat dan eve fay gus"},
		{`{"field":"attributes.plan","operator":"contains","value":"%_"}`, "dan"},
		{`{"field":"attributes.plan","operator":"in","value":["gold","silver"]}`, "ann bob"},
		{`{"field":"attributes.score","operator":">","value":4}`, "ann bob"},
		{`{"field":"attributes.score","operator":"between","value":[12,13]}`, "bob"},
		{`{"field":"attributes.score","operator":"=","value":5}`, "ann"},
		{`{"field":"attributes.score","operator":"=","value":"5"}`, "ann"},
		{`{"field":"attributes.score","operator":"notIn","value":[5,12.5]}`, "cat dan eve fay gus"},
		{`{"field":"attributes.vip","operator":"=","value":true}`, "ann"},
		{`{"field":"attributes.vip","operator":"in","value":[true,false]}`, "ann cat"},
		{`{"field":"attributes.vip","operator":"null"}`, "bob dan eve fay gus"},
		{`{"field":"attributes.a.b","operator":"=","value":"dot"}`, "dan"},
		{`{"field":"attributes.x' OR '1'='1","operator":"=","value":"yes"}`, "dan"},
		{`{"field":"attributes.plan","operator":"=","value":"gold' OR '1'='1"}`, ""},
		{`{"field":"attributes.') OR 1=1 --","operator":"notNull"}`, ""},
		{`{"field":"topics","operator":"=","value":"transport"}`, "ann bob gus"},
		{`{"field":"topics","operator":"in","value":["compliance","social-care"]}`, "bob"},
		{`{"field":"topics","operator":"doesNotContain","value":"transport"}`, "cat dan eve fay"},
		{`{"field":"topics","operator":"null"}`, "cat dan eve"},
		{`{"field":"topics","operator":"=","value":"sexual-health"}`, "gus"},
		{`{"combinator":"or","rules":[{"field":"topics","operator":"!=","value":"sexual-health"},{"field":"country","operator":"=","value":"GB"}]}`, ""},
		{`{"field":"types","operator":"=","value":"product-updates"}`, "bob dan fay"},
		{`{"field":"types","operator":"notIn","value":["product-updates","company-updates"]}`, "ann cat eve gus"},
		{`{"field":"types","operator":"null"}`, ""},
		{`{"field":"source","operator":"=","value":"fairs"}`, "eve"},
		{`{"field":"source","operator":"in","value":["fairs","lists"]}`, "eve fay"},
		{`{"field":"source","operator":"null"}`, "ann bob cat dan gus"},
		{`{"field":"created","operator":"=","value":"2026-04-02"}`, "bob"},
		{`{"field":"created","operator":"<","value":"2026-04-02"}`, "ann"},
		{`{"field":"created","operator":"<=","value":"2026-04-02"}`, "ann bob"},
		{`{"field":"created","operator":">","value":"2026-04-06T12:00:00+01:00"}`, "fay gus"},
		{`{"field":"created","operator":"notBetween","value":["2026-04-02","2026-04-05"]}`, "ann fay gus"},
		{`{"field":"consent_age","operator":"=","value":9}`, "bob"},
		{`{"field":"consent_age","operator":">=","value":9}`, "ann bob"},
		{`{"field":"consent_age","operator":">","value":9}`, "ann"},
		{`{"field":"consent_age","operator":"<","value":5}`, "gus"},
		{`{"field":"consent_age","operator":"<=","value":5}`, "fay gus"},
		{`{"field":"consent_age","operator":"between","value":[5,6]}`, "eve fay"},
		{`{"field":"consent_age","operator":"null"}`, ""},
		{`{"field":"region","operator":"beginsWith","value":"GB"}`, "ann"},
		{`{"field":"region","operator":"null"}`, "bob cat dan eve fay gus"},
		{`{"combinator":"or","rules":[{"field":"country","operator":"=","value":"DE"},{"field":"country","operator":"=","value":"FR"}]}`, "cat dan"},
		{`{"combinator":"or","not":true,"rules":[{"field":"country","operator":"=","value":"DE"},{"field":"country","operator":"=","value":"FR"}]}`, "ann bob eve fay gus"},
		{`{"combinator":"and","not":true,"rules":[]}`, ""},
	}
	worlds(t, func(t *testing.T, w *world) {
		at := w.people()
		for who, region := range map[string]string{"ann": "GB-ENG", "fay": "GB-SCT"} { // fay does not allow tracking
			_, err := w.db.Exec(t.Context(), `INSERT INTO contact_regions (contact, region, at) VALUES (?, ?, 1)`, at[who], region)
			w.ok(err)
		}
		for _, test := range tests {
			if got := w.who(at, test.rule); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.rule, got, test.want)
			}
		}
	})
}

// who lists the names of who is in a segment of the condition, as Fragment says; Count must agree.
func (w *world) who(at map[string]id.Contact, condition string) string {
	w.t.Helper()
	seg := w.segment(`{"rules":[` + condition + `]}`)
	f, company, channel, err := w.segments.Fragment(w.t.Context(), seg)
	w.ok(err)
	if company != w.acme.ID || channel != consent.Email {
		w.t.Errorf("of %s by %s", company, channel)
	}
	var ids []id.Contact
	w.ok(w.db.Select(w.t.Context(), &ids, `SELECT c.id FROM contacts c WHERE `+f.SQL, f.Args...))
	n, err := w.segments.Count(w.t.Context(), seg)
	w.ok(err)
	if n != int64(len(ids)) {
		w.t.Errorf("%s: %d counted, %d selected", condition, n, len(ids))
	}
	var names []string
	for name, who := range at {
		if slices.Contains(ids, who) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestBehaviourIsThatOfPeopleWhoAllowTracking(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		at := w.people() // ann, bob, cat, dan and eve allow tracking
		ctx := t.Context()
		var first, second, foreign id.Campaign
		day := func(n int) schema.Time { return schema.At(w.now.AddDate(0, 0, -n)) }
		w.tx(func(tx *schema.Tx) error {
			for _, c := range []struct {
				to      *id.Campaign
				company id.Company
			}{{&first, w.acme.ID}, {&second, w.acme.ID}, {&foreign, w.other.ID}} {
				if err := tx.Get(ctx, c.to, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at)
					VALUES ('n', ?, 'newsletter', 's', 'f', 'h', '{}', 'consented', 'finished', 1) RETURNING id`, c.company); err != nil {
					return err
				}
			}
			send := func(campaign id.Campaign, who, mode, status string, sent, opened schema.Time) id.Message {
				var m id.Message
				err := tx.Get(ctx, &m, `INSERT INTO messages (campaign, contact, mode, epoch, status, sent_at, opened_at) VALUES (?, ?, ?, 1, ?, ?, ?) RETURNING id`,
					campaign, at[who], mode, status, sent, opened)
				w.ok(err)
				return m
			}
			click := func(m id.Message, link int, first schema.Time) {
				_, err := tx.Exec(ctx, `INSERT INTO message_links (message, link, first_at) VALUES (?, ?, ?)`, m, link, first)
				w.ok(err)
			}
			event := func(campaign id.Campaign, m id.Message, who, kind string, link int, when schema.Time, verdict string) {
				_, err := tx.Exec(ctx, `INSERT INTO events (campaign, message, contact, kind, link, at, verdict, reason, node, seq) VALUES (?, ?, ?, ?, ?, ?, ?, '', 'n', ?)`,
					campaign, m, at[who], kind, link, when, verdict, int64(m)*10+int64(link))
				w.ok(err)
			}
			m := send(first, "ann", "identified", "sent", day(9), day(8))
			event(first, m, "ann", "open", 0, day(2), "unverifiable")
			click(m, 2, day(8))
			send(second, "ann", "identified", "sent", day(1), 0)
			m = send(first, "bob", "identified", "sent", day(9), 0)
			event(first, m, "bob", "open", 0, day(9), "machine")
			m = send(first, "cat", "identified", "sent", day(9), day(9))
			event(first, m, "cat", "open", 0, day(2), "machine")
			send(first, "dan", "anonymous", "sent", day(9), 0)
			send(first, "eve", "identified", "failed", 0, 0)
			send(foreign, "eve", "identified", "sent", day(2), day(2))
			send(first, "fay", "anonymous", "sent", day(3), 0)
			send(first, "gus", "identified", "sent", day(3), day(3)) // before tracking was withdrawn
			return nil
		})
		value := func(more string) string {
			return `{"campaign":"` + first.String() + `"` + more + `}`
		}
		cond := func(field, op, value string) string {
			return fmt.Sprintf(`{"field":%q,"operator":%q,"value":%s}`, field, op, value)
		}
		tests := []struct{ name, rule, want string }{
			{"received", cond("received", "=", value("")), "ann bob cat dan fay gus"},
			{"received lately", cond("received", "=", `{"within_days":4}`), "ann fay gus"},
			{"not received", cond("received", "!=", value("")), "eve"},
			{"opened", cond("opened", "=", value("")), "ann cat"},
			{"opened anything", cond("opened", "=", "{}"), "ann cat"},
			{"opened lately, not by machine", cond("opened", "=", value(`,"within_days":3`)), "ann"},
			{"not opened though it could tell", cond("opened", "!=", value("")), "bob"},
			{"opened nothing of what was sent lately", cond("opened", "!=", `{"within_days":4}`), "ann"},
			{"a negated group concludes no more", `{"combinator":"and","not":true,"rules":[` + cond("opened", "=", value("")) + `]}`, "bob"},
			{"nor does a negated negation", `{"combinator":"and","not":true,"rules":[` + cond("opened", "!=", value("")) + `]}`, "ann cat"},
			{"clicked", cond("clicked", "=", value("")), "ann"},
			{"clicked the link", cond("clicked", "=", value(`,"link":2`)), "ann"},
			{"clicked another link", cond("clicked", "=", value(`,"link":1`)), ""},
			{"not clicked the link", cond("clicked", "!=", value(`,"link":1`)), "ann bob cat"},
			{"clicked lately", cond("clicked", "=", value(`,"within_days":3`)), ""},
		}
		for _, test := range tests {
			if got := w.who(at, test.rule); got != test.want {
				t.Errorf("%s: got %s, want %s", test.name, got, test.want)
			}
		}
		_, err := w.segments.Create(ctx, NewSegment{Name: "s", Company: "acme", Rule: json.RawMessage(`{"rules":[` + cond("opened", "=", `{"campaign":"`+foreign.String()+`"}`) + `]}`)})
		if got := fields(err); !strings.HasPrefix(got[0], "rule.rules[0].value.campaign: is no campaign of the segment's company") {
			t.Errorf("got %q", got)
		}
		no := false
		w.record(consent.Entry{Contact: at["ann"], Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Tracking: &no})
		if got := w.who(at, cond("opened", "=", value(""))); got != "cat" {
			t.Errorf("after tracking was withdrawn: %s", got)
		}
	})
}

func TestANegatedConditionIsTheRest(t *testing.T) {
	w := newWorld(t, sqliteOf(t))
	at := w.people()
	all := len(strings.Fields(w.who(at, "")))
	values := map[string][]string{
		"country": {`"GB"`, `"FR"`}, "name": {`"ann"`, `"b"`, `"Élo"`}, "attributes.score": {`5`, `"12.5"`, `12`}, "attributes.plan": {`"gold"`, `true`, `"Silver"`},
		"topics": {`"transport"`, `"compliance"`}, "types": {`"newsletter"`, `"product-updates"`}, "source": {`"fairs"`}, "created": {`"2026-04-02"`, `"2026-04-05"`}, "consent_age": {`3`, `7`},
	}
	rapid.Check(t, func(rt *rapid.T) {
		field := rapid.SampledFrom(sortedKeys(values)).Draw(rt, "field")
		ops := kindOfField(field).operators()
		op := rapid.SampledFrom(sortedKeys(negatedOps)).Filter(func(op string) bool { return slices.Contains(ops, op) }).Draw(rt, "operator")
		v := rapid.SampledFrom(values[field]).Draw(rt, "value")
		switch negatedOps[op] {
		case "in":
			v = "[" + v + "]"
		case "between":
			v = "[" + v + "," + v + "]"
		case "null":
			v = "null"
		}
		cond := func(op string) string { return fmt.Sprintf(`{"field":%q,"operator":%q,"value":%s}`, field, op, v) }
		if _, err := ParseRule([]byte(`{"rules":[` + cond(op) + `]}`)); err != nil {
			rt.Skip(err)
		}
		with, without := w.who(at, cond(negatedOps[op])), w.who(at, cond(op))
		not := w.who(at, `{"not":true,"rules":[`+cond(negatedOps[op])+`]}`)
		if len(strings.Fields(with))+len(strings.Fields(without)) != all || not != without {
			rt.Fatalf("%s: %q, %q, negated %q", cond(op), with, without, not)
		}
	})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
