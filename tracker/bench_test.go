package tracker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/tracker"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/labstack/echo/v4"
)

func openSpool(t testing.TB) *event.Spool {
	t.Helper()
	spool, err := event.OpenSpool(filepath.Join(t.TempDir(), "spool"), event.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Close() })
	return spool
}

func TestEveryAnsweredHitIsInTheSpool(t *testing.T) {
	spool := openSpool(t)
	s := serve(t, func(h *tracker.Handler, _ *echo.Echo) { h.Spool = spool; h.Now = time.Now })
	paths := []string{s.beacon(t, 42), s.beacon(t, 0), s.link(t, 42, 1, "https://example.com/"), s.link(t, 0, 2, "https://example.com/")}
	var wg sync.WaitGroup
	const readers, each = 16, 20
	for i := range readers {
		wg.Go(func() {
			for j := range each {
				if a := s.do(t, "GET", paths[(i+j)%len(paths)]); a.status != 200 && a.status != 302 {
					t.Errorf("answered %d", a.status)
				}
			}
		})
	}
	wg.Wait()
	if got := spool.Backlog(); got != readers*each {
		t.Errorf("the spool holds %d hits, %d were answered", got, readers*each)
	}
	if n := s.count(t, "beckon_tracker_hits_total", "", ""); n != readers*each {
		t.Errorf("%v hits counted", n)
	}
}

// BenchmarkHits measures hits per second over 256 connections of the same machine, beside a bare Echo
// handler that does nothing but return the image.
func BenchmarkHits(b *testing.B) {
	keys, err := token.ParseKeys(token.Generate(1))
	if err != nil {
		b.Fatal(err)
	}
	sign := func(t token.Token) string {
		text, err := keys.Sign(t)
		if err != nil {
			b.Fatal(err)
		}
		return text
	}
	beacon := "/o/" + sign(token.Token{Kind: token.Beacon, Campaign: 7, Message: 42})
	link := "/c/" + sign(token.Token{Kind: token.Click, Campaign: 7, Message: 42, Link: 3, URL: "https://example.com/sale?utm_source=mail"})
	with := func(b *testing.B, spool tracker.Recorder) *echo.Echo {
		e := echo.New()
		h := &tracker.Handler{Keys: keys, Spool: spool, Geo: regions(b), Log: slog.New(slog.DiscardHandler)}
		atHome(b)(h, e)
		h.Register(e)
		return e
	}
	b.Run("bare", func(b *testing.B) {
		e := echo.New()
		image := make([]byte, 43)
		e.GET("/o/:token", func(c echo.Context) error { return c.Blob(http.StatusOK, "image/gif", image) })
		load(b, e, beacon)
	})
	b.Run("beacon", func(b *testing.B) { load(b, with(b, openSpool(b)), beacon) })
	b.Run("link", func(b *testing.B) { load(b, with(b, openSpool(b)), link) })
	b.Run("beacon-unrecorded", func(b *testing.B) {
		load(b, with(b, appendFunc(func(context.Context, event.Hit) (int64, error) { return 1, nil })), beacon)
	})
}

func load(b *testing.B, handler http.Handler, path string) {
	server := &http.Server{Handler: handler}
	tracker.LimitServer(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	defer server.Close()

	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: t.example\r\nUser-Agent: %s\r\nAccept: image/avif,image/webp,*/*\r\nAccept-Language: en-GB,en;q=0.9\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", path, chrome)
	const connections = 256
	var left atomic.Int64
	left.Store(int64(b.N))
	waits := make([][]time.Duration, connections)
	var conns []net.Conn
	for range connections {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			r := bufio.NewReader(conn)
			size := 0 // of an answer, all of which are alike
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if size == 0 {
					size = first(b, r)
				} else if _, err := r.Discard(size); err != nil {
					b.Error(err)
					return
				}
				waits[i] = append(waits[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hits/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// first reads an answer and returns how long it is.
func first(b *testing.B, r *bufio.Reader) int {
	size, body := 0, 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			b.Error(err)
			return 1
		}
		size += len(line)
		var n int
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &n); err == nil {
			body = n
		}
		if line == "\r\n" {
			break
		}
	}
	if _, err := io.CopyN(io.Discard, r, int64(body)); err != nil {
		b.Error(err)
	}
	return size + body
}
