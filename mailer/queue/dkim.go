package queue

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// ErrDKIM is wrapped when a signing key cannot be used.
var ErrDKIM = errors.New("DKIM key cannot be used")

// DKIM signs mail of one domain (RFC 6376): relaxed/relaxed, rsa-sha256, the whole body.
type DKIM struct {
	Domain   string
	Selector string
	options  dkim.SignOptions
}

// signed are the header fields that a signature covers. Naming one that a message lacks keeps it
// from being added later.
var signed = []string{"From", "To", "Subject", "Date", "Message-ID", "Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post",
	"List-Id", "Feedback-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// NewDKIM returns a signer. The key is an RSA key of at least 2048 bits.
func NewDKIM(domain, selector string, key crypto.Signer) (*DKIM, error) {
	public, ok := key.Public().(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("queue: %w: it is not an RSA key; make one with: openssl genrsa -out dkim.pem 2048", ErrDKIM)
	case public.N.BitLen() < 2048:
		return nil, fmt.Errorf("queue: %w: it has %d bits and needs 2048; make one with: openssl genrsa -out dkim.pem 2048", ErrDKIM, public.N.BitLen())
	case domain == "" || selector == "":
		return nil, fmt.Errorf("queue: %w: its domain or selector is missing", ErrDKIM)
	}
	domain = strings.ToLower(domain)
	return &DKIM{domain, selector, dkim.SignOptions{
		Domain: domain, Selector: selector, Signer: key, Hash: crypto.SHA256, HeaderKeys: signed,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	}}, nil
}

// LoadDKIM reads domain:selector:path of a PEM file, several separated by commas.
func LoadDKIM(s string) ([]*DKIM, error) {
	var all []*DKIM
	for _, one := range strings.Split(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		part := strings.SplitN(one, ":", 3)
		if len(part) != 3 {
			return nil, fmt.Errorf("queue: %w: %q is not domain:selector:path", ErrDKIM, one)
		}
		key, err := readKey(part[2])
		if err != nil {
			return nil, fmt.Errorf("queue: %w: %s: %w", ErrDKIM, part[2], err)
		}
		d, err := NewDKIM(part[0], part[1], key)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func readKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("no unencrypted private key in it")
	}
	if key, ok := key.(crypto.Signer); ok {
		return key, nil
	}
	return nil, errors.New("its key cannot sign")
}

// Covers reports whether mail from the domain may be signed with the key: it is the key's domain or
// lies below it, so that From is aligned.
func (d *DKIM) Covers(domain string) bool {
	domain = strings.ToLower(domain)
	return domain == d.Domain || strings.HasSuffix(domain, "."+d.Domain)
}

// Sign returns the message with its signature before it.
func (d *DKIM) Sign(msg []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(msg) + 1024)
	if err := dkim.Sign(&b, bytes.NewReader(msg), &d.options); err != nil {
		return nil, fmt.Errorf("queue: sign: %w", err)
	}
	return b.Bytes(), nil
}

// Record is the TXT record that has to stand at SELECTOR._domainkey.DOMAIN.
func (d *DKIM) Record() string {
	public, _ := x509.MarshalPKIXPublicKey(d.options.Signer.Public())
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}
