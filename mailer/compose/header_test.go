package compose

import (
	"mime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHeaderValuesAreFoldedAndEncoded(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Spring news", "Spring news"},
		{"", ""},
		{"Größe", "=?utf-8?q?Gr=C3=B6=C3=9Fe?="},
		{"=?utf-8?q?not_what_it_seems?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fnot=5Fwhat=5Fit=5Fseems=3F=3D?="},
		{"two  spaces", "=?utf-8?q?two__spaces?="},
		{strings.Repeat("seven77 ", 12) + "end", "seven77 seven77 seven77 seven77 seven77 seven77 seven77 seven77\r\n seven77 seven77 seven77 seven77 end"},
	} {
		if got := string(appendUnstructured(nil, c.in, len("Subject: "))); got != c.want {
			t.Errorf("%q is written\n%s\nwant\n%s", c.in, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,300}`), rapid.StringN(0, 400, -1)).Draw(t, "s")
		s = oneLine(s)
		out := "Subject: " + string(appendUnstructured(nil, s, len("Subject: ")))
		for _, line := range strings.Split(out, "\r\n") {
			if len(line) > 76 || strings.ContainsAny(line, "\r\n") || strings.TrimSpace(line) == "" {
				t.Fatalf("line %q", line)
			}
		}
		unfolded := strings.TrimPrefix(strings.ReplaceAll(out, "\r\n ", " "), "Subject: ")
		if got, err := new(mime.WordDecoder).DecodeHeader(unfolded); err != nil || got != s {
			t.Fatalf("%q reads back as %q, %v", s, got, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"ada@example.org": true, "a.b+c@sub.example.org": true, "jürgen@example.org": true, `"a b"@example.org`: true, "o'brien@example.org": true,
		"": false, "ada": false, "@example.org": false, "ada@": false, "a@b@example.org": false, "ada@example.org ": false, "a,b@example.org": false,
		"ada@example.org\r\n": false, "ada@exa\nmple.org": false, "<ada@example.org>": false, "Ada <ada@example.org>": false, ".a@example.org": false, "a..b@example.org": false,
		"ada@.example.org": false, "ada@example..org": false, "ada@example.org.": false, "ada@exämple.org": false, "a\x85@example.org": false, "ada@example.org>\r\nX: y": false,
		strings.Repeat("a", 400) + "@example.org": false, `"a` + "\n" + `"@example.org`: false,
	} {
		if err := checkAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	for in, want := range map[string]string{
		"news@acme.example":                  "news@acme.example",
		"Acme <news@acme.example>":           "news@acme.example",
		`"Acme: News; all" <a@acme.example>`: "a@acme.example",
		"Müller <brief@müller.example>":      "brief@xn--mller-kva.example",
	} {
		if a, err := parseMailbox(in); err != nil || a.Address != want {
			t.Errorf("%q: %v, %v", in, a, err)
		}
	}
}
