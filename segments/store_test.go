package segments

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

func TestCompaniesAreCheckedFieldByField(t *testing.T) {
	tests := []struct {
		name string
		c    Company
		want []string
	}{
		{"slug and name are required", Company{}, []string{"slug: is missing", "name: is missing"}},
		{"a slug is lower case", Company{Slug: "Acme Ltd", Name: "A"}, []string{"slug: must be 1 to 63 lower-case"}},
		{"a slug is taken once", Company{Slug: "acme", Name: "A"}, []string{"slug: is taken"}},
		{"a name is one line", Company{Slug: "a", Name: "A\r\nBcc: x"}, []string{"name: holds a line break"}},
		{"links are absolute", Company{Slug: "a", Name: "A", PrivacyURL: "/privacy", ComplaintURL: "javascript:alert(1)", PublicURL: "example.com"},
			[]string{"privacy_url: must be an absolute", "complaint_url: must be an absolute", "public_url: must be an absolute"}},
		{"addresses are addresses", Company{Slug: "a", Name: "A", ReplyTo: "a@", PrivacyEmail: "x", FromDomain: "a_b"},
			[]string{"from_domain: must be the domain", "reply_to: must be an email", "privacy_email: must be an email"}},
		{"tracking and language are known", Company{Slug: "a", Name: "A", Tracking: "always", Language: "english!"}, []string{"language: must be a language", "tracking: must be one of"}},
	}
	worlds(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			_, err := w.companies.Create(t.Context(), test.c)
			got := fields(err)
			if len(got) != len(test.want) {
				t.Errorf("%s: got %q", test.name, got)
				continue
			}
			for i := range got {
				if !strings.HasPrefix(got[i], test.want[i]) {
					t.Errorf("%s: got %q, want %q", test.name, got[i], test.want[i])
				}
			}
		}
		address, url, bad := "1 High St\nLondon", "https://acme.example/privacy", "no"
		if p := w.acme.LaunchProblems(); len(p) != 2 || p[0].Field != "postal_address" || p[1].Field != "privacy_url" {
			t.Errorf("got %v", p)
		}
		c, err := w.companies.Patch(t.Context(), "acme", CompanyPatch{PostalAddress: &address, PrivacyURL: &url})
		w.ok(err)
		if c.LaunchProblems() != nil || c.Name != "Acme" {
			t.Errorf("got %+v", c)
		}
		if _, err := w.companies.Patch(t.Context(), "acme", CompanyPatch{PrivacyURL: &bad}); !strings.HasPrefix(fields(err)[0], "privacy_url: ") {
			t.Errorf("got %v", err)
		}
		if _, err := w.companies.Patch(t.Context(), "nobody", CompanyPatch{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		for _, get := range []func() (Company, error){
			func() (Company, error) { return w.companies.BySlug(t.Context(), "acme") },
			func() (Company, error) { return w.companies.ByID(t.Context(), c.ID) },
		} {
			if got, err := get(); err != nil || got != c {
				t.Errorf("got %+v, %v, want %+v", got, err, c)
			}
		}
		all, err := w.companies.List(t.Context())
		w.ok(err)
		if len(all) != 2 || all[0].Slug != "acme" {
			t.Errorf("got %+v", all)
		}
		if b, _ := json.Marshal(c); !strings.Contains(string(b), `"slug":"acme","name":"Acme","from_domain":"","reply_to":"","privacy_email":"","phone":"","postal_address":"1 High St\nLondon","privacy_url":"https://acme.example/privacy","complaint_url":"","language":"en","public_url":""`) {
			t.Errorf("written as %s", b)
		}
	})
}

