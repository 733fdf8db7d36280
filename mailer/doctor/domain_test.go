package doctor_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"beckon/mailer/doctor"
	"beckon/mailer/queue"
)

const patience = 5 * time.Second

func now() time.Time { return time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC) }

var signingKey = func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}()

func dkimFor(t testing.TB, domain string) *queue.DKIM {
	t.Helper()
	d, err := queue.NewDKIM(domain, "s1", signingKey)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func relays(t testing.TB, s string) []*queue.Relay {
	t.Helper()
	all, err := queue.ParseRelays(s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// orderly is a zone in which nothing is wrong with acme.example.
func orderly(t testing.TB) zone {
	return zone{
		"acme.example":               {"MX mx.acme.example", "TXT v=spf1 ip4:203.0.113.0/24 -all", "TXT something=else"},
		"mx.acme.example":            {"A 203.0.113.9"},
		"relay.acme.example":         {"A 203.0.113.5", "AAAA 2001:db8:1::5"},
		"s1._domainkey.acme.example": {"TXT " + dkimFor(t, "acme.example").Record()},
		"_dmarc.acme.example":        {"TXT v=DMARC1; p=quarantine; rua=mailto:dmarc@acme.example"},
	}
}

func TestTheRecordsOfADomain(t *testing.T) {
	good := dkimFor(t, "acme.example").Record()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := queue.NewDKIM("acme.example", "s1", other)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := "p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&signingKey.PublicKey))
	const acme, key, policy = "acme.example", "s1._domainkey.acme.example", "_dmarc.acme.example"
	spf := func(record string) zone { return zone{acme: {"MX mx.acme.example", "TXT " + record}} }
	many := func(n int) zone { // n lookups, nested
		z := spf("v=spf1 include:i1.example -all")
		for i := 1; i < n; i++ {
			z[fmt.Sprintf("i%d.example", i)] = []string{fmt.Sprintf("TXT v=spf1 include:i%d.example ~all", i+1)}
		}
		z[fmt.Sprintf("i%d.example", n)] = []string{"TXT v=spf1 ip4:192.0.2.1 -all"}
		return z
	}
	with := func(z zone, more zone) zone { maps.Copy(z, more); return z }
	for _, c := range []struct {
		name   string
		change zone // nil values: the name is gone
		check  string
		level  doctor.Level
		says   []string
	}{
		{"an MX", nil, "mx", doctor.OK, []string{"mx.acme.example"}},
		{"an address alone", zone{acme: {"A 203.0.113.9", "TXT v=spf1 -all"}}, "mx", doctor.OK, []string{"has no MX", "203.0.113.9"}},
		{"neither", zone{acme: {"TXT v=spf1 -all"}}, "mx", doctor.Problem, []string{"neither MX nor address", "acme.example. IN MX 10"}},
		{"no such domain", zone{acme: nil}, "mx", doctor.Problem, []string{"neither MX nor address"}},
		{"a null MX", zone{acme: {"MX ."}}, "mx", doctor.Problem, []string{"null MX"}},
		{"an MX to nowhere", zone{"mx.acme.example": nil}, "mx", doctor.Problem, []string{"no MX of acme.example has an address"}},
		{"one of two MX to nowhere", zone{acme: {"MX mx.acme.example", "MX old.acme.example"}}, "mx", doctor.Warning, []string{"old.acme.example"}},
		{"servers that fail", zone{acme: {"SERVFAIL"}}, "mx", doctor.Problem, []string{"cannot answer for acme.example"}},
		{"servers that say nothing", zone{acme: {"SILENT"}}, "mx", doctor.Problem, []string{"in time"}},
		{"servers that talk nonsense", zone{acme: {"GARBAGE"}}, "spf", doctor.Problem, []string{"SPF of acme.example"}},

		{"one SPF record", nil, "spf", doctor.OK, []string{"ends in -all", "0 of 10 lookups"}},
		{"no SPF record", spf("google-site-verification=x"), "spf", doctor.Problem, []string{"has no SPF record", `acme.example. IN TXT "v=spf1 ip4:203.0.113.5 ip6:2001:db8:1::5 ~all"`}},
		{"a record of another version", spf("v=spf10 -all"), "spf", doctor.Problem, []string{"has no SPF record"}},
		{"two SPF records", zone{acme: {"MX mx.acme.example", "TXT v=spf1 a -all", "TXT V=SPF1 mx -all"}}, "spf", doctor.Problem, []string{"has 2 records"}},
		{"servers that fail for SPF", zone{acme: {"SERVFAIL"}}, "spf", doctor.Problem, []string{"cannot answer"}},
		{"~all", spf("v=spf1 ip4:203.0.113.5 ~all"), "spf", doctor.OK, []string{"ends in ~all"}},
		{"no all", spf("v=spf1 ip4:203.0.113.5"), "spf", doctor.Warning, []string{"ends in neither"}},
		{"?all", spf("v=spf1 ip4:203.0.113.5 ?all"), "spf", doctor.Warning, []string{"ends in neither"}},
		{"+all", spf("v=spf1 all"), "spf", doctor.Problem, []string{"anybody"}},
		{"a mechanism that is none", spf("v=spf1 ipv4:203.0.113.5 -all"), "spf", doctor.Problem, []string{`"ipv4:203.0.113.5" is not a mechanism`}},
		{"a network that is none", spf("v=spf1 ip4:203.0.113.5/33 -all"), "spf", doctor.Problem, []string{"ip4:203.0.113.5/33"}},
		{"an include of nothing", spf("v=spf1 include: -all"), "spf", doctor.Problem, []string{"names no domain"}},
		{"an include without a record", spf("v=spf1 include:none.example -all"), "spf", doctor.Problem, []string{"none.example, which has no SPF record"}},
		{"an include that goes round", with(spf("v=spf1 include:a.example -all"), zone{"a.example": {"TXT v=spf1 include:acme.example -all"}}), "spf", doctor.Problem, []string{"circle", "a.example → acme.example"}},
		{"a redirect that goes round", spf("v=spf1 redirect=acme.example"), "spf", doctor.Problem, []string{"circle"}},
		{"a redirect", with(spf("v=spf1 redirect=_spf.example"), zone{"_spf.example": {"TXT v=spf1 ip4:203.0.113.0/28 -all"}}), "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"ten lookups", many(10), "spf", doctor.OK, []string{"10 of 10 lookups"}},
		{"eleven lookups", many(11), "spf", doctor.Problem, []string{"more than 10 lookups", "needs 11"}},
		{"lookups side by side", with(spf("v=spf1 a mx a:mx.acme.example mx:acme.example exists:mx.acme.example include:i.example include:i.example include:i.example include:i.example include:i.example -all"),
			zone{"i.example": {"TXT v=spf1 mx:acme.example -all"}}), "spf", doctor.Problem, []string{"needs 15"}},
		{"what comes after all does not count", spf("v=spf1 -all include:none.example"), "spf", doctor.OK, []string{"0 of 10"}},
		{"three void lookups", spf("v=spf1 a:v1.example a:v2.example a:v3.example -all"), "spf", doctor.Problem, []string{"find nothing"}},
		{"two void lookups", spf("v=spf1 a:v1.example a:v2.example -all"), "spf", doctor.OK, []string{"2 of 10"}},
		{"ptr", spf("v=spf1 ptr ip4:203.0.113.5 -all"), "spf", doctor.Warning, []string{"ptr"}},
		{"an include that fails", with(spf("v=spf1 include:i.example -all"), zone{"i.example": {"SERVFAIL"}}), "spf", doctor.Problem, []string{"i.example"}},
		{"many strings", spf("v=spf1 " + strings.Repeat("ip4:192.0.2.1 ", 40) + "ip4:203.0.113.5 -all"), "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"a record behind a CNAME", zone{acme: {"CNAME other.example"}, "other.example": {"TXT v=spf1 ip4:203.0.113.5 -all"}}, "spf", doctor.OK, []string{"203.0.113.5 passes"}},

		{"the relay by its network", nil, "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"not by another family", nil, "spf", doctor.Warning, []string{"2001:db8:1::5 gets SPF fail"}},
		{"the relay by ip6", spf("v=spf1 ip6:2001:db8:1::/48 ~all"), "spf", doctor.OK, []string{"2001:db8:1::5 passes"}},
		{"the relay by a", spf("v=spf1 a:relay.acme.example -all"), "spf", doctor.OK, []string{"2001:db8:1::5 passes"}},
		{"the relay by a with a length", with(spf("v=spf1 a:near.example/28//64 -all"), zone{"near.example": {"A 203.0.113.1", "AAAA 2001:db8:1::1"}}), "spf", doctor.OK, []string{"2001:db8:1::5 passes"}},
		{"the relay by mx", with(spf("v=spf1 mx/24 -all"), nil), "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"the relay by include", with(spf("v=spf1 include:i.example -all"), zone{"i.example": {"TXT v=spf1 ip4:203.0.113.5 ?all"}}), "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"an include that fails the relay is no match", with(spf("v=spf1 include:i.example ~all"), zone{"i.example": {"TXT v=spf1 -ip4:203.0.113.5 -all"}}), "spf", doctor.Warning, []string{"203.0.113.5 gets SPF softfail"}},
		{"the relay by exists and macros", with(spf("v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"), zone{"5.113.0.203.in-addr._spf.acme.example": {"A 127.0.0.2"}}), "spf", doctor.OK, []string{"203.0.113.5 passes"}},
		{"a relay that is denied first", spf("v=spf1 -ip4:203.0.113.5 ip4:203.0.113.0/24 ~all"), "spf", doctor.Warning, []string{"203.0.113.5 gets SPF fail"}},

		{"the key in use", nil, "dkim", doctor.OK, []string{"rsa, 2048 bits"}},
		{"a key in PKCS 1, as RFC 6376 has it", zone{key: {"TXT " + pkcs1}}, "dkim", doctor.OK, nil},
		{"a key with white space", zone{key: {"TXT " + strings.Replace(good, "p=", "p= ", 1) + " ; "}}, "dkim", doctor.OK, nil},
		{"no key", zone{key: nil}, "dkim", doctor.Problem, []string{"no DKIM record", key + `. IN TXT "` + good[:255] + `" "` + good[255:] + `"`}},
		{"a key of another selector's", zone{key: {"TXT " + foreign.Record()}}, "dkim", doctor.Problem, []string{"another key (rsa, 2048 bits)"}},
		{"a revoked key", zone{key: {"TXT v=DKIM1; p="}}, "dkim", doctor.Problem, []string{"revoked"}},
		{"a record without p", zone{key: {"TXT v=DKIM1; k=rsa"}}, "dkim", doctor.Problem, []string{"no p="}},
		{"an Ed25519 key", zone{key: {"TXT v=DKIM1; k=ed25519; p=AAAA"}}, "dkim", doctor.Problem, []string{"k=ed25519"}},
		{"a cut key", zone{key: {"TXT " + good[:len(good)-9]}}, "dkim", doctor.Problem, []string{"p="}},
		{"another version", zone{key: {"TXT v=DKIM2; " + strings.TrimPrefix(good, "v=DKIM1; ")}}, "dkim", doctor.Problem, []string{"v=DKIM2"}},
		{"a tag twice", zone{key: {"TXT " + good + "; p=x"}}, "dkim", doctor.Problem, []string{"p= is there twice"}},
		{"something that is no list of tags", zone{key: {"TXT p=1; hello"}}, "dkim", doctor.Problem, []string{"hello"}},
		{"two keys", zone{key: {"TXT " + good, "TXT " + foreign.Record()}}, "dkim", doctor.Problem, []string{"2 records"}},
		{"a test", zone{key: {"TXT " + good + "; t=y:s"}}, "dkim", doctor.Warning, []string{"t=y"}},
		{"sha1 alone", zone{key: {"TXT " + good + "; h=sha1"}}, "dkim", doctor.Problem, []string{"sha256"}},
		{"a key behind a CNAME", zone{key: {"CNAME k.provider.example"}, "k.provider.example": {"TXT " + good}}, "dkim", doctor.OK, nil},
		{"servers that say nothing of the key", zone{key: {"SILENT"}}, "dkim", doctor.Problem, []string{"in time"}},

		{"a policy", nil, "dmarc", doctor.OK, []string{"quarantine"}},
		{"none", zone{policy: nil}, "dmarc", doctor.Problem, []string{`_dmarc.acme.example. IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@acme.example"`}},
		{"two", zone{policy: {"TXT v=DMARC1; p=none", "TXT v=DMARC1; p=reject"}}, "dmarc", doctor.Problem, []string{"2 records"}},
		{"others beside it", zone{policy: {"TXT v=spf1 -all", "TXT v=DMARC1; p=reject; rua=mailto:a@acme.example"}}, "dmarc", doctor.OK, []string{"reject"}},
		{"no p", zone{policy: {"TXT v=DMARC1; rua=mailto:a@acme.example"}}, "dmarc", doctor.Problem, []string{"no p="}},
		{"an unknown p", zone{policy: {"TXT v=DMARC1; p=block"}}, "dmarc", doctor.Problem, []string{"p=block"}},
		{"an unknown alignment", zone{policy: {"TXT v=DMARC1; p=none; adkim=x"}}, "dmarc", doctor.Problem, []string{"adkim=x"}},
		{"commas instead of semicolons", zone{policy: {"TXT v=DMARC1; p=none, rua=mailto:a@acme.example"}}, "dmarc", doctor.Problem, []string{"cannot be read"}},
		{"an rua that is no mailto", zone{policy: {"TXT v=DMARC1; p=none; rua=dmarc@acme.example"}}, "dmarc", doctor.Problem, []string{"mailto:"}},
		{"no rua", zone{policy: {"TXT v=DMARC1; p=none"}}, "dmarc", doctor.Warning, []string{"no rua"}},
		{"an rua of somebody who did not agree", zone{policy: {"TXT v=DMARC1; p=none; rua=mailto:x@reports.example!10m"}}, "dmarc", doctor.Warning, []string{`acme.example._report._dmarc.reports.example. IN TXT "v=DMARC1"`}},
		{"servers that fail for DMARC", zone{policy: {"SERVFAIL"}}, "dmarc", doctor.Problem, []string{"cannot answer"}},

		{"aligned", nil, "alignment", doctor.OK, []string{"relaxed"}},
		{"aligned strictly", zone{policy: {"TXT v=DMARC1; p=none; adkim=s; aspf=s"}}, "alignment", doctor.OK, []string{"strict"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			z := orderly(t)
			for name, records := range c.change {
				if z[name] = records; records == nil {
					delete(z, name)
				}
			}
			in := doctor.Installation{Resolver: nameServer(t, z), Relays: nil, DKIM: []*queue.DKIM{dkimFor(t, acme)}, Now: now, Question: 300 * time.Millisecond}
			in.Relays = relays(t, "smtp://relay.acme.example:1?tls=none")
			checks := in.Checks([]string{acme})[1:] // without the conversation with the relay
			got := doctor.Examine(t.Context(), patience, checks)
			if !finds(got, c.check, c.level, c.says...) {
				t.Errorf("want %s %s with %q, got:\n%s", c.check, c.level, c.says, show(got))
			}
			if c.change == nil {
				for _, f := range got {
					if f.Level == doctor.Problem {
						t.Errorf("false alarm: %+v", f)
					}
				}
			}
		})
	}
}

func show(all []doctor.Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s %s %s: %s → %s %s\n", f.Area, f.Level, f.Check, f.Message, f.Remedy, f.Record)
	}
	return b.String()
}

func TestASubdomainHasItsOrganisationsPolicy(t *testing.T) {
	for _, c := range []struct {
		name, record, bounces string
		key                   string // domain of the key; empty: none
		check                 string
		level                 doctor.Level
		says                  string
	}{
		{"sp applies", "v=DMARC1; p=reject; sp=none; rua=mailto:a@acme.co.uk", "", "acme.co.uk", "dmarc", doctor.OK, "_dmarc.acme.co.uk is none"},
		{"relaxed, the organisation's key", "v=DMARC1; p=reject", "", "acme.co.uk", "alignment", doctor.OK, "acme.co.uk"},
		{"strict, the organisation's key", "v=DMARC1; p=reject; adkim=s", "", "acme.co.uk", "alignment", doctor.Warning, "adkim=s"},
		{"strict, and bounces elsewhere", "v=DMARC1; p=reject; adkim=s; aspf=s", "bounces.acme.co.uk", "acme.co.uk", "alignment", doctor.Problem, "neither"},
		{"strict, its own key, bounces elsewhere", "v=DMARC1; p=reject; adkim=s; aspf=s", "bounces.acme.co.uk", "news.acme.co.uk", "alignment", doctor.OK, "need not be"},
		{"no key, and bounces at another owner's", "v=DMARC1; p=reject", "bounces.other.co.uk", "", "alignment", doctor.Problem, "no signature"},
		{"no key", "v=DMARC1; p=reject", "", "", "alignment", doctor.Warning, "only SPF"},
		{"no key is a problem of its own", "v=DMARC1; p=reject", "", "", "dkim", doctor.Problem, "news.acme.co.uk:SELECTOR"},
	} {
		in := doctor.Installation{Resolver: nameServer(t, zone{"_dmarc.acme.co.uk": {"TXT " + c.record}, "news.acme.co.uk": {"A 192.0.2.1"}}), Bounces: c.bounces}
		if c.key != "" {
			in.DKIM = []*queue.DKIM{dkimFor(t, c.key)}
		}
		if got := look(t, in, "news.acme.co.uk"); !finds(got, c.check, c.level, c.says) {
			t.Errorf("%s: want %s %s with %q, got:\n%s", c.name, c.check, c.level, c.says, show(got))
		}
	}
}

func TestReturnPathsNeedADomainThatLeadsHere(t *testing.T) {
	here := []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	for _, c := range []struct {
		name  string
		z     zone
		here  []netip.Addr
		check string
		level doctor.Level
		says  string
	}{
		{"it does", zone{"b.acme.example": {"MX mx.acme.example", "TXT v=spf1 -all"}}, here, "mx", doctor.OK, "come to this machine"},
		{"no MX", zone{"b.acme.example": {"A 203.0.113.9"}}, here, "mx", doctor.Problem, "b.acme.example. IN MX 10"},
		{"it leads elsewhere", zone{"b.acme.example": {"MX mx.other.example"}, "mx.other.example": {"A 192.0.2.1"}}, here, "mx", doctor.Warning, "192.0.2.1"},
		{"a mailbox elsewhere takes them", zone{"b.acme.example": {"MX mx.other.example"}, "mx.other.example": {"A 192.0.2.1"}}, nil, "mx", doctor.OK, "mx.other.example"},
		{"SPF is that of the return path", zone{"b.acme.example": {"MX mx.acme.example"}}, here, "spf", doctor.Problem, "b.acme.example has no SPF record"},
	} {
		z := orderly(t)
		maps.Copy(z, c.z)
		in := doctor.Installation{Resolver: nameServer(t, z), Bounces: "b.acme.example", Here: c.here, DKIM: []*queue.DKIM{dkimFor(t, "acme.example")}}
		if got := look(t, in, "acme.example"); !finds(got, c.check, c.level, c.says) {
			t.Errorf("%s: want %s %s with %q, got:\n%s", c.name, c.check, c.level, c.says, show(got))
		}
	}
}

func TestASmarthostsAddressCannotBeTold(t *testing.T) {
	z := orderly(t)
	z["smart.acme.example"] = []string{"A 10.0.0.25"}
	in := doctor.Installation{Resolver: nameServer(t, z), DKIM: []*queue.DKIM{dkimFor(t, "acme.example")}, Now: now}
	for _, host := range []string{"smart.acme.example", "127.0.0.1", "100.64.1.1"} {
		in.Relays = relays(t, "smtp://"+host+":1?tls=none")
		got := doctor.Examine(t.Context(), patience, in.Checks([]string{"acme.example"})[1:])
		if !finds(got, "spf", doctor.OK, "cannot be told", host) {
			t.Errorf("%s:\n%s", host, show(got))
		}
	}
}
