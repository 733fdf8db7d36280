package tracker_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"beckon/tracker/token"
)

// raw sends a request as it is and returns the header of the answer as it is.
func (s *site) raw(t testing.TB, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, head.String())
		}
		if line == "\r\n" {
			return head.String()
		}
		head.WriteString(line)
	}
}

func TestTheLocationIsTheAuthorsBytes(t *testing.T) {
	s := serve(t)
	for _, url := range []string{
		"https://example.com",
		"https://example.com/",
		"HTTPS://EXAMPLE.com/Path",
		"http://example.com:8080/a?b=c&d=e;f",
		"https://example.com/a?x=1&amp;y=2",
		"https://example.com/päge?q=ü",
		"https://例え.jp/道?検索=語#節",
		"https://example.com/%zz?%",
		"https://example.com/a%2Fb%20c/%c3%a9",
		"https://example.com/a b/c  d",
		"https://example.com/a\tb",
		"https://example.com/#fragment?not=query",
		"https://example.com/?utm_source=mail#top",
		"https://example.com/..//./a/../b",
		"https://user:pass@example.com/",
		"https://[2001:db8::1]/",
		"https://example.com/?next=https://other.example/?a=b",
		"https://example.com/\"quoted\"<b>'x'|{y}^`z`\\",
		"https://example.com/?" + strings.Repeat("x", token.MaxURL-21),
		"https://example.com/\xff\xfe-not-utf8",
	} {
		head := s.raw(t, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\n\r\n", s.link(t, 42, 1, url), chrome))
		if want := "\r\nLocation: " + url + "\r\n"; !strings.HasPrefix(head, "HTTP/1.1 302 ") || !strings.Contains(head, want) {
			t.Errorf("%q became %q", url, head)
		}
	}
}

func TestALineBreakInATargetIsNotSigned(t *testing.T) {
	s := serve(t)
	for _, url := range []string{"https://example.com/\r\nSet-Cookie: a=b", "https://example.com/\nx", "https://example.com/\x00"} {
		if text, err := s.keys.Sign(token.Token{Kind: token.Click, Campaign: 7, Link: 1, URL: url}); err == nil {
			t.Errorf("%q was signed: %s", url, text)
		}
	}
}

func TestAHugeRequestIsRefusedAndRecordsNothing(t *testing.T) {
	s := serve(t)
	for _, request := range []string{
		"GET " + s.beacon(t, 42) + "?" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET " + s.beacon(t, 42) + " HTTP/1.1\r\nHost: x\r\nUser-Agent: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
	} {
		if head := s.raw(t, request); !strings.HasPrefix(head, "HTTP/1.1 431 ") {
			t.Errorf("%.40q", head)
		}
	}
	if hits := s.spool.take(); len(hits) != 0 {
		t.Errorf("recorded %+v", hits)
	}
}

// FuzzPath: whatever is asked for, only what was signed redirects, and only to where it was signed to.
func FuzzPath(f *testing.F) {
	s := serve(f)
	target := "https://example.com/only-here"
	link, beacon := s.link(f, 42, 1, target), s.beacon(f, 42)
	f.Add("GET", link[1:])
	f.Add("GET", beacon[1:]+".gif")
	f.Add("HEAD", "c/"+strings.Repeat("A", 60))
	f.Add("GET", "c/%2e%2e/x?url=https://evil.example/")
	f.Add("GET", "o/..;/c/x")
	handler := s.Config.Handler
	f.Fuzz(func(t *testing.T, method, path string) {
		r, err := http.NewRequest(method, "/"+path, nil)
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:1234"
		w := &answerRecorder{header: http.Header{}}
		handler.ServeHTTP(w, r)
		hits := s.spool.take()
		location := w.header.Get("Location")
		switch {
		case location != "" && (location != target || !strings.HasPrefix(path, link[1:])):
			t.Errorf("%s %q redirects to %q", method, path, location)
		case len(hits) > 0 && method != "GET":
			t.Errorf("%s recorded %+v", method, hits)
		case len(hits) > 0 && (hits[0].Message != 42 || hits[0].Campaign != 7):
			t.Errorf("%q recorded %+v", path, hits)
		case w.header.Get("Set-Cookie") != "":
			t.Error("a cookie")
		}
	})
}

type answerRecorder struct {
	header http.Header
	status int
}

func (w *answerRecorder) Header() http.Header         { return w.header }
func (w *answerRecorder) Write(b []byte) (int, error) { return len(b), nil }
func (w *answerRecorder) WriteHeader(status int)      { w.status = status }
