package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestTheREADMETellsEverySetting(t *testing.T) {
	b, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if !strings.Contains(string(b), "| `"+s.env+"` | `--"+s.flag+"` |") {
			t.Errorf("the configuration table has no row for %s, --%s", s.env, s.flag)
		}
	}
	for _, command := range []string{"    go run ./cmd/beckon demo\n", "    go test ./...\n"} {
		if !strings.Contains(string(b), command) {
			t.Errorf("the quick start lacks %q", command)
		}
	}
}

func TestWhatCannotWorkIsToldAtStart(t *testing.T) {
	for _, c := range []struct {
		env, value, says string
	}{
		{"BECKON_LISTEN", "8080", "host:port"},
		{"BECKON_URL", "mail.example.org", "absolute http or https URL"},
		{"BECKON_URL", "http://mail.example.org", "https"},
		{"BECKON_TRUSTED_PROXIES", "10.0.0.1", "10.0.0.1\" is not a network"},
		{"BECKON_DATA", "", "directory"},
		{"BECKON_TOO_SOON", "2", "such as 2s"},
		{"BECKON_TOO_SOON", "-1s", "up to 1h"},
		{"BECKON_TOO_SOON", "2h", "up to 1h"},
		{"BECKON_BURST_LINKS", "1", "from 2 to 1000"},
		{"BECKON_BURST_LINKS", "-3", "or off"},
		{"BECKON_BURST_LINKS", "three", `got "three"`},
		{"BECKON_BURST_WINDOW", "soon", "or off"},
		{"BECKON_BURST_WINDOW", "2m", "up to 1m"},
		{"BECKON_DOMAIN_RATES", "gmail.com=fast", "write for example gmail.com=20"},
		{"BECKON_WARMUP", "news.example.org=50,100", "write for example news.example.org=2026-11-01:50"},
		{"BECKON_BOUNCES", "bounces@acme.example", "is not a domain"},
		{"BECKON_INTAKE", "25", "host:port"},
		{"BECKON_INTAKE", "0.0.0.0:25", "BECKON_BOUNCES names no domain"},
		{"BECKON_MAILBOX", "imap://u:secret@mail.example/INBOX", "imaps://"},
		{"BECKON_HOOKS", "mailchimp:key", "no provider"},
		{"BECKON_HOOKS", "ses:eu-west-1", "ARN"},
	} {
		t.Setenv(c.env, c.value)
		var conf Config
		conf.flags(pflag.NewFlagSet("", pflag.ContinueOnError))
		err := conf.finish()
		if err == nil || !strings.Contains(err.Error(), c.env+": ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%q: got %v", c.env, c.value, err)
		}
		os.Unsetenv(c.env)
	}
}

func TestAFlagWinsOverTheEnvironment(t *testing.T) {
	t.Setenv("BECKON_LISTEN", "127.0.0.1:1")
	var conf Config
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	conf.flags(fs)
	if err := fs.Parse([]string{"--listen", "127.0.0.1:2"}); err != nil {
		t.Fatal(err)
	}
	if err := conf.finish(); err != nil || conf.Listen != "127.0.0.1:2" || conf.URL != "http://127.0.0.1:2" {
		t.Errorf("%+v, %v", conf, err)
	}
}
