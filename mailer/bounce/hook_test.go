package bounce

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var hookTime = time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)

func hook(t *testing.T, config string) Hook {
	t.Helper()
	all, err := ParseHooks(config, func() time.Time { return hookTime })
	if err != nil || len(all) != 1 {
		t.Fatalf("%d hooks, %v", len(all), err)
	}
	return all[0]
}

// say is a notice in short.
func say(all []Notice) (s []string) {
	for _, n := range all {
		s = append(s, fmt.Sprintf("%s %s%s%s %s", n.Report.Class, n.Report.FeedbackType, n.Local, n.Path, n.Report.Status))
	}
	return s
}

func expect(t *testing.T, name string, all []Notice, err error, want ...string) {
	t.Helper()
	if err != nil || strings.Join(say(all), "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, %v, want %q", name, say(all), err, want)
	}
	for _, n := range all {
		check(t, n.Report, nil)
	}
}

func TestSendGridIsKnownByItsSignature(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := hook(t, "sendgrid:"+base64.StdEncoding.EncodeToString(der))
	signed := func(at time.Time, body string) http.Header {
		stamp := strconv.FormatInt(at.Unix(), 10)
		sum := sha256.Sum256([]byte(stamp + body))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"X-Twilio-Email-Event-Webhook-Signature": {base64.StdEncoding.EncodeToString(sig)}, "X-Twilio-Email-Event-Webhook-Timestamp": {stamp}}
	}
	body := `[{"email":"jo@shop.example","event":"bounce","type":"bounce","status":"5.1.1","reason":"550 5.1.1 <jo@shop.example>: user unknown","sg_event_id":"e1","beckon":"la"},
		{"email":"jo@shop.example","event":"bounce","type":"blocked","status":"5.1.1","reason":"550 5.1.1 user unknown","sg_event_id":"e2","beckon":"lb"},
		{"email":"jo@shop.example","event":"bounce","type":"blocked","status":"5.7.1","reason":"550 5.7.1 listed for poor reputation","beckon":"lc"},
		{"event":"bounce","type":"blocked","reason":"unable to get mx info","beckon":"ld","timestamp":1740300320,"tls":0},
		{"event":"spamreport","beckon":"le"},{"event":"group_unsubscribe","beckon":"lf"},{"event":"dropped","reason":"Bounced Address","beckon":"lg"},
		{"event":"open","beckon":"lh"},{"event":"deferred","beckon":"li"},{"event":"delivered","beckon":17}]`
	all, _, err := h.Read(t.Context(), signed(hookTime, body), []byte(body))
	expect(t, "events", all, err, "hard la 5.1.1", "soft lb 5.1.1", "sender lc 5.7.1", "soft ld ", "complaint abusele ", "complaint opt-outlf ", "hard lg ")
	if all[0].Report.MessageID != "e1" || strings.Contains(all[0].Report.Diagnostic, "jo") {
		t.Errorf("%+v", all[0].Report)
	}
	if _, _, err := h.Read(t.Context(), signed(hookTime, body), []byte(strings.Replace(body, "la", "lx", 1))); !errors.Is(err, ErrForged) {
		t.Errorf("a changed body: %v", err)
	}
	if _, _, err := h.Read(t.Context(), http.Header{}, []byte(body)); !errors.Is(err, ErrForged) {
		t.Errorf("no signature: %v", err)
	}
	moved := signed(hookTime, body)
	moved.Set("X-Twilio-Email-Event-Webhook-Timestamp", strconv.FormatInt(hookTime.Unix()+1, 10))
	if _, _, err := h.Read(t.Context(), moved, []byte(body)); !errors.Is(err, ErrForged) {
		t.Errorf("another time: %v", err)
	}
	for _, at := range []time.Time{hookTime.Add(-16 * time.Minute), hookTime.Add(16 * time.Minute)} {
		if _, _, err := h.Read(t.Context(), signed(at, body), []byte(body)); !errors.Is(err, ErrStale) {
			t.Errorf("signed at %s: %v", at, err)
		}
	}
	if _, _, err := h.Read(t.Context(), signed(hookTime, "{"), []byte("{")); !errors.Is(err, ErrUnreadable) {
		t.Errorf("signed and broken: %v", err)
	}
}

