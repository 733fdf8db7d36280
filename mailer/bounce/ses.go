package bounce

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// ses reads what Amazon SES notifies through SNS. A message is told by mail.source, which is the
// return path that it was given with, else by the List-Unsubscribe field where the notification
// includes the original headers.
type ses struct {
	topics []string
	client *http.Client

	mu    sync.Mutex
	certs map[string]*x509.Certificate // by address
}

var (
	topicForm = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$`)
	// The whole of an address, and not a prefix: what follows the host begins with a slash.
	snsForm  = regexp.MustCompile(`^https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com/[^\s\\@#]*$`)
	certForm = regexp.MustCompile(`^https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com/SimpleNotificationService-[A-Za-z0-9]+\.pem$`)
)

const maxCerts = 16

func addTopic(all []Hook, value string) ([]Hook, error) {
	if !topicForm.MatchString(value) {
		return nil, errors.New("ses: want the ARN of the SNS topic, such as arn:aws:sns:eu-west-1:123456789012:returns")
	}
	h, all := hookOf(all, &ses{certs: map[string]*x509.Certificate{}, client: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	h.topics = append(h.topics, value)
	return all, nil
}

func (h *ses) Way() Way { return BySES }

func (h *ses) Stamp(dst []byte, _ string) []byte { return dst }

// envelope is what SNS posts. Only the fields that are signed are believed.
type envelope struct {
	Type             string
	MessageId        string
	Token            string
	TopicArn         string
	Subject          *string
	Message          string
	SubscribeURL     string
	Timestamp        string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
}

func (h *ses) Read(ctx context.Context, _ http.Header, body []byte) ([]Notice, func(), error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, nil, ErrForged // nothing in it is signed
	}
	if !slices.Contains(h.topics, e.TopicArn) || !certForm.MatchString(e.SigningCertURL) {
		return nil, nil, ErrForged
	}
	cert, err := h.certificate(ctx, e.SigningCertURL)
	if err != nil {
		return nil, nil, err
	}
	if !e.signed(cert) {
		return nil, nil, ErrForged
	}
	switch e.Type {
	case "SubscriptionConfirmation":
		return nil, nothing, h.subscribe(ctx, e.SubscribeURL)
	case "Notification":
		return e.notices(), nothing, nil
	}
	return nil, nothing, nil
}

// signed verifies the signature over the fields of the envelope's type, in the order of their names.
func (e *envelope) signed(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	if !ok || err != nil {
		return false
	}
	var b strings.Builder
	field := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	field("Message", e.Message)
	field("MessageId", e.MessageId)
	switch e.Type {
	case "Notification":
		if e.Subject != nil {
			field("Subject", *e.Subject)
		}
		field("Timestamp", e.Timestamp)
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		field("SubscribeURL", e.SubscribeURL)
		field("Timestamp", e.Timestamp)
		field("Token", e.Token)
	default:
		return false
	}
	field("TopicArn", e.TopicArn)
	field("Type", e.Type)
	switch e.SignatureVersion {
	case "1":
		sum := sha1.Sum([]byte(b.String()))
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) == nil
	case "2":
		sum := sha256.Sum256([]byte(b.String()))
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}

// certificate fetches the certificate at an address of SNS, once.
func (h *ses) certificate(ctx context.Context, address string) (*x509.Certificate, error) {
	h.mu.Lock()
	known := h.certs[address]
	h.mu.Unlock()
	if known != nil && time.Now().Before(known.NotAfter) {
		return known, nil
	}
	b, err := h.get(ctx, address)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%w: the certificate of SNS is no PEM", ErrUnavailable)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if now := time.Now(); err != nil || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, fmt.Errorf("%w: the certificate of SNS is not valid", ErrUnavailable)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.certs) >= maxCerts {
		clear(h.certs)
	}
	h.certs[address] = cert
	return cert, nil
}

// subscribe confirms that a topic may notify us.
func (h *ses) subscribe(ctx context.Context, address string) error {
	if !snsForm.MatchString(address) {
		return ErrForged
	}
	_, err := h.get(ctx, address)
	return err
}

func (h *ses) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, ErrForged
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be reached", ErrUnavailable, req.URL.Host)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s answers %d", ErrUnavailable, req.URL.Host, resp.StatusCode)
	}
	return b, nil
}

// notices says what SES tells about its message; nothing if it is not about failure or a no.
func (e *envelope) notices() []Notice {
	var n struct {
		notice
		Mail struct {
			Source  string `json:"source"`
			Headers []struct {
				Name  string `json:"name"`
				Value string `json:"value"`
			} `json:"headers"`
		} `json:"mail"`
	}
	if json.Unmarshal([]byte(e.Message), &n) != nil {
		return nil
	}
	rep, ok := n.report()
	if !ok || rep.Class == Other {
		return nil
	}
	if rep.Class == Complaint && rep.FeedbackType != "" && !noes[rep.FeedbackType] {
		return nil // not-spam and its kin: see the package comment
	}
	if b := n.Bounce; rep.Class == Soft && b.Type == "Permanent" && slices.Contains([]string{"NoEmail", "Suppressed", "OnAccountSuppressionList"}, b.Subtype) {
		rep.Class, rep.Reason = Hard, "Amazon SES bounce of type Permanent "+b.Subtype
	}
	rep.MessageID, rep.Diagnostic = e.MessageId, redact(rep.Diagnostic, rep.Recipient)
	out := Notice{Report: rep, Path: n.Mail.Source}
	for _, f := range n.Mail.Headers {
		if strings.EqualFold(f.Name, "List-Unsubscribe") {
			out.Link = f.Value
		}
	}
	return []Notice{out}
}
