package queue

import (
	"errors"
	"strings"
	"testing"
)

func TestRelayAddresses(t *testing.T) {
	for _, c := range []struct {
		address string
		want    Relay
	}{
		{"smtp://mail.example.org", Relay{Host: "mail.example.org", Port: 25, TLS: TLSStart}},
		{"smtp://mail.example.org:587", Relay{Host: "mail.example.org", Port: 587, TLS: TLSStart}},
		{"smtp://mail.example.org:465", Relay{Host: "mail.example.org", Port: 465, TLS: TLSImplicit}},
		{"smtps://mail.example.org", Relay{Host: "mail.example.org", Port: 465, TLS: TLSImplicit}},
		{"smtp://127.0.0.1:1025", Relay{Host: "127.0.0.1", Port: 1025, TLS: TLSNone}},
		{"smtp://[::1]:1025/", Relay{Host: "::1", Port: 1025, TLS: TLSNone}},
		{"smtp://localhost?tls=starttls", Relay{Host: "localhost", Port: 25, TLS: TLSStart}},
		{"smtp://u:p%2C%40@relay:2525?tls=none&connections=8&rate=50&helo=out.example.org",
			Relay{Host: "relay", Port: 2525, TLS: TLSNone, Connections: 8, Rate: 50, Hello: "out.example.org", user: "u", password: "p,@"}},
	} {
		got, err := ParseRelays(c.address)
		if err != nil || len(got) != 1 || *got[0] != c.want {
			t.Errorf("%s is read as %+v, %v; want %+v", c.address, got, err, c.want)
		}
	}
}

func TestSeveralRelays(t *testing.T) {
	got, err := ParseRelays("smtp://a.example, smtp://b.example:2525,")
	if err != nil || len(got) != 2 || got[1].String() != "b.example:2525" {
		t.Fatalf("got %v, %v", got, err)
	}
	if got, err := ParseRelays(" "); err != nil || got != nil {
		t.Fatalf("no relay is read as %v, %v", got, err)
	}
}

func TestBadRelayAddressesAreToldWithoutTheirPassword(t *testing.T) {
	for _, address := range []string{
		"hunter2", "http://u:hunter2@relay", "smtp://u:hunter2@", "smtp://u:hunter2%zz@relay", "smtp://u:hunter2@relay:0", "smtp://u:hunter2@relay:70000",
		"smtp://u:hunter2@relay:x", "smtp://u:hunter2@relay/path", "smtp://u:hunter2@relay?tls=yes", "smtp://u:hunter2@relay?connections=0",
		"smtp://u:hunter2@relay?rate=-1", "smtp://u:hunter2@relay?rate=NaN", "smtp://u:hunter2@relay?helo=a%0d%0ab", "smtp://u:hunter2@relay?colour=red",
	} {
		got, err := ParseRelays("smtp://fine.example," + address)
		if !errors.Is(err, ErrRelay) {
			t.Errorf("%s was read as %v, %v", address, got, err)
		} else if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "relay 2") {
			t.Errorf("%s: the error is %q", address, err)
		}
	}
}

func FuzzParseRelays(f *testing.F) {
	f.Add("smtp://u:p@h:25?tls=none,smtps://x")
	f.Add("smtp://[::1]:1025")
	f.Fuzz(func(t *testing.T, s string) {
		relays, err := ParseRelays(s)
		if err != nil {
			return
		}
		for _, r := range relays {
			if r.Host == "" || r.Port < 1 || r.TLS == "" {
				t.Fatalf("%q is read as %+v", s, *r)
			}
		}
	})
}