func TestASourceThatCannotBeCitedIsRefused(t *testing.T) {
	good := Source{Slug: "new", Name: "New Ltd", PrivacyURL: "https://new.example/privacy", LawfulBasis: "consent"}
	tests := []struct {
		name   string
		change func(*Source)
		want   string
	}{
		{"without policy URL", func(s *Source) { s.PrivacyURL = " " }, "privacy_url: is missing: give the address of the provider's privacy policy"},
		{"with half a policy URL", func(s *Source) { s.PrivacyURL = "new.example/privacy" }, "privacy_url: must be an absolute web address"},
		{"without name", func(s *Source) { s.Name = "" }, "name: is missing"},
		{"without basis", func(s *Source) { s.LawfulBasis = "" }, "lawful_basis: is missing"},
		{"for a channel that is none", func(s *Source) { s.PermittedUses = []string{"email", "fax"} }, "permitted_uses: may hold channels only: email, phone, post"},
		{"with a warranty of nothing", func(s *Source) { s.Warranty = &Warranty{Kind: "both", Document: "D", Date: 1} }, "warranty.kind: must be one of"},
		{"with a warranty nowhere written", func(s *Source) { s.Warranty = &Warranty{Kind: "corporate", Date: 1} }, "warranty.document: is missing"},
		{"with a slug that is taken", func(s *Source) { s.Slug = "fairs" }, "slug: is taken"},
	}
	worlds(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			src := good
			test.change(&src)
			_, err := w.sources.Create(t.Context(), src)
			if got := fields(err); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("%s: got %q", test.name, got)
			}
		}
		made, err := w.sources.Create(t.Context(), good)
		w.ok(err)
		got, err := w.sources.BySlug(t.Context(), "new")
		w.ok(err)
		if a, b := mustJSON(made), mustJSON(got); a != b {
			t.Errorf("made %s, read %s", a, b)
		}
		fairs, err := w.sources.ByID(t.Context(), w.fairs.ID)
		w.ok(err)
		if fairs.Warranty == nil || *fairs.Warranty != *w.fairs.Warranty || !slices.Equal(fairs.PermittedUses, []string{"email"}) {
			t.Errorf("got %+v", fairs)
		}
		if _, err := w.sources.BySlug(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		all, err := w.sources.List(t.Context())
		w.ok(err)
		if len(all) != 3 {
			t.Errorf("got %+v", all)
		}
	})
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestContactsAreCheckedFieldByField(t *testing.T) {
	tests := []struct {
		name string
		c    NewContact
		want string
	}{
		{"no address", NewContact{}, "email: is missing"},
		{"no mail address", NewContact{Email: "ann"}, "email: is not an email address"},
		{"a name of two lines", NewContact{Email: "a@example.com", Name: "A\nBcc: b@example.com"}, "name: holds a line break"},
		{"no country", NewContact{Email: "a@example.com", Country: "Narnia"}, "country: is not a country"},
		{"another kind", NewContact{Email: "a@example.com", SubscriberKind: "robot"}, "subscriber_kind: must be one of"},
		{"an unknown topic", NewContact{Email: "a@example.com", Topics: []string{"rockets"}}, `topics: "rockets" is not in the catalogue: write one of public-sector,`},
		{"an unknown source", NewContact{Email: "a@example.com", Source: "nobody"}, "source: is not a known source"},
		{"a child by age", NewContact{Email: "a@example.com", Attributes: map[string]any{"age": 12.0}}, "attributes.age: says that the person is under 13"},
		{"a child by written age", NewContact{Email: "a@example.com", Attributes: map[string]any{"Age": "12"}}, "attributes.Age: says that the person is under 13"},
		{"a child by birth", NewContact{Email: "a@example.com", Attributes: map[string]any{"date_of_birth": "2013-04-02"}}, "attributes.date_of_birth: says that the person is under 13"},
		{"an attribute within an attribute", NewContact{Email: "a@example.com", Attributes: map[string]any{"x": map[string]any{}}}, "attributes.x: must be a text"},
		{"an attribute without a usable name", NewContact{Email: "a@example.com", Attributes: map[string]any{`a"b`: 1.0}}, "attributes.a\"b: has a name with a quote"},
		{"an attribute beyond measure", NewContact{Email: "a@example.com", Attributes: map[string]any{"x": strings.Repeat("x", maxAttributeValue+1)}}, "attributes.x: is longer"},
	}
	worlds(t, func(t *testing.T, w *world) {
		for _, test := range tests {
			_, _, err := w.contacts.Create(t.Context(), test.c)
			if got := fields(err); len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("%s: got %q", test.name, got)
			}
		}
		var n int
		w.ok(w.db.Get(t.Context(), &n, `SELECT count(*) FROM contacts`))
		if n != 0 {
			t.Errorf("%d contacts stored", n)
		}
		w.contact(NewContact{Email: "a@example.com", Attributes: map[string]any{"age": 13.0, "dob": "2013-04-01"}})
	})
}

func TestAContactIsOneAddressWithItsOrigins(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c, created, err := w.contacts.Create(ctx, NewContact{Email: " Ann@München.example ", Country: "uk", Source: "fairs"})
		w.ok(err)
		if !created || c.Email != "ann@xn--mnchen-3ya.example" || c.Country != "GB" || c.SubscriberKind != "corporate" || c.OwnAt != 0 || len(c.Sources) != 1 {
			t.Errorf("got %+v", c)
		}
		again, created, err := w.contacts.Create(ctx, NewContact{Email: "ANN@münchen.example", Name: "Ann", Country: "DE", Topics: []string{"transport"}})
		w.ok(err)
		if created || again.ID != c.ID || again.Name != "Ann" || again.Country != "GB" || again.OwnAt != schema.At(w.now) || len(again.Sources) != 1 {
			t.Errorf("got %+v", again)
		}
		for _, get := range []func() (Contact, error){
			func() (Contact, error) { return w.contacts.Get(ctx, c.ID) },
			func() (Contact, error) { return w.contacts.ByEmail(ctx, "Ann@MÜNCHEN.example") },
		} {
			if got, err := get(); err != nil || mustJSON(got) != mustJSON(again) {
				t.Errorf("got %+v, %v", got, err)
			}
		}
		if _, err := w.contacts.Get(ctx, 999); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		free, _, err := w.contacts.Create(ctx, NewContact{Email: "x@gmail.com", Source: "fairs", SubscriberKind: "corporate"})
		w.ok(err)
		if free.SubscriberKind != "" {
			t.Errorf("somebody at a free-mail domain is believed to be %s", free.SubscriberKind)
		}
	})
}

