package doctor

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzRecords gives the parsers whatever stands in a TXT record.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		"v=spf1 a:%{d} mx/24//64 include:x -all redirect=y", "v=spf1 ip4:1.2.3.4/0 ip6:::1 exists:%{ir}.%{s1r-}.x ?all", "v=spf1 - + /", "v=spf1 %", "v=spf1 a:%{",
		"v=DKIM1; k=rsa; p=AAAA; t=y", "v=DMARC1; p=none; rua=mailto:a@b!10m,mailto:c@d; adkim=s", "v=DMARC1;;=;", "p=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record string) {
		if isSPF(record) {
			terms, err := parseSPF(record)
			for _, term := range terms {
				if err == nil && term.name == "" {
					t.Errorf("a term without a name in %q", record)
				}
				for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
					w := &spfWalk{ip: netip.MustParseAddr(ip), sender: "acme.example"}
					w.expand(term.domain, "acme.example")
				}
				(&spfWalk{}).expand(term.domain, "acme.example")
			}
		}
		if all, err := tags(record); err == nil {
			for name := range all {
				if name == "" || strings.ToLower(name) != name {
					t.Errorf("the tag %q in %q", name, record)
				}
			}
		}
		if d, err := parseDMARC(record, true); err == nil && d.p != "none" && d.p != "quarantine" && d.p != "reject" {
			t.Errorf("the policy %q of %q", d.p, record)
		}
		if line := txtLine("x", record); len(record) > 255 && !strings.Contains(line, `" "`) {
			t.Errorf("a string of %d bytes", len(record))
		}
	})
}
