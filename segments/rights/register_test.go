package rights_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"
)

var update = flag.Bool("update", false, "rewrite the golden register")

// installation is one with something of everything, set up by people who write what they like.
func installation(h *house) rights.Installation {
	return rights.Installation{
		Controllers: []rights.Controller{
			{ID: h.acme.ID, Slug: "acme", Name: "Acme <Events> Ltd", Role: "controller", Address: "1 High Street\nLondon", PrivacyEmail: "privacy@acme.example", Phone: "+44 20 7946 0000",
				PrivacyURL: "https://acme.example/privacy", ComplaintURL: "https://acme.example/complain", Tracking: "consented"},
			{ID: h.bolt.ID, Slug: "bolt", Name: "Bolt | Sons", Tracking: "strict"},
		},
		Providers: []rights.Provider{
			{ID: 1, Slug: "fairs", Name: "Fairs *Ltd*", PrivacyURL: "https://fairs.example/privacy", LawfulBasis: "legitimate-interests", PermittedUses: []string{"email"}, LicensedUntil: schema.At(dawn.AddDate(1, 0, 0))},
			{ID: 2, Slug: "lists", Name: "Lists Ltd", PrivacyURL: "https://lists.example/privacy", TransparencyURL: "https://lists.example/data", LawfulBasis: "consent", RecalledAt: schema.At(dawn)},
		},
		Systems: []rights.System{
			{Kind: rights.SystemDatabase, Name: "postgres://beckon:hunter2@db.example:5432/beckon?sslmode=require", Country: "gb"},
			{Kind: rights.SystemCounts, Name: "redis://:hunter2@redis.example:6379", Country: "DE"},
			{Kind: rights.SystemRelay, Name: "smtp://user:hunter2@relay.example:587?tls=starttls", Country: "US", Protection: "starttls"},
			{Kind: rights.SystemRelay, Name: "127.0.0.1:25", Protection: "none"},
			{Kind: rights.SystemJournal, Name: "this machine"},
		},
		Types: []string{"Newsletter", "Product Updates"}, Topics: []string{"Transport", "Sexual Health"}, Special: []string{"Sexual Health"},
		CorporateCountries: []string{"GB"}, Regions: true, SmallestGroup: 5,
	}
}

// decide puts rules, extensions, holds and groups in force.
func decide(h *house) {
	h.tx(func(tx *schema.Tx) error {
		_, err := rights.SetRule(h.ctx, tx, rights.NewRule{Purpose: rights.PurposeConsented, Keep: rights.Period{Months: 24}, Action: rights.ActionDeidentify, Actor: "zoe"}, schema.At(h.now))
		return err
	})
	for _, x := range []rights.Extension{{Purpose: rights.PurposeRequests, Until: schema.At(dawn.AddDate(5, 0, 0))}, {Contact: 4711, Until: schema.At(dawn.AddDate(4, 0, 0))}} {
		x.Reference, x.Actor = "DPO 7", "ann"
		_, err := h.extensions.Extend(h.ctx, nil, x)
		h.ok(err)
	}
	over, err := h.extensions.Extend(h.ctx, nil, rights.Extension{Purpose: rights.PurposeOwn, Until: schema.At(dawn.AddDate(5, 0, 0)), Reference: "DPO 6, taken back", Actor: "ann"})
	h.ok(err)
	h.ok(h.extensions.End(h.ctx, nil, over.ID))
	h.place(rights.Hold{Scope: rights.HoldContact, Contact: 4711})
	h.place(rights.Hold{Scope: rights.HoldSource, Source: 1})
	h.place(rights.Hold{Scope: rights.HoldCompany, Company: h.bolt.ID, EndsAt: schema.At(dawn.AddDate(2, 0, 0))})
	released := h.place(rights.Hold{Scope: rights.HoldAll})
	h.ok(h.holds.Release(h.ctx, nil, released.ID))
	for i, group := range []string{rights.GroupCandidate, rights.GroupCustomer, rights.GroupCustomer} {
		_, err := h.groups.Add(h.ctx, nil, id.Contact(4711+i), group, rights.Contract)
		h.ok(err)
	}
}

