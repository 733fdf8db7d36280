package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"beckon/schema/id"
	"beckon/tracker/token"

	"pgregory.net/rapid"
)

const (
	keyA = "7:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB = "8:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
)

var kinds = []token.Kind{token.Beacon, token.Click, token.Unsubscribe, token.Preferences, token.Confirm, token.Manage}

func ring(t testing.TB, keys string) *token.Keyring {
	t.Helper()
	r, err := token.ParseKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	r.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	return r
}

func drawToken(t *rapid.T) token.Token {
	k := token.Token{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Key: 7, Test: rapid.Bool().Draw(t, "test")}
	if k.Kind == token.Confirm || k.Kind == token.Manage {
		k.Request = id.Request(rapid.Int64Min(1).Draw(t, "request"))
		k.Expires = time.Unix(rapid.Int64Range(1_800_000_001, 4_000_000_000).Draw(t, "expires"), 0).UTC()
		return k
	}
	k.Campaign = id.Campaign(rapid.Int64Min(1).Draw(t, "campaign"))
	k.Message = id.Message(rapid.Int64Min(0).Draw(t, "message"))
	if k.Kind == token.Click {
		k.Link = rapid.IntRange(0, 1<<31-1).Draw(t, "link")
		k.URL = rapid.SampledFrom([]string{"https://", "http://", "HTTPS://"}).Draw(t, "scheme") +
			string(rapid.SliceOfN(rapid.Byte().Filter(func(b byte) bool { return b != '\r' && b != '\n' && b != 0 }), 1, 300).Draw(t, "target"))
	}
	return k
}

