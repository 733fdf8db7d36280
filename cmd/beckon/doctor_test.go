package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/mailer/doctor"
	"beckon/mailer/queue"
	"beckon/schema/servertest"
	"beckon/segments"
	"beckon/tracker"
	"beckon/tracker/token"
)

// records is what DNS says, by name with the last dot; what is not there is not found.
type records map[string][]string

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	if _, known := r[name]; !known {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return r[name], nil
}

func (records) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx." + name, Pref: 10}}, nil
}

func (records) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("203.0.113.5")}, nil
}

// examine runs the command as a shell would and returns what it found and its exit status.
func examine(t *testing.T, r doctor.Resolver, args ...string) (told struct {
	OK                 bool
	Problems, Warnings int
	Findings           []doctor.Finding
}, status int) {
	t.Helper()
	cmd := doctorCommandOf(&examination{resolver: r})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append(args, "--json", "--limit", "10s"))
	switch err := cmd.ExecuteContext(t.Context()); {
	case errors.Is(err, errTold):
		status = 1
	case err != nil:
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &told); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	return told, status
}

func level(all []doctor.Finding, area, subject, check string, says string) (found doctor.Level) {
	for _, f := range all {
		if f.Area == area && strings.Contains(f.Subject, subject) && f.Check == check && strings.Contains(f.Message+f.Remedy+f.Record, says) {
			return f.Level
		}
	}
	return ""
}

func TestDoctorFindsAnOrderlyInstallationWell(t *testing.T) {
	for name, on := range map[string]demoStorage{"embedded": {}, "PostgreSQL and Redis": {servertest.PostgresDSN(t), servertest.NewRedis(t).URL}} {
		t.Run(name, func(t *testing.T) {
			catcher, err := demo.ListenCatcher("127.0.0.1:0", time.Now)
			if err != nil {
				t.Fatal(err)
			}
			defer catcher.Close()
			data := t.TempDir()
			key := filepath.Join(data, "dkim.pem")
			if err := writeKey(key); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(nil)
			conf := &Config{Listen: server.Listener.Addr().String(), Data: data, Database: on.database, Redis: on.redis, SMTP: "smtp://" + catcher.Addr() + "?tls=none", DKIM: "acme.example:s1:" + key}
			if err := conf.finish(); err != nil {
				t.Fatal(err)
			}
			a, err := open(t.Context(), conf, slog.New(slog.DiscardHandler), time.Now, true)
			if err != nil {
				t.Fatal(err)
			}
			defer a.close()
			if server.Config.Handler, err = a.faces(); err != nil {
				t.Fatal(err)
			}
			server.Start()
			defer server.Close()
			if _, err := a.companies.Create(t.Context(), segments.Company{Slug: "acme", Name: "ACME", FromDomain: "acme.example"}); err != nil {
				t.Fatal(err)
			}
			args := []string{"--listen", conf.Listen, "--data", data, "--database", conf.Database, "--smtp", conf.SMTP, "--dkim", conf.DKIM}
			if on.redis != "" {
				args = append(args, "--redis", on.redis)
			}
			dkim, err := queue.LoadDKIM(conf.DKIM)
			if err != nil {
				t.Fatal(err)
			}
			world := records{"acme.example.": {"v=spf1 ip4:203.0.113.5 -all"}, "s1._domainkey.acme.example.": {dkim[0].Record()}, "_dmarc.acme.example.": {"v=DMARC1; p=reject; rua=mailto:d@acme.example"}}
			before := listing(t, data)
			told, status := examine(t, world, args...)
			if status != 0 || !told.OK || told.Problems != 0 {
				t.Errorf("exit status %d, %d problems: %+v", status, told.Problems, told.Findings)
			}
			for _, want := range []struct{ area, subject, check, says string }{
				{"configuration", "settings", "settings", ""}, {"storage", "database", "version", "current version"}, {"storage", data, "writable", ""}, {"storage", "redis", "reachable", "answers"},
				{"relay", catcher.Addr(), "sender", "takes mail from 1 of 1"}, {"domain", "acme.example", "mx", ""}, {"domain", "acme.example", "spf", "-all"}, {"dkim", "acme.example", "dkim", "2048"},
				{"domain", "acme.example", "dmarc", "reject"}, {"domain", "acme.example", "alignment", ""}, {"web", conf.URL, "healthz", ""}, {"web", conf.URL, "beacon", ""}, {"web", "proxies", "clients", "do not all look"},
			} {
				if got := level(told.Findings, want.area, want.subject, want.check, want.says); got != doctor.OK {
					t.Errorf("%v is %q: %+v", want, got, told.Findings)
				}
			}
			if after := listing(t, data); after != before {
				t.Errorf("doctor left something behind:\n%s\nbefore:\n%s", after, before)
			}
			delete(world, "s1._domainkey.acme.example.")
			told, status = examine(t, world, append(args, "--sender-domain", "Other.Example", "--trusted-proxies", "10.0.0.1")...)
			if status != 1 || level(told.Findings, "dkim", "acme.example", "dkim", dkim[0].Record()[:40]) != doctor.Problem || level(told.Findings, "domain", "other.example", "dmarc", "_dmarc.other.example. IN TXT") != doctor.Problem ||
				level(told.Findings, "domain", "other.example", "dkim", "loopback") != doctor.Warning || level(told.Findings, "configuration", "settings", "settings", "BECKON_TRUSTED_PROXIES") != doctor.Problem {
				t.Errorf("exit status %d: %+v", status, told.Findings)
			}
		})
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "beckon.db-") { // come and go with connections
			fmt.Fprintln(&b, e.Name())
		}
	}
	return b.String()
}