func drawn(h *house, in rights.Installation) (r rights.Register, markdown, object string) {
	h.Helper()
	r, err := rights.DrawUp(h.ctx, h.db, in, schema.At(h.now))
	h.ok(err)
	var m, j bytes.Buffer
	h.ok(r.WriteMarkdown(&m))
	h.ok(r.WriteJSON(&j))
	return r, m.String(), j.String()
}

func TestL13RegisterOfProcessingActivities(t *testing.T) {
	houses(t, func(h *house) {
		decide(h)
		_, markdown, object := drawn(h, installation(h))
		for name, got := range map[string]string{"register.md": markdown, "register.json": object} {
			path := filepath.Join("testdata", name)
			if *update {
				h.ok(os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			h.ok(err)
			if got != string(want) {
				h.Errorf("%s is not what it was; -update rewrites it. Now:\n%s", name, got)
			}
		}
		for _, secret := range []string{"hunter2", "beckon:", "user:", "4711", "ct_", "zoe", "taken back", "a claim"} {
			if strings.Contains(markdown, secret) || strings.Contains(object, secret) {
				h.Errorf("the register tells %q", secret)
			}
		}
		var back rights.Register
		h.ok(json.Unmarshal([]byte(object), &back))
		if len(back.Activities) == 0 || len(back.Rules) == 0 || back.AsOf != schema.At(dawn) {
			h.Errorf("read back: %+v", back)
		}
	})
}

// TestL13RegisterFollowsWhatIsInForce: each thing that changes shows, and nothing that is not there.
func TestL13RegisterFollowsWhatIsInForce(t *testing.T) {
	h := newHouse(t, sqlite(t))
	_, bare, _ := drawn(h, rights.Installation{SQLite: true})
	for _, wrong := range []string{"data providers that", "Group:", "Extended until", "STARTTLS", "Groups of fewer", "from the IP address, which is then dropped)"} {
		if strings.Contains(bare, wrong) {
			t.Errorf("a bare installation's register says %q", wrong)
		}
	}
	for _, right := range []string{"No company is set up.", "no region database is in use", "is overwritten", "25 months after the open or click"} {
		if !strings.Contains(bare, right) {
			t.Errorf("a bare installation's register does not say %q", right)
		}
	}
	if strings.Contains(bare, "Mail to contacts from data providers") {
		t.Error("it mails providers' contacts without providers")
	}
	decide(h)
	r, full, _ := drawn(h, installation(h))
	for _, right := range []string{"24 months after their last sign of life", "; then de-identified", "Extended until 2025-01-15 (DPO 7)", "Group: candidate", "6 months after the last time that they were put into the group; then erased",
		"everybody from Fairs \\*Ltd\\*", "everybody that Bolt \\| Sons has to do with", "one person", "STARTTLS is required", "explicit consent (GDPR Art. 9(2)(a)) for: Sexual Health", "Groups of fewer than 5"} {
		if !strings.Contains(full, right) {
			t.Errorf("the register does not say %q", right)
		}
	}
	for _, a := range r.Activities {
		if len(a.Bases) == 0 || len(a.Subjects) == 0 || len(a.Data) == 0 || len(a.Rights) == 0 || len(a.Retention) == 0 || a.Aim == "" || a.Footing == "" {
			t.Errorf("an activity that says too little: %+v", a)
		}
	}
	covered := strings.Builder{}
	for _, a := range r.Activities {
		covered.WriteString(strings.Join(a.Retention, "\n"))
	}
	for _, rule := range r.Rules {
		if !strings.Contains(covered.String(), rule.Title) {
			t.Errorf("no activity names the rule of %s", rule.Purpose)
		}
	}
}

// TestS30ControllersAreNamedWithContactAndComplaintRoute, and with their role (S35): what is not
// declared is said to be so.
func TestS30ControllersAreNamedWithContactAndComplaintRoute(t *testing.T) {
	h := newHouse(t, sqlite(t))
	_, markdown, _ := drawn(h, installation(h))
	section := func(name string) string {
		_, rest, ok := strings.Cut(markdown, "### "+name+"\n")
		if !ok {
			t.Fatalf("no section on %s in\n%s", name, markdown)
		}
		body, _, _ := strings.Cut(rest, "\n#")
		return body
	}
	acme := section("Acme \\<Events\\> Ltd")
	for _, want := range []string{"Role: controller", "Postal address: 1 High Street London", "Contact for privacy: privacy@acme.example", "Phone: +44 20 7946 0000",
		"Privacy policy: https://acme.example/privacy", "Complaints: https://acme.example/complain"} {
		if !strings.Contains(acme, want) {
			t.Errorf("Acme: no %q in\n%s", want, acme)
		}
	}
	bolt := section("Bolt \\| Sons")
	for _, want := range []string{"Role: not declared", "Postal address: not declared", "Contact for privacy: not declared", "Complaints: not declared"} {
		if !strings.Contains(bolt, want) {
			t.Errorf("Bolt: no %q in\n%s", want, bolt)
		}
	}
}

// TestS31EachSystemSaysInWhichCountryItIs, or that it is not declared; and so does the list of who
// processes data for us (S32).
func TestS31EachSystemSaysInWhichCountryItIs(t *testing.T) {
	h := newHouse(t, sqlite(t))
	r, markdown, _ := drawn(h, installation(h))
	for _, want := range []string{
		"| database | db.example:5432 | GB | no | – |",
		"| counts | redis.example:6379 | DE | no | – |",
		"| relay | relay.example:587 | US | yes | starttls |",
		"| relay | 127.0.0.1:25 | not declared | – | none |",
		"| journal | this machine | not declared | – | – |",
	} {
		if !strings.Contains(markdown, want+"\n") {
			t.Errorf("no line %s in\n%s", want, markdown)
		}
	}
	if r.Transfers[3].Outside != nil {
		t.Errorf("what is not declared is judged: %+v", r.Transfers[3])
	}
	for _, a := range r.Activities {
		for _, who := range a.Recipients {
			if strings.Contains(who, "@") || strings.Contains(who, "://") {
				t.Errorf("%s: recipient %q", a.Name, who)
			}
		}
	}
}

// TestL13RegisterIsTextWhateverIsInIt: what operators write cannot become a heading, link or column.
func TestL13RegisterIsTextWhateverIsInIt(t *testing.T) {
	h := newHouse(t, sqlite(t))
	bad := "x\n\n# Heading\n| a | [link](https://evil.example) <script>alert(1)</script> `code` **bold**"
	in := installation(h)
	in.Controllers[0].Name, in.Controllers[0].Address = bad, bad
	in.Providers[0].Name, in.Providers[0].LawfulBasis = bad, bad
	in.Systems[2].Country, in.Systems[2].Protection, in.Systems[4].Name = bad, bad, bad
	in.Types = []string{bad}
	h.place(rights.Hold{Scope: rights.HoldSource, Source: 1})
	_, markdown, _ := drawn(h, in)
	for _, wrong := range []string{"\n# Heading", "[link](", "<script>", "`code`", "**bold**"} {
		if strings.Contains(markdown, wrong) {
			t.Errorf("it holds %q", wrong)
		}
	}
	columns := map[int]int{}
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "|") {
			columns[strings.Count(strings.ReplaceAll(line, "\\|", ""), "|")]++
		} else if n := strings.Count(strings.ReplaceAll(line, "\\|", ""), "|"); n != 0 {
			t.Errorf("a table begins within %q", line)
		}
	}
	delete(columns, 7)
	delete(columns, 6)
	delete(columns, 4)
	if len(columns) != 0 {
		t.Errorf("rows of other than 3, 5 or 6 columns: %v", columns)
	}
}
