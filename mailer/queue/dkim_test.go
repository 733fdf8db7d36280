package queue_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"beckon/mailer/queue"

	"github.com/emersion/go-msgauth/dkim"
)

const letter = "From: ACME <news@mail.acme.example>\r\nTo: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\nDate: Mon, 04 May 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@acme.example>\r\nList-Unsubscribe: <https://b.example/u/abc>, <mailto:privacy@acme.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" +
	"List-Id: ACME <newsletter.acme.example>\r\nFeedback-ID: c1:acme:newsletter:beckon\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello  there \r\n.dot\r\n\r\n\r\n"

func TestSignedMailVerifies(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := queue.LoadDKIM("ACME.example:s1:" + path)
	if err != nil || len(keys) != 1 {
		t.Fatalf("got %v, %v", keys, err)
	}
	d := keys[0]
	msg, err := d.Sign([]byte(letter))
	if err != nil {
		t.Fatal(err)
	}
	lookup := func(domain string) ([]string, error) {
		if domain != "s1._domainkey.acme.example" {
			return nil, errors.New("no such domain")
		}
		return []string{d.Record()}, nil
	}
	verify := func(msg []byte) *dkim.Verification {
		t.Helper()
		found, err := dkim.VerifyWithOptions(bytes.NewReader(msg), &dkim.VerifyOptions{LookupTXT: lookup})
		if err != nil || len(found) != 1 {
			t.Fatalf("%d signatures, %v", len(found), err)
		}
		return found[0]
	}
	v := verify(msg)
	if v.Err != nil || v.Domain != "acme.example" {
		t.Fatalf("signature of %s: %v", v.Domain, v.Err)
	}
	for _, field := range []string{"From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "MIME-Version", "Content-Type", "Reply-To", "Feedback-ID"} {
		if !slices.ContainsFunc(v.HeaderKeys, func(k string) bool { return strings.EqualFold(k, field) }) {
			t.Errorf("%s is not signed", field)
		}
	}
	head := string(msg[:len(msg)-len(letter)])
	if strings.Contains(head, "l=") || !strings.Contains(head, "c=relaxed/relaxed") || !strings.Contains(head, "a=rsa-sha256") {
		t.Errorf("the signature is %q", head)
	}
	for _, line := range strings.Split(head, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	for _, c := range []struct{ name, from, to string }{
		{"another unsubscribe address", "/u/abc", "/u/abd"},
		{"a Reply-To that was not there", "Subject:", "Reply-To: <mallory@example.net>\r\nSubject:"},
		{"more text at the end", ".dot\r\n", ".dot\r\nmore\r\n"},
	} {
		if v := verify([]byte(strings.Replace(string(msg), c.from, c.to, 1))); v.Err == nil {
			t.Errorf("%s goes unnoticed", c.name)
		}
	}
	if !d.Covers("acme.example") || !d.Covers("mail.ACME.example") || d.Covers("notacme.example") || d.Covers("example") {
		t.Error("the key covers other domains than its own and those below")
	}
}

func TestWeakAndForeignKeysAreRefused(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queue.NewDKIM("acme.example", "s1", weak); !errors.Is(err, queue.ErrDKIM) || !strings.Contains(err.Error(), "2048") {
		t.Errorf("a key of 1024 bits gives %v", err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queue.NewDKIM("acme.example", "s1", curve); !errors.Is(err, queue.ErrDKIM) {
		t.Errorf("an ECDSA key gives %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"acme.example", "acme.example:s1:/does/not/exist", "acme.example:s1:" + empty} {
		if _, err := queue.LoadDKIM(s); !errors.Is(err, queue.ErrDKIM) {
			t.Errorf("%q gives %v", s, err)
		}
	}
	if got, err := queue.LoadDKIM(""); err != nil || got != nil {
		t.Errorf("no key gives %v, %v", got, err)
	}
}
