package consent

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestNormaliseEmail(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a normal address stays", "jane@example.org", "jane@example.org"},
		{"space around it goes", " \tjane@example.org\r\n", "jane@example.org"},
		{"case folds, also before the @", "Jane.Doe+News@Example.ORG", "jane.doe+news@example.org"},
		{"every character that may stand before the @", "!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"},
		{"a domain with digits and hyphens", "a@1-2.x--y.example", "a@1-2.x--y.example"},
		{"an international domain becomes A-labels", "jörg@exämple.org", "jörg@xn--exmple-cua.org"},
		{"an A-label stays", "a@xn--exmple-cua.org", "a@xn--exmple-cua.org"},
		{"an A-label in capitals folds", "a@XN--EXMPLE-CUA.ORG", "a@xn--exmple-cua.org"},
		{"combining characters are composed", "jo\u0308rg@example.org", "jörg@example.org"},
		{"capitals outside ASCII fold", "JÖRG@EXÄMPLE.ORG", "jörg@xn--exmple-cua.org"},
		{"an ideographic full stop is a dot", "a@例え。jp", "a@xn--r8jz45g.jp"},
		{"64 bytes before the @ are allowed", strings.Repeat("a", 64) + "@example.org", strings.Repeat("a", 64) + "@example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := NormaliseEmail(c.in)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestNonsenseIsNoAddress(t *testing.T) {
	for _, s := range []string{
		"", " ", "@", "jane", "jane@", "@example.org", "jane@example", "jane@localhost", "jane doe@example.org", "jane@exam ple.org", "a@b@example.org",
		`"jane doe"@example.org`, `"jane"@example.org`, "jane@[192.0.2.1]", "jane@192.0.2.1", "jane@example.123", "jane@example.org.", "jane@.example.org", "jane@example..org",
		".jane@example.org", "jane.@example.org", "ja..ne@example.org", "jane@-example.org", "jane@example-.org", "jane@exam_ple.org", "jane\x00@example.org", "jane@exa\nmple.org",
		"jane\u00a0doe@example.org", "jane\u200b@example.org", "jane\u202e@example.org", "jane\u2028@example.org", "jane\ufffd\xff@example.org", "<jane@example.org>", "jane@example.org, joe@example.org",
		"Jane <jane@example.org>", "mailto:jane@example.org", "jane(home)@example.org", "jane＠example.org", "jane@xn--a.org", "jane@xn--.org",
		strings.Repeat("a", 65) + "@example.org", "a@" + strings.Repeat("a", 64) + ".org", "a@" + strings.Repeat("abc.", 70) + "org", strings.Repeat("é", 2000) + "@example.org",
	} {
		got, err := NormaliseEmail(s)
		if !errors.Is(err, ErrAddress) {
			// mailto:jane@… has a colon, which no local part may hold unquoted; it is in the list on purpose.
			t.Errorf("%q: got %q, %v", s, got, err)
		} else if len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("the error holds the address: %v", err)
		}
	}
}

func FuzzNormaliseEmail(f *testing.F) {
	for _, s := range []string{"jane@example.org", " Jörg@Exämple.ORG", "a@例え。jp", "a@XN--EXMPLE-CUA.ORG", "İ@example.org", "\"x\"@y.z", "ẞ@faß.de", "a@b", "ǅ@ǆ.hr", "K@K.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := NormaliseEmail(s)
		if err != nil {
			if n != "" || !errors.Is(err, ErrAddress) {
				t.Fatalf("%q: got %q with %v", s, n, err)
			}
			return
		}
		again, err := NormaliseEmail(n)
		if err != nil || again != n {
			t.Fatalf("%q became %q, which becomes %q, %v", s, n, again, err)
		}
		local, domain, _ := strings.Cut(n, "@")
		if len(n) > 254 || len(local) > 64 || strings.ContainsAny(n, " \t\r\n\x00<>,\"()[]\\:;") || strings.Count(n, "@") != 1 || !strings.Contains(domain, ".") {
			t.Fatalf("%q became %q", s, n)
		}
		for _, c := range []byte(domain) {
			if c >= 0x80 {
				t.Fatalf("%q became %q", s, n)
			}
		}
	})
}

func TestHash(t *testing.T) {
	a := Hash(testKey, "jane@example.org")
	if len(a) != 16 || !bytes.Equal(a, Hash(testKey, "jane@example.org")) {
		t.Errorf("got %x", a)
	}
	if bytes.Equal(a, Hash(testKey, "joe@example.org")) || bytes.Equal(a, Hash([]byte("another key of some length"), "jane@example.org")) {
		t.Error("the hash does not depend on the address and the key")
	}
}
