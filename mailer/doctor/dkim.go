package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"beckon/mailer/queue"
)

// tags reads a list of tag=value; (RFC 6376, 3.2). Names are lower-cased, white space around values is gone.
func tags(record string) (map[string]string, error) {
	all := map[string]string{}
	for _, part := range strings.Split(record, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%q is not of the form name=value", shorten(part))
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%s= is there twice", name)
		}
		all[name] = strings.TrimSpace(value)
	}
	return all, nil
}

func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// dkim holds the record of a key against the key in use.
func (n names) dkim(ctx context.Context, key *queue.DKIM, tell func(Finding)) {
	name := key.Selector + "._domainkey." + key.Domain
	say := func(level Level, remedy, format string, args ...any) {
		f := Finding{Check: "dkim", Level: level, Message: name + " " + fmt.Sprintf(format, args...), Remedy: remedy}
		if level == Problem {
			f.Record = txtLine(name, key.Record())
		}
		tell(f)
	}
	const publish = "publish this record, and nothing else under its name"
	records, err := n.txt(ctx, name)
	if err != nil {
		tell(Finding{Check: "dkim", Level: Problem, Message: err.Error(), Remedy: "see that the name servers of " + key.Domain + " answer, then run doctor again"})
		return
	}
	records = slices.DeleteFunc(records, func(r string) bool {
		return !strings.Contains(r, "p=") && !strings.HasPrefix(r, "v=DKIM1")
	})
	switch len(records) {
	case 0:
		say(Problem, publish, "has no DKIM record: receivers cannot check the signature")
		return
	case 1:
	default:
		say(Problem, publish, "has %d records: receivers may take any of them", len(records))
		return
	}
	t, err := tags(records[0])
	if err != nil {
		say(Problem, publish, "cannot be read: %v", err)
		return
	}
	p := strings.Join(strings.Fields(t["p"]), "")
	der, err := base64.StdEncoding.DecodeString(p)
	_, want, _ := strings.Cut(key.Record(), "p=")
	v, versioned := t["v"]
	_, given := t["p"]
	switch {
	case versioned && v != "DKIM1":
		say(Problem, publish, "says v=%s, and has to say v=DKIM1", shorten(v))
	case !given:
		say(Problem, publish, "has no p=")
	case p == "":
		say(Problem, "publish this record, or put a new key under a new selector into BECKON_DKIM", "has an empty p=: the key is revoked")
	case t["k"] != "" && t["k"] != "rsa":
		say(Problem, publish, "says k=%s, and the key in use is rsa", shorten(t["k"]))
	case err != nil:
		say(Problem, publish, "has a p= that is not base64")
	case p != want && !samePublicKey(der, want):
		say(Problem, publish, "holds another key%s than the one BECKON_DKIM signs with", bits(der))
	case t["h"] != "" && !slices.Contains(strings.FieldsFunc(t["h"], func(c rune) bool { return c == ':' || c == ' ' }), "sha256"):
		say(Problem, publish, "allows h=%s alone, and signatures are made with sha256", shorten(t["h"]))
	case t["s"] != "" && t["s"] != "*" && !slices.Contains(strings.Split(t["s"], ":"), "email"):
		say(Problem, publish, "says s=%s, which is not for email", shorten(t["s"]))
	case slices.Contains(strings.FieldsFunc(t["t"], func(c rune) bool { return c == ':' || c == ' ' }), "y"):
		tell(Finding{Check: "dkim", Level: Warning, Message: name + " says t=y: receivers treat the signature as a test", Remedy: "publish it without t=y", Record: txtLine(name, key.Record())})
	default:
		say(OK, "", "holds the key that signs%s", bits(der))
	}
}

// samePublicKey compares keys that are written in two ways: X.509, or PKCS 1.
func samePublicKey(der []byte, want string) bool {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return false
	}
	other, err := base64.StdEncoding.DecodeString(want)
	if err != nil {
		return false
	}
	parsed, err := x509.ParsePKIXPublicKey(other)
	return err == nil && key.Equal(parsed)
}

func bits(der []byte) string {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return ""
	}
	if r, ok := key.(*rsa.PublicKey); ok {
		return fmt.Sprintf(" (rsa, %d bits)", r.N.BitLen())
	}
	return " (not rsa)"
}