func TestDoctorGoesOnWhateverFails(t *testing.T) {
	data := filepath.Join(t.TempDir(), "not-there")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	told, status := examine(t, records{}, "--listen", nobody, "--data", data, "--database", "postgres://nobody:s3cret@"+nobody+"/x?sslmode=disable", "--redis", "redis://:s3cret@"+nobody,
		"--smtp", "smtp://ann:s3cret@"+nobody+"?tls=none", "--dkim", "acme.example:s1:/no/such/file", "--geo", "/no/such/file", "--burst-links", "one", "--sender-domain", "acme.example")
	if status != 1 || told.OK {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []struct {
		area, subject, check, says string
		level                      doctor.Level
	}{
		{"configuration", "settings", "settings", "BECKON_BURST_LINKS", doctor.Problem},
		{"configuration", "settings", "settings", "BECKON_DKIM", doctor.Problem},
		{"storage", "database", "reachable", "BECKON_DATABASE", doctor.Problem},
		{"storage", "redis", "reachable", "BECKON_REDIS", doctor.Problem},
		{"storage", data, "writable", "first start", doctor.Warning},
		{"relay", nobody, "connection", "cannot be reached", doctor.Problem},
		{"domain", "acme.example", "spf", "acme.example. IN TXT", doctor.Problem},
		{"web", nobody, "healthz", "start serve", doctor.Problem},
		{"lists", "regions", "age", "BECKON_GEO", doctor.Problem},
		{"lists", "networks", "age", "networks update", doctor.Warning},
	} {
		if got := level(told.Findings, want.area, want.subject, want.check, want.says); got != want.level {
			t.Errorf("%+v is %q", want, got)
		}
	}
	if text := fmt.Sprint(told); strings.Contains(text, "s3cret") {
		t.Errorf("a password is told: %s", text)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
}

func TestWhatDoctorPrints(t *testing.T) {
	var b bytes.Buffer
	if err := printFindings(&b, []doctor.Finding{
		{Area: "domain", Subject: "acme.example", Check: "mx", Level: doctor.OK, Message: "mail goes there"},
		{Area: "domain", Subject: "acme.example", Check: "spf", Level: doctor.Problem, Message: "no record", Remedy: "publish one", Record: "acme.example. IN TXT \"v=spf1 -all\""},
	}); err != nil {
		t.Fatal(err)
	}
	const want = "domain acme.example\n  ok      mx: mail goes there\n  PROBLEM spf: no record\n          → publish one\n            acme.example. IN TXT \"v=spf1 -all\"\n2 findings: 1 ok, 0 warnings, 1 problems\n"
	if b.String() != want {
		t.Errorf("printed\n%s", b.String())
	}
	cmd := doctorCommandOf(&examination{resolver: records{}})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"--sender-domain", "news@acme.example"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a domain") {
		t.Errorf("an address for a domain: %v", err)
	}
}

func TestAProxyThatIsNotTrustedIsToldOf(t *testing.T) {
	a, faces := installation(t, &Config{Data: t.TempDir()})
	server := httptest.NewServer(faces)
	defer server.Close()
	x := &examination{conf: &Config{Listen: server.Listener.Addr().String()}, resolver: records{}, now: time.Now, limit: time.Second}
	look := func() []doctor.Finding {
		return doctor.Examine(t.Context(), 5*time.Second, []doctor.Check{{Area: "web", Subject: "proxies", Run: x.proxies}})
	}
	if got := look(); doctor.Worst(got) != doctor.OK || len(a.warnings()) != 0 {
		t.Errorf("before any hit: %+v, %q", got, a.warnings())
	}
	text, err := a.secrets.ring.Sign(token.Token{Kind: token.Click, Campaign: 1, Link: 1, URL: "https://example.org/"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		r := httptest.NewRequest(http.MethodGet, "/c/"+text, nil)
		r.RemoteAddr = "10.0.0.2:4711"
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		w := httptest.NewRecorder()
		if faces.ServeHTTP(w, r); w.Code != http.StatusFound {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if got := look(); doctor.Worst(got) != doctor.Problem || !strings.Contains(got[0].Message, "BECKON_TRUSTED_PROXIES") || len(a.warnings()) != 1 || a.warnings()[0] != tracker.OneClientWarning {
		t.Errorf("after hits through a proxy: %+v, %q", got, a.warnings())
	}
}
