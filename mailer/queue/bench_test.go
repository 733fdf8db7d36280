package queue_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema/servertest"

	"github.com/emersion/go-smtp"
)

// BenchmarkSend sends b.N messages of 24 kB from a SQLite file to a sink in this process; messages/s
// counts from the first lease to the end of the campaign. BENCH_CONNECTIONS sets how many are open.
func BenchmarkSend(b *testing.B) {
	for name, sink := range map[string]func(net.Listener){"plain": plainSink, "go-smtp": goSMTPSink} {
		b.Run(name, func(b *testing.B) {
			connections, _ := strconv.Atoi(os.Getenv("BENCH_CONNECTIONS"))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go sink(l)
			relays, err := queue.ParseRelays("smtp://" + l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			s := newStage(b, servertest.SQLite(b), b.N)
			s.size = 24 << 10
			s.build()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			sender := queue.NewSender(s.DB, s, relays, queue.Options{Connections: connections, Alone: true, Poll: 50 * time.Millisecond})
			done := make(chan error, 1)
			b.SetBytes(int64(s.size))
			b.ResetTimer()
			go func() { done <- sender.Run(ctx) }()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for s.status() != "finished" {
				<-tick.C
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			if n := s.counts(); n.Messages[queue.Sent] != int64(b.N) {
				b.Fatalf("messages: %+v", n)
			}
		})
	}
}

// plainSink is the least that SMTP asks of a server, as Postfix's smtp-sink is.
func plainSink(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in := bufio.NewReaderSize(c, 64<<10)
			say := func(s string) { io.WriteString(c, s+"\r\n") }
			say("220 sink")
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				switch {
				case bytes.HasPrefix(line, []byte("EHLO")):
					say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
				case bytes.HasPrefix(line, []byte("DATA")):
					say("354 go on")
					for {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 3 && line[0] == '.' {
							break
						}
					}
					say("250 taken")
				case bytes.HasPrefix(line, []byte("QUIT")):
					say("221 bye")
					return
				default:
					say("250 ok")
				}
			}
		}()
	}
}

type goSink struct{}

func goSMTPSink(l net.Listener) {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return goSink{}, nil }))
	server.Domain = "sink"
	_ = server.Serve(l)
}

func (goSink) Mail(string, *smtp.MailOptions) error { return nil }
func (goSink) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (goSink) Reset()                               {}
func (goSink) Logout() error                        { return nil }
func (goSink) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
