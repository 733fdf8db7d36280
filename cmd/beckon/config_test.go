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