func TestAPatchChangesWhatItNames(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		who := w.contact(NewContact{Email: "a@example.com", Name: "Ann", Country: "GB", Attributes: map[string]any{"plan": "gold", "old": "x"}})
		w.contact(NewContact{Email: "b@example.com"})
		w.grant(who, false, "newsletter")
		name, address, taken, topics := "Bea", "New@Example.com", "b@example.com", []string{"transport"}
		c, err := w.contacts.Patch(ctx, who, ContactPatch{Name: &name, Email: &address, Topics: &topics, Attributes: map[string]any{"old": nil, "new": 1.5}})
		w.ok(err)
		if c.Name != "Bea" || c.Country != "GB" || c.Email != "new@example.com" || !slices.Equal(c.Topics, topics) || mustJSON(c.Attributes) != `{"new":1.5,"plan":"gold"}` {
			t.Errorf("got %+v", c)
		}
		d, err := w.gate.Ask(ctx, who, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: "newsletter", Purpose: consent.Mail})
		w.ok(err)
		if !d.Allowed {
			t.Errorf("the consent was lost with the old address: %s", d.Reason)
		}
		for _, bad := range []struct {
			p    ContactPatch
			want string
		}{
			{ContactPatch{Email: &taken}, "email: is the address of another contact"},
			{ContactPatch{Country: &name}, "country: is not a country"},
			{ContactPatch{Attributes: map[string]any{"age": "3"}}, "attributes.age: says"},
		} {
			if _, err := w.contacts.Patch(ctx, who, bad.p); !strings.HasPrefix(fields(err)[0], bad.want) {
				t.Errorf("got %v", err)
			}
		}
		w.tx(func(tx *schema.Tx) error {
			return w.ledger.Suppress(ctx, tx, "angry@example.com", consent.BlockObjected)
		})
		angry := "angry@example.com"
		_, err = w.contacts.Patch(ctx, who, ContactPatch{Email: &angry})
		w.ok(err)
		d, err = w.gate.Ask(ctx, who, consent.Use{Company: w.acme.ID, Channel: consent.Email, Type: "newsletter", Purpose: consent.Mail})
		w.ok(err)
		if d.Allowed || d.Reason != consent.Objected {
			t.Errorf("an address that objected is mailed: %+v", d)
		}
	})
}

func TestErasureTakesEverythingAndKeepsTheNo(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		who := w.contact(NewContact{Email: "a@example.com", Source: "fairs"})
		w.grant(who, true, "newsletter")
		var erased id.Contact
		w.ok(w.contacts.Delete(ctx, who, func(_ context.Context, _ *schema.Tx, c id.Contact) error { erased = c; return nil }))
		if erased != who {
			t.Error("the eraser was not asked")
		}
		if _, err := w.contacts.Get(ctx, who); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if err := w.contacts.Delete(ctx, who); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		again := w.contact(NewContact{Email: "a@example.com"})
		if again == who {
			t.Error("the identifier was given again")
		}
		d, err := w.gate.Ask(ctx, again, consent.Use{Company: w.acme.ID, Channel: consent.Email, Purpose: consent.Segment})
		w.ok(err)
		if d.Reason != consent.Erased {
			t.Errorf("got %+v", d)
		}
		boom := errors.New("boom")
		if err := w.contacts.Delete(ctx, again, func(context.Context, *schema.Tx, id.Contact) error { return boom }); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		if _, err := w.contacts.Get(ctx, again); err != nil {
			t.Errorf("half erased: %v", err)
		}
	})
}

func TestCountriesAsPeopleWriteThem(t *testing.T) {
	for in, want := range map[string]string{"": "", "gb": "GB", " GB ": "GB", "UK": "GB", "GBR": "GB", "United Kingdom": "GB", "england": "GB", "deutschland": "",
		"Germany": "DE", "USA": "US", "United States": "US", "Ireland": "IE", "The Netherlands": "NL", "XX": "", "826": "", "EU": "", "Côte d’Ivoire": "CI"} {
		got, ok := countryCode(in)
		if got != want || ok != (want != "" || strings.TrimSpace(in) == "") {
			t.Errorf("%q is %q, %v; want %q", in, got, ok, want)
		}
	}
}