func TestMailgunIsKnownByItsSignatureAndATokenIsTakenOnce(t *testing.T) {
	h := hook(t, "mailgun:a-signing-key")
	body := func(at time.Time, token, event string) []byte {
		mac := hmac.New(sha256.New, []byte("a-signing-key"))
		mac.Write([]byte(strconv.FormatInt(at.Unix(), 10) + token))
		return []byte(`{"signature":{"timestamp":"` + strconv.FormatInt(at.Unix(), 10) + `","token":"` + token + `","signature":"` + hex.EncodeToString(mac.Sum(nil)) + `"},"event-data":` + event + `}`)
	}
	for i, c := range []struct{ event, want string }{
		{`{"event":"failed","severity":"permanent","reason":"bounce","recipient":"jo@shop.example","delivery-status":{"code":550,"message":"5.1.1 <jo@shop.example>: user unknown","description":""},"user-variables":{"beckon":"la"}}`, "hard la 5.1.1"},
		{`{"event":"failed","severity":"permanent","delivery-status":{"code":550,"message":"5.7.1 blocked","description":null},"envelope":{"sender":"lb@b.example"},"user-variables":[]}`, "sender lb@b.example 5.7.1"},
		{`{"event":"failed","severity":"temporary","delivery-status":{"code":451}}`, ""},
		{`{"event":"failed","severity":"permanent","reason":"suppress-bounce","user-variables":{"beckon":"lc"}}`, "hard lc "},
		{`{"event":"failed","severity":"permanent","delivery-status":{"code":605,"message":"","description":"Not delivering"},"user-variables":{"beckon":"ld"}}`, "soft ld "},
		{`{"event":"complained","user-variables":{"beckon":"le"}}`, "complaint abusele "},
		{`{"event":"unsubscribed","user-variables":{"beckon":"lf"}}`, "complaint opt-outlf "},
		{`{"event":"opened"}`, ""},
	} {
		all, settled, err := h.Read(t.Context(), nil, body(hookTime, fmt.Sprint("t", i), c.event))
		if want := []string{c.want}; c.want == "" {
			expect(t, c.event, all, err)
		} else {
			expect(t, c.event, all, err, want...)
		}
		if settled == nil {
			t.Fatal("never settled")
		}
	}
	event := `{"event":"complained","user-variables":{"beckon":"le"}}`
	once := body(hookTime, "once", event)
	_, settled, err := h.Read(t.Context(), nil, once)
	if _, _, again := h.Read(t.Context(), nil, once); err != nil || again != nil {
		t.Errorf("what was not taken cannot be given again: %v, %v", err, again)
	}
	settled()
	if _, _, err := h.Read(t.Context(), nil, once); !errors.Is(err, ErrStale) {
		t.Errorf("a token taken twice: %v", err)
	}
	if _, _, err := h.Read(t.Context(), nil, body(hookTime.Add(-16*time.Minute), "old", event)); !errors.Is(err, ErrStale) {
		t.Errorf("signed long ago: %v", err)
	}
	for name, forged := range map[string][]byte{"another token": bytes.Replace(body(hookTime, "one", event), []byte("one"), []byte("two"), 1), "no signature": []byte(`{"event-data":` + event + `}`), "no JSON": []byte("x"),
		"an empty token": body(hookTime, "", event)} {
		if _, _, err := h.Read(t.Context(), nil, forged); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPostmarkIsKnownByItsPassword(t *testing.T) {
	h := hook(t, "postmark:beckon:a long password:with a colon")
	with := func(user, password string) http.Header {
		r, _ := http.NewRequest("POST", "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header
	}
	for _, c := range []struct{ body, want string }{
		{`{"RecordType":"Bounce","ID":42,"Type":"HardBounce","TypeCode":1,"Email":"jo@shop.example","Details":"smtp;550 5.1.1 The email account jo@shop.example does not exist","Metadata":{"beckon":"la"}}`, "hard la 5.1.1"},
		{`{"RecordType":"Bounce","Type":"HardBounce","Details":"","Metadata":{"beckon":"lb"}}`, "hard lb "},
		{`{"RecordType":"Bounce","Type":"HardBounce","Details":"smtp;550 5.7.1 blocked for spam","Metadata":{"beckon":"lc"}}`, "sender lc 5.7.1"},
		{`{"RecordType":"Bounce","Type":"SoftBounce","Details":"smtp;550 5.1.1 user unknown","Metadata":{"beckon":"ld"}}`, "soft ld 5.1.1"},
		{`{"RecordType":"Bounce","Type":"Transient","Metadata":{"beckon":"le"}}`, ""},
		{`{"RecordType":"Bounce","Type":"AutoResponder","Metadata":{"beckon":"lf"}}`, ""},
		{`{"RecordType":"SpamComplaint","Type":"SpamComplaint","Email":"jo@shop.example","Metadata":{"beckon":"lg"}}`, "complaint abuselg "},
		{`{"RecordType":"SubscriptionChange","SuppressSending":true,"Origin":"Recipient","Metadata":{"beckon":"lh"}}`, "complaint opt-outlh "},
		{`{"RecordType":"SubscriptionChange","SuppressSending":true,"Origin":"Customer","Metadata":{"beckon":"li"}}`, ""},
		{`{"RecordType":"Bounce","Type":"Unsubscribe","Metadata":{"beckon":"lj"}}`, "other lj "},
	} {
		all, _, err := h.Read(t.Context(), with("beckon", "a long password:with a colon"), []byte(c.body))
		if c.want == "" {
			expect(t, c.body, all, err)
		} else {
			expect(t, c.body, all, err, c.want)
		}
	}
	for name, head := range map[string]http.Header{"nobody": {}, "another password": with("beckon", "a long password"), "another user": with("other", "a long password:with a colon"), "no base64": {"Authorization": {"Basic ?"}}, "none": with("", "")} {
		if _, _, err := h.Read(t.Context(), head, []byte(`{}`)); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sns stands for Amazon: it holds a certificate, and notes what is fetched.
type sns struct {
	key     *rsa.PrivateKey
	pem     []byte
	fetched []string
	down    bool
}

func (s *sns) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetched = append(s.fetched, r.URL.String())
	if s.down {
		return nil, errors.New("no route")
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(s.pem)), Header: http.Header{}}, nil
}

func (s *sns) sign(t *testing.T, e envelope) []byte {
	t.Helper()
	parts := []string{"Message", e.Message, "MessageId", e.MessageId}
	if e.Type == "Notification" {
		if e.Subject != nil {
			parts = append(parts, "Subject", *e.Subject)
		}
		parts = append(parts, "Timestamp", e.Timestamp)
	} else {
		parts = append(parts, "SubscribeURL", e.SubscribeURL, "Timestamp", e.Timestamp, "Token", e.Token)
	}
	text := []byte(strings.Join(append(parts, "TopicArn", e.TopicArn, "Type", e.Type), "\n") + "\n")
	old, recent := sha1.Sum(text), sha256.Sum256(text)
	hash, sum := crypto.SHA256, recent[:]
	if e.SignatureVersion == "1" {
		hash, sum = crypto.SHA1, old[:]
	}
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	e.Signature = base64.StdEncoding.EncodeToString(sig)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newSNS(t *testing.T) *sns {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &sns{key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func TestSESIsKnownByTheSignatureOfSNS(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:123456789012:returns"
	h := hook(t, "ses:"+topic).(*ses)
	amazon := newSNS(t)
	h.client.Transport = amazon
	subject := "Amazon SES Email Event Notification"
	message := func(s string) envelope {
		return envelope{Type: "Notification", MessageId: "m1", TopicArn: topic, Subject: &subject, Timestamp: "2026-05-04T09:00:00.000Z", SignatureVersion: "2", Message: s,
			SigningCertURL: "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"}
	}
	const source = `,"mail":{"source":"lx@b.example","headers":[{"name":"List-Unsubscribe","value":"<https://acme.example/u/abc>"}]}}`
	read := func(b []byte) ([]Notice, error) {
		all, _, err := h.Read(context.Background(), nil, b)
		return all, err
	}
	for _, c := range []struct{ message, want string }{
		{`{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General","bouncedRecipients":[{"emailAddress":"jo@shop.example","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 <jo@shop.example>... User unknown"}]}` + source, "hard lx@b.example 5.1.1"},
		{`{"eventType":"Bounce","bounce":{"bounceType":"Transient","bouncedRecipients":[{"emailAddress":"jo@shop.example","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 user unknown"}]}` + source, "soft lx@b.example 5.1.1"},
		{`{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"NoEmail","bouncedRecipients":[{"emailAddress":"jo@shop.example"}]}` + source, "hard lx@b.example "},
		{`{"notificationType":"Complaint","complaint":{"complaintFeedbackType":"abuse","complainedRecipients":[{"emailAddress":"jo@shop.example"}]}` + source, "complaint abuselx@b.example "},
		{`{"notificationType":"Complaint","complaint":{"complaintFeedbackType":"not-spam"}` + source, ""},
		{`{"notificationType":"Delivery"` + source, ""},
		{`Successfully validated SNS topic`, ""},
	} {
		for _, version := range []string{"1", "2"} {
			e := message(c.message)
			e.SignatureVersion = version
			all, err := read(amazon.sign(t, e))
			if c.want == "" {
				expect(t, c.message, all, err)
			} else {
				expect(t, c.message, all, err, c.want)
			}
			if len(all) > 0 && all[0].Link != "<https://acme.example/u/abc>" {
				t.Errorf("link %q", all[0].Link)
			}
		}
	}
	if len(amazon.fetched) != 1 {
		t.Errorf("fetched %q", amazon.fetched)
	}
	complaint := `{"notificationType":"Complaint"` + source
	for name, change := range map[string]func(*envelope){
		"another topic":           func(e *envelope) { e.TopicArn = "arn:aws:sns:eu-west-1:999999999999:returns" },
		"a certificate elsewhere": func(e *envelope) { e.SigningCertURL = "https://evil.example/SimpleNotificationService-1.pem" },
		"a host that looks like": func(e *envelope) {
			e.SigningCertURL = "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem"
		},
		"a bucket": func(e *envelope) {
			e.SigningCertURL = "https://sns.s3.eu.amazonaws.com/SimpleNotificationService-1.pem"
		},
		"a user before the host": func(e *envelope) {
			e.SigningCertURL = "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem"
		},
		"no https": func(e *envelope) {
			e.SigningCertURL = "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
		},
		"another path": func(e *envelope) { e.SigningCertURL = "https://sns.eu-west-1.amazonaws.com/?Action=x.pem" },
		"no version":   func(e *envelope) { e.SignatureVersion = "" },
		"a subscription elsewhere": func(e *envelope) {
			e.Type, e.SubscribeURL = "SubscriptionConfirmation", "https://evil.example/?Action=ConfirmSubscription"
		},
	} {
		e := message(complaint)
		change(&e)
		if _, err := read(amazon.sign(t, e)); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := amazon.sign(t, message(complaint))
	for _, cut := range [][2]string{{"lx@b", "ly@b"}, {"m1", "m2"}, {"09:00", "10:00"}, {"Event Notification", "Event"}, {`"Type":"Notification"`, `"Type":"UnsubscribeConfirmation"`}} {
		if forged := bytes.Replace(whole, []byte(cut[0]), []byte(cut[1]), 1); bytes.Equal(forged, whole) {
			t.Fatalf("%q is not there", cut[0])
		} else if _, err := read(forged); !errors.Is(err, ErrForged) {
			t.Errorf("%q for %q: %v", cut[1], cut[0], err)
		}
	}
	for _, url := range amazon.fetched {
		if !strings.HasPrefix(url, "https://sns.eu-west-1.amazonaws.com/") {
			t.Errorf("fetched %s", url)
		}
	}

	e := message("You have chosen to subscribe")
	e.Type, e.Token, e.SubscribeURL = "SubscriptionConfirmation", "tok", "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=tok"
	if _, err := read(amazon.sign(t, e)); err != nil || amazon.fetched[len(amazon.fetched)-1] != e.SubscribeURL {
		t.Errorf("a subscription: %v, fetched %q", err, amazon.fetched)
	}
	amazon.down = true
	e = message(complaint)
	e.SigningCertURL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-new.pem"
	if _, err := read(amazon.sign(t, e)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestHooksAreReadFromTheConfiguration(t *testing.T) {
	for in, says := range map[string]string{
		"ses":                                "lacks what",
		"ses:eu-west-1":                      "ARN",
		"sendgrid:%%":                        "base64",
		"sendgrid:AAAA":                      "no ECDSA",
		"postmark:user":                      "USER:PASSWORD",
		"postmark:user:secret12":             "12 characters",
		"mailchimp:key":                      "no provider",
		"mailgun:":                           "lacks what",
		"ses:arn:aws:sns:x:123456789012:a,b": "lacks what",
	} {
		_, err := ParseHooks(in, time.Now)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", in, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v tells a secret", err)
		}
	}
	all, err := ParseHooks(" mailgun:one , mailgun:two,postmark:u:a-long-password,ses:arn:aws:sns:eu-west-1:123456789012:a,ses:arn:aws:sns:eu-west-1:123456789012:b", time.Now)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d, %v", len(all), err)
	}
	var stamps []byte
	for _, h := range all {
		stamps = h.Stamp(stamps, "bxyz")
	}
	if string(stamps) != "X-Mailgun-Variables: {\"beckon\":\"bxyz\"}\r\nX-PM-Metadata-beckon: bxyz\r\n" {
		t.Errorf("stamped %q", stamps)
	}
	if none, err := ParseHooks("", time.Now); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}

func FuzzHooks(f *testing.F) {
	f.Add([]byte(`{"RecordType":"Bounce","Type":"HardBounce","Metadata":{"beckon":"la"}}`))
	f.Add([]byte(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:123456789012:a","Message":"{}"}`))
	f.Add([]byte(`{"signature":{"timestamp":"1","token":"t","signature":"00"},"event-data":{"event":"failed"}}`))
	all, err := ParseHooks("mailgun:one,postmark:u:a-long-password,ses:arn:aws:sns:eu-west-1:123456789012:a", time.Now)
	if err != nil {
		f.Fatal(err)
	}
	head := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("u:a-long-password"))}}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, h := range all {
			if s, ok := h.(*ses); ok {
				s.client.Transport = &sns{down: true}
			}
			notices, _, _ := h.Read(context.Background(), head, body)
			for _, n := range notices {
				check(t, n.Report, nil)
			}
			e := envelope{Message: string(body)}
			for _, n := range e.notices() {
				check(t, n.Report, nil)
			}
		}
	})
}
