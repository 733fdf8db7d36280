package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"beckon/mailer/doctor"
)

const notOurs = "This link is not complete, or it is not one of ours.\n"

// beckonLike answers as Beckon does, but for what change says.
func beckonLike(change func(w http.ResponseWriter, r *http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now().Format(http.TimeFormat))
		if change != nil && change(w, r) {
			return
		}
		if r.URL.Path == "/healthz" {
			_, _ = w.Write([]byte(`{"status":"ok"}`))
			return
		}
		w.Header().Set("Cache-Control", "no-store, max-age=0")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(notOurs))
	})
}

// certificate is good for mail.acme.example until its end.
func certificate(t *testing.T, end time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end, DNSNames: []string{"mail.acme.example"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestThePublicAddress(t *testing.T) {
	on := func(path string, answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if len(r.URL.Path) < len(path) || r.URL.Path[:len(path)] != path {
				return false
			}
			answer(w)
			return true
		}
	}
	far := time.Now().AddDate(1, 0, 0)
	for _, c := range []struct {
		name    string
		change  func(w http.ResponseWriter, r *http.Request) bool
		ends    time.Time
		host    string
		foreign bool // nobody vouches for the certificate
		check   string
		level   doctor.Level
		says    string
	}{
		{"as it should be", nil, far, "mail.acme.example", false, "beacon", doctor.OK, "uncached"},
		{"a certificate that lasts", nil, far, "mail.acme.example", false, "certificate", doctor.OK, "good until"},
		{"a certificate that ends soon", nil, time.Now().AddDate(0, 0, 5), "mail.acme.example", false, "certificate", doctor.Warning, "in 4 days"},
		{"a certificate that has ended", nil, time.Now().Add(-time.Hour), "mail.acme.example", false, "healthz", doctor.Problem, "certificate"},
		{"a certificate of another name", nil, far, "www.acme.example", false, "healthz", doctor.Problem, "certificate"},
		{"a certificate nobody vouches for", nil, far, "mail.acme.example", true, "healthz", doctor.Problem, "certificate"},
		{"a redirect", on("/healthz", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://www.acme.example/")
			w.WriteHeader(301)
		}), far, "mail.acme.example", false, "healthz", doctor.Problem, "redirects /healthz to https://www.acme.example/"},
		{"another program", on("/healthz", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>It works!")) }), far, "mail.acme.example", false, "healthz", doctor.Problem, "not as Beckon does"},
		{"a proxy without Beckon", on("/healthz", func(w http.ResponseWriter) { w.WriteHeader(502) }), far, "mail.acme.example", false, "healthz", doctor.Problem, "502"},
		{"a clock that is off", on("/healthz", func(w http.ResponseWriter) {
			w.Header().Set("Date", now().Add(-time.Minute).Format(http.TimeFormat))
			_, _ = w.Write([]byte(`{"status":"ok"}`))
		}), far, "mail.acme.example", false, "clock", doctor.Problem, "differ by 1m0s"},
		{"a clock that agrees", nil, far, "mail.acme.example", false, "clock", doctor.OK, "agrees"},
		{"beacons that are redirected", on("/o/", func(w http.ResponseWriter) { w.Header().Set("Location", "https://cdn.example/x"); w.WriteHeader(302) }), far, "mail.acme.example", false, "beacon", doctor.Problem, "cdn.example"},
		{"beacons out of a cache", on("/o/", func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Age", "12")
			w.WriteHeader(404)
			_, _ = w.Write([]byte(notOurs))
		}), far, "mail.acme.example", false, "beacon", doctor.Problem, "out of a cache"},
		{"a proxy that lets everything be kept", on("/o/", func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "max-age=3600")
			w.WriteHeader(404)
			_, _ = w.Write([]byte(notOurs))
		}), far, "mail.acme.example", false, "beacon", doctor.Problem, "no-store"},
		{"a page for everything", on("/o/", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }), far, "mail.acme.example", false, "beacon", doctor.Problem, "200 instead of 404"},
		{"a proxy's own 404", on("/o/", func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(404)
			_, _ = w.Write([]byte("nginx"))
		}), far, "mail.acme.example", false, "beacon", doctor.Warning, "its own page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert, roots := certificate(t, c.ends)
			server := httptest.NewUnstartedServer(beckonLike(c.change))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			server.Config.ErrorLog = quiet()
			server.StartTLS()
			defer server.Close()
			site := &doctor.Site{URL: "https://" + c.host, Roots: roots, Now: now, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
			}}
			if c.check == "certificate" {
				site.Now = time.Now
			}
			if c.foreign {
				_, site.Roots = certificate(t, far)
			}
			got := doctor.Examine(t.Context(), patience, []doctor.Check{site.Check()})
			if !finds(got, c.check, c.level, c.says) {
				t.Errorf("want %s %s with %q, got:\n%s", c.check, c.level, c.says, show(got))
			}
		})
	}
}

func TestAnAddressWithoutTLS(t *testing.T) {
	server := httptest.NewServer(beckonLike(nil))
	defer server.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	for _, c := range []struct {
		url      string
		insecure bool
		level    doctor.Level
	}{{"http://127.0.0.1:8080", false, doctor.OK}, {"http://mail.acme.example", false, doctor.Problem}, {"http://mail.acme.example", true, doctor.Warning}} {
		site := &doctor.Site{URL: c.url, Insecure: c.insecure, Now: now, Dial: dial}
		if got := doctor.Examine(t.Context(), patience, []doctor.Check{site.Check()}); !finds(got, "https", c.level) || !finds(got, "beacon", doctor.OK) {
			t.Errorf("%s:\n%s", c.url, show(got))
		}
	}
}

func TestAnAddressThatNobodyAnswersAt(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // accepts in its backlog, and says nothing
	for _, c := range []struct{ url, says string }{
		{"http://" + silent.Addr().String(), "in time"},
		{"https://no-such-host.invalid", "healthz"},
		{"http://[::1", "no address"},
		{"", "no address"},
	} {
		site := &doctor.Site{URL: c.url, Now: now}
		got := doctor.Examine(t.Context(), 500*time.Millisecond, []doctor.Check{site.Check()})
		if doctor.Worst(got) != doctor.Problem || !finds(got, "healthz", doctor.Problem, c.says) && !finds(got, "url", doctor.Problem, c.says) {
			t.Errorf("%q:\n%s", c.url, show(got))
		}
	}
}
