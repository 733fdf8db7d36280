package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"beckon/mailer/compose"
	"beckon/tracker"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/html"
)

type forgetful struct{}

func (forgetful) Append(context.Context, event.Hit) (int64, error) { return 1, nil }

// TestEveryLinkOfANewsletterLeadsWhereTheAuthorSaid composes real newsletters (ours, and every HTML
// file below BECKON_CORPUS if that is set), follows each of their links over HTTP and holds the bytes
// of Location against those of the author.
func TestEveryLinkOfANewsletterLeadsWhereTheAuthorSaid(t *testing.T) {
	files, err := filepath.Glob(root + "/mailer/compose/testdata/corpus/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d newsletters, %v", len(files), err)
	}
	if more := os.Getenv("BECKON_CORPUS"); more != "" {
		if err := filepath.WalkDir(more, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".html" {
				files = append(files, path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := token.ParseKeys("1:" + strings.Repeat("a2V5", 11))
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	(&tracker.Handler{Keys: keys, Spool: forgetful{}}).Register(e)
	server := httptest.NewServer(e)
	defer server.Close()
	followed := 0
	for i, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0 // designers leave addresses for later
		text := regexp.MustCompile(`(?i)(<a\s[^>]*href\s*=\s*")(?:#|http://)?(")`).ReplaceAllStringFunc(string(source), func(m string) string {
			n++
			return regexp.MustCompile(`(?i)(href\s*=\s*")(?:#|http://)?(")`).ReplaceAllString(m, fmt.Sprintf("${1}https://www.example.com/%d?a=1&amp;b=%%zz&c=é${2}", n))
		})
		tpl, err := compose.Compile(compose.Spec{Keys: keys, BaseURL: server.URL, Campaign: 1, Subject: "s", From: "ACME <news@acme.example>", HTML: text, TypeName: "Newsletter", TypeSlug: "newsletter", Tracking: compose.TrackConsented,
			Company: compose.Company{Name: "ACME", PostalAddress: "1 High St", PrivacyURL: "https://acme.example/privacy", PrivacyEmail: "privacy@acme.example", Domain: "acme.example", Language: "en"}})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _, err := tpl.Parts(compose.Recipient{Email: "a@b.example", Name: "Ann", Fields: map[string]any{"email": "a@b.example", "name": "Ann", "country": "GB"}, Message: 7, Mode: compose.Identified, Date: time.Unix(1, 0)})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		author := map[string]bool{}
		for _, l := range tpl.Links() {
			author[l.URL] = true
		}
		for _, link := range hrefs(body) {
			token, tracked := strings.CutPrefix(link, server.URL+"/c/")
			if !tracked {
				continue
			}
			if got := location(t, server.Listener.Addr().String(), "/c/"+token); !author[got] {
				t.Errorf("%s: a link leads to %q, which the author did not write", path, got)
			}
			followed++
		}
		if want := hrefs(text); i == 0 && len(want) == 0 {
			t.Fatalf("%s has no link at all", path)
		} else {
			for _, u := range want { // what the author wrote is what is followed, read by another parser
				if web := strings.HasPrefix(u, "https://www.example.com/"); web && !author[u] {
					t.Errorf("%s: %q is no link of the template", path, u)
				}
			}
		}
	}
	t.Logf("%d newsletters, %d links followed", len(files), followed)
	if followed < len(files) {
		t.Errorf("only %d links were followed", followed)
	}
}

func hrefs(body string) []string {
	var all []string
	for z := html.NewTokenizer(strings.NewReader(body)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			for _, a := range tag.Attr {
				if tag.Data == "a" && a.Key == "href" {
					all = append(all, strings.TrimSpace(a.Val))
				}
			}
		}
	}
}

// location returns the very bytes of the Location header: net/http would have a say in them.
func location(t *testing.T, addr, path string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
	r := bufio.NewReader(conn)
	if status, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(status, "HTTP/1.1 302 ") {
		t.Fatalf("%s answered %q, %v", path, status, err)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			t.Fatalf("%s has no Location: %v", path, err)
		}
		if value, ok := strings.CutPrefix(line, "Location: "); ok {
			return strings.TrimSuffix(value, "\r\n")
		}
	}
}