func TestOpenReturnsWhatWasSigned(t *testing.T) {
	r := ring(t, keyA)
	rapid.Check(t, func(t *rapid.T) {
		want := drawToken(t)
		s, err := r.Sign(want)
		if err != nil {
			t.Fatal(err)
		}
		if len(s) > token.MaxText || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q is no text of a token", s)
		}
		if got, err := r.Open(want.Kind, s); err != nil || got != want {
			t.Fatalf("opened %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestAnyFlippedBitIsRefused(t *testing.T) {
	r := ring(t, keyA+","+keyB)
	rapid.Check(t, func(t *rapid.T) {
		k := drawToken(t)
		s, err := r.Sign(k)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(raw) * 8 {
			raw[bit/8] ^= 1 << (bit % 8)
			if got, err := r.Open(k.Kind, base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, token.ErrInvalid) || got != (token.Token{}) {
				t.Fatalf("bit %d flipped: opened %+v, %v", bit, got, err)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
	})
}

func TestATokenHasOneTextOnly(t *testing.T) {
	r := ring(t, keyA)
	for _, k := range []token.Token{
		{Kind: token.Beacon, Campaign: 1},
		{Kind: token.Beacon, Campaign: 300},
		{Kind: token.Click, Campaign: 1, Link: 1, URL: "https://example.com/"},
		{Kind: token.Click, Campaign: 1, Link: 1, URL: "https://example.com/a"},
	} {
		s, err := r.Sign(k)
		if err != nil {
			t.Fatal(err)
		}
		others := []string{s + "=", s + "==", s + "\n", "\r\n" + s, s[:5] + "\n" + s[5:], s + "A", s + "AAAA", " " + s}
		if n := len(s) % 4; n != 0 {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := strings.IndexByte(alphabet, s[len(s)-1])
			others = append(others, s[:len(s)-1]+string(alphabet[last|1])) // a spare bit set
		}
		for _, other := range others {
			if _, err := r.Open(k.Kind, other); !errors.Is(err, token.ErrInvalid) {
				t.Errorf("%q opens like %q", other, s)
			}
		}
	}
}

func TestATokenOfOneKindOpensNothingElse(t *testing.T) {
	r := ring(t, keyA)
	rapid.Check(t, func(t *rapid.T) {
		k := drawToken(t)
		s, err := r.Sign(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range append(kinds, 0, 9, 0x80) {
			if _, err := r.Open(kind, s); kind != k.Kind && !errors.Is(err, token.ErrInvalid) {
				t.Fatalf("a %s token opened as %s: %v", k.Kind, kind, err)
			}
		}
	})
}

func TestKeysRotate(t *testing.T) {
	k := token.Token{Kind: token.Unsubscribe, Campaign: 4, Message: 5}
	old, err := ring(t, keyA).Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	both := ring(t, keyB+","+keyA)
	if got, err := both.Open(token.Unsubscribe, old); err != nil || got.Key != 7 {
		t.Errorf("a retired key no longer opens: %+v, %v", got, err)
	}
	fresh, _ := both.Sign(k)
	if got, err := both.Open(token.Unsubscribe, fresh); err != nil || got.Key != 8 {
		t.Errorf("the first key does not sign: %+v, %v", got, err)
	}
	if _, err := ring(t, keyA).Open(token.Unsubscribe, fresh); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("an unknown key opened a token: %v", err)
	}
	impostor := ring(t, strings.Replace(keyB, "8:", "7:", 1))
	if _, err := impostor.Open(token.Unsubscribe, old); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("another key under the same id opened a token: %v", err)
	}
}

func TestExpiryIsExact(t *testing.T) {
	r := ring(t, keyA)
	at := time.Unix(1_800_000_100, 0).UTC()
	k := token.Token{Kind: token.Confirm, Key: 7, Request: 3, Expires: at}
	s, err := r.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  time.Time
		want error
	}{{at.Add(-time.Nanosecond), nil}, {at, token.ErrExpired}, {at.Add(time.Hour), token.ErrExpired}} {
		r.Now = func() time.Time { return c.now }
		if got, err := r.Open(token.Confirm, s); err != c.want || got != k {
			t.Errorf("at %s: %+v, %v, want %v", c.now, got, err, c.want)
		}
	}
}

func TestWhatCannotBeSigned(t *testing.T) {
	r := ring(t, keyA)
	for name, k := range map[string]token.Token{
		"no kind":                   {Campaign: 1},
		"a kind that is not":        {Kind: 7, Campaign: 1},
		"no campaign":               {Kind: token.Beacon},
		"a negative message":        {Kind: token.Beacon, Campaign: 1, Message: -1},
		"a beacon with a target":    {Kind: token.Beacon, Campaign: 1, URL: "https://a"},
		"a negative position":       {Kind: token.Click, Campaign: 1, Link: -1, URL: "https://a"},
		"a click without target":    {Kind: token.Click, Campaign: 1, Link: 1},
		"a click to a script":       {Kind: token.Click, Campaign: 1, Link: 1, URL: "javascript:alert(1)"},
		"a click to a bare scheme":  {Kind: token.Click, Campaign: 1, Link: 1, URL: "https://"},
		"a target too long":         {Kind: token.Click, Campaign: 1, Link: 1, URL: "https://" + strings.Repeat("a", token.MaxURL-7)},
		"a confirmation for ever":   {Kind: token.Confirm, Request: 1},
		"a confirmation of nothing": {Kind: token.Confirm, Expires: time.Unix(1, 0)},
		"a confirmation in a mail":  {Kind: token.Manage, Request: 1, Expires: time.Unix(1, 0), Message: 3},
		"a beacon that expires":     {Kind: token.Beacon, Campaign: 1, Expires: time.Unix(1, 0)},
	} {
		if s, err := r.Sign(k); err == nil || s != "" {
			t.Errorf("%s was signed: %q", name, s)
		}
	}
	longest := token.Token{Kind: token.Click, Key: 7, Campaign: 1 << 62, Link: 1<<31 - 1, Message: 1 << 62, URL: "https://" + strings.Repeat("a", token.MaxURL-8)}
	s, err := r.Sign(longest)
	if got, openErr := r.Open(token.Click, s); err != nil || openErr != nil || got != longest {
		t.Errorf("the longest token: %v, %v", err, openErr)
	}
}

func TestKeysAreRefusedWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "no signing key",
		" ":                           "no signing key",
		"abc":                         "want id:base64",
		"1:AAAA":                      "has 3 bytes, it needs at least 32",
		"256:" + keyA[2:]:             "from 0 to 255",
		"01:" + keyA[2:]:              "from 0 to 255",
		"-1:" + keyA[2:]:              "from 0 to 255",
		"1:!!!":                       "not base64",
		keyA + "," + keyA:             "id 7 is used twice",
		keyA + ",":                    "signing key 2: want id:base64",
		keyA + ",9:" + keyA[2:] + "%": "signing key 2: the key is not base64",
	} {
		_, err := token.ParseKeys(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "QUFB") {
			t.Errorf("the error gives a key away: %v", err)
		}
	}
	for _, in := range []string{keyA, strings.TrimRight(keyA, "="), " " + keyA + " , " + keyB, token.Generate(0), token.Generate(255)} {
		if _, err := token.ParseKeys(in); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestFingerprintsTellKeysApart(t *testing.T) {
	a, b := ring(t, keyA+","+keyB).Fingerprints(), ring(t, keyB+","+keyA).Fingerprints()
	if len(a) != 2 || a[0] != b[1] || a[1] != b[0] || a[0] == a[1] {
		t.Errorf("%v and %v", a, b)
	}
	if one, two := ring(t, keyB+","+keyA).Derive("x"), ring(t, keyA).Derive("x"); string(one) != string(two) || len(one) != 32 {
		t.Error("a derived key does not outlive rotation")
	}
}

// The text of a token is in mails that cannot be called back: this one must open for ever.
func TestAMailSentLongAgoStillOpens(t *testing.T) {
	const sent = "AQcCrAIDhxRodHRwczovL2V4YW1wbGUuY29tL2E_Yj1jEU3xoN7v-dj61vcuqaeBzQ"
	want := token.Token{Kind: token.Click, Key: 7, Campaign: 300, Link: 3, Message: 2567, URL: "https://example.com/a?b=c"}
	if got, err := ring(t, keyA).Open(token.Click, sent); err != nil || got != want {
		s, _ := ring(t, keyA).Sign(want)
		t.Errorf("opened %+v, %v; it would be signed %s today", got, err, s)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, keyA+","+keyB)
	for _, k := range []token.Token{
		{Kind: token.Beacon, Campaign: 1},
		{Kind: token.Click, Campaign: 1, Link: 1, Message: 9, URL: "https://example.com/"},
		{Kind: token.Unsubscribe, Campaign: 1, Message: 9, Test: true},
		{Kind: token.Confirm, Request: 1, Expires: time.Unix(1_900_000_000, 0)},
	} {
		s, err := r.Sign(k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(k.Kind), s)
	}
	f.Fuzz(func(t *testing.T, kind byte, s string) {
		got, err := r.Open(token.Kind(kind), s)
		if err != nil {
			if !errors.Is(err, token.ErrExpired) && got != (token.Token{}) {
				t.Fatalf("%q was refused and returned %+v", s, got)
			}
			return
		}
		if again, err := ring(t, map[byte]string{7: keyA, 8: keyB}[got.Key]).Sign(got); err != nil || again != s {
			t.Fatalf("%q opens, but %q is what is signed (%v)", s, again, err)
		}
	})
}

var click = token.Token{Kind: token.Click, Key: 7, Campaign: 12, Link: 3, Message: 1_234_567, URL: "https://www.example.com/articles/2026/04/how-we-count?utm_source=newsletter"}

func BenchmarkOpen(b *testing.B) {
	r := ring(b, keyA)
	s, _ := r.Sign(click)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(token.Click, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	r := ring(b, keyA)
	dst := make([]byte, 0, token.MaxText)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.AppendSign(dst, click); err != nil {
			b.Fatal(err)
		}
	}
}
