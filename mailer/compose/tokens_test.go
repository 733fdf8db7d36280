package compose

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var tokenSeeds = []string{
	`<a href="https://example.com/?a=1&amp;b=2" data-track=no>x</a>`,
	`<A HREF='https://example.com/'>x</A><area href=https://example.com/a/>`,
	`<a / href = "x" = y href=z 'q' a"b=c/>t</a >`,
	`<!--[if mso]><v:roundrect href="https://example.com/"><![endif]--><p>x`,
	`<!--[if !mso]><!--><a href="x">y</a><!--<![endif]-->`,
	`<![if !mso]><a href="x"></a><![endif]>`,
	`<style>a { color: red }</style><title>a &lt; b</title><script>"</a>"</script><noscript><a href=x></noscript>`,
	`<!DOCTYPE html><html><body bgcolor=#fff></body></html>`,
	`<!-- x --><!--><!---><!--x--!></><? php ?></ x><p`,
	"<a\nhref\t=\n\"a\nb\">\x00</a\n>",
	`<plaintext><a href=x>`,
}

// The places must be those of the very attributes that x/net/html reads.
func checkTokens(t *testing.T, src string) {
	tokens := tokenize(src)
	at := 0
	for _, tok := range tokens {
		if tok.start != at || tok.end < tok.start {
			t.Fatalf("%q: token %d–%d does not follow %d", src, tok.start, tok.end, at)
		}
		at = tok.end
		if tok.kind != tokStart {
			continue
		}
		z := html.NewTokenizer(strings.NewReader(src[tok.start:tok.end]))
		z.Next()
		want := z.Token()
		if strings.ReplaceAll(tok.name, "\x00", "\uFFFD") != want.Data {
			t.Fatalf("%q: tag %q, want %q", src, tok.name, want.Data)
		}
		seen := map[string]bool{}
		var got []html.Attribute
		for _, a := range tok.attrs {
			if seen[a.name] {
				continue
			}
			seen[a.name] = true
			got = append(got, html.Attribute{
				Key: strings.ReplaceAll(a.name, "\x00", "\uFFFD"),
				Val: strings.ReplaceAll(decodeAttr(src[a.valueStart:a.valueEnd]), "\x00", "\uFFFD"),
			})
		}
		if len(got) != len(want.Attr) {
			t.Fatalf("%q: attributes %v, want %v", src[tok.start:tok.end], got, want.Attr)
		}
		for i := range got {
			if got[i] != want.Attr[i] {
				t.Fatalf("%q: attribute %v, want %v", src[tok.start:tok.end], got[i], want.Attr[i])
			}
		}
	}
	if at != len(src) {
		t.Fatalf("%q: tokens end at %d of %d", src, at, len(src))
	}
}

func TestTokensLieEndToEndAndKnowTheirAttributes(t *testing.T) {
	for _, src := range tokenSeeds {
		checkTokens(t, src)
	}
}

func FuzzTokenize(f *testing.F) {
	for _, src := range tokenSeeds {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) { checkTokens(t, src) })
}
